"""What the tests of section 2 share: values, and what is asked of them."""

import datetime as dt
import uuid
from typing import Any, Final

from hyperdjango.database import Database

PARIS: Final = dt.timezone(dt.timedelta(hours=1))
ID: Final = uuid.UUID("12345678-1234-5678-1234-567812345678")


async def both_ways(db: Database, type_name: str, value: Any) -> None:
    """The value is a parameter of the type, and comes back as it was."""
    found = await db.query_val(f"SELECT $1::{type_name}", value)
    assert found == value
    assert type(found) is type(value)


async def check_result(db: Database, sql: str, expected: Any) -> None:
    found = await db.query_val(f"SELECT {sql}")
    assert found == expected
    assert type(found) is type(expected)
