"""What a chain of queryset methods means: immutable, without values, shared by all chains of the same shape.

Each method call is an operation with a key. The State that an operation leads to is remembered in a bounded
LRU, so that a chain that was built before is found again by dictionary lookups, with its SQL.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from hyperdjango.models._nodes import Node, Source
from hyperdjango.models._scope import Scope
from hyperdjango.models._shapes import Cursor

if TYPE_CHECKING:
    from hyperdjango.models.model import Model

STATES_MAX: Final = 4096

Mode = Literal["model", "dict", "tuple", "flat", "named"]


class OrderKey(NamedTuple):
    """One key of an order: the value, and the words behind it either way."""

    node: Node
    suffix: str
    reversed_suffix: str


class Combination(NamedTuple):
    """A queryset that is put together with this one."""

    word: str
    state: "State"
    offset: int


class CommonTable(NamedTuple):
    """A named subquery in front of the statement.

    Attributes:
        name: Its name.
        state: Its rows; of a recursive one the first.
        offset: Of their values among the chain's.
        step: The rows that follow from those there are, or None.
        step_offset: Of the values of these.
        step_source: The common table as a source in them.
    """

    name: str
    state: "State"
    offset: int
    step: "State | None" = None
    step_offset: int = 0
    step_source: Source | None = None


class State:
    """Everything that a SELECT is made from, resolved.

    Attributes:
        model: Whose rows.
        root: The source of its table.
        param_count: How many values the chain has so far.
        where: Conditions on rows.
        having: Conditions on groups.
        annotations: Names that `annotate` and `alias` have made.
        selected: Those of them that are fetched.
        mode: What a row becomes.
        fields: Names and values of a row, in every mode but "model".
        is_grouped: Rows are grouped by the values of `group_by`.
        group_by: The values to group by.
        order: Keys of the order; None for the model's own.
        own_order: Those of the model's own that have values, which stand first in the chain; or None.
        is_reversed: The order is to be read backwards.
        distinct: None, or the values that must differ; empty for whole rows.
        limit, offset: Positions of these values in the chain, or None.
        related: Relations that are joined and fetched along, as a tree of names.
        deferred: Columns that are not fetched; `only` names all the others. By relation path.
        lock: FOR UPDATE and so on.
        combined: Querysets that are united with this one, in order.
        ctes: Named subqueries in front.
        extra: FilteredRelations and common tables, as sources by name.
        outers: OuterRefs in it, by key.
        scoped: Those of `where` that come from Meta.global_filters, by name.
        is_empty: `none()`.
        adapters: What the values of the last operation go through.
    """

    __slots__ = (
        "adapters", "annotations", "combined", "compiled", "ctes", "deferred", "distinct", "extra",
        "fields", "group_by", "having", "is_empty", "is_grouped", "is_reversed", "limit",
        "lock", "mode", "model", "offset", "order", "outers", "own_order", "param_count", "related", "returning",
        "root", "scoped", "selected", "where",
    )  # fmt: skip

    def __init__(self, model: "type[Model]") -> None:
        self.model = model
        self.root = Source(model._table)
        self.param_count = 0
        self.where: tuple[Node, ...] = ()
        self.having: tuple[Node, ...] = ()
        self.annotations: Mapping[str, Node] = {}
        self.selected: tuple[str, ...] = ()
        self.mode: Mode = "model"
        self.fields: tuple[tuple[str, Node], ...] = ()
        self.is_grouped = False
        self.group_by: tuple[Node, ...] = ()
        self.order: tuple[OrderKey, ...] | None = None
        self.own_order: tuple[OrderKey, ...] | None = None
        self.is_reversed = False
        self.distinct: tuple[Node, ...] | None = None
        self.limit: int | None = None
        self.offset: int | None = None
        self.related: Mapping[str, Any] = {}
        self.deferred: Mapping[tuple[str, ...], frozenset[str]] = {}
        self.lock: tuple[str, tuple[tuple[str, ...], ...]] | None = None
        self.combined: tuple[Combination, ...] = ()
        self.ctes: tuple[CommonTable, ...] = ()
        self.extra: Mapping[str, Any] = {}
        self.outers: Mapping[Any, Any] = {}
        self.returning: tuple[tuple[str, Node], ...] | None = None
        self.is_empty = False
        self.scoped: Mapping[str, Node] = {}
        self.adapters: Mapping[int, Callable[[Any], Any]] | None = None
        self.compiled: dict[Any, Any] = {}

    def evolve(self, **changes: Any) -> "State":
        """A copy with some attributes changed; what was compiled stays behind."""
        new = State.__new__(State)
        for name in State.__slots__:
            setattr(new, name, getattr(self, name))
        for name, value in changes.items():
            setattr(new, name, value)
        new.compiled = {}
        new.adapters = None
        return new

    def scope(self) -> Scope:
        """The names that its next operation can use."""
        return Scope(self.root, self.annotations, extra=self.extra)

    @property
    def is_sliced(self) -> bool:
        return self.limit is not None or self.offset is not None


_states: "OrderedDict[tuple[State, Any], State]" = OrderedDict()
_roots: "dict[type[Model], State]" = {}


def root_state(model: "type[Model]") -> State:
    """The State of all rows of a model."""
    known = _roots.get(model)
    if known is None:
        known = _roots.setdefault(model, State(model))
    return known


def next_state(state: State, key: Any, param_count: int, build: Callable[[State, Cursor], State]) -> State:
    """Return the State that an operation leads to: the known one of the same key, or a new one from `build`."""
    entry = (state, key)
    known = _states.get(entry)
    if known is not None:
        try:
            _states.move_to_end(entry)
        except KeyError:
            # Another thread has dropped it meanwhile; it is as good as before.
            _states[entry] = known
        return known
    cursor = Cursor(state.param_count)
    new = build(state, cursor)
    if new is state:
        new = state.evolve()
    assert cursor.taken in {0, param_count}, (cursor.taken, param_count, key)
    new.param_count = state.param_count + param_count
    new.adapters = cursor.adapters or None
    if cursor.outers:
        new.outers = {**new.outers, **cursor.outers}
    _states[entry] = new
    while len(_states) > STATES_MAX:
        _states.popitem(last=False)
    return new


def adapted(state: State, params: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of the State's last operation as they are sent."""
    if state.adapters is None:
        return params
    values = list(params)
    for position, adapter in state.adapters.items():
        value = values[position]
        # A Param's value is not known yet; it goes through later.
        through = getattr(value, "_through", None)
        values[position] = adapter(value) if through is None else through(adapter)
    return tuple(values)
