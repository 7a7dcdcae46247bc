"""What waits for a loader's batch function, and when it leaves; the cache beside it. The base of DataLoader.

`dispatch` leaves the queue to `_chunk`, which calls the batch function.
"""

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Hashable, Mapping, MutableMapping, Sequence
from contextvars import copy_context
from functools import partial
from threading import get_ident
from typing import Any, Final, Generic, TypeAlias, TypeVar

from hyperdjango.dataloader._chunk import Chunk
from hyperdjango.dataloader._lane import Gated, Lane, Stages, Transaction, source
from hyperdjango.dataloader._results import rejection
from hyperdjango.dataloader.errors import AnotherLoop, OwnKey, UnhashableKey

K = TypeVar("K")
V = TypeVar("V")

Results: TypeAlias = Sequence[V | Exception] | Mapping[Any, V | Exception]
BatchFunction: TypeAlias = Callable[[list[K]], Awaitable[Results[V]]]
Schedule: TypeAlias = Callable[[Callable[[], None]], object]

# A loop that brings new keys in each of its turns would keep them for ever.
TURNS_MAX: Final = 64


def _never() -> bool:
    return False


def _makes_usual_futures(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the future of a loader can stand for one that the loop would make."""
    # A loop may make futures of its own, and in debug mode they tell where they were made.
    return not loop.get_debug() and issubclass(source.future, type(loop.create_future()))


class Queue(Gated, Generic[K, V]):
    """The part of DataLoader that users do not see."""

    max_batch_size: int | None
    cache_enabled: bool

    def __init__(
        self,
        batch_fn: BatchFunction[K, V],
        *,
        name: str | None,
        cache_key: Callable[[K], Hashable] | None,
        cache_map: MutableMapping[Any, Future[V]] | None,
        schedule: Schedule | None,
    ) -> None:
        """Begin with no event loop."""
        self._batch_fn = batch_fn
        self._function: str = getattr(batch_fn, "__qualname__", type(batch_fn).__qualname__)
        self.name = self._function if name is None else name
        self._task_name = f"dataloader {self.name}"
        self._cache_key = cache_key
        self._schedule = schedule
        self._running = source.running
        self._gate = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._is_running: Callable[[], bool] = _never
        self._new_future: Callable[[], Future[V]] = Future
        # The lane of those who are in no transaction, and the others'.
        self._base = Lane({} if cache_map is None else cache_map, is_folded=cache_key is not None)
        self._lanes: dict[Stages, Lane] = {}
        self._may_lose = cache_map is not None
        # Lanes with something in their queues.
        self._waiting: list[Lane] = []
        self._is_scheduled = False
        self._seen = 0
        self._turns = 0
        self._chunks: set[Chunk] = set()
        # The first caller of a key that is on its way, and the futures of those who asked for it later.
        self._followers: dict[Future[Any], list[Future[Any]]] = {}
        # Beside those that the gate counts.
        self._hits = 0
        self._batches = 0
        self._sent = 0
        self._unsent = 0
        self._largest = 0
        self._errors = 0

    def dispatch(self) -> None:
        """Send what is in the queue now, without waiting for more.

        Raises:
            AnotherLoop: The queue is that of another event loop.
            RuntimeError: No event loop is running.
        """
        self._is_scheduled = False
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            raise AnotherLoop(self.name)
        waiting, self._waiting = self._waiting, []
        for lane in waiting:
            self._send(lane, loop)

    # One load.

    def _here(self) -> Lane:
        """The lane of the running task. Raises as `_move`."""
        # To ask asyncio for the running loop takes, before Python 3.12, as long as all the rest.
        if get_ident() != self._thread or not self._is_running():
            self._move()
        transactions = self._running.get()
        return self._lane(transactions) if transactions else self._base

    def _load(self, key: K) -> Future[V]:
        """As the gate, and whatever that leaves to it."""
        lane = self._here()
        cache_key: Any = key if self._cache_key is None else self._cache_key(key)
        try:
            future = lane.cache.get(cache_key)
        except TypeError:
            self._check_hashable(cache_key)
            raise
        if future is not None:
            self._hits += 1
            if future.done() and not future.cancelled():
                return future
            if self._chunks:
                self._check_not_own(future)
            return self._follow(future)
        future = lane.cache[cache_key] = self._new_future()
        lane.futures.append(future)
        lane.keys.append(key)
        if lane.cache_keys is not lane.keys:
            lane.cache_keys.append(cache_key)
        if len(lane.keys) == 1:
            self._begin(lane)
        return future

    def _check_not_own(self, future: Future[Any]) -> None:
        """Refuse that a batch waits for itself."""
        task = asyncio.current_task()
        if task is not None and any(chunk.is_of(task, future) for chunk in self._chunks):
            raise OwnKey(self.name, self._function)

    def _open_gate(self) -> None:
        """Tell the gate of the present cache and queue."""
        base = self._base
        # A cache that is none of ours has no gate.
        if self._gate is not None and isinstance(base.cache, dict):
            self._gate.use(base.cache, base.keys, base.futures)

    def _make_gate(self, loop: asyncio.AbstractEventLoop, new_future: Callable[[], Future[V]] | None) -> None:
        """Have the extension do usual loads on a loop, unless none is usual."""
        if self._gate is not None:
            self._hits += self._gate.hits
        self._gate = None
        base = self._base
        # A subclass of dict may have methods of its own.
        if source.gate is None or type(base.cache) is not dict or base.cache_keys is not base.keys:
            return
        self._gate = source.gate(loop, self._running, new_future)
        self._open_gate()

    # The queue.

    def _begin(self, lane: Lane) -> None:
        """The first key of a batch has come."""
        lane.context = copy_context()
        lane.may_repeat = self._may_lose
        self._waiting.append(lane)
        if self._is_scheduled:
            return
        self._is_scheduled = True
        if self._schedule is None:
            self._seen = self._turns = 0
            loop = self._loop
            assert loop is not None
            loop.call_soon(self._turn, loop)
            return
        try:
            self._schedule(self.dispatch)
        except BaseException:
            # The load fails, so nothing of it may stay.
            self._is_scheduled = False
            self._waiting.remove(lane)
            self._drop(lane, lane.cache_keys[0], lane.futures[0])
            lane.empty()
            self._open_gate()
            raise

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the queue once in each turn of the loop; send it after one that has brought nothing."""
        count = sum([len(lane.keys) for lane in self._waiting])
        if count != self._seen and self._turns < TURNS_MAX:
            self._seen = count
            self._turns += 1
            loop.call_soon(self._turn, loop)
        else:
            self.dispatch()

    def _send(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        asked = len(lane.keys)
        if lane.may_repeat:
            self._join_repeated(lane)
        if not source.all_wait(lane.futures):
            self._leave_out_cancelled(lane)
        keys, cache_keys, futures, context = lane.keys, lane.cache_keys, lane.futures, lane.context
        assert context is not None
        lane.empty()
        if not self.cache_enabled:
            lane.cache = {}
        if lane is self._base:
            self._open_gate()
        count = len(keys)
        self._unsent += asked - count
        self._sent += count
        size = self.max_batch_size or count
        for start in range(0, count, size):
            some = slice(start, start + size)
            part = keys[some]
            self._batches += 1
            self._largest = max(self._largest, len(part))
            chunk = Chunk(self, lane, part, part if cache_keys is keys else cache_keys[some], futures[some])
            # A context of its own: what one chunk sets is not the next one's.
            chunk.start(loop, context.copy())

    def _join_repeated(self, lane: Lane) -> None:
        """Have a key once that the cache has lost while it was in the queue, and all who wait for it together."""
        kept: dict[Any, tuple[Any, Future[Any]]] = {}
        for key, cache_key, future in zip(lane.keys, lane.cache_keys, lane.futures, strict=True):
            known = kept.get(cache_key)
            if known is not None:
                key, former = known  # noqa: PLW2901 - as it was first asked for
                others = [former, *self._followers.pop(former, ())]
                self._followers.setdefault(future, []).extend(others)
            kept[cache_key] = key, future
        self._refill(lane, [(key, cache_key, future) for cache_key, (key, future) in kept.items()])

    def _leave_out_cancelled(self, lane: Lane) -> None:
        """Nobody waits for some keys any more: they are not sent."""
        wanted: list[tuple[Any, Any, Future[Any]]] = []
        for key, cache_key, future in zip(lane.keys, lane.cache_keys, lane.futures, strict=True):
            if not future.done() or any(not one.done() for one in self._followers.get(future, ())):
                wanted.append((key, cache_key, future))
            else:
                self._followers.pop(future, None)
                self._drop(lane, cache_key, future)
        self._refill(lane, wanted)

    @staticmethod
    def _refill(lane: Lane, items: list[tuple[Any, Any, Future[Any]]]) -> None:
        is_folded = lane.cache_keys is not lane.keys
        lane.keys = [key for key, _, _ in items]
        lane.cache_keys = [cache_key for _, cache_key, _ in items] if is_folded else lane.keys
        lane.futures = [future for _, _, future in items]

    # The cache.

    def _lane(self, transactions: tuple[Transaction, ...]) -> Lane:
        """The lane of the transactions that the running task is in."""
        stages = tuple([transaction.stage for transaction in transactions])
        lane = self._lanes.get(stages)
        if lane is None:
            for known, other in list(self._lanes.items()):
                if not other.keys and any(stage.is_over for stage in known):
                    del self._lanes[known]
            lane = self._lanes[stages] = Lane({}, is_folded=self._cache_key is not None)
        return lane

    def _follow(self, future: Future[Any]) -> Future[V]:
        """Return a future of its own to somebody who asks for what is on its way."""
        follower: Future[V] = self._new_future()
        self._followers.setdefault(future, []).append(follower)
        return follower

    def _done(self, outcome: Any) -> Future[Any]:
        """Return a future that anybody may have."""
        future: Future[Any] = self._new_future()
        if isinstance(outcome, BaseException):
            future.set_exception(rejection(outcome, self.name, self._function))
            future.exception()  # that nobody asks for it is no fault
        else:
            future.set_result(outcome)
        return future

    def _replace(self, lane: Lane, cache_key: Any, future: Future[Any], outcome: Any) -> None:
        """Remember an answer in place of a future that was cancelled."""
        if lane.cache.get(cache_key) is future:
            lane.cache[cache_key] = self._done(outcome)

    @staticmethod
    def _drop(lane: Lane, cache_key: Any, future: Future[Any]) -> None:
        """Forget a key, where the cache has not got something else for it meanwhile."""
        if lane.cache.get(cache_key) is future:
            del lane.cache[cache_key]

    def _fold(self, key: Any) -> Any:
        cache_key = key if self._cache_key is None else self._cache_key(key)
        self._check_hashable(cache_key)
        return cache_key

    def _check_hashable(self, cache_key: Any) -> None:
        try:
            hash(cache_key)
        except TypeError:
            raise UnhashableKey(self.name, cache_key) from None

    def _move(self) -> None:
        """Serve another event loop from now on, the running one.

        Raises:
            AnotherLoop: The former one is not done with.
            RuntimeError: No event loop is running.
        """
        loop = asyncio.get_running_loop()
        former = self._loop
        if loop is former:
            return  # one that was stopped meanwhile, or runs in another thread now
        if former is not None:
            if not former.is_closed() and (former.is_running() or self._waiting or self._chunks):
                raise AnotherLoop(self.name)
            # Futures of the former loop must not be awaited on this one.
            self._base.cache.clear()
            self._base.empty()
            self._lanes.clear()
            self._waiting = []
            self._chunks.clear()
            self._followers.clear()
            self._is_scheduled = False
        self._loop = loop
        self._thread = get_ident()
        self._is_running = loop.is_running
        is_usual = _makes_usual_futures(loop)
        self._new_future = partial(source.future, loop=loop) if is_usual else loop.create_future
        self._make_gate(loop, None if is_usual else loop.create_future)
