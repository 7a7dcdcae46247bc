"""The CHECK of a column: what its annotation demands, in SQL."""

from typing import TYPE_CHECKING, Final

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models._literals import literal

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column
    from hyperdjango.models._rules import Rule

_OPERATORS: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
# With the sides changed, for ALL, which can only stand on the right.
_MIRRORED: Final = {"gt": "<", "ge": "<=", "lt": ">", "le": ">="}
_LENGTHS: Final = {"text": "char_length", "bytes": "octet_length", "array": "cardinality"}


def check_sql(column: "Column") -> str | None:
    """Return the condition of a column's CHECK, or None where it has none; what SQL cannot say is left to Python."""
    parts = [part for rule in column.rules if (part := _one(column, rule)) is not None]
    return " AND ".join(parts) if parts else None


def _one(column: "Column", rule: "Rule") -> str | None:
    name, kind = quote_identifier(column.column), column.type.kind
    word, value = rule
    if word in _OPERATORS:
        return f"{name} {_OPERATORS[word]} {literal(value)}"
    if word == "multiple_of":
        operand = f"{name}::numeric" if kind == "float" else name
        return f"{operand} % {literal(value)} = 0"
    if word in {"min_length", "max_length"} and kind in _LENGTHS:
        if word == "max_length" and column.type.sql == f"character varying({value})":
            return None
        return f"{_LENGTHS[kind]}({name}) {'>=' if word == 'min_length' else '<='} {literal(value)}"
    if word == "one_of":
        return f"{name} IN ({', '.join(map(literal, value))})"
    if word == "each":
        parts = [
            f"{literal(one.value)} {_MIRRORED[one.word]} ALL ({name})"
            for one in value
            if one.word in _MIRRORED
        ]
        return " AND ".join(parts) if parts else None
    return None
