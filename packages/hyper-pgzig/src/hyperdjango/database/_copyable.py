"""Whether COPY does the same as an INSERT for each set of values: for `execute_many(…, copy=True)`.

In doubt it does not. Looked at is the text, which must be a plain INSERT of one value per column, and the
table in the catalogs, in the transaction in which the first set was inserted: that keeps the table as it is
until the end. What would tell the two apart: COPY is one statement, so triggers, and functions that read the
table, would see other rows than a statement for each set does; and it knows no rules, no row security and no
GENERATED ALWAYS.
PostgreSQL docs: sql-copy, "Notes"; sql-insert; rules.
"""

import re
from typing import Final, NamedTuple

from hyperdjango.database._copy import Table
from hyperdjango.database._identifiers import quote_identifier

_NAME: Final = r'(?:"(?:[^"\0]|"")+"|[^\W\d][\w$]*)'
_INSERT: Final = re.compile(
    rf"""\s* insert \s+ into \s+ (?P<table>{_NAME}(?:\s*\.\s*{_NAME})?) \s*
         \( \s* (?P<columns>{_NAME}(?:\s*,\s*{_NAME})*) \s* \) \s*
         values \s* \( \s* (?P<values>\$\d+(?:\s*,\s*\$\d+)*) \s* \) \s* ;? \s*""",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)
_PART: Final = re.compile(_NAME, re.ASCII)
_NAME_SIZE_MAX: Final = 63

# $1: the table, as the text names it. $2: the columns that get values. A function called by an expression
# can do anything, and so can an operator that somebody has made; `nextval`, `now` and what is no call are the
# same for both. On PostgreSQL's own functions and operators nothing is said to depend.
CHECK: Final = r"""
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1::pg_catalog.text::pg_catalog.regclass
  AND c.relkind = 'r' AND NOT c.relhasrules AND NOT c.relrowsecurity
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint o
    WHERE o.conrelid = c.oid
      AND (o.confrelid = c.oid OR pg_catalog.pg_get_expr(o.conbin, o.conrelid) ~ '[\w"]\('))
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i
    WHERE i.indrelid = c.oid
      AND (pg_catalog.pg_get_expr(i.indexprs, i.indrelid) ~ '[\w"]\('
           OR pg_catalog.pg_get_expr(i.indpred, i.indrelid) ~ '[\w"]\('))
  AND coalesce(pg_catalog.pg_get_partition_constraintdef(c.oid), '') !~ '[\w"]\('
  AND NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_depend d
    WHERE d.refclassid IN ('pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass)
      AND (
        (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid IN (
          SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid))
        OR (d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid IN (
          SELECT o.oid FROM pg_catalog.pg_constraint o WHERE o.conrelid = c.oid))
        OR (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid IN (
          SELECT f.oid FROM pg_catalog.pg_attrdef f WHERE f.adrelid = c.oid))))
  AND NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_type e ON e.oid = y.typelem AND y.typelem <> 0
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND CASE
        WHEN a.attname = ANY($2::pg_catalog.text[]) THEN
          a.attidentity = 'a' OR a.attgenerated <> ''
          OR y.typtype NOT IN ('b', 'e') OR coalesce(e.typtype, 'b') NOT IN ('b', 'e')
        ELSE
          y.typtype = 'd' OR pg_catalog.regexp_replace(
            coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''),
            '^(nextval\(''[^'']*''::regclass\)|now\(\))$', '') ~ '[\w"]\('
      END)
"""


class Insert(NamedTuple):
    """A plain INSERT taken apart.

    Attributes:
        table: As it stands in the text.
        columns: Their names, as the catalogs have them.
    """

    table: str
    columns: list[str]

    def copying(self, row: tuple[str, str]) -> Table:
        """Return what takes its records. `row`: of CHECK."""
        schema, name = row
        quoted = f"{quote_identifier(schema)}.{quote_identifier(name)}"
        return Table(quoted, name, self.columns)


def parse(sql: str) -> Insert | None:
    """Take `INSERT INTO table (columns) VALUES ($1, $2 …)` apart; None is a text that is more than that."""
    match = _INSERT.fullmatch(sql)
    if match is None:
        return None
    columns = [_unquoted(part) for part in _PART.findall(match["columns"])]
    numbers = [int(number) for number in re.findall(r"\d+", match["values"])]
    is_plain = numbers == list(range(1, len(columns) + 1)) and len(set(columns)) == len(columns)
    if any(len(name.encode()) > _NAME_SIZE_MAX for name in columns):
        return None  # the server cuts it off
    return Insert(match["table"], columns) if is_plain else None


def _unquoted(name: str) -> str:
    """The name as the catalogs have it. Without quotes it has ASCII letters alone, whose folding is known."""
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    return name.lower()
