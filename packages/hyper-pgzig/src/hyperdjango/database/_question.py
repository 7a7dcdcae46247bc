"""A question that goes behind somebody's call outside of blocks, in the same flush, and is answered with it.

`hyperdjango.multi_db` asks the primary in this way how far its log is.
PostgreSQL docs: protocol-flow, "Pipelining".
"""

from typing import TYPE_CHECKING

from hyperdjango.database import _shape

if TYPE_CHECKING:
    from hyperdjango.database._native import native


class Question:
    """SQL without parameters that means the same whatever runs in front of it.

    Attributes:
        sql: What gives one value.
        asked: Its request, finished when the call is; None where it could not be sent, or is to be asked again.
        is_behind: Something was sent that the answer is about.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.asked: native.Request | None = None
        self.is_behind = False

    def ask(self, connection: "native.Connection") -> None:
        """Write it behind what is under way, where it can go yet; `push` sends it."""
        self.asked = connection.ask(self.sql, _shape.VALUE)

    def ask_by_itself(self, connection: "native.Connection") -> None:
        """Send it where nothing is under way."""
        self.asked = connection.submit(self.sql, (), _shape.VALUE, None, True, None)

    @property
    def answer(self) -> str | None:
        """The value; None where it was not asked, or has failed."""
        if self.asked is None or not self.asked.done or self.asked.failed:
            return None
        value: str | None = self.asked.result()
        return value


__all__ = ["Question"]
