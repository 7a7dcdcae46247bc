"""A batch under way: its task, whether anybody still waits for it, and who gets which answer.

Made by `_queue` for each call of the batch function. To cancel a waiter cancels its future, and nothing of ours
is called; so one future at a time has a callback, and when that one is cancelled the callback moves on.
"""
# A chunk is a part of its loader, and uses what nobody else should:
# pyright: reportPrivateUsage=false

import asyncio
from asyncio import CancelledError, Future
from collections.abc import Sequence
from contextvars import Context
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from hyperdjango.dataloader._lane import Lane, source
from hyperdjango.dataloader._results import rejection, values_of
from hyperdjango.dataloader.errors import BatchResultError

if TYPE_CHECKING:
    from hyperdjango.dataloader._queue import Queue


class Chunk:
    """Some keys of one lane, and the futures of those who want to know."""

    __slots__ = (
        "_cache_keys",
        "_futures",
        "_index",
        "_keys",
        "_lane",
        "_loader",
        "_runner",
        "_task",
        "_watched",
    )

    def __init__(
        self,
        loader: "Queue[Any, Any]",
        lane: Lane,
        keys: list[Any],
        cache_keys: list[Any],
        futures: list[Future[Any]],
    ) -> None:
        self._loader = loader
        self._lane = lane
        self._keys = keys
        self._cache_keys = cache_keys
        self._futures = futures
        # Of the waiters that are watched one by one: the first callers, then those who joined them.
        self._watched: list[Future[Any]] = futures
        self._index = -1
        self._task: asyncio.Task[None] | None = None
        # The same, from its first step on, which an eager task takes before anybody has it.
        self._runner: asyncio.Task[Any] | None = None

    def start(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Call the batch function in a task."""
        self._loader._chunks.add(self)
        task = loop.create_task(self._run(), context=context, name=self._loader._task_name)
        if task.done():  # an eager one may be
            self._loader._chunks.discard(self)
            return
        self._task = task
        task.add_done_callback(self._ended)
        self._watch()

    def is_of(self, task: "asyncio.Task[Any]", future: Future[Any]) -> bool:
        """Whether it runs in a task, and is to answer a future."""
        return self._runner is task and future in self._futures

    # Whether anybody waits.

    def _watch(self) -> None:
        """Have the next waiter that is not cancelled tell when it is; without any, cancel the batch."""
        index = self._index + 1
        while True:
            while index < len(self._watched):
                future = self._watched[index]
                if not future.done():
                    self._index = index
                    future.add_done_callback(self._moves_on)
                    return
                index += 1
            # Those who joined later; they are few, or none.
            self._watched = self._joined()
            index = 0
            if not self._watched:
                break
        # Whoever asks for these keys from now on needs a batch that is not cancelled.
        self._forget()
        assert self._task is not None
        self._task.cancel()

    def _joined(self) -> list[Future[Any]]:
        followers = self._loader._followers
        if not followers:
            return []
        return [one for future in self._futures for one in followers.get(future, ()) if not one.done()]

    def _moves_on(self, _: Future[Any]) -> None:
        if self._task is not None:
            self._watch()

    def _end_watch(self) -> None:
        self._task = self._runner = None
        if 0 <= self._index < len(self._watched):
            self._watched[self._index].remove_done_callback(self._moves_on)

    # The task.

    async def _run(self) -> None:
        loader = self._loader
        self._runner = asyncio.current_task()
        try:
            answer: Any = loader._batch_fn(self._keys.copy())
            if not isawaitable(answer):
                raise BatchResultError(
                    f"DataLoader {loader.name!r}: {loader._function}() must be a coroutine function, "
                    f"it returned {type(answer).__name__}"
                )
            values = values_of(await answer, self._cache_keys, loader.name, loader._function)
        except (Exception, CancelledError, KeyboardInterrupt, SystemExit) as error:
            self._end_watch()
            self._fail(error)
            if not isinstance(error, (Exception, CancelledError)):
                raise
        else:
            self._end_watch()
            self._answer(values)
        finally:
            # An error's traceback holds this frame; what this holds leads to futures that hold the error.
            del self, loader

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever has become of the task, nobody is left waiting."""
        self._loader._chunks.discard(self)
        if self._task is not None:  # it was cancelled before it had begun
            self._end_watch()
            self._give_up()
        elif not task.cancelled():
            task.exception()  # the loop has raised it already

    def _answer(self, values: list[Any]) -> None:
        """Give each waiter the value of its key."""
        followers = self._loader._followers
        answered = 0 if followers else source.answer(self._futures, values)
        # Behind the first that is cancelled, or whose value is an exception.
        for index in range(answered, len(values)):
            future = self._futures[index]
            self._answer_one(index, future, values[index], followers.pop(future, ()))

    def _answer_one(
        self, index: int, future: Future[Any], value: Any, followers: Sequence[Future[Any]]
    ) -> None:
        is_error = isinstance(value, BaseException)
        if is_error:
            self._loader._errors += 1
            value = rejection(value, self._loader.name, self._loader._function)
        for one in (future, *followers):
            if not one.done():
                if is_error:
                    one.set_exception(value)
                else:
                    one.set_result(value)
        if future.cancelled():
            # The cache has it, and those who come later wait for none that is cancelled.
            self._loader._replace(self._lane, self._cache_keys[index], future, value)

    def _fail(self, error: BaseException) -> None:
        """Reject all keys and remember nothing."""
        task = asyncio.current_task()
        if isinstance(error, CancelledError) and task is not None and task.cancelling():
            self._give_up()
            return
        self._forget()
        loader = self._loader
        loader._errors += len(self._futures)
        waiters = self._waiters()
        if not waiters and isinstance(error, Exception):
            # All were cancelled, and the batch has failed nevertheless: somebody must hear of it.
            loop = asyncio.get_running_loop()
            message = f"DataLoader {loader.name!r}: a batch that nobody waited for any more has failed"
            loop.call_exception_handler({"message": message, "exception": error})
        if waiters:
            error = rejection(error, loader.name, loader._function)
        for one in waiters:
            one.set_exception(error)

    def _give_up(self) -> None:
        """The task was cancelled from outside, as by the end of its loop: so are those who wait for it."""
        self._forget()
        for one in self._waiters():
            one.cancel()

    def _waiters(self) -> list[Future[Any]]:
        """Take all who wait."""
        followers = self._loader._followers
        waiters: list[Future[Any]] = []
        for future in self._futures:
            waiters += [one for one in (future, *followers.pop(future, ())) if not one.done()]
        return waiters

    def _forget(self) -> None:
        """Take its keys out of the cache, where they are still its own."""
        for cache_key, future in zip(self._cache_keys, self._futures, strict=True):
            self._loader._drop(self._lane, cache_key, future)
