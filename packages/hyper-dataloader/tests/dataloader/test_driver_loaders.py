"""`table_loader` and `group_loader` against real servers."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hyperdjango.database import (
    Database,
    DataError,
    InFailedSqlTransaction,
    InvalidTextRepresentation,
    SyncDatabase,
    UndefinedColumn,
    UndefinedTable,
)
from hyperdjango.database.testing import assert_num_queries, capture_queries
from hyperdjango.dataloader import KeyMismatch, SeveralRows, group_loader, table_loader
from hyperdjango.dataloader._driver import qualified, statement
from pgkit.until import until_async

pytestmark = pytest.mark.postgres

TABLES = """
CREATE TABLE users (id int PRIMARY KEY, name text, boss int);
INSERT INTO users SELECT n, 'user ' || n, nullif(n / 10, 0) FROM generate_series(1, 50) AS n;
"""


@asynccontextmanager
async def database(url: str, sql: str = TABLES) -> AsyncIterator[Database]:
    async with Database(url, min_size=1, max_size=8) as db:
        await db.execute(sql)
        yield db


class Named(NamedTuple):
    id: int
    name: str


@dataclass
class User:
    id: int
    name: str
    boss: int | None


async def test_a_row_or_none_for_each_key_in_one_statement(database_url: str) -> None:
    async with database(database_url) as db:
        users = table_loader(db, "users", "id")
        with capture_queries(db) as calls:
            found = await users.load_many([3, 99, 1, None, 3])
        assert found == [
            {"id": 3, "name": "user 3", "boss": None},
            None,
            {"id": 1, "name": "user 1", "boss": None},
            None,
            {"id": 3, "name": "user 3", "boss": None},
        ]
        assert [call.sql for call in calls] == ['SELECT * FROM "users" WHERE "id" = ANY($1)']
        assert users.name == "users.id"
        with assert_num_queries(db, 0):
            assert await users.load(None) is None


async def test_only_keys_that_are_null_need_no_statement(database_url: str) -> None:
    async with database(database_url) as db:
        with assert_num_queries(db, 0):
            assert await table_loader(db, "users", "id").load(None) is None
            assert await group_loader(db, "users", "boss").load(None) == []


async def test_a_list_of_rows_for_each_key_in_the_order_that_is_wanted(database_url: str) -> None:
    async with database(database_url) as db:
        staff = group_loader(db, "users", "boss", columns=("id", "boss"), order_by="-id")
        with capture_queries(db) as calls:
            found = await staff.load_many([1, 77, 2])
        assert [[row["id"] for row in group] for group in found] == [
            list(range(19, 9, -1)),
            [],
            list(range(29, 19, -1)),
        ]
        assert [call.sql for call in calls] == [
            'SELECT "id", "boss" FROM "users" WHERE "boss" = ANY($1) ORDER BY "id" DESC'
        ]
        both = group_loader(db, "users", "boss", order_by=("boss", "-name"))
        assert [row["id"] for row in await both.load(3)] == list(range(39, 29, -1))


@pytest.mark.parametrize(
    ("into", "columns", "expected"),
    [
        (dict, ("name", "id"), {"name": "user 7", "id": 7}),
        (tuple, ("name", "id"), ("user 7", 7)),
        (Named, ("name", "id"), Named(7, "user 7")),
        (User, None, User(7, "user 7", None)),
    ],
    ids=["dict", "tuple", "named tuple", "dataclass"],
)
async def test_rows_become_what_into_says(
    into: Any, columns: tuple[str, ...] | None, expected: Any, database_url: str
) -> None:
    async with database(database_url) as db:
        assert await table_loader(db, "users", "id", columns=columns, into=into).load(7) == expected
        assert await group_loader(db, "users", "id", columns=columns, into=into).load(7) == [expected]


async def test_what_has_no_key_to_find_it_by_is_the_error_of_its_keys(database_url: str) -> None:
    async with database(database_url) as db:
        with pytest.raises(AttributeError, match="id"):
            await table_loader(db, "users", "id", into=lambda **_: object()).load(1)


async def test_several_rows_of_one_key_are_an_error_of_that_key_alone(database_url: str) -> None:
    async with database(database_url) as db:
        await db.execute("INSERT INTO users VALUES (60, 'x', 77)")
        found = await table_loader(db, "users", "boss").load_many([1, 77], return_exceptions=True)
        assert isinstance(found[0], SeveralRows)
        assert "'users.boss': several rows of users have the same boss; group_loader() gives all" in str(
            found[0]
        )
        assert found[1] == {"id": 60, "name": "x", "boss": 77}


TYPES: list[Any] = [
    ("int2", [1, -32768], 5),
    ("int4", [1, 2**31 - 1], 5),
    ("int8", [1, -(2**63), 2**63 - 1], 5),
    ("numeric", [Decimal("1.50"), Decimal("1e30")], Decimal(2)),
    ("text", ["", "ä", "it's"], "none"),
    ("varchar(8)", ["a", "b"], "none"),
    ("citext", ["Ann", "BEN"], "none"),
    ("uuid", [uuid.UUID(int=1), uuid.UUID(int=2**128 - 1)], uuid.UUID(int=7)),
    ("bool", [True], False),
    ("bytea", [b"", b"\0\xff"], b"x"),
    ("mood", ["good", "bad"], "so"),
    ("positive", [1, 2], 3),
]


@pytest.mark.parametrize(("type_name", "keys", "missing"), TYPES, ids=[row[0] for row in TYPES])
async def test_keys_of_any_type_find_their_rows(
    type_name: str, keys: list[Any], missing: Any, database_url: str
) -> None:
    sql = f"""
    CREATE EXTENSION IF NOT EXISTS citext;
    CREATE TYPE mood AS ENUM ('good', 'so', 'bad');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE things (k {type_name}, n int);
    """
    async with database(database_url, sql) as db:
        await db.execute_many("INSERT INTO things VALUES ($1, $2)", [(key, n) for n, key in enumerate(keys)])
        one, many = table_loader(db, "things", "k"), group_loader(db, "things", "k")
        found = await one.load_many([*keys, missing, None])
        assert [row and row["n"] for row in found] == [*range(len(keys)), None, None]
        groups = await many.load_many([missing, *keys])
        assert [[row["n"] for row in group] for group in groups] == [[], *([n] for n in range(len(keys)))]


async def test_citext_keys_meet_by_what_the_key_function_makes(database_url: str) -> None:
    sql = """
    CREATE EXTENSION IF NOT EXISTS citext;
    CREATE TABLE people (name citext);
    INSERT INTO people VALUES ('Ann'), ('BEN');
    """
    async with database(database_url, sql) as db:
        people = table_loader(db, "people", "name", cache_key=str.lower)
        found = await people.load_many(["ann", "bEN", "ANN", "cy"])
        assert [row and row["name"] for row in found] == ["Ann", "BEN", "Ann", None]
        assert people.stats().keys == 3


@pytest.mark.parametrize("is_inside", [False, True], ids=["outside", "in a block"])
async def test_a_key_that_its_column_cannot_have_is_rejected_alone(
    is_inside: bool, database_url: str
) -> None:
    async with database(database_url) as db:
        users = table_loader(db, "users", "id")

        async def check() -> None:
            found = await users.load_many([1, 2**70, 2, -(2**31) - 1, 3, 4.5], return_exceptions=True)
            assert [type(one) for one in found] == [dict, DataError, dict, DataError, dict, DataError]
            assert [one["id"] for one in found if isinstance(one, dict)] == [1, 2, 3]

        if is_inside:
            async with db.transaction():
                await check()
                assert await db.query_val("SELECT 1") == 1
        else:
            await check()


async def test_a_text_that_the_server_refuses_fails_alone_outside_of_a_transaction(database_url: str) -> None:
    async with database(database_url) as db:
        users = table_loader(db, "users", "id", cache_key=lambda key: int(key) if key != "x" else key)
        found = await users.load_many(["1", "x", "2", "3"], return_exceptions=True)
        assert [one["id"] if isinstance(one, dict) else type(one) for one in found] == [
            1, InvalidTextRepresentation, 2, 3,
        ]  # fmt: skip

        async def inside() -> None:
            async with db.transaction():
                found.extend(await users.load_many(["1", "x"], return_exceptions=True))

        found = []
        # The transaction has failed by it, and there is nothing to ask the others in.
        with pytest.raises(InFailedSqlTransaction):
            await inside()
        assert [type(one) for one in found] == [InvalidTextRepresentation] * 2


@pytest.mark.parametrize("loader_of", [table_loader, group_loader])
async def test_rows_that_equal_no_key_are_an_error_with_a_remedy(loader_of: Any, database_url: str) -> None:
    sql = TABLES + "CREATE EXTENSION IF NOT EXISTS citext; ALTER TABLE users ALTER name TYPE citext;"
    async with database(database_url, sql) as db:
        found = await loader_of(db, "users", "id").load_many(["1", "2", None], return_exceptions=True)
        assert [type(one) for one in found[:2]] == [KeyMismatch, KeyMismatch]
        assert not found[2]
        assert "rows whose id, of type int, equals none of the keys asked for, of type str" in str(found[0])
        assert await loader_of(db, "users", "id", cache_key=int).load_many(["1", "2"])
        with pytest.raises(KeyMismatch, match="cache_key="):
            await loader_of(db, "users", "name").load("USER 1")
        assert await loader_of(db, "users", "name").load("user 1")


async def test_an_error_of_the_server_rejects_the_batch(database_url: str) -> None:
    async with database(database_url) as db:
        with pytest.raises(UndefinedTable):
            await table_loader(db, "nothing", "id").load_many([1, 2])
        with pytest.raises(UndefinedColumn):
            await table_loader(db, "users", "nothing").load(1)


HOSTILE = [
    ("users", '"users"'),
    ("Users", '"users"'),
    ("shop.Users", '"shop"."users"'),
    ('"Users"', '"Users"'),
    ('"my ""odd"" table"', '"my ""odd"" table"'),
    ('"a.b"."c;d"', '"a.b"."c;d"'),
    ("a;b", '"a;b"'),
    ("ÄÖ", '"ÄÖ"'),
]


@pytest.mark.parametrize(("name", "expected"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_tables_name_is_read_as_sql_has_it_and_quoted(name: str, expected: str) -> None:
    assert qualified(name) == expected


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a.b.c", "a b", '"', '"a', 'a"b', '""', "a\0b", '"a\0"', "a..b"]
)
def test_what_is_no_name_of_a_table_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a table"):
        qualified(name)


async def test_names_that_want_quoting_are_quoted(database_url: str) -> None:
    sql = """
    CREATE SCHEMA "My Shop";
    CREATE TABLE "My Shop"."a""b; c" ("Key ""1"" x" int, "sel,ect" text);
    INSERT INTO "My Shop"."a""b; c" VALUES (1, 'x');
    """
    async with database(database_url, sql) as db:
        things = table_loader(db, '"My Shop"."a""b; c"', 'Key "1" x', columns=['Key "1" x', "sel,ect"])
        assert await things.load(1) == {'Key "1" x': 1, "sel,ect": "x"}
        groups = group_loader(db, '"My Shop"."a""b; c"', 'Key "1" x', order_by=["-sel,ect"])
        assert len(await groups.load(1)) == 1


def test_what_cannot_be_a_query_is_refused() -> None:
    with pytest.raises(ValueError, match="columns= must have 'id' among them"):
        statement("users", "id", ["name"])
    with pytest.raises(TypeError, match="sequence of names"):
        statement("users", "id", "id")
    for key in ("", "a\0"):
        with pytest.raises(DataError):
            statement("users", key, None)
        with pytest.raises(DataError):
            statement("users", "id", None, [key])


async def test_what_cannot_be_a_loader_is_refused(database_url: str) -> None:
    wrong: Any = SyncDatabase(database_url)
    with pytest.raises(TypeError, match="a loader needs a Database, not SyncDatabase"):
        table_loader(wrong, "users", "id")
    db = Database(database_url)
    anything: Any = 5
    with pytest.raises(TypeError, match="into= takes"):
        table_loader(db, "users", "id", into=anything)
    with pytest.raises(ValueError, match="into=tuple needs columns="):
        table_loader(db, "users", "id", into=tuple)
    with pytest.raises(TypeError, match="max_batch"):
        table_loader(db, "users", "id", max_batch=5)  # type: ignore[call-overload]


async def test_a_text_is_the_same_for_any_number_of_keys(database_url: str) -> None:
    async with database(database_url) as db:
        users = table_loader(db, "users", "id", max_batch_size=7)
        with capture_queries(db) as calls:
            await users.load_many(range(50))
        assert len(calls) == 8
        assert len({call.sql for call in calls}) == 1


async def test_a_batch_that_nobody_waits_for_is_cancelled_on_the_server(database_url: str) -> None:
    sql = TABLES + "CREATE VIEW slow AS SELECT u.id FROM users AS u, pg_sleep(60);"
    async with database(database_url, sql) as db:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(table_loader(db, "slow", "id").load(1), 0.2)
        await until_async(lambda: db.pool_stats()["busy"] == 0)
        assert await db.query_val("SELECT 1") == 1
