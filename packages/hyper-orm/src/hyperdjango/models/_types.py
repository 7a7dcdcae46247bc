"""Which PostgreSQL type an annotation becomes, and what Python values a column of it takes.

`parse` is called by `_declare` for every attribute of a model that is no relation.
PostgreSQL docs: datatype, "Data Types".
"""

import datetime as dt
import ipaddress
import re
import types
import uuid
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    NewType,
    TypeAlias,
    Union,
    cast,
    get_args,
    get_origin,
)

import typing_extensions
from hyperdjango.database import types as driver
from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models import _markers as markers
from hyperdjango.models._json_types import json_type
from hyperdjango.models._rules import Rule, rules_of, unfit


class ColumnType(NamedTuple):
    """A column's type.

    Attributes:
        sql: The type as DDL and casts write it: `bigint`, `character varying(20)`, `text[]`.
        python: The class of its values in Python, as annotated: int, str, list, a StrEnum class …
        kind: What lookups and functions of it there are: "text", "integer", "float", "numeric", "boolean", "bytes",
            "date", "time", "timestamp", "interval", "uuid", "json", "array", "range", "multirange", "enum", "network",
            "geometric", "hstore", "vector", "search", "other".
        element: The element's type of an array, the bound's of a range.
        convert: From the driver's value to the annotated one, by the native hydrator: a dict, a callable or None.
        enum: The StrEnum class whose PostgreSQL type must be created, or None.
        enum_name: The name of that type, and its schema or None.
        domain: The domain over `base` that the column is of, or None.
        base: The type below the domain, else None.
        collation: The name of the collation, or None.
        extension: The extension that has the type, or None.
        prepare: From the annotated value to one that the driver knows, where it does not know that: classes in JSON.
    """

    sql: str
    python: Any
    kind: str
    element: "ColumnType | None" = None
    convert: dict[Any, Any] | Callable[[Any], Any] | None = None
    enum: Any = None
    enum_name: markers.EnumName | None = None
    domain: markers.Domain | None = None
    base: "ColumnType | None" = None
    collation: str | None = None
    extension: str | None = None
    prepare: Callable[[Any], Any] | None = None


BIGINT = ColumnType("bigint", int, "integer")
INTEGER = ColumnType("integer", int, "integer")
TEXT = ColumnType("text", str, "text")
BOOLEAN = ColumnType("boolean", bool, "boolean")
JSONB = ColumnType("jsonb", dict, "json")


class Parsed(NamedTuple):
    """What an annotation says.

    Attributes:
        column_type: The column's type.
        is_nullable: It has `| None`.
        rules: What it demands of values.
        accepted: The classes that those rules can be asked of.
        is_version: It is a Version.
    """

    column_type: ColumnType
    is_nullable: bool
    rules: tuple[Rule, ...]
    accepted: tuple[type, ...]
    is_version: bool = False


Resolve: TypeAlias = Callable[[Any], Any]


class UnsupportedAnnotation(Exception):
    """There is no column type for it; the text says what to write instead."""


class UnfitRule(UnsupportedAnnotation):
    """It demands what no value of its type can be asked; the text says all."""


def _address(text: str) -> Any:
    """`inet` keeps the bits of its network, which an address has none of."""
    return ipaddress.ip_address(text.partition("/")[0])


_SCALARS: Final[dict[Any, ColumnType]] = {
    int: BIGINT,
    str: TEXT,
    bool: BOOLEAN,
    float: ColumnType("double precision", float, "float"),
    bytes: ColumnType("bytea", bytes, "bytes"),
    Decimal: ColumnType("numeric", Decimal, "numeric"),
    dt.date: ColumnType("date", dt.date, "date"),
    dt.time: ColumnType("time without time zone", dt.time, "time"),
    dt.datetime: ColumnType("timestamp with time zone", dt.datetime, "timestamp"),
    dt.timedelta: ColumnType("interval", dt.timedelta, "interval"),
    uuid.UUID: ColumnType("uuid", uuid.UUID, "uuid"),
    dict: JSONB,
    ipaddress.IPv4Address: ColumnType("inet", ipaddress.IPv4Address, "network", convert=_address),
    ipaddress.IPv6Address: ColumnType("inet", ipaddress.IPv6Address, "network", convert=_address),
    ipaddress.IPv4Interface: ColumnType(
        "inet", ipaddress.IPv4Interface, "network", convert=ipaddress.ip_interface
    ),
    ipaddress.IPv6Interface: ColumnType(
        "inet", ipaddress.IPv6Interface, "network", convert=ipaddress.ip_interface
    ),
    ipaddress.IPv4Network: ColumnType("cidr", ipaddress.IPv4Network, "network", convert=ipaddress.ip_network),
    ipaddress.IPv6Network: ColumnType("cidr", ipaddress.IPv6Network, "network", convert=ipaddress.ip_network),
    driver.Point: ColumnType("point", driver.Point, "geometric"),
    driver.Line: ColumnType("line", driver.Line, "geometric"),
    driver.LineSegment: ColumnType("lseg", driver.LineSegment, "geometric"),
    driver.Box: ColumnType("box", driver.Box, "geometric"),
    driver.Path: ColumnType("path", driver.Path, "geometric"),
    driver.Polygon: ColumnType("polygon", driver.Polygon, "geometric"),
    driver.Circle: ColumnType("circle", driver.Circle, "geometric"),
}

# The range and multirange types of each bound.
_RANGES: Final[dict[str, tuple[str, str]]] = {
    "integer": ("int4range", "int4multirange"),
    "bigint": ("int8range", "int8multirange"),
    "numeric": ("numrange", "nummultirange"),
    "date": ("daterange", "datemultirange"),
    "timestamp with time zone": ("tstzrange", "tstzmultirange"),
    "timestamp without time zone": ("tsrange", "tsmultirange"),
}

# What also does where a class is wanted: ints are numbers, a datetime's day is the driver's business.
_ALSO: Final[dict[Any, tuple[type, ...]]] = {
    float: (int, Decimal),
    Decimal: (int, float),
    bytes: (bytearray, memoryview),
}

_INSTEAD: Final[dict[Any, str]] = {
    list: "list[int] or another element type for an array, or Jsonb[list[Any]]",
    tuple: "list[T] for an array, or Jsonb[list[Any]]",
    set: "list[T] for an array",
    frozenset: "list[T] for an array",
    object: "Jsonb[Any], or Annotated[Any, SqlType('…')]",
    Any: "Jsonb[Any], or Annotated[Any, SqlType('…')]",
    complex: "two float columns, or Point",
    driver.Range: "Range[int], Range[Decimal], Range[date] or Range[datetime]",
    driver.Multirange: "MultiRange[int], MultiRange[Decimal], MultiRange[date] or MultiRange[datetime]",
    driver.Interval: "timedelta",
    bytearray: "bytes",
    memoryview: "bytes",
    markers.Vector: "Vector[3]",
}


def is_scalar(python: type) -> bool:
    """Whether a class by itself is the annotation of a column."""
    return python in _SCALARS


def _as_it_is(annotation: Any) -> Any:
    return annotation


def parse(annotation: Any, resolve: Resolve = _as_it_is) -> Parsed:
    """Read an annotation.

    Args:
        annotation: It.
        resolve: Evaluates what is a string in it.
    Raises:
        UnsupportedAnnotation: No column type fits it.
    """
    inner, metadata, is_nullable = unwrap(annotation, resolve)
    rules: list[Rule] = []
    chosen: list[Any] = []
    for item in metadata:
        found = rules_of(item)
        if found is not None:
            rules.extend(found)
        elif isinstance(item, markers.MARKERS):
            chosen.append(item)
    column_type = _explicit(inner, chosen, resolve) or _plain(inner, resolve)
    for rule in rules if column_type.kind != "json" else ():
        why = unfit(rule, column_type.python, column_type.sql)
        if why is not None:
            raise UnfitRule(why)
    if get_origin(inner) is Literal:
        rules.append(Rule("one_of", get_args(inner)))
    if get_origin(inner) is list and column_type.kind == "array":
        (element,) = get_args(inner)
        within = parse(element, resolve).rules
        if within:
            rules.append(Rule("each", within))
    column_type, rules = _refined(column_type, chosen, rules)
    if column_type.kind == "json" and any(isinstance(item, markers.SqlType) for item in chosen):
        try:
            way = json_type(inner)
        except ImportError as error:
            raise UnsupportedAnnotation(f"dict or list in its place: {error}") from error
        column_type = column_type._replace(convert=way.convert, prepare=way.prepare)
    python = column_type.python
    accepted = (
        (python, *_ALSO.get(python, ())) if isinstance(python, type) and column_type.kind != "json" else ()
    )
    if column_type.kind in {"array", "vector"}:
        accepted = (list, tuple)
    if column_type.enum is not None:
        accepted = (str,)
    is_version = any(isinstance(item, markers.Counter) for item in chosen)
    return Parsed(column_type, is_nullable, tuple(rules), accepted, is_version)


def unwrap(annotation: Any, resolve: Resolve = _as_it_is) -> tuple[Any, tuple[Any, ...], bool]:
    """Take aliases, `| None`, NewType and Annotated off: the class within, the metadata, whether None is allowed."""
    metadata: tuple[Any, ...] = ()
    is_nullable = False
    while True:
        annotation = resolve(annotation)
        origin = get_origin(annotation)
        if origin is Annotated:
            metadata = (*annotation.__metadata__, *metadata)
            annotation = annotation.__origin__
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, typing_extensions.TypeAliasType):
            annotation = annotation.__value__
        elif isinstance(origin, typing_extensions.TypeAliasType):
            annotation = origin.__value__[get_args(annotation)]
        elif origin in {Union, types.UnionType}:
            parts = get_args(annotation)
            within = [one for one in parts if one is not types.NoneType]
            is_nullable = is_nullable or len(within) < len(parts)
            if len(within) != 1:
                return annotation, metadata, is_nullable
            annotation = within.pop()
        else:
            return annotation, metadata, is_nullable


def _explicit(inner: Any, chosen: list[Any], resolve: Resolve) -> ColumnType | None:
    """Return the type that a marker names."""
    for item in chosen:
        if isinstance(item, markers.SqlType):
            plain = None
            if item.kind is None:
                plain = _plain(inner, resolve)
            origin = get_origin(inner) or inner
            python = origin if isinstance(origin, type) else object
            convert = _SCALARS[inner].convert if isinstance(inner, type) and inner in _SCALARS else None
            return ColumnType(
                item.sql,
                python,
                item.kind or (plain.kind if plain else "other"),
                element=plain.element if plain else None,
                convert=convert,
                extension=item.extension,
            )
        if isinstance(item, markers.VectorSize):
            if item.dimensions < 1:
                raise UnsupportedAnnotation("a vector has a number of dimensions: Vector[3]")
            return ColumnType(f"vector({item.dimensions})", list, "vector", extension="vector")
    return None


def _plain(inner: Any, resolve: Resolve) -> ColumnType:
    """Return the type of an annotation by itself."""
    origin, args = get_origin(inner), get_args(inner)
    if isinstance(inner, type) and origin is None:
        if inner in _SCALARS:
            return _SCALARS[inner]
        if issubclass(inner, Enum):
            return _enum(inner)
    if origin is dict:
        return JSONB
    if origin is list:
        return _array(args[0], resolve)
    if origin is Literal:
        return _literal(args)
    if origin in {driver.Range, driver.Multirange}:
        return _range(origin, args[0], resolve)
    raise UnsupportedAnnotation(_advice(inner, origin))


def _advice(inner: Any, origin: Any) -> str:
    if origin in {Union, types.UnionType}:
        return "one type, or one type and None"
    known = _INSTEAD.get(inner if isinstance(inner, type) or inner is Any else None) or _INSTEAD.get(origin)
    if known is not None:
        return known
    name: str | None = getattr(inner, "__name__", None)
    if name is not None and hasattr(inner, "__annotations__"):
        return f"Jsonb[{name}] for JSON, or ForeignKey[{name}] where it is a model"
    return "a type with a column (docs: models, “Column types”), Jsonb[…], or Annotated[…, SqlType('…')]"


def _enum(python: type[Enum]) -> ColumnType:
    members: dict[Any, Any] = {member.value: member for member in python}
    if all(isinstance(member, str) for member in python):
        return ColumnType("", python, "enum", convert=members, enum=python)
    if all(isinstance(member, int) for member in python):
        return ColumnType("bigint", python, "integer", convert=members)
    raise UnsupportedAnnotation(
        f"{python.__name__} as a StrEnum (a PostgreSQL enum) or an IntEnum (a bigint)"
    )


def _array(annotation: Any, resolve: Resolve) -> ColumnType:
    element = parse(annotation, resolve).column_type
    # PostgreSQL has one array type for every number of dimensions.
    sql = element.sql if element.kind == "array" else f"{element.sql}[]"
    return ColumnType(
        sql, list, "array", element=element, convert=_each(element.convert), extension=element.extension
    )


def _each(convert: Any) -> Callable[[Any], Any] | None:
    """Lift the conversion of an element to arrays of any depth; NULLs stay None."""
    if convert is None:
        return None
    one: Callable[[Any], Any] = getattr(convert, "__getitem__", convert)  # a dict, or a function

    def each(values: list[object]) -> list[object]:
        return [within(value) for value in values]

    def within(value: Any) -> Any:
        if isinstance(value, list):
            return each(cast("list[object]", value))
        return None if value is None else one(value)

    return each


def _literal(values: tuple[Any, ...]) -> ColumnType:
    kinds: set[type] = {type(value) for value in values}
    if kinds == {str}:
        return TEXT
    if kinds == {int}:
        return BIGINT
    raise UnsupportedAnnotation("Literal of str alone, or of int alone")


def _range(origin: Any, bound: Any, resolve: Resolve) -> ColumnType:
    element = parse(bound, resolve).column_type
    if element.sql not in _RANGES:
        raise UnsupportedAnnotation(_INSTEAD[origin])
    is_multi = origin is driver.Multirange
    return ColumnType(
        _RANGES[element.sql][is_multi], origin, "multirange" if is_multi else "range", element=element
    )


def _refined(column_type: ColumnType, chosen: list[Any], rules: list[Rule]) -> tuple[ColumnType, list[Rule]]:
    """Put length, digits, collation, domain and the enum's name into the type."""
    if column_type.sql == "text" and not any(isinstance(item, markers.Domain) for item in chosen):
        longest = [rule.value for rule in rules if rule.word == "max_length"]
        if longest and 0 < min(longest) <= VARCHAR_MAX:
            column_type = column_type._replace(sql=f"character varying({min(longest)})")
    for item in chosen:
        if isinstance(item, markers.Digits):
            if column_type.kind != "numeric":
                raise UnsupportedAnnotation("Digits on Decimal alone: Annotated[Decimal, Digits(8, 2)]")
            column_type = column_type._replace(sql=f"numeric({int(item.precision)},{int(item.scale)})")
            rules = [*rules, Rule("digits", (item.precision, item.scale))]
        elif isinstance(item, markers.Collation):
            if column_type.kind != "text":
                raise UnsupportedAnnotation("Collation on str alone: Annotated[str, Collation('C')]")
            column_type = column_type._replace(collation=item.name)
        elif isinstance(item, markers.EnumName):
            if column_type.enum is None:
                raise UnsupportedAnnotation("EnumName on a StrEnum alone")
            column_type = column_type._replace(enum_name=item)
    return named(column_type, chosen), rules


def named(column_type: ColumnType, chosen: list[Any]) -> ColumnType:
    """Write the names of an enum's or a domain's type, which are identifiers, into `sql`."""
    if column_type.enum is not None:
        name = column_type.enum_name or markers.EnumName(snake_case(column_type.enum.__name__))
        column_type = column_type._replace(sql=qualified(name.schema, name.name), enum_name=name)
    for item in chosen:
        if isinstance(item, markers.Domain):
            sql = qualified(item.schema, item.name)
            column_type = column_type._replace(sql=sql, domain=item, base=column_type)
    return column_type


def qualified(schema: str | None, name: str) -> str:
    """Quote a name, with its schema where it has one."""
    return (
        quote_identifier(name) if schema is None else f"{quote_identifier(schema)}.{quote_identifier(name)}"
    )


def snake_case(name: str) -> str:
    """`BookTags` → `book_tags`, `HTTPServer` → `http_server`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


VARCHAR_MAX: Final = 10_485_760


def column_type(annotation: Any) -> ColumnType:
    """Return the column type of an annotation, for expressions that say what they give.

    Raises:
        UnsupportedAnnotation: There is none.
    """
    return parse(annotation).column_type
