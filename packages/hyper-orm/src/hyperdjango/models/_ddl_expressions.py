"""Conditions and expressions of a model as SQL text, for DDL: of CHECK, indexes, generated columns, DEFAULT.

They come as SQL text of the application's own, or as the Qs and Expressions that queries use; the values of
those are written as constants, for DDL takes no parameters.
"""

from typing import TYPE_CHECKING, Any

from hyperdjango.database._identifiers import quote_identifier
from hyperdjango.models._literals import literal
from hyperdjango.models._nodes import Source
from hyperdjango.models._scope import Many, Scope
from hyperdjango.models._shapes import Cursor
from hyperdjango.models._writer import Frame, Writer
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression
from hyperdjango.models.query_words import Q

if TYPE_CHECKING:
    from hyperdjango.models._nodes import Select
    from hyperdjango.models.model import Model


def expression_sql(model: "type[Model]", expression: Any) -> str:
    """Return SQL text: the text itself, or what a Q or an Expression comes to over the model's own columns.

    Raises:
        FieldError: A name in it is not known, or leads to another table.
    """
    return expression if isinstance(expression, str) else compile_for_ddl(model, expression)


def default_sql(model: "type[Model]", default: Any) -> str:
    """Return what stands behind DEFAULT: SQL text, an Expression, or a value that is written as a constant."""
    if isinstance(default, str):
        return f"({default})"
    return f"({compile_for_ddl(model, default)})" if isinstance(default, Expression) else literal(default)


def compile_for_ddl(model: "type[Model]", expression: "Q | Expression") -> str:
    """Return a Q or an Expression as SQL text without parameters.

    Raises:
        FieldError: A name in it is not known, or leads to another table.
    """
    table = model._table
    source, cursor, writer = Source(table), Cursor(0), _DdlWriter(model)
    try:
        node = expression.resolve(Scope(source, {}), cursor)
    except Many as many:
        raise _elsewhere(model, str(many)) from None
    # A column is known by its table's name there, as in a query by an alias.
    frame = Frame(None, (source,), 0)
    frame.aliases[source] = quote_identifier(table.name)
    writer.frame = frame
    node.write(writer)
    if frame.joins:
        raise _elsewhere(model, str(frame.joins[0][0].table.name))
    return "".join(
        piece if isinstance(piece, str) else literal(_adapted(cursor, piece, expression.params[piece]))
        for piece in writer.pieces
    )


class _DdlWriter(Writer):
    """Writes what DDL takes: no subqueries, which would look at other rows."""

    def __init__(self, model: "type[Model]") -> None:
        super().__init__()
        self.model = model

    def select(self, select: "Select") -> None:
        raise _elsewhere(self.model, select.roots[0].table.name if select.roots else "a subquery")


def _adapted(cursor: Cursor, index: int, value: Any) -> Any:
    adapter = cursor.adapters.get(index)
    return value if adapter is None else adapter(value)


def _elsewhere(model: "type[Model]", name: str) -> FieldError:
    return FieldError(f"{model.__name__}: {name!r} is of another table, which DDL of this one cannot look at")
