"""`FilteredRelation`: a relation with a condition of its own, under a name of its own.

Django docs: ref/models/querysets, "FilteredRelation() objects".
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hyperdjango.models._nodes import Node, Ref, Source
from hyperdjango.models._scope import SEPARATOR, Scope
from hyperdjango.models._shapes import Cursor
from hyperdjango.models.errors import FieldError
from hyperdjango.models.query_words import Q

if TYPE_CHECKING:
    from hyperdjango.models._meta import Relation
    from hyperdjango.models._state import State


class Filtered(NamedTuple):
    """A filtered relation to many rows, resolved.

    Attributes:
        near: The source that the relation leaves from.
        relation: The relation.
        root: Stands for one of its rows, in `condition`.
        condition: What these rows must fulfil.
    """

    near: Source
    relation: "Relation"
    root: Source
    condition: Node


class FilteredRelation:
    """For annotate(): `FilteredRelation("reviews", condition=Q(reviews__stars=5))`.

    Args:
        relation_name: A relation; `__` goes on from there through relations to one.
        condition: What its rows must fulfil, in names of the model that is queried.
    """

    __slots__ = ("condition", "key", "params", "relation_name")

    def __init__(self, relation_name: str, *, condition: Q) -> None:
        given = cast("object", condition)
        if not isinstance(given, Q) or not given:
            raise FieldError("FilteredRelation() takes a condition: Q(…)")
        self.relation_name = relation_name
        self.condition = condition
        self.key = (FilteredRelation, relation_name, condition.key)
        self.params = condition.params

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        return self.key, self.params

    def names(self) -> Iterator[str]:
        """None: it has no value itself."""
        return iter(())

    all_names = names

    def source(self, state: "State", scope: Scope, cursor: Cursor) -> "Source | Filtered":
        """Return what names that begin with its own go on from.

        Raises:
            FieldError: A relation is not known, or the condition does not fit.
        """
        words = tuple(self.relation_name.split(SEPARATOR))
        near = state.root
        for word in words[:-1]:
            relation = _relation(near, word, self.relation_name)
            if relation.is_many:
                raise FieldError(
                    f"FilteredRelation({self.relation_name!r}) goes through {word!r}, which has many rows"
                )
            near = near.child(relation)
        relation = _relation(near, words[-1], self.relation_name)
        if relation.is_many:
            root = Source((relation.through or relation.target)._table)
            node = self.condition.resolve(scope.with_many(words, root), cursor)
            return Filtered(near, relation, root, node)
        # Of this chain alone: others may give the same name to another condition.
        child = Source(relation.target._table, near, relation)
        child.is_optional = True
        child.condition = self.condition.resolve(scope.with_many(words, child), cursor)
        for node in child.condition.walk():
            if isinstance(node, Ref) and not _is_at_hand(child, node.source):
                raise FieldError(
                    f"FilteredRelation({self.relation_name!r}): the condition is about {node.source.table.name!r}, "
                    "and a join to one can look at its own row and at those before it alone"
                )
        return child

    def __repr__(self) -> str:
        return f"FilteredRelation({self.relation_name!r}, condition={self.condition!r})"


def _is_at_hand(child: Source, source: Source) -> bool:
    """Whether a source is the joined one, or one that it is joined to; those of subqueries have other roots."""
    if source.root is not child.root:
        return True
    at: Source | None = child
    while at is not None and at is not source:
        at = at.parent
    return at is not None


def _relation(source: Source, word: str, said: str) -> "Relation":
    found = source.table.relations.get(word)
    if found is None:
        error = source.table.unknown(word)
        error.add_note(f"in FilteredRelation({said!r})")
        raise error
    return found
