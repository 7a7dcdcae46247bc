"""QuerySet: a query that is put together by method calls and runs when it is awaited.

Every method returns a new queryset and leaves the old one as it is. Names and meanings are Django's; where they
differ, docs/orm/differences.md says so. Django docs: ref/models/querysets.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

from hyperdjango.models import _common_table, _fetching, _scoping, _steps
from hyperdjango.models._chain import M_co, R_co
from hyperdjango.models._misuse import Misuse
from hyperdjango.models._reading import Reading
from hyperdjango.models._shapes import shape
from hyperdjango.models._writing import Writing
from hyperdjango.models.errors import FieldError
from hyperdjango.models.functions import Trunc
from hyperdjango.models.query_words import conditions

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._filtered_relation import FilteredRelation
    from hyperdjango.models.expressions import Expression
    from hyperdjango.models.query_words import Q

DateKind = Literal["year", "quarter", "month", "week", "day"]
LOCK_WAITS = {(False, False): "", (True, False): " NOWAIT", (False, True): " SKIP LOCKED"}


class QuerySet(Writing[M_co, R_co], Reading[M_co, R_co], Misuse):
    """Rows of a model.

    `await queryset` gives them as a list, `async for` as they come. Nothing is cached: a second await asks again.
    """

    __slots__ = ()

    def all(self) -> Self:
        """The same rows."""
        return self._clone()

    def none(self) -> Self:
        """No rows, without asking the database anything that matters."""
        return self._then("none", (), lambda state, _: state.evolve(is_empty=True))

    def using(self, database: "str | Database") -> Self:
        """The same rows of another database: an alias, or a Database."""
        new = self._clone()
        new._using = database
        return new

    def filter(self, *args: "Q | Expression", **lookups: Any) -> Self:
        """The rows for which all conditions are true.

        Args:
            args: Qs and boolean expressions, such as `Book.c.price > 10`.
            lookups: `name__lookup=value`; `__` also goes through relations. docs/orm/lookups.md lists them.
        Raises:
            FieldError: A name or lookup is not known, or a value does not fit; the text names the nearest.
        """
        try:
            key, params = conditions(args, lookups)
        except FieldError as error:  # of a value alone, which knows no model
            raise FieldError(f"{self._state.model.__name__}: {error}") from None
        return self._then(
            ("filter", key),
            params,
            lambda state, cursor: _steps.filtered(state, cursor, args, lookups, negate=False),
        )

    def exclude(self, *args: "Q | Expression", **lookups: Any) -> Self:
        """The rows for which the conditions are not all true; those where they are NULL stay."""
        try:
            key, params = conditions(args, lookups)
        except FieldError as error:  # of a value alone, which knows no model
            raise FieldError(f"{self._state.model.__name__}: {error}") from None
        return self._then(
            ("exclude", key),
            params,
            lambda state, cursor: _steps.filtered(state, cursor, args, lookups, negate=True),
        )

    def annotate(self, *args: "Expression", **expressions: "Expression | Q | FilteredRelation") -> Self:
        """Add values to each row: attributes of instances, columns of values().

        Behind values(), an aggregate groups the rows by what was named there. An aggregate over a relation to
        many is a subquery of its own, so that several never multiply each other.
        """
        return self._annotated(args, expressions, is_selected=True)

    def alias(self, *args: "Expression", **expressions: "Expression | Q | FilteredRelation") -> Self:
        """As annotate, for use in later calls only: the values are not fetched."""
        return self._annotated(args, expressions, is_selected=False)

    def _annotated(self, args: tuple[Any, ...], expressions: dict[str, Any], *, is_selected: bool) -> Self:
        named = _steps.with_names(args, expressions)
        key, params = _steps.named_shape(named)
        return self._then(
            ("annotate", is_selected, key),
            params,
            lambda state, cursor: _steps.annotated(state, cursor, named, is_selected=is_selected),
        )

    def order_by(self, *keys: "str | Expression") -> Self:
        """Order the rows: names, `-name` for descending, `?` for random, expressions. Without keys: no order."""
        shapes = [shape(key) if not isinstance(key, str) else (key, ()) for key in keys]
        params: tuple[Any, ...] = sum((values for _, values in shapes), ())
        return self._then(
            ("order_by", tuple(kind for kind, _ in shapes)),
            params,
            lambda state, cursor: _steps.ordered(state, cursor, keys),
        )

    def reverse(self) -> Self:
        """The same order, read backwards."""
        return self._then("reverse", (), lambda state, _: _steps.reversed_order(state))

    def distinct(self, *names: str) -> Self:
        """Only different rows; with names, the first row of each combination of their values."""
        return self._then(
            ("distinct", names), (), lambda state, cursor: _steps.made_distinct(state, cursor, names)
        )

    def values(
        self, *names: "str | Expression", **expressions: "Expression"
    ) -> "QuerySet[M_co, dict[str, Any]]":
        """Rows as dicts of the named values; of all columns without names."""
        return self._valued(names, expressions, "dict")  # type: ignore[return-value]  # R_co is in no attribute

    @overload
    def values_list(
        self, *names: "str | Expression", flat: Literal[True], named: Literal[False] = ...
    ) -> "QuerySet[M_co, Any]": ...
    @overload
    def values_list(
        self, *names: "str | Expression", flat: Literal[False] = ..., named: bool = ...
    ) -> "QuerySet[M_co, tuple[Any, ...]]": ...
    def values_list(
        self, *names: "str | Expression", flat: bool = False, named: bool = False
    ) -> "QuerySet[M_co, Any]":
        """Rows as tuples; with `flat` the only value itself, with `named` as named tuples."""
        if flat and named:
            raise FieldError("values_list(): flat and named exclude each other")
        return self._valued(names, {}, "flat" if flat else "named" if named else "tuple")

    def _valued(self, names: tuple[Any, ...], expressions: dict[str, Any], mode: str) -> Self:
        shapes = [shape(name) if not isinstance(name, str) else (name, ()) for name in names]
        key, params = _steps.named_shape(expressions)
        # In the order in which they are resolved.
        values: tuple[Any, ...] = params + sum((given for _, given in shapes), ())
        return self._then(
            ("values", mode, tuple(kind for kind, _ in shapes), key),
            values,
            lambda state, cursor: _steps.valued(state, cursor, names, expressions, mode),
        )

    def select_related(self, *names: str | None) -> Self:
        """Fetch the rows at the other end of relations to one in the same statement, by a join.

        Args:
            names: Relations; `__` goes on from there. Without any: all that are never NULL. None alone forgets
                what was asked for before.
        """
        if names == (None,):
            return self._then(("select_related", None), (), lambda state, _: state.evolve(related={}))
        if not names:
            return self._then("select_related", (), lambda state, _: _fetching.every_related(state))
        return self._then(("select_related", names), (), lambda state, _: _fetching.related(state, names))

    def dates(
        self, field_name: str, kind: DateKind, order: Literal["ASC", "DESC"] = "ASC"
    ) -> "QuerySet[M_co, date]":
        """The different dates of a field, cut to years, quarters, months, weeks or days, in order."""
        found: QuerySet[M_co, date] = self._cut(field_name, kind, order, date)
        return found

    def datetimes(
        self,
        field_name: str,
        kind: DateKind | Literal["hour", "minute", "second"],
        order: Literal["ASC", "DESC"] = "ASC",
        tzinfo: Any = None,
    ) -> "QuerySet[M_co, datetime]":
        """The different points in time of a field, cut to a unit as seen in `tzinfo`, in order."""
        found: QuerySet[M_co, datetime] = self._cut(field_name, kind, order, None, tzinfo=tzinfo)
        return found

    def _cut(self, field_name: str, kind: str, order: str, output: Any, **zone: Any) -> Any:
        if order not in {"ASC", "DESC"}:
            raise FieldError(f"order is 'ASC' or 'DESC', not {order!r}")
        cut = Trunc(field_name, kind, output_field=output, **zone)
        key = cut.asc() if order == "ASC" else cut.desc()
        rows = self.filter(**{f"{field_name}__isnull": False}).order_by(key)
        return rows.values_list(cut, flat=True).distinct()

    def prefetch_related(self, *lookups: Any) -> Self:
        """Fetch related rows of all instances with one more statement for each relation.

        Args:
            lookups: Relations, `__` goes on from there; `Prefetch` objects for a queryset of one's own; None forgets
                what was asked for before.
        """
        from hyperdjango.models._prefetch import checked

        new = self._clone()
        if lookups == (None,):
            new._prefetches = ()
        else:
            new._prefetches = checked(self._state, lookups, self._prefetches)
        return new

    def defer(self, *names: str) -> Self:
        """Do not fetch these columns: reading them raises NotLoaded."""
        return self._then(
            ("defer", names), (), lambda state, _: _fetching.fetched_only(state, names, defer=True)
        )

    def only(self, *names: str) -> Self:
        """Fetch these columns, and the key, alone."""
        return self._then(
            ("only", names), (), lambda state, _: _fetching.fetched_only(state, names, defer=False)
        )

    def select_for_update(
        self,
        *,
        nowait: bool = False,
        skip_locked: bool = False,
        of: str | tuple[str, ...] = (),
        no_key: bool = False,
    ) -> Self:
        """Lock the rows until the transaction ends.

        Args:
            nowait: Raise an error rather than wait for another transaction.
            skip_locked: Leave out rows that another transaction has locked.
            of: Relations of select_related() whose rows are locked as well; "self" for the row itself.
            no_key: FOR NO KEY UPDATE, which lets others refer to the row.
        """
        if nowait and skip_locked:
            raise FieldError("select_for_update(): nowait and skip_locked exclude each other")
        words = f"FOR {'NO KEY ' if no_key else ''}UPDATE"
        words = f"{words}|{LOCK_WAITS[nowait, skip_locked]}"
        names = (of,) if isinstance(of, str) else tuple(of)
        return self._then(("lock", words, names), (), lambda state, _: _steps.locked(state, words, names))

    def union(self, *others: "QuerySet[Any, Any]", all: bool = False) -> Self:
        """The rows of all these querysets; each once, unless `all`."""
        return self._combined("UNION ALL" if all else "UNION", others)

    def intersection(self, *others: "QuerySet[Any, Any]") -> Self:
        """The rows that all these querysets have."""
        return self._combined("INTERSECT", others)

    def difference(self, *others: "QuerySet[Any, Any]") -> Self:
        """The rows that none of the others has."""
        return self._combined("EXCEPT", others)

    def _combined(self, word: str, others: "tuple[QuerySet[Any, Any], ...]") -> Self:
        for given in cast("tuple[object, ...]", others):
            if not isinstance(given, QuerySet):
                raise FieldError(f"{word.lower()} takes querysets, not {type(given).__name__}")
        if not others:
            return self._clone()
        states = tuple(other._state for other in others)
        params: tuple[Any, ...] = sum((other._params for other in others), ())
        return self._then(
            ("combined", word, states),
            params,
            lambda state, cursor: _steps.combined(state, cursor, states, word),
        )

    def limit(self, count: int) -> Self:
        """At most so many rows: as `[:count]`."""
        return self[:count]

    def offset(self, count: int) -> Self:
        """Without the first rows: as `[count:]`."""
        return self[count:]

    def with_cte(
        self,
        name: str,
        queryset: "QuerySet[Any, Any]",
        *,
        on: Mapping[str, str] | None = None,
        recursive: "QuerySet[Any, Any] | None" = None,
    ) -> Self:
        """Put a queryset of values in front as a common table, and join it: `name__column` is a name from then on.

        Args:
            name: Of the common table.
            queryset: Its rows: values(), aggregates, whatever gives named columns.
            on: Names of this queryset to columns of the common table: rows belong together where they are equal. What
                has no counterpart has NULLs. Without it each row has all rows: for a common table of one.
            recursive: The rows that follow from those there are, as long as there are new ones: a queryset that has
                the same common table by with_cte() itself, and gives the same values. Rows that were there already
                are left out.
        """
        for given in cast("list[object]", [queryset, *([] if recursive is None else [recursive])]):
            if not isinstance(given, QuerySet):
                raise FieldError(f"with_cte() takes a queryset, not {type(given).__name__}")
        state, pairs = queryset._state, dict(on or {})
        step = None if recursive is None else recursive._state
        return self._then(
            ("with_cte", name, state, tuple(pairs.items()), step),
            queryset._params if recursive is None else queryset._params + recursive._params,
            lambda one, cursor: _common_table.with_common_table(one, cursor, name, state, pairs, step),
        )

    def returning(self, *names: "str | Expression") -> Self:
        """Have update() and delete() give the rows they changed: dicts of these values, or instances without names."""
        shapes = [shape(name) if not isinstance(name, str) else (name, ()) for name in names]
        params: tuple[Any, ...] = sum((values for _, values in shapes), ())
        return self._then(
            ("returning", tuple(kind for kind, _ in shapes)),
            params,
            lambda state, cursor: _steps.returned(state, cursor, names),
        )

    def fetch_mode(self, mode: str) -> Self:
        """What `load()` fetches: `PEERS` of the same result, `ONE` instance, or `RAISE`."""
        from hyperdjango.models._loading import fetch_mode_of

        new = self._clone()
        new._fetch_mode = fetch_mode_of(mode)
        return new

    def unscoped(self, *names: str) -> Self:
        """Without Meta.global_filters, or without those of these names.

        Raises:
            FieldError: The model has no filter of a name.
        """
        return self._then(("unscoped", names), (), lambda state, _: _scoping.unscoped(state, names))

    def __getitem__(self, item: "slice[Any, Any, Any]") -> Self:
        at = cast("Any", item)
        if not isinstance(at, slice):
            if type(at) is not int or at < 0:
                raise TypeError(f"a queryset is sliced: queryset[2:5]; [{at!r}] is nothing of it")
            raise TypeError(
                f"{type(self).__name__}[{at}] would need I/O; await queryset[{at}:{at + 1}], first(), or the list"
            )
        start, stop = item.start or 0, item.stop
        if item.step is not None:
            raise TypeError("a queryset is sliced without a step")
        if type(start) is not int or (stop is not None and type(stop) is not int):
            raise TypeError(f"a queryset is sliced by ints, not [{item.start!r}:{item.stop!r}]")
        if start < 0 or (stop is not None and stop < 0):
            raise ValueError("a queryset is not sliced from its end; use reverse()")
        return self._sliced(start, stop)

    def _sliced(self, start: int, stop: int | None) -> Self:
        """LIMIT and OFFSET within those there are."""
        state = self._state
        low, high = 0, None
        if state.offset is not None:
            low = self._params[state.offset]
        if state.limit is not None:
            high = low + self._params[state.limit]
        new_low = low + start
        new_high = high if stop is None else low + stop if high is None else min(high, low + stop)
        count = None if new_high is None else max(0, new_high - new_low)
        base = self
        if state.is_sliced:
            base = self._then("unsliced", (), lambda one, _: one.evolve(limit=None, offset=None))
        params = tuple(value for value in (count, new_low or None) if value is not None)
        has_limit, has_offset = count is not None, new_low > 0
        return base._then(
            ("slice", has_limit, has_offset),
            params,
            lambda one, cursor: _steps.sliced(one, cursor, has_limit=has_limit, has_offset=has_offset),
        )

    def __and__(self, other: "QuerySet[Any, Any]") -> Self:
        raise TypeError("querysets are not combined by &: filter(Q(…) & Q(…)), or intersection()")

    def __or__(self, other: "QuerySet[Any, Any]") -> Self:
        raise TypeError("querysets are not combined by |: filter(Q(…) | Q(…)), or union()")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._state.model.__name__}: await it>"
