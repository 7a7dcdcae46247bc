"""Which Database serves a model: the one question that models ask of whoever knows several databases.

Without hyper-multidb there is one, `get_db()`, under the alias "default". hyper-multidb installs itself here
with `set_resolver`; models never import it.
"""
# Which Databases share a running transaction only their halves know:
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from hyperdjango.database._global import get_db
from hyperdjango.database._running import innermost

if TYPE_CHECKING:
    from hyperdjango.database._async_calls import AsyncCalls
    from hyperdjango.database.client import Database

DEFAULT_ALIAS = "default"


class UnknownAlias(KeyError):  # noqa: N818 - says what it is
    """No database is configured under an alias."""

    def __str__(self) -> str:
        """The text as it is; a KeyError would show its repr."""
        return str(self.args[0]) if self.args else ""


# What a `Bound` returns where a statement binds no value to a field, or several.
NOT_BOUND: Final = object()
# Returns the value that a statement binds to a field, by the field's name.
Bound = Callable[[str], object]


def nothing_bound(field: str) -> object:
    """The `Bound` of statements that are about no row in particular."""
    return NOT_BOUND


class Resolver(Protocol):
    """What serves models their databases."""

    def resolve(
        self,
        alias: str | None,
        model: type[Any] | None,
        *,
        is_write: bool,
        instance_alias: str | None,
        bound: Bound = nothing_bound,
    ) -> "Database":
        """Return the Database for a statement that no running transaction takes.

        Args:
            alias: As given to `using()`, or None.
            model: The model whose table the statement is about.
            is_write: It must run on the primary.
            instance_alias: Where the instance that is written or loaded from came from, or None.
            bound: Asked for the value of the shard key, of sharded models.
        Raises:
            UnknownAlias: An alias that is not configured; the text names the nearest.
        """
        ...

    def check_shard(self, database: "Database", model: type[Any], bound: Bound) -> None:
        """Check that a statement about a sharded model belongs to a database that was chosen by other means.

        Raises:
            Exception: Its key says another shard.
        """
        ...

    def shards(self, model: type[Any], *, is_write: bool) -> "Sequence[Database] | None":
        """Return the databases of all shards of a model, in order; None where it is not sharded."""
        ...

    def allows_relation(self, near: type[Any], near_alias: str, far: type[Any], far_alias: str) -> bool:
        """Whether an instance of one alias may point to one of another."""
        ...

    def allows_table(self, alias: str, model: type[Any]) -> bool:
        """Whether the table of a model belongs in the database of an alias."""
        ...


class OneDatabase:
    """The resolver of a process with one database, and the base of others."""

    def resolve(
        self,
        alias: str | None,
        model: type[Any] | None,
        *,
        is_write: bool,
        instance_alias: str | None,
        bound: Bound = nothing_bound,
    ) -> "Database":
        declared = alias
        if declared is None and model is not None:
            declared = model._table.database
        if declared not in {None, DEFAULT_ALIAS}:
            raise UnknownAlias(
                f"no database {declared!r}; there is {DEFAULT_ALIAS!r} only: get_db(). "
                "Several are named and routed by the package hyper-multidb"
            )
        return get_db()

    def check_shard(self, database: "Database", model: type[Any], bound: Bound) -> None:
        """Nothing is sharded."""

    def shards(self, model: type[Any], *, is_write: bool) -> None:
        """None: nothing is sharded."""

    def allows_relation(self, near: type[Any], near_alias: str, far: type[Any], far_alias: str) -> bool:
        return near_alias == far_alias

    def allows_table(self, alias: str, model: type[Any]) -> bool:
        return True


_resolver: Resolver = OneDatabase()


def get_resolver() -> Resolver:
    """Return what serves models their databases."""
    return _resolver


def set_resolver(resolver: Resolver | None) -> None:
    """Have another one serve them; None for the single `get_db()` again."""
    global _resolver  # noqa: PLW0603 - the one global this module is about
    _resolver = resolver if resolver is not None else OneDatabase()


def database_for(
    model: type[Any] | None,
    using: "str | Database | None" = None,
    own: "Database | None" = None,
    *,
    is_write: bool = False,
    bound: Bound = nothing_bound,
) -> "Database":
    """Return the Database for a statement about a model: the precedence of the contract, in one place.

    `using` counts first, then the transaction that was begun last in this task, then where the instance came
    from, then what the resolver says. Among transactions that were begun together the last two choose.

    Args:
        model: Whose table it is about.
        using: What `using()` was given.
        own: The database that the instance came from.
        is_write: It must run on the primary: it writes, locks, or nobody knows.
        bound: Asked for the value of the shard key, of sharded models.
    Raises:
        UnknownAlias: An alias that is not configured.
    """
    resolver = _resolver
    if using is not None:
        if not isinstance(using, str):
            return using
        return resolver.resolve(using, model, is_write=is_write, instance_alias=None, bound=bound)
    running = innermost()
    if running is not None:
        if isinstance(running, tuple):
            database = _one_of(running, model, own, is_write=is_write, bound=bound)
        else:
            database = cast("Database", running)
        if model is not None:
            resolver.check_shard(database, model, bound)
        return database
    return _resolved(model, own, is_write=is_write, bound=bound)


def _resolved(model: type[Any] | None, own: "Database | None", *, is_write: bool, bound: Bound) -> "Database":
    """Return the Database for a statement that neither `using()` nor a transaction decides."""
    if own is None:
        return _resolver.resolve(None, model, is_write=is_write, instance_alias=None, bound=bound)
    if own.alias is None:
        return own  # nobody knows it by name
    return _resolver.resolve(None, model, is_write=is_write, instance_alias=own.alias, bound=bound)


def _one_of(
    running: "tuple[AsyncCalls, ...]",
    model: type[Any] | None,
    own: "Database | None",
    *,
    is_write: bool,
    bound: Bound,
) -> "Database":
    """Return the one of several Databases, whose transactions were begun together, that a statement belongs to.

    It is where the statement would go without any transaction; where that is none of them, the first.
    """
    found = _resolved(model, own, is_write=is_write, bound=bound)
    # Faces of one alias share the variable of its running transaction.
    if any(found._current is one._current for one in running):
        return found
    return cast("Database", running[0])
