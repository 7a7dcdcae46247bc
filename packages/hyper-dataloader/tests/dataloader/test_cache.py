"""What a loader remembers: prime, clear, a cache map and a key function."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from batch_recorder import Recorder, made, turns
from hyperdjango.dataloader import ALL, DataLoader, UnhashableKey


async def test_the_cache_holds_futures_and_a_done_one_is_handed_out_again() -> None:
    asked = Recorder()
    loader = made(asked)
    first = loader.load(1)
    assert await first == (1, 1)
    assert loader.load(1) is first
    assert asked.batches == [[1]]


async def test_a_key_that_is_on_its_way_is_not_sent_again() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)
    first = loader.load(1)
    await turns()
    second = loader.load(1)
    assert second is not first
    asked.gate.set()
    assert await second == await first == (1, 1)
    assert asked.batches == [[1]]


async def test_prime_puts_a_value_in_and_returns_the_loader() -> None:
    asked = Recorder()
    loader = made(asked)
    assert loader.prime(1, "one").prime(2, None) is loader
    assert await loader.load_many([1, 2, 3]) == ["one", None, (3, 3)]
    assert asked.batches == [[3]]


async def test_prime_never_overwrites_unless_it_is_forced() -> None:
    asked = Recorder()
    loader = made(asked)
    await loader.load(1)
    loader.prime(1, "other")
    assert await loader.load(1) == (1, 1)
    loader.prime(1, "forced", force=True).prime(1, "late")
    assert await loader.load(1) == "forced"
    loader.clear(1).prime(1, "cleared")
    assert await loader.load(1) == "cleared"


async def test_prime_leaves_a_key_alone_that_is_on_its_way() -> None:
    asked = Recorder()
    loader = made(asked)
    future = loader.load(1)
    loader.prime(1, "primed")
    assert await future == (1, 1)
    assert await loader.load(1) == (1, 1)
    waiting = loader.load(2)
    loader.prime(2, "forced", force=True)
    assert await loader.load(2) == "forced"
    assert await waiting == (2, 2)
    assert await loader.load(2) == "forced"


async def test_a_primed_exception_is_raised_by_each_load() -> None:
    asked = Recorder()
    loader = made(asked).prime(1, ValueError("primed"))
    for _ in range(2):
        with pytest.raises(ValueError, match="primed"):
            await loader.load(1)
    assert asked.batches == []


async def test_a_primed_exception_that_nobody_asks_for_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    import gc

    made(Recorder()).prime(1, ValueError("primed"))
    gc.collect()
    assert caplog.records == []


async def test_clear_forgets_a_key_or_all_and_returns_the_loader() -> None:
    asked = Recorder()
    loader = made(asked)
    await loader.load_many([1, 2, None])
    assert loader.clear(1) is loader
    await loader.load_many([1, 2, None])
    assert loader.clear() is loader.clear(ALL)
    await loader.load_many([1, 2, None])
    assert asked.batches == [[1, 2, None], [1], [1, 2, None]]
    assert repr(ALL) == "ALL"


async def test_a_key_that_is_cleared_while_it_is_in_the_queue_is_still_sent_once() -> None:
    asked = Recorder()
    loader = made(asked)
    futures = [loader.load(1), loader.load(2)]
    loader.clear(1)
    futures += [loader.load(1), loader.load(2)]
    loader.clear()
    futures += [loader.load(1)]
    assert await asyncio.gather(*futures) == [(1, 1), (2, 2), (1, 1), (2, 2), (1, 1)]
    assert asked.batches == [[1, 2]]
    await loader.load(1)
    assert asked.batches == [[1, 2]]


async def test_a_key_that_is_cleared_while_its_batch_runs_is_not_remembered() -> None:
    asked = Recorder()
    asked.gate.clear()
    loader = made(asked)
    before = loader.load(1)
    await turns()
    loader.clear(1)
    after = loader.load(1)
    await turns()
    assert asked.batches == [[1], [1]]
    asked.gate.set()
    assert [await before, await after] == [(1, 1), (1, 1)]
    assert loader.load(1) is after


class Lru(MutableMapping[Any, Any]):
    """A cache that forgets what was not used for longest."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.items_: OrderedDict[Any, Any] = OrderedDict()

    def __getitem__(self, key: Any) -> Any:
        self.items_.move_to_end(key)
        return self.items_[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items_[key] = value
        self.items_.move_to_end(key)
        while len(self.items_) > self.size:
            self.items_.popitem(last=False)

    def __delitem__(self, key: Any) -> None:
        del self.items_[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items_)

    def __len__(self) -> int:
        return len(self.items_)


async def test_any_mapping_can_be_the_cache() -> None:
    asked = Recorder()
    cache = Lru(2)
    loader = made(asked, cache_map=cache)
    await loader.load_many([1, 2, 3])
    assert list(cache) == [2, 3]
    assert all(future.done() for future in cache.items_.values())
    await loader.load_many([2, 3])
    await loader.load(1)
    assert asked.batches == [[1, 2, 3], [1]]
    loader.clear()
    assert len(cache) == 0


async def test_a_cache_that_forgets_what_is_in_the_queue_sends_no_key_twice() -> None:
    asked = Recorder()
    loader = made(asked, cache_map=Lru(1))
    found = await asyncio.gather(*[loader.load(key) for key in (1, 2, 1, 2, 3, 1)])
    assert found == [(key, key) for key in (1, 2, 1, 2, 3, 1)]
    assert asked.batches == [[1, 2, 3]]


async def test_a_key_function_says_which_keys_are_the_same() -> None:
    asked = Recorder()
    loader = made(asked, cache_key=str.lower)
    assert await loader.load_many(["A", "b", "a"]) == [("A", "A"), ("b", "b"), ("A", "A")]
    loader.prime("C", 3).clear("B")
    assert await loader.load_many(["c", "b"]) == [3, ("b", "b")]
    assert asked.batches == [["A", "b"], ["b"]]


async def test_a_key_function_makes_what_cannot_be_hashed_a_key() -> None:
    asked = Recorder()
    asked.answers = {}

    async def fetch(keys: list[list[int]]) -> list[int]:
        return [sum(key) for key in keys]

    loader: DataLoader[list[int], int] = DataLoader(fetch, cache_key=tuple)
    assert await loader.load_many([[1, 2], [3], [1, 2]]) == [3, 3, 3]
    assert loader.stats().keys == 2


@pytest.mark.parametrize("call", ["load", "clear", "prime"])
async def test_a_key_that_cannot_be_hashed_is_refused_with_a_remedy(call: str) -> None:
    loader = made(Recorder(), name="lists")
    arguments = ([1], "x") if call == "prime" else ([1],)
    for _ in range(2):
        with pytest.raises(
            UnhashableKey, match=r"'lists': a key must be hashable, which list is not; .*cache_key="
        ):
            getattr(loader, call)(*arguments)
        waits = loader.load(1)  # with something in the queue it is the same
    assert isinstance(UnhashableKey("x", []), TypeError)
    await waits


async def test_a_key_function_that_fails_says_so_itself() -> None:
    loader = made(Recorder(), cache_key=str.lower)
    with pytest.raises(TypeError, match="descriptor 'lower'"):
        loader.load(5)
