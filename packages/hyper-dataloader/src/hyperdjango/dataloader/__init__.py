"""Batching loaders against N+1 queries: the distribution hyper-dataloader."""

from importlib import metadata
from typing import Final

from hyperdjango.dataloader._checked import DISTRIBUTION
from hyperdjango.dataloader._driver import Options, group_loader, table_loader
from hyperdjango.dataloader._loader import ALL, DataLoader
from hyperdjango.dataloader._scope import (
    LoaderScope,
    ScopedLoader,
    loader,
    loader_scope,
    scoped,
)
from hyperdjango.dataloader._stats import LoaderStats
from hyperdjango.dataloader.errors import (
    AnotherLoop,
    BatchCancelled,
    BatchLengthError,
    BatchResultError,
    DataLoaderError,
    KeyMismatch,
    KeyMissing,
    NoLoaderScope,
    OwnKey,
    SeveralRows,
    UnhashableKey,
)

__version__: Final = metadata.version(DISTRIBUTION)

__all__ = [
    "ALL",
    "AnotherLoop",
    "BatchCancelled",
    "BatchLengthError",
    "BatchResultError",
    "DataLoader",
    "DataLoaderError",
    "KeyMismatch",
    "KeyMissing",
    "LoaderScope",
    "LoaderStats",
    "NoLoaderScope",
    "Options",
    "OwnKey",
    "ScopedLoader",
    "SeveralRows",
    "UnhashableKey",
    "__version__",
    "group_loader",
    "loader",
    "loader_scope",
    "scoped",
    "table_loader",
]
