"""What is known of a model: its table, its columns and its relations. Written by `_declare`, read by all else.

A `Table` is complete once its class exists, but for the far ends of its relations: these are looked up when
they are first asked for, since the class that they name may be declared later.
"""

import builtins
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hyperdjango.conf._lock import Lock
from hyperdjango.models._nearest import nearest
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._rules import Rule
    from hyperdjango.models._types import ColumnType
    from hyperdjango.models.model import Model


class _Unset:
    """There is no value: not even None."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final[Any] = _Unset()

# Two threads that look for the same ends must not both declare the model between. One lock: looking for the ends of
# one relation looks for those of others.
_RESOLVING: Final = Lock()


class OnDelete(StrEnum):
    """What the database does with a row whose foreign key's target is deleted: SQL's own words.

    PostgreSQL docs: ddl-constraints, "Foreign Keys".
    """

    CASCADE = "CASCADE"
    RESTRICT = "RESTRICT"
    SET_NULL = "SET NULL"
    SET_DEFAULT = "SET DEFAULT"
    NO_ACTION = "NO ACTION"


class Column:
    """One column of a table, and the attribute that holds it.

    Attributes:
        name: The attribute of an instance, and the word in lookups; of a foreign key that with `_id`.
        column: The name in the database.
        type: Its PostgreSQL type and how Python values go in and come out; of a foreign key the target's key's.
        index: Position among the table's columns.
        default: A Python value for new instances, or UNSET.
        default_factory: A function that makes one, or None.
        db_default: SQL text or an Expression for DEFAULT in the database, or None.
        generated: SQL text or an Expression of a generated column, or None; never written.
        identity: "ALWAYS", "BY DEFAULT" or None.
        relation: The to-one relation whose (first) key this is, or None.
        slot: The member descriptor of the class; None in abstract classes.
        check: Validates a Python value on write and returns it, or None where any value goes.
        has_own_check: `Field(check=…)` is part of it, beside the rules.
        is_version: Counts the writes: `Version` fields.
        is_input: Data of outside may set it: it is not `Field(init=False)`, nor is the relation whose key it is.
        key_index: Which column of the target's key a foreign key's column holds.
        rules: What the annotation demands of values: the CHECK constraints.
    """

    __slots__ = (
        "_type", "check", "column", "comment", "db_default", "default", "default_factory", "generated", "has_own_check",
        "identity", "index", "is_indexed", "is_input", "is_nullable", "is_primary_key", "is_unique", "is_version",
        "key_index", "model", "name", "relation", "rules", "slot",
    )  # fmt: skip

    def __init__(self, name: str, column_type: "ColumnType | None", *, column: str | None = None) -> None:
        self.name = name
        self.column = column or name
        self._type = column_type
        self.key_index = 0
        self.rules: tuple[Rule, ...] = ()
        self.index = -1
        self.is_nullable = False
        self.is_primary_key = False
        self.is_unique = False
        self.is_indexed = False
        self.is_version = False
        self.is_input = True
        self.default: Any = UNSET
        self.default_factory: Callable[[], Any] | None = None
        self.db_default: Any = None
        self.generated: Any = None
        self.identity: str | None = None
        self.relation: Relation | None = None
        self.slot: Any = None
        self.check: Callable[[Any], Any] | None = None
        self.has_own_check = False
        self.comment: str | None = None
        self.model: builtins.type[Model] = UNSET

    @property
    def type(self) -> "ColumnType":
        """Its PostgreSQL type.

        Raises:
            FieldError: It is a foreign key's, and the target is not declared or does not fit.
        """
        if self._type is None:
            assert self.relation is not None
            self._type = self.relation.ends.remotes[self.key_index].type
        return self._type

    @property
    def is_database_made(self) -> bool:
        """Whether the database gives the value where none is given: identity, DEFAULT, generated."""
        return self.identity is not None or self.db_default is not None or self.generated is not None

    def __repr__(self) -> str:
        return f"<column {self.name} {self._type.sql if self._type else 'as its target'}>"


class Relation:
    """One way from a model to another (or to itself).

    Attributes:
        name: The attribute, and the word in lookups.
        model: The class that has it.
        target: The class at the far end; looked up when first asked for.
        is_many: An instance may have any number of them.
        is_forward: The key lies in this model's own table: ForeignKey, OneToOne.
        is_nullable: A forward relation may be None. A reverse to-one relation always may.
        locals: Columns of this model's table that the join compares, in order.
        remotes: Columns of the target's table (of the through table, where there is one) to compare with them.
        through: For many to many: the model of the table between, else None.
        through_near: The relation of `through` to this model, for many to many.
        through_far: The relation of `through` to the target, for many to many.
        reverse: The relation back, where one is declared, else None.
        slot: The member descriptor of the hidden slot: the instance, None, or the list of loaded instances. Read
            and written by `__get__` and `__set__`; a `LateSlot` where related_name alone declares the relation.
        kind: How it was declared: "ForeignKey", "OneToOne", "ManyToMany", "Related" or "RelatedOne".
        wanted: The target as declared: the class, or its name.
        field: What `Field(…)` said.
        keys: The columns of a forward relation, known before its target is.
    """

    __slots__ = (
        "_resolve", "_resolved", "field", "is_forward", "is_many", "is_nullable", "is_unique", "keys",
        "kind", "model", "name", "on_delete", "on_update", "options", "related_name", "slot", "wanted",
    )  # fmt: skip

    def __init__(self, model: "type[Model]", name: str, resolve: "Callable[[Relation], Ends]") -> None:
        self.model = model
        self.name = name
        self.kind = ""
        self.wanted: Any = None
        self.field: Any = None
        self.keys: tuple[Column, ...] = ()
        self.is_many = False
        self.is_forward = False
        self.is_nullable = True
        self.is_unique = False
        self.on_delete = OnDelete.NO_ACTION
        self.on_update = OnDelete.NO_ACTION
        self.related_name: str | None = None
        self.slot: Any = None
        self.options: dict[str, Any] = {}
        self._resolve = resolve
        self._resolved: Ends | None = None

    @property
    def ends(self) -> "Ends":
        """The two ends.

        Raises:
            FieldError: The target is not declared, or does not fit; the text names both models.
        """
        if self._resolved is None:
            with _RESOLVING:
                if self._resolved is None:
                    self._resolved = self._resolve(self)
        return self._resolved

    @property
    def target(self) -> "type[Model]":
        return self.ends.target

    @property
    def locals(self) -> tuple[Column, ...]:
        return self.ends.locals

    @property
    def remotes(self) -> tuple[Column, ...]:
        return self.ends.remotes

    @property
    def through(self) -> "type[Model] | None":
        return self.ends.through

    @property
    def through_near(self) -> "Relation | None":
        return self.ends.through_near

    @property
    def through_far(self) -> "Relation | None":
        return self.ends.through_far

    @property
    def reverse(self) -> "Relation | None":
        return self.ends.reverse

    def __repr__(self) -> str:
        return f"<relation {self.model.__name__}.{self.name}>"


class Ends(NamedTuple):
    """What `Relation.ends` finds. For many to many the columns are those of this table and `through`."""

    target: "type[Model]"
    locals: tuple[Column, ...]
    remotes: tuple[Column, ...]
    through: "type[Model] | None" = None
    through_near: Relation | None = None
    through_far: Relation | None = None
    reverse: Relation | None = None


class Table:
    """A model's table: `Model._table`.

    Attributes:
        model: The class.
        schema: The schema's name, or None for the search path's first.
        name: The table's name.
        columns: In the order of the table.
        by_name: Attribute name to column.
        relations: Attribute name to relation; reverse ones by `related_name` are added when the other side is declared.
        primary_key: The columns of the primary key.
        ordering: Default order as given, each as for `order_by`.
        indexes, constraints: As given in Meta.
        database: Alias of the database, or None.
        is_abstract: No table.
        global_filters: Meta.global_filters: Q objects by name.
    """

    __slots__ = (
        "by_name", "columns", "comment", "constraints", "database", "global_filters", "indexes",
        "is_abstract", "is_managed", "model", "name", "ordering", "primary_key", "relations", "schema",
    )  # fmt: skip

    def __init__(self, model: "type[Model]", name: str) -> None:
        self.model = model
        self.name = name
        self.schema: str | None = None
        self.columns: tuple[Column, ...] = ()
        self.by_name: dict[str, Column] = {}
        self.relations: dict[str, Relation] = {}
        self.primary_key: tuple[Column, ...] = ()
        self.ordering: tuple[Any, ...] = ()
        self.indexes: tuple[Any, ...] = ()
        self.constraints: tuple[Any, ...] = ()
        self.database: str | None = None
        self.is_abstract = False
        self.is_managed = True
        self.comment: str | None = None
        self.global_filters: dict[str, Any] = {}

    def column(self, name: str) -> Column:
        """Return the column of an attribute; "pk" is the key where that is one column.

        Raises:
            FieldError: There is none; the text names the nearest.
        """
        found = self.by_name.get(name)
        if found is not None:
            return found
        if name == "pk" and len(self.primary_key) == 1:
            return self.primary_key[0]
        relation = self.relations.get(name)
        if relation is not None and relation.is_forward and len(relation.locals) == 1:
            return relation.locals[0]
        raise self.unknown(name)

    def unknown(self, name: str, others: "Sequence[str]" = ()) -> FieldError:
        """The error for a word that is no column and no relation of this model, and none of the other names."""
        return FieldError(
            f"{self.model.__name__} has no field {name!r}{nearest(name, [*self.names(), *others])}"
        )

    def names(self) -> list[str]:
        """Every word that a lookup of this model may begin with."""
        return [*self.by_name, *self.relations, "pk"]

    def __repr__(self) -> str:
        return f"<table {self.name} of {self.model.__name__}>"
