"""The one door to the native extension. Nothing else imports `hyperdjango._hyperdjango_native`.

Modules of this package write `from hyperdjango.database._native import native` and take names from it when
they use them, not before (`native.Connection(...)`): so everything can be imported where the extension is
missing, and the first use says how to build it. Other distributions call `require_native_api` at import.
"""

from importlib import metadata
from typing import TYPE_CHECKING, Final, Literal, Never

from hyperdjango.database.errors import BUILD_COMMAND, NativeExtensionMissing

EXPECTED_API: Final = 1
DISTRIBUTION: Final = "hyper-pgzig"

__all__ = ["EXPECTED_API", "available", "backend", "native", "require_native", "require_native_api"]


class _Missing:
    """Stands for the extension where it is missing: any use raises NativeExtensionMissing."""

    def __init__(self, reason: ImportError) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Never:
        if name.startswith("__"):  # what copy, inspect and the like ask about is no use of the driver
            raise AttributeError(name)
        # A cause with a traceback would keep the first importer's frames alive for ever.
        raise NativeExtensionMissing from self._reason.with_traceback(None)


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return f"{distribution} (not installed)"


if TYPE_CHECKING:
    from hyperdjango import _hyperdjango_native as native

    _available: bool
else:
    try:
        from hyperdjango import _hyperdjango_native as native
    except ImportError as error:
        native = _Missing(error)
        _available = False
    else:
        _available = True
        _found = getattr(native, "API_VERSION", 0)
        if _found != EXPECTED_API:
            raise ImportError(
                f"{_version(DISTRIBUTION)} needs native API {EXPECTED_API}, but the extension that is built "
                f"has native API {_found}. Build it again:\n{BUILD_COMMAND}",
                name="hyperdjango._hyperdjango_native",
                path=getattr(native, "__file__", None),
            )


def available() -> bool:
    """Return whether the extension is there."""
    return _available


def backend() -> Literal["pgzig", "none"]:
    """Return what `Database.backend` says."""
    return "pgzig" if _available else "none"


def require_native() -> None:
    """Raise NativeExtensionMissing where the extension is missing."""
    if not _available:
        _ = native.API_VERSION


def require_native_api(distribution: str, api: int) -> None:
    """Check at the import of another distribution that it and the extension were made for each other.

    A missing extension passes: that is an error of the first call, not of an import.

    Args:
        distribution: Who asks: `hyper-orm`.
        api: The native API number its code was written for.
    Raises:
        ImportError: The extension has another number.
    """
    if _available and api != native.API_VERSION:
        raise ImportError(
            f"{_version(distribution)} needs native API {api}, but {_version(DISTRIBUTION)} has native API "
            f"{native.API_VERSION}. Install versions that go together:\n"
            f"uv pip install --upgrade {DISTRIBUTION} {distribution}"
        )
