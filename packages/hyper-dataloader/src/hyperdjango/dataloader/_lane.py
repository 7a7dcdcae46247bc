"""What a loader has once outside of transactions and once for each: a cache, and a queue of keys.

Called by `_queue`. Which transactions the running task is in is said by the driver, through `_driver`.
"""

from asyncio import Future
from collections.abc import Callable, MutableMapping
from contextvars import Context, ContextVar
from typing import Any, Protocol


class Stage(Protocol):
    """A part of a transaction. What was read in it is of no use once it is over."""

    is_over: bool


Stages = tuple[Stage, ...]


class Transaction(Protocol):
    """One that is running."""

    @property
    def stage(self) -> Stage: ...


class Gate(Protocol):
    """What the usual load has to know of a loader: see the extension's stub."""

    @property
    def hits(self) -> int: ...
    def use(self, cache: dict[Any, Any], keys: list[Any], futures: list[Any], /) -> None: ...


class Gated:
    """A loader whose gate the extension finds. None: every load is unusual."""

    __slots__ = ("_gate",)

    _gate: Gate | None


def _none_answered(_futures: list[Future[Any]], _values: list[Any]) -> int:
    return 0


def _some_may_be_done(_futures: list[Future[Any]]) -> bool:
    return False


class _Source:
    """What the driver tells loaders, and has its extension do for them, through `_driver`.

    Attributes:
        running: Which transactions the running task is in.
        gate: Makes what the usual load needs, of a loop, `running`, and what makes futures if none of `future` do.
        future: Makes a future of a loop that makes asyncio's own.
        answer: Give the first futures their values, as far as there is nothing unusual.
        all_wait: No future is done.
    """

    def __init__(self) -> None:
        self.running: ContextVar[Any] = ContextVar("hyperdjango_no_transactions", default=())
        self.gate: Callable[..., Gate] | None = None
        self.future: type[Future[Any]] = Future
        self.answer: Callable[[list[Future[Any]], list[Any]], int] = _none_answered
        self.all_wait: Callable[[list[Future[Any]]], bool] = _some_may_be_done


source = _Source()


class Lane:
    """A cache and a queue.

    Attributes:
        cache: Cache key to future. Where the loader keeps no cache, the futures of the queue alone.
        keys: Those that wait to be sent.
        cache_keys: What they have in the cache: the same list where there is no function for it.
        futures: One for each key: that of the caller who came first.
        may_repeat: The queue may have a key twice, since the cache may have lost it in between.
        context: The context of the first load of the queue.
    """

    __slots__ = ("cache", "cache_keys", "context", "futures", "keys", "may_repeat")

    def __init__(self, cache: MutableMapping[Any, Future[Any]], *, is_folded: bool) -> None:
        self.cache = cache
        self.context: Context | None = None
        self.may_repeat = False
        self.keys: list[Any] = []
        self.cache_keys: list[Any] = [] if is_folded else self.keys
        self.futures: list[Future[Any]] = []

    def empty(self) -> None:
        """Begin a new queue."""
        is_folded = self.cache_keys is not self.keys
        self.keys = []
        self.cache_keys = [] if is_folded else self.keys
        self.futures = []
        self.context = None
        self.may_repeat = False
