"""Descriptions of queries, small trees that hypothesis makes; `as_orm` and `as_sql` each render them by themselves."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from bookshop.data import DAYS, MOMENTS, WORDS
from hypothesis import strategies as st

from oracle.schema import MODELS


@dataclass(frozen=True)
class Leaf:
    """A lookup on a column of the row at the end of a path of relations to one; a `Column` as a value is F."""

    path: tuple[str, ...]
    column: str
    kind: str
    lookup: str
    value: Any


@dataclass(frozen=True)
class Column:
    """Another column of the same row."""

    name: str


@dataclass(frozen=True)
class Missing:
    """Whether the row at the end of a path of relations to one is missing."""

    path: tuple[str, ...]
    is_missing: bool


@dataclass(frozen=True)
class FarRows:
    """There is a far row, over a relation to many, for which all of these hold; without any: a far row at all."""

    relation: str
    parts: tuple["Leaf | FarRows", ...]
    is_there: bool = True


@dataclass(frozen=True)
class Group:
    """`connector` is AND, OR or XOR."""

    connector: str
    parts: tuple["Part", ...]
    is_negated: bool = False


Part = Leaf | Missing | FarRows | Group


@dataclass(frozen=True)
class Query:
    """filter() and exclude() calls in a row, then perhaps an order and a slice."""

    model: str
    calls: tuple[tuple[str, Part], ...]
    order: tuple[tuple[tuple[str, ...], str, bool], ...] = ()
    start: int = 0
    count: int | None = None


COMPARISONS: Final = ("exact", "gt", "gte", "lt", "lte", "in", "range", "isnull")
LOOKUPS: Final = {
    "text": (*COMPARISONS, "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith"),
    "integer": COMPARISONS,
    "numeric": COMPARISONS,
    "float": COMPARISONS,
    "date": (*COMPARISONS, "year", "month", "quarter", "week_day", "year__gt"),
    "timestamp": (*COMPARISONS, "year", "date", "hour"),
    "boolean": ("exact", "in", "isnull"),
    "enum": ("exact", "in", "isnull"),
    "array": ("exact", "contains", "contained_by", "overlap", "len", "len__gt", "isnull"),
    "json": ("has_key", "contains", "isnull", "key", "key__gt"),
}  # fmt: skip
PIECES: Final = (*WORDS, "", "%", "_", "\\", "'", "e", "Ada", "ada Fo", "a", "tag 1", "#", "G")
KEYS: Final = ("city", "phone", "news", "n", "language", "size", "followers", "awards")
DOCUMENTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"news": True},
    {"n": 1},
    {"city": None},
    {"size": {"width": "wide"}},
    {"language": "de"},
)
PLAIN: Final[dict[str, st.SearchStrategy[Any]]] = {
    "text": st.sampled_from(PIECES),
    "integer": st.one_of(st.integers(-2, 12), st.integers(0, 2000), st.just(2**40)),
    "numeric": st.decimals(-5, 120, places=2).map(Decimal),
    "float": st.integers(-1, 21).map(lambda quarter: quarter / 4),
    "date": st.one_of(st.sampled_from(DAYS), st.dates(date(1900, 1, 1), date(2025, 1, 1))),
    "timestamp": st.one_of(
        st.sampled_from(MOMENTS),
        st.datetimes(datetime(2021, 12, 1), datetime(2025, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)),
    ),
    "boolean": st.booleans(),
    "array": st.lists(st.sampled_from(WORDS), max_size=3),
}


@st.composite
def values(draw: st.DrawFn, kind: str, lookup: str) -> Any:
    """A value that a lookup of a column of that kind takes."""
    plain = (
        st.sampled_from(kind.removeprefix("enum:").split(",")) if kind.startswith("enum") else PLAIN.get(kind)
    )
    match lookup:
        case "isnull":
            return draw(st.booleans())
        case "in":
            assert plain is not None
            return tuple(draw(st.lists(plain, max_size=4)))
        case "range":
            assert plain is not None
            return (draw(plain), draw(plain))
        case "year" | "year__gt":
            return draw(st.integers(1900, 2025))
        case "month" | "quarter" | "week_day" | "hour" | "len" | "len__gt":
            return draw(st.integers(0, 12))
        case "date":
            return draw(PLAIN["date"])
        case "has_key":
            return draw(st.sampled_from(KEYS))
        case "key":
            return (
                draw(st.sampled_from(KEYS)),
                draw(st.sampled_from(("Oslo", "de", 1, 2, True, False, "1"))),
            )
        case "key__gt":
            return (draw(st.sampled_from(KEYS)), draw(st.integers(0, 900)))
        case "contains" if kind == "json":
            return draw(st.sampled_from(DOCUMENTS))
    assert plain is not None
    return draw(plain)


@st.composite
def paths(draw: st.DrawFn, model: str, depth: int = 3) -> tuple[tuple[str, ...], str]:
    """Relations to one, each from where the last has led, and the model there."""
    path: list[str] = []
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 2, depth)))):
        if not MODELS[model].to_one:
            break
        name = draw(st.sampled_from(sorted(MODELS[model].to_one)))
        path.append(name)
        model = MODELS[model].to_one[name].model
    return tuple(path), model


@st.composite
def leaves(draw: st.DrawFn, model: str, *, may_be_null: bool = True) -> Leaf:
    path, end = draw(paths(model))
    columns = MODELS[end].columns
    column = draw(st.sampled_from(sorted(columns)))
    kind = columns[column]
    lookups = [one for one in LOOKUPS[kind.split(":")[0]] if may_be_null or one != "isnull"]
    lookup = draw(st.sampled_from(lookups))
    alike = sorted(name for name, other in columns.items() if other == kind and name != column)
    if alike and lookup in {"exact", "gt", "lte"} and kind not in {"json", "array"} and draw(st.booleans()):
        # F names a column from where the query starts.
        return Leaf(path, column, kind, lookup, Column("__".join((*path, draw(st.sampled_from(alike))))))
    return Leaf(path, column, kind, lookup, draw(values(kind, lookup)))


@st.composite
def far_rows(draw: st.DrawFn, model: str, relation: str, depth: int = 2) -> FarRows:
    if draw(st.integers(0, 4)) == 0:
        return FarRows(relation, (), draw(st.booleans()))
    far = MODELS[model].to_many[relation].model
    # What may be NULL without a row is asked for by its own leaf.
    parts: list[Leaf | FarRows] = draw(st.lists(leaves(far, may_be_null=False), min_size=1, max_size=2))
    names = {
        name: None
        for part in parts
        if isinstance(part, Leaf) and (name := (*part.path, part.column, part.lookup))
    }
    if len(names) < len(parts):
        parts = parts[:1]  # a keyword can be given once
    if depth > 1 and MODELS[far].to_many and draw(st.integers(0, 3)) == 0:
        parts.append(
            draw(far_rows(far, draw(st.sampled_from(sorted(MODELS[far].to_many))), depth - 1).filter(bool_))
        )
    return FarRows(relation, tuple(parts))


def bool_(one: FarRows) -> bool:
    """Whether it asks for a row, so that it can stand beside other conditions of the same far row."""
    return bool(one.parts)


@st.composite
def conditions(draw: st.DrawFn, model: str) -> Part:
    """A tree in which a relation to many is gone through once, since one call's conditions are about one far row."""
    free = sorted(MODELS[model].to_many)

    def leaf() -> Part:
        choice = draw(st.integers(0, 9))
        if choice < 3 and free:
            relation = draw(st.sampled_from(free))
            free.remove(relation)
            return draw(far_rows(model, relation))
        if choice == 3:
            path, _ = draw(paths(model, 2))
            if path:
                return Missing(path, draw(st.booleans()))
        return draw(leaves(model))

    def tree(depth: int) -> Part:
        if depth == 0 or draw(st.integers(0, 2)) == 0:
            return leaf()
        connector = draw(st.sampled_from(("AND", "OR", "OR", "AND", "XOR")))
        parts = tuple(tree(depth - 1) for _ in range(draw(st.integers(1, 3))))
        return Group(connector, parts, draw(st.booleans()))

    return tree(2)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    model = draw(st.sampled_from(sorted(MODELS)))
    calls = draw(
        st.lists(st.tuples(st.sampled_from(("filter", "exclude")), conditions(model)), min_size=1, max_size=2)
    )
    order = []
    for _ in range(draw(st.integers(0, 2))):
        path, end = draw(paths(model, 2))
        sortable = sorted(name for name, kind in MODELS[end].columns.items() if kind not in {"json", "array"})
        order.append((path, draw(st.sampled_from(sortable)), draw(st.booleans())))
    if not order:
        return Query(model, tuple(calls))
    return Query(
        model, tuple(calls), tuple(order), draw(st.integers(0, 3)), draw(st.none() | st.integers(0, 20))
    )
