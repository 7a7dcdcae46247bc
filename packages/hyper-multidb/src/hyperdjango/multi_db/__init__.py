"""Named connections and routing on the driver: the distribution hyper-multidb."""

from importlib import metadata
from typing import Final

from hyperdjango.database._native import require_native_api

DISTRIBUTION: Final = "hyper-multidb"
NATIVE_API: Final = 1

# A driver of another age would fail later and less clearly.
require_native_api(DISTRIBUTION, NATIVE_API)

from hyperdjango.multi_db._recovery import Recovered  # noqa: E402
from hyperdjango.multi_db.across_errors import CapabilityMissing, PartialCommit  # noqa: E402
from hyperdjango.multi_db.engines import Capabilities  # noqa: E402
from hyperdjango.multi_db.errors import Misconfigured, RoutingError, UnknownAlias  # noqa: E402
from hyperdjango.multi_db.manager import ConnectionManager, RouteDecision  # noqa: E402
from hyperdjango.multi_db.middleware import RoutingMiddleware  # noqa: E402
from hyperdjango.multi_db.routers import DatabaseRouter, PrimaryReplicaRouter  # noqa: E402
from hyperdjango.multi_db.scope import Scope  # noqa: E402
from hyperdjango.multi_db.sharding import ByHash, ByLookup, ByRange, ShardRouter  # noqa: E402

__version__: Final = metadata.version(DISTRIBUTION)

__all__ = [
    "ByHash",
    "ByLookup",
    "ByRange",
    "Capabilities",
    "CapabilityMissing",
    "ConnectionManager",
    "DatabaseRouter",
    "Misconfigured",
    "PartialCommit",
    "PrimaryReplicaRouter",
    "Recovered",
    "RouteDecision",
    "RoutingError",
    "RoutingMiddleware",
    "Scope",
    "ShardRouter",
    "UnknownAlias",
    "__version__",
]
