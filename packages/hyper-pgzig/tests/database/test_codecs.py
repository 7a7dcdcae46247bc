"""Codecs of the user's own."""

import pytest
from hyperdjango.database import Database, SyncDatabase, UndefinedObject


class Money:
    """Something the driver knows nothing of."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    @classmethod
    def parse(cls, text: str) -> "Money":
        return cls(round(float(text.lstrip("$").replace(",", "")) * 100))

    def text(self) -> str:
        return f"{self.cents / 100:.2f}"


async def test_a_codec_decides_for_its_type_its_arrays_and_statements_already_prepared(
    database_url: str,
) -> None:
    async with Database(database_url, min_size=1, max_size=1) as db:
        await db.execute("SET lc_monetary TO 'C'")
        before = await db.query_val("SELECT '12.50'::money")
        assert isinstance(before, str)
        await db.register_codec("money", encode=Money.text, decode=Money.parse)
        after = await db.query_val("SELECT '12.50'::money")
        assert isinstance(after, Money)
        assert after.cents == 1250
        echo = await db.query_val("SELECT $1::money", Money(999))
        assert echo.cents == 999
        both = await db.query_val("SELECT $1::money[]", [Money(1), None])
        assert both[0].cents == 1
        assert both[1] is None


async def test_a_codec_in_binary_sees_the_bytes(database_url: str) -> None:
    async with Database(database_url) as db:
        await db.register_codec(
            "int4", encode=lambda n: (n + 1).to_bytes(4, "big"), decode=lambda b: b.hex(), binary=True
        )
        assert await db.query_val("SELECT $1::int4", 41) == "0000002a"


def test_the_blocking_face_has_it_too_and_an_unknown_type_is_an_error(database_url: str) -> None:
    with SyncDatabase(database_url) as db:
        db.register_codec("money", encode=Money.text, decode=Money.parse)
        assert db.query_val("SELECT 1::money").cents == 100
        with pytest.raises(UndefinedObject):
            db.register_codec("no_such_type", encode=str, decode=str)


async def test_what_a_codec_raises_comes_through_and_the_connection_stays(database_url: str) -> None:
    def refuse(_: object) -> str:
        raise ZeroDivisionError("mine")

    async with Database(database_url, min_size=1, max_size=1) as db:
        await db.register_codec("money", encode=refuse, decode=refuse)
        with pytest.raises(ZeroDivisionError, match="mine"):
            await db.query_val("SELECT 1::money")
        with pytest.raises(ZeroDivisionError, match="mine"):
            await db.query_val("SELECT $1::money", 1)
        assert await db.query_val("SELECT 1") == 1
