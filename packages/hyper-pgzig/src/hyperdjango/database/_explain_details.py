"""What stands below the first line of a plan's node in PostgreSQL's text: conditions, counts, memory, blocks.

Used by `_explain_text` and, for a node's details, by the page. EXPLAIN's JSON has the properties in the
order of the text's lines; some lines take several, some properties are left out where they are 0 or false.
What is not known here is printed as `Name: value`, as PostgreSQL prints most.
PostgreSQL docs: using-explain, "EXPLAIN ANALYZE".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from hyperdjango.database._explain_node import ExplainNode, as_number
from hyperdjango.database._explain_title import TITLE_PROPERTIES, bare_actuals, target_of

Properties = Mapping[str, Any]
INDENT: Final = "  "

# Said only where they say something.
_SILENT_AT_ZERO: Final = frozenset({"Subplans Removed", "Disabled", "Single Copy", "Inner Unique"})
_SPACES: Final = ("Shared", "Local", "Temp")


def details(node: ExplainNode, *, is_verbose: bool = False) -> list[str]:
    """Return the lines below the first one, not indented.

    Args:
        node: The node.
        is_verbose: The plan was asked for with VERBOSE.
    """
    properties: Properties = node.properties
    if not is_verbose and "Inner Unique" in properties:
        properties = {name: value for name, value in properties.items() if name != "Inner Unique"}
    return list(_lines(properties, node.text("Operation") or node.node_type))


def _lines(properties: Properties, kind: str) -> Iterator[str]:
    done: set[str] = set()
    special = {**_LINES, **_LINES_OF_KIND.get(kind, {})}
    for name, value in properties.items():
        if name in TITLE_PROPERTIES or name in done:
            continue
        if name in special:
            names, make = special[name]
            done.update(names)
            yield from filter(None, make(properties, kind))
        elif not _is_silent(name, value):
            yield from any_property(name, value)


def _is_silent(name: str, value: object) -> bool:
    return (name in _SILENT_AT_ZERO or name.startswith("Rows Removed by ")) and not value


def any_property(name: str, value: object) -> Iterator[str]:
    """Yield the lines of a property of which nothing else is known."""
    if isinstance(value, Mapping):
        yield f"{name}:"
        for inner, each in cast("Properties", value).items():
            # One level is as deep as PostgreSQL goes; what is deeper is shown as it is.
            yield f"{INDENT}{inner}: {_plain(each)}"
    else:
        yield f"{name}: {_plain(value)}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(each if isinstance(each, str) else str(each) for each in cast("list[object]", value))
    return str(value)


def _objects(value: object) -> list[Properties]:
    if not isinstance(value, list):
        return []
    return [cast("Properties", each) for each in cast("list[object]", value) if isinstance(each, Mapping)]


def _number(properties: Properties, name: str) -> float:
    return as_number(properties.get(name)) or 0


def _counts(properties: Properties, names: Sequence[tuple[str, str]], digits: int = 0) -> str:
    """Return `label=number` for those that are not 0."""
    found = ((label, _number(properties, name)) for label, name in names)
    return " ".join(f"{label}={number:.{digits}f}" for label, number in found if number > 0)


# Lines that take several properties, and properties that take several lines.


def _sort(properties: Properties, _: str) -> Iterator[str]:
    space, method = properties.get("Sort Space Type"), properties.get("Sort Method")
    yield f"Sort Method: {method}  {space}: {_number(properties, 'Sort Space Used'):.0f}kB"


_SORT_GROUPS: Final = ("Full-sort Groups", "Pre-sorted Groups")


def _sort_groups(properties: Properties, _: str) -> Iterator[str]:
    for name in _SORT_GROUPS:
        group = properties.get(name)
        if isinstance(group, Mapping):
            yield _sort_group(name, cast("Properties", group))


def _sort_group(name: str, group: Properties) -> str:
    used = group.get("Sort Methods Used")
    methods = cast("list[object]", used) if isinstance(used, list) else []
    parts = [f"{name}: {_number(group, 'Group Count'):.0f}"]
    parts.append(f"Sort Method{'s' if len(methods) > 1 else ''}: {', '.join(map(str, methods))}")
    for space in ("Memory", "Disk"):
        figures = group.get(f"Sort Space {space}")
        if isinstance(figures, Mapping):
            known = cast("Properties", figures)
            parts.append(f"Average {space}: {_number(known, 'Average Sort Space Used'):.0f}kB")
            parts.append(f"Peak {space}: {_number(known, 'Peak Sort Space Used'):.0f}kB")
    return "  ".join(parts)


_HASH: Final = (
    *("Hash Buckets", "Original Hash Buckets", "Hash Batches", "Original Hash Batches"),
    "Peak Memory Usage",
)


def _hash(properties: Properties, _: str) -> Iterator[str]:
    now = [_number(properties, f"Hash {what}") for what in ("Buckets", "Batches")]
    before = [_number(properties, f"Original Hash {what}") for what in ("Buckets", "Batches")]
    shown = [
        f"{number:.0f}" if now == before else f"{number:.0f} (originally {original:.0f})"
        for number, original in zip(now, before, strict=True)
    ]
    memory = _number(properties, "Peak Memory Usage")
    yield f"Buckets: {shown[0]}  Batches: {shown[1]}  Memory Usage: {memory:.0f}kB"


_HASH_AGGREGATE: Final = ("Planned Partitions", "HashAgg Batches", "Peak Memory Usage", "Disk Usage")


def _hash_aggregate(properties: Properties, _: str) -> Iterator[str]:
    parts: list[str] = []
    if partitions := _number(properties, "Planned Partitions"):
        parts.append(f"Planned Partitions: {partitions:.0f}")
    if "HashAgg Batches" in properties:
        batches = _number(properties, "HashAgg Batches")
        parts.append(f"Batches: {batches:.0f}")
        parts.append(f"Memory Usage: {_number(properties, 'Peak Memory Usage'):.0f}kB")
        if batches > 1:
            parts.append(f"Disk Usage: {_number(properties, 'Disk Usage'):.0f}kB")
    yield "  ".join(parts)


_MEMOIZE: Final = ("Hits", "Misses", "Evictions", "Overflows")


def _memoize(properties: Properties, _: str) -> Iterator[str]:
    counts = (f"{name}: {_number(properties, f'Cache {name}'):.0f}" for name in _MEMOIZE)
    yield f"{'  '.join(counts)}  Memory Usage: {_number(properties, 'Peak Memory Usage'):.0f}kB"


def _storage(properties: Properties, _: str) -> Iterator[str]:
    most = _number(properties, "Maximum Storage")
    yield f"Storage: {properties.get('Storage')}  Maximum Storage: {most:.0f}kB"


def _heap_blocks(properties: Properties, _: str) -> Iterator[str]:
    found = _counts(properties, (("exact", "Exact Heap Blocks"), ("lossy", "Lossy Heap Blocks")))
    yield f"Heap Blocks: {found}" if found else ""


def _sampling(properties: Properties, _: str) -> Iterator[str]:
    seed = properties.get("Repeatable Seed")
    repeatable = "" if seed is None else f" REPEATABLE ({seed})"
    parameters = _plain(properties.get("Sampling Parameters", []))
    yield f"Sampling: {properties.get('Sampling Method')} ({parameters}){repeatable}"


_MERGED: Final = ("Tuples Inserted", "Tuples Updated", "Tuples Deleted", "Tuples Skipped")


def _merged(properties: Properties, _: str) -> Iterator[str]:
    found = _counts(properties, [(name.split()[1].lower(), name) for name in _MERGED])
    yield f"Tuples: {found}" if found else ""


_BUFFERS: Final = {
    f"{space} {what} Blocks": (space.lower(), what.lower())
    for space in _SPACES
    for what in ("Hit", "Read", "Dirtied", "Written")
}


def buffers(properties: Properties, _: str = "") -> Iterator[str]:
    """Yield the line of blocks; nothing where there were none."""
    parts: list[str] = []
    for space in _SPACES:
        names = [(what, name) for name, (each, what) in _BUFFERS.items() if each == space.lower()]
        if found := _counts(properties, names):
            parts.append(f"{space.lower()} {found}")
    if parts:
        yield f"Buffers: {', '.join(parts)}"


# Up to PostgreSQL 16 the times of shared and local blocks are one.
_TIMED: Final = {
    "shared/local": "I/O",
    "shared": "Shared I/O",
    "local": "Local I/O",
    "temp": "Temp I/O",
}
_TIMINGS: Final = [f"{kind} {what} Time" for kind in _TIMED.values() for what in ("Read", "Write")]


def io_timings(properties: Properties, _: str = "") -> Iterator[str]:
    """Yield the line of times, which `track_io_timing` measures; nothing where there were none."""
    parts: list[str] = []
    for label, kind in _TIMED.items():
        names = [(what.lower(), f"{kind} {what} Time") for what in ("Read", "Write")]
        if found := _counts(properties, names, 3):
            parts.append(f"{label} {found}")
    if parts:
        yield f"I/O Timings: {', '.join(parts)}"


_WAL: Final = {
    "WAL Records": "records",
    "WAL FPI": "fpi",
    "WAL Bytes": "bytes",
    "WAL Buffers Full": "buffers full",
}


def _wal(properties: Properties, _: str) -> Iterator[str]:
    found = _counts(properties, [(label, name) for name, label in _WAL.items()])
    yield f"WAL: {found}" if found else ""


def _workers(properties: Properties, kind: str) -> Iterator[str]:
    for worker in _objects(properties.get("Workers")):
        yield from _worker(worker, kind)


def _worker(worker: Properties, kind: str) -> Iterator[str]:
    """Yield the lines of one parallel worker: the first behind its number, the rest below."""
    lines = [f"actual {inner}"] if (inner := bare_actuals(dict(worker))) else []
    lines += _lines({name: value for name, value in worker.items() if name != "Worker Number"}, kind)
    number = f"Worker {_number(worker, 'Worker Number'):.0f}:  "
    for index, line in enumerate(lines):
        yield f"{INDENT}{line}" if index else number + line


def _grouping_sets(properties: Properties, _: str) -> Iterator[str]:
    for group in _objects(properties.get("Grouping Sets")):
        indent = ""
        if "Sort Key" in group:
            yield f"Sort Key: {_plain(group['Sort Key'])}"
            indent = INDENT
        for name in ("Group Key", "Hash Key"):
            sets = group.get(f"{name}s")
            for keys in cast("list[object]", sets) if isinstance(sets, list) else []:
                yield f"{indent}{name}: {_plain(keys) if keys else '()'}"


def _target_tables(properties: Properties, operation: str) -> Iterator[str]:
    for table in _objects(properties.get("Target Tables")):
        yield f"{operation} on {target_of(dict(table))}"


_Line = tuple[Sequence[str], Callable[[Properties, str], Iterator[str]]]


def _by_each(names: Sequence[str], make: Callable[[Properties, str], Iterator[str]]) -> dict[str, _Line]:
    return dict.fromkeys(names, (names, make))


# By each of its properties: all of a line's, and what makes it.
_LINES: Final[dict[str, _Line]] = {
    **_by_each(("Sort Method", "Sort Space Used", "Sort Space Type"), _sort),
    **_by_each(_SORT_GROUPS, _sort_groups),
    **_by_each(("Storage", "Maximum Storage"), _storage),
    **_by_each(("Exact Heap Blocks", "Lossy Heap Blocks"), _heap_blocks),
    **_by_each(("Sampling Method", "Sampling Parameters", "Repeatable Seed"), _sampling),
    **_by_each(list(_BUFFERS), buffers),
    **_by_each(_TIMINGS, io_timings),
    **_by_each(list(_WAL), _wal),
    **_by_each(["Workers"], _workers),
    **_by_each(["Grouping Sets"], _grouping_sets),
    **_by_each(["Target Tables"], _target_tables),
}
# Those whose properties mean something else at other nodes.
_LINES_OF_KIND: Final[dict[str, dict[str, _Line]]] = {
    "Hash": _by_each(_HASH, _hash),
    "Aggregate": _by_each(_HASH_AGGREGATE, _hash_aggregate),
    "Memoize": _by_each([*(f"Cache {name}" for name in _MEMOIZE), "Peak Memory Usage"], _memoize),
    "Merge": _by_each(_MERGED, _merged),
}
