"""SQLAlchemy's ORM for the benchmarks, at its best: AsyncSession over asyncpg, in autocommit.

Called by `_orm.py`. A session in autocommit sends no BEGIN and no ROLLBACK; one session for many lookups
takes its connection from the pool once. Both ways are shown where they differ.
SQLAlchemy docs: orm/extensions/asyncio; orm/queryguide/dml, "ORM Bulk INSERT Statements"; core/connections,
"SQL Compilation Caching".
"""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from _harness import EventLoop
from _orm import OF_DICTS, Way, at_once
from _orm_tables import item, items, nothing, titles, with_books
from _place import Place, host_and_port
from sqlalchemy import (
    URL,
    BigInteger,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Numeric,
    Select,
    Text,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload


class _Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's way
        str: Text,
        dt.datetime: DateTime(timezone=True),
        float: Double,
    }


class _Columns:
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    created_at: Mapped[dt.datetime]
    published: Mapped[dt.date]
    active: Mapped[bool]
    token: Mapped[UUID]
    weight: Mapped[float]


class Item(_Columns, _Base):
    """A row of what is read."""

    __tablename__ = "bench_item"


class NewItem(_Columns, _Base):
    """A row of what is written."""

    __tablename__ = "bench_new_item"


class Author(_Base):
    """A parent."""

    __tablename__ = "bench_author"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    active: Mapped[bool]
    books: Mapped[list["Book"]] = relationship(back_populates="author")


class Book(_Base):
    """Its child."""

    __tablename__ = "bench_book"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("bench_author.id"))
    title: Mapped[str]
    pages: Mapped[int]
    price: Mapped[Decimal] = mapped_column(Numeric(8, 2))
    author: Mapped[Author] = relationship(back_populates="books")


class _SQLAlchemy:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._autocommit = async_sessionmaker(
            engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False
        )
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    def hydrate(self) -> list[Way]:
        async def read(_: int) -> Sequence[Item]:
            async with self._autocommit() as session:
                return (await session.scalars(select(Item))).all()

        return [Way("SQLAlchemy", read, items)]

    def get(self) -> list[Way]:
        async def alone(key: int) -> Item:
            async with self._autocommit() as session:
                return await session.get_one(Item, key)

        async def many(keys: Sequence[int]) -> None:
            async with self._autocommit() as session:
                for key in keys:
                    await session.get_one(Item, key)

        return [
            Way("SQLAlchemy, one session for many", alone, item, many),
            Way("SQLAlchemy", alone, item),
        ]

    def bulk_create(self, sets: list[dict[str, Any]]) -> list[Way]:
        async def add_all(_: int) -> None:
            async with self._sessions.begin() as session:
                session.add_all([NewItem(**values) for values in sets])

        async def insert_dicts(_: int) -> None:
            async with self._sessions.begin() as session:
                await session.execute(insert(NewItem), sets)

        return [
            Way("SQLAlchemy, add_all", add_all, nothing),
            Way(OF_DICTS, insert_dicts, nothing),
        ]

    def prefetch(self) -> list[Way]:
        statement = select(Author).where(Author.active).options(selectinload(Author.books))

        async def read(_: int) -> Sequence[Author]:
            async with self._autocommit() as session:
                return (await session.scalars(statement)).all()

        return [Way("SQLAlchemy", read, lambda found: with_books([(each, each.books) for each in found]))]

    def compile(self) -> list[Way]:
        dialect = self._engine.dialect
        cache: dict[Any, Any] = {}

        def chain(pages: int) -> Select[Book]:
            return (
                select(Book)
                .where(Book.pages >= pages, Book.title.startswith("a"))
                .order_by(Book.price.desc())
                .limit(20)
            )

        def cached(pages: int) -> object:
            # What a session does before it executes; there is no public name for it.
            compiled, extracted, *_ = chain(pages)._compile_w_cache(
                dialect, compiled_cache=cache, column_keys=[]
            )
            return compiled.construct_params(extracted_parameters=extracted)

        def anew(pages: int) -> object:
            return chain(pages).compile(dialect=dialect).params

        async def read(pages: int) -> Sequence[Book]:
            async with self._autocommit() as session:
                return (await session.scalars(chain(pages))).all()

        return [
            Way("SQLAlchemy", cached, titles, at_once(cached), shown=read),
            Way("SQLAlchemy, compile()", anew, titles, at_once(anew), shown=read),
        ]


def open_on(loop: EventLoop, place: Place) -> _SQLAlchemy:
    """Connect."""
    host, port = host_and_port(place)
    url = URL.create(
        "postgresql+asyncpg",
        username=place.user,
        database=place.database,
        query={"host": host, "port": str(port)},
    )
    engine = create_async_engine(url, pool_size=1, max_overflow=0, skip_autocommit_rollback=True)
    loop.defer(engine.dispose)
    return _SQLAlchemy(engine)
