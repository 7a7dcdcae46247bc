"""The part of Model that writes its row: `save`, `delete`, `refresh_from_db`.

Django docs: ref/models/instances.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hyperdjango.models import _rows
from hyperdjango.models._hooks import Hooks

if TYPE_CHECKING:
    from hyperdjango.database import Database


class Saving(Hooks):
    """A base of Model."""

    __slots__ = ()

    async def save(
        self,
        *,
        update_fields: Sequence[str] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: "str | Database | None" = None,
    ) -> None:
        """Write the instance: INSERT for a new one, else UPDATE of the columns that were changed, if any were.

        Lists and dicts that were changed in place count as changed. What the database makes (keys, defaults,
        generated columns, the version) is taken back. A new instance is inserted, with a key of its own or not:
        no UPDATE is tried before.

        Args:
            update_fields: Write these columns, changed or not, and no others.
            force_insert: Insert a new row, also for an instance that was loaded.
            force_update: Update every column that is loaded, also for an instance that is new here.
            using: The database, instead of the one the instance came from.
        Raises:
            ValidationError: Values are missing or wrong; all of them are named, and nothing was sent.
            StaleObject: The row is gone, or its version has moved.
            FieldError: A name is not known; or the key of a loaded instance was changed.
            IntegrityError: The row exists already, or breaks another constraint.
        """
        await _rows.save(self, update_fields, using, force_insert=force_insert, force_update=force_update)

    async def delete(self, *, using: "str | Database | None" = None) -> int:
        """Delete the row. The database does what its foreign keys say about other rows.

        Returns:
            How many rows of this table were deleted: 1, or 0 where it was gone already.
        Raises:
            StaleObject: The version has moved, or the row with it is gone.
            FieldError: The instance has no key.
        """
        return await _rows.delete(self, using)

    async def refresh_from_db(
        self, fields: Sequence[str] | None = None, *, using: "str | Database | None" = None
    ) -> None:
        """Fetch the row again, from the primary: all columns, or these; changes that were not saved are lost.

        Related instances that were held are forgotten.

        Raises:
            DoesNotExist: The row is gone.
            FieldError: A name is not known, or the instance has no key.
        """
        await _rows.refresh(self, fields, using)

    async def refresh(
        self, fields: Sequence[str] | None = None, *, using: "str | Database | None" = None
    ) -> None:
        """As `refresh_from_db`."""
        await _rows.refresh(self, fields, using)
