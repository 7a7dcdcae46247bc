"""Which Database serves a model: the one question that models ask of whoever knows several databases.

Without hyper-multidb there is one, `get_db()`, under the alias "default". hyper-multidb installs itself here
with `set_resolver`; models never import it.
"""

from typing import TYPE_CHECKING, Any, Protocol

from hyperdjango.database._global import get_db

if TYPE_CHECKING:
    from hyperdjango.database.client import Database

DEFAULT_ALIAS = "default"


class UnknownAlias(LookupError):  # noqa: N818 - says what it is
    """No database is configured under an alias."""


class Resolver(Protocol):
    """What serves models their databases."""

    def resolve(
        self, alias: str | None, model: type[Any] | None, *, is_write: bool, instance_alias: str | None
    ) -> "Database":
        """Return the Database for a statement.

        Args:
            alias: As given to `using()`, or None.
            model: The model whose table the statement is about.
            is_write: It must run on the primary.
            instance_alias: Where the instance that is written or loaded from came from, or None.
        Raises:
            UnknownAlias: An alias that is not configured; the text names the nearest.
        """
        ...


class _OneDatabase:
    """The resolver of a process with one database."""

    def resolve(
        self, alias: str | None, model: type[Any] | None, *, is_write: bool, instance_alias: str | None
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


_resolver: Resolver = _OneDatabase()


def get_resolver() -> Resolver:
    """Return what serves models their databases."""
    return _resolver


def set_resolver(resolver: Resolver | None) -> None:
    """Have another one serve them; None for the single `get_db()` again."""
    global _resolver  # noqa: PLW0603 - the one global this module is about
    _resolver = resolver if resolver is not None else _OneDatabase()
