# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportPrivateUsage=false
"""Typed usage of the application, for mypy and pyright in strict mode. It is checked, never run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_type

from hyperdjango import Database, HyperApp, JSONBytes, get_db
from hyperdjango.app import Request, to_json
from hyperdjango.multi_db import ConnectionManager

app = HyperApp("Shop", database="postgresql://localhost/shop")
HyperApp(database_url="postgresql://localhost/shop", health=None, debug=True)
HyperApp(database=Database("postgresql://localhost/shop", max_size=8), health="/up")
HyperApp(databases={"default": "postgresql://localhost/shop"}, routing={"secure": False})
HyperApp(database=5)  # type: ignore[arg-type]


@dataclass
class Item:
    """A body."""

    name: str


@app.get("/items")
async def items(request: Request) -> JSONBytes:
    """A handler stays what it is."""
    return JSONBytes(await get_db().query_json("SELECT 1"))


@app.post("/items", status_code=201)
async def make(request: Request, item: Item) -> Item:
    """With a body."""
    return item


@app.get("/plain")  # type: ignore[type-var]
def plain(request: Request) -> str:
    """A function that is no coroutine function is refused."""
    return ""


async def use(request: Request) -> None:
    """What the calls give."""
    assert_type(await items(request), JSONBytes)
    assert_type(await make(request, Item("x")), Item)
    assert_type(app.db, Database)
    assert_type(app.connections, ConnectionManager)
    assert_type(to_json([1]), bytes)


handler: Callable[[Request, Item], Awaitable[Item]] = make
