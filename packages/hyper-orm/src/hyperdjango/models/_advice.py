"""Hints behind errors of the backend about what a model's statement needs and the database has not got.

A table that was never created, a column that was declared since, a function of an extension or of a newer server.
The driver asks for each wrong statement (`database._advice`); `_declare` calls `give` when it declares a model.
PostgreSQL docs: errcodes-appendix, "Class 42".
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hyperdjango.database._advice import advisers
from hyperdjango.database._running import innermost
from hyperdjango.models._registry import registry

if TYPE_CHECKING:
    from hyperdjango.database import DatabaseError
    from hyperdjango.models._meta import Table

UNDEFINED_TABLE: Final = "42P01"
UNDEFINED_COLUMN: Final = "42703"
UNDEFINED_FUNCTION: Final = "42883"
_NAME: Final = r'"((?:[^"]|"")*)"'
# What the statements of querysets have, as the Writer writes it.
_TABLE: Final = re.compile(rf"(?:{_NAME}\.)?{_NAME}")
_COLUMN: Final = re.compile(rf"(?:\w+\.)?{_NAME}")
_ANY_NAME: Final = re.compile(_NAME)
_FUNCTIONS: Final = (
    (re.compile(r"any_value\("), "AnyValue() needs PostgreSQL 16; Min() or ArrayAgg() do on any server."),
    (re.compile(r"unaccent\("), 'It is of an extension: CREATE EXTENSION "unaccent".'),
    (re.compile(r"\w*similarity\(|%|<->|<<->"), 'It is of an extension: CREATE EXTENSION "pg_trgm".'),
    (re.compile(r"digest\("), 'It is of an extension: CREATE EXTENSION "pgcrypto".'),
)


def advice(error: "DatabaseError") -> str | None:
    """Return what to do about an error, or None where nothing is known."""
    if error.query is None or error.position is None:
        return None
    at = error.query[error.position - 1 :]
    if error.sqlstate == UNDEFINED_TABLE:
        return _missing_table(at)
    if error.sqlstate == UNDEFINED_COLUMN:
        return _missing_column(at, error.query)
    if error.sqlstate == UNDEFINED_FUNCTION:
        return next((hint for pattern, hint in _FUNCTIONS if pattern.match(at)), None)
    return None


def _missing_table(at: str) -> str | None:
    found = _TABLE.match(at)
    if found is None:
        return None
    schema, name = (None if one is None else one.replace('""', '"') for one in found.groups())
    for table in _tables():
        if (table.schema, table.name) == (schema, name):
            # The table between two models is made with the one that has the relation.
            is_between = table.model._class_options.is_automatic
            between = next(iter(table.relations.values()), None) if is_between else None
            model = (between.target if between is not None else table.model).__name__
            return (
                f"It is the table of the model {model}{_elsewhere(table)}: "
                f"`await create_schema([{model}, …])` makes it; "
                "Meta.table and Meta.schema name another."
            )
    return None


def _elsewhere(table: "Table") -> str:
    """Say that the transaction around it is of another database than the model's."""
    running, own = innermost(), table.database
    if running is None or own is None:
        return ""
    aliases = [one.alias for one in (running if isinstance(running, tuple) else (running,))]
    if own in aliases:
        return ""
    there = " and ".join("a Database without an alias" if one is None else repr(one) for one in aliases)
    return (
        f", whose Meta.database is {own!r}. In a transaction of {there} its statements run there, unless "
        f"using({own!r}) says otherwise. Where it is to be there"
    )


def _missing_column(at: str, query: str) -> str | None:
    found = _COLUMN.match(at)
    if found is None:
        return None
    name = found[1].replace('""', '"')
    mentioned = {one.replace('""', '"') for one in _ANY_NAME.findall(query)}
    for table in _tables():
        for column in table.columns if table.name in mentioned else ():
            if column.column == name:
                where = f"{table.model.__name__}.{column.name}"
                return (
                    f"It is the column of {where}: create_schema() makes new tables and changes none; add the column, "
                    "or name another by Field(column=…)."
                )
    return None


def _tables() -> "Iterator[Table]":
    for model in registry:
        if not model._table.is_abstract:
            yield model._table


def give() -> None:
    """Have the driver ask here; again: no effect."""
    if advice not in advisers:
        advisers.append(advice)


__all__ = ["advice", "give"]
