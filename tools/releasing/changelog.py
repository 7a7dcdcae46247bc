"""CHANGELOG.md and the fragments in changelog.d that become its next entry.

A fragment is one sentence or more in a file of its own. Folding writes them below a heading of the version,
in the order of the files' names, and removes the files. Called by `tools/release.py changelog`.
"""

import re
from datetime import date
from pathlib import Path
from typing import Final

from releasing.projects import Project, Refused

WAITING: Final = "Entries of the next release are collected in `changelog.d/`."


def fragments(project: Project) -> list[Path]:
    """The files that wait for the next release."""
    return sorted(project.folder.glob("changelog.d/*.md"))


def sentences(path: Path) -> list[str]:
    """A fragment's paragraphs, each on one line; a list's items are its paragraphs."""
    text = path.read_text(encoding="utf-8")
    parts = re.split(r"\n\s*\n|\n(?=[-*] )", text.strip())
    return [" ".join(part.removeprefix("- ").removeprefix("* ").split()) for part in parts if part.strip()]


def entry(text: str, version: str) -> list[str]:
    """The lines of one version's entry, empty where there is none."""
    heading = re.compile(rf"^## {re.escape(version)}(?: \(.*\))?\s*$")
    lines = iter(text.splitlines())
    if not any(heading.match(line) for line in lines):
        return []
    found: list[str] = []
    for line in lines:
        if line.startswith("## "):
            break
        if line.strip():
            found.append(line)
    return found


def folded(project: Project, day: date) -> str:
    """The changelog with the fragments as the entry of the project's version.

    Raises:
        Refused: There are no fragments, or the version has an entry already.
    """
    text = (project.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    waiting = fragments(project)
    if not waiting:
        raise Refused(f"{project.name}: changelog.d is empty, so there is nothing to release")
    if entry(text, project.version):
        raise Refused(
            f"{project.name}: CHANGELOG.md has an entry for {project.version}: raise the version first"
        )
    before, found, after = text.partition(WAITING)
    if not found:
        raise Refused(f"{project.name}: CHANGELOG.md lacks the line {WAITING!r}")
    lines = [f"- {sentence}" for path in waiting for sentence in sentences(path)]
    new = "\n".join([f"## {project.version} ({day.isoformat()})", "", *lines])
    rest = after.strip("\n")
    return f"{before}{found}\n\n{new}\n" + (f"\n{rest}\n" if rest else "")


def fold(project: Project, day: date) -> None:
    """Write the folded changelog and remove the fragments."""
    text = folded(project, day)
    (project.folder / "CHANGELOG.md").write_text(text, encoding="utf-8")
    for path in fragments(project):
        path.unlink()


def fault(project: Project) -> str | None:
    """Why the changelog does not fit a release of this version, or None."""
    waiting = fragments(project)
    text = (project.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    command = f"tools/release.py changelog {project.name}"
    if waiting:
        return f"{project.name}: {len(waiting)} files wait in changelog.d: run `{command}` and commit"
    if not entry(text, project.version):
        return f"{project.name}: CHANGELOG.md has no entry for {project.version}"
    return None
