"""Named connections and routing on the driver: the distribution hyper-multidb.

This release has the place and the check that the driver underneath fits; `ConnectionManager` and the
routers are not in it yet. Until they are, one `Database` per URL does the work.
"""

from importlib import metadata
from typing import Final

from hyperdjango.database._native import require_native_api

DISTRIBUTION: Final = "hyper-multidb"
NATIVE_API: Final = 1

# A driver of another age would fail later and less clearly.
require_native_api(DISTRIBUTION, NATIVE_API)

__version__: Final = metadata.version(DISTRIBUTION)

__all__ = ["__version__"]
