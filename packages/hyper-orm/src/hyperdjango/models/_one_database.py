"""A statement reaches one database: what would join two is refused when it is built, naming both."""

from typing import TYPE_CHECKING

from hyperdjango.database.resolver import DEFAULT_ALIAS
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._meta import Table


def check_one_database(one: "Table", other: "Table", said: str) -> None:
    """Check that two tables are in the same database, as far as their models say.

    Raises:
        FieldError: They are not.
    """
    near, far = one.database or DEFAULT_ALIAS, other.database or DEFAULT_ALIAS
    if near != far:
        raise FieldError(
            f"{said}: {one.model.__name__} is in the database {near!r} and {other.model.__name__} in {far!r}; "
            "no statement reaches both"
        )
