"""What both faces must know of COPY, without any waiting: its text, its table, and what its errors are about.

PostgreSQL docs: sql-copy; protocol-flow, "COPY Operations".
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from hyperdjango.database import _shape
from hyperdjango.database._deadline import check_timeout
from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.database._statements import after_comments, is_script, without_comments
from hyperdjango.database.errors import DatabaseError, InterfaceError, UndefinedTable
from hyperdjango.database.status import CommandStatus

if TYPE_CHECKING:
    from hyperdjango.database._native import native

# What `Connection.feed` and `advance` return beside the numbers of `_slot`.
WANTS_DATA: Final = 4
FULL: Final = 5

# A part of a COPY OUT: bytes as they came, or the rows that came in so many bytes.
PART_SIZE: Final = 128 * 1024

Format = Literal["binary", "text"]

_COPY: Final = re.compile(r"copy(?![\w$])", re.IGNORECASE)
# What is passed over while the way of the data is looked for: literals and quoted names.
_TOKEN: Final = re.compile(
    r"""
      (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$
    | (?P<open>[(\[])
    | (?P<close>[)\]])
    | (?P<word>[^\W\d][\w$]*)
    """,
    re.VERBOSE | re.DOTALL,
)

_NUMBER: Final = re.compile(r"[0-9]+")
# A name that is the same quoted, with its schema or without.
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}(?:\.[a-z_][a-z0-9_]{0,62})?", re.ASCII)

# The server resolves the name by its own rules, so nothing of it becomes SQL text of ours. A generated
# column is none that COPY takes.
TABLE: Final = """
SELECT n.nspname, c.relname,
       (SELECT pg_catalog.array_agg(a.attname ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1::pg_catalog.text::pg_catalog.regclass
"""


def lookup(name: str) -> tuple[str, tuple[str], int, None, bool, None]:
    """Return the arguments of a statement whose result is the row of `TABLE`, or None, for this table."""
    return TABLE, (name,), _shape.TUPLE, None, True, None


class CopyText(NamedTuple):
    """A COPY command taken apart, without its comments.

    Attributes:
        way: Where its data goes: `"in"` from STDIN, `"out"` to STDOUT, None to or from a file of the
            server's.
        target: The table with its columns, or the query in its parentheses.
        opens: Where in the target the parenthesis of the columns or the query is; None is all columns.
        options: What follows STDIN or STDOUT.
    """

    way: Literal["in", "out"] | None
    target: str
    opens: int | None
    options: str


def _begin(sql: str) -> int | None:
    """Return where the word COPY of a COPY command ends."""
    match = _COPY.match(sql, after_comments(sql))
    return match and match.end()


def is_copy(sql: str) -> bool:
    """Whether a text is a COPY command."""
    return _begin(sql) is not None


def parse(sql: str) -> CopyText | None:
    """Take a COPY command apart; None is another command."""
    begin = _begin(sql)
    if begin is None:
        return None
    text = without_comments(sql[begin:]).strip()
    depth = 0
    end: int | None = None
    opens: int | None = None
    for match in _TOKEN.finditer(text):
        if match["open"]:
            depth += 1
            if end is None and opens is None:
                opens = match.start()
        elif match["close"]:
            depth -= 1
        elif match["word"] and depth == 0:
            word = match["word"].lower()
            if end is None and word in {"from", "to"}:
                end = match.start()
            elif end is not None:
                way: Literal["in", "out"] | None = None
                if word in {"stdin", "stdout"}:
                    # The server takes either word for either way.
                    way = "in" if text[end : end + 4].lower() == "from" else "out"
                return CopyText(way, text[:end].strip(), opens, text[match.end() :].strip(" \t\r\n;"))
    return CopyText(None, text[:end].strip(), opens, "")


def check(sql: str, way: Literal["in", "out"]) -> CopyText:
    """Refuse what is no COPY in this direction, before anything is sent.

    Raises:
        InterfaceError: It is another command, several, or a COPY the other way.
    """
    text = None if is_script(sql) else parse(sql)
    if text is not None and text.way == way:
        return text
    wanted = "COPY … FROM STDIN" if way == "in" else "COPY … TO STDOUT"
    if is_script(sql):
        what = "it holds several statements"
    elif text is None:
        what = "it is another command"
    elif text.way is None:
        what = "it reads or writes a file of the server's: run it with execute(sql)"
    elif way == "in":
        what = "it is a COPY … TO STDOUT, whose data copy_out(sql) gives"
    else:
        what = "it is a COPY … FROM STDIN, which takes data: execute(sql, data)"
    raise InterfaceError(f"this must be one {wanted}; {what}")


class Table(NamedTuple):
    """A table as the catalogs have it.

    Attributes:
        name: Quoted, with its schema.
        relation: As the backend calls it where it complains of a row.
        columns: Their names, in order; those that can be copied.
    """

    name: str
    relation: str
    columns: list[str]

    @classmethod
    def plain(cls, table: str, columns: Sequence[str] | None) -> "Table | None":
        """Make it of what was given, where the name is plain and all columns are named."""
        if columns is None or _PLAIN.fullmatch(table) is None:
            return None
        parts = table.split(".")
        return cls(".".join(map(quote_identifier, parts)), parts[-1], list(columns))

    @classmethod
    def of(
        cls, name: str, row: tuple[str, str, list[str] | None] | None, columns: Sequence[str] | None
    ) -> "Table":
        """Make it of a row of `TABLE`.

        Args:
            name: What was looked up.
            row: Schema, name, and columns.
            columns: Those that are wanted; None is all.
        Raises:
            UndefinedTable: There is no such row: the name is an OID that no table has.
        """
        if row is None:
            raise UndefinedTable(f"relation {name!r} does not exist", sqlstate="42P01")
        schema, relation, own = row
        names = list(own or ()) if columns is None else list(columns)
        return cls(f"{quote_identifier(schema)}.{quote_identifier(relation)}", relation, names)

    def describing(self) -> str:
        """Return the query whose columns have the types that records are written by."""
        return f"SELECT {', '.join(map(quote_identifier, self.columns))} FROM {self.name}"

    def copying(self, form: Format) -> str:
        """Return the COPY that takes records."""
        columns = f" ({', '.join(map(quote_identifier, self.columns))})" if self.columns else ""
        return f"COPY {self.name}{columns} FROM STDIN (FORMAT {form})"


def check_records(table: object, columns: object, form: str | None) -> None:
    """Refuse what names no table, no columns or no format, before anything is sent.

    Raises:
        TypeError: The table or a column is no str, or `columns` is one.
        ValueError: There is no column, or the format is neither `"binary"` nor `"text"`.
    """
    if not isinstance(table, str):
        raise TypeError(f"the table's name must be a str, not {type(table).__name__}")
    if columns is not None:
        if isinstance(columns, str) or not isinstance(columns, Sequence):
            raise TypeError(f"columns must be a sequence of names, not {type(columns).__name__}")
        if not columns:
            raise ValueError("columns must name a column at least")
        for name in cast("Sequence[object]", columns):
            if not isinstance(name, str):
                raise TypeError(f"a column's name must be a str, not {type(name).__name__}")
    if form not in {None, "binary", "text"}:
        raise ValueError(f'format must be "binary" or "text", not {form!r}')


def format_of(described: "native.Request", wanted: Format | None) -> Format:
    """Return in which format records for these columns go: text where a column has no binary form."""
    if wanted is not None:
        return wanted
    return "binary" if described.binary_records else "text"


def note_place(error: DatabaseError, relation: str | None, first_set: int | None = None) -> None:
    """Say in a note which line of the data, or which record, the backend complains of, where it says so.

    Args:
        error: Its context may hold `COPY accounts, line 3, column owner: "…"`, behind the lines of a trigger
            perhaps. Whatever the server's language, the first number behind the name counts the lines.
        relation: The name, where records were copied.
        first_set: The number of the first record, where these are sets of `execute_many`.
    """
    begin = "COPY " if relation is None else f"COPY {relation}"
    line = next((each for each in (error.context or "").splitlines() if each.startswith(begin)), None)
    if line is None:
        return
    if first_set is None:
        error.add_note(line)
    number = None if relation is None else _NUMBER.search(line, len(begin))
    if number is None or not int(number[0]):
        return  # no records, or it has read none yet
    index = int(number[0]) - 1
    if first_set is None:
        error.add_note(f"in record {index}, counted from 0")
    else:
        error.add_note(f"in set {first_set + index} of execute_many, counted from 0")


def rows_text(text: CopyText) -> str:
    """Return the COPY in binary format of the same rows.

    Raises:
        ValueError: It has options, which are about another form of the data than rows.
    """
    if text.options:
        raise ValueError("with into= the rows come in binary format: leave the options of the COPY away")
    return f"COPY {text.target} TO STDOUT (FORMAT binary)"


def rows_source(text: CopyText) -> str | None:
    """Return the query whose columns the rows have; None is a table, all of its columns."""
    if text.opens is None:
        return None
    inside = text.target[text.opens + 1 : text.target.rindex(")")]
    table = text.target[: text.opens]
    return f"SELECT {inside} FROM {table}" if table else inside


def _nothing() -> None:
    """There is no generator yet."""


class Reading:
    """What a CopyOut and the generator that reads for it share.

    The generator must not know the CopyOut: dropped in the middle of a loop it then ends at once, or on an
    event loop a moment later, and not when the collector finds them.

    Attributes:
        sql: What is sent.
        text: What was given.
        has_rows: They are decoded; else there are bytes.
        status: The outcome, once all is read.
        items: The generator, where there is one still.
        is_spared: Left early inside a block, the rest is read, because cancelling would fail the transaction.
    """

    __slots__ = (
        "_is_begun",
        "has_rows",
        "is_spared",
        "items",
        "shape",
        "sql",
        "status",
        "target",
        "text",
        "timeout",
    )

    def __init__(self, sql: str, into: Callable[..., Any] | None, timeout: float | None) -> None:
        self.text = check(sql, "out")
        self.has_rows = into is not None
        self.sql = rows_text(self.text) if self.has_rows else sql
        self.shape: int = _shape.DISCARD
        self.target: Any = None
        if into is not None:
            self.shape, self.target = _shape.shape_of(into)
        self.timeout = check_timeout(timeout)
        self.status: CommandStatus | None = None
        self.items: Callable[[], Any] = _nothing
        self.is_spared = True
        self._is_begun = False

    def begin(self) -> None:
        """Somebody begins to read.

        Raises:
            InterfaceError: Somebody did already.
        """
        if self._is_begun:
            raise InterfaceError("the data of this COPY was read already: call copy_out() again")
        self._is_begun = True

    def check_bytes(self) -> None:
        """Refuse to write rows to a file.

        Raises:
            TypeError: There are rows and no bytes.
        """
        if self.has_rows:
            raise TypeError("with into= there are rows, which no file takes")

    def outcome(self) -> CommandStatus:
        """Return the status of what was read to its end."""
        assert self.status is not None
        return self.status
