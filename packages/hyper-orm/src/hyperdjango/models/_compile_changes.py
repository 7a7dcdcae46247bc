"""Writes a State as UPDATE or DELETE, for `_changes`; `_compile` writes SELECT.

PostgreSQL docs: sql-update, sql-delete.
"""

from collections.abc import Callable
from typing import Any

from hyperdjango.models._compile import write_alone
from hyperdjango.models._nodes import Node, Ref
from hyperdjango.models._state import State
from hyperdjango.models._writer import Frame, Text, Writer
from hyperdjango.models.errors import FieldError


def update(state: State, assignments: "tuple[tuple[Any, Node], ...]", returning: list[Node] | None) -> Text:
    """UPDATE of all rows of a State."""
    writer = Writer()

    def write_head(alias: str) -> None:
        writer.put("UPDATE ")
        state.root.write_table(writer)
        writer.put(f" AS {alias} SET ")
        for position, (column, node) in enumerate(assignments):
            writer.put(", " if position else "")
            writer.name(column.column)
            writer.put(" = ")
            node.write(writer)

    _write_change(state, writer, write_head, returning)
    return writer.text()


def delete(state: State, returning: list[Node] | None) -> Text:
    """DELETE of all rows of a State."""
    writer = Writer()

    def write_head(alias: str) -> None:
        writer.put("DELETE FROM ")
        state.root.write_table(writer)
        writer.put(f" AS {alias}")

    _write_change(state, writer, write_head, returning)
    return writer.text()


def _write_change(
    state: State, writer: Writer, write_head: "Callable[[str], None]", returning: list[Node] | None
) -> None:
    frame = Frame(None, (state.root,), 0)
    writer.frame = frame
    alias = writer.alias(state.root)
    head = writer.capture(lambda: write_head(alias))
    if len(frame.joins) > 1:
        raise FieldError(
            f"update() of {state.model.__name__}: a value goes through a relation; use a Subquery for it"
        )
    plain = not (state.is_sliced or state.distinct is not None or state.is_grouped or state.combined)
    tail = writer.capture(lambda: _write_where(state, writer)) if plain else []
    if len(frame.joins) > 1 or not plain:
        del frame.joins[1:]
        frame.aliases = {state.root: alias}
        tail = writer.capture(lambda: _write_keys(state, writer, alias))
    writer.pieces += head
    writer.pieces += tail
    if returning is not None:
        writer.put(" RETURNING ")
        writer.nodes(returning)
        if len(frame.joins) > 1:
            raise FieldError("returning() gives columns of the row itself; no relation is joined there")


def _write_where(state: State, writer: Writer) -> None:
    if state.is_empty:
        writer.put(" WHERE false")
        return
    for position, node in enumerate(state.where):
        writer.put(" AND " if position else " WHERE ")
        node.write(writer)


def _write_keys(state: State, writer: Writer, alias: str) -> None:
    """The rows by their keys: for what WHERE alone cannot say."""
    keys = state.model._table.primary_key
    writer.put(" WHERE (")
    for position, column in enumerate(keys):
        writer.put(f"{', ' if position else ''}{alias}.")
        writer.name(column.column)
    writer.put(") IN (")
    held, writer.frame = writer.frame, None
    fields = tuple((c.name, Ref(state.root, c)) for c in keys)
    inner = state.evolve(mode="tuple", fields=fields, related={}, distinct=state.distinct or None)
    write_alone(writer, inner)
    writer.frame = held
    writer.put(")")
