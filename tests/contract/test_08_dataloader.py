"""Section 8 of the contract: what DataLoader batches, remembers and rejects."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.database.testing import capture_queries
from hyperdjango.dataloader import BatchLengthError, DataLoader, group_loader, table_loader


class Batches:
    """A batch function that takes down its batches and doubles each key."""

    def __init__(self, answer: Callable[[list[Any]], Any] | None = None) -> None:
        self.seen: list[list[Any]] = []
        self._answer = answer or (lambda keys: [None if key is None else key * 2 for key in keys])

    async def __call__(self, keys: list[Any]) -> Any:
        self.seen.append(list(keys))
        await asyncio.sleep(0)
        return self._answer(keys)


@pytest.mark.line("8.signature")
def test_the_arguments_of_a_loader() -> None:
    """DataLoader(batch_fn, max_batch_size=100, cache_enabled=True, *, …)."""
    first, *rest = inspect.signature(DataLoader).parameters.values()
    assert first.name == "batch_fn"
    assert [(each.name, each.default) for each in rest[:2]] == [
        ("max_batch_size", 100),
        ("cache_enabled", True),
    ]
    assert {each.kind for each in rest[2:]} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.line("8.signature")
async def test_cache_enabled_false_remembers_nothing() -> None:
    """cache_enabled=True, or not."""
    batches = Batches()
    loader = DataLoader(batches, cache_enabled=False)
    assert [await loader.load(1), await loader.load(1)] == [2, 2]
    assert batches.seen == [[1], [1]]


@pytest.mark.line("8.load")
async def test_load_gives_one_value_and_remembers_it() -> None:
    """await loader.load(key)."""
    batches = Batches()
    loader = DataLoader(batches)
    assert [await loader.load(1), await loader.load(1)] == [2, 2]
    assert batches.seen == [[1]]


@pytest.mark.line("8.load_many")
async def test_load_many_keeps_the_order() -> None:
    """load_many(keys) in order."""
    batches = Batches()
    assert await DataLoader(batches).load_many([3, 1, 2, 1]) == [6, 2, 4, 2]
    assert len(batches.seen) == 1


@pytest.mark.line("8.prime")
async def test_prime_puts_a_value_in() -> None:
    """prime(key, value)."""
    batches = Batches()
    loader = DataLoader(batches)
    loader.prime(1, "known")
    assert await loader.load(1) == "known"
    assert batches.seen == []


@pytest.mark.line("8.clear")
async def test_clear_forgets_one_key_or_all() -> None:
    """clear(key) or clear() for all."""
    batches = Batches()
    loader = DataLoader(batches)
    await loader.load_many([1, 2])
    loader.clear(1)
    await loader.load_many([1, 2])
    loader.clear()
    await loader.load_many([1, 2])
    assert batches.seen == [[1, 2], [1], [1, 2]]


@pytest.mark.line("8.none_key")
async def test_none_is_a_legal_key() -> None:
    """A sentinel: None is a legal key, to load and to clear."""
    batches = Batches()
    loader = DataLoader(batches)
    await loader.load_many([None, 1])
    loader.clear(None)
    await loader.load_many([None, 1])
    assert batches.seen == [[None, 1], [None]]


@pytest.mark.line("8.return_loader")
async def test_prime_and_clear_return_the_loader() -> None:
    """prime/clear return the loader."""
    loader = DataLoader(Batches())
    assert loader.prime(1, 2) is loader
    assert loader.clear(1) is loader
    assert loader.clear() is loader


@pytest.mark.line("8.enqueues")
async def test_load_enqueues_at_the_call() -> None:
    """load enqueues at the call and returns an awaitable."""
    batches = Batches()
    loader = DataLoader(batches)
    pending = loader.load(1)
    assert isinstance(pending, Awaitable)
    while not batches.seen:  # nobody awaits it, and it leaves all the same
        await asyncio.sleep(0)
    assert await pending == 2


@pytest.mark.line("8.nested")
async def test_nested_tasks_join_the_batch() -> None:
    """A batch leaves when the loop's tick settles (no new keys in the last pass), so nested tasks join."""
    batches = Batches()
    loader = DataLoader(batches)

    async def nested(depth: int) -> int:
        pending = loader.load(depth)
        below = await asyncio.gather(nested(depth + 1)) if depth < 8 else [0]
        mine: int = await pending
        return mine + below[0]

    assert await nested(1) == 2 * sum(range(1, 9))
    assert batches.seen == [list(range(1, 9))]


@pytest.mark.line("8.once")
async def test_duplicates_are_sent_once() -> None:
    """Duplicates are sent once."""
    batches = Batches()
    loader = DataLoader(batches)
    assert await asyncio.gather(*(loader.load(7) for _ in range(5))) == [14] * 5
    assert batches.seen == [[7]]


@pytest.mark.line("8.chunks")
async def test_chunks_of_one_tick_run_at_the_same_time() -> None:
    """Chunks of one tick run concurrently."""
    running, both = 0, asyncio.Event()

    async def batch(keys: list[int]) -> list[int]:
        nonlocal running
        running += 1
        if running == 3:
            both.set()
        await asyncio.wait_for(both.wait(), 30)
        return keys

    assert await DataLoader(batch, max_batch_size=2).load_many(range(6)) == list(range(6))


@pytest.mark.line("8.sequence")
@pytest.mark.parametrize("kind", [list, tuple])
async def test_a_batch_function_may_return_a_sequence(kind: Callable[[list[int]], Sequence[int]]) -> None:
    """batch_fn may return a sequence of equal length."""
    assert await DataLoader(Batches(kind)).load_many([1, 2]) == [1, 2]


@pytest.mark.line("8.batch_length")
async def test_another_length_is_an_error_of_every_key() -> None:
    """Else BatchLengthError for every key of the batch."""
    found = await DataLoader(Batches(lambda keys: keys[1:])).load_many([1, 2, 3], return_exceptions=True)
    assert [type(each) for each in found] == [BatchLengthError] * 3


@pytest.mark.line("8.mapping")
async def test_a_batch_function_may_return_a_mapping() -> None:
    """Or a mapping."""

    def answer(keys: list[int]) -> Mapping[int, str]:
        return {key: str(key) for key in reversed(keys)}

    assert await DataLoader(Batches(answer)).load_many([1, 2]) == ["1", "2"]


@pytest.mark.line("8.exception_value")
async def test_an_exception_as_a_value_rejects_that_key_alone() -> None:
    """An Exception as a value rejects that key alone."""
    loader = DataLoader(Batches(lambda keys: [LookupError(key) if key == 2 else key for key in keys]))
    found = await loader.load_many([1, 2, 3], return_exceptions=True)
    assert (found[0], found[2]) == (1, 3)
    assert isinstance(found[1], LookupError)


@pytest.mark.line("8.failed_batch")
async def test_a_failed_batch_rejects_its_keys_and_caches_nothing() -> None:
    """A failed batch rejects its keys and caches nothing."""
    fails = True

    def answer(keys: list[int]) -> list[int]:
        if fails:
            raise ZeroDivisionError
        return keys

    batches = Batches(answer)
    loader = DataLoader(batches)
    found = await loader.load_many([1, 2], return_exceptions=True)
    assert [type(each) for each in found] == [ZeroDivisionError] * 2
    fails = False
    assert await loader.load_many([1, 2]) == [1, 2]
    assert batches.seen == [[1, 2], [1, 2]]


@pytest.mark.line("8.futures")
async def test_the_cache_holds_futures() -> None:
    """The cache holds futures: a key that is on its way is not sent again."""
    cache: dict[Any, asyncio.Future[Any]] = {}
    batches = Batches()
    loader = DataLoader(batches, cache_map=cache)
    pending = loader.load(1)
    assert isinstance(cache[1], asyncio.Future)
    while not batches.seen:
        await asyncio.sleep(0)
    assert await loader.load(1) == await pending == 2
    assert batches.seen == [[1]]


@pytest.mark.line("8.prime.force")
async def test_prime_overwrites_only_when_forced() -> None:
    """prime never overwrites unless force=True."""
    loader = DataLoader(Batches())
    assert await loader.load(1) == 2
    assert await loader.prime(1, "other").load(1) == 2
    assert await loader.prime(1, "other", force=True).load(1) == "other"


@pytest.mark.line("8.cancel")
async def test_cancelling_one_waiter_leaves_the_others_alone() -> None:
    """Cancelling one waiter leaves the others alone."""
    loader = DataLoader(Batches())

    async def wait() -> Any:
        return await loader.load(1)

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    assert first.cancelled()


@pytest.fixture
async def books(db: Database) -> Database:
    """Two authors, three books."""
    await db.execute("CREATE TABLE author (id int PRIMARY KEY, name text)")
    await db.execute("INSERT INTO author VALUES (1, 'one'), (2, 'two')")
    await db.execute("CREATE TABLE book (id int PRIMARY KEY, author_id int)")
    await db.execute("INSERT INTO book VALUES (10, 1), (11, 2), (12, 1)")
    return db


@pytest.mark.line("8.table_loader")
async def test_a_table_loader_gives_the_row_of_a_key(books: Database) -> None:
    """table_loader(db, table, key) builds the = ANY($1) query and sorts the rows."""
    loader = table_loader(books, "author", "id")
    with capture_queries(books) as calls:
        found = await loader.load_many([2, 99, 1])
    assert found == [{"id": 2, "name": "two"}, None, {"id": 1, "name": "one"}]
    assert ["= ANY($1)" in call.sql for call in calls] == [True]


@pytest.mark.line("8.group_loader")
async def test_a_group_loader_gives_the_rows_of_a_key(books: Database) -> None:
    """group_loader(db, table, key), too."""
    loader = group_loader(books, "book", "author_id", order_by="id")
    with capture_queries(books) as calls:
        found = await loader.load_many([2, 99, 1])
    assert [[row["id"] for row in rows] for rows in found] == [[11], [], [10, 12]]
    assert ["= ANY($1)" in call.sql for call in calls] == [True]
