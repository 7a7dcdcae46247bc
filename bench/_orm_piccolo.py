"""Piccolo for the benchmarks, at its best: `objects()` over a pool of one asyncpg connection.

Called by `_orm.py`. What it has no call for is done as its manual's parts allow: the children of many parents
are a second query and a dict, and an insert of many rows is cut where a statement has too many parameters.
Piccolo docs: query_types/objects, "prefetch"; query_types/insert.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc"
# It need not be installed.

from types import SimpleNamespace
from typing import Any, Final

from _harness import EventLoop
from _orm import Way, at_once
from _orm_tables import item, items, nothing, titles, with_books
from _place import Place, host_and_port
from piccolo.columns import (
    UUID,
    BigSerial,
    Boolean,
    Date,
    DoublePrecision,
    ForeignKey,
    Integer,
    Numeric,
    Text,
    Timestamptz,
)
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table

_INSERTED_AT_ONCE: Final = 32_767 // 7  # asyncpg's parameters of a statement, by columns of a row


def _tables(engine: Any) -> SimpleNamespace:
    """Make the tables' classes: in Piccolo a class knows its engine, and each loop has its own."""

    class Item(Table, tablename="bench_item", db=engine):
        id = BigSerial(primary_key=True)
        name = Text()
        price = Numeric((12, 2))
        created_at = Timestamptz()
        published = Date()
        active = Boolean()
        token = UUID()
        weight = DoublePrecision()

    class NewItem(Table, tablename="bench_new_item", db=engine):
        id = BigSerial(primary_key=True)
        name = Text()
        price = Numeric((12, 2))
        created_at = Timestamptz()
        published = Date()
        active = Boolean()
        token = UUID()
        weight = DoublePrecision()

    class Author(Table, tablename="bench_author", db=engine):
        id = BigSerial(primary_key=True)
        name = Text()
        active = Boolean()

    class Book(Table, tablename="bench_book", db=engine):
        id = BigSerial(primary_key=True)
        author_id = ForeignKey(Author)
        title = Text()
        pages = Integer()
        price = Numeric((8, 2))

    return SimpleNamespace(Item=Item, NewItem=NewItem, Author=Author, Book=Book)


class _Piccolo:
    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._tables = _tables(engine)

    def hydrate(self) -> list[Way]:
        table = self._tables.Item
        return [Way("Piccolo", lambda _: table.objects(), items)]

    def get(self) -> list[Way]:
        table = self._tables.Item
        return [Way("Piccolo", lambda key: table.objects().get(table.id == key), item)]

    def bulk_create(self, sets: list[dict[str, Any]]) -> list[Way]:
        table = self._tables.NewItem

        async def create(_: int) -> None:
            made = [table(**values) for values in sets]
            async with self._engine.transaction():
                for at in range(0, len(made), _INSERTED_AT_ONCE):
                    await table.insert(*made[at : at + _INSERTED_AT_ONCE])

        return [Way("Piccolo", create, nothing)]

    def prefetch(self) -> list[Way]:
        authors, books = self._tables.Author, self._tables.Book

        async def read(_: int) -> list[tuple[Any, list[Any]]]:
            parents = await authors.objects().where(authors.active.eq(True))
            children: dict[int, list[Any]] = {parent.id: [] for parent in parents}
            for book in await books.objects().where(books.author_id.is_in(list(children))):
                children[book.author_id].append(book)
            return [(parent, children[parent.id]) for parent in parents]

        return [Way("Piccolo, two queries and a dict", read, with_books)]

    def compile(self) -> list[Way]:
        book = self._tables.Book

        def chain(pages: int) -> Any:
            return (
                book.objects()
                .where(book.pages >= pages, book.title.like("a%"))
                .order_by(book.price, ascending=False)
                .limit(20)
            )

        def compiled(pages: int) -> Any:
            return chain(pages).querystrings[0].compile_string()

        return [Way("Piccolo", compiled, titles, at_once(compiled), shown=chain)]


def open_on(loop: EventLoop, place: Place) -> _Piccolo:
    """Connect."""
    host, port = host_and_port(place)
    engine = PostgresEngine({"host": host, "port": port, "user": place.user, "database": place.database})
    loop.run(engine.start_connection_pool(min_size=1, max_size=1))
    loop.defer(engine.close_connection_pool)
    return _Piccolo(engine)
