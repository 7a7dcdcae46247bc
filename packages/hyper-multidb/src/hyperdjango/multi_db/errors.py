"""What goes wrong with several databases, before or instead of what a backend says."""
# ruff: noqa: N818 - they say what happened

from hyperdjango.database.errors import InterfaceError
from hyperdjango.database.resolver import UnknownAlias


class Misconfigured(ValueError):
    """What `configure` was given does not fit the servers or itself. The text names alias, host and remedy."""


class RoutingError(InterfaceError):
    """No database could be chosen: a router returned nonsense, or a sharded statement binds no key."""


__all__ = ["Misconfigured", "RoutingError", "UnknownAlias"]
