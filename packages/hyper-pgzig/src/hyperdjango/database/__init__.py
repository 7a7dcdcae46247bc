"""The driver: `Database` for asyncio, `SyncDatabase` for code that blocks, their errors and types."""

from importlib import metadata

from hyperdjango.database import errors
from hyperdjango.database._async_copy import CopyOut
from hyperdjango.database._global import get_db, set_db
from hyperdjango.database._hooks import HookConnection, SyncHookConnection
from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.database._notices import Notice
from hyperdjango.database._notifications import Gap, Notification
from hyperdjango.database._sqlstate import *  # noqa: F403 - by way of errors mypy does not see them
from hyperdjango.database._sync_copy import SyncCopyOut
from hyperdjango.database._watching import QueryEvent, Route
from hyperdjango.database.client import Database, Row
from hyperdjango.database.errors import *  # noqa: F403 - errors.__all__ is the public tree
from hyperdjango.database.explain import ExplainNode, ExplainResult
from hyperdjango.database.listener import Listener, SyncListener
from hyperdjango.database.pool import Pool
from hyperdjango.database.status import CommandStatus
from hyperdjango.database.sync_client import SyncDatabase
from hyperdjango.database.transaction import TransactionBlock
from hyperdjango.database.types import (
    Box,
    Circle,
    Composite,
    Interval,
    Line,
    LineSegment,
    Multirange,
    Path,
    Point,
    Polygon,
    Range,
)

__version__ = metadata.version("hyper-pgzig")

__all__ = [
    "Box",
    "Circle",
    "CommandStatus",
    "Composite",
    "CopyOut",
    "Database",
    "ExplainNode",
    "ExplainResult",
    "Gap",
    "HookConnection",
    "Interval",
    "Line",
    "LineSegment",
    "Listener",
    "Multirange",
    "Notice",
    "Notification",
    "Path",
    "Point",
    "Polygon",
    "Pool",
    "QueryEvent",
    "Range",
    "Route",
    "Row",
    "SyncCopyOut",
    "SyncDatabase",
    "SyncHookConnection",
    "SyncListener",
    "TransactionBlock",
    "get_db",
    "quote_identifier",
    "set_db",
]
__all__ += errors.__all__
