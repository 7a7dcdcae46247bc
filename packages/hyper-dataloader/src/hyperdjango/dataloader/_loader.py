"""DataLoader: one key at a time is asked for, many at a time are fetched. Its queue and cache are in `_queue`."""

from asyncio import Future
from collections.abc import Callable, Coroutine, Hashable, Iterable, MutableMapping
from typing import Any, Final, Literal, Self, overload

from hyperdjango.dataloader._many import all_of
from hyperdjango.dataloader._queue import BatchFunction, K, Queue, Schedule, V
from hyperdjango.dataloader._stats import LoaderStats


class _All:
    """What stands for every key, since None may be one."""

    def __repr__(self) -> str:
        """As it stands in the signature of `clear`."""
        return "ALL"


ALL: Final = _All()


class DataLoader(Queue[K, V]):
    """Gathers the keys that tasks ask for in one turn of the loop and fetches them together.

    It belongs to one event loop at a time, and mostly to one request: see `loader_scope`.

    Attributes:
        name: What errors call it.
        max_batch_size: How many keys a call of the batch function is given at most.
        cache_enabled: Whether it remembers what was loaded.
    """

    def __init__(
        self,
        batch_fn: BatchFunction[K, V],
        max_batch_size: int | None = 100,
        cache_enabled: bool = True,
        *,
        cache_key: Callable[[K], Hashable] | None = None,
        cache_map: MutableMapping[Any, Future[V]] | None = None,
        schedule: Schedule | None = None,
        name: str | None = None,
    ) -> None:
        """Take down how to load; nothing is called yet.

        Args:
            batch_fn: A coroutine function of a list of distinct keys. It returns a value for each key, in
                their order, or a mapping; an exception in the place of a value rejects that key alone.
            max_batch_size: More keys than that go in several calls at once; None is no limit.
            cache_enabled: Whether a key that was loaded once is remembered. Without, keys are fetched once in
                each batch.
            cache_key: Makes of a key what it is remembered by, and what a mapping is asked for.
            cache_map: Where futures are remembered, outside of transactions: anything with a dict's methods,
                as an LRU. It is emptied when the loader moves to another loop.
            schedule: Called with `dispatch` when the first key of a batch has come, in place of waiting for
                the turns of the loop.
            name: By itself that of the batch function.
        Raises:
            TypeError: `batch_fn` cannot be called.
            ValueError: `max_batch_size` is less than 1, or there is a `cache_map` and no cache.
        """
        if not callable(batch_fn):
            raise TypeError(f"batch_fn must be a coroutine function of keys, not {type(batch_fn).__name__}")
        if max_batch_size is not None and max_batch_size < 1:
            raise ValueError(f"max_batch_size must be 1 or more, or None, not {max_batch_size}")
        if cache_map is not None and not cache_enabled:
            raise ValueError("cache_map= is where futures are remembered; cache_enabled=False remembers none")
        super().__init__(batch_fn, name=name, cache_key=cache_key, cache_map=cache_map, schedule=schedule)
        self.max_batch_size = max_batch_size
        self.cache_enabled = cache_enabled

    def __repr__(self) -> str:
        """Its name; keys are the user's."""
        return f"<DataLoader {self.name}>"

    def load(self, key: K) -> Future[V]:
        """Ask for the value of one key.

        The key is in the queue when this returns, whether its future is awaited at once or later.

        Args:
            key: Hashable, or `cache_key` makes something hashable of it.
        Returns:
            A future for this caller, or one that is done: to cancel it affects no other caller.
        Raises:
            UnhashableKey: It cannot be looked up; a TypeError.
            AnotherLoop: The loader serves another event loop.
            OwnKey: A batch function asks for a key of its own batch.
            RuntimeError: No event loop is running.
        """
        return self._load(key)

    @overload
    def load_many(
        self, keys: Iterable[K], *, return_exceptions: Literal[False] = False
    ) -> Coroutine[Any, Any, list[V]]: ...
    @overload
    def load_many(
        self, keys: Iterable[K], *, return_exceptions: Literal[True]
    ) -> Coroutine[Any, Any, list[V | Exception]]: ...
    def load_many(
        self, keys: Iterable[K], *, return_exceptions: bool = False
    ) -> Coroutine[Any, Any, list[Any]]:
        """Ask for the values of several keys, which are in the queue when this returns.

        Args:
            keys: In any number; each as for `load`.
            return_exceptions: An error stands in the place of its key's value.
        Returns:
            A coroutine of the values in the order of the keys. It waits for all; then the error of the first
            key that has one is raised.
        Raises:
            As `load`; then none of the keys is asked for.
        """
        futures: list[Future[V]] = []
        try:
            for key in keys:
                futures.append(self.load(key))  # noqa: PERF401 - those before a key that fails are given up
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return all_of(futures, return_exceptions=return_exceptions)

    def prime(self, key: K, value: V | Exception, force: bool = False) -> Self:
        """Put a value into the cache, inside of a transaction into that of the transaction.

        Where the key is there already, or on its way, nothing changes; without a cache nothing ever does.

        Args:
            key: As for `load`.
            value: An exception is raised by each load of the key.
            force: Replace what is there. Who waits for the key already gets what its batch brings.
        Returns:
            The loader.
        Raises:
            As `load`.
        """
        if not self.cache_enabled:
            return self
        lane = self._here()
        cache_key = self._fold(key)
        if force or lane.cache.get(cache_key) is None:
            lane.cache[cache_key] = self._done(value)
        return self

    def clear(self, key: K | _All = ALL) -> Self:
        """Forget a key, or all of them; in all transactions. Who waits already gets what was asked for.

        Args:
            key: As for `load`.
        Returns:
            The loader.
        Raises:
            UnhashableKey: It cannot be looked up; a TypeError.
        """
        if not self.cache_enabled:
            return self
        cache_key = None if isinstance(key, _All) else self._fold(key)
        for lane in (self._base, *self._lanes.values()):
            if isinstance(key, _All):
                lane.cache.clear()
            else:
                lane.cache.pop(cache_key, None)
            lane.may_repeat = bool(lane.keys)
        return self

    def stats(self) -> LoaderStats:
        """Return what it has done so far."""
        hits = self._hits + (0 if self._gate is None else self._gate.hits)
        asked = self._sent + self._unsent + sum([len(lane.keys) for lane in self._waiting])
        return LoaderStats(
            loads=asked + hits,
            cache_hits=hits,
            batches=self._batches,
            keys=self._sent,
            largest_batch=self._largest,
            errors=self._errors,
        )
