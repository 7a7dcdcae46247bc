"""The one door to the native extension. Nothing else imports `hyperdjango._hyperdjango_native`.

Modules of this package write `from hyperdjango.database._native import native` and take names from it when
they use them, not before (`native.Connection(...)`): so everything can be imported where the extension is
missing or of another API number, `hyper-build` above all, and the first use says how to build it. Other
distributions call `require_native_api` when they are imported, and are refused there.
"""

from importlib import metadata
from typing import TYPE_CHECKING, Final, Literal, Never

from hyperdjango.database.errors import BUILD_COMMAND, NativeExtensionMissing

EXPECTED_API: Final = 1
DISTRIBUTION: Final = "hyper-pgzig"

__all__ = ["EXPECTED_API", "available", "backend", "native", "require_native", "require_native_api"]


class _Unusable:
    """Stands for the extension where it cannot be used: any use raises, every time anew."""

    def __init__(self, reason: ImportError, found_api: int | None) -> None:
        self._reason = reason
        self._found_api = found_api

    def __getattr__(self, name: str) -> Never:
        if name.startswith("__"):  # what copy, inspect and the like ask about is no use of the driver
            raise AttributeError(name)
        if self._found_api is not None:
            raise _mismatch(DISTRIBUTION, EXPECTED_API, self._found_api)
        # A cause with a traceback would keep the first importer's frames alive for ever.
        raise NativeExtensionMissing from self._reason.with_traceback(None)


def _mismatch(distribution: str, api: int, found: int) -> ImportError:
    if distribution == DISTRIBUTION or found != EXPECTED_API:
        # Python and extension come in one wheel: only a checkout can have them of different ages.
        command = f"Build it again:\n{BUILD_COMMAND}"
    else:
        command = (
            f"Install versions that go together:\nuv pip install --upgrade {DISTRIBUTION} {distribution}"
        )
    return ImportError(
        f"{_version(distribution)} needs native API {api}, but the extension of {_version(DISTRIBUTION)} has "
        f"native API {found}. {command}",
        name="hyperdjango._hyperdjango_native",
    )


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return f"{distribution} (not installed)"


if TYPE_CHECKING:
    from hyperdjango import _hyperdjango_native as native

    _found_api: int | None
    _available: bool
else:
    try:
        from hyperdjango import _hyperdjango_native as native
    except ImportError as error:
        _found_api = None
        native = _Unusable(error, None)
    else:
        _found_api = getattr(native, "API_VERSION", 0)
        if _found_api != EXPECTED_API:
            native = _Unusable(ImportError(), _found_api)
    _available = _found_api == EXPECTED_API


def available() -> bool:
    """Return whether the extension is there and fits."""
    return _available


def backend() -> Literal["pgzig", "none"]:
    """Return what `Database.backend` says."""
    return "pgzig" if _available else "none"


def require_native() -> None:
    """Return when the extension can be used.

    Raises:
        NativeExtensionMissing: It is not there.
        ImportError: It has another API number than this package was written for.
    """
    if not _available:
        _ = native.API_VERSION


def require_native_api(distribution: str, api: int) -> None:
    """Check at the import of another distribution that it and the extension were made for each other.

    A missing extension passes: that is an error of the first call, not of an import.

    Args:
        distribution: Who asks: `hyper-orm`.
        api: The native API number its code was written for.
    Raises:
        ImportError: The extension has another number. The text names both versions and what mends it.
    """
    found = _found_api if not _available else native.API_VERSION
    if found is not None and (found != api or not _available):
        raise _mismatch(distribution, api, found)
