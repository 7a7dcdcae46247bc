"""Batching loaders against N+1 queries: the distribution hyper-dataloader.

This release has the place and the check that the driver underneath fits; `DataLoader` is not in it yet.
"""

from importlib import metadata
from typing import Final

from hyperdjango.database._native import require_native_api

DISTRIBUTION: Final = "hyper-dataloader"
NATIVE_API: Final = 1

# A driver of another age would fail later and less clearly.
require_native_api(DISTRIBUTION, NATIVE_API)

__version__: Final = metadata.version(DISTRIBUTION)

__all__ = ["__version__"]
