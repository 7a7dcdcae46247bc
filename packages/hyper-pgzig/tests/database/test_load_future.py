"""`LoadFuture` of the extension does what `asyncio.Future` does: one beside the other."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
import uvloop
from hyperdjango.database._native import native
from hypothesis import given, settings
from hypothesis import strategies as st

MAKERS: dict[str, Callable[..., Any]] = {"ours": native.LoadFuture, "asyncio": asyncio.Future}
RUNNERS = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
NOTE: ContextVar[Any] = ContextVar("note", default=None)
NO_KEYWORD: Any = {"loops": None}
OUTCOMES = [None, 5, (), (1, 2), "x", ValueError("a value"), StopIteration(3), [1], asyncio.CancelledError()]
ERRORS: list[Any] = [
    ValueError,
    ValueError("x"),
    KeyError(1),
    StopIteration,
    StopIteration(1),
    asyncio.CancelledError("y"),
    int,
    5,
    None,
    KeyboardInterrupt(),
]


def refuses_stop_iteration() -> bool:
    """Whether asyncio's own does: until an early 3.12 it puts no RuntimeError in its place."""
    loop = asyncio.new_event_loop()
    future: asyncio.Future[None] = asyncio.Future(loop=loop)
    try:
        future.set_exception(StopIteration())
    except TypeError:
        return True
    finally:
        loop.close()
    future.exception()
    return False


if sys.version_info >= (3, 12) and refuses_stop_iteration():
    # Ours is one for all of 3.12, and as the later of them.
    ERRORS = [
        error for error in ERRORS if not isinstance(error, StopIteration) and error is not StopIteration
    ]


class Loop:
    """Writes down what it is asked to call."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.told: list[dict[str, Any]] = []

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
        note = None if context is None else context.get(NOTE)
        self.calls.append((callback, len(args), note))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.told.append({**context, "future": None})


def callbacks() -> list[Callable[..., Any]]:
    return [print, repr, len]


STEPS = st.one_of(
    st.tuples(st.sampled_from(["done", "cancelled", "result", "exception", "get_loop", "blocking", "state"])),
    st.tuples(st.sampled_from(["_make_cancelled_error", "_cancel_message", "_callbacks", "_log_traceback"])),
    st.tuples(st.sampled_from(["_result", "_exception", "_source_traceback", "forget", "repr", "next"])),
    st.tuples(st.just("set_result"), st.sampled_from(range(len(OUTCOMES)))),
    st.tuples(st.just("set_exception"), st.sampled_from(range(len(ERRORS)))),
    st.tuples(st.just("cancel"), st.sampled_from([None, "message", 5])),
    st.tuples(st.just("say"), st.sampled_from([None, "message"])),
    st.tuples(st.just("add"), st.integers(0, 2)),
    st.tuples(st.just("add in a context"), st.integers(0, 2)),
    st.tuples(st.just("add with a context"), st.integers(0, 2)),
    st.tuples(st.just("remove"), st.integers(0, 2)),
    st.tuples(st.just("block"), st.booleans()),
)


def as_told(value: Any) -> Any:
    """What can be compared."""
    if isinstance(value, BaseException):
        frames = 0
        traceback = value.__traceback__
        while traceback is not None:
            frames, traceback = frames + 1, traceback.tb_next
        return type(value), value.args, frames, as_told(value.__cause__)
    return value


def do(future: Any, loop: Loop, name: str, argument: Any) -> Any:
    match name:
        case "state":
            return future._state
        case "blocking":
            return future._asyncio_future_blocking
        case "block":
            future._asyncio_future_blocking = argument
        case "say":
            future._cancel_message = argument
        case "forget":
            future._log_traceback = False
        case "repr":
            return repr(future).replace("LoadFuture", "Future")
        case "get_loop":
            return future.get_loop() is future._loop is loop
        case "next":
            found = next(iter(future))
            return "itself" if found is future else found
        case "set_result":
            return future.set_result(OUTCOMES[argument])
        case "set_exception":
            return future.set_exception(ERRORS[argument])
        case "cancel":
            return future.cancel() if argument is None else future.cancel(msg=argument)
        case "add":
            return future.add_done_callback(callbacks()[argument])
        case "add in a context":
            return in_a_context(lambda: future.add_done_callback(callbacks()[argument]))
        case "add with a context":
            given = in_a_context(copy_context)
            return future.add_done_callback(callbacks()[argument], context=given)
        case "remove":
            return future.remove_done_callback(callbacks()[argument])
        case "_callbacks":
            return None if not future._callbacks else [(one, at.get(NOTE)) for one, at in future._callbacks]
        case _:
            found = getattr(future, name)
            return found() if callable(found) else found
    return None


def in_a_context(function: Callable[[], Any]) -> Any:
    token = NOTE.set("a context")
    try:
        return function()
    finally:
        NOTE.reset(token)


def play(make: Callable[..., Any], steps: list[tuple[Any, ...]]) -> list[Any]:
    """What each step returns or raises, what the loop was asked to call, what it was told at the end."""
    loop = Loop()
    future = make(loop=loop)
    seen: list[Any] = []
    for name, *rest in steps:
        try:
            seen.append((name, as_told(do(future, loop, name, rest[0] if rest else None))))
        except BaseException as error:
            # How far a traceback that was set reaches; ours has one frame of this file.
            seen.append((name, "raised", as_told(error)))
    for one in [*ERRORS, *OUTCOMES]:
        if isinstance(one, BaseException):
            one.__traceback__ = None
    del future
    seen.append(loop.calls)
    seen.append([str(one["message"]).replace("LoadFuture", "Future") for one in loop.told])
    return seen


@settings(max_examples=400, deadline=None)
@given(steps=st.lists(STEPS, max_size=14))
def test_any_order_of_steps_gives_what_asyncio_gives(steps: list[tuple[Any, ...]]) -> None:
    assert play(native.LoadFuture, steps) == play(asyncio.Future, steps)


def test_it_is_a_future_and_has_its_own_of_all_that_futures_have() -> None:
    assert issubclass(native.LoadFuture, asyncio.Future)
    # The first makes a generic alias, the second is a set of tasks, which asyncio keeps up by itself.
    left = {"__class_getitem__", "_asyncio_awaited_by", "__module__", "__static_attributes__"}
    assert set(vars(asyncio.Future)) - set(vars(native.LoadFuture)) <= left
    assert str(native.LoadFuture[int]).endswith("LoadFuture[int]")
    with pytest.raises(TypeError):
        type("Sub", (native.LoadFuture,), {})


def wrong_calls(make: Callable[..., Any]) -> list[type[BaseException] | None]:
    future = make(loop=Loop())
    tries: list[Callable[[], object]] = [
        lambda: make(5),
        lambda: make(**NO_KEYWORD),
        lambda: future.cancel("a", "b"),
        lambda: future.cancel(message="a"),
        future.add_done_callback,
        lambda: future.add_done_callback(print, None),
        lambda: future.add_done_callback(print, contexts=None),
        future.set_result,
        lambda: setattr(future, "_log_traceback", True),
        lambda: setattr(future, "_state", "PENDING"),
        lambda: setattr(future, "_loop", None),
        lambda: delattr(future, "_asyncio_future_blocking"),
        lambda: delattr(future, "_log_traceback"),
    ]
    raised: list[type[BaseException] | None] = []
    for one in tries:
        try:
            one()
        except Exception as error:
            raised.append(type(error))
        else:
            raised.append(None)
    return raised


def test_wrong_calls_are_refused_as_asyncio_refuses_them() -> None:
    assert wrong_calls(native.LoadFuture) == wrong_calls(asyncio.Future)


async def uses(make: Callable[..., Any]) -> list[Any]:
    """Each function of asyncio that takes a future."""
    loop = asyncio.get_running_loop()
    seen: list[Any] = []

    def soon(outcome: object = 1, delay: float | None = None) -> Any:
        future = make(loop=loop)
        give = future.set_exception if isinstance(outcome, BaseException) else future.set_result
        if delay is None:
            loop.call_soon(give, outcome)
        else:
            loop.call_later(delay, give, outcome)
        return future

    async def note(work: Any) -> None:
        try:
            seen.append(await work)
        except BaseException as error:
            seen.append((type(error), error.args))

    async def waits(future: Any) -> Any:
        return await future

    await note(soon())
    await note(soon(ValueError("x")))
    await note(asyncio.gather(soon(1), soon(2), asyncio.sleep(0, 3)))
    await note(asyncio.gather(soon(KeyError("k")), soon(2)))
    cancelled = make(loop=loop)
    cancelled.cancel("why")
    await note(cancelled)
    await note(asyncio.gather(cancelled, soon(2), return_exceptions=True))
    seen[-1] = [type(seen[-1][0]), seen[-1][0].args, seen[-1][1]]
    await note(asyncio.wait_for(soon(4), 30))
    never = make(loop=loop)
    await note(asyncio.wait_for(never, 0.01))
    seen.append(never.cancelled())
    done, pending = await asyncio.wait([soon(5), make(loop=loop)], return_when=asyncio.FIRST_COMPLETED)
    seen.append(([one.result() for one in done], len(pending)))
    seen.append(sorted([await one for one in asyncio.as_completed([soon(1), soon(2, 0.01)])]))
    inner = make(loop=loop)
    outer = asyncio.shield(inner)
    outer.cancel()
    seen.append((inner.done(), outer.cancelled()))
    never = make(loop=loop)
    try:
        async with asyncio.timeout(0.01):
            await never
    except TimeoutError:
        seen.append(never.cancelled())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(waits(soon(number))) for number in range(3)]
    seen.append([task.result() for task in tasks])
    seen.append((asyncio.isfuture(inner), asyncio.ensure_future(inner) is inner))
    seen.append((asyncio.wrap_future(inner) is inner, asyncio.iscoroutine(inner)))
    shared = soon(8)
    await note(asyncio.gather(*[waits(shared) for _ in range(3)]))
    task = asyncio.create_task(waits(make(loop=loop)))
    await asyncio.sleep(0)
    task.cancel("stop")
    await note(task)
    inside = soon(StopIteration(5))  # a callback raises what it is not given, and the loop is told
    inside.set_result(1)
    await note(inside)
    for outcome in OUTCOMES[:-1]:
        future = make(loop=loop)
        future.set_result(outcome)
        seen.append(await future is outcome)
        seen.append(await waits(future) is outcome)
    return seen


@RUNNERS
def test_each_function_of_asyncio_takes_it(runner: Callable[[Any], Any]) -> None:
    async def quiet(make: Callable[..., Any]) -> list[Any]:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        return await uses(make)

    assert runner(quiet(native.LoadFuture)) == runner(quiet(asyncio.Future))


@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_loop_runs_until_it_is_done_and_refuses_another_loop_s(new_loop: Callable[[], Any]) -> None:
    loop, other = new_loop(), new_loop()
    future = native.LoadFuture[int](loop=loop)
    loop.call_soon(future.set_result, 5)
    assert loop.run_until_complete(future) == 5

    async def waits() -> int:
        return await native.LoadFuture[int](loop=other)

    with pytest.raises(RuntimeError, match="different loop"):
        loop.run_until_complete(waits())
    loop.close()
    closed = native.LoadFuture[int](loop=loop)
    closed.add_done_callback(print)
    with pytest.raises(RuntimeError, match="closed"):
        closed.set_result(1)
    assert closed.result() == 1
    other.close()


def test_callbacks_run_in_their_order_and_context() -> None:
    async def main(make: Callable[..., Any]) -> list[Any]:
        future = make(loop=asyncio.get_running_loop())
        seen: list[Any] = []
        for number in range(5):
            NOTE.set(number)
            future.add_done_callback(
                lambda it, number=number: seen.append((number, NOTE.get(), it is future))
            )
        future.set_result(None)
        NOTE.set("late")
        future.add_done_callback(lambda it: seen.append(("late", NOTE.get(), it is future)))
        await asyncio.sleep(0)
        return seen

    assert asyncio.run(main(native.LoadFuture)) == asyncio.run(main(asyncio.Future))


class Equal:
    """Equal to whatever it is compared with, and does something first."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __eq__(self, other: object) -> bool:
        act, self.act = self.act, int
        act()
        return True

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, _: object) -> None: ...


def test_a_callback_s_comparison_may_do_anything_to_the_future() -> None:
    for act in (
        lambda future: future.add_done_callback(print),
        lambda future: future.cancel(),
        lambda future: future.remove_done_callback(len),
    ):
        future = native.LoadFuture[int](loop=Loop())  # type: ignore[arg-type]
        for one in (len, repr, Equal(lambda future=future, act=act: act(future)), len):  # type: ignore[misc]
            future.add_done_callback(one)  # type: ignore[arg-type]
        future.remove_done_callback(object())  # type: ignore[arg-type]
        future.cancel()
        assert not future._callbacks

    class Fails:
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = None  # type: ignore[assignment]

    future = native.LoadFuture[int](loop=Loop())  # type: ignore[arg-type]
    future.add_done_callback(print)
    with pytest.raises(ZeroDivisionError):
        future.remove_done_callback(Fails())  # type: ignore[arg-type]
    assert future.remove_done_callback(print) == 1


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_its_iterator_can_be_driven_by_hand(make: Callable[..., Any]) -> None:
    future = make(loop=Loop())
    for step in (lambda it: it.send(None), next):
        waits = future.__await__()
        assert step(waits) is future
        assert future._asyncio_future_blocking
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            step(waits)
        future._asyncio_future_blocking = False
    waits = iter(future)
    next(waits)
    with pytest.raises(ZeroDivisionError):
        waits.throw(ZeroDivisionError("x"))
    with pytest.raises(TypeError):
        future.__await__().throw(5)
    with pytest.raises(ZeroDivisionError):
        future.__await__().throw(ZeroDivisionError)
    with pytest.raises(StopIteration) as ended:
        next(waits)
    assert ended.value.value is None
    waits = future.__await__()
    waits.close()
    with pytest.raises(StopIteration):
        next(waits)
    for outcome in OUTCOMES[:-1]:
        future = make(loop=Loop())
        future.set_result(outcome)
        with pytest.raises(StopIteration) as ended:
            next(future.__await__())
        assert ended.value.value is outcome
        assert outcome is None or ended.value.args == (outcome,)


def test_iterators_are_used_again_only_where_nobody_has_them() -> None:
    first, second = (native.LoadFuture[int](loop=Loop()) for _ in range(2))  # type: ignore[arg-type]
    first.set_result(1)
    second.set_result(2)
    held = [first.__await__(), first.__await__()]
    for one in held:
        with pytest.raises(StopIteration) as ended:
            next(one)
        assert ended.value.value == 1
    others = [second.__await__() for _ in range(3)]
    assert len({id(one) for one in [*held, *others]}) == 5
    del others
    unsent = first.__await__()
    gone = weakref.ref(first)
    del first, unsent, held
    assert gone() is None


def test_an_exception_that_nobody_asks_for_is_told_to_the_loop() -> None:
    loop = Loop()
    for ask in (None, "exception", "result", "again"):
        future = native.LoadFuture[int](loop=loop)  # type: ignore[arg-type]
        future.set_exception(ValueError(ask))
        if ask == "exception":
            future.exception()
        elif ask is not None:
            with pytest.raises(ValueError, match=ask):
                future.result()
        del future
    assert [(one["message"], one["exception"].args) for one in loop.told] == [
        ("LoadFuture exception was never retrieved", (None,))
    ]


def test_a_future_that_its_loop_keeps_from_being_freed_lives_on() -> None:
    kept: list[Any] = []

    class Keeps(Loop):
        def call_exception_handler(self, context: dict[str, Any]) -> None:
            kept.append(context["future"])

    future = native.LoadFuture[int](loop=Keeps())  # type: ignore[arg-type]
    future.set_exception(ValueError("x"))
    del future
    assert isinstance(kept[0].exception(), ValueError)


def test_nothing_is_kept_that_is_let_go() -> None:
    loop = Loop()
    value = object()
    before = sys.getrefcount(value), sys.getrefcount(loop)
    for _ in range(50):
        future = native.LoadFuture[object](loop=loop)  # type: ignore[arg-type]
        future.add_done_callback(print)
        future.add_done_callback(repr)
        future.remove_done_callback(print)
        future.mark = value  # type: ignore[attr-defined]
        reference = weakref.ref(future)
        future.set_result(value)
        assert future.result() is value
        with pytest.raises(StopIteration) as ended:
            next(iter(future))
        assert ended.value.value is value
        del ended
        other = native.LoadFuture[object](loop=loop)  # type: ignore[arg-type]
        other.cancel(value)
        with pytest.raises(asyncio.CancelledError):
            other.result()
        failed = native.LoadFuture[object](loop=loop)  # type: ignore[arg-type]
        failed.set_exception(ValueError(value))
        with pytest.raises(ValueError, match="object"):
            failed.result()
    del future, other, failed
    loop.calls.clear()
    gc.collect()
    assert reference() is None
    assert (sys.getrefcount(value), sys.getrefcount(loop)) == before


def cycles() -> list[Callable[[Any], object]]:
    return [
        lambda future: setattr(future, "mark", future),
        lambda future: future.set_result([future]),
        lambda future: future.add_done_callback(lambda _: future),
        lambda future: [future.add_done_callback(one) for one in (print, lambda _: future)],
        lambda future: future.cancel((future,)),
        lambda future: setattr(future, "waits", future.__await__()),
        lambda future: setattr(future.get_loop(), "future", future),
    ]


@pytest.mark.parametrize("number", range(len(cycles())))
def test_cycles_through_it_are_collected(number: int) -> None:
    future = native.LoadFuture[Any](loop=Loop())  # type: ignore[arg-type]
    cycles()[number](future)
    gone = weakref.ref(future)
    del future
    gc.collect()
    assert gone() is None


async def test_a_task_that_is_given_up_while_it_waits_is_collected() -> None:
    class Marked:
        pass

    mark = Marked()
    gone = weakref.ref(mark)

    async def waits(_: Marked) -> None:
        await native.LoadFuture[int](loop=asyncio.get_running_loop())

    work = waits(mark)
    work.send(None)
    del work, mark
    gc.collect()
    assert gone() is None


def test_two_threads_may_use_one_at_once() -> None:
    loop = Loop()
    futures = [native.LoadFuture[int](loop=loop) for _ in range(300)]  # type: ignore[arg-type]
    ended: list[int] = []
    together = threading.Barrier(3)

    def end(number: int) -> None:
        together.wait(60)
        for future in futures:
            future.add_done_callback(print)
            try:
                if number == 0:
                    future.set_result(5)
                elif number == 1:
                    future.set_exception(ValueError())
                elif not future.cancel():
                    raise asyncio.InvalidStateError
            except asyncio.InvalidStateError:
                pass
            else:
                ended.append(number)
            future.add_done_callback(repr)
            future.remove_done_callback(repr)
            repr(future)
            with suppress(ValueError, asyncio.CancelledError):
                future.result()

    threads = [threading.Thread(target=end, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ended) == len(futures)
    assert all(future.done() for future in futures)
    assert sum(one[0] is print for one in loop.calls) == 3 * len(futures)
