"""Errors: of one key, of a whole batch, and of batch functions that return something else."""

import asyncio
import gc
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from batch_recorder import Recorder, made, turns
from hyperdjango.dataloader import (
    BatchCancelled,
    BatchLengthError,
    BatchResultError,
    DataLoader,
    DataLoaderError,
    KeyMissing,
    OwnKey,
)


def returning(answer: Callable[[list[Any]], Any], **options: Any) -> DataLoader[Any, Any]:
    async def fetch(keys: list[Any]) -> Any:
        return answer(keys)

    return DataLoader(fetch, **{"name": "some", **options})


@pytest.mark.parametrize("extra", [-1, 1, 5])
async def test_another_number_of_values_rejects_every_key_of_the_batch(extra: int) -> None:
    loader = returning(lambda keys: [None] * (len(keys) + extra))
    futures = [loader.load(1), loader.load(2)]
    for future in futures:
        with pytest.raises(BatchLengthError) as caught:
            await future
        assert (caught.value.expected, caught.value.actual) == (2, 2 + extra)
        assert f"'some': returning.<locals>.fetch() was given 2 keys and returned {2 + extra} values" in str(
            caught.value
        )
    assert isinstance(caught.value, (DataLoaderError, ValueError))
    assert loader.stats().errors == 2


async def test_the_length_is_that_of_each_chunk() -> None:
    loader = returning(lambda keys: keys if 1 in keys else [], max_batch_size=2)
    found = await loader.load_many([1, 2, 3], return_exceptions=True)
    assert found[:2] == [1, 2]
    assert isinstance(found[2], BatchLengthError)


@pytest.mark.parametrize(
    "answer", [None, 5, "ab", b"ab", {1, 2}, iter([1, 2])], ids=lambda one: type(one).__name__
)
async def test_what_is_neither_sequence_nor_mapping_is_refused(answer: Any) -> None:
    loader = returning(lambda _: answer)
    with pytest.raises(
        BatchResultError, match=f"returned {type(answer).__name__}; it must return a sequence"
    ):
        await loader.load_many([1, 2])


async def test_a_plain_function_is_refused() -> None:
    plain: Any = list
    with pytest.raises(BatchResultError, match=r"list\(\) must be a coroutine function, it returned list"):
        await DataLoader(plain).load(1)


async def test_any_sequence_and_any_mapping_will_do() -> None:
    assert await returning(tuple).load_many([1, 2]) == [1, 2]
    assert await returning(lambda keys: range(len(keys))).load_many([5, 6]) == [0, 1]
    assert await returning(lambda keys: {key: -key for key in reversed(keys)}).load_many([1, 2]) == [-1, -2]


async def test_a_key_that_the_mapping_has_not_is_rejected_alone() -> None:
    loader = returning(lambda _: {1: "one"})
    found = await loader.load_many([1, "1"], return_exceptions=True)
    assert found[0] == "one"
    assert isinstance(found[1], KeyMissing)
    assert isinstance(found[1], LookupError)
    assert found[1].key == "1"
    assert "'some': the mapping that returning.<locals>.fetch() returned has no such key, of type str" in str(
        found[1]
    )


async def test_a_defaultdict_has_something_for_every_key() -> None:
    loader = returning(lambda _: defaultdict(list, {1: ["one"]}))
    assert await loader.load_many([1, 2]) == [["one"], []]


async def test_a_mapping_is_asked_for_what_the_key_function_makes() -> None:
    loader = returning(lambda keys: {key.lower(): key for key in keys}, cache_key=str.lower)
    assert await loader.load_many(["A", "b"]) == ["A", "b"]


async def test_an_exception_as_a_value_rejects_that_key_alone_and_is_remembered() -> None:
    asked = Recorder({2: ValueError("two")})
    loader = made(asked)
    one, two, again = loader.load(1), loader.load(2), loader.load(2)
    assert await one == (1, 1)
    for future in (two, again, loader.load(2)):
        with pytest.raises(ValueError, match="two"):
            await future
    assert asked.batches == [[1, 2]]
    loader.clear(2)
    asked.answers = {}
    assert await loader.load(2) == (2, 2)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (asyncio.CancelledError(), BatchCancelled, "was cancelled"),
        (StopIteration(5), RuntimeError, "gave StopIteration"),
        (KeyboardInterrupt("x"), KeyboardInterrupt, "x"),
    ],
    ids=["cancelled", "stop", "interrupt"],
)
async def test_exceptions_that_futures_do_not_take_are_given_in_others(
    value: BaseException, error: type[BaseException], text: str
) -> None:
    loader = made(Recorder({1: value}))
    future = loader.load(1)
    await turns()
    assert isinstance(future.exception(), error)
    assert text in str(future.exception())


async def test_a_failed_batch_rejects_its_keys_and_remembers_nothing() -> None:
    fails = [True]
    asked: list[list[int]] = []

    async def fetch(keys: list[int]) -> list[int]:
        asked.append(keys)
        if fails.pop():
            raise ValueError("all")
        return keys

    loader: DataLoader[int, int] = DataLoader(fetch)
    futures = [loader.load(1), loader.load(2), loader.load(1)]
    for future in futures:
        with pytest.raises(ValueError, match="all"):
            await future
    fails.append(False)
    assert await loader.load_many([1, 2]) == [1, 2]
    assert asked == [[1, 2], [1, 2]]
    assert loader.stats().errors == 2


async def test_a_failed_batch_leaves_what_was_put_in_its_place() -> None:
    async def fetch(keys: list[int]) -> list[int]:
        loader.prime(1, 10, force=True)
        raise ValueError

    loader: DataLoader[int, int] = DataLoader(fetch)
    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        await loader.load(1)
    assert await loader.load(1) == 10


async def test_one_chunk_that_fails_is_no_matter_of_the_others() -> None:
    def answer(keys: list[int]) -> list[int]:
        if 3 in keys:
            raise ValueError("three")
        return keys

    found = await returning(answer, max_batch_size=2).load_many([1, 2, 3, 4, 5], return_exceptions=True)
    assert [one if isinstance(one, int) else str(one) for one in found] == [1, 2, "three", "three", 5]


async def test_a_batch_function_that_was_cancelled_inside_does_not_cancel_its_callers() -> None:
    async def fetch(_: list[int]) -> list[int]:
        raise asyncio.CancelledError

    loader: DataLoader[int, int] = DataLoader(fetch, name="inner")
    with pytest.raises(BatchCancelled, match=r"'inner': something that .*fetch.* waited for was cancelled"):
        await loader.load(1)


async def test_load_many_raises_the_error_of_the_first_key_once_all_are_in() -> None:
    asked = Recorder({2: ValueError("two"), 3: KeyError("three")})
    loader = made(asked, max_batch_size=1)
    with pytest.raises(ValueError, match="two"):
        await loader.load_many([1, 2, 3])
    assert asked.running == 0
    found = await loader.load_many([1, 2, 3, 1], return_exceptions=True)
    assert [type(one) for one in found] == [tuple, ValueError, KeyError, tuple]


async def test_load_many_enqueues_when_it_is_called_and_takes_any_iterable() -> None:
    asked = Recorder()
    loader = made(asked)
    many = loader.load_many(key for key in (3, 1, 3))
    one = loader.load(2)
    assert await one == (2, 2)
    assert asked.batches == [[3, 1, 2]]
    assert await many == [(3, 3), (1, 1), (3, 3)]
    assert await loader.load_many([]) == []


async def test_load_many_of_a_key_that_is_refused_asks_for_none() -> None:
    asked = Recorder()
    loader = made(asked)
    with pytest.raises(TypeError, match="hashable"):
        await loader.load_many([1, 2, [3]])
    await turns()
    assert asked.batches == []


def noise(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: heard.append(context))
    return heard


async def test_an_error_that_nobody_asked_about_is_not_lost() -> None:
    heard = noise(asyncio.get_running_loop())
    loader = made(Recorder({1: ValueError("one")}))
    loader.load(1)
    await turns()
    del loader
    gc.collect()
    assert [str(context["exception"]) for context in heard] == ["one"]


async def test_errors_of_waiters_that_were_cancelled_make_no_noise() -> None:
    heard = noise(asyncio.get_running_loop())
    asked = Recorder({1: ValueError("one")})
    asked.gate.clear()
    loader = made(asked)
    gone, stays = loader.load(1), loader.load(2)
    await turns()
    gone.cancel()
    asked.gate.set()
    assert await stays == (2, 2)
    del loader, gone
    gc.collect()
    assert heard == []


async def test_a_cancelled_batch_that_fails_otherwise_is_reported() -> None:
    heard = noise(asyncio.get_running_loop())

    async def fetch(_: list[int]) -> list[int]:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("while cleaning up")

    loader: DataLoader[int, int] = DataLoader(fetch, name="untidy")
    future = loader.load(1)
    await turns()
    future.cancel()
    await turns()
    assert [str(context["exception"]) for context in heard] == ["while cleaning up"]
    assert "'untidy': a batch that nobody waited for any more has failed" in heard[0]["message"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_ends_it(error: type[BaseException]) -> None:
    async def fetch(_: list[int]) -> list[int]:
        raise error

    loader: DataLoader[int, int] = DataLoader(fetch)

    async def main() -> None:
        await loader.load(1)

    with pytest.raises(error):
        asyncio.run(main())


async def test_a_rejected_batch_is_freed_without_the_collector() -> None:
    import weakref

    class Error(Exception):
        pass

    async def fetch(_: list[int]) -> list[int]:
        raise Error

    loader: DataLoader[int, int] = DataLoader(fetch)
    gc.collect()
    gc.disable()
    try:
        try:
            await loader.load(1)
        except Error as error:
            seen = weakref.ref(error)
        await turns()
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("is_eager", [False, True])
@pytest.mark.parametrize("is_folded", [False, True])
async def test_a_batch_that_asks_for_a_key_of_its_own_is_an_error(is_eager: bool, is_folded: bool) -> None:
    factory: Any = getattr(asyncio, "eager_task_factory", None)
    if is_eager and factory is not None:
        asyncio.get_running_loop().set_task_factory(factory)

    async def parents(ids: list[int]) -> list[int]:
        return [await loader.load(one) for one in ids]

    loader = DataLoader(parents, name="parents", cache_key=str if is_folded else None)
    for _ in range(2):
        with pytest.raises(
            OwnKey, match=r"'parents': .*parents\(\) asks the loader for a key of its own batch"
        ):
            await asyncio.wait_for(loader.load(1), 30)
    found = await asyncio.wait_for(loader.load_many([1, 2], return_exceptions=True), 30)
    assert [type(one) for one in found] == [OwnKey, OwnKey]


async def test_a_batch_may_ask_for_keys_of_other_batches() -> None:
    recorder = Recorder()

    async def fetch(keys: list[int]) -> list[int]:
        recorder.batches.append(keys)
        lower = [key - 1 for key in keys if key > 0]
        return [1 + (await loader.load(lower[0]) if lower else 0) for _ in keys]

    loader = DataLoader(fetch, max_batch_size=1)
    # 1 is on its way for somebody else when the batch of 2 asks for it.
    assert await asyncio.wait_for(loader.load_many([2, 1, 0]), 30) == [3, 2, 1]
    assert recorder.batches == [[2], [1], [0]]
