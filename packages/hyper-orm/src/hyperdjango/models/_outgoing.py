"""The values of an instance on their way into the database: found, checked, and said in the driver's words.

What is wrong with any of them is collected, so that one ValidationError names all.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hyperdjango.database._native import native
from hyperdjango.models._meta import UNSET, Column
from hyperdjango.models.errors import FieldError, ValidationError

if TYPE_CHECKING:
    from hyperdjango.models._meta import Table
    from hyperdjango.models.model import Model


def slot_value(instance: Any, column: Column) -> Any:
    """Return what the slot of a column holds, UNSET where it holds nothing."""
    try:
        return column.slot.__get__(instance)
    except AttributeError:
        return UNSET


def key_of_held(instance: Any, column: Column) -> Any:
    """Return the key of the instance that a relation holds, for the column of that key; UNSET where there is none.

    It is saved after it was set, as a rule: then its key is known only now.
    """
    relation = column.relation
    if relation is None:
        return UNSET
    try:
        held = relation.slot.__get__(instance)
    except AttributeError:
        return UNSET
    return None if held is None else slot_value(held, relation.remotes[column.key_index])


def missing(instance: Any, column: Column) -> str:
    """Say why a column has no value."""
    relation = column.relation
    if relation is not None:
        try:
            held = relation.slot.__get__(instance)
        except AttributeError:
            held = None
        if held is not None:
            return f"this {type(held).__name__} has no key yet; save it first"
    return "has no value"


def checked(column: Column, value: Any) -> Any:
    """Return the value that is written for one that was set.

    Raises:
        ValueError: It does not keep what the model declares; the text says how, without the value.
    """
    if value is None:
        if not column.is_nullable:
            raise ValueError("must not be None")
        return None
    if hasattr(value.__class__, "resolve"):
        raise ValueError("is an expression; queryset.update() calculates in the database")
    return value if column.check is None else column.check(value)


def sender(column: Column) -> Callable[[Any], Any] | None:
    """Return what a value goes through for the driver, None where it goes as it is.

    The driver takes a str for JSON text; in a column a str is a JSON string. Of classes it knows nothing.
    """
    if column.type.kind != "json":
        return None
    prepare = column.type.prepare
    return _json_sent if prepare is None else lambda value: _json_sent(prepare(value))


def _json_sent(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, str) else value


class Outgoing:
    """The columns of one statement about an instance, with their values.

    Attributes:
        columns: Which are written.
        values: What is sent for them.
        errors: Attribute name to what is wrong.
    """

    __slots__ = ("columns", "errors", "instance", "values")

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.columns: list[Column] = []
        self.values: list[Any] = []
        self.errors: dict[str, str] = {}

    def add(self, column: Column, value: Any) -> None:
        """Check a value and take it along."""
        try:
            good = checked(column, value)
        except ValueError as error:
            self.errors[column.name] = str(error)
            return
        if good is not value:
            native.set_slot(self.instance, column.slot, good)
        send = sender(column)
        self.columns.append(column)
        self.values.append(good if send is None else send(good))

    def raise_errors(self) -> None:
        """Raise ValidationError where anything is wrong."""
        if self.errors:
            raise ValidationError(type(self.instance).__name__, self.errors)


def for_insert(instance: Any) -> tuple[Outgoing, list[Column]]:
    """Return what is inserted for an instance, and the columns that the database will make.

    Raises:
        ValidationError: A value is missing or wrong.
    """
    outgoing = Outgoing(instance)
    made: list[Column] = []
    for column in instance._table.columns:
        if column.generated is not None:
            made.append(column)
            continue
        value = slot_value(instance, column)
        if value is UNSET:
            value = key_of_held(instance, column)
            if value is not UNSET:
                native.set_slot(instance, column.slot, value)
        if value is UNSET or (value is None and column.is_database_made and not column.is_nullable):
            # A key that is None is one that is still to be made.
            if column.is_database_made:
                made.append(column)
            else:
                outgoing.errors[column.name] = missing(instance, column)
            continue
        outgoing.add(column, value)
    outgoing.raise_errors()
    return outgoing, made


def for_update(instance: Any, columns: Iterable[Column]) -> Outgoing:
    """Return what is written of a row's columns.

    Raises:
        ValidationError: A value is wrong, or was not loaded.
    """
    outgoing = Outgoing(instance)
    for column in columns:
        value = slot_value(instance, column)
        if value is UNSET:
            value = key_of_held(instance, column)
            if value is UNSET:
                outgoing.errors[column.name] = missing(instance, column)
                continue
            native.set_slot(instance, column.slot, value)
        outgoing.add(column, value)
    outgoing.raise_errors()
    return outgoing


def key_values(instance: "Model", what: str) -> list[Any]:
    """Return the values of the primary key.

    Raises:
        FieldError: There is none: the instance names no row.
    """
    values = [slot_value(instance, column) for column in instance._table.primary_key]
    if UNSET in values or None in values:
        raise FieldError(f"{what}: this {type(instance).__name__} has no key yet; save it first")
    return values


def writable(table: "Table", names: Sequence[str], method: str) -> list[Column]:
    """Return the columns that names stand for; of a relation those of its key.

    Raises:
        FieldError: One is not known, or is no column that can be written; the text names the nearest.
    """
    if isinstance(names, str):
        raise FieldError(f"{method} takes a list of names, not one str: [{names!r}]")
    found: dict[Column, None] = {}
    for name in names:
        relation = table.relations.get(name)
        if relation is not None and not relation.is_forward:
            raise FieldError(f"{method}: {table.model.__name__}.{name} is no column of its table")
        for column in relation.locals if relation is not None else (table.column(name),):
            refuse_unwritable(table, column, method)
            found[column] = None
    return list(found)


def refuse_unwritable(table: "Table", column: Column, method: str) -> None:
    """Refuse to write a key, a generated column or a version."""
    where = f"{method}: {table.model.__name__}.{column.name}"
    if column.is_primary_key:
        raise FieldError(f"{where} is part of the primary key, by which the row is found")
    if column.generated is not None:
        raise FieldError(f"{where} is generated by the database")
    if column.is_version:
        raise FieldError(f"{where} is the version, which counts the writes by itself")
