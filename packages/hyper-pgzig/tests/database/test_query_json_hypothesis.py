"""`query_json` over whatever rows can hold: read back it is what `query` gives, and where the rule is the
server's it is the very text of `row_to_json`.

Examples are few and hold many values each. In CI they are always the same.
"""

import datetime as dt
import json
import math
import os
import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest
from hyperdjango.database import SyncDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_servers import Server
from typekit import fresh_database


@pytest.fixture(scope="module")
def utc(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(
        server, "CREATE TYPE mood AS ENUM ('sad', 'ok')", server_settings={"timezone": "UTC"}
    ) as db:
        yield db


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e15, 1e15) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
# What JSON has a form of its own for: it must read back as what `query` gives.
DIRECT: Final[dict[str, st.SearchStrategy[Any]]] = {
    "bool": st.booleans(),
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "oid": st.integers(0, 2**32 - 1),
    "float8": st.floats(allow_nan=False, allow_infinity=False),
    "text": texts,
    "mood": st.sampled_from(["sad", "ok"]),
    "jsonb": st.lists(documents, max_size=3) | st.dictionaries(texts, documents, max_size=3),
}
# What is written as the server writes it.
SERVERS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "bool": st.booleans(),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "numeric": st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=7
    ),
    "text": texts,
    "bytea": st.binary(max_size=40),
    "uuid": st.uuids(),
    "date": st.dates(),
    "time": st.times(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(timezones=st.just(dt.UTC)),
    "interval": st.timedeltas(),
    "inet": st.ip_addresses(),
    "varbit": st.text("01", max_size=70),
    "json": documents.filter(lambda value: not isinstance(value, str)),
}
SETTINGS: Final = settings(
    max_examples=50,
    deadline=None,  # a server's answer takes as long as it takes
    derandomize=os.environ.get("CI", "").lower() in {"1", "true"},
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def nested(strategies: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, list[Any]]]:
    return st.fixed_dictionaries(
        {name: st.lists(st.none() | strategy, max_size=4) for name, strategy in strategies.items()}
    )


@SETTINGS
@given(nested(DIRECT))
def test_whatever_a_row_holds_reads_back_as_what_query_gives(
    utc: SyncDatabase, values: dict[str, list[Any]]
) -> None:
    columns = ", ".join(
        f'${n}::{name}[] AS "{name}", (${n}::{name}[])[1] AS "first {name}"'
        for n, name in enumerate(values, 1)
    )
    sql = f"SELECT {columns}"
    assert json.loads(utc.query_json(sql, *values.values())) == utc.query(sql, *values.values())


@SETTINGS
@given(nested(SERVERS))
def test_whatever_a_row_holds_is_what_row_to_json_writes(
    utc: SyncDatabase, values: dict[str, list[Any]]
) -> None:
    columns = ", ".join(
        f'${n}::{name}[] AS "{name}", (${n}::{name}[])[1] AS "first {name}"'
        for n, name in enumerate(values, 1)
    )
    ours = utc.query_json(f"SELECT {columns}", *values.values()).decode()
    theirs = utc.query_val(f"SELECT row_to_json(r)::text FROM (SELECT {columns}) r", *values.values())
    assert ours == f"[{theirs}]"
    json.loads(ours, parse_float=Decimal)


@SETTINGS
@given(st.lists(st.floats(), max_size=20), st.lists(st.floats(width=32), max_size=20))
def test_floats_have_the_fewest_digits_that_read_back_as_the_same(
    utc: SyncDatabase, doubles: list[float], singles: list[float]
) -> None:
    text = utc.query_json("SELECT $1::float8[] AS d, $2::float4[] AS s", doubles, singles)
    (row,) = json.loads(text, parse_float=str)
    words = {math.inf: "Infinity", -math.inf: "-Infinity"}
    for value, printed in zip(doubles, row["d"], strict=True):
        if math.isfinite(value):
            assert Decimal(printed) == Decimal(repr(value))
            assert printed.startswith("-") == (math.copysign(1, value) < 0)
        else:
            assert printed == words.get(value, "NaN")
    for value, printed in zip(singles, row["s"], strict=True):
        if math.isfinite(value):
            assert struct.pack("f", float(printed)) == struct.pack("f", value)
            assert len(Decimal(printed).normalize().as_tuple().digits) <= 9
        else:
            assert printed == words.get(value, "NaN")
