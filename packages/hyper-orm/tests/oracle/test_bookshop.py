"""The bookshop itself: its rows are there, the same ones in every run, with the values that queries get wrong."""

import hashlib
from typing import Final

import psycopg
from bookshop import django_side, load
from bookshop.data import Maker
from bookshop.django_app import models as theirs


def test_it_has_more_than_100_000_rows(bookshop_url: str) -> None:
    with psycopg.connect(bookshop_url) as connection:
        total = sum(
            connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # type: ignore[index]
            for name in connection.execute(
                "SELECT array_agg(tablename::text) FROM pg_tables WHERE schemaname = 'public'"
            ).fetchone()[0]  # type: ignore[index]
        )
    assert total > 100_000


FOREIGN_KEYS: Final = """
    SELECT conrelid::regclass::text, near.attname, confrelid::regclass::text, far.attname
    FROM pg_constraint
    JOIN pg_attribute near ON (near.attrelid, near.attnum) = (conrelid, conkey[1])
    JOIN pg_attribute far ON (far.attrelid, far.attnum) = (confrelid, confkey[1])
    WHERE contype = 'f'
"""


def test_every_foreign_key_leads_to_a_row(shop_url: str) -> None:
    with psycopg.connect(shop_url) as connection:
        keys = connection.execute(FOREIGN_KEYS).fetchall()
        assert len(keys) == 24
        for table, column, target, key in keys:
            lost = f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT {key} FROM {target})"
            assert connection.execute(lost.encode()).fetchone() == (0,), (table, column)


def test_its_rows_are_the_same_in_every_run() -> None:
    assert next(Maker().tables()) == next(Maker().tables())
    digest = hashlib.sha256(repr(load.tables()).encode()).hexdigest()
    assert digest == "c4df19c98dd4925dfb422ecefd945cf721b8ea97fad65c00fccb075677a36655"


def test_django_reads_every_table(shop_url: str) -> None:
    django_side.connect(shop_url)
    try:
        for model in theirs.MODELS:
            assert model.objects.first() is not None
            assert model.objects.count() > 0
    finally:
        django_side.disconnect()
