"""Names the field of a value that the driver or the backend has refused: what writes rows asks when it has failed.

The class of a value is not looked at before: most are right, and the driver finds the others when it encodes them,
by the number of their parameter; of what it sends as text, the backend does.
PostgreSQL docs: errcodes-appendix, "Class 22".
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from hyperdjango.database import DataError
from hyperdjango.models._validate import read
from hyperdjango.models.errors import ValidationError

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column, Table

# As the driver says it, in words of its own: `parameter $2: Python int does not fit text: …`.
_OURS: Final = re.compile(r"(?:set \d+, )?parameter \$(\d{1,5}): (.*)", re.DOTALL)
# The form of a text, of a time; a field's overflow; a number out of range.
_OF_TEXT: Final = frozenset({"22P02", "22007", "22008", "22003"})

_NUMBERS: Final[dict[str, Any]] = {"integer": int, "float": float}


def fault_of(
    error: BaseException, table: "Table", columns: "Sequence[Column]", values: "Sequence[Any]"
) -> ValidationError | None:
    """Return the error that names the field, or None where none is to blame.

    Args:
        error: What sending the values raised.
        table: Whose rows.
        columns: Those of the first parameters, in order.
        values: What was sent for each: of many rows a list.
    """
    return fault_at(error, table, dict(enumerate(columns)), values)


def fault_at(
    error: BaseException, table: "Table", columns: "Mapping[int, Column]", values: "Sequence[Any]"
) -> ValidationError | None:
    """As `fault_of`, with the columns of some parameters, counted from 0."""
    if not isinstance(error, DataError):
        return None
    faults: dict[str, str] = {}
    ours = _OURS.fullmatch(error.message) if error.sqlstate is None else None
    if ours is not None:
        column = columns.get(int(ours[1]) - 1)
        if column is not None:
            faults[column.name] = ours[2]
    elif error.sqlstate in _OF_TEXT:
        for index, column in columns.items():
            if index < len(values) and is_text_for_another(column, values[index]):
                faults[column.name] = f"is a str that says no {column.type.sql}"
    return ValidationError(table.model.__name__, faults) if faults else None


def is_text_for_another(column: "Column", value: Any) -> bool:
    """Whether a value, or one in a list, is a text that a column of another type cannot read."""
    if column.type.python is str or column.type.kind in {"text", "json", "enum"}:
        return False
    if isinstance(value, list) and column.type.kind != "array":
        return any(is_text_for_another(column, one) for one in cast("list[object]", value))
    if not isinstance(value, str):
        return False
    reader = _NUMBERS.get(column.type.kind)
    try:
        # What can be read is not to blame where something else has failed.
        return isinstance(reader(value) if reader is not None else read(column.type, value), str)
    except ValueError:
        return True


__all__ = ["fault_at", "fault_of", "is_text_for_another"]
