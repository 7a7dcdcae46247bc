"""The constraints of `Meta.constraints`. `_ddl_constraints` writes them.

PostgreSQL docs: ddl-constraints.
"""

from collections.abc import Sequence
from typing import Any

from hyperdjango.models.errors import ModelDeclarationError


class Constraint:
    """A condition that the database keeps.

    Attributes:
        name: Its name; without one it follows from the table and the fields.
    """

    __slots__ = ("name",)
    name: str | None


class UniqueConstraint(Constraint):
    """No two rows have the same values.

    With `where` or expressions it is a unique index, for a constraint cannot say these.

    Args:
        fields: Fields by name, expressions, or `SqlText`.
        name: Its name.
        where: Holds among these rows alone: a Q, or SQL text.
        nulls_distinct: Whether NULLs are different values (False: PostgreSQL 15).
        deferrable: Checked at COMMIT.
        include: Fields that are stored along in its index.
        opclasses: The operator class of each field, or None.
    """

    __slots__ = ("deferrable", "fields", "include", "nulls_distinct", "opclasses", "where")

    def __init__(
        self,
        *fields: Any,
        name: str | None = None,
        where: Any = None,
        nulls_distinct: bool = True,
        deferrable: bool = False,
        include: Sequence[str] = (),
        opclasses: Sequence[str | None] = (),
    ) -> None:
        if not fields:
            raise ModelDeclarationError("a UniqueConstraint has at least one field or expression")
        if opclasses and len(opclasses) != len(fields):
            raise ModelDeclarationError(
                f"a UniqueConstraint has one operator class for each of its {len(fields)} fields, or none at all"
            )
        self.fields = fields
        self.name = name
        self.where = where
        self.nulls_distinct = nulls_distinct
        self.deferrable = deferrable
        self.include = tuple(include)
        self.opclasses = tuple(opclasses) or (None,) * len(fields)
        if deferrable and self.is_index:
            raise ModelDeclarationError(
                "a UniqueConstraint with where=, expressions or opclasses= is an index, which cannot be deferrable"
            )

    @property
    def is_index(self) -> bool:
        """Whether it can only be had as a unique index."""
        plain = all(type(field) is str for field in self.fields)
        return self.where is not None or not plain or any(self.opclasses)


class CheckConstraint(Constraint):
    """A condition that every row fulfils.

    Args:
        check: A Q, a boolean expression, or SQL text.
        name: Its name.
    """

    __slots__ = ("check",)

    def __init__(self, check: Any, *, name: str | None = None) -> None:
        self.check = check
        self.name = name


class ExclusionConstraint(Constraint):
    """No two rows whose values all compare true by their operators: `("during", "&&"), ("room", "=")`.

    Args:
        elements: Pairs of a field's name, an expression or `SqlText`, and an operator.
        name: Its name.
        method: `gist`, or `spgist`. Scalars with `=` need the extension btree_gist.
        where: Holds among these rows alone: a Q, or SQL text.
        deferrable: Checked at COMMIT.
    """

    __slots__ = ("deferrable", "elements", "method", "where")

    def __init__(
        self,
        *elements: tuple[Any, str],
        name: str | None = None,
        method: str = "gist",
        where: Any = None,
        deferrable: bool = False,
    ) -> None:
        if not elements:
            raise ModelDeclarationError(
                "an ExclusionConstraint has at least one pair of a field and an operator"
            )
        for _, operator in elements:
            if not operator or set(operator) - set("+-*/<>=~!@#%^&|`?"):
                raise ModelDeclarationError(f"{operator!r} is no operator of the database")
        self.elements = elements
        self.name = name
        self.method = method
        self.where = where
        self.deferrable = deferrable


__all__ = ["CheckConstraint", "Constraint", "ExclusionConstraint", "UniqueConstraint"]
