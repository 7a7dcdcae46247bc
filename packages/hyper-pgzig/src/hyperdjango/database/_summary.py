"""What a statement does, in a few words: its command, and a summary such as `SELECT orders users`.

For those who watch calls (`_watching`, `otel`): a name that many texts share. It is read off the words of the
text without a grammar, so it may leave something out; it never holds a constant of the text.
OpenTelemetry: semantic conventions, "Generating a summary of the query". PostgreSQL docs: sql-commands.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

SUMMARY_LENGTH_MAX: Final = 255
# A longer text is not read to its end.
TEXT_LENGTH_MAX: Final = 10_000
_CACHED: Final = 1024

_NAME: Final = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'
# Strings and comments first, so that nothing inside of them is taken for a word.
_TOKEN: Final = re.compile(
    rf"""
      --[^\n]*
    | /\*.*?(?:\*/|\Z)
    | (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
    | '(?:[^']|'')*(?:'|\Z)
    | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)
    | (?P<word>{_NAME}(?:\s*\.\s*{_NAME})*)
    | (?P<mark>[();,=<>])
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANKS: Final = re.compile(r"\s*\.\s*")
_FIRST_WORD: Final = re.compile(r"(?:[\s(]|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*([A-Za-z]+)", re.DOTALL)
_CTE: Final = re.compile(
    r"(\w+|\"[^\"]+\")\s*(?:\([^()]*\)\s*)?AS\s+(?:(?:NOT\s+)?MATERIALIZED\s+)?\(", re.IGNORECASE
)

_COMMANDS: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE"})
# `FOR UPDATE`, `FOR NO KEY UPDATE`, `DO UPDATE`, `ON DELETE` are no commands.
_NO_COMMAND_AFTER: Final = frozenset({"FOR", "KEY", "DO", "ON", "THEN"})
# What follows one of these is worked on.
_BEFORE_TARGET: Final = frozenset({"FROM", "INTO", "JOIN", "UPDATE", "COPY", "TRUNCATE", "USING", "TABLE"})
_BETWEEN: Final = frozenset({"ONLY", "LATERAL", "IF", "NOT", "EXISTS", "TABLE", "INTO"})
# What follows a comma after these is another target.
_LISTS: Final = frozenset({"FROM", "USING", "TRUNCATE", "TABLE"})
# A parenthesis after any other word is that of a call.
_NO_CALL: Final = frozenset(
    {
        "",
        "(",
        ")",
        ",",
        ";",
        "=",
        "<",
        ">",
        "AS",
        "MATERIALIZED",
        "FROM",
        "JOIN",
        "IN",
        "EXISTS",
        "ANY",
        "ALL",
        "SOME",
        "NOT",
    }
    | {
        "WHERE",
        "AND",
        "OR",
        "ON",
        "SELECT",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "THEN",
        "ELSE",
        "WHEN",
        "LATERAL",
    }
    | {"COPY", "USING", "RETURN", "ARRAY", "BY", "HAVING", "LIMIT", "OFFSET", "FOR"}
)
_ENDS_LIST: Final = frozenset(
    {"WHERE", "SET", "ON", "GROUP", "ORDER", "LIMIT", "VALUES", "RETURNING", "SELECT"}
)


class Summary(NamedTuple):
    """What is known of a text.

    Attributes:
        text: Its commands and what they work on, in the order in which they stand: `SELECT orders users`.
        targets: What they work on.
    """

    text: str
    targets: tuple[str, ...]


def operation_of(sql: str, tag: str) -> str:
    """Return the command of a statement: that of the server's tag, else the first word of the text."""
    return tag.rstrip("0123456789 ") or command_word(sql)


def command_word(sql: str) -> str:
    """Return the first word after comments and parentheses, in capitals; empty where there is none."""
    match = _FIRST_WORD.match(sql[:TEXT_LENGTH_MAX])
    return match[1].upper() if match else ""


@lru_cache(_CACHED)
def summary_of(sql: str) -> Summary:
    """Return the summary of a text."""
    sql = sql[:TEXT_LENGTH_MAX]
    reader = _Reader({match[1].lower() for match in _CTE.finditer(sql)})
    for match in _TOKEN.finditer(sql):
        if match["word"] is not None:
            reader.word(_BLANKS.sub(".", match["word"]))
        elif match["mark"] is not None:
            reader.mark(match["mark"])
    return Summary(" ".join(reader.parts)[:SUMMARY_LENGTH_MAX], tuple(reader.targets))


class _Reader:
    """What was read of a text so far."""

    def __init__(self, local_names: set[str]) -> None:
        self.parts: list[str] = []
        self.targets: list[str] = []
        self._local_names = local_names  # of WITH: no tables
        self._command = ""
        self._before = ""
        self._expects = ""  # the word after which a target is to follow
        self._list: tuple[str, int] | None = None  # after which word, at which depth, a comma brings another
        self._calls: list[bool] = []  # for each open parenthesis, whether it is a function's
        self._is_name = False  # the word before was a target

    def word(self, word: str) -> None:
        """Take one word, qualified or not."""
        upper = word.upper()
        was_expected, self._is_name = self._expects, False
        if self._before in {"", ";"} and upper not in _COMMANDS and upper != "WITH":
            self.parts.append(upper)
        if upper in _COMMANDS and self._before not in _NO_COMMAND_AFTER:
            self._command = upper
            self.parts.append(upper)
            self._list = None
        if upper in _BEFORE_TARGET and self._may_expect(upper):
            if upper == "TABLE" and self._command == "":
                self.parts.append(upper)
            self._expects = upper
        elif was_expected and upper not in _BETWEEN:
            self._expects = ""
            if upper not in _COMMANDS:
                self._target(word, was_expected)
        if upper in _ENDS_LIST:
            self._list = None
        self._before = upper

    def _may_expect(self, upper: str) -> bool:
        if upper == "FROM":
            # EXTRACT(YEAR FROM …), IS DISTINCT FROM and COPY … FROM name no table.
            in_call = bool(self._calls) and self._calls[-1]
            return not in_call and self._before != "DISTINCT" and self._command != "COPY"
        if upper == "USING":
            return self._command in {"DELETE", "MERGE"}
        if upper == "UPDATE":
            return self._before not in _NO_COMMAND_AFTER
        return True

    def _target(self, word: str, after: str) -> None:
        if word.lower() not in self._local_names:
            self.targets.append(word)
            self.parts.append(word)
            self._is_name = after in _LISTS or after == "JOIN"
        if after in _LISTS:
            self._list = (after, len(self._calls))

    def mark(self, mark: str) -> None:
        """Take a parenthesis, a comma, a semicolon or what compares."""
        if mark == "(":
            if self._is_name and self._command not in {"", "COPY"}:
                # A function stands where a table could: it is none.
                self.targets.pop()
                self.parts.pop()
            self._calls.append(self._before not in _NO_CALL)
            self._expects = ""
        elif mark == ")":
            if self._calls:
                self._calls.pop()
            self._expects = ""
        elif mark == ",":
            expected = self._list is not None and self._list[1] == len(self._calls)
            self._expects = self._list[0] if self._list is not None and expected else ""
        elif mark == ";":
            self._command = self._expects = ""
            self._list = None
        self._before = mark
        self._is_name = False
