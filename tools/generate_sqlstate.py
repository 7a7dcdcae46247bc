"""Writes `hyperdjango/database/_sqlstate.py`: one exception class per SQLSTATE of PostgreSQL's own table.

Run by hand when a new PostgreSQL major comes, with one or more `errcodes.txt` (a server has it in its share
folder), the newest first. Older ones add codes that were dropped since; older servers still send them:

    python tools/generate_sqlstate.py --errcodes 18/errcodes.txt --errcodes 15/errcodes.txt
    python tools/generate_sqlstate.py --errcodes 18/errcodes.txt --errcodes 15/errcodes.txt --check

PostgreSQL docs: errcodes-appendix, "PostgreSQL Error Codes".
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

TARGET: Final = Path(__file__).parents[1] / "packages/hyper-pgzig/src/hyperdjango/database/_sqlstate.py"

# PEP 249's class for every code that begins so; a class that is not listed here is a plain DatabaseError.
BASES: Final[dict[str, str]] = {
    "08": "OperationalError",  # connection exception
    "0A": "NotSupportedError",  # feature not supported
    "0B": "InternalError",  # invalid transaction initiation
    "10": "DataError",  # XQuery error
    "20": "ProgrammingError",  # case not found
    "21": "ProgrammingError",  # cardinality violation
    "22": "DataError",  # data exception
    "23": "IntegrityError",  # integrity constraint violation
    "24": "InternalError",  # invalid cursor state
    "25": "InternalError",  # invalid transaction state
    "26": "ProgrammingError",  # invalid SQL statement name
    "27": "OperationalError",  # triggered data change violation
    "28": "OperationalError",  # invalid authorization specification
    "2B": "InternalError",  # dependent privilege descriptors still exist
    "2D": "InternalError",  # invalid transaction termination
    "2F": "OperationalError",  # SQL routine exception
    "34": "ProgrammingError",  # invalid cursor name
    "38": "OperationalError",  # external routine exception
    "39": "OperationalError",  # external routine invocation exception
    "3B": "InternalError",  # savepoint exception
    "3D": "ProgrammingError",  # invalid catalog name
    "3F": "ProgrammingError",  # invalid schema name
    "40": "OperationalError",  # transaction rollback
    "42": "ProgrammingError",  # syntax error or access rule violation
    "44": "ProgrammingError",  # WITH CHECK OPTION violation
    "53": "OperationalError",  # insufficient resources
    "54": "OperationalError",  # program limit exceeded
    "55": "OperationalError",  # object not in prerequisite state
    "57": "OperationalError",  # operator intervention
    "58": "OperationalError",  # system error
    "72": "OperationalError",  # snapshot failure
    "F0": "OperationalError",  # configuration file error
    "HV": "OperationalError",  # foreign data wrapper error
    "P0": "ProgrammingError",  # PL/pgSQL error
    "XX": "InternalError",  # internal error
}
# The table uses a few condition names twice; its macro names tell them apart by these prefixes.
MACRO_PREFIXES: Final[dict[str, str]] = {
    "ERRCODE_S_R_E_": "SqlRoutine",
    "ERRCODE_E_R_E_": "ExternalRoutine",
    "ERRCODE_E_R_I_E_": "ExternalRoutineInvocation",
}
SUCCESS: Final = "00"
WARNING: Final = "01"


class Condition(NamedTuple):
    """One line of the table: `23505 E ERRCODE_UNIQUE_VIOLATION unique_violation`."""

    sqlstate: str
    macro: str
    name: str


def read_table(text: str) -> list[Condition]:
    """Return the conditions of one errcodes.txt, in its order.

    Raises:
        ValueError: A line has another form than the one the file's own heading describes.
    """
    conditions: list[Condition] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or line.startswith(("#", "Section:")):
            continue
        if len(words) not in {3, 4} or len(words[0]) != 5 or words[1] not in {"E", "W", "S"}:
            raise ValueError(f"line {number}: not an error code line: {line!r}")
        if len(words) == 4:  # without a condition name the macro is a second name of a code listed elsewhere
            conditions.append(Condition(words[0], words[2], words[3]))
    return conditions


def merge(tables: Iterable[Sequence[Condition]]) -> list[Condition]:
    """Return every SQLSTATE once, as the first table that has it spells it, sorted by code."""
    merged: dict[str, Condition] = {}
    for table in tables:
        for condition in table:
            if not condition.sqlstate.startswith(SUCCESS):
                merged.setdefault(condition.sqlstate, condition)
    return [merged[sqlstate] for sqlstate in sorted(merged)]


def class_names(conditions: Sequence[Condition]) -> dict[str, str]:
    """Return SQLSTATE to class name; no two are equal, none is one of PEP 249's."""
    uses = Counter(condition.name for condition in conditions if not condition.sqlstate.startswith(WARNING))
    names: dict[str, str] = {}
    for sqlstate, macro, condition in conditions:
        name = "".join(word.capitalize() for word in condition.split("_"))
        if sqlstate.startswith(WARNING):
            name = "SqlWarning" if name == "Warning" else f"{name}Warning"
        elif uses[condition] > 1:
            prefixes = [long for short, long in MACRO_PREFIXES.items() if macro.startswith(short)]
            name = f"{prefixes[0]}{name}" if prefixes else name
        if name in set(BASES.values()):
            name += "_"
        names[sqlstate] = name
    doubles = [name for name, count in Counter(names.values()).items() if count > 1]
    if doubles:
        raise ValueError(f"two SQLSTATEs would share a class name: {', '.join(doubles)}")
    return names


def render(conditions: Sequence[Condition]) -> str:
    """Return the module's text."""
    names = class_names(conditions)
    bases = {sqlstate: BASES.get(sqlstate[:2], "DatabaseError") for sqlstate in names}
    lines = [
        "# Generated by tools/generate_sqlstate.py; do not edit.",
        "# The names are the server's: they don't end in Error, and two of them are builtins too.",
        "# ruff: noqa: A001, N801, N818",
        '"""One exception class per SQLSTATE, below PEP 249\'s tree. Users import them from `errors`.',
        "",
        'PostgreSQL docs: errcodes-appendix, "PostgreSQL Error Codes".',
        '"""',
        "",
        "from typing import Final",
        "",
        "from hyperdjango.database._error_tree import (",
        *(f"    {base}," for base in sorted({*BASES.values(), "DatabaseError"}, key=str.lower)),
        ")",
        "",
    ]
    for sqlstate, _, condition in conditions:
        lines += [
            "",
            f"class {names[sqlstate]}({bases[sqlstate]}):",
            f'    """{sqlstate} {condition}."""',
            "",
            f'    sqlstate = "{sqlstate}"',
            "",
        ]
    lines += ["", "BY_SQLSTATE: Final[dict[str, type[DatabaseError]]] = {"]
    lines += [f'    "{sqlstate}": {name},' for sqlstate, name in names.items()]
    lines += ["}", "", "BY_CLASS: Final[dict[str, type[DatabaseError]]] = {"]
    lines += [f'    "{prefix}": {base},' for prefix, base in BASES.items()]
    lines += ["}", "", "__all__ = ["]
    lines += [f'    "{name}",' for name in sorted(names.values())]
    lines += ["]", ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the module, or with --check say whether it is what would be written."""
    parser = argparse.ArgumentParser(description="Generate one exception class per SQLSTATE.")
    parser.add_argument(
        "--errcodes", type=Path, action="append", required=True, help="an errcodes.txt; newest first"
    )
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 where the file differs"
    )
    options = parser.parse_args(arguments)
    errcodes: list[Path] = options.errcodes
    output: Path = options.output
    text = render(merge(read_table(path.read_text(encoding="utf-8")) for path in errcodes))
    if options.check:
        current = output.read_text(encoding="utf-8") if output.exists() else ""
        if current != text:
            print(f"{output} is not what {', '.join(map(str, errcodes))} would give", file=sys.stderr)
            return 1
        return 0
    output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
