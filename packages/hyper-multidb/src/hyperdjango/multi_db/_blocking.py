"""The blocking face of an alias with replicas: everything goes to the primary, and is noticed as a write.

How far the log is behind a write is not asked here; the next read on the asyncio face asks, once.
"""
# One half of a Database, which uses what nobody else should:
# pyright: reportPrivateUsage=false

from typing import TYPE_CHECKING, Any

from hyperdjango.database import SyncDatabase
from hyperdjango.database._watching import NOBODY, Finished
from hyperdjango.database.errors import Error

if TYPE_CHECKING:
    from hyperdjango.database import _pipeline
    from hyperdjango.database._native import native
    from hyperdjango.database._slot import Slot
    from hyperdjango.database._watching import Watch
    from hyperdjango.multi_db._primary import PrimaryFace


class BlockingPrimary(SyncDatabase):
    """A SyncDatabase whose writes are seen by the reads of the same scope."""

    _face: "PrimaryFace"

    @classmethod
    def of(cls, face: "PrimaryFace") -> "BlockingPrimary":
        """Make it, over the pool of the asyncio face."""
        self = cls.over(face._pool, face._settings, opens_on_use=face._opens_on_use)
        self.alias, self.role, self.reason = face.alias, face.role, face.reason
        self._face = face
        return self

    def _complete(  # noqa: PLR0917 - as the driver's
        self,
        sql: str,
        args: tuple[object, ...] | None,
        shape: int,
        target: object,
        first: bool,
        first_set: int | None,
        deadline: float | None,
        watch: "Watch | None" = None,
    ) -> "native.Request":
        try:
            request = super()._complete(sql, args, shape, target, first, first_set, deadline, watch)
        except Error as error:
            self._face._heard(error)
            raise
        finally:
            self._written()
        if not request.failed:
            return request
        finished = Finished(request, NOBODY)
        if finished._error is not None:
            self._face._heard(finished._error)
        return finished  # type: ignore[return-value]  # stands for it

    def _run_items(
        self, items: "list[_pipeline.Item]", deadline: float | None, watch: "Watch"
    ) -> "_pipeline.Outcomes":
        try:
            return super()._run_items(items, deadline, watch)
        finally:
            self._written()

    def _copy_in(self, sql: str, data: Any, timeout: float | None) -> Any:
        try:
            return super()._copy_in(sql, data, timeout)
        except Error as error:
            self._face._heard(error)
            raise
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
