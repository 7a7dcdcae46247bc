"""Lookups of extensions' types, hstore, pg_trgm and unaccent, and of network addresses.

Django docs: ref/contrib/postgres/fields, "Querying HStoreField"; ref/contrib/postgres/lookups.
PostgreSQL docs: hstore, pgtrgm, unaccent, functions-net.
"""

from hyperdjango.models._json import key_constant
from hyperdjango.models._lookups_json import has_key, keys_operator
from hyperdjango.models._nodes import Node, Sql, condition
from hyperdjango.models._operand import Operand
from hyperdjango.models._sql import as_text, call, enclosed
from hyperdjango.models._types import TEXT
from hyperdjango.models._values import array_of, type_of_kind
from hyperdjango.models.lookups import Build, any_word, lookup, transform


@any_word("hstore")
def _value_of(node: Node, word: str) -> Node:
    return Sql("(", enclosed(node), f" -> {key_constant(word)})", type=TEXT, is_nullable=True)


def _hstore(sql: str) -> Build:
    def build(left: Node, operand: Operand) -> Node:
        if not operand.is_expression and not isinstance(operand.value, dict):
            raise operand.wrong("a dict of str to str or None")
        # The type may lie in any schema: the column's is the one.
        assert left.type is not None
        return condition(left, f" {sql} ", operand.node(left.type.sql))

    return build


lookup("contains", "hstore")(_hstore("@>"))
lookup("contained_by", "hstore")(_hstore("<@"))
lookup("has_key", "hstore")(has_key)
lookup("has_keys", "hstore")(keys_operator("?&"))
lookup("has_any_keys", "hstore")(keys_operator("?|"))


@transform("keys", "hstore")
def _keys(node: Node) -> Node:
    return call("akeys", node, type_=array_of(TEXT))


@transform("values", "hstore")
def _values(node: Node) -> Node:
    return call("avals", node, type_=array_of(TEXT))


def _similar(sql: str) -> Build:
    def build(left: Node, operand: Operand) -> Node:
        own = type_of_kind(operand.kind)
        if not operand.is_expression and (own is None or own.kind != "text"):
            raise operand.wrong("a str")
        return condition(as_text(left), f" {sql} ", as_text(operand.node("text")))

    return build


lookup("trigram_similar", "text")(_similar("%"))
lookup("trigram_word_similar", "text")(_similar("%>"))
lookup("trigram_strict_word_similar", "text")(_similar("%>>"))


@transform("unaccent", "text", bilateral=True)
def _unaccent(node: Node) -> Node:
    return call("unaccent", as_text(node), type_=TEXT)


def _network(sql: str) -> Build:
    def build(left: Node, operand: Operand) -> Node:
        return condition(left, f" {sql} ", operand.node("inet"))

    return build


for _name, _sql in (
    ("net_contained", "<<"), ("net_contained_or_equal", "<<="), ("net_contains", ">>"),
    ("net_contains_or_equals", ">>="), ("net_overlaps", "&&"), ("contains", ">>="), ("contained_by", "<<="),
    ("overlap", "&&"),
):  # fmt: skip
    lookup(_name, "network")(_network(_sql))
