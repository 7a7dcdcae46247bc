"""Parts of dates and times in SQL: what the lookups (`born__year`) and the functions (`ExtractYear`) share.

Points in time with a time zone are seen in a zone: the one that is given, else the session's TimeZone.
PostgreSQL docs: functions-datetime.
"""

from collections.abc import Callable
from datetime import timedelta, timezone, tzinfo
from typing import Any, Final

from hyperdjango.database.types import Interval
from hyperdjango.models._nodes import Node, Sql, condition
from hyperdjango.models._operand import Operand
from hyperdjango.models._sql import cast, enclosed
from hyperdjango.models._types import INTEGER
from hyperdjango.models._values import DATE, INTERVAL, PLAIN_TIMESTAMP, TIME, type_of_kind
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Value

# Django's name of a part: SQL's, and what is added to it.
PARTS: Final[dict[str, tuple[str, str]]] = {
    "year": ("year", ""),
    "iso_year": ("isoyear", ""),
    "quarter": ("quarter", ""),
    "month": ("month", ""),
    "week": ("week", ""),
    "week_day": ("dow", " + 1"),
    "iso_week_day": ("isodow", ""),
    "day": ("day", ""),
    "hour": ("hour", ""),
    "minute": ("minute", ""),
    "second": ("second", ""),
}
OF_DATES: Final = frozenset(PARTS) - {"hour", "minute", "second"}
OF_TIMES: Final = frozenset({"hour", "minute", "second"})
UNITS: Final = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
YEAR_MIN: Final = 1
YEAR_MAX: Final = 9999


def zone_value(zone: Any) -> Value | None:
    """Return a time zone as a value: its name, or its distance from UTC.

    Raises:
        FieldError: It is neither a name nor a tzinfo that has one.
    """
    if zone is None:
        return None
    if isinstance(zone, str):
        return Value(zone)
    if isinstance(zone, timezone):
        # In microseconds alone: a zone cannot be days away.
        offset = zone.utcoffset(None) // timedelta(microseconds=1)
        return Value(Interval(microseconds=offset), output_field=INTERVAL)
    key = getattr(zone, "key", None) or getattr(zone, "zone", None)
    if not isinstance(zone, tzinfo) or not isinstance(key, str):
        raise FieldError(f"tzinfo takes a name, a ZoneInfo or a timezone, not {zone!r}")
    return Value(key)


def is_zoned(node: Node) -> bool:
    """Whether it is a point in time: a timestamp with time zone."""
    return node.type is not None and node.type.kind == "timestamp" and "without" not in node.type.sql


def local(node: Node, zone: Node | None, said: str) -> Node:
    """The point in time as the clocks of a zone show it.

    Raises:
        FieldError: It has no time zone to be seen in another one.
    """
    if zone is None:
        return node
    if not is_zoned(node):
        raise FieldError(
            f"{said}: tzinfo is for timestamps with time zone, not {node.type and node.type.sql}"
        )
    return Sql("(", enclosed(node), " AT TIME ZONE ", zone, ")", type=PLAIN_TIMESTAMP)


def check_part(node: Node, part: str, said: str) -> None:
    """Refuse a part that values of the type do not have.

    Raises:
        FieldError: The text names the type.
    """
    kind = node.type.kind if node.type is not None else "other"
    if kind in {"timestamp", "interval", "other"}:
        return
    if (kind == "date" and part in OF_DATES) or (kind == "time" and part in OF_TIMES):
        return
    raise FieldError(f"{said}: {node.type and node.type.sql} has no {part}")


def extracted(node: Node, part: str) -> Node:
    """A part of a date or time, as an int."""
    word, added = PARTS[part]
    # Seconds have a fraction; Python's do not.
    seconds = part == "second"
    return Sql(
        "(floor(" if seconds else "(",
        f"extract({word} FROM ", node, ")", ")" if seconds else "", added, ")::integer",
        type=INTEGER,
        is_nullable=node.is_nullable,
    )  # fmt: skip


class YearPart(Sql):
    """A year, which is compared by the days that it begins and ends with: so an index of the column is used."""

    __slots__ = ("of", "start")

    def __init__(self, of: Node, made: Node, start: "Callable[[Node, int], Node]") -> None:
        super().__init__(made, type=INTEGER, is_nullable=of.is_nullable)
        self.of = of
        self.start = start

    def compare(self, name: str, operand: Operand) -> Node | None:
        """The comparison with a year that is a plain value; None for all others."""
        from hyperdjango.models._lookups_core import pair

        if operand.is_expression:
            return None
        if name == "range":
            lower, upper = (self._year(one) for one in pair(operand))
            return None if lower is None or upper is None else self._between(lower, upper)
        if name not in {"exact", "gt", "gte", "lt", "lte"}:
            return None
        year = self._year(operand)
        if year is None:
            return None
        if name == "exact":
            return self._between(year, year)
        word, offset = {"gt": (">=", 1), "gte": (">=", 0), "lt": ("<", 0), "lte": ("<", 1)}[name]
        return condition(self.of, f" {word} ", self.start(year, offset))

    def _between(self, lower: Node, upper: Node) -> Node:
        return condition(
            "(", self.of, " >= ", self.start(lower, 0), " AND ", self.of, " < ", self.start(upper, 1), ")"
        )

    def _year(self, operand: Operand) -> Node | None:
        if operand.is_expression:
            return None
        own = type_of_kind(operand.kind)
        if own is None or own.kind != "integer":
            raise operand.wrong("a year")
        return operand.node("integer", _checked_year)


def _checked_year(value: Any) -> Any:
    if not YEAR_MIN <= value <= YEAR_MAX:
        raise FieldError(f"{value} is no year: these are from {YEAR_MIN} to {YEAR_MAX}")
    return value


def year_of(node: Node) -> Node:
    """The year of a date or timestamp."""

    def start(year: Node, offset: int) -> Node:
        return _first_day(
            node, Sql("make_date(", year, f" + {offset}" if offset else "", ", 1, 1)", type=DATE)
        )

    return YearPart(node, extracted(node, "year"), start)


def iso_year_of(node: Node) -> Node:
    """The year that the ISO week belongs to."""

    def start(year: Node, offset: int) -> Node:
        # The first week is the one with the 4th of January.
        day = Sql("make_date(", year, f" + {offset}" if offset else "", ", 1, 4)", type=DATE)
        monday = Sql("date_trunc('week', ", day, "::timestamp)::date", type=DATE)
        return _first_day(node, monday)

    return YearPart(node, extracted(node, "iso_year"), start)


def _first_day(node: Node, day: Node) -> Node:
    if node.type is not None and node.type.kind == "timestamp":
        return cast(day, "timestamptz" if is_zoned(node) else "timestamp", node.type)
    return day


def truncated(node: Node, unit: str, zone: Node | None, said: str) -> Node:
    """The value with all that is smaller than a unit taken off, of the same type."""
    kind = node.type.kind if node.type is not None else "other"
    check_part(node, unit, said)
    if kind == "date":
        return Sql(f"date_trunc('{unit}', ", node, "::timestamp)::date", type=DATE)
    if kind == "time":
        return Sql(f"date_trunc('{unit}', ", node, "::interval)::time", type=TIME)
    if zone is None:
        return Sql(f"date_trunc('{unit}', ", node, ")", type=node.type)
    if zone.type is not None and zone.type.kind == "interval":
        shifted = local(node, zone, said)
        return Sql(f"(date_trunc('{unit}', ", shifted, ") AT TIME ZONE ", zone, ")", type=node.type)
    if not is_zoned(node):
        local(node, zone, said)
    return Sql(f"date_trunc('{unit}', ", node, ", ", zone, ")", type=node.type)


def as_date(node: Node) -> Node:
    """The day."""
    return node if node.type is not None and node.type.kind == "date" else cast(node, "date", DATE)


def as_time(node: Node) -> Node:
    """The time of day."""
    return node if node.type is not None and node.type.kind == "time" else cast(node, "time", TIME)
