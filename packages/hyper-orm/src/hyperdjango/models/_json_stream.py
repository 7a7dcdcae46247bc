"""`stream_json()`: the rows of a queryset as one JSON array, in pieces, made by the backend.

Each row is the backend's own JSON, so no Python object is made of any value; docs/json.md says how types look.
PostgreSQL docs: functions-json, "row_to_json".
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from hyperdjango.models import _compile
from hyperdjango.models._hydration import loaded_columns
from hyperdjango.models._nodes import Ref
from hyperdjango.models._writer import Frame, Writer
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._nodes import Node
    from hyperdjango.models._state import State


async def stream_json(queryset: Any, chunk: int) -> AsyncGenerator[bytes, None]:
    """Yield the array in pieces of `chunk` rows; see `QuerySet.stream_json`."""
    statement = statement_of(queryset)
    database = queryset._database(is_write=statement.locks)
    rows: list[str] = []
    before = "["
    values = statement.values(queryset._params)
    async with aclosing(database.stream(statement.sql, *values, chunk=chunk, into=tuple)) as stream:
        async for row in stream:
            rows.append(row[0])
            if len(rows) == chunk:
                yield (before + ",".join(rows)).encode()
                rows, before = [], ","
    if not rows:
        before = "[" if before == "[" else ""
    yield (before + ",".join(rows) + "]").encode()


def statement_of(queryset: Any) -> _compile.Statement:
    """The statement that gives each row as JSON.

    Raises:
        FieldError: What is asked for is more than the columns of a row.
    """
    state: State = queryset._state
    if queryset._prefetches or state.related:
        raise FieldError(
            f"stream_json() of {state.model.__name__} gives the columns of each row: name those of relations in "
            "values(), or use model_dump_json() of instances"
        )
    if state.mode == "model" and state.combined:
        raise FieldError("stream_json() of querysets that are put together needs values() on each of them")
    return _compile.statement(state, "json", _compiled)


def _compiled(state: "State") -> _compile.Statement:
    rows = state
    if state.mode == "model":
        fields: list[tuple[str, Node]] = [
            (column.name, Ref(state.root, column)) for column in loaded_columns(state, state.root, ())
        ]
        fields += [(name, state.annotations[name]) for name in state.selected]
        rows = state.evolve(mode="dict", fields=tuple(fields), deferred={})
    writer = Writer()
    writer.put("SELECT row_to_json(q)::text FROM (")
    writer.frame = Frame(None, (), 0)
    _compile.write_within(writer, rows, 0)
    writer.put(") AS q")
    text = writer.text()
    picks = None if len(text.used) == state.param_count else text.used
    return _compile.Statement(text.sql, picks, locks=text.locks)


__all__ = ["stream_json"]
