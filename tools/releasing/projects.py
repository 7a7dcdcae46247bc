"""The workspace's distributions as their pyproject.toml files have them, and whether they fit each other.

Called by tools/release.py before anything is built, and by the dry run.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).resolve().parents[2]
DRIVER: Final = "hyper-pgzig"
# Where the extension's API number is set, and where the packages say which one they were written for.
API_IN_ZIG: Final = re.compile(r"^pub const api_version = (\d+);$", re.MULTILINE)
API_IN_PYTHON: Final = re.compile(r"^(?:EXPECTED_API|NATIVE_API)\b[^=\n]*= (\d+)$", re.MULTILINE)
ZIG_VERSION: Final = re.compile(r'^\s*\.version = "([^"]+)",$', re.MULTILINE)


class Refused(Exception):  # noqa: N818 - it is what the command says, not a fault of ours
    """A release that must not be made. The text says why and what mends it."""


class Project(NamedTuple):
    """One distribution."""

    name: str
    version: str
    folder: Path
    requires: tuple[Requirement, ...]
    extras: Mapping[str, tuple[Requirement, ...]]
    license: str | None = None

    @property
    def stem(self) -> str:
        """The name as file names have it: `hyper_orm`."""
        return self.name.replace("-", "_")

    @property
    def tag(self) -> str:
        """The Git tag of this version."""
        return f"{self.name}-v{self.version}"

    @property
    def is_native(self) -> bool:
        """Whether the wheels hold an extension, one for each target."""
        return self.name == DRIVER


def load(folder: Path) -> Project:
    """Read one package's pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return Project(
        name=table["name"],
        version=table["version"],
        folder=folder,
        requires=tuple(map(Requirement, table.get("dependencies", []))),
        extras={
            name: tuple(map(Requirement, lines))
            for name, lines in table.get("optional-dependencies", {}).items()
        },
        license=table.get("license"),
    )


def workspace(root: Path = ROOT) -> dict[str, Project]:
    """Every distribution of the workspace, by name."""
    found = (load(path.parent) for path in sorted(root.glob("packages/*/pyproject.toml")))
    return {project.name: project for project in found}


def siblings(project: Project, known: Mapping[str, Project]) -> list[Project]:
    """The workspace's distributions that this one needs, those that they need included."""
    needed: dict[str, Project] = {}
    pending = [project]
    while pending:
        for requirement in pending.pop().requires:
            other = known.get(requirement.name)
            if other is not None and other.name not in needed:
                needed[other.name] = other
                pending.append(other)
    return [needed[name] for name in sorted(needed)]


def range_faults(project: Project, known: Mapping[str, Project]) -> Iterator[str]:
    """Yield what this one asks of the others, and they of it, and does not get."""
    for asking in known.values():
        lists = [asking.requires, *asking.extras.values()]
        for requirement in (each for some in lists for each in some):
            asked = known.get(requirement.name)
            if asked is None or project.name not in {asking.name, asked.name}:
                continue
            if not requirement.specifier.contains(Version(asked.version), prereleases=True):
                yield f"{asking.name} needs {requirement}, but {asked.name} is {asked.version} here"
            elif not any(each.operator in {"<", "<=", "==", "~="} for each in requirement.specifier):
                yield f"{asking.name} needs {requirement}, which has no upper bound: any later one is admitted"


def license_fault(project: Project) -> str | None:
    """Why the owner's word is missing on what others may do with this, or None.

    What an index has taken stays there as it is; and what comes without a licence nobody may use.
    """
    if project.license is not None:
        return None
    return (
        f"{project.name}: pyproject.toml names no licence, so nobody would be allowed to use what is published. "
        'Its owner decides: `license = "…"` with an SPDX expression, and the text as LICENSE beside it; '
        '`license = "LicenseRef-Proprietary"` where no rights are given'
    )


def lock_faults(project: Project, root: Path = ROOT) -> Iterator[str]:
    """Yield where uv.lock has another version of it, with which `uv sync --locked` refuses: a release begins so."""
    packages = tomllib.loads((root / "uv.lock").read_text(encoding="utf-8"))["package"]
    locked = [str(each["version"]) for each in packages if each["name"] == project.name]
    if locked != [project.version]:
        yield (
            f"uv.lock has {project.name} {', '.join(locked) or 'not at all'}, pyproject.toml {project.version}: "
            "run `uv lock`"
        )


def api_faults(project: Project, root: Path = ROOT) -> Iterator[str]:
    """Yield where this one was written for another native API than the extension has."""
    module = root / "zig" / "src" / "python" / "module.zig"
    (offered,) = API_IN_ZIG.findall(module.read_text(encoding="utf-8"))
    asked = 0
    for path in sorted(project.folder.glob("src/**/*.py")):
        for number in API_IN_PYTHON.findall(path.read_text(encoding="utf-8")):
            asked += 1
            if number != offered:
                yield f"{path.relative_to(root)} is for native API {number}, module.zig has {offered}"
    if project.is_native:
        if not asked:
            yield f"no module of {project.name} says which native API it is for"
        (version,) = ZIG_VERSION.findall((root / "zig" / "build.zig.zon").read_text(encoding="utf-8"))
        if version != project.version:
            yield f"zig/build.zig.zon has version {version}, pyproject.toml {project.version}"
