"""`with_cte()`: a queryset as a named subquery in front of the statement, joined to its rows.

PostgreSQL docs: queries-with, "WITH Queries".
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hyperdjango.models._common_table_source import CommonTableSource
from hyperdjango.models._nodes import Node
from hyperdjango.models._one_database import check_one_database
from hyperdjango.models._state import CommonTable, State
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import F

if TYPE_CHECKING:
    from hyperdjango.models._shapes import Cursor


def with_common_table(
    state: State, cursor: "Cursor", name: str, other: State, on: Mapping[str, str]
) -> State:
    """WITH name AS (…), and the join to it.

    Raises:
        FieldError: The other queryset gives instances, or a name is not known.
    """
    from hyperdjango.models._compile import output_fields
    from hyperdjango.models._steps import check_alias, resolved

    check_alias(state, name)
    if name in state.extra or name in state.annotations:
        raise FieldError(f"{name!r} is taken; choose another name")
    if state.is_sliced or state.combined:
        raise FieldError("with_cte() comes before slices and unions")
    if other.mode == "model":
        raise FieldError(
            f"with_cte({name!r}): a common table has named columns: use values() on its queryset"
        )
    if other.outers:
        raise FieldError(
            f"with_cte({name!r}): a common table stands in front, where there is nothing around it"
        )
    check_one_database(state.model._table, other.model._table, f"with_cte({name!r})")
    source = CommonTableSource(state.root, name, dict(output_fields(other)))
    pairs: list[tuple[Node, str]] = []
    for mine, theirs in on.items():
        node = resolved(state, F(mine), state.scope(), cursor, f"with_cte({name!r})")
        pairs.append((node, source.column(theirs, f"on={{{mine!r}: {theirs!r}}}").name))
    source.pairs = tuple(pairs)
    table = CommonTable(name, other, cursor.skip(other.param_count))
    extra: dict[str, Any] = {**state.extra, name: source}
    return state.evolve(ctes=(*state.ctes, table), extra=extra)
