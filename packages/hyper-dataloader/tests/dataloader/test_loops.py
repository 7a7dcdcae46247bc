"""One event loop at a time."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from batch_recorder import Recorder, made, turns
from hyperdjango.dataloader import AnotherLoop, DataLoader

RUNNERS = [asyncio.run, uvloop.run]


async def double(keys: list[int]) -> list[int]:
    return [key * 2 for key in keys]


@pytest.mark.parametrize("runner", RUNNERS, ids=["asyncio", "uvloop"])
def test_on_any_loop_nested_tasks_join_one_batch(runner: Callable[[Any], Any]) -> None:
    asked = Recorder()
    loader = made(asked)

    async def nested(level: int) -> Any:
        future = loader.load(level)
        if level < 20:
            await asyncio.gather(asyncio.create_task(nested(level + 1)))
        return await future

    async def main() -> None:
        assert await nested(1) == (1, 1)
        assert len(asked.batches) == 1
        assert await loader.load_many(range(1000)) == [(key, key) for key in range(1000)]
        assert len(asked.batches) == 11

    runner(main())


def test_without_a_running_loop_nothing_is_loaded() -> None:
    loader: DataLoader[int, int] = DataLoader(double)
    with pytest.raises(RuntimeError, match="no running event loop"):
        loader.load(1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        loader.prime(1, 2)
    loader.clear().dispatch()


@pytest.mark.parametrize("runner", RUNNERS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("other", RUNNERS, ids=["asyncio", "uvloop"])
def test_once_a_loop_is_closed_the_next_can_use_it_and_sees_no_future_of_the_former(
    runner: Callable[[Any], Any], other: Callable[[Any], Any]
) -> None:
    asked = Recorder()
    loader = made(asked, cache_map={})
    kept: list[asyncio.Future[Any]] = []

    async def use() -> None:
        kept.append(loader.load(1))
        assert list(await asyncio.gather(kept[-1], loader.load(1))) == [(1, 1), (1, 1)]

    runner(use())
    other(use())
    assert asked.batches == [[1], [1]]
    assert kept[0] is not kept[1]


def test_a_loop_that_ended_with_loads_under_way_leaves_none_to_the_next() -> None:
    asked = Recorder()
    loader = made(asked)

    async def leave() -> None:
        asked.gate = asyncio.Event()
        loader.load(1)
        await turns()
        loader.load(2)

    async def use() -> None:
        asked.gate = asyncio.Event()
        asked.gate.set()
        assert await loader.load_many([1, 2]) == [(1, 1), (2, 2)]

    asyncio.run(leave())
    asyncio.run(use())
    assert asked.batches[0] == [1]
    assert asked.batches[-1] == [1, 2]


def test_while_loads_are_under_way_another_loop_is_refused() -> None:
    loader: DataLoader[int, int] = DataLoader(double, name="users")
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def begin() -> asyncio.Future[int]:
        return loader.load(1)

    async def use() -> int:
        return await loader.load(2)

    try:
        future = first.run_until_complete(begin())
        with pytest.raises(AnotherLoop, match="'users' serves another event loop"):
            second.run_until_complete(use())
        assert first.run_until_complete(future) == 2
        first.run_until_complete(turns())
        assert second.run_until_complete(use()) == 4
    finally:
        first.close()
        second.close()


async def test_while_its_loop_runs_another_thread_is_refused() -> None:
    loader: DataLoader[int, int] = DataLoader(double)
    errors: list[BaseException] = []

    async def use() -> None:
        for call in (lambda: loader.load(1), lambda: loader.prime(5, 5), loader.dispatch):
            try:
                call()
            except AnotherLoop as error:
                errors.append(error)

    def run() -> None:
        asyncio.run(use())

    for _ in range(2):
        waiting = loader.load(1)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()  # the loop stands still meanwhile
        assert len(errors) == 3
        errors.clear()
        loader.clear()
        assert await waiting == 2


async def test_with_eager_tasks_it_is_the_same() -> None:
    factory: Any = getattr(asyncio, "eager_task_factory", None)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)  # None, the usual tasks, before Python 3.12
    try:
        loader: DataLoader[int, int] = DataLoader(double, max_batch_size=2)
        assert await asyncio.gather(*[loader.load(key) for key in (1, 2, 1, 3)]) == [2, 4, 2, 6]
        assert loader.stats().batches == 2
        assert not loader._chunks
    finally:
        loop.set_task_factory(None)


async def test_a_loader_is_freed_without_the_collector() -> None:
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        loader: DataLoader[int, int] = DataLoader(double)
        seen = weakref.ref(loader)
        await loader.load_many([1, 2, 1])
        await turns()
        del loader
        assert seen() is None
    finally:
        gc.enable()
