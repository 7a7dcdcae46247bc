"""Asks the catalogs about types that a statement met first, and adds them to the TypeMap.

A generator that does no waiting: it yields a statement with its arguments and is sent the rows. Both
faces run it on the very connection whose request waits for the types.
PostgreSQL docs: catalog-pg-type, catalog-pg-range.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from hyperdjango.database.errors import InterfaceError
from hyperdjango.database.types import composite_type

if TYPE_CHECKING:
    from hyperdjango.database._native import native

# Multiranges came with version 14.
_MULTIRANGE_JOIN: Final = "LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid"

_QUERY: Final = """
SELECT t.oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typelem, t.typdelim, t.typbasetype,
       t.typsend <> 0::pg_catalog.oid, r.rngsubtype, {multirange}, x.extname, a.names, a.oids
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
{multirange_join}
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
    AND d.objid = t.oid AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
LEFT JOIN LATERAL (
    SELECT pg_catalog.array_agg(c.attname ORDER BY c.attnum) AS names,
           pg_catalog.array_agg(c.atttypid ORDER BY c.attnum) AS oids
    FROM pg_catalog.pg_attribute c
    WHERE t.typtype = 'c' AND c.attrelid = t.typrelid AND c.attnum > 0 AND NOT c.attisdropped
) a ON true
WHERE t.oid = ANY($1::pg_catalog.oid[])
"""

_QUERY_14: Final = _QUERY.format(multirange="m.rngtypid", multirange_join=_MULTIRANGE_JOIN)
_QUERY_OLD: Final = _QUERY.format(multirange="NULL::pg_catalog.oid", multirange_join="")

# Extension types whose binary form the native side knows, by extension and type name.
_EXTENSION_KINDS: Final[dict[tuple[str, str], Literal["hstore", "vector", "halfvec", "ltree"]]] = {
    ("hstore", "hstore"): "hstore",
    ("vector", "vector"): "vector",
    ("vector", "halfvec"): "halfvec",
    ("ltree", "ltree"): "ltree",
}

# A row can hold types that nothing announced. Each round asks about those met so far; a server that names
# new ones for ever is not followed for ever.
ROUNDS_MAX: Final = 32
# Nor from type to type that each contains the next.
LEVELS_MAX: Final = 256
TYPES_KEEP_CHANGING: Final = "the result names types that the catalogs do not explain"

# The server resolves the name, by its own rules and the session's search_path.
OID_OF_TYPE: Final = "SELECT $1::pg_catalog.text::pg_catalog.regtype::pg_catalog.oid"

Steps = Generator[tuple[str, tuple[object, ...]], Sequence[tuple[Any, ...]], None]


class _Type(NamedTuple):
    oid: int
    namespace: str
    name: str
    typtype: str
    category: str
    element: int
    delimiter: str
    base: int
    has_send: bool
    subtype: int | None
    range_oid: int | None
    extension: str | None
    field_names: list[str] | None
    field_oids: list[int] | None

    def parts(self) -> list[int]:
        """The types this one contains."""
        oids = [*(self.field_oids or ()), self.subtype or 0, self.range_oid or 0, self.base]
        if self.is_array():
            oids.append(self.element)
        return [oid for oid in oids if oid]

    def is_array(self) -> bool:
        return self.category == "A" and self.element != 0


def introspect(oids: Iterable[int], type_map: "native.TypeMap", server_version: int) -> Steps:
    """Add the types `oids` and all they contain.

    Args:
        oids: OIDs of pg_type.
        type_map: Where to add them.
        server_version: As `server_version_num` has it: 150004.
    Raises:
        InterfaceError: Types lie deeper inside one another than values are read.
    """
    query = _QUERY_14 if server_version >= 140000 else _QUERY_OLD
    wanted = {oid for oid in oids if not type_map.knows(oid)}
    asked: set[int] = set()
    for _ in range(LEVELS_MAX):
        if not wanted:
            return
        rows = yield query, (sorted(wanted),)
        asked |= wanted
        found = [_Type(*row) for row in rows]
        for each in found:
            _add(each, type_map)
        # Dropped since the statement was described: the text form is what is left.
        for oid in wanted - {each.oid for each in found}:
            type_map.add_text(oid, f"type {oid}")
        wanted = {
            part for each in found for part in each.parts() if part not in asked and not type_map.knows(part)
        }
    if wanted:
        raise InterfaceError(TYPES_KEEP_CHANGING)


def _add(each: _Type, type_map: "native.TypeMap") -> None:  # noqa: PLR0911 - one line per kind of type
    name = each.name if each.namespace in {"pg_catalog", "public"} else f"{each.namespace}.{each.name}"
    kind = _EXTENSION_KINDS.get((each.extension or "", each.name))
    if kind is not None:
        return type_map.add_extension(each.oid, name, kind)
    match each.typtype:
        case "e":
            return type_map.add_string(each.oid, name)
        case "d":
            return type_map.add_alias(each.oid, name, each.base)
        case "c":
            names, oids = each.field_names or [], each.field_oids or []  # NULL where there are no fields
            return type_map.add_composite(each.oid, name, names, oids, composite_type(each.name, names))
        case "r" if each.subtype is not None:
            return type_map.add_range(each.oid, name, each.subtype)
        case "m" if each.range_oid is not None:
            return type_map.add_multirange(each.oid, name, each.range_oid)
        case "b" if each.is_array():
            return type_map.add_array(each.oid, name, each.element, each.delimiter)
        case "b" if each.extension == "citext" and each.name == "citext":
            return type_map.add_string(each.oid, name)
        case _:
            return type_map.add_text(each.oid, name)
