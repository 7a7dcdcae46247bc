"""Both sides, connected to one bookshop."""

import asyncio
from collections.abc import Iterator

import pytest
from bookshop import django_side
from oracle.sides import Theirs


@pytest.fixture(scope="session")
def theirs(shop_url: str) -> Iterator[Theirs]:
    django_side.connect(shop_url)
    yield Theirs()
    django_side.disconnect()
