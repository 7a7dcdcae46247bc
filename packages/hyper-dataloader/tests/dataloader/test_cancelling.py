"""To cancel a waiter leaves the others alone; a batch that nobody waits for is cancelled."""

import asyncio
import gc
from typing import Any

import pytest
from batch_recorder import Recorder, made, reached, turns
from cancel_points import MOMENTS, Cancel, Moment, Point, cancel_everywhere
from hyperdjango.dataloader import DataLoader


async def test_a_waiter_that_is_cancelled_leaves_those_of_the_same_key_alone() -> None:
    for victim in range(3):
        asked = Recorder()
        asked.gate.clear()
        loader = made(asked)

        async def one(loader: DataLoader[Any, Any] = loader) -> Any:
            return await loader.load(1)

        tasks = [asyncio.create_task(one()) for _ in range(3)]
        await turns()
        tasks[victim].cancel()
        await turns()
        asked.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in found].count(asyncio.CancelledError) == 1
        assert isinstance(found[victim], asyncio.CancelledError)
        assert asked.batches == [[1]]
        assert await loader.load(1) == (1, 1)
        assert asked.batches == [[1]]


@pytest.mark.parametrize("is_sent", [False, True])
async def test_whoever_comes_after_a_cancelled_first_caller_gets_the_value(is_sent: bool) -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)
    first, other = loader.load(1), loader.load(2)
    if is_sent:
        await turns()
    first.cancel()
    late = loader.load(1)
    await turns()
    later = loader.load(1)
    asked.gate.set()
    assert [await late, await later, await other] == [(1, 1), (1, 1), (2, 2)]
    assert asked.batches == [[1, 2]]


async def test_a_timeout_cancels_its_own_wait_alone() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)

    async def patient() -> Any:
        return await loader.load(1)

    waits = asyncio.create_task(patient())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(loader.load(1), 0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await loader.load(1)
    assert not waits.done()
    asked.gate.set()
    assert await waits == (1, 1)


async def test_a_group_that_fails_cancels_its_own_loads_alone() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)
    outside = loader.load(1)

    async def one(key: int) -> Any:
        return await loader.load(key)

    async def fails() -> None:
        await turns()
        raise ZeroDivisionError

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            for key in (1, 2, 1):
                group.create_task(one(key))
            group.create_task(fails())

    with pytest.raises(ExceptionGroup):
        await together()
    asked.gate.set()
    assert await outside == (1, 1)
    assert asked.cancelled == 0


async def test_a_gather_that_is_cancelled_cancels_its_own_loads_alone() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)
    outside = loader.load(1)
    together = asyncio.gather(loader.load(1), loader.load(2))
    await turns()
    together.cancel()
    with pytest.raises(asyncio.CancelledError):
        await together
    asked.gate.set()
    assert await outside == (1, 1)


async def test_a_key_that_nobody_waits_for_when_the_batch_leaves_is_not_sent() -> None:
    asked = Recorder()
    loader = made(asked)
    futures = [loader.load(key) for key in (1, 2, 1, 3)]
    for position in (0, 2, 3):
        futures[position].cancel()
    assert await futures[1] == (2, 2)
    assert asked.batches == [[2]]
    assert await loader.load(1) == (1, 1)
    assert asked.batches == [[2], [1]]
    assert loader.stats().loads == 5


async def test_a_batch_without_any_waiter_is_not_sent_at_all() -> None:
    asked = Recorder()
    loader = made(asked)
    loader.load(1).cancel()
    await turns()
    assert asked.batches == []
    assert await loader.load(1) == (1, 1)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)], ids=["forth", "back", "mixed"])
async def test_a_batch_is_cancelled_with_the_last_of_its_waiters(order: tuple[int, ...]) -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)
    futures = [loader.load(1), loader.load(2), loader.load(1)]
    await turns()
    futures.append(loader.load(2))
    for position in order[:-1]:
        futures[position].cancel()
        await turns()
    assert asked.running == 1
    futures[order[-1]].cancel()
    await turns()
    assert (asked.running, asked.cancelled) == (0, 1)
    asked.gate.set()
    assert await loader.load(1) == (1, 1)
    assert asked.batches == [[1, 2], [1]]


async def test_waiters_that_join_while_the_last_one_leaves_keep_the_batch() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)
    first = loader.load(1)
    await turns()
    first.cancel()
    second = loader.load(1)
    await turns()
    second.cancel()
    third = loader.load(1)
    await turns()
    assert (asked.running, asked.cancelled) == (1, 0)
    asked.gate.set()
    assert await third == (1, 1)


async def test_whoever_asks_after_a_batch_was_cancelled_is_in_another() -> None:
    asked = Recorder()

    async def stubborn(keys: list[int]) -> list[Any]:
        try:
            return await asked(keys)
        except asyncio.CancelledError:
            asked.gate.set()
            await turns()
            raise

    asked.gate.clear()
    loader: DataLoader[int, Any] = DataLoader(stubborn)
    first = loader.load(1)
    await turns()
    first.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await loader.load(1) == (1, 1)
    assert asked.batches == [[1], [1]]


async def test_chunks_are_cancelled_one_by_one() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked, max_batch_size=2)
    futures = [loader.load(key) for key in range(6)]
    await turns()
    for position in (2, 3, 0):
        futures[position].cancel()
    await turns()
    assert (asked.running, asked.cancelled) == (2, 1)
    asked.gate.set()
    assert [await futures[position] for position in (1, 4, 5)] == [(1, 1), (4, 4), (5, 5)]


async def test_a_batch_that_answers_in_spite_of_its_cancellation_does_no_harm() -> None:
    async def deaf(keys: list[int]) -> list[int]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return keys
        raise AssertionError

    loader: DataLoader[int, int] = DataLoader(deaf)
    future = loader.load(1)
    await turns()
    future.cancel()
    await turns()
    assert future.cancelled()
    assert not loader._chunks


async def test_a_batch_that_is_cancelled_before_it_begins_lets_its_waiters_go() -> None:
    asked = Recorder()
    loader = made(asked)
    future = loader.load(1)
    loader.dispatch()
    (task,) = [task for task in asyncio.all_tasks() if "dataloader" in task.get_name()]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert asked.batches == []
    assert await loader.load(1) == (1, 1)


async def test_when_somebody_cancels_the_batch_its_waiters_are_cancelled() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)
    futures = [loader.load(1), loader.load(2), loader.load(1)]
    await turns()
    (task,) = [task for task in asyncio.all_tasks() if "dataloader" in task.get_name()]
    task.cancel()
    await turns()
    assert [future.cancelled() for future in futures] == [True] * 3
    asked.gate.set()
    assert await loader.load(1) == (1, 1)


async def test_load_many_that_is_cancelled_gives_up_all_its_keys() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked, max_batch_size=2)
    outside = loader.load(4)
    many = asyncio.ensure_future(loader.load_many([1, 2, 3, 4]))
    await turns()
    many.cancel()
    with pytest.raises(asyncio.CancelledError):
        await many
    await turns()
    assert asked.batches == [[4, 1], [2, 3]]
    assert asked.cancelled == 1
    asked.gate.set()
    assert await outside == (4, 4)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_wherever_a_caller_is_cancelled_the_others_get_their_values(moment: Moment) -> None:
    async def attempt(cancel: Cancel) -> Point:
        asked = Recorder()
        loader = made(asked, max_batch_size=2)

        async def some() -> Any:
            first = await loader.load(1)
            many = await loader.load_many([2, 3, 4])
            async with asyncio.TaskGroup() as group:
                group.create_task(loader.load_many([5, 6]))
            return first, many

        beside = asyncio.gather(*[loader.load(key) for key in (1, 3, 6)])
        point = await cancel(some())
        assert await beside == [(1, 1), (3, 3), (6, 6)]
        await reached(lambda: not loader._chunks)
        assert not loader._followers
        assert await loader.load_many([1, 2, 3, 4, 5, 6]) == [(key, key) for key in range(1, 7)]
        return point

    assert await cancel_everywhere(attempt, moment) > 2


@pytest.mark.parametrize("moment", MOMENTS)
async def test_wherever_a_batch_function_is_cancelled_nobody_waits_for_ever(moment: Moment) -> None:
    async def attempt(cancel: Cancel) -> Point:
        points: list[Point] = []

        async def work(keys: list[int]) -> list[int]:
            for _ in range(3):
                await asyncio.sleep(0)
            return keys

        async def fetch(keys: list[int]) -> list[int]:
            points.append(await cancel(work(keys)))
            if not points[-1].is_last:
                raise asyncio.CancelledError
            return keys

        loader: DataLoader[int, int] = DataLoader(fetch)
        futures = [loader.load(1), loader.load(2), loader.load(1)]
        found = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 30)
        assert found == [1, 2, 1] or len({type(one) for one in found}) == 1
        assert not loader._chunks
        assert not loader._followers
        return points[0]

    assert await cancel_everywhere(attempt, moment) == 3


async def test_nothing_of_a_cancelled_load_stays() -> None:
    import weakref

    class Key:
        pass

    asked = Recorder()
    loader = made(asked)
    key = Key()
    seen = weakref.ref(key)
    loader.load(key).cancel()
    del key
    await turns()
    gc.collect()
    assert seen() is None
