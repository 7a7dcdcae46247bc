"""Renders a description as SQL with literals, as someone would write it who does not know our ORM.

A condition is true or not: what SQL leaves unknown is not, on every level, which is what `IS TRUE` says. Every
relation is a subquery; there are no joins, so none can double a row.
"""

import json
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from oracle.descriptions import Column, FarRows, Group, Leaf, Missing, Part, Query
from oracle.schema import MODELS, ToOne


def text(query: Query) -> str:
    """The whole SELECT."""
    return _Rendering().query(query)


def literal(value: Any, kind: str) -> str:
    """A value in the text."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return f"({value})"
    if isinstance(value, float):
        return f"({value!r})::float8"
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'::timestamptz"
    if isinstance(value, date):
        return f"'{value.isoformat()}'::date"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(literal(one, kind) for one in value)}]::text[]"
    if isinstance(value, dict):
        return literal(json.dumps(value), kind) + "::jsonb"
    return "'" + str(value).replace("'", "''") + "'"


class _Rendering:
    def __init__(self) -> None:
        self.names = (f"t{number}" for number in count())

    def query(self, query: Query) -> str:
        known = MODELS[query.model]
        row = next(self.names)
        tests = [
            f"{'NOT ' if call == 'exclude' else ''}({self.part(part, query.model, row)})"
            for call, part in query.calls
        ]
        keys = ", ".join(f"{row}.{key.strip()}" for key in known.key.split(","))
        sql = f'SELECT {keys} FROM "{known.table}" {row} WHERE {" AND ".join(tests)}'
        if query.order:
            order = [
                f"{self.value(path, column, query.model, row)} {'DESC' if is_descending else 'ASC'}"
                for path, column, is_descending in query.order
            ]
            sql += f" ORDER BY {', '.join(order)}, {keys}"
        if query.count is not None:
            sql += f" LIMIT {query.count}"
        return sql + f" OFFSET {query.start}"

    def part(self, part: Part, model: str, row: str) -> str:
        """A condition that is never NULL."""
        if isinstance(part, Group):
            parts = [f"({self.part(one, model, row)})" for one in part.parts]
            if part.connector == "XOR":
                made = f"({' + '.join(f'{one}::int' for one in parts)}) % 2 = 1"
            else:
                made = f" {part.connector} ".join(parts)
            return f"NOT ({made})" if part.is_negated else made
        if isinstance(part, Missing):
            there = self.at(part.path, model, row, lambda _model, _row: "true")
            return f"NOT ({there})" if part.is_missing else there
        if isinstance(part, FarRows):
            return self.far(part, model, row)
        if part.lookup == "isnull":
            there = self.at(part.path, model, row, lambda _model, end: f"{end}.{part.column} IS NOT NULL")
            return f"NOT ({there})" if part.value else there
        return self.at(part.path, model, row, lambda end_model, end: self.leaf(part, end_model, end))

    def at(self, path: tuple[str, ...], model: str, row: str, make: Any) -> str:
        """There is a row at the end of a path, and something is true of it."""
        if not path:
            made: str = make(model, row)
            return f"({made}) IS TRUE"
        way: ToOne = MODELS[model].to_one[path[0]]
        far = next(self.names)
        inner = self.at(path[1:], way.model, far, make)
        table = MODELS[way.model].table
        return (
            f'EXISTS (SELECT FROM "{table}" {far} WHERE {far}.{way.remote} = {row}.{way.local} AND {inner})'
        )

    def value(self, path: tuple[str, ...], column: str, model: str, row: str) -> str:
        """The value of a column at the end of a path, NULL where there is no row."""
        if not path:
            return f"{row}.{column}"
        way = MODELS[model].to_one[path[0]]
        far = next(self.names)
        inner = self.value(path[1:], column, way.model, far)
        return f'(SELECT {inner} FROM "{MODELS[way.model].table}" {far} WHERE {far}.{way.remote} = {row}.{way.local})'

    def far(self, part: FarRows, model: str, row: str) -> str:
        way = MODELS[model].to_many[part.relation]
        far = next(self.names)
        tests = [way.rows.format(near=row, far=far)]
        tests += [f"({self.part(one, way.model, far)})" for one in part.parts]
        there = f'EXISTS (SELECT FROM "{MODELS[way.model].table}" {far} WHERE {" AND ".join(tests)})'
        return there if part.is_there else f"NOT {there}"

    def leaf(self, leaf: Leaf, _model: str, row: str) -> str:
        column, kind, value = f"{row}.{leaf.column}", leaf.kind, leaf.value
        if kind.startswith("enum"):
            column = f"{column}::text"
        if isinstance(value, Column):
            other = f"{row}.{value.name.rsplit('__', 1)[-1]}"
            right = f"{other}::text" if kind.startswith("enum") else other
        else:
            right = "" if isinstance(value, tuple) else literal(value, kind)
        match leaf.lookup:
            case "in":
                return f"{column} IN ({', '.join(literal(one, kind) for one in value)})" if value else "false"
            case "range":
                return f"{column} >= {literal(value[0], kind)} AND {column} <= {literal(value[1], kind)}"
            case "key":
                return f"{column} -> '{value[0]}' = {literal(json.dumps(value[1]), kind)}::jsonb"
            case "key__gt":
                return f"{column} -> '{value[0]}' > {literal(json.dumps(value[1]), kind)}::jsonb"
        return _SIMPLE[kind.split(":")[0], leaf.lookup].format(column=column, value=right)


_COMPARED = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_SIMPLE: dict[tuple[str, str], str] = {
    **{
        (kind, lookup): f"{{column}} {sign} {{value}}"
        for kind in ("text", "integer", "numeric", "float", "date", "timestamp", "boolean", "enum", "array")
        for lookup, sign in _COMPARED.items()
    },
    ("text", "iexact"): "upper({column}) = upper({value})",
    ("text", "contains"): "strpos({column}, {value}) > 0 OR {value} = '' AND {column} IS NOT NULL",
    (
        "text",
        "icontains",
    ): "strpos(upper({column}), upper({value})) > 0 OR {value} = '' AND {column} IS NOT NULL",
    ("text", "startswith"): "left({column}, length({value})) = {value}",
    ("text", "istartswith"): "left(upper({column}), length(upper({value}))) = upper({value})",
    (
        "text",
        "endswith",
    ): "right({column}, length({value})) = {value} OR {value} = '' AND {column} IS NOT NULL",
    ("text", "iendswith"): "right(upper({column}), length(upper({value}))) = upper({value})"
    " OR {value} = '' AND {column} IS NOT NULL",
    ("date", "year"): "extract(year from {column}) = {value}",
    ("date", "year__gt"): "extract(year from {column}) > {value}",
    ("date", "month"): "extract(month from {column}) = {value}",
    ("date", "quarter"): "extract(quarter from {column}) = {value}",
    ("date", "week_day"): "extract(dow from {column}) + 1 = {value}",
    ("timestamp", "year"): "extract(year from {column} at time zone 'UTC') = {value}",
    ("timestamp", "date"): "({column} at time zone 'UTC')::date = {value}",
    ("timestamp", "hour"): "extract(hour from {column} at time zone 'UTC') = {value}",
    ("array", "contains"): "{column} @> {value}",
    ("array", "contained_by"): "{column} <@ {value}",
    ("array", "overlap"): "{column} && {value}",
    ("array", "len"): "cardinality({column}) = {value}",
    ("array", "len__gt"): "cardinality({column}) > {value}",
    ("json", "has_key"): "{column} ? {value}",
    ("json", "contains"): "{column} @> {value}",
}
