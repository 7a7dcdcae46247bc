"""A text without the constants that were written into it, for `otel`: `WHERE mail = 'a@b.c'` as `WHERE mail = ?`.

Of a text without parameters nobody knows which of its constants were data. Comments go as well.
OpenTelemetry: semantic conventions, "Sanitization of db.query.text". PostgreSQL docs: sql-syntax-lexical.
"""

import re
from functools import lru_cache
from typing import Final

from hyperdjango.database._statements import without_comments

_CACHED: Final = 256

# Names first, and numbers of parameters, so that no digit of theirs is taken for a constant. A string that
# does not end is one up to the end of the text.
_TOKEN: Final = re.compile(
    r"""
      (?P<constant>
          [eE]'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)
        | (?:[bBnNxX]|[uU]&)?'(?:[^']|'')*(?:'|\Z)
        | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)
        | 0[xXoObB][\da-fA-F_]+
        | (?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?
      )
    | "(?:[^"]|"")*(?:"|\Z)
    | \$\d+
    | [^\W\d][\w$]*
    """,
    re.VERBOSE | re.DOTALL,
)


@lru_cache(_CACHED)
def without_constants(sql: str) -> str:
    """Return the text with a question mark for each string and number, and without comments."""
    return _TOKEN.sub(lambda match: "?" if match["constant"] else match[0], without_comments(sql)).strip()
