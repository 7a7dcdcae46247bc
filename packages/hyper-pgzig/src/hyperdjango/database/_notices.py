"""Notices: what the backend says beside its answers. They go to the log and to the user's functions.

`Places.adopt` and the listeners give every connection `Notices.hear`; `Database.on_notice` adds to it.
PostgreSQL docs: protocol-error-fields, "Error and Notice Message Fields"; plpgsql-errors-and-messages.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from hyperdjango.conf._lock import Lock

if TYPE_CHECKING:
    from hyperdjango.database._connect import Established

LOGGER: Final = logging.getLogger("hyperdjango.database.notices")

# The backend's severities; it may invent others.
_LEVELS: Final = {
    "LOG": logging.INFO,
    "INFO": logging.INFO,
    "NOTICE": logging.INFO,
    "WARNING": logging.WARNING,
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One NoticeResponse. Fields that the backend did not send are None.

    Attributes:
        severity: WARNING, NOTICE, INFO, LOG or DEBUG, never translated.
        sqlstate: Five characters; `01000` is a warning like any other, `00000` a plain notice.
        message: The text, which the backend may translate.
        detail: More about it.
        hint: What to do about it.
        where: The call stack of the backend's languages.
        position: Where in the statement it is about, counted in characters from 1.
        schema: What it is about, as are the next four.
        table: With `schema`.
        column: With `table`.
        data_type: With `schema`.
        constraint: With `table` or `data_type`.
    """

    severity: str
    sqlstate: str | None
    message: str
    detail: str | None = None
    hint: str | None = None
    where: str | None = None
    position: int | None = None
    schema: str | None = None
    table: str | None = None
    column: str | None = None
    data_type: str | None = None
    constraint: str | None = None

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Notice":
        """Make one of the message's fields by their one-letter types; none is required."""
        position = fields.get("P", "")
        return cls(
            severity=fields.get("V") or fields.get("S") or "NOTICE",
            sqlstate=fields.get("C"),
            message=fields.get("M", ""),
            detail=fields.get("D"),
            hint=fields.get("H"),
            where=fields.get("W"),
            # Ten digits hold every position; a longer run is not the backend's.
            position=int(position)
            if position.isascii() and position.isdigit() and len(position) <= 10
            else None,
            schema=fields.get("s"),
            table=fields.get("t"),
            column=fields.get("c"),
            data_type=fields.get("d"),
            constraint=fields.get("n"),
        )

    @property
    def level(self) -> int:
        """The level of `logging` that goes with the severity."""
        if self.severity.startswith("DEBUG"):
            return logging.DEBUG
        return _LEVELS.get(self.severity, logging.WARNING)


NoticeFunction: TypeAlias = Callable[[Notice], object]


class Notices:
    """Where the notices of a pool's connections go."""

    __slots__ = ("_functions", "_lock")

    def __init__(self) -> None:
        # Replaced, never changed: `hear` goes through them without the lock.
        self._functions: tuple[NoticeFunction, ...] = ()
        self._lock = Lock()

    def add(self, function: NoticeFunction) -> None:
        """Call `function` with each notice from now on, once however often it is added.

        Raises:
            TypeError: It is no function, or a coroutine function, which nobody would await.
        """
        if not callable(function):
            raise TypeError(f"on_notice takes a function, not {type(function).__name__}")
        if inspect.iscoroutinefunction(function):
            raise TypeError("on_notice takes a plain function: nobody would await a coroutine function")
        with self._lock:
            if function not in self._functions:
                self._functions = (*self._functions, function)

    def remove(self, function: NoticeFunction) -> None:
        """Call `function` no more.

        Raises:
            ValueError: It was not added.
        """
        with self._lock:
            if function not in self._functions:
                raise ValueError("this function does not hear of notices")
            self._functions = tuple(each for each in self._functions if each != function)

    def follow(self, established: "Established") -> None:
        """Hear what a new connection says from now on, and what it has said at its start-up."""
        established.connection.on_notice = self.hear
        for fields in established.notices:
            self.hear(fields)
        established.notices.clear()

    def hear(self, fields: Mapping[str, str]) -> None:
        """Pass on a NoticeResponse. What a user's function raises is logged; the statement goes on."""
        notice = Notice.of(fields)
        if LOGGER.isEnabledFor(notice.level):
            LOGGER.log(
                notice.level,
                "%s: %s",
                notice.severity,
                notice.message,
                extra={
                    "severity": notice.severity,
                    "sqlstate": notice.sqlstate,
                    "detail": notice.detail,
                    "hint": notice.hint,
                },
            )
        for function in self._functions:
            try:
                function(notice)
            except Exception:
                LOGGER.exception("a function of on_notice failed")
