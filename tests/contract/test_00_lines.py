"""No line of the contract is left out: lines.md and the markers of the tests name the same ones."""

import ast
import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent


def listed() -> list[str]:
    """The names in the tables of lines.md."""
    text = (HERE / "lines.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (\d+\.[\w.]+) \|", text, flags=re.MULTILINE)


def marks(path: Path) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The names that the tests of a file carry, and who carries them."""
    found: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            match = re.fullmatch(r"pytest\.mark\.line\('([\w.]+)'\)", ast.unparse(decorator))
            if match:
                found.append((match[1], node))
    return found


def all_marks() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [mark for path in sorted(HERE.glob("test_*.py")) for mark in marks(path)]


def test_each_line_is_listed_once() -> None:
    assert [line for line, count in Counter(listed()).items() if count > 1] == []


def test_each_line_of_the_contract_has_a_test() -> None:
    assert sorted(set(listed()) - {line for line, _ in all_marks()}) == []


def test_no_test_names_a_line_that_is_not_listed() -> None:
    assert sorted({line for line, _ in all_marks()} - set(listed())) == []


def test_every_test_says_what_the_contract_says() -> None:
    without = [node.name for _, node in all_marks() if not ast.get_docstring(node)]
    assert without == []


def test_a_line_is_tested_in_the_file_of_its_section() -> None:
    misplaced = [
        (path.name, line)
        for path in sorted(HERE.glob("test_*.py"))
        for line, _ in marks(path)
        if int(path.name.split("_")[1]) != int(line.split(".")[0])
    ]
    assert misplaced == []
