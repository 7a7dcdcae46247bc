"""Builds a model's Table of its attributes: columns in order, the primary key, the columns of foreign keys."""

from typing import Any

from hyperdjango.models._attributes import Attribute, refuse_name
from hyperdjango.models._class_options import ClassOptions
from hyperdjango.models._ends import resolve
from hyperdjango.models._meta import UNSET, Column, Relation, Table
from hyperdjango.models._nearest import nearest
from hyperdjango.models._rules import ZONES, checker, zoned
from hyperdjango.models._types import BIGINT, snake_case
from hyperdjango.models.errors import ModelDeclarationError
from hyperdjango.models.fields import FieldOptions
from hyperdjango.models.relations import KINDS

_CLASSES = {word: kind for kind, word in KINDS.items()}
IDENTIFIER_BYTES_MAX = 63


def hidden_name(relation: str) -> str:
    """Return the slot that holds the instances of a relation."""
    return f"_{relation}"


def fill_table(
    model: str, attributes: dict[str, Attribute], options: ClassOptions
) -> tuple[Table, dict[str, Any]]:
    """Return the table of a model whose class is not made yet, and the descriptors of its relations.

    Raises:
        ModelDeclarationError: Names or keys do not fit together.
    """
    table = Table(UNSET, options.table or snake_case(model))
    table.schema, table.database, table.comment = options.schema, options.database, options.comment
    table.ordering, table.indexes, table.constraints = options.ordering, options.indexes, options.constraints
    table.is_managed, table.global_filters = options.managed, options.global_filters
    filler = _Filler(model, table, attributes, options.primary_key)
    filler.fill()
    _set_primary_key(model, table, attributes, options)
    _refuse_equal_columns(model, table)
    descriptors: dict[str, Any] = {}
    for name, relation in table.relations.items():
        descriptors[name] = _CLASSES[relation.kind]()
        descriptors[name].relation = relation
    return table, descriptors


class _Filler:
    """Adds one attribute after the other."""

    def __init__(
        self, model: str, table: Table, attributes: dict[str, Attribute], primary_key: tuple[str, ...]
    ) -> None:
        self.primary_key = primary_key
        self.model = model
        self.table = table
        self.attributes = attributes
        self.columns: list[Column] = []

    def fill(self) -> None:
        key_names = self._key_columns()
        for attribute in self.attributes.values():
            if attribute.kind:
                self._relation(attribute)
            elif attribute.name not in key_names:
                self._column(attribute)
        forward = [one for one in self.attributes.values() if one.kind in {"ForeignKey", "OneToOne"}]
        # The key of this very model may have columns of its other relations.
        for attribute in sorted(forward, key=self._is_of_itself):
            self._keys(attribute)
        self._order()

    def _key_columns(self) -> set[str]:
        """Return the names `author_id` that are declared for type checkers: the relation makes the column."""
        return {
            f"{attribute.name}_id"
            for attribute in self.attributes.values()
            if attribute.kind in {"ForeignKey", "OneToOne"} and not attribute.options.columns
        }

    def _column(self, attribute: Attribute) -> None:
        options, parsed = attribute.options, attribute.parsed
        assert parsed is not None
        column = Column(attribute.name, parsed.column_type, column=options.column)
        column.is_nullable = parsed.is_nullable
        column.rules = parsed.rules
        column.check = checker(parsed.accepted, parsed.rules, options.check)
        column.has_own_check = options.check is not None
        if parsed.column_type.sql in ZONES:
            column.check = zoned(column.check, is_aware=ZONES[parsed.column_type.sql])
        if parsed.column_type.enum is not None and column.check is None:
            column.check = member_of(parsed.column_type.enum)
        _apply(column, options)
        column.is_version = column.is_version or parsed.is_version
        if column.is_version:
            if parsed.column_type.kind != "integer":
                raise ModelDeclarationError(f"{self.model}.{column.name}: a version is an int")
            if column.default is UNSET:
                column.default = 1
        self._add(column)

    def _add(self, column: Column) -> None:
        self.columns.append(column)
        self.table.by_name[column.name] = column

    def _relation(self, attribute: Attribute) -> None:
        relation = Relation(UNSET, attribute.name, resolve)
        relation.kind, relation.wanted, relation.field = attribute.kind, attribute.wanted, attribute.options
        options = attribute.options
        relation.is_forward = attribute.kind in {"ForeignKey", "OneToOne"}
        relation.is_many = attribute.kind in {"ManyToMany", "Related"}
        relation.is_nullable = attribute.is_nullable if relation.is_forward else True
        relation.is_unique = attribute.kind == "OneToOne" or (relation.is_forward and options.unique)
        relation.on_delete, relation.on_update = options.on_delete, options.on_update
        relation.related_name = related_name(self.model, options.related_name)
        relation.options = {name: getattr(options, name) for name in options.given}
        if relation.on_delete == "SET NULL" and not relation.is_nullable:
            raise ModelDeclarationError(
                f"{self.model}.{relation.name}: on_delete=SET_NULL needs {attribute.kind}[… | None]"
            )
        if relation.name in self.table.by_name:
            raise ModelDeclarationError(f"{self.model}.{relation.name} is declared as a column too")
        self.table.relations[relation.name] = relation

    def _keys(self, attribute: Attribute) -> None:
        """Make the columns of a forward relation; those that are declared otherwise are used as they are."""
        relation = self.table.relations[attribute.name]
        keys: list[Column] = []
        for index, name in enumerate(attribute.options.columns or self._key_names(attribute)):
            column = self.table.by_name.get(name)
            if column is None:
                if name in self.table.relations:
                    raise ModelDeclarationError(
                        f"{self.model}.{name} is a relation, and the column of {self.model}.{attribute.name} has that"
                        f" name; give one of them another"
                    )
                refuse_name(self.model, name)
                column = self._key(relation, attribute, name, index)
            # The typed constructor takes the relation alone, and JSON has nothing but its key.
            column.is_input = attribute.options.init
            keys.append(column)
        relation.keys = tuple(keys)

    def _is_of_itself(self, attribute: Attribute) -> bool:
        return str(attribute.wanted) in {self.model, "self"}

    def _own_key(self) -> list[str]:
        """Return the columns of `Meta.primary_key` by name."""
        names: list[str] = []
        for name in self.primary_key:
            relation = self.table.relations.get(name)
            names += [name] if relation is None else [key.name for key in relation.keys]
        return names

    def _key_names(self, attribute: Attribute) -> tuple[str, ...]:
        wanted = attribute.wanted
        if self._is_of_itself(attribute) and not attribute.options.to_field and len(self._own_key()) > 1:
            return tuple(f"{attribute.name}_{name}" for name in self._own_key())
        if isinstance(wanted, type) and not attribute.options.to_field:
            target: Any = wanted
            keys: tuple[Column, ...] = target._table.primary_key
            if len(keys) > 1:
                return tuple(f"{attribute.name}_{key.name}" for key in keys)
        return (f"{attribute.name}_id",)

    def _key(self, relation: Relation, attribute: Attribute, name: str, index: int) -> Column:
        options = attribute.options
        column = Column(name, None, column=options.column if len(self._key_names(attribute)) == 1 else None)
        declared = self.attributes.get(name)
        if declared is not None and declared.options.column:
            column.column = declared.options.column
        column.relation = relation
        column.key_index = index
        column.is_nullable = relation.is_nullable
        column.comment = options.comment
        column.is_unique = relation.is_unique and not options.columns
        column.is_indexed = options.index is not False
        if options.default is None:
            column.default = None
        elif options.default is not UNSET:
            raise ModelDeclarationError(
                f"{self.model}.{attribute.name}: the default of a relation can only be None"
            )
        self._add(column)
        return column

    def _order(self) -> None:
        """Put the columns into the order in which they are declared, a relation's where the relation is."""
        place = {name: index for index, name in enumerate(self.attributes)}
        self.columns.sort(key=lambda one: place[one.relation.name if one.relation else one.name])
        self.table.by_name.clear()
        self.table.by_name.update({column.name: column for column in self.columns})
        self.table.columns = tuple(self.columns)


def _apply(column: Column, options: FieldOptions) -> None:
    column.default, column.default_factory = options.default, options.default_factory
    column.db_default, column.generated = options.db_default, options.generated
    column.identity, column.comment = options.identity, options.comment
    column.is_unique, column.is_indexed = options.unique, bool(options.index)
    column.is_version = options.version
    column.is_input = options.init


def member_of(enum: Any) -> Any:
    """Return the check of an enum column: labels become members."""
    labels = ", ".join(repr(member.value) for member in enum)

    def check(value: Any) -> Any:
        if value is None:
            return None
        try:
            return enum(value)
        except ValueError:
            raise ValueError(f"must be one of {labels}") from None

    return check


def related_name(model: str, given: str | None) -> str | None:
    """Fill in the model's name, which abstract classes cannot know: `%(class)s`."""
    if given is None or given == "+":
        return given
    name = given.replace("%(class)s", snake_case(model))
    refuse_name(model, name)
    return name


def _set_primary_key(
    model: str, table: Table, attributes: dict[str, Attribute], options: ClassOptions
) -> None:
    marked = [name for name, one in attributes.items() if one.options.primary_key]
    if options.primary_key and marked:
        raise ModelDeclarationError(
            f"{model} has both Meta.primary_key and Field(primary_key=True); one is enough"
        )
    if len(marked) > 1:
        shown = ", ".join(map(repr, marked))
        raise ModelDeclarationError(
            f"{model} has {len(marked)} primary keys; write Meta.primary_key = ({shown})"
        )
    names = options.primary_key or tuple(marked)
    keys: list[Column] = []
    for name in names:
        if name in table.by_name:
            keys.append(table.by_name[name])
        elif name in table.relations and table.relations[name].is_forward:
            keys.extend(table.relations[name].keys)
        else:
            known = [*table.by_name, *(one.name for one in table.relations.values() if one.is_forward)]
            raise ModelDeclarationError(f"{model}.Meta.primary_key names {name!r}{nearest(name, known)}")
    if not keys:
        keys = [_default_key(model, table, attributes)]
    for key in keys:
        if key.is_nullable:
            raise ModelDeclarationError(f"{model}.{key.name} is part of the primary key and must not be None")
        key.is_primary_key = True
    if len(keys) == 1:
        keys[0].is_unique = False  # the primary key is
    table.primary_key = tuple(keys)
    for index, column in enumerate(table.columns):
        column.index = index


def _default_key(model: str, table: Table, attributes: dict[str, Attribute]) -> Column:
    """Return `id`, numbered by the database; it may be declared, for type checkers, as `id: int`."""
    column = table.by_name.get("id")
    if column is None:
        if "id" in attributes:
            raise ModelDeclarationError(f"{model}.id is a relation; say which column is the primary key")
        column = Column("id", BIGINT)
        table.columns = (column, *table.columns)
        table.by_name = {"id": column, **table.by_name}
    elif column.type.kind != "integer":
        raise ModelDeclarationError(f"{model} has no primary key; if it is id: Field(primary_key=True)")
    if column.default is UNSET and column.default_factory is None and column.db_default is None:
        column.identity = column.identity or "BY DEFAULT"
    return column


def _refuse_equal_columns(model: str, table: Table) -> None:
    seen: dict[str, Column] = {}
    for column in table.columns:
        if column.column in seen:
            raise ModelDeclarationError(
                f"{model}.{column.name} and {model}.{seen[column.column].name} have the same column {column.column!r}"
            )
        seen[column.column] = column
        if len(column.column.encode()) > IDENTIFIER_BYTES_MAX:
            raise ModelDeclarationError(
                f"{model}.{column.name}: the column {column.column!r} is longer than {IDENTIFIER_BYTES_MAX} bytes,"
                f" where the database cuts names; write Field(column=…)"
            )
    if len(table.name.encode()) > IDENTIFIER_BYTES_MAX:
        raise ModelDeclarationError(f"{model}: the table's name is longer than {IDENTIFIER_BYTES_MAX} bytes")
