"""Lookups of text, and of other values as text: contains, startswith, regex and their like.

Wildcards in the value mean themselves. PostgreSQL docs: functions-matching.
"""

import re
from collections.abc import Callable
from typing import Any

from hyperdjango.models._literals import quoted
from hyperdjango.models._nodes import Node, Sql, condition
from hyperdjango.models._operand import Operand
from hyperdjango.models._sql import as_text, call
from hyperdjango.models._types import TEXT
from hyperdjango.models._values import type_of_kind
from hyperdjango.models.lookups import Build, is_null, lookup, transform

_WILDCARD = re.compile(r"[\\%_]")


def escaped(text: str) -> str:
    """Return text whose wildcards mean themselves in LIKE."""
    return _WILDCARD.sub(r"\\\g<0>", text)


def _pattern(before: str, after: str) -> Callable[[Any], Any]:
    def adapt(value: Any) -> Any:
        return f"{before}{escaped(str(value))}{after}"

    return adapt


def _escaped_node(node: Node) -> Node:
    """As `escaped`, in SQL."""
    for character in ("\\", "%", "_"):
        words = f", {quoted(character)}, {quoted(chr(92) + character)})"
        node = Sql("replace(", node, words, type=TEXT)
    return node


def _like(word: str, before: str, after: str) -> Build:
    adapt = _pattern(before, after)

    def build(left: Node, operand: Operand) -> Node:
        text = as_text(text_of(left))
        if operand.is_expression:
            parts: list[str | Node] = [f"'{before}' || "] if before else []
            parts.append(_escaped_node(as_text(text_of(operand.node()))))
            parts += [f" || '{after}'"] if after else []
            return condition(text, f" {word} (", *parts, ")")
        _check_text(operand)
        return condition(text, f" {word} ", operand.node("text", adapt))

    return build


def _check_text(operand: Operand) -> None:
    own = type_of_kind(operand.kind)
    if own is None or own.kind != "text":
        raise operand.wrong("a str")


for _name, _before, _after in (("contains", "%", "%"), ("startswith", "", "%"), ("endswith", "%", "")):
    lookup(_name)(_like("LIKE", _before, _after))
    lookup(f"i{_name}")(_like("ILIKE", _before, _after))


@lookup("iexact", takes_none=True)
def _iexact(left: Node, operand: Operand) -> Node:
    if operand.value is None:
        return is_null(left)
    text = as_text(text_of(left))
    if not operand.is_expression:
        _check_text(operand)
    right = as_text(text_of(operand.node("text")))
    return condition("upper(", text, ") = upper(", right, ")")


def _matches(word: str) -> Build:
    def build(left: Node, operand: Operand) -> Node:
        if not operand.is_expression:
            _check_text(operand)
        return condition(as_text(text_of(left)), f" {word} ", as_text(operand.node("text")))

    return build


lookup("regex")(_matches("~"))
lookup("iregex")(_matches("~*"))


def text_of(node: Node) -> Node:
    """The value as it is compared as text: of JSON, what the string holds and not its quotes; of inet, the address."""
    own: Callable[[], Node] | None = getattr(node, "as_text", None)
    if own is not None:
        return own()
    if node.type is not None and node.type.sql == "inet":
        # The address itself: its cast to text has the bits of the network behind it.
        return call("host", node, type_=TEXT)
    return node


@transform("lower", "text", bilateral=False)
def _lower(node: Node) -> Node:
    return call("lower", node, type_=TEXT)


@transform("upper", "text", bilateral=False)
def _upper(node: Node) -> Node:
    return call("upper", node, type_=TEXT)
