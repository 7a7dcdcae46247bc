"""Makes a release of one distribution, all but the upload: `uv run python tools/release.py`.

    changelog PACKAGE             fold changelog.d into CHANGELOG.md, as the entry of pyproject's version
    check PACKAGE                 whether this checkout may be released
    build PACKAGE                 check, then sdist and wheels in dist/, built twice, checked, tried
    dry-run                       what CI runs: every package, few targets, and no check of tag and tree

`build` takes --python 3.12 and --platform musllinux_1_2_x86_64, each again and again, for part of the matrix, and
--headers DIR for a CPython that is not installed here. docs/decisions, "Releases", says why it is done so.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from releasing import changelog, checking, installing, projects, repository, targets
from releasing.building import Builder, sums
from releasing.projects import DRIVER, ROOT, Project, Refused
from releasing.targets import Target

# Beside this interpreter's own: the other C library, the other machine, patched.
DRY_RUN_PLATFORMS: Final = ("manylinux_2_28_x86_64", "musllinux_1_2_aarch64")


def say(text: str) -> None:
    """Print at once: builds take minutes."""
    print(text, flush=True)


def refuse(found: Sequence[str]) -> None:
    """Raise for faults, all of them in one text."""
    if found:
        raise Refused("\n".join(found))


def fit_faults(project: Project) -> list[str]:
    """What is wrong with the package at any time, not only at a release."""
    known = projects.workspace()
    return [
        *projects.range_faults(project, known),
        *projects.api_faults(project),
        *projects.lock_faults(project),
    ]


def release_faults(project: Project, tag: str | None) -> list[str]:
    """All that stands against a release of this checkout."""
    found = [*fit_faults(project), *repository.faults(project, tag)]
    return [*found, *filter(None, (changelog.fault(project), projects.license_fault(project)))]


def make(
    project: Project,
    wanted: Sequence[Target | None],
    out: Path,
    work: Path,
    compared: int | None = None,
) -> list[Path]:
    """Build, compare the first ones or all, check each when it is there; return the sdist and the wheels."""
    began = time.monotonic()
    builder = Builder(project, work, repository.commit_time())
    sdist = builder.sdist(out)
    say(f"  {sdist.name}: the same twice")
    made = [sdist]
    # The matrix takes an hour: a wheel that is not right ends it where it is found.
    with closing(builder.wheels(sdist, wanted, out, compared)) as wheels:
        for number, (wheel, target) in enumerate(zip(wheels, wanted, strict=True)):
            refuse(checking.faults(builder.exported, wheel, target, [work, work.resolve()]))
            twice = compared is None or number < compared
            say(f"  {wheel.name}: {'the same from tree and sdist, ' * twice}nothing against it")
            made.append(wheel)
    say(f"  {project.name}: {time.monotonic() - began:.0f} s")
    return made


def build(options: argparse.Namespace) -> None:
    """Make one package's release."""
    known = projects.workspace()
    project: Project = known[options.package]
    refuse(release_faults(project, options.tag))
    out: Path = options.out.resolve()
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty")
    wanted: list[Target | None] = [None]
    if project.is_native:
        platforms = options.platform or [platform.name for platform in targets.PLATFORMS]
        wanted = [*targets.matrix(options.python or targets.VERSIONS, platforms, options.headers)]
    with tempfile.TemporaryDirectory(prefix="hyper-release-") as name:
        work = Path(name)
        made = make(project, wanted, out, work / project.name)
        usable = [path for path in made if path.suffix == ".whl" and installing.runs_here(path)]
        if not usable:
            say("  none of these wheels runs here: none was tried")
        elif project.is_native:
            installing.try_driver(usable[0])
        else:
            here = {project.name: usable[0]}
            for other in projects.siblings(project, known):
                others = _local_targets() if other.is_native else [None]
                # Their own releases compare them; here they are what this one is tried with.
                made_of_it = make(other, others[:1], work / "siblings", work / other.name, compared=0)
                here[other.name] = made_of_it[1]
            installing.try_together(here, [project])
    (out / "SHA256SUMS").write_text(sums(made), encoding="utf-8")
    say(f"{project.tag}: {len(made)} files in {out}")


def _local_targets() -> list[Target | None]:
    """The wheel for this interpreter, then one that is not for this machine."""
    return [*targets.matrix([targets.current_version()], DRY_RUN_PLATFORMS)]


def dry_run() -> None:
    """Build every package for few targets, and check all that can be checked before a release.

    Raises:
        Refused: Something is wrong that would be at a release.
    """
    known = projects.workspace()
    refuse([fault for project in known.values() for fault in fit_faults(project)])
    for project in known.values():
        if (unlicensed := projects.license_fault(project)) is not None:
            say(f"a release would be refused: {unlicensed}")
        if changelog.fragments(project):
            changelog.folded(project, datetime.now(UTC).date())
        elif (missing := changelog.fault(project)) is not None:
            raise Refused(missing)
    with tempfile.TemporaryDirectory(prefix="hyper-release-") as name:
        work = Path(name)
        wheels: dict[str, Path] = {}
        for project in known.values():
            wanted = _local_targets() if project.is_native else [None]
            made = make(project, wanted, work / "dist", work / project.name, compared=1)
            wheels[project.name] = made[1]
        installing.try_driver(wheels[DRIVER])
        installing.try_together(wheels, list(known.values()))


def run_dry() -> bool:
    """Run the dry run as a check: print what is wrong, return whether nothing is."""
    try:
        dry_run()
    except Refused as refused:
        say(f"release: {refused}")
        return False
    return True


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="release.py", description="One package's release, but for the upload."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    names = sorted(projects.workspace())
    folding = commands.add_parser("changelog", help="fold changelog.d into CHANGELOG.md")
    folding.add_argument("package", choices=names)
    for name, says in (("check", "whether this checkout may be released"), ("build", "sdist and wheels")):
        command = commands.add_parser(name, help=says)
        command.add_argument("package", choices=names)
        command.add_argument("--tag", help="the tag that this release was started by, which stands at HEAD")
        if name == "build":
            command.add_argument("--out", type=Path, default=ROOT / "dist", help="an empty folder")
            command.add_argument("--python", action="append", choices=targets.VERSIONS, metavar="VERSION")
            known = [platform.name for platform in targets.PLATFORMS]
            command.add_argument("--platform", action="append", choices=known, metavar="PLATFORM")
            command.add_argument("--headers", action="append", type=Path, default=[], metavar="DIR")
    commands.add_parser("dry-run", help="what CI runs")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = parse(arguments)
    try:
        if options.command == "changelog":
            project = projects.workspace()[options.package]
            changelog.fold(project, datetime.now(UTC).date())
            say(f"{project.name}: CHANGELOG.md has an entry for {project.version}; commit it")
        elif options.command == "check":
            project = projects.workspace()[options.package]
            refuse(release_faults(project, options.tag))
            say(f"{project.tag} may be released")
        elif options.command == "build":
            build(options)
        else:
            dry_run()
    except Refused as refused:
        say(f"refused:\n{refused}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
