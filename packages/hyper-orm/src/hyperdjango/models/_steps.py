"""What each queryset method does to a State. Runs once per shape: names are resolved and checked here.

Every function takes the State, the cursor over the call's values, and what the method was given.
"""

from collections import namedtuple
from typing import Any

from hyperdjango.models._fetching import to_one
from hyperdjango.models._filtered_relation import FilteredRelation
from hyperdjango.models._grouping import check_grouped
from hyperdjango.models._nodes import Node, Ref, Sql
from hyperdjango.models._one_database import check_one_database
from hyperdjango.models._scope import SEPARATOR, Many, Scope
from hyperdjango.models._shapes import Cursor, shape
from hyperdjango.models._state import Combination, OrderKey, State
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, F, OrderBy, first_many
from hyperdjango.models.query_words import Q

ALIAS_BYTES_MAX = 63
# No name that a user can give: the relation to many that a grouped queryset has joined.
JOINED_MANY = "<many>"


def filtered(
    state: State, cursor: Cursor, args: tuple[Any, ...], lookups: dict[str, Any], *, negate: bool
) -> State:
    """WHERE, or HAVING where a condition is about groups."""
    _not_sliced(state, "filtered")
    if state.combined:
        raise FieldError("querysets that are put together cannot be filtered; filter each of them before")
    q = Q(*_conditions(state, args), **lookups)
    if not q.children:
        return state
    where, having = list(state.where), list(state.having)
    parts = (~q,) if negate else (q,)
    for part in parts:
        node = part.resolve(state.scope(), cursor)
        if node.has_window:
            raise FieldError(
                f"a window function's value cannot be filtered by, in a condition on {', '.join(part.all_names())}"
            )
        if node.has_aggregate and state.is_grouped:
            check_grouped(state, node, f"a condition on {', '.join(part.all_names())}")
        (having if node.has_aggregate else where).append(node)
    return state.evolve(where=tuple(where), having=tuple(having))


def _conditions(state: State, args: tuple[Any, ...]) -> list[Any]:
    for one in args:
        if not isinstance(one, Q | Expression):
            raise FieldError(
                f"{state.model.__name__}: filter() takes lookups by keyword, Qs and expressions, "
                f"not {type(one).__name__}"
            )
    return list(args)


def annotated(state: State, cursor: Cursor, expressions: dict[str, Any], *, is_selected: bool) -> State:
    """Values of one's own beside the columns."""
    annotations = dict(state.annotations)
    selected, fields = list(state.selected), list(state.fields)
    group_by, is_grouped = state.group_by, state.is_grouped
    added: list[tuple[str, Node]] = []
    for name, expression in expressions.items():
        # An aggregate's own name is reviews__count, as nobody may call one.
        if SEPARATOR not in name or getattr(expression, "default_alias", None) != name:
            check_alias(state, name)
        if isinstance(expression, FilteredRelation):
            scope = Scope(state.root, annotations, extra=state.extra)
            extra = {**state.extra, name: expression.source(state, scope, cursor)}
            state = state.evolve(extra=extra)
            continue
        given: object = expression
        if isinstance(given, str) or not hasattr(type(given), "resolve"):
            raise FieldError(
                f"annotate({name}=…) takes an expression such as F(…), Count(…) or Value(…), "
                f"not {type(given).__name__}"
            )
        scope = Scope(state.root, annotations, extra=state.extra)
        if state.mode != "model":
            state = _one_relation(state, expression, scope)
            scope = scope.with_joins()
        node = resolved(state, expression, scope, cursor, f"annotate({name}=…)")
        if node.has_aggregate:
            if state.mode == "model":
                raise FieldError(
                    f"annotate({name}=…): an aggregate of the row's own columns needs groups: values(…) before it, "
                    "or aggregate() for all rows"
                )
            if not is_grouped:
                is_grouped = True
                group_by = tuple(one for _, one in fields if not one.has_aggregate)
        elif is_grouped and not node.has_window:
            group_by = (*group_by, node)
        annotations[name] = node
        added.append((f"annotate({name}=…)", node))
        if is_selected:
            selected.append(name)
            if state.mode != "model":
                fields.append((name, node))
    new = state.evolve(
        annotations=annotations,
        selected=tuple(selected),
        fields=tuple(fields),
        is_grouped=is_grouped,
        group_by=group_by,
    )
    _check_groups(new, added)
    return new


def _check_groups(state: State, values: list[tuple[str, Node]]) -> None:
    if state.is_grouped:
        for said, node in values:
            check_grouped(state, node, said)


def _one_relation(state: State, expression: Any, scope: Scope) -> State:
    """Groups over two relations to many would multiply each other's rows; notes which one is joined."""
    found = first_many(expression, scope)
    if found is None:
        return state
    before = state.extra.get(JOINED_MANY, found.prefix)
    if before != found.prefix:
        raise FieldError(
            f"one grouped queryset cannot aggregate over both {SEPARATOR.join(before)!r} and "
            f"{SEPARATOR.join(found.prefix)!r}: their rows would multiply each other; annotate before values()"
        )
    return state.evolve(extra={**state.extra, JOINED_MANY: found.prefix})


def resolved(state: State, expression: Any, scope: Scope, cursor: Cursor, said: str) -> Node:
    """Resolve an expression; what goes through many rows has no single value."""
    try:
        node: Node = expression.resolve(scope, cursor)
    except Many as many:
        raise FieldError(
            f"{state.model.__name__}: {SEPARATOR.join(many.prefix)!r} has many rows, and {said} needs one value; "
            "use an aggregate such as Count(), or a Subquery"
        ) from None
    return node


def check_alias(state: State, name: Any) -> None:
    """Refuse a name for a value that could be mistaken for something else."""
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_") or SEPARATOR in name:
        raise FieldError(
            f"{state.model.__name__}: {name!r} is no name for a value: a Python identifier without '__' that begins "
            "with no underscore"
        )
    if len(name.encode()) > ALIAS_BYTES_MAX:
        raise FieldError(f"{name!r} is longer than PostgreSQL's {ALIAS_BYTES_MAX} bytes")
    table = state.model._table
    if name in table.by_name or name in table.relations or name == "pk":
        raise FieldError(f"{name!r} is a field of {state.model.__name__} already; choose another name")
    if hasattr(state.model, name):
        raise FieldError(f"{name!r} is an attribute of {state.model.__name__} already; choose another name")


def ordered(state: State, cursor: Cursor, keys: tuple[Any, ...]) -> State:
    """ORDER BY; no keys for no order at all."""
    _not_sliced(state, "ordered")
    return state.evolve(order=order_keys(state, keys, cursor), is_reversed=False)


def reversed_order(state: State) -> State:
    """The order, read backwards."""
    _not_sliced(state, "reversed")
    return state.evolve(is_reversed=not state.is_reversed)


def order_keys(state: State, keys: tuple[Any, ...], cursor: Cursor | None = None) -> tuple[OrderKey, ...]:
    """Resolve what order_by() and Meta.ordering take."""
    found: list[OrderKey] = []
    cursor = cursor if cursor is not None else Cursor(0)
    for key in keys:
        found += _order_key(state, key, cursor)
    return tuple(found)


def _order_key(state: State, key: Any, cursor: Cursor) -> list[OrderKey]:
    if isinstance(key, str) and key == "?":
        return [OrderKey(Sql("random()", type=None), "", "")]
    if isinstance(key, str):
        name, descending = (key[1:], True) if key[:1] == "-" else (key.removeprefix("+"), False)
        key = OrderBy(F(name), descending=descending)
    elif isinstance(key, Q) or not isinstance(key, Expression):
        raise FieldError(
            f"{state.model.__name__}: order_by() takes names and expressions, not {type(key).__name__}"
        )
    order = key if isinstance(key, OrderBy) else OrderBy(key)
    scope = state.scope() if state.mode == "model" else state.scope().with_joins()
    node = resolved(state, order, scope, cursor, "order_by()")
    related = _own_order(state, order, scope)
    if related is not None:
        return related
    if state.is_grouped:
        check_grouped(state, node, "order_by()")
    return [OrderKey(node, order.suffix(), order.suffix(reverse=True))]


def _own_order(state: State, order: OrderBy, scope: Scope) -> "list[OrderKey] | None":
    """A relation is ordered by as its model orders itself, else by its key."""
    if not isinstance(order.expression, F):
        return None
    found = scope.find(order.expression.name)
    if found.relation is None or not found.relation.target._table.ordering:
        return None
    if order.expression.name.count(SEPARATOR) >= ORDER_DEPTH_MAX:
        return None
    keys: list[OrderKey] = []
    for inner in found.relation.target._table.ordering:
        if not isinstance(inner, str):
            return None
        descending = inner[:1] == "-"
        name = f"{order.expression.name}{SEPARATOR}{inner.lstrip('+-')}"
        onward = OrderBy(F(name), descending=descending != order.descending)
        keys += _order_key(state, onward, Cursor(0))
    return keys


ORDER_DEPTH_MAX = 8


def valued(
    state: State, cursor: Cursor, names: tuple[Any, ...], expressions: dict[str, Any], mode: str
) -> State:
    """Rows of values instead of instances."""
    if state.related:
        raise FieldError("values() and values_list() join what they name; select_related() is not for them")
    if state.combined:
        raise FieldError("values() of querysets that are put together: call it on each of them before")
    if expressions:
        bare = state.evolve(fields=())
        for name, expression in expressions.items():
            bare = annotated(bare, cursor, {name: expression}, is_selected=True)
        state = bare.evolve(fields=())
    fields: list[tuple[str, Node]] = []
    scope = state.scope().with_joins()
    named = mode in {"dict", "named"}
    fields += [
        _field(state, scope, name, cursor, None if named else f"value_{position}")
        for position, name in enumerate(names)
    ]
    fields += [(name, state.annotations[name]) for name in expressions]
    if not names and not expressions:
        fields = [(column.name, Ref(state.root, column)) for column in state.model._table.columns]
        fields += [(name, state.annotations[name]) for name in state.selected]
    seen: set[str] = set()
    for name, _ in fields:
        if name in seen:
            raise FieldError(f"{name!r} is given twice to values()")
        seen.add(name)
    if mode == "flat" and len(fields) != 1:
        raise FieldError(f"values_list(flat=True) takes one field, not {len(fields)}")
    _check_groups(state, [(f"values({name!r})", node) for name, node in fields])
    return state.evolve(mode=mode, fields=tuple(fields))


def _field(
    state: State, scope: Scope, name: Any, cursor: Cursor, unnamed: str | None = None
) -> tuple[str, Node]:
    """A value by its name, or an expression; `unnamed` is what one is called that needs no name."""
    if isinstance(name, Expression):
        alias = unnamed or default_alias(name)
        return alias, resolved(state, name, scope, cursor, "values()")
    if not isinstance(name, str):
        raise FieldError(f"values() takes names and expressions, not {type(name).__name__}")
    return name, F(name).resolve(scope, cursor)


def default_alias(expression: Any) -> str:
    """The name of a value that was given without one, as Django forms it.

    Raises:
        FieldError: It has none.
    """
    alias = getattr(expression, "default_alias", None)
    if alias is None:
        raise FieldError(f"{expression!r} needs a name: annotate(name={expression!r})")
    return str(alias)


def with_names(args: tuple[Any, ...], expressions: dict[str, Any]) -> dict[str, Any]:
    """Values by name; those that were given without one get their own."""
    named: dict[str, Any] = {}
    for one in args:
        alias = default_alias(one)
        if alias in named or alias in expressions:
            raise FieldError(f"two values are called {alias!r}")
        named[alias] = one
    return {**named, **expressions}


def named_shape(expressions: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Names and kinds, and the values."""
    key: list[Any] = []
    params: tuple[Any, ...] = ()
    for name, expression in expressions.items():
        kind, values = shape(expression)
        key.append((name, kind))
        params += values
    return tuple(key), params


def made_distinct(state: State, cursor: Cursor, names: tuple[Any, ...]) -> State:
    """DISTINCT, or DISTINCT ON."""
    _not_sliced(state, "made distinct")
    nodes = tuple(resolved(state, F(name), state.scope(), cursor, "distinct()") for name in names)
    return state.evolve(distinct=nodes)


def sliced(state: State, cursor: Cursor, *, has_limit: bool, has_offset: bool) -> State:
    """LIMIT and OFFSET, as values."""
    return state.evolve(
        limit=cursor.take() if has_limit else None, offset=cursor.take() if has_offset else None
    )


def unique_name(state: State, name: str) -> str:
    """The name of a field that no two rows share, for in_bulk().

    Raises:
        FieldError: It is none, or is not fetched.
    """
    model, table = state.model, state.model._table
    if state.mode != "model":
        raise FieldError(f"in_bulk() of {model.__name__} gives instances; values() has none")
    if name == "pk":
        return name
    column = table.column(name)
    # DISTINCT ON it alone leaves one row for each value.
    is_alone = [one.column for one in state.distinct or () if isinstance(one, Ref)] == [column]
    named = {column.name, *([column.relation.name] if column.relation is not None else [])}
    constraints = [
        one
        for one in table.constraints
        if type(one).__name__ == "UniqueConstraint"
        and getattr(one, "where", None) is None
        and [name for name in getattr(one, "fields", ()) if not isinstance(name, str) or name not in named]
        == []
    ]
    if not (column.is_unique or table.primary_key == (column,) or constraints or is_alone):
        raise FieldError(f"in_bulk(field_name={name!r}): {model.__name__}.{column.name} is not unique")
    if column.name in state.deferred.get((), ()):
        raise FieldError(f"in_bulk(field_name={name!r}): only() or defer() leaves it out")
    return column.name


def locked(state: State, words: str, paths: tuple[str, ...]) -> State:
    """FOR UPDATE and its like."""
    if state.is_grouped or state.combined or state.distinct is not None:
        raise FieldError("select_for_update() locks rows of tables; groups, unions and DISTINCT have none")
    found: list[tuple[str, ...]] = []
    for path in paths:
        if path == "self":
            found.append(())
            continue
        table = state.model._table
        for word in path.split(SEPARATOR):
            table = to_one(table, word, path, "select_for_update").target._table
        found.append(tuple(path.split(SEPARATOR)))
    return state.evolve(lock=(words, tuple(found)))


def combined(state: State, cursor: Cursor, others: tuple[State, ...], word: str) -> State:
    """UNION, INTERSECT, EXCEPT. The values of the first are those that the chain has already."""
    parts = [Combination("", state, 0)]
    parts += [Combination(word, other, cursor.skip(other.param_count)) for other in others]
    width = _width(state)
    for part in parts[1:]:
        check_one_database(state.model._table, part.state.model._table, word)
        if _width(part.state) != width:
            raise FieldError(
                f"{word}: the first queryset gives {width} columns, "
                f"one of {part.state.model.__name__} {_width(part.state)}"
            )
        if (part.state.mode == "model") != (state.mode == "model") or (
            state.mode == "model" and part.state.model is not state.model
        ):
            raise FieldError(
                f"{word}: {state.model.__name__} and {part.state.model.__name__} give different rows; "
                "use values() on both"
            )
        if state.mode == "model" and _fetched(part.state) != _fetched(state):
            raise FieldError(
                f"{word}: the first queryset fetches {', '.join(_fetched(state))}, another one "
                f"{', '.join(_fetched(part.state))}; only(), defer() and select_related() must be the same"
            )
    new = State(state.model)
    return new.evolve(
        root=state.root,
        # Of all of them: what a part refers to around it, the whole refers to.
        outers={key: outer for part in parts for key, outer in part.state.outers.items()},
        mode=state.mode,
        fields=state.fields,
        combined=tuple(parts),
        order=(),
        annotations=state.annotations,
    )


def _width(state: State) -> int:
    from hyperdjango.models._hydration import plan_of

    if state.combined:
        return _width(state.combined[0].state)
    return len(plan_of(state).nodes) if state.mode == "model" else len(state.fields)


def _fetched(state: State) -> list[str]:
    """The names of the columns that instances are made from; values of one's own have any."""
    from hyperdjango.models._hydration import plan_of

    if state.combined:
        return _fetched(state.combined[0].state)
    return ["an annotation" if name in state.selected else name for name in plan_of(state).names]


def returned(state: State, cursor: Cursor, names: tuple[Any, ...]) -> State:
    """What update() and delete() give of each row; instances without names."""
    scope = state.scope()
    fields = tuple(_field(state, scope, name, cursor) for name in names)
    return state.evolve(returning=fields)


def named_row(model_name: str, names: tuple[str, ...]) -> Any:
    """The class of rows of values_list(named=True)."""
    # The names are known at run time only, so no type can be told of the fields.
    return namedtuple(f"{model_name}Row", names)  # pyright: ignore[reportUntypedNamedTuple]


def _not_sliced(state: State, what: str) -> None:
    if state.is_sliced:
        raise FieldError(f"a sliced queryset cannot be {what}; do that first, then slice")
