"""How the columns of a result become instances: the plan that the native hydrator is made from."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hyperdjango.database._native import native
from hyperdjango.models._nodes import Node, Ref, Source
from hyperdjango.models._state import State

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column


class Plan:
    """The columns of a SELECT of instances, and the hydrator for them.

    Attributes:
        nodes: The values to select, in order.
        names: Their names, by attribute; of joined models with the relation's name in front.
        hydrator: Fills the instances.
        models: The class of each hydrated node, in the hydrator's order.
    """

    __slots__ = ("hydrator", "models", "names", "nodes")

    def __init__(self, state: State) -> None:
        self.nodes: list[Node] = []
        self.names: list[str] = []
        self.models: list[Any] = []
        parts: list[Any] = []
        extras = [(name, state.annotations[name]) for name in state.selected]
        self._add(state, state.root, (), -1, None, parts, extras)
        self._add_related(state, state.root, (), state.related, 0, parts)
        self.hydrator = native.Hydrator(tuple(parts))

    def _add(
        self,
        state: State,
        source: Source,
        path: tuple[str, ...],
        parent: int,
        slot: Any,
        parts: list[Any],
        extras: Iterable[tuple[str, Node]] = (),
    ) -> None:
        columns = loaded_columns(state, source, path)
        fields: list[Any] = [(column.slot, column.type.convert) for column in columns]
        self.nodes += [Ref(source, column) for column in columns]
        self.names += ["__".join((*path, column.name)) for column in columns]
        for name, node in extras:
            self.nodes.append(node)
            self.names.append(name)
            fields.append((name, node.type.convert if node.type is not None else None))
        keys = tuple(columns.index(column) for column in source.table.primary_key if column in columns)
        self.models.append(source.table.model)
        parts.append((source.table.model, parent, slot, tuple(fields), keys))

    def _add_related(
        self,
        state: State,
        source: Source,
        path: tuple[str, ...],
        tree: Any,
        parent: int,
        parts: list[Any],
    ) -> None:
        for name, below in tree.items():
            relation = source.table.relations[name]
            child = source.child(relation)
            self._add(state, child, (*path, name), parent, relation.slot, parts)
            self._add_related(state, child, (*path, name), below, len(parts) - 1, parts)


def loaded_columns(state: State, source: Source, path: tuple[str, ...]) -> "list[Column]":
    """The columns of a table that are fetched: all but the deferred ones."""
    deferred = state.deferred.get(path)
    if deferred is None:
        return list(source.table.columns)
    tree = state.related
    for word in path:
        tree = tree[word]
    # A related row that is fetched has its key beside it.
    keys = {column for name in tree for column in source.table.relations[name].locals}
    return [column for column in source.table.columns if column.name not in deferred or column in keys]


def plan_of(state: State) -> Plan:
    """Return the plan of a State, made on its first use."""
    known: Plan | None = state.compiled.get("plan")
    if known is not None:
        return known
    made: Plan = state.compiled.setdefault("plan", Plan(state))
    return made
