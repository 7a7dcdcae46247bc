"""`enqueue`, `all_wait`, `answer` of the extension: the usual way of a load, for hyper-dataloader."""

import asyncio
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
import uvloop
from hyperdjango.database._native import native

RUNNING: ContextVar[Any] = ContextVar("running", default=())
ANYTHING: Any = native.enqueue


def new_future() -> object:
    return object()


class Loop:
    """What says in which thread it runs."""

    def __init__(self, thread: object = None) -> None:
        self._thread_id = threading.get_ident() if thread is None else thread


def gate(**changes: Any) -> Any:
    parts = {
        "loop": Loop(),
        "thread": threading.get_ident(),
        "is_running": None,
        "running": RUNNING,
        "cache": {},
        "keys": ["first"],
        "futures": ["of the first"],
        "new_future": new_future,
        "hits": [0],
    }
    return tuple({**parts, **changes}.values())


def test_a_key_waits_in_the_queue_and_its_future_in_the_cache() -> None:
    made = gate()
    future = native.enqueue(made, "key")
    assert made[4] == {"key": future}
    assert made[5] == ["first", "key"]
    assert made[6] == ["of the first", future]
    assert made[8] == [0]


class Made:
    def __init__(self, *, loop: object) -> None:
        self.loop = loop


def test_a_class_of_futures_is_called_with_the_loop() -> None:
    made = gate(new_future=Made)
    assert native.enqueue(made, "key").loop is made[0]
    with pytest.raises(TypeError):
        native.enqueue(gate(new_future=object), "key")


async def test_a_future_that_is_done_is_found_and_counted() -> None:
    loop = asyncio.get_running_loop()
    done, waits, cancelled = (loop.create_future() for _ in range(3))
    done.set_result(5)
    cancelled.cancel()
    made = gate(cache={"done": done, "waits": waits, "cancelled": cancelled})
    assert native.enqueue(made, "done") is done
    assert native.enqueue(made, "waits") is None
    assert native.enqueue(made, "cancelled") is None
    assert made[8] == [1]
    assert made[5] == ["first"]


def test_what_is_not_usual_is_left_to_the_caller() -> None:
    for made in (
        gate(keys=[], futures=[]),
        gate(loop=Loop(5)),
        gate(thread=5, is_running=lambda: True),
        gate(is_running=lambda: False),
    ):
        assert native.enqueue(made, "key") is None
        assert made[4] == {}
    made = gate()
    token = RUNNING.set((1,))
    assert native.enqueue(made, "key") is None
    RUNNING.reset(token)
    assert native.enqueue(gate(running=ContextVar("no default")), "key") is None
    assert native.enqueue(made, "key") is not None


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_loop_that_does_not_run_here_is_noticed(runner: Callable[[Any], Any]) -> None:
    async def made_here() -> Any:
        loop = asyncio.get_running_loop()
        is_running = None if isinstance(getattr(loop, "_thread_id", None), int) else loop.is_running
        made = gate(loop=loop, is_running=is_running)
        assert native.enqueue(made, "inside") is not None
        assert await asyncio.to_thread(native.enqueue, made, "in a thread") is None
        return made

    made = runner(made_here())
    assert native.enqueue(made, "after") is None
    assert list(made[4]) == ["inside"]


def fails() -> object:
    raise ZeroDivisionError


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


WRONG: list[Any] = [
    ((), TypeError),
    ((1, 2), TypeError),
    (((1,) * 9, 2), TypeError),
    (((1,) * 8, 2), TypeError),
    ((gate(cache=[]), 1), TypeError),
    ((gate(keys=()), 1), TypeError),
    ((gate(futures=()), 1), TypeError),
    ((gate(hits=0), 1), TypeError),
    ((gate(running=None), 1), TypeError),
    ((gate(running=5), 1), TypeError),
    ((gate(loop=object()), 1), AttributeError),
    ((gate(loop=Loop("x")), 1), TypeError),
    ((gate(thread="x", is_running=fails), 1), TypeError),
    ((gate(is_running=fails), 1), ZeroDivisionError),
    ((gate(is_running=5), 1), TypeError),
    ((gate(new_future=fails), 1), ZeroDivisionError),
    ((gate(cache={1: object()}), 1), AttributeError),
    ((gate(), Unhashable()), TypeError),
]


@pytest.mark.parametrize(("arguments", "error"), WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_what_is_no_gate_is_refused_and_nothing_is_kept(arguments: Any, error: type[Exception]) -> None:
    watched = [one for one in arguments if not isinstance(one, int)]
    watched += [
        part for one in watched if isinstance(one, tuple) for part in one if not isinstance(part, int)
    ]
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(20):
        with pytest.raises(error):
            ANYTHING(*arguments)
    assert [sys.getrefcount(one) for one in watched] == before
    for made in arguments[:1]:
        if isinstance(made, tuple) and len(made) == 9 and isinstance(made[5], list):
            assert made[5] == ["first"]


async def test_the_count_of_what_was_found_may_be_spoilt() -> None:
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    for hits in ([], ["x"], [2**70]):
        with pytest.raises((IndexError, TypeError, OverflowError)):
            native.enqueue(gate(cache={1: done}, hits=hits), 1)


def test_keys_and_futures_are_kept_by_the_queue_and_the_cache_alone() -> None:
    made = gate()
    key = object()
    before = sys.getrefcount(key)
    native.enqueue(made, key)
    assert sys.getrefcount(key) == before + 2
    known = [object()]
    remembered = {"known": known[0]}
    counts = sys.getrefcount(made[6][1]), sys.getrefcount(known[0])
    assert counts[0] == counts[1]
    assert len(remembered) == len(made[4])
    made[4].clear()
    made[5].clear()
    assert sys.getrefcount(key) == before


async def test_futures_are_answered_up_to_the_first_unusual_one() -> None:
    loop = asyncio.get_running_loop()

    def some() -> list[asyncio.Future[Any]]:
        return [loop.create_future() for _ in range(4)]

    futures = some()
    assert native.all_wait(futures)
    assert native.answer(futures, [1, 2, None, 4]) == 4
    assert [future.result() for future in futures] == [1, 2, None, 4]
    assert not native.all_wait(futures)
    cancelled = some()
    cancelled[2].cancel()
    assert not native.all_wait(cancelled)
    assert native.answer(cancelled, [1, 2, 3, 4]) == 2
    assert not cancelled[3].done()
    for error in (ValueError(), KeyboardInterrupt(), asyncio.CancelledError()):
        futures = some()
        assert native.answer(futures, [1, error, 3, 4]) == 1
        assert [future.done() for future in futures] == [True, False, False, False]
    assert native.answer(some(), [ValueError]) == 1  # a class is a value
    assert native.answer(some(), []) == native.answer([], [1]) == 0
    assert native.all_wait([])


class Spoils:
    """A future that empties the lists."""

    def __init__(self, *lists: list[Any]) -> None:
        self.lists = lists

    def done(self) -> bool:
        for one in self.lists:
            one.clear()
        return False

    def set_result(self, _: object) -> None:
        pass


def test_futures_that_empty_the_lists_do_no_harm() -> None:
    futures: list[Any] = []
    values: list[Any] = [1, 2, 3]
    futures += [Spoils(futures, values) for _ in range(3)]
    assert native.answer(futures, values) == 1
    futures += [Spoils(futures) for _ in range(3)]
    assert native.all_wait(futures)


@pytest.mark.parametrize("wrong", [None, (), {}, 5, "x"], ids=repr)
def test_only_lists_of_futures_are_answered(wrong: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: native.all_wait(wrong),
        lambda: native.answer(wrong, []),
        lambda: native.answer([], wrong),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(AttributeError):
        native.all_wait([object()])
    with pytest.raises(AttributeError):
        native.answer([object()], [1])
    with pytest.raises(TypeError):
        native.answer([])  # type: ignore[call-arg]


def test_values_are_kept_by_their_futures_alone() -> None:
    loop = asyncio.new_event_loop()
    value = object()
    values = [value] * 3
    before = sys.getrefcount(value)
    futures = [loop.create_future() for _ in range(3)]
    native.answer(futures, values)
    after = sys.getrefcount(value)
    assert after == before + 3
    loop.close()
