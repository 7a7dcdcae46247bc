"""`model_dump` and `model_dump_json`: an instance as a dict, and as JSON, under pydantic's names.

What was not fetched is left out, never fetched. A relation is in it only where `include` names it.
"""

import base64
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from hyperdjango.database.types import Multirange, Range
from hyperdjango.models._meta import UNSET
from hyperdjango.models.errors import FieldError, NotLoaded
from hyperdjango.models.relations import value_of

if TYPE_CHECKING:
    from hyperdjango.models._meta import Relation
    from hyperdjango.models.model import Model

Names = set[str] | frozenset[str] | list[str] | tuple[str, ...] | Mapping[str, Any] | None


def dump(
    instance: "Model",
    *,
    mode: Literal["python", "json"] = "python",
    include: Names = None,
    exclude: Names = None,
    exclude_none: bool = False,
) -> dict[str, Any]:
    """See `Model.model_dump`."""
    if mode not in {"python", "json"}:
        raise ValueError(f"mode is 'python' or 'json', not {mode!r}")
    wanted, unwanted = _tree(instance, include), _tree(instance, exclude)
    found: dict[str, Any] = {}
    for column in instance._table.columns:
        value = value_of(column, instance)
        is_wanted = include is None or column.name in wanted
        if value is not UNSET and is_wanted and unwanted.get(column.name, False) is not True:
            found[column.name] = value if mode == "python" else jsonable(value)
    for name, value in (instance._extra or {}).items():
        if (include is None or name in wanted) and unwanted.get(name, False) is not True:
            found[name] = value if mode == "python" else jsonable(value)
    for name, below in wanted.items():
        relation = instance._table.relations.get(name)
        if relation is not None:
            options: dict[str, Any] = {"mode": mode, "exclude_none": exclude_none}
            options["include"] = None if below is True else below
            inner = unwanted.get(name, False)
            if inner is not True:
                options["exclude"] = inner or None
                found[name] = _related(instance, relation, options)
    if exclude_none:
        found = {name: value for name, value in found.items() if value is not None}
    return found


def _tree(instance: "Model", names: Names) -> dict[str, Any]:
    """Name to True, or to the names below a relation.

    Raises:
        FieldError: A name is no field of the model; the text names the nearest.
    """
    if names is None:
        return {}
    given: object = names
    if isinstance(given, str):
        raise TypeError(f"include= and exclude= take a set of names, not a str: {{{names!r}}}")
    tree: dict[str, Any] = {}
    for name in names:
        tree[name] = names[name] if isinstance(names, Mapping) else True
    table = instance._table
    for name, below in tree.items():
        if name not in table.by_name and name not in table.relations and name not in (instance._extra or {}):
            raise table.unknown(name)
        if below is not True and name not in table.relations:
            raise FieldError(f"{table.model.__name__}.{name} is no relation: it has no names below it")
    return tree


def _related(instance: "Model", relation: "Relation", options: dict[str, Any]) -> Any:
    value = getattr(instance, relation.name)
    if value is None:
        return None
    if relation.is_many:
        if not value.is_loaded:
            raise NotLoaded(
                f"{type(instance).__name__}.{relation.name} is not loaded: prefetch_related({relation.name!r})"
            )
        return [dump(one, **options) for one in value]
    return dump(value, **options)


def dump_json(instance: "Model", *, indent: int | None = None, **options: Any) -> str:
    """See `Model.model_dump_json`."""
    values = dump(instance, mode="json", **options)
    separators = (",", ":") if indent is None else None
    return json.dumps(values, ensure_ascii=False, indent=indent, separators=separators, allow_nan=False)


def jsonable(value: object) -> Any:
    """Return a value as JSON has it.

    Numbers that JSON does not know (Decimal beyond a float's digits, NaN, infinities) and all other types come as
    strings that `model_validate` reads back; bytes in base64, durations as in ISO 8601.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    form = _FORMS.get(kind)
    if form is not None:
        return form(value)
    for base, form in _FORMS.items():
        if isinstance(value, base):
            return form(value)
    return str(value)


def _float(value: float) -> Any:
    return value if value - value == 0 else str(value)


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def duration(value: dt.timedelta) -> str:
    """A duration in ISO 8601, as pydantic writes it."""
    sign, value = ("-", -value) if value < dt.timedelta(0) else ("", value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    days = f"{value.days}D" if value.days else ""
    fraction = f".{value.microseconds:06d}" if value.microseconds else ""
    clock = f"{hours}H" if hours else ""
    clock += f"{minutes}M" if minutes else ""
    clock += f"{seconds}{fraction}S" if seconds or fraction else ""
    if not days and not clock:
        return "PT0S"
    return f"{sign}P{days}{'T' + clock if clock else ''}"


def _range(value: Range[Any]) -> dict[str, Any]:
    if value.isempty:
        return {"empty": True}
    return {"lower": jsonable(value.lower), "upper": jsonable(value.upper), "bounds": value.bounds}


def _multirange(value: Multirange[Any]) -> list[Any]:
    return [_range(one) for one in value]


def _enum(value: Enum) -> Any:
    return jsonable(value.value)


def _dict(value: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): jsonable(inner) for key, inner in value.items()}


def _list(value: Sequence[Any]) -> list[Any]:
    return [jsonable(inner) for inner in value]


_AS_THEY_ARE = frozenset({type(None), bool, int, str})
_FORMS: dict[type, Any] = {
    Enum: _enum,
    bool: bool,
    int: int,
    str: str,
    float: _float,
    Decimal: str,
    bytes: _bytes,
    dt.datetime: dt.datetime.isoformat,
    dt.date: dt.date.isoformat,
    dt.time: dt.time.isoformat,
    dt.timedelta: duration,
    Multirange: _multirange,
    Range: _range,
    dict: _dict,
    list: _list,
    tuple: _list,
}
