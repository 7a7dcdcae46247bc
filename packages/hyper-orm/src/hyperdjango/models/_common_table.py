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
    state: State,
    cursor: "Cursor",
    name: str,
    other: State,
    on: Mapping[str, str],
    step: State | None = None,
) -> State:
    """WITH name AS (…), and the join to it.

    Raises:
        FieldError: The other queryset gives instances, or a name is not known; or `step` does not go on from it.
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
    if step is not None:
        table = _recursive(table, step, cursor.skip(step.param_count))
    extra: dict[str, Any] = {**state.extra, name: source}
    return state.evolve(ctes=(*state.ctes, table), extra=extra)


def _recursive(table: CommonTable, step: State, offset: int) -> CommonTable:
    """The common table, with the rows that follow from its own."""
    from hyperdjango.models._compile import output_fields

    said = f"with_cte({table.name!r}, recursive=…)"
    own = next((one for one in step.ctes if one.name == table.name and one.state is table.state), None)
    if own is None:
        raise FieldError(
            f"{said} goes on from the rows that there are: a queryset that has the same common table itself, by "
            f"with_cte({table.name!r}, …) of the same queryset"
        )
    if (
        step.mode == "model"
        or step.is_grouped
        or step.is_sliced
        or step.combined
        or step.distinct is not None
    ):
        raise FieldError(
            f"{said} is plain values(): neither instances nor groups, slices, unions or distinct()"
        )
    if step.outers:
        raise FieldError(f"{said} stands in front, where there is nothing around it")
    check_one_database(table.state.model._table, step.model._table, said)
    first, next_ = ([name for name, _ in output_fields(one)] for one in (table.state, step))
    if first != next_:
        raise FieldError(f"{said} gives {', '.join(next_)}; the first rows have {', '.join(first)}")
    alone = step.evolve(ctes=tuple(one for one in step.ctes if one is not own))
    return table._replace(step=alone, step_offset=offset, step_source=step.extra[table.name])
