"""What instances are again when the transaction that they were written in is rolled back.

Otherwise an instance would take itself for written: to save it again, as `Database.run` and every retry do, would
send nothing. What was set since stays as it is. `_rows`, `_upsert` and `_bulk_create` say what they have written.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hyperdjango.models._meta import UNSET, Column

if TYPE_CHECKING:
    from hyperdjango.database import Database


def inserted(database: "Database", instance: Any, made: Iterable[Column], origin: Any = None) -> None:
    """An instance was inserted: back to what it came from, without what the database has made."""
    inserted_many(database, [instance], made, origin)


def inserted_many(
    database: "Database", instances: list[Any], made: Iterable[Column], origin: Any = None
) -> None:
    """As `inserted`, for instances that one statement has inserted."""

    def undo() -> None:
        for instance in instances:
            instance._origin = origin
            for column in made:
                try:
                    column.slot.__delete__(instance)
                except AttributeError:
                    continue  # it was taken out meanwhile

    database._on_rollback(undo)


def updated(
    database: "Database", instance: Any, names: set[str], version: "tuple[Column, Any] | None"
) -> None:
    """Columns of a row were written: they count as changed again, and the version is the one before."""
    origin = instance._origin

    def undo() -> None:
        instance._origin = origin
        instance._changed = (instance._changed or set()) | names
        if version is not None and version[1] is not UNSET:
            version[0].slot.__set__(instance, version[1])

    database._on_rollback(undo)


def deleted(database: "Database", instance: Any) -> None:
    """A row was deleted: it is there again."""
    origin = instance._origin

    def undo() -> None:
        instance._origin = origin

    database._on_rollback(undo)
