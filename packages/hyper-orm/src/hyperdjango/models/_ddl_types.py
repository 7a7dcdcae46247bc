"""What tables stand on: schemas, extensions, enums and domains of some models.

PostgreSQL docs: sql-createtype, sql-createdomain.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models._literals import quoted
from hyperdjango.models._types import ColumnType, qualified
from hyperdjango.models.errors import ModelDeclarationError

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


def types_of(models: "Iterable[type[Model]]") -> Iterator[tuple[str, ColumnType]]:
    """Yield every type in the models' columns and where it is, those within arrays and domains before these."""
    for model in models:
        for column in model._table.columns:
            yield from ((f"{model.__name__}.{column.name}", one) for one in _within(column.type))


def _within(column_type: ColumnType) -> Iterator[ColumnType]:
    for inner in (column_type.element, column_type.base):
        if inner is not None:
            yield from _within(inner)
    yield column_type


def schema_statements(models: "list[type[Model]]") -> list[str]:
    """Return CREATE SCHEMA and CREATE EXTENSION, of those that are not there."""
    schemas = {model._table.schema for model in models}
    extensions: set[str] = set()
    for _, column_type in types_of(models):
        if column_type.enum_name is not None:
            schemas.add(column_type.enum_name.schema)
        if column_type.domain is not None and column_type.domain.check is not None:
            schemas.add(column_type.domain.schema)
        if column_type.extension is not None:
            extensions.add(column_type.extension)
    named = sorted(schema for schema in schemas if schema is not None)
    return [f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(name)}" for name in named] + [
        f"CREATE EXTENSION IF NOT EXISTS {quote_identifier(name)}" for name in sorted(extensions)
    ]


def made_types(models: "Iterable[type[Model]]") -> dict[str, tuple[str, str]]:
    """Return the types that the models bring along: name to "TYPE" or "DOMAIN" and what creates it.

    Raises:
        ModelDeclarationError: Two of the same name are not the same.
    """
    made: dict[str, tuple[str, str]] = {}
    first: dict[str, str] = {}
    for where, column_type in types_of(models):
        one = _statement(column_type)
        if one is None:
            continue
        known = made.setdefault(column_type.sql, one)
        if known != one:
            raise ModelDeclarationError(
                f"{where} and {first[column_type.sql]} have different types of the same name {column_type.sql};"
                f" name one of them by EnumName or Domain"
            )
        first.setdefault(column_type.sql, where)
    return made


def refuse_equal_names(models: "Iterable[type[Model]]") -> None:
    """Refuse a type and a table of one name: every table has a type of its name."""
    models = list(models)
    made = made_types(models)
    for model in models:
        table = model._table
        if qualified(table.schema, table.name) in made:
            raise ModelDeclarationError(
                f"the table of {model.__name__} and a type are both called {table.name!r}: name the type by EnumName or"
                f" Domain, or the table by class Meta: table"
            )


def _statement(column_type: ColumnType) -> tuple[str, str] | None:
    if column_type.domain is not None:
        if column_type.domain.check is None or column_type.base is None:
            return None  # it is there already
        base = column_type.base
        collation = f" COLLATE {quote_identifier(base.collation)}" if base.collation else ""
        check = f"CHECK ({column_type.domain.check})"
        return "DOMAIN", f"CREATE DOMAIN {column_type.sql} AS {base.sql}{collation} {check}"
    if column_type.enum is not None:
        labels = ", ".join(quoted(member.value) for member in column_type.enum)
        return "TYPE", f"CREATE TYPE {column_type.sql} AS ENUM ({labels})"
    return None
