"""All the checks, for a person and for CI: `uv run python tools/check.py`.

    --fast          the inner loop: what needs no server and no fresh build
    --only STEP     this step alone; can be given again
    --list          the steps and what they do

Every step runs, also after one has failed. The tests come last, so that pytest's own last lines are the last
lines of a good run; a bad one ends with the names of the steps that failed, and with exit code 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import check_contract
import check_generated
import check_layers
import check_packages
import check_typed_outside
import merged_tree
import release

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
PYRIGHT: Final = "pyright[nodejs]==1.1.414"
# Without it Zig 0.17 compiles its own build runner in release mode first, which takes minutes.
ENVIRONMENT: Final = {"ZIG_DEBUG_CMD": "1", **os.environ}


class Step(NamedTuple):
    """One check. `run` prints what it finds and returns whether all is well."""

    name: str
    says: str
    run: Callable[[], bool]
    is_fast: bool = True


def run(*command: str | Path, environment: dict[str, str] | None = None, folder: Path = ROOT) -> bool:
    """Run a command with its output on ours."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    return (
        subprocess.run(words, cwd=folder, env={**ENVIRONMENT, **(environment or {})}, check=False).returncode
        == 0
    )


def module(name: str, *arguments: str | Path, environment: dict[str, str] | None = None) -> bool:
    """Run a Python program of this environment."""
    return run(sys.executable, "-m", name, *arguments, environment=environment)


def zig_format() -> bool:
    """Check Zig's own format."""
    return module("ziglang", "fmt", "--check", "zig/build.zig", "zig/src")


def zig_test() -> bool:
    """Run the unit tests of every layer below Python; an import that points upwards does not compile."""
    return run(sys.executable, "-m", "ziglang", "build", "test", folder=ROOT / "zig")


def python_format() -> bool:
    """Check ruff's format."""
    return module("ruff", "format", "--check", ".")


def lint() -> bool:
    """Run ruff's lint rules."""
    return module("ruff", "check", ".")


def types() -> bool:
    """Run mypy over the merged tree, then over each package's tests, the tools and the benchmarks."""
    merged = merged_tree.make()
    kits = [
        ROOT / "packages" / name / "tests" / "kit" for name in ("hyper-pgzig", "hyper-multidb", "hyperdjango")
    ]
    kits.append(ROOT / "tools")
    fine = merged_tree.run_mapped(
        [sys.executable, "-m", "mypy", "-p", "hyperdjango"], environment={"MYPYPATH": str(merged)}
    )
    for folder in (
        *(package / "tests" for package in PACKAGES),
        ROOT / "tests",
        ROOT / "tools",
        ROOT / "bench",
    ):
        if any(folder.rglob("*.py")):
            search = os.pathsep.join(map(str, (merged, *kits, folder)))
            path = str(folder.relative_to(ROOT))
            command = [
                sys.executable,
                "-m",
                "mypy",
                "--explicit-package-bases",
                "--follow-imports=silent",
                path,
            ]
            fine &= merged_tree.run_mapped(command, environment={"MYPYPATH": search})
    return check_typed_outside.main() and fine


def pyright() -> bool:
    """Run pyright in strict mode over the merged tree, with Node from PyPI where the machine has none."""
    merged = merged_tree.make(pyright=True)
    arguments = ["--project", str(merged), "--pythonpath", sys.executable]
    if shutil.which("node"):
        return merged_tree.run_mapped([sys.executable, "-m", "pyright", *arguments])
    runner = ["uv", "tool", "run", "--python", sys.executable, "--from", PYRIGHT]
    return merged_tree.run_mapped([*runner, "pyright", *arguments])


def stubs() -> bool:
    """Compare the extension's .pyi with the extension."""
    merged = merged_tree.make()
    command = [sys.executable, "-m", "mypy.stubtest", "hyperdjango._hyperdjango_native"]
    return merged_tree.run_mapped(command, environment={"MYPYPATH": str(merged)})


def docs() -> bool:
    """Build the site; a link that leads nowhere and a docstring that says something else are warnings, thus errors."""
    # Not with --quiet, which hides warnings from --strict. The theme's authors warn of a version that is not ours.
    return module("mkdocs", "build", "--strict", environment={"NO_MKDOCS_2_WARNING": "1"})


def tests() -> bool:
    """Run the tests with the README's command."""
    if shutil.which("uv"):
        return run("uv", "run", "pytest")
    return module("pytest")


def fast_tests() -> bool:
    """Run the tests that need no server."""
    return module("pytest", "-q", "-m", "not postgres")


STEPS: Final = (
    Step("zig-format", "zig fmt --check", zig_format),
    Step("zig-test", "zig build test: every layer below Python", zig_test),
    Step("format", "ruff format --check", python_format),
    Step("lint", "ruff check", lint),
    Step("layers", "imports of the Python packages point down", check_layers.main),
    Step("types", "mypy --strict", types),
    Step("pyright", "pyright, strict", pyright, is_fast=False),
    Step("stubs", "the extension's .pyi against the extension", stubs, is_fast=False),
    Step("generated", "generated files are what their generators give", check_generated.main, is_fast=False),
    Step("packages", "sdists and wheels, installed alone and together", check_packages.main, is_fast=False),
    Step("contract", "the contract's tests against the installed wheels", check_contract.main, is_fast=False),
    Step("release", "the dry run of every package's release", release.run_dry, is_fast=False),
    Step("docs", "the site is built, without a warning", docs, is_fast=False),
    Step("tests", "uv run pytest", tests, is_fast=False),
)
FAST_TESTS: Final = Step("tests", "pytest, without servers", fast_tests)


def choose(*, fast: bool, only: Sequence[str]) -> list[Step]:
    """Return the steps to run, the tests last."""
    if only:
        return [step for step in STEPS if step.name in only]
    if fast:
        return [*(step for step in STEPS if step.is_fast), FAST_TESTS]
    return list(STEPS)


def execute(step: Step) -> tuple[bool, float]:
    """Run one step; a step that breaks has failed."""
    print(f"\n== {step.name}: {step.says}", flush=True)
    began = time.monotonic()
    try:
        passed = step.run()
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        passed = False
    return passed, time.monotonic() - began


def table(results: Sequence[tuple[Step, bool, float]]) -> str:
    """One line per step: its name, how it went, how long it took."""
    return "\n".join(
        f"  {step.name:<12} {'ok' if ok else 'FAILED':<7} {took:7.1f} s" for step, ok, took in results
    )


def main() -> int:
    """Run the chosen steps and return the exit code."""
    parser = argparse.ArgumentParser(prog="check.py", description="All the checks that CI runs.")
    parser.add_argument("--fast", action="store_true", help="the inner loop: no server, no fresh build")
    parser.add_argument(
        "--only", action="append", default=[], choices=[s.name for s in STEPS], metavar="STEP"
    )
    parser.add_argument("--list", action="store_true", help="list the steps and leave")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{step.name:<12} {step.says}" for step in STEPS))
        return 0
    results: list[tuple[Step, bool, float]] = []
    for step in choose(fast=options.fast, only=options.only):
        if step.name == "tests" and results:
            print(f"\n{table(results)}", flush=True)
        results.append((step, *execute(step)))
    failed = [step.name for step, passed, _ in results if not passed]
    if failed or results[-1][0].name != "tests":
        print(f"\n{table(results)}", flush=True)
    if failed:
        print(f"FAILED: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
