"""`Gate`, `QuickLoad`, `all_wait`, `answer` of the extension: the usual way of a load, for hyper-dataloader."""

import asyncio
import gc
import inspect
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
import uvloop
from hyperdjango.database._native import native

RUNNING: ContextVar[Any] = ContextVar("running", default=())
ANYTHING: Any = native
RUNNERS = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


class Slotted:
    """Where a gate is found."""

    __slots__ = ("__weakref__", "gate")

    gate: Any


class Loader(Slotted):
    """What has a load; `python` has the keys that were left to the Python function."""

    def __init__(self, **options: Any) -> None:
        self.cache: dict[Any, Any] = {}
        self.keys: list[Any] = ["first"]
        self.futures: list[Any] = ["of the first"]
        self.python: list[Any] = []
        self.gate = native.Gate(asyncio.get_running_loop(), RUNNING, **options)
        self.gate.use(self.cache, self.keys, self.futures)

    def load(self, key: Any) -> Any:
        """Say that the gate did not."""
        self.python.append(key)
        return None

    load = native.QuickLoad(load, vars(Slotted)["gate"])


async def test_a_key_waits_in_the_queue_and_its_future_in_the_cache() -> None:
    loader = Loader()
    future = loader.load("key")
    assert isinstance(future, native.LoadFuture)
    assert future.get_loop() is asyncio.get_running_loop()
    assert loader.cache == {"key": future}
    assert loader.keys == ["first", "key"]
    assert loader.futures == ["of the first", future]
    assert (loader.gate.hits, loader.python) == (0, [])


async def test_what_makes_futures_otherwise_is_called() -> None:
    assert Loader(new_future=list).load("key") == []

    def fails() -> object:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Loader(new_future=fails).load("key")
    with pytest.raises(TypeError):
        Loader(new_future=5).load("key")


@pytest.mark.parametrize("make", [native.LoadFuture, asyncio.Future], ids=["ours", "asyncio"])
async def test_a_future_that_is_done_is_found_and_counted(make: Callable[..., Any]) -> None:
    done, waits, cancelled, failed = (make(loop=asyncio.get_running_loop()) for _ in range(4))
    done.set_result(5)
    cancelled.cancel()
    failed.set_exception(ValueError())
    failed.exception()
    loader = Loader()
    loader.cache.update({"done": done, "waits": waits, "cancelled": cancelled, "failed": failed})
    assert loader.load("done") is done
    assert loader.load("failed") is failed
    assert loader.load("waits") is None
    assert loader.load("cancelled") is None
    assert loader.python == ["waits", "cancelled"]
    assert loader.gate.hits == 2
    assert loader.keys == ["first"]


async def test_what_is_not_usual_is_left_to_the_function() -> None:
    loader = Loader()
    loader.keys.clear()
    assert loader.load("first of a queue") is None
    loader.keys.append("first")
    token = RUNNING.set((1,))
    assert loader.load("in a transaction") is None
    RUNNING.reset(token)
    gate = loader.gate
    for other in (None, 5, native.Gate(asyncio.get_running_loop(), RUNNING)):
        loader.gate = other
        assert loader.load("no gate") is None
    del loader.gate
    assert loader.load("no gate") is None
    loader.gate = native.Gate(asyncio.get_running_loop(), ContextVar("no default"))
    loader.gate.use(loader.cache, loader.keys, loader.futures)
    assert loader.load("no value") is None
    loader.gate = gate
    assert loader.load(key="by name") is None
    assert loader.cache == {}
    assert loader.load("usual") is not None
    with pytest.raises(TypeError, match="positional"):
        loader.load(1, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing"):
        loader.load()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Loader.load(5, 6)  # type: ignore[arg-type]


@RUNNERS
def test_a_loop_that_does_not_run_here_is_noticed(runner: Callable[[Any], Any]) -> None:
    async def made_here() -> Loader:
        loader = Loader()
        assert loader.load("inside") is not None
        assert await asyncio.to_thread(loader.load, "in a thread") is None
        return loader

    async def other(loader: Loader) -> None:
        assert loader.load("on another loop") is None

    loader = runner(made_here())
    assert loader.load("after") is None
    runner(other(loader))
    assert list(loader.cache) == ["inside"]


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


class Fails:
    def __hash__(self) -> int:
        raise ZeroDivisionError


async def test_a_key_that_cannot_be_looked_up_is_left_to_the_function() -> None:
    loader = Loader()
    key = Unhashable()
    before = sys.getrefcount(key), sys.getrefcount(loader.gate)
    for _ in range(20):
        assert loader.load(key) is None
        with pytest.raises(ZeroDivisionError):
            loader.load(Fails())
    loader.python.clear()
    assert (sys.getrefcount(key), sys.getrefcount(loader.gate)) == before
    assert loader.keys == ["first"]


async def test_a_key_may_replace_the_queue_while_it_is_hashed() -> None:
    loader = Loader()

    class Replaces:
        def __hash__(self) -> int:
            if loader.gate is not None:
                loader.gate.use({}, ["first"], [])
                loader.gate = None
                gc.collect()
            return 5

    assert loader.load(Replaces()) is not None
    assert len(loader.keys) == 2


async def test_what_is_no_future_is_refused() -> None:
    loader = Loader()
    thing = object()
    loader.cache["key"] = thing
    before = sys.getrefcount(thing)
    for _ in range(10):
        with pytest.raises(AttributeError):
            loader.load("key")
    assert sys.getrefcount(thing) == before


WRONG: list[Callable[[], object]] = [
    ANYTHING.Gate,
    lambda: ANYTHING.Gate(5),
    lambda: ANYTHING.Gate(asyncio.get_running_loop(), None),
    lambda: ANYTHING.Gate(asyncio.get_running_loop(), RUNNING, futures=5),
    lambda: ANYTHING.Gate(asyncio.get_running_loop(), RUNNING).use({}, []),
    lambda: ANYTHING.Gate(asyncio.get_running_loop(), RUNNING).use([], [], []),
    lambda: ANYTHING.Gate(asyncio.get_running_loop(), RUNNING).use({}, (), []),
    lambda: ANYTHING.Gate(asyncio.get_running_loop(), RUNNING).use({}, [], None),
    ANYTHING.QuickLoad,
    lambda: ANYTHING.QuickLoad(len),
    lambda: ANYTHING.QuickLoad(len, len),
    lambda: ANYTHING.QuickLoad(len, int.real),
]


@pytest.mark.parametrize("wrong", WRONG, ids=[str(n) for n in range(len(WRONG))])
async def test_what_is_no_gate_and_no_method_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        wrong()


async def test_keys_and_futures_are_kept_by_the_queue_and_the_cache_alone() -> None:
    loader = Loader()
    key = object()
    before = sys.getrefcount(key)
    loader.load(key)
    assert sys.getrefcount(key) == before + 2
    future = loader.futures[1]
    other = Loader().load(key)
    assert sys.getrefcount(future) == sys.getrefcount(other) + 2
    loader.cache.clear()
    loader.keys.clear()
    assert sys.getrefcount(key) == before


async def test_a_loader_goes_with_its_last_reference() -> None:
    gc.disable()
    try:
        loader = Loader()
        loader.load("key")
        gone = weakref.ref(loader)
        del loader
        assert gone() is None
    finally:
        gc.enable()


async def test_a_gate_that_its_loader_s_cache_leads_to_is_collected() -> None:
    loader = Loader()
    loader.cache["loader"] = loader
    gone = weakref.ref(loader)
    del loader
    gc.collect()
    assert gone() is None


async def test_a_method_tells_what_its_function_does() -> None:
    assert Loader.load.__doc__ == "Say that the gate did not."
    assert Loader.load.__name__ == "load"
    assert Loader.load.__module__ == __name__
    assert str(inspect.signature(Loader.load)).startswith("(self, key: ")
    assert str(inspect.signature(Loader().load)).startswith("(key: ")
    assert inspect.isroutine(Loader.load)
    with pytest.raises(AttributeError):
        _ = ANYTHING.QuickLoad(len, vars(Slotted)["gate"]).nothing


async def test_a_loader_s_class_may_be_derived_from() -> None:
    class Derived(Loader):
        def load(self, key: Any) -> Any:
            return super().load(key), "and more"

    assert isinstance(Derived().load("key")[0], native.LoadFuture)


def test_threads_that_load_at_once_do_no_harm() -> None:
    async def made() -> Loader:
        return Loader()

    loader = asyncio.run(made())

    async def many() -> None:
        for number in range(2000):
            loader.load(number)

    def others() -> None:
        for number in range(2000):
            loader.load(number)
            loader.gate.use({}, ["first"], [])

    threads = [threading.Thread(target=others), threading.Thread(target=lambda: asyncio.run(many()))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert loader.keys == ["first"]


@pytest.mark.parametrize("make", [native.LoadFuture, asyncio.Future], ids=["ours", "asyncio"])
async def test_futures_are_answered_up_to_the_first_unusual_one(make: Callable[..., Any]) -> None:
    loop = asyncio.get_running_loop()

    def some() -> list[asyncio.Future[Any]]:
        return [make(loop=loop) for _ in range(4)]

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


@pytest.mark.parametrize("make", [native.LoadFuture, asyncio.Future], ids=["ours", "asyncio"])
def test_values_are_kept_by_their_futures_alone(make: Callable[..., Any]) -> None:
    loop = asyncio.new_event_loop()
    value = object()
    values = [value] * 3
    before = sys.getrefcount(value)
    futures = [make(loop=loop) for _ in range(3)]
    native.answer(futures, values)
    after = sys.getrefcount(value)
    assert after == before + 3
    loop.close()
