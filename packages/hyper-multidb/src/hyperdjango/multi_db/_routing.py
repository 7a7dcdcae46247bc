"""Which alias a statement of models goes to, and why: what comes after `using()` and the running transaction.

`ConnectionManager` is the resolver that models ask; it asks this. Routers are the user's: what they return is
checked.
"""

import difflib
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple, cast

from hyperdjango.database.resolver import DEFAULT_ALIAS, NOT_BOUND, Bound, UnknownAlias
from hyperdjango.multi_db.errors import RoutingError
from hyperdjango.multi_db.routers import HOOKS, check_router

USING: Final = "using()"
INSTANCE: Final = "the instance came from there"
META: Final = "Meta.database"
DEFAULT: Final = "the default"


class Choice(NamedTuple):
    """An alias, and why."""

    alias: str
    reason: str


def unknown(alias: object, known: Collection[str], said_by: str) -> UnknownAlias:
    """Return the error for an alias that nobody configured."""
    names = ", ".join(map(repr, sorted(known))) or "none"
    near = difflib.get_close_matches(str(alias), sorted(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if alias == DEFAULT_ALIAS and not near:
        hint = f": configure an alias {DEFAULT_ALIAS!r}, or say for each model where it is (Meta.database, a router)"
    return UnknownAlias(f"no database {alias!r}, which {said_by} says; there is {names}{hint}")


class Routing:
    """The routers, and the question to them."""

    def __init__(self) -> None:
        self._routers: tuple[Any, ...] = ()
        self._hooks: dict[str, list[tuple[str, Callable[..., Any]]]] = {name: [] for name in HOOKS}

    @property
    def routers(self) -> tuple[Any, ...]:
        """In the order in which they are asked."""
        return self._routers

    @routers.setter
    def routers(self, given: object) -> None:
        several = isinstance(given, (list, tuple))
        routers = tuple(cast("Sequence[Any]", given)) if several else () if given is None else (given,)
        for router in routers:
            check_router(router)
        hooks: dict[str, list[tuple[str, Callable[..., Any]]]] = {name: [] for name in HOOKS}
        for router in routers:
            for name in HOOKS:
                hook = getattr(router, name, None)
                if callable(hook):
                    hooks[name].append((type(router).__name__, hook))
        self._routers, self._hooks = routers, hooks

    def choose(
        self,
        known: Collection[str],
        alias: str | None,
        model: type[Any] | None,
        *,
        is_write: bool,
        instance_alias: str | None,
        bound: Bound,
    ) -> Choice:
        """Return the alias for a statement.

        Raises:
            UnknownAlias: One that is not configured.
            RoutingError: A router returned nonsense; or the model is sharded, and no key is bound.
        """
        if alias is not None:
            if alias not in known:
                raise unknown(alias, known, USING)
            return Choice(alias, USING)
        if instance_alias is not None:
            if is_write:
                instance_alias = self._primary_of(instance_alias)
            if instance_alias not in known:
                raise unknown(instance_alias, known, "the instance")
            return Choice(instance_alias, INSTANCE)
        if model is not None:
            declared = model._table.database
            if declared is not None:
                if declared not in known:
                    raise unknown(declared, known, f"Meta.database of {model.__name__}")
                return Choice(declared, META)
            if self._routers:
                found = self._asked(known, model, is_write=is_write, bound=bound)
                if found is not None:
                    return found
        if DEFAULT_ALIAS not in known:
            raise unknown(DEFAULT_ALIAS, known, DEFAULT)
        return Choice(DEFAULT_ALIAS, DEFAULT)

    def _asked(
        self, known: Collection[str], model: type[Any], *, is_write: bool, bound: Bound
    ) -> Choice | None:
        sharded = self.shard_of(model, bound)
        if sharded is not None:
            if sharded.alias not in known:
                raise unknown(sharded.alias, known, sharded.reason)
            return sharded
        name = "db_for_write" if is_write else "db_for_read"
        for router, hook in self._hooks[name]:
            alias = hook(model)
            if alias is None:
                continue
            said_by = f"{router}.{name}({model.__name__})"
            if not isinstance(alias, str):
                raise RoutingError(f"{said_by} returned {alias!r}: an alias is a str, None is no opinion")
            if alias not in known:
                raise unknown(alias, known, said_by)
            return Choice(alias, f"{router}.{name}")
        return None

    # Shards.

    def _sharding(self, model: type[Any]) -> "tuple[Any, str] | None":
        """The router that shards a model, and the field of the key."""
        for router in self._routers:
            key_of = getattr(router, "key_of", None)
            key = key_of(model) if key_of is not None else None
            if key is not None:
                return router, key
        return None

    def shard_of(self, model: type[Any], bound: Bound) -> Choice | None:
        """Return the shard of a statement; None where the model is not sharded.

        Raises:
            RoutingError: It binds no key.
        """
        sharding = self._sharding(model)
        if sharding is None:
            return None
        router, key = sharding
        value = bound(key)
        if value is NOT_BOUND:
            raise RoutingError(
                f"{model.__name__} is sharded by {key!r}, and this binds no value to it: filter({key}=…), or "
                "scatter() to ask all shards"
            )
        return Choice(router.shard_for(model, value), f"{type(router).__name__}, by {key!r}")

    def check_shard(self, alias: str | None, model: type[Any], bound: Bound) -> None:
        """Check that a bound key belongs to the database of the running transaction.

        Raises:
            RoutingError: It does not.
        """
        sharding = self._sharding(model)
        if sharding is None:
            return
        router, key = sharding
        value = bound(key)
        if value is NOT_BOUND:
            return  # whoever began the transaction has chosen
        wanted = router.shard_for(model, value)
        if wanted != alias:
            raise RoutingError(
                f"this {key} of {model.__name__} belongs to the shard {wanted!r}, and the running transaction is on "
                f"{alias!r}: begin it there, or name it by using()"
            )

    def aliases_of(self, model: type[Any]) -> Sequence[str] | None:
        """Return the aliases of all shards of a model; None where it is not sharded."""
        sharding = self._sharding(model)
        if sharding is None:
            return None
        aliases: Sequence[str] = sharding[0].aliases_of(model)
        return aliases

    # The other hooks.

    def _primary_of(self, alias: str) -> str:
        for router in self._routers:
            primary_of = getattr(router, "primary_of", None)
            primary: str | None = primary_of(alias) if primary_of is not None else None
            if primary is not None:
                return primary
        return alias

    def allows_relation(self, near: type[Any], near_alias: str, far: type[Any], far_alias: str) -> bool:
        """Whether an instance of one alias may point to one of another."""
        if near_alias == far_alias:
            return True
        for _, hook in self._hooks["allow_relation"]:
            answer = hook(near, near_alias, far, far_alias)
            if answer is not None:
                return bool(answer)
        return False

    def allows_table(self, alias: str, model: type[Any]) -> bool:
        """Whether the table of a model belongs in the database of an alias."""
        for _, hook in self._hooks["allow_migrate"]:
            answer = hook(alias, model)
            if answer is not None:
                return bool(answer)
        aliases = self.aliases_of(model)
        return aliases is None or alias in aliases


__all__ = ["Choice", "Routing", "unknown"]
