"""Date and time functions, under Django's names.

Without `tzinfo` a timestamp with time zone is seen in the session's TimeZone.

Django docs: ref/models/database-functions, "Date functions". PostgreSQL docs: functions-datetime.
"""

from typing import Any, ClassVar

from hyperdjango.models._dates import (
    PARTS,
    UNITS,
    as_date,
    as_time,
    check_part,
    extracted,
    iso_year_of,
    local,
    truncated,
    year_of,
    zone_value,
)
from hyperdjango.models._func import Function
from hyperdjango.models._nearest import nearest
from hyperdjango.models._nodes import Node
from hyperdjango.models._sql import call
from hyperdjango.models._values import TIMESTAMP
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import as_expression


class _InZone(Function):
    """A function of a point in time, seen in a zone."""

    __slots__ = ()

    def _fill_zoned(
        self, expression: object, options: tuple[Any, ...], tzinfo: Any, output_field: Any
    ) -> None:
        zone = zone_value(tzinfo)
        sources = (as_expression(expression),) + (() if zone is None else (zone,))
        self._fill(sources, options, output_field)


class Extract(_InZone):
    """A part of a date or time, as an int.

    Args:
        expression: A date, time, timestamp or interval.
        lookup_name: `year`, `iso_year`, `quarter`, `month`, `week`, `week_day` (1 is Sunday), `iso_week_day` (1 is
            Monday), `day`, `hour`, `minute`, `second`.
        tzinfo: The zone a point in time is seen in: a name, a ZoneInfo or a timezone.
    """

    __slots__ = ()

    lookup_name: ClassVar[str | None] = None

    def __init__(
        self, expression: object, lookup_name: str | None = None, tzinfo: Any = None, output_field: Any = None
    ) -> None:
        part = self.lookup_name or lookup_name
        if part not in PARTS:
            raise FieldError(f"Extract() has no part {part!r}{nearest(str(part), PARTS)}")
        self._fill_zoned(expression, (part,), tzinfo, output_field)

    def build(self, nodes: list[Node]) -> Node:
        (part,) = self.options
        node = local(nodes[0], nodes[1] if len(nodes) > 1 else None, repr(self))
        check_part(node, part, repr(self))
        if (
            len(nodes) == 1
            and part in {"year", "iso_year"}
            and node.type is not None
            and node.type.kind != "interval"
        ):
            return year_of(node) if part == "year" else iso_year_of(node)
        return extracted(node, part)


class ExtractYear(Extract):
    """The year."""

    __slots__ = ()
    lookup_name = "year"


class ExtractIsoYear(Extract):
    """The year that its ISO week belongs to."""

    __slots__ = ()
    lookup_name = "iso_year"


class ExtractQuarter(Extract):
    """The quarter, from 1 to 4."""

    __slots__ = ()
    lookup_name = "quarter"


class ExtractMonth(Extract):
    """The month, from 1 to 12."""

    __slots__ = ()
    lookup_name = "month"


class ExtractWeek(Extract):
    """The ISO week, from 1 to 53."""

    __slots__ = ()
    lookup_name = "week"


class ExtractWeekDay(Extract):
    """The day of the week, from 1, Sunday, to 7."""

    __slots__ = ()
    lookup_name = "week_day"


class ExtractIsoWeekDay(Extract):
    """The day of the week, from 1, Monday, to 7."""

    __slots__ = ()
    lookup_name = "iso_week_day"


class ExtractDay(Extract):
    """The day of the month."""

    __slots__ = ()
    lookup_name = "day"


class ExtractHour(Extract):
    """The hour."""

    __slots__ = ()
    lookup_name = "hour"


class ExtractMinute(Extract):
    """The minute."""

    __slots__ = ()
    lookup_name = "minute"


class ExtractSecond(Extract):
    """The second, without its fraction."""

    __slots__ = ()
    lookup_name = "second"


class Trunc(_InZone):
    """A date or time with all that is smaller than a unit taken off, of the same type.

    Args:
        expression: A date, time or timestamp.
        kind: `year`, `quarter`, `month`, `week`, `day`, `hour`, `minute`, `second`; `date` and `time` take that part.
        output_field: An annotation: what it is cast to, such as `date`.
        tzinfo: The zone a point in time is seen in: a name, a ZoneInfo or a timezone.
    """

    __slots__ = ()

    kind: ClassVar[str | None] = None

    def __init__(
        self, expression: object, kind: str | None = None, output_field: Any = None, tzinfo: Any = None
    ) -> None:
        unit = self.kind or kind
        if unit not in {*UNITS, "date", "time"}:
            raise FieldError(f"Trunc() has no unit {unit!r}{nearest(str(unit), [*UNITS, 'date', 'time'])}")
        self._fill_zoned(expression, (unit,), tzinfo, output_field)

    def build(self, nodes: list[Node]) -> Node:
        (unit,) = self.options
        zone = nodes[1] if len(nodes) > 1 else None
        if unit in {"date", "time"}:
            shown = local(nodes[0], zone, repr(self))
            return as_date(shown) if unit == "date" else as_time(shown)
        return truncated(nodes[0], unit, zone, repr(self))


class _OfUnit(Trunc):
    __slots__ = ()

    def __init__(self, expression: object, output_field: Any = None, tzinfo: Any = None) -> None:
        super().__init__(expression, None, output_field, tzinfo)


class TruncYear(_OfUnit):
    """The first moment of the year."""

    __slots__ = ()
    kind = "year"


class TruncQuarter(_OfUnit):
    """The first moment of the quarter."""

    __slots__ = ()
    kind = "quarter"


class TruncMonth(_OfUnit):
    """The first moment of the month."""

    __slots__ = ()
    kind = "month"


class TruncWeek(_OfUnit):
    """The first moment of the week: of its Monday."""

    __slots__ = ()
    kind = "week"


class TruncDay(_OfUnit):
    """The first moment of the day."""

    __slots__ = ()
    kind = "day"


class TruncHour(_OfUnit):
    """The first moment of the hour."""

    __slots__ = ()
    kind = "hour"


class TruncMinute(_OfUnit):
    """The first moment of the minute."""

    __slots__ = ()
    kind = "minute"


class TruncSecond(_OfUnit):
    """The first moment of the second."""

    __slots__ = ()
    kind = "second"


class TruncDate(_OfUnit):
    """The day, as a date."""

    __slots__ = ()
    kind = "date"


class TruncTime(_OfUnit):
    """The time of day."""

    __slots__ = ()
    kind = "time"


class Now(Function):
    """When the statement began."""

    __slots__ = ()
    arity = 0

    def build(self, nodes: list[Node]) -> Node:
        return call("statement_timestamp", type_=TIMESTAMP, is_nullable=False)


class TransactionNow(Function):
    """When the transaction began."""

    __slots__ = ()
    arity = 0

    def build(self, nodes: list[Node]) -> Node:
        return call("transaction_timestamp", type_=TIMESTAMP, is_nullable=False)
