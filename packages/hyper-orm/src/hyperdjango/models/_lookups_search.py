"""Full text search behind a field: `body__search="bread"`, and a vector against a query.

Django docs: ref/contrib/postgres/search. PostgreSQL docs: textsearch.
"""

from hyperdjango.models._nodes import Node, condition
from hyperdjango.models._operand import Operand
from hyperdjango.models._sql import as_text, call, coalesced
from hyperdjango.models._types import ColumnType
from hyperdjango.models._values import type_of_kind
from hyperdjango.models.lookups import is_null, lookup

VECTOR = ColumnType("tsvector", str, "search")
QUERY = ColumnType("tsquery", str, "search")


def _query(operand: Operand, config: Node | None) -> Node:
    """The right side as a query: words that all must be there."""
    words: list[Node] = [] if config is None else [config]
    if operand.is_expression:
        node = operand.node()
        if node.type is not None and node.type.sql == "tsquery":
            return node
        return call("plainto_tsquery", *words, as_text(node), type_=QUERY)
    own = type_of_kind(operand.kind)
    if own is None or own.kind != "text":
        raise operand.wrong("a str or a SearchQuery")
    return call("plainto_tsquery", *words, operand.node("text"), type_=QUERY)


@lookup("search", "text", "enum", "json")
def _search(left: Node, operand: Operand) -> Node:
    query = _query(operand, None)
    # The words of both sides are to be made in the same way.
    config: Node | None = getattr(query, "config", None)
    words = [coalesced(as_text(left), "''")] if config is None else [config, coalesced(as_text(left), "''")]
    return condition(call("to_tsvector", *words, type_=VECTOR), " @@ ", query)


@lookup("search", "search")
def _matches(left: Node, operand: Operand) -> Node:
    return condition(left, " @@ ", _query(operand, getattr(left, "config", None)))


@lookup("exact", "search", takes_none=True)
def _exact(left: Node, operand: Operand) -> Node:
    return is_null(left) if operand.value is None else _matches(left, operand)
