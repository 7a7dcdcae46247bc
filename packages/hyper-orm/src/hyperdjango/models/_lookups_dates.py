"""Transforms of dates and times: `born__year__gte=1990`, `published__date=…`.

Django docs: ref/models/querysets, "Field lookups".
"""

from collections.abc import Callable

from hyperdjango.models._dates import PARTS, as_date, as_time, check_part, extracted, iso_year_of, year_of
from hyperdjango.models._nodes import Node
from hyperdjango.models.lookups import transform

transform("year", "date", "timestamp")(year_of)
transform("iso_year", "date", "timestamp")(iso_year_of)
transform("date", "timestamp")(as_date)
transform("time", "timestamp")(as_time)


def _part(part: str) -> Callable[[Node], Node]:
    def build(node: Node) -> Node:
        check_part(node, part, part)
        return extracted(node, part)

    return build


for _name in PARTS:
    if _name in {"hour", "minute", "second"}:
        transform(_name, "timestamp", "time", "interval")(_part(_name))
    elif _name not in {"year", "iso_year"}:
        transform(_name, "date", "timestamp")(_part(_name))
