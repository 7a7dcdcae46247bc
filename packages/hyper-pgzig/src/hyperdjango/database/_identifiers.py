"""The one function that quotes identifiers.

PostgreSQL docs: sql-syntax-lexical, "Identifiers and Key Words".
"""

from hyperdjango.database.errors import DataError


def quote_identifier(name: str) -> str:
    """Return `name` as a quoted identifier, taken as it is, upper case and quotes included.

    Raises:
        DataError: It is empty or holds a NUL, which no identifier can.
    """
    if not name or "\0" in name:
        raise DataError("an identifier must not be empty or contain NUL")
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
