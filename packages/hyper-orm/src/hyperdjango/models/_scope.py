"""Finds what a name in a query means: an annotation, a column, or a column at the end of some relations."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperdjango.models._common_table_source import CommonTableSource
from hyperdjango.models._nodes import Node, Ref, Row, Source
from hyperdjango.models._one_database import check_one_database

if TYPE_CHECKING:
    from hyperdjango.models._filtered_relation import Filtered
    from hyperdjango.models._meta import Relation, Table

SEPARATOR = "__"


class Found(NamedTuple):
    """What a name leads to.

    Attributes:
        node: The value; of a relation its key, of a composite key a row.
        rest: The words that are left: transforms and a lookup.
        relation: The relation at whose end the name stops, or None.
        path: The words that were used.
    """

    node: Node
    rest: tuple[str, ...]
    relation: "Relation | None"
    path: tuple[str, ...]


class Many(Exception):
    """The name goes through a relation to many rows, and nothing has been said on which of them is meant."""

    def __init__(
        self,
        prefix: tuple[str, ...],
        source: Source,
        relation: "Relation",
        filtered: "Filtered | None" = None,
    ) -> None:
        super().__init__(SEPARATOR.join(prefix))
        self.filtered = filtered
        self.prefix = prefix
        self.source = source
        self.relation = relation


class Scope:
    """The names of one SELECT.

    Attributes:
        root: The source that names begin at.
        annotations: Names that `annotate` and `alias` have made.
        many: For a relation to many, by its words: the source that stands for one of the rows.
        joins_many: A relation to many is joined where `many` does not say otherwise: rows may double.
        extra: Sources by the first word: `FilteredRelation`s and CTEs.
    """

    __slots__ = ("annotations", "extra", "joins_many", "many", "root")

    def __init__(
        self,
        root: Source,
        annotations: Mapping[str, Node],
        many: Mapping[tuple[str, ...], Source] | None = None,
        *,
        joins_many: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.root = root
        self.annotations = annotations
        self.many = many or {}
        self.joins_many = joins_many
        self.extra = extra or {}

    def with_many(self, prefix: tuple[str, ...], source: Source) -> "Scope":
        """The same names, with one row of a relation to many."""
        return Scope(
            self.root,
            self.annotations,
            {**self.many, prefix: source},
            joins_many=self.joins_many,
            extra=self.extra,
        )

    def with_joins(self) -> "Scope":
        """The same names; relations to many are joined."""
        return Scope(self.root, self.annotations, self.many, joins_many=True, extra=self.extra)

    def find(self, name: str) -> Found:
        """Return what a name leads to.

        Raises:
            FieldError: The first word, or one behind a relation, is not known; the text names the nearest.
            Many: It goes through a relation to many rows.
        """
        words = tuple(name.split(SEPARATOR))
        first = words[0]
        if self.annotations:
            # Names such as reviews__count have the separator in them.
            for used in range(len(words), 0, -1):
                annotation = self.annotations.get(SEPARATOR.join(words[:used]))
                if annotation is not None:
                    return Found(annotation, words[used:], None, words[:used])
        source, used = self.root, 0
        if first in self.extra:
            given = self.extra[first]
            if isinstance(given, CommonTableSource):
                return Found(
                    given.column(words[1] if len(words) > 1 else "", name), words[2:], None, words[:2]
                )
            source, used = self._named(first), 1
            if used == len(words) or not _is_field(source.table, words[used]):
                return Found(key_of(source), words[used:], None, words[:used])
        return self._walk(source, words, used)

    def _named(self, name: str) -> Source:
        """The source of a FilteredRelation."""
        given = self.extra[name]
        if isinstance(given, Source):
            return given
        root = self.many.get((name,))
        if root is None:
            raise Many((name,), given.near, given.relation, given)
        far = given.relation.through_far
        return root if far is None else root.child(far)

    def _walk(self, source: Source, words: tuple[str, ...], used: int) -> Found:
        while True:
            table, word = source.table, words[used]
            column = table.by_name.get(word)
            if column is not None:
                return Found(Ref(source, column), words[used + 1 :], None, words[: used + 1])
            relation = table.relations.get(word)
            if relation is None:
                if word == "pk":
                    return Found(key_of(source), words[used + 1 :], None, words[: used + 1])
                raise self._unknown(table, words, used)
            used += 1
            named = self.many.get(words[:used]) if relation.is_forward else None
            if named is not None and used < len(words) and _is_field(named.table, words[used]):
                source = named
                continue
            if relation.is_forward:
                onward = self._forward(source, relation, words, used)
            else:
                onward = self._backward(source, relation, words, used)
            if isinstance(onward, Found):
                return onward
            source = onward

    def _unknown(self, table: "Table", words: tuple[str, ...], used: int) -> Exception:
        if not used:
            return table.unknown(words[0], [*self.annotations, *self.extra])
        error = table.unknown(words[used])
        error.add_note(f"in {SEPARATOR.join(words)!r}")
        return error

    def _forward(
        self, source: Source, relation: "Relation", words: tuple[str, ...], used: int
    ) -> "Found | Source":
        """The relation's own columns where these will do, else the source at its other end."""
        if used == len(words) or not _is_field(relation.target._table, words[used]):
            refs = [Ref(source, column) for column in relation.locals]
            return Found(_row(refs), words[used:], relation, words[:used])
        word = words[used]
        remotes = relation.remotes
        if word == "pk" and remotes == relation.target._table.primary_key:
            return Found(
                _row([Ref(source, c) for c in relation.locals]), words[used + 1 :], None, words[: used + 1]
            )
        for local, remote in zip(relation.locals, remotes, strict=True):
            if remote.name == word:
                return Found(Ref(source, local), words[used + 1 :], None, words[: used + 1])
        check_one_database(source.table, relation.target._table, repr(SEPARATOR.join(words)))
        return source.child(relation)

    def _backward(
        self, source: Source, relation: "Relation", words: tuple[str, ...], used: int
    ) -> "Found | Source":
        prefix = words[:used]
        check_one_database(source.table, relation.target._table, repr(SEPARATOR.join(words)))
        near = self.many.get(prefix)
        if near is None:
            if relation.is_many and not self.joins_many:
                raise Many(prefix, source, relation)
            near = source.child(relation)
        far = relation.through_far
        if far is not None:
            return self._forward(near, far, words, used)
        if used == len(words) or not _is_field(relation.target._table, words[used]):
            return Found(key_of(near), words[used:], relation, prefix)
        return near


def _is_field(table: "Table", word: str) -> bool:
    return word == "pk" or word in table.by_name or word in table.relations


def key_of(source: Source) -> Node:
    """The primary key of a source's row."""
    return _row([Ref(source, column) for column in source.table.primary_key])


def _row(refs: list[Ref]) -> Node:
    """One value as it is, several as a row: a composite key."""
    return refs[0] if len(refs) == 1 else Row(refs)
