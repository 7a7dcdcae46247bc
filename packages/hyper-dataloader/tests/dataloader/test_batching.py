"""Which keys are in which batch."""

import asyncio
import math
from typing import Any

import pytest
from batch_recorder import Recorder, made, turns
from hyperdjango.dataloader import DataLoader
from hyperdjango.dataloader._queue import TURNS_MAX


async def test_load_is_a_plain_function_that_enqueues_when_it_is_called() -> None:
    asked = Recorder()
    loader = made(asked)
    futures = [loader.load(1), loader.load(2)]
    assert all(isinstance(future, asyncio.Future) for future in futures)
    assert loader.stats().loads == 2
    assert [await future for future in futures] == [(1, 1), (2, 2)]
    assert asked.batches == [[1, 2]]


async def test_a_batch_leaves_without_being_awaited() -> None:
    asked = Recorder()
    future = made(asked).load(1)
    await turns()
    assert asked.batches == [[1]]
    assert future.result() == (1, 1)


@pytest.mark.parametrize("depth", range(1, 21))
async def test_loads_at_each_depth_of_nested_tasks_join_one_batch(depth: int) -> None:
    asked = Recorder()
    loader = made(asked)

    async def by_task(level: int) -> list[Any]:
        future = loader.load(("task", level))
        below = await asyncio.create_task(by_task(level + 1)) if level < depth else []
        return [await future, *below]

    async def by_gather(level: int) -> list[Any]:
        own = loader.load(("gather", level))
        inner = by_gather(level + 1) if level < depth else asyncio.sleep(0, [])
        found, below = await asyncio.gather(own, inner)
        return [found, *below]

    async def by_group(level: int) -> list[Any]:
        future = loader.load(("group", level))
        below: list[Any] = []
        if level < depth:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(by_group(level + 1))
            below = task.result()
        return [await future, *below]

    found = await asyncio.gather(by_task(1), by_gather(1), by_group(1))
    assert [len(one) for one in found] == [depth] * 3
    assert len(asked.batches) == 1
    assert len(asked.batches[0]) == 3 * depth


@pytest.mark.parametrize("depth", range(1, 21))
async def test_leaves_at_all_depths_up_to_this_one_join_one_batch(depth: int) -> None:
    asked = Recorder()
    loader = made(asked)

    async def nested(level: int, key: int) -> Any:
        if level == 0:
            return await loader.load(key)
        return await asyncio.create_task(nested(level - 1, key))

    await asyncio.gather(*[nested(level, level) for level in range(depth + 1)])
    assert [sorted(batch) for batch in asked.batches] == [list(range(depth + 1))]


async def test_a_task_that_begins_after_the_batch_has_left_is_in_the_next() -> None:
    asked = Recorder()
    loader = made(asked)
    asked.gate.clear()
    first = loader.load(1)
    await turns()
    second = loader.load(2)
    await turns()
    assert asked.batches == [[1], [2]]
    asked.gate.set()
    assert [await first, await second] == [(1, 1), (2, 2)]


async def test_ten_thousand_keys_of_one_tick_make_as_many_calls_as_they_must() -> None:
    for size in (100, 99, 7, 10_000, 20_000):
        asked = Recorder()
        loader = made(asked, max_batch_size=size)
        found = await asyncio.gather(*[loader.load(key) for key in range(10_000)])
        assert found == [(key, key) for key in range(10_000)]
        assert len(asked.batches) == math.ceil(10_000 / size)
        assert {len(batch) for batch in asked.batches[:-1]} <= {size}


async def test_the_chunks_of_a_tick_run_at_once() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked, max_batch_size=3)
    futures = [loader.load(key) for key in range(10)]
    await turns()
    assert [len(batch) for batch in asked.batches] == [3, 3, 3, 1]
    assert asked.running == 4
    asked.gate.set()
    assert len(await asyncio.gather(*futures)) == 10


async def test_without_a_limit_all_keys_go_together() -> None:
    asked = Recorder()
    await made(asked, max_batch_size=None).load_many(range(1000))
    assert [len(batch) for batch in asked.batches] == [1000]


@pytest.mark.parametrize("cache_enabled", [True, False])
async def test_a_key_is_sent_once_in_a_batch(cache_enabled: bool) -> None:
    asked = Recorder()
    loader = made(asked, cache_enabled=cache_enabled)
    found = await asyncio.gather(*[loader.load(key) for key in (1, 2, 1, 1, 2)])
    assert found == [(1, 1), (2, 2), (1, 1), (1, 1), (2, 2)]
    assert asked.batches == [[1, 2]]


async def test_without_a_cache_a_key_is_sent_again_by_the_next_batch() -> None:
    asked = Recorder()
    loader = made(asked, cache_enabled=False)
    for _ in range(3):
        await loader.load(1)
    assert asked.batches == [[1], [1], [1]]
    assert loader.clear().clear(1).prime(1, "x").stats().loads == 3
    assert await loader.load(1) == (1, 1)


async def test_a_loop_that_always_brings_keys_does_not_keep_them_for_ever() -> None:
    asked = Recorder()
    loader = made(asked, max_batch_size=None)
    futures = []
    for key in range(TURNS_MAX + 10):
        futures.append(loader.load(key))
        await asyncio.sleep(0)
    assert len(asked.batches) == 1
    assert len(asked.batches[0]) <= TURNS_MAX + 2
    await asyncio.gather(*futures)


async def test_the_function_may_do_what_it_likes_to_its_list_of_keys() -> None:
    async def reverse(keys: list[int]) -> list[int]:
        found = [key * 2 for key in keys]
        keys.clear()
        return found

    loader: DataLoader[int, int] = DataLoader(reverse)
    assert await loader.load_many([1, 2, 3]) == [2, 4, 6]


async def test_none_is_a_key_as_any_other() -> None:
    asked = Recorder()
    loader = made(asked)
    assert await loader.load(None) == (None, None)
    assert await loader.load_many([None, 1]) == [(None, None), (1, 1)]
    loader.clear(None)
    await loader.load(None)
    assert asked.batches == [[None], [1], [None]]


async def test_a_schedule_says_when_a_batch_leaves() -> None:
    asked = Recorder()
    sends: list[Any] = []
    loader = made(asked, schedule=sends.append)
    futures = [loader.load(1), loader.load(2)]
    await turns()
    assert asked.batches == []
    assert sends == [loader.dispatch]
    futures.append(loader.load(3))
    sends.pop()()
    await turns()
    assert asked.batches == [[1, 2, 3]]
    loader.load(4)
    assert len(sends) == 1
    sends.pop()()
    sends.clear()
    loader.dispatch()  # nothing waits
    await turns()
    assert asked.batches == [[1, 2, 3], [4]]


async def test_a_timer_can_be_the_schedule() -> None:
    asked = Recorder()
    loader = made(asked, schedule=lambda send: asyncio.get_running_loop().call_later(0.01, send))
    first = loader.load(1)
    await turns(20)
    assert asked.batches == []
    second = loader.load(2)
    assert [await first, await second] == [(1, 1), (2, 2)]
    assert asked.batches == [[1, 2]]


async def test_a_schedule_that_sends_at_once_makes_batches_of_one() -> None:
    asked = Recorder()
    loader = made(asked, schedule=lambda send: send())
    await asyncio.gather(loader.load(1), loader.load(2), loader.load(1))
    assert asked.batches == [[1], [2]]


async def test_a_load_whose_schedule_fails_leaves_nothing_behind() -> None:
    asked = Recorder()
    fails = [True]

    def schedule(send: Any) -> None:
        if fails.pop():
            raise ZeroDivisionError
        asyncio.get_running_loop().call_soon(send)

    loader = made(asked, schedule=schedule)
    with pytest.raises(ZeroDivisionError):
        loader.load(1)
    fails.append(False)
    assert await loader.load(1) == (1, 1)
    assert loader.stats().loads == 1


async def test_dispatch_sends_what_waits_without_waiting_for_more() -> None:
    asked = Recorder()
    loader = made(asked)
    first = loader.load(1)
    loader.dispatch()
    second = loader.load(2)
    assert [await first, await second] == [(1, 1), (2, 2)]
    assert asked.batches == [[1], [2]]


async def test_the_figures_say_what_was_done() -> None:
    asked = Recorder({3: ValueError("three")})
    loader = made(asked, max_batch_size=2, name="numbers")
    await loader.load_many([1, 2, 1, 3], return_exceptions=True)
    await loader.load(1)
    waiting = loader.load(9)
    stats = loader.stats()
    assert stats._asdict() == {
        "loads": 6,
        "cache_hits": 2,
        "batches": 2,
        "keys": 3,
        "largest_batch": 2,
        "errors": 1,
    }
    await waiting
    assert repr(loader) == "<DataLoader numbers>"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_batch_size": 0}, ValueError, "max_batch_size must be 1 or more, or None, not 0"),
        ({"cache_enabled": False, "cache_map": {}}, ValueError, "remembers none"),
        ({"batch_fn": 5}, TypeError, "batch_fn must be a coroutine function of keys, not int"),
    ],
    ids=["size", "map", "function"],
)
def test_what_cannot_be_meant_is_refused(options: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        DataLoader(**{"batch_fn": Recorder.__call__, **options})


async def test_a_batch_runs_in_the_context_of_its_first_load() -> None:
    from contextvars import ContextVar

    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen: list[str] = []

    async def fetch(keys: list[int]) -> list[int]:
        seen.append(user.get())
        user.set("of a batch")
        return keys

    loader: DataLoader[int, int] = DataLoader(fetch, max_batch_size=1)

    async def one(name: str, key: int) -> None:
        user.set(name)
        await loader.load(key)

    async with asyncio.TaskGroup() as group:
        group.create_task(one("ann", 1))
        group.create_task(one("ben", 2))
    assert seen == ["ann", "ann"]
    assert user.get() == "nobody"
