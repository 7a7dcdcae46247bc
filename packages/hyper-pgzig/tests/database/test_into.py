"""What a row becomes with `into=`: dict, tuple, named tuples, dataclasses, Structs, models, any callable."""

import gc
import sys
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from hyperdjango.database import Database, DataError, SyncDatabase
from postgres_servers import Server
from typekit import fresh_database


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server) as database:
        yield database


SQL = "SELECT n AS id, 'name ' || n AS name, n * 1.5::float8 AS score FROM generate_series(1, 3) AS n"
FIRST = {"id": 1, "name": "name 1", "score": 1.5}


class Row(NamedTuple):
    score: float
    id: int
    name: str = "nobody"


class Defaulted(NamedTuple):
    id: int
    name: str
    score: float
    extra: str = "kept"


@dataclass
class Plain:
    id: int
    name: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Strict:
    score: float
    name: str
    id: int
    tags: list[str] = field(default_factory=list)


class Struct(msgspec.Struct, frozen=True):
    id: int
    name: str
    score: float = 0.0


class Model(pydantic.BaseModel):
    id: int
    name: str
    score: float


class Converting(pydantic.BaseModel):
    id: str | int
    name: str = pydantic.Field(max_length=10)
    score: int | float


Renamed = namedtuple("Renamed", ["name", "score", "id"])


def test_dicts_are_the_default(db: SyncDatabase) -> None:
    assert db.query(SQL)[0] == FIRST
    assert db.query(SQL, into=dict) == db.query(SQL)
    assert list(db.query(SQL)[2]) == ["id", "name", "score"]


def test_tuples_are_in_the_order_of_the_columns(db: SyncDatabase) -> None:
    assert db.query(SQL, into=tuple) == [(n, f"name {n}", n * 1.5) for n in (1, 2, 3)]
    assert type(db.query(SQL, into=tuple)[0]) is tuple
    assert db.query_one(SQL, into=tuple) == (1, "name 1", 1.5)


@pytest.mark.parametrize("target", [Row, Renamed])
def test_named_tuples_are_filled_by_name(db: SyncDatabase, target: Any) -> None:
    rows = db.query(SQL, into=target)
    assert rows[0]._asdict() == {name: FIRST[name] for name in target._fields}
    assert all(type(row) is target for row in rows)
    assert rows[2].name == "name 3"


def test_a_named_tuple_with_more_fields_takes_its_defaults(db: SyncDatabase) -> None:
    assert db.query_one(SQL, into=Defaulted) == Defaulted(1, "name 1", 1.5, "kept")


@pytest.mark.parametrize("target", [Plain, Strict, Struct, Model, Converting, SimpleNamespace])
def test_other_classes_are_called_with_keywords(db: SyncDatabase, target: Any) -> None:
    rows = db.query(SQL, into=target)
    assert [type(row) for row in rows] == [target] * 3
    assert [(row.id, row.name, row.score) for row in rows] == db.query(SQL, into=tuple)
    assert db.query_one(SQL, into=target) == rows[0]


def test_any_callable_of_keywords_serves(db: SyncDatabase) -> None:
    assert db.query(SQL, into=lambda **row: row["id"]) == [1, 2, 3]
    assert db.query(SQL, into=lambda id, name, score: (score, id)) == [(n * 1.5, n) for n in (1, 2, 3)]  # noqa: A006


def test_no_rows_are_an_empty_list_or_none(db: SyncDatabase) -> None:
    for target in (dict, tuple, Row, Plain, Struct, Model):
        assert db.query(f"{SQL} WHERE false", into=target) == []
        assert db.query_one(f"{SQL} WHERE false", into=target) is None


def test_nulls_are_none_everywhere(db: SyncDatabase) -> None:
    sql = "SELECT NULL::int4 AS id, NULL::text AS name, NULL::float8 AS score"
    assert db.query_one(sql, into=tuple) == (None, None, None)
    assert db.query(sql, into=Row) == db.query(sql, into=tuple)
    assert db.query_one(sql) == {"id": None, "name": None, "score": None}
    assert db.query_one(sql, into=Plain) == Plain(None, None, None)  # type: ignore[arg-type]


def test_of_equal_names_the_last_wins_in_a_dict_and_a_tuple_keeps_all(db: SyncDatabase) -> None:
    sql = "SELECT 1 AS a, 2 AS b, NULL::int4 AS a, 4 AS b"
    assert db.query(sql) == [{"a": None, "b": 4}]
    assert db.query(sql, into=tuple) == [(1, 2, None, 4)]
    assert db.query_val(sql) == 1
    for target in (Row, Plain, Struct):
        with pytest.raises(DataError, match="two columns have the same name"):
            db.query(sql, into=target)
    assert db.query_val("SELECT 1") == 1


def test_names_that_are_none(db: SyncDatabase) -> None:
    row = db.query_one('SELECT 1, 3 AS "two words", 4 AS "class", 5 AS "é"')
    assert row == {"?column?": 1, "two words": 3, "class": 4, "é": 5}
    assert db.query_one('SELECT 4 AS "class"', into=lambda **names: names) == {"class": 4}


@pytest.mark.parametrize("target", [Row, Plain, Strict, Struct, Model])
def test_a_column_that_the_class_does_not_have_is_its_own_error(db: SyncDatabase, target: Any) -> None:
    with pytest.raises((TypeError, pydantic.ValidationError)):
        db.query("SELECT 1 AS id, 'x' AS label", into=target)
    with pytest.raises((TypeError, pydantic.ValidationError)):
        db.query_one("SELECT 1 AS id", into=target)
    assert db.query_val("SELECT 1") == 1


class Picky:
    seen = 0

    def __init__(self, id: int, **_: object) -> None:  # noqa: A002 - the column's name
        Picky.seen += 1
        if id == 500:
            raise ZeroDivisionError("mine")


def test_an_error_of_the_constructor_comes_through_and_the_connection_stays(db: SyncDatabase) -> None:
    backend = db.query_val("SELECT pg_backend_pid()")
    Picky.seen = 0
    with pytest.raises(ZeroDivisionError, match="mine"):
        db.query("SELECT n AS id, repeat('x', 100) AS pad FROM generate_series(1, 20000) AS n", into=Picky)
    assert Picky.seen == 500, "rows after the error are read and dropped"
    assert db.query_val("SELECT pg_backend_pid()") == backend
    with pytest.raises(pydantic.ValidationError):
        db.query("SELECT 1 AS id, 'a name that is too long' AS name, 1.0::float8 AS score", into=Converting)
    with db.transaction():
        with pytest.raises(ZeroDivisionError):
            db.query("SELECT 500 AS id", into=Picky)
        assert db.query_val("SELECT 2") == 2
    assert db.query_val("SELECT pg_backend_pid()") == backend


def test_a_constructor_that_uses_the_same_database_gets_another_connection(
    server: Server, db: SyncDatabase
) -> None:
    name = str(db.query_val("SELECT current_database()"))
    with SyncDatabase(server.url_for(name), min_size=1, max_size=2) as wide:
        assert wide.query(SQL, into=lambda **row: wide.query_val("SELECT $1::int4 + 1", row["id"])) == [
            2,
            3,
            4,
        ]


def test_a_constructor_may_collect_garbage(db: SyncDatabase) -> None:
    def make(**row: object) -> dict[str, object]:
        gc.collect(0)
        return row

    assert (
        len(db.query("SELECT n AS id, ARRAY[n::text] AS a FROM generate_series(1, 300) AS n", into=make))
        == 300
    )


@pytest.mark.parametrize("target", [5, "dict", None, [dict], type("Bare", (tuple,), {})])
def test_what_is_no_target_is_refused_at_once(db: SyncDatabase, target: Any) -> None:
    with pytest.raises(TypeError, match="into= takes dict, tuple, a NamedTuple"):
        db.query("SELECT 1", into=target)
    with pytest.raises(TypeError, match="into= takes"):
        db.query_one("SELECT 1", into=target)
    assert db.query_val("SELECT 1") == 1


def test_as_many_columns_as_postgresql_has(db: SyncDatabase) -> None:
    count = 1600
    columns = ", ".join(f"{n}::int4 AS c{n}" for n in range(count))
    names = [f"c{n}" for n in range(count)]
    sql = f"SELECT {columns} FROM generate_series(1, 3)"
    wide = namedtuple("wide", names[::-1])  # type: ignore[misc]
    assert db.query(sql, into=tuple) == [tuple(range(count))] * 3
    assert db.query(sql)[2] == dict(zip(names, range(count), strict=True))
    assert db.query(sql, into=wide)[0] == tuple(range(count))[::-1]
    assert vars(db.query(sql, into=SimpleNamespace)[1]) == dict(zip(names, range(count), strict=True))


def test_no_columns_at_all(db: SyncDatabase) -> None:
    assert db.query("SELECT FROM generate_series(1, 2)") == [{}, {}]
    assert db.query("SELECT FROM generate_series(1, 2)", into=tuple) == [(), ()]
    assert db.query_val("SELECT") is None
    assert db.query("CREATE TEMP TABLE IF NOT EXISTS no_rows (id int4)") == []
    assert db.query_one("SELECT") == {}


def test_rows_are_values_of_their_own(db: SyncDatabase) -> None:
    first, second = db.query("SELECT 1 AS a, '{}'::jsonb AS b FROM generate_series(1, 2)")
    first["a"] = 2
    first["b"]["x"] = 1
    first["new"] = 3
    assert second == {"a": 1, "b": {}}
    assert db.query("SELECT 1 AS a, '{}'::jsonb AS b FROM generate_series(1, 2)")[0] == {"a": 1, "b": {}}
    # Keys are shared: a hundred thousand rows hold each name once.
    assert next(iter(first)) is sys.intern("a")


async def test_the_other_face_fills_the_same(server: Server, db: SyncDatabase) -> None:
    name = str(db.query_val("SELECT current_database()"))
    async with Database(server.url_for(name), min_size=1, max_size=1) as other:
        assert await other.query(SQL, into=Row) == db.query(SQL, into=Row)
        assert await other.query_one(SQL, into=Model) == db.query_one(SQL, into=Model)
        with pytest.raises(ZeroDivisionError):
            await other.query("SELECT 500 AS id", into=Picky)
        assert await other.query_val("SELECT 1") == 1
