"""Queries that hypothesis makes, through our ORM and as SQL that is written without it: the same rows."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from oracle.as_orm import queryset
from oracle.as_sql import text
from oracle.descriptions import Query, queries
from oracle.sides import Ours

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="session")
def by_hand(shop_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shop_url, autocommit=True) as connection:
        yield connection


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(query=queries())
def test_a_query_gives_the_rows_of_the_sql_it_means(
    ours: Ours, by_hand: psycopg.Connection, query: Query
) -> None:
    expected: Rows = by_hand.execute(text(query).encode()).fetchall()
    found: Rows = [tuple(row) for row in ours.run(lambda side: queryset(side, query))]
    if query.order:
        assert found == expected
    else:
        assert Counter(found) == Counter(expected)
