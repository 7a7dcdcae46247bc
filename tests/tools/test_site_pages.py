"""The site's pages are the repository's: links that are right on GitHub are right there."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    """The hook of mkdocs, which is no module of any package."""
    specification = importlib.util.spec_from_file_location("site_pages", ROOT / "tools" / "site_pages.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


site_pages = load()
PAGES = {
    "README.md",
    "docs/types.md",
    "docs/decisions/README.md",
    "packages/one/README.md",
    "packages/other/README.md",
}


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("README.md", "[one](packages/one)", "[one](packages/one/README.md)"),
        ("README.md", "[decisions](docs/decisions/)", "[decisions](docs/decisions/README.md)"),
        ("packages/one/README.md", "[other](../other#names)", "[other](../other/README.md#names)"),
        ("README.md", "[types](docs/types.md#json)", "[types](docs/types.md#json)"),
        ("README.md", "[elsewhere](https://example.org/packages/one)", "[elsewhere](https://example.org/packages/one)"),
        ("README.md", "[nothing](packages/none)", "[nothing](packages/none)"),
    ],
)  # fmt: skip
def test_a_link_to_a_folder_leads_to_its_readme(page: str, link: str, expected: str) -> None:
    assert site_pages.with_readmes(f"See {link}.", page, PAGES) == f"See {expected}."


def test_code_stays_as_it_is() -> None:
    text = "[a](packages/one)\n```md\n[b](packages/one)\n```\n[c](packages/one)\n"
    assert site_pages.with_readmes(text, "README.md", PAGES).count("one/README.md") == 2


def test_every_public_name_is_in_the_reference_once() -> None:
    pages = {module: site_pages.public_names(module) for module in site_pages.MODULES}
    assert "Database" in pages["hyperdjango.database"]
    assert "Database" not in pages["hyperdjango"]
    assert "UniqueViolation" in pages["hyperdjango.database.errors"]
    assert "UniqueViolation" not in pages["hyperdjango.database"]
    assert {"Model", "QuerySet", "Field"} <= set(pages["hyperdjango.models"])


def test_generated_errors_are_counted_and_not_listed() -> None:
    text = site_pages.reference("hyperdjango.database.errors")
    assert "::: hyperdjango.database.errors.ConnectionFailed" in text
    assert "UniqueViolation" not in text
    assert "classes of errors" in text


def test_every_page_of_the_reference_and_every_readme_is_in_the_navigation() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = [f"reference/{module}.md" for module in site_pages.MODULES]
    for pattern in site_pages.PAGES:
        pages += [path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)]
    assert [page for page in pages if f" {page}\n" not in listed] == []


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    """Of a site of one page, with our settings for links; the command is the check's own."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# A page\n\n[a](nothing.md)\n", encoding="utf-8")
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: x\nplugins: []\ntheme: {name: mkdocs}\n", encoding="utf-8"
    )
    tool = (ROOT / "tools/check.py").read_text(encoding="utf-8")
    command = re.search(r'module\("mkdocs", (.*?), environment', tool)
    assert command is not None
    arguments = ast.literal_eval(f"[{command[1]}]")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "nothing.md" in done.stderr
