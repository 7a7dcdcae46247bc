"""Full text search, and similarity by trigrams (of the extension pg_trgm), under Django's names.

Django docs: ref/contrib/postgres/search. PostgreSQL docs: textsearch-controls, pgtrgm.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from hyperdjango.models._func import Function
from hyperdjango.models._lookups_search import QUERY, VECTOR
from hyperdjango.models._nearest import nearest
from hyperdjango.models._nodes import Node, Sql
from hyperdjango.models._sql import as_text, call, cast, coalesced, separated
from hyperdjango.models._types import TEXT
from hyperdjango.models._values import FLOAT
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, F, Value, as_expression

_TYPES: Final = {
    "plain": "plainto_tsquery",
    "phrase": "phraseto_tsquery",
    "raw": "to_tsquery",
    "websearch": "websearch_to_tsquery",
}


class _Configured(Sql):
    """A vector or a query, and the configuration that made it."""

    __slots__ = ("config",)

    config: Node | None


def _config(config: "str | F | None") -> tuple[Expression, ...]:
    if config is None:
        return ()
    return (Value(config) if isinstance(config, str) else as_expression(config),)


def _regconfig(node: Node) -> Node:
    return cast(node, "regconfig", None)


def _made(function: str, nodes: list[Node], config: Node | None, type_: Any) -> _Configured:
    words = nodes if config is None else [config, *nodes]
    made = _Configured(f"{function}(", *separated(words), ")", type=type_)
    made.config = config
    return made


class SearchVector(Function):
    """The words of one or several texts, to be searched.

    Args:
        expressions: Names and expressions; NULL has no words.
        config: The configuration: its name, or `F("column")`; the session's where there is none.
        weight: "A", "B", "C" or "D", for SearchRank.
    """

    __slots__ = ()

    def __init__(
        self, *expressions: object, config: "str | F | None" = None, weight: str | None = None
    ) -> None:
        if not expressions:
            raise FieldError("SearchVector() takes one expression or more")
        if weight is not None and weight not in {"A", "B", "C", "D"}:
            raise FieldError(f"a weight is 'A', 'B', 'C' or 'D', not {weight!r}")
        configs = _config(config)
        self._fill((*map(as_expression, expressions), *configs), (weight, len(configs)))

    def build(self, nodes: list[Node]) -> Node:
        weight, count = self.options
        config = _regconfig(nodes[-1]) if count else None
        texts = [coalesced(as_text(node), "''") for node in nodes[: len(nodes) - count]]
        document: Node = texts[0]
        if len(texts) > 1:
            document = Sql(*separated(texts, " || ' ' || "), type=TEXT, is_nullable=False)
        made = _made("to_tsvector", [document], config, VECTOR)
        if weight is None:
            return made
        weighted = _Configured("setweight(", made, f", '{weight}')", type=VECTOR)
        weighted.config = config
        return weighted

    def __add__(self, other: object) -> "CombinedSearch":  # type: ignore[override]  # vectors are joined, not added
        return CombinedSearch(self, "||", other)


class SearchQuery(Function):
    """Words to search for; `&`, `|` and `~` put queries together.

    Args:
        value: A str, or an expression.
        config: The configuration: its name, or `F("column")`; the session's where there is none.
        search_type: "plain": all words; "phrase": in this order; "websearch": as search engines take them; "raw":
            PostgreSQL's own syntax, in which a mistake is an error of the backend.
        invert: Rows without the words.
    """

    __slots__ = ()

    def __init__(
        self, value: object, config: "str | F | None" = None, search_type: str = "plain", invert: bool = False
    ) -> None:
        if search_type not in _TYPES:
            raise FieldError(f"there is no search_type {search_type!r}{nearest(str(search_type), _TYPES)}")
        words = Value(value) if isinstance(value, str) else as_expression(value)
        configs = _config(config)
        self._fill((words, *configs), (search_type, bool(invert), len(configs)))

    def build(self, nodes: list[Node]) -> Node:
        search_type, invert, count = self.options
        config = _regconfig(nodes[-1]) if count else None
        made = _made(_TYPES[search_type], [as_text(nodes[0])], config, QUERY)
        if not invert:
            return made
        inverted = _Configured("!!(", made, ")", type=QUERY)
        inverted.config = config
        return inverted

    def __and__(self, other: object) -> "CombinedSearch":  # type: ignore[override]  # a query, not a condition
        return CombinedSearch(self, "&&", other)

    def __or__(self, other: object) -> "CombinedSearch":  # type: ignore[override]  # a query, not a condition
        return CombinedSearch(self, "||", other)

    def __invert__(self) -> "CombinedSearch":  # type: ignore[override]  # a query, not a condition
        return CombinedSearch(self, "!!", None)


class CombinedSearch(SearchQuery):
    """Two queries, or two vectors, put together; or one query's opposite."""

    __slots__ = ()

    def __init__(self, one: Expression, operator: str, other: object) -> None:
        if other is not None and not isinstance(other, SearchVector | SearchQuery):
            raise FieldError(f"a search is put together with another one, not with {type(other).__name__}")
        self._fill((one,) if other is None else (one, other), (operator,))

    def build(self, nodes: list[Node]) -> Node:
        (operator,) = self.options
        type_ = nodes[0].type
        if any(node.type != type_ for node in nodes):
            raise FieldError(f"{self!r}: a vector and a query are matched by a filter, not put together")
        if len(nodes) == 1:
            made = _Configured("!!(", nodes[0], ")", type=type_)
        else:
            made = _Configured("(", nodes[0], f" {operator} ", nodes[1], ")", type=type_)
        made.config = getattr(nodes[0], "config", None)
        return made

    def __add__(self, other: object) -> "CombinedSearch":  # type: ignore[override]  # vectors are joined, not added
        return CombinedSearch(self, "||", other)


class SearchRank(Function):
    """How well a vector fits a query.

    Args:
        vector: A SearchVector, or what one is made of.
        query: A SearchQuery, or its words.
        weights: What words of the weights D, C, B and A count.
        normalization: PostgreSQL's bits for the length of the text.
        cover_density: Rank by how near the words are to each other.
    """

    __slots__ = ()

    def __init__(
        self,
        vector: object,
        query: object,
        weights: Sequence[float] | None = None,
        normalization: int | None = None,
        cover_density: bool = False,
    ) -> None:
        sources: list[Expression] = [_vector(vector), _query(query)]
        if weights is not None:
            if len(weights) != 4:
                raise FieldError(f"weights are four numbers, of D, C, B and A, not {len(weights)}")
            sources.append(Value([float(one) for one in weights]))
        if normalization is not None:
            sources.append(Value(normalization))
        self._fill(tuple(sources), (weights is not None, normalization is not None, bool(cover_density)))

    def build(self, nodes: list[Node]) -> Node:
        has_weights, has_normalization, cover_density = self.options
        vector, query, *rest = nodes
        words: list[Node] = []
        if has_weights:
            words.append(cast(rest.pop(0), "real[]", None))
        words += [vector, query]
        if has_normalization:
            words.append(cast(rest.pop(0), "integer", None))
        made = call("ts_rank_cd" if cover_density else "ts_rank", *words, type_=FLOAT)
        return cast(made, "double precision", FLOAT)


def _vector(vector: object) -> Expression:
    """A str names a field; what has words of its own is taken as it is."""
    return SearchVector(vector) if isinstance(vector, str) else as_expression(vector)


def _query(query: object) -> Expression:
    return SearchQuery(query) if isinstance(query, str) else as_expression(query)


class SearchHeadline(Function):
    """The parts of a text that fit a query, with the words marked.

    Args:
        expression: The text.
        query: A SearchQuery, or its words.
        config: The configuration.
        start_sel, stop_sel: What stands around a word. The text itself is not escaped for HTML.
        max_words, min_words, short_word, highlight_all, max_fragments, fragment_delimiter: As ts_headline has them.
    """

    __slots__ = ()

    def __init__(
        self,
        expression: object,
        query: object,
        *,
        config: "str | F | None" = None,
        start_sel: str | None = None,
        stop_sel: str | None = None,
        max_words: int | None = None,
        min_words: int | None = None,
        short_word: int | None = None,
        highlight_all: bool | None = None,
        max_fragments: int | None = None,
        fragment_delimiter: str | None = None,
    ) -> None:
        given: dict[str, object] = {
            "StartSel": start_sel,
            "StopSel": stop_sel,
            "MaxWords": max_words,
            "MinWords": min_words,
            "ShortWord": short_word,
            "HighlightAll": highlight_all,
            "MaxFragments": max_fragments,
            "FragmentDelimiter": fragment_delimiter,
        }
        options = ", ".join(f"{name}={_option(value)}" for name, value in given.items() if value is not None)
        configs = _config(config)
        sources = (as_expression(expression), _query(query), *([Value(options)] if options else []), *configs)
        self._fill(sources, (bool(options), len(configs)))

    def build(self, nodes: list[Node]) -> Node:
        _, count = self.options
        text, query, *rest = nodes
        config = [_regconfig(rest.pop())] if count else []
        return call("ts_headline", *config, as_text(text), query, *rest, type_=TEXT)


def _option(value: object) -> str:
    if isinstance(value, str):
        doubled = value.replace('"', '""')
        return f'"{doubled}"'
    return str(value)


class _Trigram(Function):
    """Of a field and a text; the extension pg_trgm must be installed."""

    __slots__ = ()
    function: ClassVar[str]
    operator: ClassVar[str] = ""

    def __init__(self, expression: object, string: object) -> None:
        words = Value(string) if isinstance(string, str) else as_expression(string)
        self._fill((as_expression(expression), words))

    def build(self, nodes: list[Node]) -> Node:
        one, other = map(as_text, nodes)
        made = (
            Sql("(", one, f" {self.operator} ", other, ")", type=FLOAT)
            if self.operator
            else call(self.function, one, other, type_=FLOAT)
        )
        return cast(made, "double precision", FLOAT)


class TrigramSimilarity(_Trigram):
    """How similar the texts are, from 0 to 1."""

    __slots__ = ()
    function = "similarity"


class TrigramDistance(_Trigram):
    """How different the texts are, from 0 to 1."""

    __slots__ = ()
    operator = "<->"


class _TrigramWord(_Trigram):
    """Of a text, and a field that has it somewhere."""

    __slots__ = ()

    def __init__(self, string: object, expression: object) -> None:
        words = Value(string) if isinstance(string, str) else as_expression(string)
        self._fill((words, as_expression(expression)))


class TrigramWordSimilarity(_TrigramWord):
    """How similar a text is to the part of the field that is most like it."""

    __slots__ = ()
    function = "word_similarity"


class TrigramWordDistance(_TrigramWord):
    """The opposite of TrigramWordSimilarity."""

    __slots__ = ()
    operator = "<<->"


class TrigramStrictWordSimilarity(_TrigramWord):
    """As TrigramWordSimilarity, of whole words."""

    __slots__ = ()
    function = "strict_word_similarity"


class TrigramStrictWordDistance(_TrigramWord):
    """The opposite of TrigramStrictWordSimilarity."""

    __slots__ = ()
    operator = "<<<->"


__all__ = [
    "CombinedSearch",
    "SearchHeadline",
    "SearchQuery",
    "SearchRank",
    "SearchVector",
    "TrigramDistance",
    "TrigramSimilarity",
    "TrigramStrictWordDistance",
    "TrigramStrictWordSimilarity",
    "TrigramWordDistance",
    "TrigramWordSimilarity",
]
