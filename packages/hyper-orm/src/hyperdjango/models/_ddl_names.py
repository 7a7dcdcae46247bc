"""Names of constraints and indexes: those that PostgreSQL itself would give, and the same for ever.

PostgreSQL cuts a name that is too long; here a hash of the whole takes the place of what is cut, so that two
long names stay two. PostgreSQL docs: sql-syntax-lexical, "Identifiers and Key Words".
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models._types import qualified

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column, Table

NAME_BYTES_MAX: Final = 63
HASH_CHARACTERS: Final = 8


def fitting(name: str) -> str:
    """Return a name, or its beginning and a hash of it where it is too long."""
    whole = name.encode()
    if len(whole) <= NAME_BYTES_MAX:
        return name
    digest = sha256(whole).hexdigest()[:HASH_CHARACTERS]
    return f"{whole[: NAME_BYTES_MAX - HASH_CHARACTERS - 1].decode(errors='ignore')}_{digest}"


def derived(table: "Table", words: list[str], kind: str) -> str:
    """Return `book_title_price_key` and the like, not quoted."""
    return fitting("_".join([table.name, *words, kind]))


def table_sql(table: "Table") -> str:
    """Return a table's name, quoted, with its schema."""
    return qualified(table.schema, table.name)


def columns_sql(columns: "tuple[Column, ...] | list[Column]") -> str:
    """Return columns' names, quoted, with commas between."""
    return ", ".join(quote_identifier(column.column) for column in columns)


def fields_of(table: "Table", name: str) -> "tuple[Column, ...]":
    """Return the columns of a field's name; of a relation its key's.

    Raises:
        FieldError: There is no such field.
    """
    relation = table.relations.get(name)
    if relation is not None and relation.is_forward:
        return relation.keys
    return (table.column(name),)
