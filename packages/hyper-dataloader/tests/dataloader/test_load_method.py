"""`DataLoader.load` is asked through the extension where that is built, and is a method as any other all the same."""

import asyncio
import gc
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from hyperdjango.database._native import native
from hyperdjango.dataloader import DataLoader

RUNNERS = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


async def doubled(keys: list[int]) -> list[int]:
    return [2 * key for key in keys]


def test_it_tells_its_signature_and_what_it_does() -> None:
    assert list(inspect.signature(DataLoader.load).parameters) == ["self", "key"]
    assert list(inspect.signature(DataLoader(doubled).load).parameters) == ["key"]
    assert (inspect.getdoc(DataLoader.load) or "").startswith("Ask for the value of one key.")
    assert DataLoader.load.__name__ == "load"
    assert DataLoader.load.__qualname__ == "DataLoader.load"


@RUNNERS
def test_its_futures_are_the_extension_s_on_either_loop(runner: Callable[[Any], Any]) -> None:
    async def main() -> None:
        loader = DataLoader(doubled)
        futures = [loader.load(key) for key in (1, 2, 1, 3)]
        assert {type(one) for one in futures} == {native.LoadFuture}
        assert all(isinstance(one, asyncio.Future) for one in futures)
        assert await asyncio.gather(*futures) == [2, 4, 2, 6]
        assert type(loader.prime(9, 1).load(9)) is native.LoadFuture
        assert loader.stats().cache_hits == 2

    runner(main())


@RUNNERS
def test_in_debug_mode_its_futures_are_asyncio_s(runner: Callable[[Any], Any]) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        loader = DataLoader(doubled)
        futures = [loader.load(key) for key in (1, 2, 1)]
        assert {type(one) for one in futures} == {asyncio.Future}
        assert await asyncio.gather(*futures) == [2, 4, 2]
        assert loader.load(1) is loader.load(1)

    runner(main())


def test_a_loop_s_own_kind_of_future_is_what_loads_return() -> None:
    class Own(asyncio.Future[Any]):
        pass

    class OwnLoop(asyncio.SelectorEventLoop):
        def create_future(self) -> asyncio.Future[Any]:
            return Own(loop=self)

    async def main() -> None:
        loader = DataLoader(doubled)
        futures = [loader.load(key) for key in (1, 2, 1)]
        assert {type(one) for one in futures} == {Own}
        assert await asyncio.gather(*futures) == [2, 4, 2]

    with asyncio.Runner(loop_factory=OwnLoop) as runner:
        runner.run(main())


async def test_a_subclass_may_have_its_own() -> None:
    class Counts(DataLoader[int, int]):
        count = 0

        def load(self, key: int) -> asyncio.Future[int]:
            self.count += 1
            return super().load(key)

    loader = Counts(doubled)
    assert [await one for one in (loader.load(1), loader.load(2))] == [2, 4]
    assert await loader.load_many([3, 4]) == [6, 8]
    assert loader.count == 4
    assert await DataLoader.load(loader, key=5) == 10
    assert await loader.load(key=6) == 12


async def test_a_loader_goes_with_its_last_reference() -> None:
    gc.disable()
    try:
        loader = DataLoader(doubled)
        assert await asyncio.gather(*[loader.load(key) for key in range(5)]) == [0, 2, 4, 6, 8]
        await loader.load(1)
        await asyncio.sleep(0)
        gone = weakref.ref(loader)
        del loader
        assert gone() is None
    finally:
        gc.enable()


async def test_numbers_survive_a_move_to_another_loop() -> None:
    loader = DataLoader(doubled)
    for _ in range(2):

        async def main() -> None:
            await asyncio.gather(loader.load(1), loader.load(2))
            assert [await loader.load(2) for _ in range(3)] == [4] * 3

        await asyncio.to_thread(asyncio.run, main())
    assert loader.stats().cache_hits == 6
    assert loader.stats().loads == 10
