"""Models and querysets on the driver: the distribution hyper-orm.

This release has the place and the check that the driver underneath fits; `Model`, `Field` and querysets are
not in it yet. Until they are, `hyperdjango.database` is the way to a database.
"""

from importlib import metadata
from typing import Final

from hyperdjango.database._native import require_native_api

DISTRIBUTION: Final = "hyper-orm"
NATIVE_API: Final = 1

# A driver of another age would fail later and less clearly.
require_native_api(DISTRIBUTION, NATIVE_API)

__version__: Final = metadata.version(DISTRIBUTION)

__all__ = ["__version__"]
