"""Lookups of JSON. None means JSON's null here; `isnull` asks for SQL's, and for a key that is not there.

Django docs: topics/db/queries, "Querying JSONField". PostgreSQL docs: functions-json.
"""

from collections.abc import Callable
from typing import Any

from hyperdjango.models._json import as_jsonb, key_of
from hyperdjango.models._lookups_core import pair
from hyperdjango.models._nodes import Node, condition
from hyperdjango.models._operand import Operand
from hyperdjango.models._shapes import ListKind, MixedKind
from hyperdjango.models._sql import as_text, separated
from hyperdjango.models._values import json_text
from hyperdjango.models.errors import FieldError
from hyperdjango.models.lookups import Build, any_word, lookup

any_word("json")(key_of)


def _json(operand: Operand) -> Node:
    """The right side as jsonb."""
    if operand.is_expression:
        return as_jsonb(operand.node())
    if operand.value is None:
        return _NULL
    return operand.node("jsonb", _checked(operand.said))


def _checked(said: str) -> Callable[[Any], str]:
    def adapt(value: Any) -> str:
        try:
            return json_text(value)
        except (TypeError, ValueError) as problem:
            raise FieldError(f"{said} takes what JSON can hold: {problem}") from None

    return adapt


_NULL = condition("'null'::jsonb", is_nullable=False)


def _operator(sql: str) -> Build:
    def build(left: Node, operand: Operand) -> Node:
        return condition(as_jsonb(left), f" {sql} ", _json(operand))

    return build


lookup("exact", "json", takes_none=True)(_operator("="))
for _name, _sql in (
    ("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<="), ("contains", "@>"), ("contained_by", "<@"),
):  # fmt: skip
    lookup(_name, "json")(_operator(_sql))


@lookup("range", "json")
def _between(left: Node, operand: Operand) -> Node:
    lower, upper = pair(operand)
    return condition(as_jsonb(left), " BETWEEN ", _json(lower), " AND ", _json(upper))


@lookup("in", "json")
def _is_in(left: Node, operand: Operand) -> Node:
    if operand.is_expression:
        return condition(as_jsonb(left), " IN ", operand.node())
    if isinstance(operand.kind, MixedKind):
        return condition(as_jsonb(left), " IN (", *separated(map(_json, operand.elements())), ")")
    if not isinstance(operand.kind, ListKind):
        raise operand.wrong("a list or a queryset")
    one = _checked(operand.said)
    return condition(
        as_jsonb(left), " = ANY(", operand.node("jsonb[]", lambda values: [one(v) for v in values]), ")"
    )


def keys_operator(sql: str) -> Build:
    """A lookup of several keys; JSON's and hstore's are the same."""

    def build(left: Node, operand: Operand) -> Node:
        if operand.is_expression:
            return condition(left, f" {sql} ", operand.node())
        if not isinstance(operand.kind, ListKind):
            raise operand.wrong("a list of keys")
        return condition(left, f" {sql} ", operand.node("text[]", _texts(operand.said)))

    return build


def has_key(left: Node, operand: Operand) -> Node:
    """Whether there is the key; JSON's and hstore's are the same."""
    if operand.is_expression:
        return condition(left, " ? ", as_text(operand.node()))
    _text(operand.said, operand.value)
    return condition(left, " ? ", operand.node("text", lambda value: _text(operand.said, value)))


def _texts(said: str) -> Callable[[list[Any]], list[str]]:
    return lambda keys: [_text(said, key) for key in keys]


def _text(said: str, key: Any) -> str:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise FieldError(f"{said} takes keys as str or int, not {type(key).__name__}")
    return str(key)


def _of_jsonb(build: Build) -> Build:
    return lambda left, operand: build(as_jsonb(left), operand)


lookup("has_key", "json")(_of_jsonb(has_key))
lookup("has_keys", "json")(_of_jsonb(keys_operator("?&")))
lookup("has_any_keys", "json")(_of_jsonb(keys_operator("?|")))
