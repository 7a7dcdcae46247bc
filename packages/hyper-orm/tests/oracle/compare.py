"""Compares rows: values brought into one form, rows as multisets, or in order where the query gives one."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from django.db.models import Model as DjangoModel
from hyperdjango.database import Range
from psycopg.types.range import Range as PsycopgRange

from oracle.sides import Side

Query = Callable[[Side], Any]
Queries = Mapping[str, "Query | Case"]


@dataclass(frozen=True)
class Case:
    """A query for both sides.

    Attributes:
        ours: For our side, and Django's where that has no own.
        theirs: For Django's, where the two deliberately differ.
        shape: What of a result's row is compared, instead of the key of instances and all of other rows.
        is_ordered: The query orders its rows completely, so their order is compared too.
        is_empty: No rows are right.
        departs: The row of the table in docs/orm/differences.md that the case stands for.
    """

    ours: Query
    theirs: Query | None = None
    shape: Callable[[Side, Any], Any] | None = None
    is_ordered: bool = False
    is_empty: bool = False
    departs: str | None = None


def ordered(query: Query, **more: Any) -> Case:
    return Case(query, is_ordered=True, **more)


def shaped(query: Query, shape: Callable[[Side, Any], Any], **more: Any) -> Case:
    return Case(query, shape=shape, **more)


def empty(query: Query, **more: Any) -> Case:
    return Case(query, is_empty=True, **more)


def departs(row: str, query: Query, theirs: Query | None = None, **more: Any) -> Case:
    return Case(query, theirs, departs=row, **more)


def case(found: "Query | Case") -> Case:
    return found if isinstance(found, Case) else Case(found)


def table(*tables: Queries) -> list[Any]:
    """The parameters of a test over tables of cases."""
    import pytest

    return [pytest.param(case(found), id=name) for one in tables for name, found in one.items()]


def plain(value: Any) -> Any:
    """A value in the form that both sides' equal values have in common. Kinds of numbers stay apart."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime):
        # Each side has its own object for UTC.
        return ("moment", value.astimezone(UTC).isoformat())
    if isinstance(value, Decimal):
        return ("decimal", str(value.normalize() + 0))
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else f"{value:.10g}")
    if isinstance(value, PsycopgRange):
        return (
            ("range",) if value.isempty else ("range", plain(value.lower), plain(value.upper), value.bounds)
        )
    if isinstance(value, Range):
        return (
            ("range",) if value.isempty else ("range", plain(value.lower), plain(value.upper), value.bounds)
        )
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def key(side: Side, row: Any) -> Any:
    """What of a row is compared unless the case says otherwise."""
    if isinstance(row, DjangoModel):
        return row.pk
    if side.is_ours and isinstance(row, side.Model):
        columns = type(row)._table.primary_key
        values = tuple(getattr(row, column.name) for column in columns)
        return values[0] if len(values) == 1 else values
    return row


def columns(side: Side, row: Any) -> dict[str, Any]:
    """All the columns of an instance."""
    if side.is_ours:
        return {column.name: getattr(row, column.name) for column in type(row)._table.columns}
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if field.column}


def rows(side: Side, case: Case) -> Any:
    """Run a case on one side and bring what it gives into the common form."""
    query = case.ours if side.is_ours or case.theirs is None else case.theirs
    found = side.run(query)
    shape = case.shape or key
    if isinstance(found, Sequence) and not isinstance(found, (str, bytes)) and type(found) in (list, tuple):
        made = [repr(plain(shape(side, row))) for row in found]
        return made if case.is_ordered else Counter(made)
    if isinstance(found, dict):
        return {repr(name): repr(plain(shape(side, value))) for name, value in found.items()}
    return repr(plain(shape(side, found)))


def row_set(side: Side, found: Any) -> Any:
    """Rows, or a value, without their order."""
    if isinstance(found, list):
        return Counter(repr(plain(key(side, row))) for row in found)
    return found
