"""Routers: which alias a model is read from and written to. Plain, synchronous and cheap; asked in order.

A method returns an alias, or None where it has no opinion. `ConnectionManager` asks them after everything that
is said elsewhere: `using()`, the running transaction, the instance's own database, `Meta.database`.
"""

import inspect
import itertools
from collections.abc import Sequence
from typing import Any, Final

from hyperdjango.multi_db.scope import is_pinned

HOOKS: Final = ("db_for_read", "db_for_write", "allow_relation", "allow_migrate", "shard_for")


class DatabaseRouter:
    """A router with no opinions; its subclasses have some. Any object with one of these methods is a router."""

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:
        """Return the alias that reads of a model go to.

        Args:
            model: The model.
            hints: More that is known, which may be left out of the signature: nothing today.
        """
        return None

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        """Return the alias that a model is written to."""
        return None

    def allow_relation(
        self, near: type[Any], near_alias: str, far: type[Any], far_alias: str, **hints: Any
    ) -> bool | None:
        """Whether an instance of one database may point to an instance of another."""
        return None

    def allow_migrate(self, alias: str, model: type[Any], **hints: Any) -> bool | None:
        """Whether the table of a model belongs in a database."""
        return None


class PrimaryReplicaRouter(DatabaseRouter):
    """Reads to replicas that have aliases of their own, in turn; writes to the primary.

    Where the replicas stand under the alias of their primary, in a replica set, no router is needed, and reads
    see what was written before.
    """

    def __init__(self, primary: str = "default", replicas: Sequence[str] = ("replica",)) -> None:
        """Name them.

        Raises:
            ValueError: There are no replicas.
        """
        if isinstance(replicas, str) or not replicas:
            raise ValueError("replicas must be a sequence of aliases, at least one")
        self.primary = primary
        self.replicas = tuple(replicas)
        self._turns = itertools.count()

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:
        """The next replica; the primary where it is pinned."""
        if is_pinned(self.primary):
            return self.primary
        replicas = self.replicas
        return replicas[0] if len(replicas) == 1 else replicas[next(self._turns) % len(replicas)]

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        """The primary."""
        return self.primary

    def allow_relation(
        self, near: type[Any], near_alias: str, far: type[Any], far_alias: str, **hints: Any
    ) -> bool | None:
        """They hold the same rows."""
        mine = {self.primary, *self.replicas}
        return True if near_alias in mine and far_alias in mine else None

    def allow_migrate(self, alias: str, model: type[Any], **hints: Any) -> bool | None:
        """What is created on the primary appears on the replicas."""
        return False if alias in self.replicas else None

    def primary_of(self, alias: str) -> str | None:
        """Where what was read from an alias is written to."""
        return self.primary if alias in self.replicas else None


def check_router(router: object) -> None:
    """Refuse what is no router.

    Raises:
        TypeError: It has none of the hooks, or one is a coroutine function.
    """
    hooks = [getattr(router, name) for name in HOOKS if callable(getattr(router, name, None))]
    if not hooks or isinstance(router, type):
        raise TypeError(
            f"a router is an object with db_for_read, db_for_write, …; not {router!r}"
            + (": give an instance of it" if isinstance(router, type) else "")
        )
    for hook in hooks:
        if inspect.iscoroutinefunction(hook):
            raise TypeError(
                f"{type(router).__name__}.{hook.__name__} is a coroutine function: routers are plain functions, "
                "asked for every statement"
            )


__all__ = ["DatabaseRouter", "PrimaryReplicaRouter", "check_router"]
