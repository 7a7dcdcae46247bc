"""`Index(…)`, for `Meta.indexes`. `_ddl_indexes` writes it.

PostgreSQL docs: sql-createindex.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hyperdjango.models.errors import ModelDeclarationError


class SqlText(str):
    """SQL of the application's own where a string is otherwise a field's name: `Index(SqlText("lower(title)"))`."""

    __slots__ = ()


class Index:
    """An index.

    Args:
        fields: Fields by name (`"-title"`: descending), expressions (`F("price") * 2`, with `.desc()` and its
            nulls_last), or `SqlText`.
        name: Its name; without one it follows from the table and the fields.
        unique: No two rows have the same values.
        where: The rows that are in it: a Q, or SQL text.
        include: Fields that are stored along, without being searched by.
        method: `btree`, `gin`, `gist`, `brin`, `hash`, `spgist`, or one of an extension's.
        opclasses: The operator class of each field, or None.
        nulls_distinct: Of a unique one: whether NULLs are different values (PostgreSQL 15).
        parameters: Storage parameters, such as `fillfactor`.
    """

    __slots__ = (
        "fields",
        "include",
        "method",
        "name",
        "nulls_distinct",
        "opclasses",
        "parameters",
        "unique",
        "where",
    )

    def __init__(
        self,
        *fields: Any,
        name: str | None = None,
        unique: bool = False,
        where: Any = None,
        include: Sequence[str] = (),
        method: str = "btree",
        opclasses: Sequence[str | None] = (),
        nulls_distinct: bool = True,
        parameters: Mapping[str, int | float | bool | str] | None = None,
    ) -> None:
        if not fields:
            raise ModelDeclarationError("an Index has at least one field or expression")
        if opclasses and len(opclasses) != len(fields):
            raise ModelDeclarationError(
                f"an Index has one operator class for each of its {len(fields)} fields, or none at all"
            )
        self.fields = fields
        self.name = name
        self.unique = unique
        self.where = where
        self.include = tuple(include)
        self.method = method
        self.opclasses = tuple(opclasses) or (None,) * len(fields)
        self.nulls_distinct = nulls_distinct
        self.parameters = dict(parameters or {})

    def __repr__(self) -> str:
        return f"Index({', '.join(map(repr, self.fields))})"


__all__ = ["Index", "SqlText"]
