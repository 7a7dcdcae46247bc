# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Typed usage, for mypy and pyright in strict mode. It is checked, never run.

`assert_type` says what a user's editor must know; a line with `type: ignore` is one that both must refuse: an
ignore that nothing needs is an error itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_type

from hyperdjango.database import Database, get_db
from hyperdjango.dataloader import (
    DataLoader,
    LoaderStats,
    ScopedLoader,
    group_loader,
    loader,
    loader_scope,
    scoped,
    table_loader,
)


@dataclass
class User:
    id: int
    name: str


async def by_list(keys: list[int]) -> list[User]:
    return [User(key, "x") for key in keys]


async def by_sequence(keys: Sequence[int]) -> Sequence[User | None]:
    return [None for _ in keys]


async def by_mapping(keys: Sequence[str]) -> dict[str, list[User]]:
    return {key: [] for key in keys}


async def with_errors(keys: Sequence[int]) -> list[User | ValueError]:
    return [ValueError() for _ in keys]


async def wrong(keys: Sequence[int]) -> int:
    return len(keys)


async def core() -> None:
    users = DataLoader(by_list)
    assert_type(users, DataLoader[int, User])
    assert_type(users.load(1), asyncio.Future[User])
    assert_type(await users.load(1), User)
    assert_type(await users.load_many([1, 2]), list[User])
    assert_type(await users.load_many([1, 2], return_exceptions=True), list[User | Exception])
    assert_type(users.prime(1, User(1, "x")).prime(2, ValueError()).clear(1).clear(), DataLoader[int, User])
    assert_type(users.stats(), LoaderStats)
    assert_type(await DataLoader(by_sequence, 10, False).load(1), User | None)
    assert_type(await DataLoader(by_mapping, cache_key=str.lower, cache_map={}).load("a"), list[User])
    tolerant: DataLoader[int, User] = DataLoader(with_errors)
    assert_type(await tolerant.load(1), User)
    users.load("1")  # type: ignore[arg-type]
    users.prime(1, 5)  # type: ignore[arg-type]
    users.clear("1")  # type: ignore[arg-type]
    DataLoader(wrong)  # type: ignore[arg-type]
    DataLoader(by_list, batch_size=5)  # type: ignore[call-arg]


@loader
async def doubles(keys: list[int]) -> list[int]:
    return keys


@loader(max_batch_size=5, cache_key=str.lower)
async def lengths(keys: list[str]) -> Mapping[str, int]:
    return {key: len(key) for key in keys}


named = scoped(lambda: table_loader(get_db(), "users", "id", into=User))


async def scopes() -> None:
    with loader_scope() as scope:
        assert_type(scope.loaders, tuple[DataLoader[Any, Any], ...])
        assert_type(doubles, ScopedLoader[int, int])
        assert_type(doubles(), DataLoader[int, int])
        assert_type(await doubles.load(1), int)
        assert_type(await doubles.load_many([1]), list[int])
        assert_type(await lengths.load("x"), int)
        assert_type(await named.load(1), User | None)
    async with loader_scope():
        doubles.load("x")  # type: ignore[arg-type]


async def driver(db: Database) -> None:
    assert_type(await table_loader(db, "users", "id").load(1), dict[str, Any] | None)
    assert_type(await table_loader(db, "users", "id", into=User).load(1), User | None)
    assert_type(await group_loader(db, "users", "boss").load(1), list[dict[str, Any]])
    assert_type(await group_loader(db, "users", "boss", into=User, order_by="id").load(1), list[User])
    table_loader(db, "users", "id", batch=5)  # type: ignore[call-overload]
