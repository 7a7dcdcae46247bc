"""CREATE INDEX, for what Meta declares, for `Field(index=True)` and for foreign keys.

PostgreSQL docs: sql-createindex.
"""

import re
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models._ddl_expressions import expression_sql
from hyperdjango.models._ddl_names import columns_sql, derived, fields_of, table_sql
from hyperdjango.models._literals import literal
from hyperdjango.models._meta import Column
from hyperdjango.models.constraints import UniqueConstraint
from hyperdjango.models.errors import ModelDeclarationError
from hyperdjango.models.expressions import Expression, OrderBy
from hyperdjango.models.indexes import Index, SqlText

if TYPE_CHECKING:
    from hyperdjango.models.model import Model

_PARAMETER: Final = re.compile(r"[a-z_][a-z0-9_.]*")


def index_statements(model: "type[Model]") -> list[str]:
    """Return CREATE INDEX for every index of a model's table.

    Raises:
        ModelDeclarationError: Two have the same name, or Meta.indexes holds something else.
    """
    table = model._table
    statements: dict[str, str] = {}
    covered: list[tuple[Column, ...]] = [table.primary_key]
    covered += [(column,) for column in table.columns if column.is_unique]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            if constraint.is_index:
                _add(model, statements, constraint.name, *_unique_index(model, constraint))
            else:
                covered.append(_plain_columns(model, constraint.fields))
    for index in table.indexes:
        if not isinstance(index, Index):
            raise ModelDeclarationError(
                f"{model.__name__}.Meta.indexes holds {type(index).__name__}; it takes Index(…)"
            )
        _add(model, statements, index.name, *_index(model, index, is_unique=index.unique))
        if index.where is None and index.method == "btree":
            covered.append(_plain_columns(model, index.fields))
    for columns in _wanted(model):
        if not any(known[: len(columns)] == columns for known in covered):
            name = derived(table, [column.column for column in columns], "idx")
            sql = f"CREATE INDEX {quote_identifier(name)} ON {table_sql(table)} ({columns_sql(columns)})"
            _add(model, statements, name, name, sql)
            covered.append(columns)
    return list(statements.values())


def _add(model: "type[Model]", statements: dict[str, str], given: str | None, name: str, sql: str) -> None:
    if name in statements:
        advice = "names must differ" if given else "give one of them a name"
        raise ModelDeclarationError(f"{model.__name__} has two indexes of the name {name!r}: {advice}")
    statements[name] = sql


def _wanted(model: "type[Model]") -> list[tuple[Column, ...]]:
    """Return the columns of foreign keys, which are looked for when their target's row goes, and those marked."""
    table = model._table
    wanted = [
        relation.keys
        for relation in table.relations.values()
        if relation.is_forward and relation.field.index is not False and not relation.is_unique
    ]
    return wanted + [(column,) for column in table.columns if column.is_indexed and column.relation is None]


def _plain_columns(model: "type[Model]", fields: tuple[Any, ...]) -> tuple[Column, ...]:
    """Return the columns at the beginning of an index, as far as they are plain."""
    columns: list[Column] = []
    for field in fields:
        if type(field) is not str:
            break
        columns.extend(fields_of(model._table, field.removeprefix("-")))
    return tuple(columns)


def _unique_index(model: "type[Model]", constraint: UniqueConstraint) -> tuple[str, str]:
    index = Index(
        *constraint.fields,
        name=constraint.name,
        where=constraint.where,
        include=constraint.include,
        opclasses=constraint.opclasses,
        nulls_distinct=constraint.nulls_distinct,
    )
    return _index(model, index, is_unique=True)


def _index(model: "type[Model]", index: Index, *, is_unique: bool) -> tuple[str, str]:
    """Return the name and the statement of an index."""
    table = model._table
    keys: list[str] = []
    words: list[str] = []
    for field, opclass in zip(index.fields, index.opclasses, strict=True):
        for text, word, suffix in key_parts(model, field):
            keys.append(text + (f" {operator_class(opclass)}" if opclass else "") + suffix)
            words.append(word)
    name = index.name or derived(table, words, "key" if is_unique else "idx")
    method = "" if index.method == "btree" else f" USING {quote_identifier(index.method)}"
    sql = (
        f"CREATE {'UNIQUE ' if is_unique else ''}INDEX {quote_identifier(name)} ON {table_sql(table)}{method}"
        f" ({', '.join(keys)})"
    )
    if index.include:
        included = [column for field in index.include for column in fields_of(table, field)]
        sql += f" INCLUDE ({columns_sql(included)})"
    if not index.nulls_distinct:
        sql += " NULLS NOT DISTINCT"
    if index.parameters:
        sql += f" WITH ({', '.join(_parameter(*one) for one in index.parameters.items())})"
    if index.where is not None:
        sql += f" WHERE {expression_sql(model, index.where)}"
    return name, sql


def key_parts(model: "type[Model]", field: Any) -> list[tuple[str, str, str]]:
    """Return one or more keys of an index: the SQL, a word for the index's name, and the order behind it."""
    if isinstance(field, SqlText):
        return [(f"({field})", "expr", "")]
    if isinstance(field, str):
        suffix = " DESC" if field.startswith("-") else ""
        columns = fields_of(model._table, field.removeprefix("-"))
        return [(quote_identifier(column.column), column.column, suffix) for column in columns]
    if isinstance(field, OrderBy):
        return [(f"({expression_sql(model, field)})", "expr", field.suffix())]
    if isinstance(field, Expression):
        return [(f"({expression_sql(model, field)})", "expr", "")]
    raise ModelDeclarationError(
        f"{model.__name__}: an index is of fields by name, expressions or SqlText, not of {type(field).__name__}"
    )


def operator_class(name: str) -> str:
    """Return an operator class's name, quoted; it may have a schema."""
    return ".".join(quote_identifier(part) for part in name.split("."))


def _parameter(name: str, value: Any) -> str:
    if not _PARAMETER.fullmatch(name):
        raise ModelDeclarationError(f"{name!r} is no storage parameter")
    return f"{name} = {literal(value)}"
