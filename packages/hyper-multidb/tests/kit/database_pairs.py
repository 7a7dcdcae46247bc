"""Two databases on servers of their own that take prepared transactions, for the tests of what spans both."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import psycopg
from hyperdjango.database import Database
from hyperdjango.multi_db._atomic import AtomicBlock

ROWS: Final = "SELECT a FROM t ORDER BY a"


class Pair:
    """What a test sees of both.

    Attributes:
        urls: By alias, `"a"` and `"b"`.
        databases: The same, opened.
    """

    def __init__(self, urls: Mapping[str, str], databases: Mapping[str, Database]) -> None:
        self.urls = dict(urls)
        self.databases = dict(databases)

    def __getitem__(self, alias: str) -> Database:
        return self.databases[alias]

    def atomic(self, *aliases: str, **options: Any) -> AtomicBlock:
        return AtomicBlock(self.databases, aliases or ("a", "b"), **options)

    async def insert(self, value: int, *aliases: str) -> None:
        for alias in aliases or ("a", "b"):
            await self[alias].execute("INSERT INTO t VALUES ($1)", value)

    def seen(self, alias: str) -> list[int]:
        """What others see."""
        with psycopg.connect(self.urls[alias]) as other:
            return [a for (a,) in other.execute(ROWS)]

    @property
    def both(self) -> tuple[list[int], list[int]]:
        return self.seen("a"), self.seen("b")

    def prepared(self) -> list[str]:
        """The aliases that have a prepared transaction."""
        found: list[str] = []
        for alias, url in self.urls.items():
            with psycopg.connect(url) as other:
                sql = "SELECT FROM pg_prepared_xacts WHERE database = current_database()"
                found += [alias] * other.execute(sql).rowcount
        return found

    def kill(self, alias: str) -> None:
        """End the connections of one."""
        with psycopg.connect(self.urls[alias], autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def is_whole(self) -> bool:
        """Whether no connection is left in use."""
        return all(database.pool_stats()["busy"] == 0 for database in self.databases.values())


def make_tables(urls: Mapping[str, str]) -> None:
    for url in urls.values():
        with psycopg.connect(url, autocommit=True) as control:
            control.execute(
                "CREATE TABLE t (a int, CONSTRAINT once UNIQUE (a) DEFERRABLE INITIALLY DEFERRED)"
            )


def drop_tables(urls: Mapping[str, str]) -> None:
    """Remove the table, and what a test has left prepared."""
    for url in urls.values():
        with psycopg.connect(url, autocommit=True) as control:
            left = control.execute(
                "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
            ).fetchall()
            for (gid,) in left:
                control.execute(f"ROLLBACK PREPARED '{gid}'")
            control.execute("DROP TABLE t")


@contextlib.contextmanager
def tables(urls: Mapping[str, str]) -> Iterator[None]:
    make_tables(urls)
    yield
    drop_tables(urls)


@contextlib.asynccontextmanager
async def opened(urls: Mapping[str, str], max_size: int = 4) -> AsyncIterator[Pair]:
    async with contextlib.AsyncExitStack() as stack:
        databases = {
            alias: await stack.enter_async_context(Database(url, 1, max_size)) for alias, url in urls.items()
        }
        for alias, database in databases.items():
            database.alias = alias
        yield Pair(urls, databases)
