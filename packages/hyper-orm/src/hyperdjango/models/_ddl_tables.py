"""CREATE TABLE: columns and constraints of one model.

PostgreSQL docs: sql-createtable.
"""

from typing import TYPE_CHECKING

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models._ddl_checks import check_sql
from hyperdjango.models._ddl_expressions import default_sql, expression_sql
from hyperdjango.models._ddl_indexes import key_parts
from hyperdjango.models._ddl_names import columns_sql, derived, fields_of, table_sql
from hyperdjango.models._literals import quoted
from hyperdjango.models._meta import Column, OnDelete, Relation
from hyperdjango.models.constraints import CheckConstraint, Constraint, ExclusionConstraint, UniqueConstraint
from hyperdjango.models.errors import ModelDeclarationError

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


def table_statement(model: "type[Model]", foreign_keys: list[Relation]) -> str:
    """Return CREATE TABLE, with those foreign keys whose targets are there already."""
    parts = [_column(model, column) for column in model._table.columns]
    parts += constraint_parts(model)
    parts += [foreign_key(relation) for relation in foreign_keys]
    lines = ",\n    ".join(parts)
    return f"CREATE TABLE {table_sql(model._table)} (\n    {lines}\n)"


def _column(model: "type[Model]", column: Column) -> str:
    words = [quote_identifier(column.column), column.type.sql]
    if column.type.collation is not None:
        words.append(f"COLLATE {quote_identifier(column.type.collation)}")
    if column.generated is not None:
        words.append(f"GENERATED ALWAYS AS ({expression_sql(model, column.generated)}) STORED")
    elif column.identity is not None:
        words.append(f"GENERATED {column.identity} AS IDENTITY")
    elif column.db_default is not None:
        words.append(f"DEFAULT {default_sql(model, column.db_default)}")
    if not column.is_nullable:
        words.append("NOT NULL")
    return " ".join(words)


def constraint_parts(model: "type[Model]") -> list[str]:
    """Return the table's constraints but for its foreign keys.

    Raises:
        ModelDeclarationError: Two have the same name, or Meta.constraints holds something else.
    """
    table = model._table
    named: dict[str, str] = {}

    def add(name: str, body: str) -> None:
        if name in named:
            raise ModelDeclarationError(
                f"{model.__name__} has two constraints of the name {name!r}: give one of them another"
            )
        named[name] = f"CONSTRAINT {quote_identifier(name)} {body}"

    add(derived(table, [], "pkey"), f"PRIMARY KEY ({columns_sql(table.primary_key)})")
    for column in table.columns:
        if column.is_unique:
            add(derived(table, [column.column], "key"), f"UNIQUE ({columns_sql([column])})")
        check = check_sql(column)
        if check is not None:
            add(derived(table, [column.column], "check"), f"CHECK ({check})")
    for relation in table.relations.values():
        is_said = any(key.is_unique for key in relation.keys) or relation.keys == table.primary_key
        if relation.is_forward and relation.is_unique and not is_said:
            words = [key.column for key in relation.keys]
            add(derived(table, words, "key"), f"UNIQUE ({columns_sql(relation.keys)})")
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint) and constraint.is_index:
            continue  # `_ddl_indexes` writes it
        add(*_constraint(model, constraint))
    return list(named.values())


def _constraint(model: "type[Model]", constraint: Constraint) -> tuple[str, str]:
    """Return the name and the body of a constraint of Meta."""
    table = model._table
    if isinstance(constraint, UniqueConstraint):
        columns = [column for field in constraint.fields for column in fields_of(table, field)]
        distinct = "" if constraint.nulls_distinct else " NULLS NOT DISTINCT"
        body = f"UNIQUE{distinct} ({columns_sql(columns)})"
        if constraint.include:
            body += f" INCLUDE ({columns_sql([one for name in constraint.include for one in fields_of(table, name)])})"
        name = constraint.name or derived(table, [column.column for column in columns], "key")
        return name, body + _deferrable(is_so=constraint.deferrable)
    if isinstance(constraint, CheckConstraint):
        return constraint.name or derived(
            table, [], "check"
        ), f"CHECK ({expression_sql(model, constraint.check)})"
    if isinstance(constraint, ExclusionConstraint):
        return _exclusion(model, constraint)
    raise ModelDeclarationError(
        f"{model.__name__}.Meta.constraints holds {type(constraint).__name__}; it takes UniqueConstraint,"
        f" CheckConstraint and ExclusionConstraint"
    )


def _exclusion(model: "type[Model]", constraint: ExclusionConstraint) -> tuple[str, str]:
    parts = [
        (text, word, operator)
        for field, operator in constraint.elements
        for text, word, _ in key_parts(model, field)
    ]
    elements = ", ".join(f"{text} WITH {operator}" for text, _, operator in parts)
    body = f"EXCLUDE USING {quote_identifier(constraint.method)} ({elements})"
    if constraint.where is not None:
        body += f" WHERE ({expression_sql(model, constraint.where)})"
    name = constraint.name or derived(model._table, [word for _, word, _ in parts], "excl")
    return name, body + _deferrable(is_so=constraint.deferrable)


def _deferrable(*, is_so: bool) -> str:
    return " DEFERRABLE INITIALLY DEFERRED" if is_so else ""


def foreign_key(relation: Relation) -> str:
    """Return the constraint of a foreign key."""
    table = relation.model._table
    name = derived(table, [key.column for key in relation.keys], "fkey")
    sql = (
        f"CONSTRAINT {quote_identifier(name)} FOREIGN KEY ({columns_sql(relation.keys)})"
        f" REFERENCES {table_sql(relation.target._table)} ({columns_sql(relation.remotes)})"
    )
    for word, action in (("DELETE", relation.on_delete), ("UPDATE", relation.on_update)):
        if action != OnDelete.NO_ACTION:
            sql += f" ON {word} {action.value}"
    return sql + _deferrable(is_so=relation.field.deferrable)


def comment_statements(model: "type[Model]") -> list[str]:
    """Return COMMENT ON for the table and its columns."""
    table = model._table
    name = table_sql(table)
    found = [f"COMMENT ON TABLE {name} IS {quoted(table.comment)}"] if table.comment else []
    return found + [
        f"COMMENT ON COLUMN {name}.{quote_identifier(column.column)} IS {quoted(column.comment)}"
        for column in table.columns
        if column.comment
    ]
