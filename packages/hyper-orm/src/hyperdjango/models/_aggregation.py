"""`aggregate()`: values over all rows of a queryset.

Aggregates over different relations to many would multiply each other's rows in one FROM: then each of them
has a SELECT of its own in the statement. Rows that are limited, distinct or grouped are aggregated from outside.
"""

from typing import TYPE_CHECKING, Any

from hyperdjango.models import _compile
from hyperdjango.models._hydration import plan_of
from hyperdjango.models._nodes import Named, Node, Source
from hyperdjango.models._scope import Scope
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._state import State
from hyperdjango.models._steps import ALIAS_BYTES_MAX
from hyperdjango.models._writer import Frame, Writer
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import first_many

if TYPE_CHECKING:
    from hyperdjango.models._compile import Statement


class Derived(Source):
    """The rows of a State as a source."""

    __slots__ = ("state",)

    def __init__(self, state: State) -> None:
        super().__init__(state.model._table)
        self.state = state

    def write_table(self, writer: Writer) -> None:
        writer.put("(")
        _compile.write_within(writer, self.state, 0)
        writer.put(")")


def aggregated(state: State, cursor: Cursor, expressions: dict[str, Any]) -> State:
    """A State whose only row holds the aggregates."""
    if not expressions:
        raise FieldError("aggregate() takes aggregates such as Count(…) or Sum(…)")
    is_plain = not (state.is_sliced or state.distinct is not None or state.is_grouped or state.combined)
    scope = state.scope() if is_plain else _outside(state)
    fields: list[tuple[str, Node]] = []
    ways: set[Any] = set()
    for name, expression in expressions.items():
        _check_name(name)
        given: object = expression
        if isinstance(given, str) or not hasattr(type(given), "resolve"):
            raise FieldError(
                f"aggregate({name}=…) takes an aggregate such as Count(…), not {type(given).__name__}"
            )
        found = first_many(expression, scope)
        ways.add(found.prefix if found is not None else None)
        node = expression.resolve(scope.with_joins(), cursor)
        if not node.has_aggregate:
            raise FieldError(f"aggregate({name}=…): {expression!r} is no aggregate")
        fields.append((name, node))
        annotations = {**scope.annotations, name: node}
        scope = Scope(scope.root, annotations, extra=scope.extra)
    if not is_plain:
        state = State(state.model).evolve(root=scope.root, param_count=state.param_count, outers=state.outers)
    return state.evolve(
        mode="dict",
        fields=tuple(fields),
        order=(),
        related={},
        deferred={},
        lock=None,
        selected=("apart",) if len(ways) > 1 else (),
    )


def _check_name(name: str) -> None:
    if not name.isidentifier() or name.startswith("_"):
        raise FieldError(
            f"{name!r} is no name for a value: a Python identifier that begins with no underscore"
        )
    if len(name.encode()) > ALIAS_BYTES_MAX:
        raise FieldError(f"{name!r} is longer than PostgreSQL's {ALIAS_BYTES_MAX} bytes")


def _outside(state: State) -> Scope:
    """The names of a State's rows, seen from outside of it."""
    source = Derived(state)
    names: dict[str, Node] = {}
    if state.mode == "model":
        inner = state.combined[0].state if state.combined else state
        plan = plan_of(inner)
        for position, (name, node) in enumerate(zip(plan.names, plan.nodes, strict=True)):
            names[name] = Named(source, f"c{position}", node.type)
        keys = state.model._table.primary_key
        if len(keys) == 1 and keys[0].name in names:
            names["pk"] = names[keys[0].name]
        for relation in state.model._table.relations.values():
            if relation.is_forward and len(relation.locals) == 1 and relation.locals[0].name in names:
                names[relation.name] = names[relation.locals[0].name]
    else:
        for name, node in _compile.output_fields(state):
            names[name] = Named(source, name, node.type)
    return Scope(source, names)


def aggregate(state: State) -> "Statement":
    """Compile what `aggregated` has made."""
    return _compile.statement(state, "aggregate", _aggregate)


def _aggregate(state: State) -> "Statement":
    writer = Writer()
    if not state.selected:
        return _compile.select(state)
    writer.put("SELECT ")
    for position, (name, node) in enumerate(state.fields):
        writer.put(", (" if position else "(")
        writer.frame = Frame(None, (), 0)
        _compile.write_apart(writer, state, node)
        writer.frame = None
        writer.put(") AS ")
        writer.name(name)
    return _compile.finished(writer, state)
