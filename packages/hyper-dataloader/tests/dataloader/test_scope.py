"""One loader of each kind per request."""

import asyncio
from typing import Any

import pytest
from batch_recorder import Recorder, turns
from hyperdjango.dataloader import DataLoader, LoaderScope, NoLoaderScope, loader, loader_scope, scoped

asked: list[list[int]] = []


@loader
async def doubles(keys: list[int]) -> list[int]:
    asked.append(keys)
    return [key * 2 for key in keys]


@pytest.fixture(autouse=True)
def _forget() -> None:
    asked.clear()


async def test_a_scope_has_one_loader_made_when_it_is_first_asked_for() -> None:
    with loader_scope() as scope:
        assert not scope.loaders
        assert await doubles.load_many([1, 2]) == [2, 4]
        assert await doubles.load(1) == 2
        assert doubles() is doubles()
        assert list(scope.loaders) == [doubles()]
        assert doubles().name == "doubles"
    assert asked == [[1, 2]]


async def test_two_scopes_share_nothing() -> None:
    async def request() -> DataLoader[int, int]:
        async with loader_scope():
            assert await doubles.load(1) == 2
            return doubles()

    first, second = await asyncio.gather(request(), request())
    assert first is not second
    assert asked == [[1], [1]]


async def test_a_scope_inside_of_another_is_on_its_own() -> None:
    with loader_scope():
        outer = doubles()
        with loader_scope():
            assert doubles() is not outer
        assert doubles() is outer


async def test_the_tasks_of_a_request_share_its_loaders() -> None:
    async def one(key: int) -> int:
        return await doubles.load(key)

    with loader_scope():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(key)) for key in (1, 2, 3)]
    assert [task.result() for task in tasks] == [2, 4, 6]
    assert asked == [[1, 2, 3]]


async def test_outside_of_a_scope_the_error_says_what_to_do() -> None:
    for call in (doubles, lambda: doubles.load(1), doubles.clear, lambda: doubles.prime(1, 2)):
        with pytest.raises(
            NoLoaderScope, match=r"doubles has one loader .* no loader_scope\(\) around it: begin one"
        ):
            call()


async def test_a_task_that_outlives_its_scope_finds_no_loader() -> None:
    ended = asyncio.Event()

    async def late() -> int:
        await ended.wait()
        return await doubles.load(1)

    with loader_scope():
        task = asyncio.create_task(late())
        await turns()
    ended.set()
    with pytest.raises(NoLoaderScope, match="has ended"):
        await task


async def test_what_was_asked_for_in_a_scope_comes_after_its_end() -> None:
    with loader_scope():
        future = doubles.load(1)
    assert await future == 2


async def test_prime_and_clear_are_those_of_the_scopes_loader() -> None:
    with loader_scope() as scope:
        assert doubles.prime(1, 10).prime(1, 11, force=True) is doubles
        assert await doubles.load(1) == 11
        doubles.clear(1)
        assert await doubles.load(1) == 2
        doubles.prime(2, 20).clear()
        assert await doubles.load(2) == 4
        doubles.prime(2, 21)
        scope.clear()
        assert await doubles.load(2) == 4
        assert await doubles.load_many([1], return_exceptions=True) == [2]


async def test_scoped_makes_a_loader_by_any_function() -> None:
    made: list[DataLoader[int, Any]] = []

    def make() -> DataLoader[int, Any]:
        made.append(DataLoader(Recorder(), name="made"))
        return made[-1]

    things = scoped(make)
    with loader_scope():
        assert await things.load(1) == (1, 1)
        assert things() is made[0]
    with loader_scope():
        things()
    assert len(made) == 2
    assert repr(things).startswith("<ScopedLoader test_scoped_makes")


async def test_the_decorator_takes_the_options_of_a_loader() -> None:
    maps: list[dict[Any, Any]] = []

    def new_map() -> dict[Any, Any]:
        maps.append({})
        return maps[-1]

    @loader(max_batch_size=2, cache_key=str.lower, cache_map=new_map, name="names")
    async def lengths(keys: list[str]) -> dict[str, int]:
        return {key.lower(): len(key) for key in keys}

    for _ in range(2):
        with loader_scope():
            assert await lengths.load_many(["A", "bb", "a", "ccc"]) == [1, 2, 1, 3]
            assert (lengths().name, lengths().max_batch_size) == ("names", 2)
            assert lengths().stats().batches == 2
    assert [sorted(one) for one in maps] == [["a", "bb", "ccc"]] * 2


def test_a_scope_is_entered_once() -> None:
    scope = LoaderScope()
    with scope, pytest.raises(RuntimeError, match="entered already"):
        scope.__enter__()
    with pytest.raises(RuntimeError, match="entered already"):
        scope.__enter__()
