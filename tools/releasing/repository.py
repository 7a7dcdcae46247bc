"""What Git says of the checkout, and the copies of it that are built from."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from releasing.projects import ROOT, Project


def git(*arguments: str, root: Path = ROOT) -> str:
    """Run Git in the checkout, whoever owns it; return what it prints."""
    command = ["git", "-c", f"safe.directory={root}", *arguments]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip("\n")


def commit_time(root: Path = ROOT) -> int:
    """The commit's time in seconds since 1970: SOURCE_DATE_EPOCH."""
    return int(git("log", "-1", "--format=%ct", root=root))


def faults(project: Project, tag: str | None, root: Path = ROOT) -> Iterator[str]:
    """Yield why this checkout must not be released.

    Args:
        project: What is to be released.
        tag: The tag that a release was started by; None where there is none yet.
        root: The checkout.
    """
    changed = git("status", "--porcelain", root=root)
    if changed:
        yield f"the tree is not the commit's: {', '.join(line[3:] for line in changed.splitlines()[:5])}"
    if tag is not None and tag != project.tag:
        yield f"the tag is {tag!r}, but pyproject.toml makes it {project.tag!r}"
    if git("tag", "--list", project.tag, root=root):
        here = git("rev-parse", "HEAD", root=root)
        if tag is None:
            yield f"the tag {project.tag} is there already: raise the version"
        elif git("rev-list", "-n", "1", project.tag, root=root) != here:
            yield f"the tag {project.tag} stands at another commit"
    elif tag is not None:
        yield f"there is no tag {tag}"


def export(folder: Path, root: Path = ROOT) -> None:
    """Copy the files that Git knows or would add to a folder: no caches, no builds, nothing ignored."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", root=root)
    for name in sorted(filter(None, listed.split("\0"))):
        source = root / name
        if not source.is_file() or not name.startswith(("packages/", "zig/")):
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def environment(epoch: int, **more: str) -> dict[str, str]:
    """Our environment for a build: nothing of ours that would be read, and the commit's time."""
    dropped = ("HYPER_", "SETUPTOOLS_", "_PYTHON_", "DISTUTILS_", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0", **more}
