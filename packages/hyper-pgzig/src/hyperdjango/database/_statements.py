"""Looks at SQL text as far as the driver must: whether it holds more than one statement, how it begins.

PostgreSQL docs: sql-syntax-lexical, "Lexical Structure".
"""

import re
from typing import Final

# One thing in which a semicolon does not end a statement, or the semicolon itself. Block comments nest and
# are walked by hand. An escape string (E'…') knows backslashes, an ordinary one does not.
_TOKEN: Final = re.compile(
    r"""
      (?P<escape>(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<string>'(?:[^']|'')*')
    | (?P<identifier>"(?:[^"]|"")*")
    | (?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<semicolon>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"\s+|--[^\n]*|(?P<block>/\*)")
_WORD: Final = re.compile(r"\w+|.", re.DOTALL)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")


def is_script(sql: str) -> bool:
    """Whether something but white space and comments follows a semicolon that ends a statement.

    What cannot be told apart from a script, such as the body of an SQL-standard function, counts as one:
    the simple protocol, by which scripts are sent, runs a single statement just as well.
    """
    if ";" not in sql:
        return False
    position = 0
    has_ended = False
    while True:
        match = _TOKEN.search(sql, position)
        between = sql[position : match.start()] if match else sql[position:]
        if has_ended and between.strip():
            return True
        if match is None:
            return False
        position = match.end()
        if match["semicolon"]:
            has_ended = True
        elif match["block"]:
            position = _end_of_comment(sql, position)
        elif has_ended and not match["line"]:
            return True


def without_comments(sql: str) -> str:
    """Return the text with a space in place of each comment."""
    if "--" not in sql and "/*" not in sql:
        return sql
    kept: list[str] = []
    position = start = 0
    while (match := _TOKEN.search(sql, position)) is not None:
        position = match.end()
        if match["block"] or match["line"]:
            if match["block"]:
                position = _end_of_comment(sql, position)
            kept += [sql[start : match.start()], " "]
            start = position
    return "".join([*kept, sql[start:]])


def after_comments(sql: str) -> int:
    """Return where the first thing of the text begins that is neither white space nor a comment."""
    position = 0
    while match := _SPACE.match(sql, position):
        position = _end_of_comment(sql, match.end()) if match["block"] else match.end()
    return position


def first_word(sql: str) -> str:
    """Return the first word of a text, or the first other character; empty where only comments are."""
    found = _WORD.match(sql, after_comments(sql))
    return found[0] if found else ""


def _end_of_comment(sql: str, position: int) -> int:
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(sql, position)
        if edge is None:
            return len(sql)
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return position
