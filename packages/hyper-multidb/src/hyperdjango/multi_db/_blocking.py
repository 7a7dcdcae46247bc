"""The blocking face of an alias with replicas: everything goes to the primary, and is noticed as a write.

How far the log is behind a write is not asked here; the next read on the asyncio face asks, once.
"""
# One half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

from typing import TYPE_CHECKING, Any

from hyperdjango.database import SyncDatabase

if TYPE_CHECKING:
    from hyperdjango.database._native import native
    from hyperdjango.database._slot import Slot
    from hyperdjango.multi_db._primary import PrimaryFace


class BlockingPrimary(SyncDatabase):
    """A SyncDatabase whose writes are seen by the reads of the same scope."""

    _face: "PrimaryFace"

    @classmethod
    def of(cls, face: "PrimaryFace") -> "BlockingPrimary":
        """Make it, over the pool of the asyncio face."""
        self = cls.over(face._pool, face._settings, opens_on_use=face._opens_on_use)
        self.alias, self.role = face.alias, face.role
        self._face = face
        return self

    def _complete(self, *arguments: Any) -> "native.Request":
        try:
            return super()._complete(*arguments)
        finally:
            self._written()

    def _run_items(self, *arguments: Any) -> Any:
        try:
            return super()._run_items(*arguments)
        finally:
            self._written()

    def _copy_in(self, sql: str, data: Any, timeout: float | None) -> Any:
        try:
            return super()._copy_in(sql, data, timeout)
        finally:
            self._written()

    def _commit(self, slot: "Slot", deadline: float | None) -> None:
        try:
            super()._commit(slot, deadline)
        finally:
            self._face.has_written()

    def _written(self) -> None:
        if not self.in_transaction():
            self._face.has_written()


__all__ = ["BlockingPrimary"]
