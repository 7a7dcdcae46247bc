"""A resolver over several databases for the tests of models, without hyper-multidb: aliases and shards."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from difflib import get_close_matches
from typing import Any, NamedTuple

from hyperdjango.database import Database
from hyperdjango.database.resolver import (
    NOT_BOUND,
    Bound,
    OneDatabase,
    UnknownAlias,
    nothing_bound,
    set_resolver,
)
from postgres_servers import Server


class Asked(NamedTuple):
    """One question for a database."""

    model: str
    is_write: bool
    alias: str


class WrongShard(Exception):  # noqa: N818 - says what it is
    """A statement binds no shard, or another one than it must."""


class Aliases(OneDatabase):
    """Answers by alias, by the instance's alias, by a table of shards, by Meta.database, by `routes`, with "default".

    Attributes:
        databases: By alias.
        sharded: Model's name to its key and the aliases of its shards; the key modulo their number says which.
        routes: Model's name to an alias, as a router would say.
        related: Pairs of aliases whose instances may point to each other.
        hidden: Pairs of alias and model's name: tables that do not belong there.
        asked: Every question, in order.
    """

    def __init__(self, databases: dict[str, Database]) -> None:
        self.databases = databases
        self.sharded: dict[str, tuple[str, Sequence[str]]] = {}
        self.routes: dict[str, str] = {}
        self.related: set[tuple[str, str]] = set()
        self.hidden: set[tuple[str, str]] = set()
        self.asked: list[Asked] = []

    def resolve(
        self,
        alias: str | None,
        model: type[Any] | None,
        *,
        is_write: bool,
        instance_alias: str | None,
        bound: Bound = nothing_bound,
    ) -> Database:
        name = model.__name__ if model is not None else ""
        chosen = alias or instance_alias
        if chosen is None and name in self.sharded:
            chosen = self._shard(name, bound)
        if chosen is None and model is not None:
            chosen = model._table.database or self.routes.get(name)
        chosen = chosen or "default"
        if chosen not in self.databases:
            near = get_close_matches(chosen, self.databases, 1)
            raise UnknownAlias(f"no database {chosen!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        self.asked.append(Asked(name, is_write, chosen))
        return self.databases[chosen]

    def _shard(self, name: str, bound: Bound) -> str:
        field, aliases = self.sharded[name]
        key = bound(field)
        if key is NOT_BOUND:
            raise WrongShard(f"{name} binds no {field}")
        assert isinstance(key, int), key
        return aliases[key % len(aliases)]

    def check_shard(self, database: Database, model: type[Any], bound: Bound) -> None:
        sharded = self.sharded.get(model.__name__)
        if sharded is None:
            return
        if database.alias not in sharded[1]:
            raise WrongShard(f"{model.__name__} is not in {database.alias}")
        if bound(sharded[0]) is not NOT_BOUND and self._shard(model.__name__, bound) != database.alias:
            raise WrongShard(f"{model.__name__} is of another shard than {database.alias}")

    def shards(self, model: type[Any], *, is_write: bool) -> "list[Database] | None":  # type: ignore[override]  # None is all that its base says
        sharded = self.sharded.get(model.__name__)
        return None if sharded is None else [self.databases[alias] for alias in sharded[1]]

    def allows_relation(self, near: type[Any], near_alias: str, far: type[Any], far_alias: str) -> bool:
        return near_alias == far_alias or (near_alias, far_alias) in self.related

    def allows_table(self, alias: str, model: type[Any]) -> bool:
        return (alias, model.__name__) not in self.hidden

    def writes(self) -> list[bool]:
        """Whether each statement since the last call was asked for the primary."""
        found = [one.is_write for one in self.asked]
        self.asked.clear()
        return found


@asynccontextmanager
async def aliases(server: Server, *names: str) -> AsyncIterator[Aliases]:
    """Serve models from a database of its own for each name."""
    made = {name: server.create_database() for name in names}
    try:
        async with AsyncExitStack() as stack:
            databases: dict[str, Database] = {}
            for name, database in made.items():
                databases[name] = await stack.enter_async_context(Database(server.url_for(database), 0, 3))
                databases[name].alias = name
            resolver = Aliases(databases)
            set_resolver(resolver)
            stack.callback(set_resolver, None)
            yield resolver
    finally:
        for database in made.values():
            server.drop_database(database)
