"""Text functions, under Django's names. Whatever is no text is taken as text.

Django docs: ref/models/database-functions, "Text functions". PostgreSQL docs: functions-string.
"""

from typing import Any, ClassVar

from hyperdjango.models._func import Function
from hyperdjango.models._nodes import Node, Sql
from hyperdjango.models._sql import as_integer, as_text, call, coalesced
from hyperdjango.models._types import INTEGER, TEXT, ColumnType
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, Value, as_expression


class _OfText(Function):
    """A function of one text."""

    __slots__ = ()
    arity = 1
    word: ClassVar[str]
    type: ClassVar[ColumnType] = TEXT

    def build(self, nodes: list[Node]) -> Node:
        return call(self.word, as_text(nodes[0]), type_=self.type)


class Lower(_OfText):
    """In small letters."""

    __slots__ = ()
    word = "lower"


class Upper(_OfText):
    """In capital letters."""

    __slots__ = ()
    word = "upper"


class Length(_OfText):
    """How many characters."""

    __slots__ = ()
    word = "length"
    type = INTEGER


class LTrim(_OfText):
    """Without blanks in front."""

    __slots__ = ()
    word = "ltrim"


class RTrim(_OfText):
    """Without blanks behind."""

    __slots__ = ()
    word = "rtrim"


class Trim(_OfText):
    """Without blanks at both ends."""

    __slots__ = ()
    word = "btrim"


class Reverse(_OfText):
    """Backwards."""

    __slots__ = ()
    word = "reverse"


class Ord(_OfText):
    """The code point of the first character."""

    __slots__ = ()
    word = "ascii"
    type = INTEGER


class MD5(_OfText):
    """The MD5 hash, in hexadecimal."""

    __slots__ = ()
    word = "md5"


class _Hash(Function):
    """A hash of the text's UTF-8 bytes, in hexadecimal."""

    __slots__ = ()
    arity = 1
    word: ClassVar[str]

    def build(self, nodes: list[Node]) -> Node:
        return Sql(f"encode({self.word}(convert_to(", as_text(nodes[0]), ", 'UTF8')), 'hex')", type=TEXT)


class SHA1(Function):
    """The SHA-1 hash. PostgreSQL has it in the extension pgcrypto alone, which must be installed."""

    __slots__ = ()
    arity = 1

    def build(self, nodes: list[Node]) -> Node:
        return Sql("encode(digest(", as_text(nodes[0]), ", 'sha1'), 'hex')", type=TEXT)


class SHA224(_Hash):
    """The SHA-224 hash, in hexadecimal."""

    __slots__ = ()
    word = "sha224"


class SHA256(_Hash):
    """The SHA-256 hash, in hexadecimal."""

    __slots__ = ()
    word = "sha256"


class SHA384(_Hash):
    """The SHA-384 hash, in hexadecimal."""

    __slots__ = ()
    word = "sha384"


class SHA512(_Hash):
    """The SHA-512 hash, in hexadecimal."""

    __slots__ = ()
    word = "sha512"


class Chr(Function):
    """The character of a code point."""

    __slots__ = ()
    arity = 1

    def build(self, nodes: list[Node]) -> Node:
        return call("chr", as_integer(nodes[0]), type_=TEXT)


class Concat(Function):
    """One text behind the other; NULL is no text."""

    __slots__ = ()
    arity: ClassVar[int | tuple[int, int | None] | None] = (2, None)

    def build(self, nodes: list[Node]) -> Node:
        parts: list[str | Node] = ["("]
        for node in nodes:
            parts += [" || " if len(parts) > 1 else "", coalesced(as_text(node), "''")]
        return Sql(*parts, ")", type=TEXT, is_nullable=False)


class ConcatPair(Concat):
    """As Concat, of two."""

    __slots__ = ()
    arity = 2


class Left(Function):
    """The first characters: so many."""

    __slots__ = ()
    word: ClassVar[str] = "left"

    def __init__(self, expression: object, length: object, output_field: Any = None) -> None:
        _check_length(self, length, least=1)
        self._fill((as_expression(expression), as_expression(length)), (), output_field)

    def build(self, nodes: list[Node]) -> Node:
        return call(self.word, as_text(nodes[0]), as_integer(nodes[1]), type_=TEXT)


class Right(Left):
    """The last characters: so many."""

    __slots__ = ()
    word = "right"


class Repeat(Function):
    """The text so many times."""

    __slots__ = ()

    def __init__(self, expression: object, number: object, output_field: Any = None) -> None:
        _check_length(self, number, least=0)
        self._fill((as_expression(expression), as_expression(number)), (), output_field)

    def build(self, nodes: list[Node]) -> Node:
        return call("repeat", as_text(nodes[0]), as_integer(nodes[1]), type_=TEXT)


class LPad(Function):
    """Filled in front with another text up to a length, or cut to it."""

    __slots__ = ()
    word: ClassVar[str] = "lpad"

    def __init__(
        self, expression: object, length: object, fill_text: object = " ", output_field: Any = None
    ) -> None:
        _check_length(self, length, least=0)
        fill = Value(fill_text) if isinstance(fill_text, str) else as_expression(fill_text)
        self._fill((as_expression(expression), as_expression(length), fill), (), output_field)

    def build(self, nodes: list[Node]) -> Node:
        text, length, fill = nodes
        return call(self.word, as_text(text), as_integer(length), as_text(fill), type_=TEXT)


class RPad(LPad):
    """Filled behind with another text up to a length, or cut to it."""

    __slots__ = ()
    word = "rpad"


class Replace(Function):
    """With each occurrence of a text replaced by another; plain str are values here as well, as in LPad."""

    __slots__ = ()

    def __init__(
        self, expression: object, text: object, replacement: object = "", output_field: Any = None
    ) -> None:
        sources = (as_expression(expression), _text(text), _text(replacement))
        self._fill(sources, (), output_field)

    def build(self, nodes: list[Node]) -> Node:
        return call("replace", *map(as_text, nodes), type_=TEXT)


class StrIndex(Function):
    """Where a text begins within another, counted from 1; 0 where it is not in it."""

    __slots__ = ()
    arity = 2

    def build(self, nodes: list[Node]) -> Node:
        return call("strpos", *map(as_text, nodes), type_=INTEGER)


class Substr(Function):
    """The characters from a position on, counted from 1: all, or so many."""

    __slots__ = ()

    def __init__(
        self, expression: object, pos: object, length: object = None, output_field: Any = None
    ) -> None:
        _check_length(self, pos, least=1)
        sources: tuple[Expression, ...] = (as_expression(expression), as_expression(pos))
        if length is not None:
            _check_length(self, length, least=0)
            sources += (as_expression(length),)
        self._fill(sources, (), output_field)

    def build(self, nodes: list[Node]) -> Node:
        text, *numbers = nodes
        return call("substr", as_text(text), *map(as_integer, numbers), type_=TEXT)


def _text(value: object) -> Expression:
    return Value(value) if isinstance(value, str) else as_expression(value)


def _check_length(function: Function, length: object, *, least: int) -> None:
    if isinstance(length, Expression | str):
        return
    if isinstance(length, bool) or not isinstance(length, int) or length < least:
        raise FieldError(f"{type(function).__name__}() takes an int from {least} on, not {length!r}")
