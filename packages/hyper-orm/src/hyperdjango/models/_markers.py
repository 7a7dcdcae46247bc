"""What stands in `Annotated[…]` to choose a column's type; `_types` reads it.

The constraints are annotated-types' own (`MaxLen`, `Ge`, …) and are exported beside these. A marker is written
without being called where it needs nothing: `Annotated[int, SmallInt]`.

PostgreSQL docs: datatype, "Data Types".
"""

from typing import Annotated, Any, Final, NamedTuple, TypeVar

T = TypeVar("T")


class Counter(NamedTuple):
    """The column counts the writes of its row."""


class SqlType(NamedTuple):
    """The type of the column in so many words: SQL of the application's own, as it stands in DDL and casts.

    Attributes:
        sql: `smallint`, `character varying(20)`, `citext`.
        kind: Which lookups it has, as `ColumnType.kind`; None: those of the annotation.
        extension: The extension that has the type, or None.
    """

    sql: str
    kind: str | None = None
    extension: str | None = None


SmallInt: Final = SqlType("smallint", "integer")
Integer: Final = SqlType("integer", "integer")
BigInt: Final = SqlType("bigint", "integer")
Real: Final = SqlType("real", "float")
Timestamp: Final = SqlType("timestamp without time zone", "timestamp")
TimeTz: Final = SqlType("time with time zone", "time")
Inet: Final = SqlType("inet", "network")
Cidr: Final = SqlType("cidr", "network")
MacAddr: Final = SqlType("macaddr", "network")
Xml: Final = SqlType("xml", "other")
Money: Final = SqlType("money", "other")
TsVector: Final = SqlType("tsvector", "search")
TsQuery: Final = SqlType("tsquery", "search")
CiText: Final = SqlType("citext", "text", "citext")
LTree: Final = SqlType("ltree", "text", "ltree")
Hstore: Final = SqlType("hstore", "hstore", "hstore")
JSON: Final = SqlType("json", "json")
JSONB: Final = SqlType("jsonb", "json")


def Char(length: int) -> SqlType:  # noqa: N802 - written where a type stands
    """`character(length)`: padded with blanks by the database."""
    return SqlType(f"character({int(length)})", "text")


def Bit(length: int) -> SqlType:  # noqa: N802 - written where a type stands
    """`bit(length)`: a str of 0 and 1."""
    return SqlType(f"bit({int(length)})", "other")


def Varbit(length: int) -> SqlType:  # noqa: N802 - written where a type stands
    """`bit varying(length)`: a str of 0 and 1."""
    return SqlType(f"bit varying({int(length)})", "other")


class Digits(NamedTuple):
    """`numeric(precision, scale)`: so many digits, of them so many behind the point."""

    precision: int
    scale: int = 0


class Collation(NamedTuple):
    """The collation of a text column, by its name."""

    name: str


class Domain(NamedTuple):
    """A domain over the annotated type.

    Attributes:
        name: The domain's name.
        check: Its condition on VALUE as SQL text; `create_schema` then makes the domain. None: it is there already.
        schema: Its schema, or None for the search path.
    """

    name: str
    check: str | None = None
    schema: str | None = None


class EnumName(NamedTuple):
    """The name of the PostgreSQL type of a StrEnum, where it is not the class's name in snake case."""

    name: str
    schema: str | None = None


class VectorSize(NamedTuple):
    """The dimensions of pgvector's `vector`; on `list[float]`."""

    dimensions: int


MARKERS: Final = (SqlType, Digits, Collation, Domain, EnumName, VectorSize, Counter)

# `version: Version = 1`: a write over somebody else's raises StaleObject.
Version = Annotated[int, Counter()]

Jsonb = Annotated[T, JSONB]
Json = Annotated[T, JSON]


class Vector:
    """`Vector[3]`: pgvector's `vector(3)`, a list of three floats."""

    def __class_getitem__(cls, dimensions: Any) -> Any:
        size = getattr(dimensions, "__args__", (dimensions,))[0]  # Literal[3], which type checkers want
        if not isinstance(size, int):
            raise TypeError(f"Vector[3] has the number of its dimensions, not {size!r}")
        return Annotated[list[float], VectorSize(size)]


__all__ = [
    "JSON",
    "JSONB",
    "BigInt",
    "Bit",
    "Char",
    "CiText",
    "Cidr",
    "Collation",
    "Digits",
    "Domain",
    "EnumName",
    "Hstore",
    "Inet",
    "Integer",
    "Json",
    "Jsonb",
    "LTree",
    "MacAddr",
    "Money",
    "Real",
    "SmallInt",
    "SqlType",
    "TimeTz",
    "Timestamp",
    "TsQuery",
    "TsVector",
    "Varbit",
    "Vector",
    "VectorSize",
    "Version",
    "Xml",
]
