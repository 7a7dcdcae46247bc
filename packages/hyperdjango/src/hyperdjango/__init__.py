"""The full stack under one name: driver, settings, models, routing, loaders and the application.

The only `hyperdjango/__init__.py` there is. The other distributions ship folders beside it; with one of
them alone `hyperdjango` is a namespace package, and `from hyperdjango.database import Database` works the
same. What is named here is imported when it is first used, so that `import hyperdjango` costs nothing.
"""

from importlib import import_module, metadata
from pkgutil import extend_path
from typing import TYPE_CHECKING, Final

# The parts are separate distributions: editable installs have them in separate folders.
__path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:
    from hyperdjango import conf, database, dataloader, models, multi_db
    from hyperdjango.app import HyperApp, JSONBytes
    from hyperdjango.conf import settings
    from hyperdjango.database import (
        AcquireTimeout,
        CommandStatus,
        ConnectionFailed,
        ConnectionLost,
        ConnectTimeout,
        Database,
        DatabaseError,
        DataError,
        Error,
        IntegrityError,
        InterfaceError,
        InternalError,
        NativeExtensionMissing,
        NotConnected,
        NotSupportedError,
        OperationalError,
        OutcomeUnknown,
        ProgrammingError,
        ProtocolError,
        QueryTimeout,
        SyncDatabase,
        TransactionClosed,
        errors,
        get_db,
        set_db,
    )

    __version__: str

_PARTS: Final = ("conf", "database", "dataloader", "models", "multi_db")
_SOURCES: Final[dict[str, tuple[str, ...]]] = {
    "hyperdjango.app": ("HyperApp", "JSONBytes"),
    "hyperdjango.conf": ("settings",),
    "hyperdjango.database": (
        "AcquireTimeout",
        "CommandStatus",
        "ConnectTimeout",
        "ConnectionFailed",
        "ConnectionLost",
        "DataError",
        "Database",
        "DatabaseError",
        "Error",
        "IntegrityError",
        "InterfaceError",
        "InternalError",
        "NativeExtensionMissing",
        "NotConnected",
        "NotSupportedError",
        "OperationalError",
        "OutcomeUnknown",
        "ProgrammingError",
        "ProtocolError",
        "QueryTimeout",
        "SyncDatabase",
        "TransactionClosed",
        "errors",
        "get_db",
        "set_db",
    ),
}
_SOURCE_OF: Final = {name: source for source, names in _SOURCES.items() for name in names}

__all__ = [
    "AcquireTimeout",
    "CommandStatus",
    "ConnectTimeout",
    "ConnectionFailed",
    "ConnectionLost",
    "DataError",
    "Database",
    "DatabaseError",
    "Error",
    "HyperApp",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "JSONBytes",
    "NativeExtensionMissing",
    "NotConnected",
    "NotSupportedError",
    "OperationalError",
    "OutcomeUnknown",
    "ProgrammingError",
    "ProtocolError",
    "QueryTimeout",
    "SyncDatabase",
    "TransactionClosed",
    "__version__",
    "conf",
    "database",
    "dataloader",
    "errors",
    "get_db",
    "models",
    "multi_db",
    "set_db",
    "settings",
]

if not TYPE_CHECKING:  # a checker that saw it would let every misspelt name pass

    def __getattr__(name: str) -> object:
        if name in _SOURCE_OF:
            value = getattr(import_module(_SOURCE_OF[name]), name)
        elif name in _PARTS:
            value = import_module(f"{__name__}.{name}")
        elif name == "__version__":
            value = metadata.version("hyperdjango")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
