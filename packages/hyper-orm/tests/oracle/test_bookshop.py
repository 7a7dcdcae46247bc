"""The bookshop itself: its rows are there, the same ones in every run, with the values that queries get wrong."""

import hashlib

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
