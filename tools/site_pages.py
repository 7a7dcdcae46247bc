"""A hook of mkdocs: the site's pages are the repository's own Markdown files, under the paths they have in it.

So a link that is right on GitHub is right on the site, and no page is written for one of the two. What is done
to a page: a link to a folder leads to the folder's README, as it does there. The reference is made here: a
page for each public module, with an entry for each name in its `__all__`, whose docstrings griffe reads from
the merged source trees.

MkDocs documentation: user-guide/configuration, "hooks"; dev-guide/plugins, "Events".
"""

import re
import sys
from importlib import import_module
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Any, Final

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]
# What belongs on the site, beside the pictures that lie in folders called `images`.
PAGES: Final = ("*.md", "docs/**/*.md", "packages/*/*.md", "bench/README.md", "tests/contract/*.md")
PICTURES: Final = ("docs/**/images/*", "bench/images/*")
# The public modules of the five packages.
MODULES: Final = (
    "hyperdjango",
    "hyperdjango.app",
    "hyperdjango.conf",
    "hyperdjango.database",
    "hyperdjango.database.errors",
    "hyperdjango.database.otel",
    "hyperdjango.database.testing",
    "hyperdjango.models",
    "hyperdjango.models.functions",
    "hyperdjango.models.lookups",
    "hyperdjango.models.signals",
    "hyperdjango.multi_db",
    "hyperdjango.multi_db.middleware",
    "hyperdjango.multi_db.sharding",
    "hyperdjango.dataloader",
)
_GENERATED: Final = "hyperdjango.database._sqlstate"  # hundreds of classes with nothing to say but their code
_FENCE: Final = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def on_startup(**_: Any) -> None:
    """Merge the packages' sources, in which `::: hyperdjango.…` is found."""
    sys.path.insert(0, str(ROOT / "tools"))
    import_module("merged_tree").make()


def on_files(_files: Files, /, *, config: "MkDocsConfig") -> Files:
    """Return the repository's pages and pictures, and the pages of the reference."""
    found = Files([file for file in _files if not file.src_uri.endswith(".md")])
    for path in sorted(path for pattern in (*PAGES, *PICTURES) for path in ROOT.glob(pattern)):
        if found.get_file_from_path(name := path.relative_to(ROOT).as_posix()):
            continue
        found.append(File.generated(config, name, abs_src_path=str(path)))
    for module in MODULES:
        found.append(File.generated(config, f"reference/{module}.md", content=reference(module)))
    return found


def on_page_markdown(markdown: str, /, *, page: "Page", files: Files, **_: Any) -> str:
    """Have links to folders lead to their READMEs."""
    return with_readmes(markdown, page.file.src_uri, files.src_uris)


def with_readmes(markdown: str, page: str, pages: Any) -> str:
    """Return the text with its links to folders completed; code stays as it is.

    Args:
        markdown: A page's text.
        page: Its path in the repository.
        pages: The paths of all pages.
    """

    def completed(link: re.Match[str]) -> str:
        target = normpath(join(dirname(page), link[2]))
        readme = f"{link[2].rstrip('/')}/README.md"
        return f"{link[1]}{readme}{link[3]}" if f"{target}/README.md" in pages else link[0]

    parts, last = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(completed, markdown[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*parts, _LINK.sub(completed, markdown[last:])])


def reference(module: str) -> str:
    """Return the page of a module: what it says of itself, and an entry for each public name."""
    generated = set(import_module(_GENERATED).__all__)
    entries = [
        f"# {module}",
        f"::: {module}\n    options:\n      members: false\n      show_root_heading: false",
    ]
    left_out = 0
    for name in public_names(module):
        if module == "hyperdjango.database.errors" and name in generated:
            left_out += 1
        else:
            entries.append(f"::: {module}.{name}")
    if left_out:
        named = "named as PostgreSQL's table of error codes names it"
        entries.append(f"And {left_out} classes of errors, one for each SQLSTATE, {named}.")
    return "\n\n".join(entries) + "\n"


def public_names(module: str) -> list[str]:
    """Return the module's public classes and functions, but for those that a module below has as well."""
    below = [other for other in MODULES if other.startswith(f"{module}.")]
    shown_there = {id(value) for other in below for value in _public(other).values()}
    return [name for name, value in _public(module).items() if id(value) not in shown_there]


def _public(module: str) -> dict[str, object]:
    loaded = import_module(module)
    names = getattr(loaded, "__all__", None) or _own(module)
    found = {name: getattr(loaded, name) for name in sorted(names)}
    return {
        name: value
        for name, value in found.items()
        if callable(value) and getattr(value, "__module__", "").startswith("hyperdjango")
    }


def _own(module: str) -> list[str]:
    """Return the names of a module without `__all__`: what it defines, not what it imports."""
    values = vars(import_module(module)).items()
    return [
        name
        for name, value in values
        if not name.startswith("_") and getattr(value, "__module__", "") == module
    ]
