"""What was decided of the reads of a scope: which servers may take them, and why.

Made by `_replica_set`, kept by `scope`, looked at by `_reader` for every call: a read is to cost next to nothing
more than the same read without routing, so what was decided once holds until something has changed. A scope drops
its routes when it writes or is pinned; a set has another `known` after each change of a server, and before a server
counts as another one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.multi_db._node import Node


class Route:
    """A decision.

    Attributes:
        nodes: The servers that may serve.
        reason: Why these.
        known: That of the set, as it was before any server was looked at.
        node: The server, where there is only one.
        database: Its Database, where there is only one.
        is_usual: They are replicas, and the reason is the usual one: what their Databases say of themselves.
    """

    __slots__ = ("database", "is_usual", "known", "node", "nodes", "reason")

    def __init__(
        self,
        nodes: "tuple[Node, ...]",
        reason: str,
        known: object,
        database: "Database | None",
        *,
        is_usual: bool,
    ) -> None:
        self.nodes = nodes
        self.node = nodes[0] if len(nodes) == 1 else None
        self.reason = reason
        self.known = known
        self.database = database
        self.is_usual = is_usual


__all__ = ["Route"]
