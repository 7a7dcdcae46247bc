"""`model_json_schema`, and what pydantic asks a class for: models are types of FastAPI's by it.

JSON Schema 2020-12. pydantic docs: "Custom types", `__get_pydantic_core_schema__`.
"""

from typing import TYPE_CHECKING, Any, Literal

from hyperdjango.models._dump import jsonable
from hyperdjango.models._meta import UNSET
from hyperdjango.models.errors import ValidationError

if TYPE_CHECKING:
    from hyperdjango.models._meta import Column
    from hyperdjango.models._types import ColumnType
    from hyperdjango.models.model import Model

Mode = Literal["validation", "serialization"]

_KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "float": {"type": "number"},
    "numeric": {"type": "string", "format": "decimal"},
    "boolean": {"type": "boolean"},
    "bytes": {"type": "string", "format": "base64"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "timestamp": {"type": "string", "format": "date-time"},
    "interval": {"type": "string", "format": "duration"},
    "uuid": {"type": "string", "format": "uuid"},
    "json": {},
}
_WORDS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
}
_LENGTHS = {
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "text": {"min_length": "minLength", "max_length": "maxLength"},
}


def json_schema(model: "type[Model]", mode: Mode = "validation") -> dict[str, Any]:
    """See `Model.model_json_schema`."""
    columns = [
        column
        for column in model._table.columns
        if mode == "serialization" or (column.generated is None and column.is_input)
    ]
    schema: dict[str, Any] = {
        "title": model.__name__,
        "type": "object",
        "properties": {column.name: _property(column) for column in columns},
    }
    required = [column.name for column in columns if mode == "serialization" or _is_required(column)]
    if required:
        schema["required"] = required
    if mode == "validation":
        schema["additionalProperties"] = False
    if model.__doc__ and model.__doc__ is not type(model).__doc__:
        schema["description"] = model.__doc__.strip()
    return schema


def _is_required(column: "Column") -> bool:
    has_default = column.default is not UNSET or column.default_factory is not None
    return not (has_default or column.is_database_made or column.is_nullable)


def _property(column: "Column") -> dict[str, Any]:
    found: dict[str, Any] = _of_type(column.type)
    numbers = found.get("type") in {"integer", "number"}
    for rule in column.rules:
        if rule.word in _WORDS and numbers:
            found[_WORDS[rule.word]] = jsonable(rule.value)
        elif rule.word in {"min_length", "max_length"}:
            words = _LENGTHS.get(column.type.kind)
            if words is not None:
                found[words[rule.word]] = rule.value
    if column.is_nullable:
        found = {"anyOf": [found, {"type": "null"}]}
    if column.default is not UNSET:
        found["default"] = jsonable(column.default)
    if column.comment is not None:
        found["description"] = column.comment
    return found


def _of_type(type_: "ColumnType") -> dict[str, Any]:
    if type_.enum is not None:
        return {"enum": [member.value for member in type_.enum], "type": "string"}
    if type_.kind == "array" and type_.element is not None:
        # Elements of a PostgreSQL array may be NULL, whatever the type.
        return {"type": "array", "items": _of_type(type_.element)}
    if type_.kind in {"range", "multirange"} and type_.element is not None:
        bound = {"anyOf": [_of_type(type_.element), {"type": "null"}]}
        one = {
            "type": "object",
            "properties": {
                "lower": bound,
                "upper": bound,
                "bounds": {"enum": ["[)", "[]", "(]", "()"], "type": "string"},
                "empty": {"type": "boolean"},
            },
        }
        return one if type_.kind == "range" else {"type": "array", "items": one}
    return dict(_KINDS.get(type_.kind, {"type": "string"}))


def core_schema(model: "type[Model]") -> Any:
    """The schema for pydantic-core: validates by `model_validate`, serializes by `model_dump`."""
    from pydantic_core import PydanticCustomError
    from pydantic_core import core_schema as core

    def validated(data: Any) -> Any:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            # Its text may hold braces, which a custom error would take for placeholders of its own.
            raise PydanticCustomError("model_error", "{text}", {"text": str(error)}) from None

    def dumped(instance: Any, info: Any) -> Any:
        return instance.model_dump(mode="json" if info.mode_is_json() else "python")

    return core.no_info_plain_validator_function(
        validated, serialization=core.plain_serializer_function_ser_schema(dumped, info_arg=True)
    )
