"""Signals under Django's names: functions that are told of every save and delete of an instance.

`save()` and `delete()` send them, `create()` and the like through these; statements over many rows (`update`,
`bulk_create`, a queryset's `delete`) do not. There is no pre_init and no post_init: results are filled natively,
and nothing runs for an instance.

Django docs: ref/signals, topics/signals.
"""

import inspect
import weakref
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from hyperdjango.conf._lock import Lock
from hyperdjango.models.errors import ModelError

Receiver = Callable[..., Any]
F = TypeVar("F", bound=Receiver)


class _Connection(NamedTuple):
    """A receiver that is connected.

    Attributes:
        key: What it is disconnected by.
        sender: The only model whose signals it wants, or None.
        get: Returns the receiver, None where it is gone.
    """

    key: Hashable
    sender: Any
    get: Callable[[], Receiver | None]


class Signal:
    """Something that happens, and who is to be told.

    Receivers are called in the order in which they were connected; what they return is awaited where it can be.
    The first one that raises stops what is going on.
    """

    __slots__ = ("_connections", "_lock", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        # Replaced and never changed, so that sending needs no lock.
        self._connections: tuple[_Connection, ...] = ()
        self._lock = Lock()

    def connect(
        self, receiver: Receiver, sender: Any = None, *, weak: bool = True, dispatch_uid: Hashable = None
    ) -> None:
        """Have a function called, or a coroutine function awaited, with `sender=` and more by keyword.

        Args:
            receiver: It must take any keywords: `**kwargs`.
            sender: The only model of interest.
            weak: Hold it by a weak reference: it is disconnected when nobody else holds it.
            dispatch_uid: Connects once under this name, whatever function is given later.
        Raises:
            ModelError: It does not take any keywords.
        """
        if not callable(receiver):
            raise ModelError(f"a receiver is a function, not {type(receiver).__name__}")
        if not _takes_keywords(receiver):
            raise ModelError(
                f"a receiver takes **kwargs, for what signals will say later; {receiver!r} does not"
            )
        key = _key(receiver, sender, dispatch_uid)
        connection = _Connection(key, sender, self._reference(receiver) if weak else lambda: receiver)
        with self._lock:
            if all(one.key != key for one in self._connections):
                self._connections = (*self._connections, connection)

    def _reference(self, receiver: Receiver) -> Callable[[], Receiver | None]:
        if inspect.ismethod(receiver):
            return weakref.WeakMethod(receiver, self._gone)
        return weakref.ref(receiver, self._gone)

    def _gone(self, reference: Any) -> None:
        # Without the lock: a collection may come anywhere, also while this very thread holds it.
        self._connections = tuple([one for one in self._connections if one.get is not reference])

    def disconnect(
        self, receiver: Receiver | None = None, sender: Any = None, *, dispatch_uid: Hashable = None
    ) -> bool:
        """Take a receiver away; arguments as they were for `connect`. Returns whether it was there."""
        key = _key(receiver, sender, dispatch_uid)
        with self._lock:
            before = self._connections
            self._connections = tuple([one for one in before if one.key != key])
            return len(self._connections) < len(before)

    def has_listeners(self, sender: Any = None) -> bool:
        """Whether anybody is to be told."""
        return any(one.sender is None or one.sender is sender for one in self._connections)

    async def send(self, sender: Any, **named: Any) -> list[tuple[Receiver, Any]]:
        """Tell everybody, one after the other; return each receiver with what it has returned."""
        answers: list[tuple[Receiver, Any]] = []
        for connection in self._connections:
            if connection.sender is not None and connection.sender is not sender:
                continue
            receiver = connection.get()
            if receiver is None:
                continue
            answer = receiver(signal=self, sender=sender, **named)
            if inspect.isawaitable(answer):
                answer = await answer
            answers.append((receiver, answer))
        return answers

    def __bool__(self) -> bool:
        return bool(self._connections)

    def __repr__(self) -> str:
        return f"<signal {self.name}>"


def _key(receiver: Receiver | None, sender: Any, dispatch_uid: Hashable) -> Hashable:
    if dispatch_uid is not None:
        return (dispatch_uid, id(sender))
    if inspect.ismethod(receiver):
        # A method is another object each time it is asked for.
        return (id(receiver.__self__), id(receiver.__func__), id(sender))
    return (id(receiver), id(sender))


def _takes_keywords(receiver: Receiver) -> bool:
    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):
        return True  # one in C says nothing about itself
    return any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)


def receiver(
    signal: Signal | Iterable[Signal],
    sender: Any = None,
    *,
    weak: bool = True,
    dispatch_uid: Hashable = None,
) -> Callable[[F], F]:
    """Connect the decorated function to a signal, or to several."""

    def connected(function: F) -> F:
        for one in (signal,) if isinstance(signal, Signal) else signal:
            one.connect(function, sender, weak=weak, dispatch_uid=dispatch_uid)
        return function

    return connected


# Sent with `instance`, `using` (the Database), `created` and `update_fields` (names, or None).
pre_save: Final = Signal("pre_save")
post_save: Final = Signal("post_save")
# Sent with `instance` and `using`.
pre_delete: Final = Signal("pre_delete")
post_delete: Final = Signal("post_delete")
# Sent by many-to-many relations, with `instance`, `action`, `reverse`, `model`, `pk_set` and `using`.
m2m_changed: Final = Signal("m2m_changed")

__all__ = ["Signal", "m2m_changed", "post_delete", "post_save", "pre_delete", "pre_save", "receiver"]
