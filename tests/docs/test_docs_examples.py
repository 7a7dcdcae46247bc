"""The documentation, run: every ```python block and every table of examples does what it says.

A page's blocks run from top to bottom in one namespace, which holds `db`, a Database connected to an empty
database, whose URL is in DATABASE_URL; `await` may stand outside of functions. Two comments are checked
wherever they stand, behind or below a statement that is one expression:

    # -> value            the expression's repr; `…` stands for anything
    # raises Name: text   the exception's class and the first line of its text

A block that calls `asyncio.run` is a whole program: it runs in a process of its own, and what it prints must
be its `# ->` lines in order. A table whose header is `SQL | Python | Example | Value` is a list of results,
one whose header is `SQL | JSON | Example | Value` a list of what `query_json` writes, one whose header is
`SQL | takes | Example | Value` a list of parameters; rows without an example only inform. A table whose last
column is `What differs` sets another library's calls beside ours: in the second column of each of its rows stand
our calls, which are run where they stand, among the page's blocks:

    `call` → `repr of its value`; `another call` raises `Name: text`
"""

import ast
import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import pytest
from hyperdjango.database import Database, DatabaseError, get_db
from hyperdjango.database._conninfo_keys import ENVIRONMENT, RUN_TIME_ENVIRONMENT
from hyperdjango.database._global import set_db
from hyperdjango.database._sqlstate import BY_CLASS
from hyperdjango.database.resolver import set_resolver
from hyperdjango.models._registry import registry

if TYPE_CHECKING:
    from pg_cluster import Cluster
    from postgres_servers import Server

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md"))
)
COMPARISONS: Final = [page for page in PAGES if page.startswith("docs/coming-from/")]
PROGRAM_SECONDS_MAX: Final = 60

_FENCE: Final = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK: Final = re.compile(r"(\S?)\s*#\s(->|raises)\s(.*)$")
_CELL: Final = re.compile(r"(?<!\\)\|")
_CALL: Final = re.compile(r"`([^`]+)`(?: (→|raises) `([^`]+)`)?(?:; |$)")


class Wrong(AssertionError):  # noqa: N818 - it reads better where it is raised
    """The page says something else than what happens."""


@dataclass(frozen=True)
class Block:
    """A piece of Python and where it stands."""

    page: str
    line: int  # of its first line of code, from 1
    code: str

    @property
    def is_program(self) -> bool:
        return "asyncio.run(" in self.code

    def marks(self) -> dict[int, tuple[str, str]]:
        """Return the line, from 1, that each mark is about to its kind and its text over all its lines."""
        found: dict[int, tuple[str, str]] = {}
        last = 0
        for number, line in enumerate(self.code.splitlines(), start=1):
            if match := _MARK.search(line):
                last = number if match[1] else number - 1
                found[last] = (match[2], match[3])
            elif last and re.match(r"\s*#\s{2,}\S", line):
                found[last] = (found[last][0], f"{found[last][1]} {line.strip().lstrip('# ')}")
            else:
                last = 0
        return found


@dataclass(frozen=True)
class Row:
    """A row of a table of examples."""

    page: str
    line: int
    kind: str  # "Python", "JSON" or "takes"
    type: str
    example: str
    value: str


def blocks(page: str, text: str) -> list[Block]:
    """Return the Python blocks of a page."""
    return [
        Block(page, text.count("\n", 0, match.start(2)) + 1, match[2])
        for match in _FENCE.finditer(text)
        if match[1] == "python"
    ]


def rows(page: str, text: str) -> list[Row]:
    """Return the rows with an example of a page's tables of examples."""
    found: list[Row] = []
    kind = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("|"):
            kind = ""
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]
        if len(cells) == 4 and cells[0] == "SQL" and cells[2:] == ["Example", "Value"]:
            kind = cells[1]
        elif kind and len(cells) == 4 and cells[2].startswith("`"):
            name = re.search(r"`([^`]+)`", cells[0])
            type_name = name[1] if name else ""
            found.append(Row(page, number, kind, type_name, cells[2].strip("`"), cells[3].strip("`")))
    return found


def comparisons(page: str, text: str) -> list[Block]:
    """Return our calls of each row of a page's tables that set another library's beside them.

    Raises:
        Wrong: A row has no call of ours, or words beside it, which nobody would check.
    """
    found: list[Block] = []
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]
        if not line.startswith("|"):
            inside = False
        elif cells[-1] == "What differs":
            inside = True
        elif inside and set(line) - set("|-: "):
            calls = list(_CALL.finditer(cells[1]))
            if "".join(call[0] for call in calls) != cells[1] or not calls:
                raise Wrong(f"{page}, line {number}: calls of ours alone belong here, not {cells[1]!r}")
            found.append(Block(page, number, "\n".join(map(_marked, calls))))
    return found


def _marked(call: re.Match[str]) -> str:
    mark = {"→": "  # -> ", "raises": "  # raises "}.get(call[2] or "", "")
    return f"{call[1]}{mark}{call[3] or ''}"


def same(expected: str, actual: str) -> bool:
    """Compare texts, white space apart; `…` stands for anything."""
    parts = [re.escape(part) for part in " ".join(expected.split()).split("…")]
    return re.fullmatch(".*".join(parts), " ".join(actual.split()), re.DOTALL) is not None


class _Marker(ast.NodeTransformer):
    """Puts the check of its mark around each expression that has one: the last that ends on the line."""

    def __init__(self, marks: dict[int, tuple[str, str]], tree: ast.AST) -> None:
        self.left = dict(marks)
        expressions = [node for node in ast.walk(tree) if isinstance(node, ast.Expr)]
        expressions.sort(key=lambda node: (node.lineno, node.col_offset))
        self.last = {node.end_lineno: node for node in expressions}

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        assert node.end_lineno is not None
        if node.end_lineno not in self.left or self.last[node.end_lineno] is not node:
            return node
        kind, text = self.left.pop(node.end_lineno)
        if kind == "->":
            call = ast.Call(ast.Name("_is", ast.Load()), [node.value, ast.Constant(text)], [])
            return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), node))
        manager = ast.Call(ast.Name("_raises", ast.Load()), [ast.Constant(text)], [])
        block = ast.With([ast.withitem(manager)], [node])
        return ast.fix_missing_locations(ast.copy_location(block, node))


def _is(value: object, expected: str) -> None:
    if not same(expected, repr(value)):
        raise Wrong(f"the page says {expected}, it is {value!r}")


@contextmanager
def _raises(expected: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        if not same(expected, said):
            raise Wrong(f"the page says {expected}, it is {said}") from error
    else:
        raise Wrong(f"the page says {expected}, nothing was raised")


async def run_block(block: Block, namespace: dict[str, Any]) -> None:
    """Run a block in a namespace, with all its marks checked."""
    parsed = ast.parse(block.code, block.page)
    marker = _Marker(block.marks(), parsed)
    tree = marker.visit(parsed)
    if marker.left:
        raise Wrong(f"{block.page}: no expression belongs to the marks {list(marker.left.values())}")
    ast.increment_lineno(tree, block.line - 1)  # tracebacks name the page's own line
    code = compile(tree, str(ROOT / block.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, namespace)
    if asyncio.iscoroutine(result):
        await result


async def run_program(block: Block, database_url: str) -> None:
    """Run a block as a program, and compare what it prints with its marks."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", block.code],
            env={**os.environ, "DATABASE_URL": database_url, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS_MAX,
            check=False,
        )

    finished = await asyncio.to_thread(run)
    if finished.returncode != 0:
        raise Wrong(f"{block.page}, line {block.line}: {finished.stderr}")
    expected = "\n".join(text for _, text in block.marks().values())
    if not same(expected, finished.stdout):
        raise Wrong(f"{block.page}, line {block.line}: the page says\n{expected}\nit is\n{finished.stdout}")


async def _run_json_row(row: Row, db: Database) -> None:
    written = (await db.query_json(f"SELECT {row.example} AS v")).decode()
    if not same(f'[{{"v":{row.value}}}]', written):
        raise Wrong(f"{row.page}, line {row.line}: the page says {row.value}, it is {written}")


async def run_row(row: Row, namespace: dict[str, Any]) -> None:
    """Run the example of a table's row."""
    db: Database = namespace["db"]
    if row.kind == "JSON":
        await _run_json_row(row, db)
        return
    if row.kind == "Python":
        value = await db.query_val(f"SELECT {row.example}")
    else:
        value = await db.query_val(f"SELECT $1::{row.type}", eval(row.example, namespace))
    if not same(row.value, repr(value)):
        raise Wrong(f"{row.page}, line {row.line}: the page says {row.value}, it is {value!r}")


@asynccontextmanager
async def as_global(db: Database) -> AsyncIterator[None]:
    """Have the page's models find its database; one that the page has opened by itself is closed with it.

    Nor does a ConnectionManager stay that a page could not close any more, as it has failed.
    """
    set_db(db)
    try:
        yield
    finally:
        set_resolver(None)
        if get_db() is not db:
            await get_db().disconnect()
        set_db(None)


@pytest.fixture
def replicas(page: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PRIMARY_URL, REPLICA_URL and LATE_REPLICA_URL (300 ms behind), for the pages that speak of them."""
    if "PRIMARY_URL" not in (ROOT / page).read_text(encoding="utf-8"):
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    name: str = request.getfixturevalue("cluster_database")
    names = ("PRIMARY_URL", "REPLICA_URL", "LATE_REPLICA_URL")
    for variable, node in zip(names, cluster.nodes, strict=True):
        monkeypatch.setenv(variable, cluster.url(node, name))


@pytest.fixture
def shards(page: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """EAST_URL and WEST_URL, two more databases, for the pages that speak of them."""
    if "EAST_URL" not in (ROOT / page).read_text(encoding="utf-8"):
        yield
        return
    server: Server = request.getfixturevalue("server")
    names = {variable: server.create_database() for variable in ("EAST_URL", "WEST_URL")}
    for variable, name in names.items():
        monkeypatch.setenv(variable, server.url_for(name))
    yield
    for name in names.values():
        server.drop_database(name)


@pytest.mark.usefixtures("replicas", "shards")
@pytest.mark.parametrize("page", PAGES)
async def test_a_page_does_what_it_says(
    page: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    # A page's models are its own: other pages, and other tests, have an `author` as well.
    monkeypatch.setattr(registry, "_by_table", WeakValueDictionary())
    monkeypatch.setattr(registry, "_by_name", WeakValueDictionary())
    text = (ROOT / page).read_text(encoding="utf-8")
    async with Database(database_url, min_size=1) as db, as_global(db):
        # What reads annotations, as schemas of GraphQL do, looks for the names of a class in its module.
        module = ModuleType("example")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        namespace = vars(module)
        namespace.update(db=db, _is=_is, _raises=_raises)
        for block in sorted([*blocks(page, text), *comparisons(page, text)], key=lambda block: block.line):
            if block.is_program:
                await run_program(block, database_url)
            else:
                await run_block(block, namespace)
        for row in rows(page, text):
            await run_row(row, namespace)


def test_no_python_is_shown_that_nobody_runs() -> None:
    """Other pages, and other ways to write a block, would be neither run nor noticed."""
    outside = {".venv", "build", "node_modules"}
    shown = [
        f"{path.relative_to(ROOT).as_posix()}: {match[0].strip()}"
        for path in sorted(ROOT.rglob("*.md"))
        if outside.isdisjoint(path.relative_to(ROOT).parts)
        for match in re.finditer(
            r"^[ >]*(`{3,}|~{3,}) *\{?\.?(py|python|python3|pycon|ipython)\b.*$",
            path.read_text(encoding="utf-8"),
            re.MULTILINE | re.IGNORECASE,
        )
        if match[0] != "```python" or path.relative_to(ROOT).as_posix() not in PAGES
    ]
    assert shown == []


@pytest.mark.parametrize("page", COMPARISONS)
def test_every_row_that_compares_is_run(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    headers = re.findall(r"^\|.*\| (.*?) \|\n\|[-| ]+\|$", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert set(headers) == {"What differs"}
    assert len(comparisons(page, text)) == len(lines) - 2 * len(headers)


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page: str) -> None:
    text = _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_into_a_page_meet_a_heading(page: str) -> None:
    def anchors(path: Path) -> set[str]:
        headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    here = ROOT / page
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", _FENCE.sub("", here.read_text(encoding="utf-8")))
    missing = [
        f"{file}#{anchor}"
        for file, anchor in links
        if anchor not in anchors(here.parent / file if file else here)
    ]
    assert missing == []


def _words(page: str) -> set[str]:
    return set(re.findall(r"\w+", (ROOT / page).read_text(encoding="utf-8")))


def test_every_connection_key_and_its_environment_variable_are_documented() -> None:
    kerberos = {"PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION"}
    refused = kerberos | {"PGSSLCOMPRESSION", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION"}
    names = {*ENVIRONMENT, *RUN_TIME_ENVIRONMENT, *(name for name in ENVIRONMENT.values() if name)}
    assert names - _words("docs/connecting.md") - refused == set()


def test_every_field_of_an_error_is_documented() -> None:
    assert {"message", *vars(DatabaseError("x"))} - _words("docs/errors.md") == set()


def test_the_table_of_sqlstate_classes_is_the_one_that_is_used() -> None:
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (\w+Error) \| ([0-9A-Z, ]+) \|$", text, re.MULTILINE)
    documented = {code: name for name, codes in table for code in codes.split(", ")}
    assert documented == {code: error.__name__ for code, error in BY_CLASS.items()}


async def _run(code: str) -> None:
    await run_block(Block("page", 1, code), {"_is": _is, "_raises": _raises})


async def test_a_value_that_differs_is_found() -> None:
    await _run("1 + 1  # -> 2\n[1,\n 2]\n# -> [1,\n#     2]\n'a long text'  # -> 'a … text'\n")
    with pytest.raises(Wrong, match="the page says 3, it is 2"):
        await _run("1 + 1  # -> 3\n")


async def test_an_exception_that_differs_is_found() -> None:
    await _run("int('x')  # raises ValueError: invalid …\n")
    with pytest.raises(Wrong, match="nothing was raised"):
        await _run("int('1')  # raises ValueError: invalid …\n")
    with pytest.raises(Wrong, match="it is ValueError"):
        await _run("int('x')  # raises KeyError: …\n")


async def test_a_mark_that_nothing_belongs_to_is_found() -> None:
    with pytest.raises(Wrong, match="no expression belongs"):
        await _run("x = 1  # -> 1\n")


async def test_a_mark_is_about_the_last_expression_of_its_line() -> None:
    await _run("if True: 1; 2  # -> 2\n")
    with pytest.raises(Wrong, match="the page says 1"):
        await _run("if True: 1; 2  # -> 1\n")


async def test_a_mark_inside_a_block_is_checked() -> None:
    with pytest.raises(Wrong, match="the page says 3"):
        await _run("async def f():\n    return 2\nif True:\n    await f()  # -> 3\n")


async def test_a_program_that_prints_something_else_is_found() -> None:
    code = "import asyncio\nasync def main(): print(1)\nasyncio.run(main())\n# -> {}\n"
    await run_program(Block("page", 1, code.format(1)), "")
    with pytest.raises(Wrong, match="it is\n1"):
        await run_program(Block("page", 1, code.format(2)), "")


def test_only_rows_with_an_example_are_taken_from_a_table() -> None:
    head = "| SQL | takes | Example | Value |\n|---|---|---|---|\n"
    body = "| `int4`, `int8` | int | `1 \\| 2` | `3` |\n| `x` | y | | |\n"
    assert rows("page", head + body) == [Row("page", 3, "takes", "int4", "1 | 2", "3")]


COMPARED = "| theirs | ours | What differs |\n|---|---|---|\n"


def test_our_calls_of_a_comparison_are_taken_with_their_marks() -> None:
    row = "| `a \\| b` | `1 \\| 2` → `3`; `x = 1`; `int('x')` raises `ValueError: …` | |\n"
    (block,) = comparisons("page", COMPARED + row)
    assert block == Block("page", 3, "1 | 2  # -> 3\nx = 1\nint('x')  # raises ValueError: …")


@pytest.mark.parametrize("cell", ["", "nothing", "`f()` or so", "`f()` → 1", "`f()` `g()`"])
def test_a_row_that_compares_with_words_is_refused(cell: str) -> None:
    with pytest.raises(Wrong, match="page, line 3: calls of ours alone"):
        comparisons("page", f"{COMPARED}| `f` | {cell} | |\n")


async def test_a_comparison_that_says_something_else_is_found() -> None:
    (block,) = comparisons("page", f"{COMPARED}| `f()` | `1 + 1` → `3` | |\n")
    with pytest.raises(Wrong, match="the page says 3, it is 2"):
        await run_block(block, {"_is": _is, "_raises": _raises})
