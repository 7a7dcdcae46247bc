"""Any order of loading, priming, clearing, cancelling and waiting gives what a simple model says."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from batch_recorder import Recorder, turns
from hyperdjango.dataloader import DataLoader
from hyperdjango.dataloader._lane import _Source, source
from hypothesis import given, settings
from hypothesis import strategies as st

KEYS = st.integers(0, 4)
STEPS = st.one_of(
    st.tuples(st.just("load"), KEYS),
    st.tuples(st.just("many"), st.lists(KEYS, max_size=5)),
    st.tuples(st.just("prime"), KEYS),
    st.tuples(st.just("force"), KEYS),
    st.tuples(st.just("clear"), KEYS),
    st.tuples(st.just("clear all"), st.none()),
    st.tuples(st.just("cancel"), st.integers(0, 50)),
    st.tuples(st.just("turns"), st.integers(1, 4)),
    st.tuples(st.just("write"), KEYS),
    st.tuples(st.just("fail"), KEYS),
)


class World:
    """What batches read: a number for each key, which writes change; and keys that fail.

    A load may see what was there from the moment of its call to that of its answer, or what the cache has rightly
    kept; a value that was cleared before the call it may not.
    """

    def __init__(self) -> None:
        self.now = dict.fromkeys(range(5), 0)
        self.written = 0
        # The oldest that a load of a key may see from now on.
        self.oldest = dict.fromkeys(range(5), 0)
        self.failing: set[int] = set()
        self.batches: list[list[int]] = []

    async def __call__(self, keys: list[int]) -> list[Any]:
        self.batches.append(list(keys))
        found: list[Any] = [ValueError(key) if key in self.failing else (key, self.now[key]) for key in keys]
        await turns(len(self.batches) % 3)
        return found


class Load:
    def __init__(self, key: int, oldest: int, future: "asyncio.Future[Any]") -> None:
        self.key = key
        self.oldest = oldest
        self.future = future
        self.was_cancelled = False


async def play(steps: list[tuple[str, Any]], options: dict[str, Any]) -> None:
    world = World()
    loader: DataLoader[int, Any] = DataLoader(world, **options)
    is_cached = options.get("cache_enabled", True)
    loads: list[Load] = []
    many: list[tuple[list[int], asyncio.Future[Any]]] = []
    for step, argument in steps:
        if step == "load":
            loads.append(Load(argument, world.oldest[argument], loader.load(argument)))
        elif step == "many":
            many.append((argument, asyncio.ensure_future(loader.load_many(argument, return_exceptions=True))))
        elif step in {"prime", "force"}:
            world.written += 1
            value = (argument, world.written)
            world.now[argument] = world.written
            loader.prime(argument, value, force=step == "force")
        elif step == "clear":
            loader.clear(argument)
            world.oldest[argument] = world.now[argument]
        elif step == "clear all":
            loader.clear()
            world.oldest = dict(world.now)
        elif step == "cancel" and loads:
            load = loads[argument % len(loads)]
            load.was_cancelled |= load.future.cancel()
        elif step == "turns":
            await turns(argument)
        elif step == "write":
            world.written += 1
            world.now[argument] = world.written
        elif step == "fail":
            world.failing ^= {argument}
    for load in loads:
        outcome: Any = (await asyncio.gather(load.future, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError) == load.was_cancelled
        if isinstance(outcome, ValueError):
            assert outcome.args == (load.key,)
        elif not load.was_cancelled:
            key, seen = outcome
            assert key == load.key
            assert seen >= (load.oldest if is_cached else 0)
    for keys, waits in many:
        for key, found in zip(keys, await waits, strict=True):
            assert (found.args[0] if isinstance(found, ValueError) else found[0]) == key
    size = options.get("max_batch_size") or 100
    assert all(len(batch) == len(set(batch)) <= size for batch in world.batches)
    await turns(10)
    assert not loader._chunks
    assert not loader._followers
    assert not loader._waiting
    stats = loader.stats()
    assert stats.loads == len(loads) + sum(len(keys) for keys, _ in many)
    assert stats.batches == len(world.batches)
    assert stats.keys == sum(map(len, world.batches))
    for future in [*loader._base.cache.values()]:
        assert future.done()
        assert not future.cancelled()


@contextmanager
def without_the_extension() -> Iterator[None]:
    """What there is where it is not built."""
    fresh = _Source()
    before = source.gate, source.future, source.answer, source.all_wait
    source.gate, source.future, source.answer, source.all_wait = (
        fresh.gate,
        fresh.future,
        fresh.answer,
        fresh.all_wait,
    )
    try:
        yield
    finally:
        source.gate, source.future, source.answer, source.all_wait = before


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "python"])
@pytest.mark.parametrize(
    "options",
    [{}, {"max_batch_size": 1}, {"max_batch_size": 2}, {"cache_enabled": False}, {"cache_key": str}],
    ids=["plain", "one", "two", "no cache", "folded"],
)
@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=40))
def test_any_order_of_steps_gives_what_the_model_says(
    options: dict[str, Any], is_native: bool, steps: list[tuple[str, Any]]
) -> None:
    with nullcontext() if is_native else without_the_extension():
        asyncio.run(play(steps, options))


async def test_without_the_extension_batches_are_the_same() -> None:
    with without_the_extension():
        asked = Recorder({7: ValueError("seven")})
        loader = DataLoader[int, Any](asked, 4)
        futures = [loader.load(key) for key in (1, 2, 1, 3, 7, 8)]
        futures[3].cancel()
        found = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(one) for one in found] == [
            tuple,
            tuple,
            tuple,
            asyncio.CancelledError,
            ValueError,
            tuple,
        ]
        assert asked.batches == [[1, 2, 7, 8]]
        assert loader.load(1) is loader.load(1)
        with pytest.raises(TypeError, match="hashable"):
            loader.load([])  # type: ignore[arg-type]
