"""The source trees of all packages copied into one, as they lie in site-packages after an installation.

Type checkers cannot follow one import name through several source trees: the `__init__.py` of the full stack
hides the others. They run over this copy, and `run_mapped` turns its paths in their output back into ours.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MERGED: Final = ROOT / "build" / "merged"
IGNORED: Final = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.egg-info")


def sources() -> list[Path]:
    """Every package's source tree."""
    return sorted(ROOT.glob("packages/*/src"))


def make(*, pyright: bool = False) -> Path:
    """Copy the trees and return the folder to put on the search path.

    Args:
        pyright: Also write the configuration pyright needs there.
    Raises:
        RuntimeError: Two packages ship the same file.
    """
    shutil.rmtree(MERGED, ignore_errors=True)
    origin: dict[Path, Path] = {}
    for source in sources():
        for path in source.rglob("*"):
            relative = path.relative_to(source)
            if path.is_file() and relative in origin and relative.suffix != ".pyc":
                raise RuntimeError(f"{path} and {origin[relative]} would be one file when installed")
            origin[relative] = path
        # copy2 keeps the times, so the checkers' caches stay good.
        shutil.copytree(source, MERGED, ignore=IGNORED, dirs_exist_ok=True)
    if pyright:
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"]
        settings = {**settings, "include": ["hyperdjango", "typed_usage"]}
        (MERGED / "typed_usage").mkdir()
        for path in ROOT.glob("packages/*/tests/**/typed_usage.py"):
            shutil.copy2(path, MERGED / "typed_usage" / f"{path.parents[2].name.replace('-', '_')}.py")
        # A queryset's, a table's and a model's insides are hidden from users, not from the modules beside them.
        settings["executionEnvironments"] = [
            {"root": "hyperdjango/models", "extraPaths": ["."], "reportPrivateUsage": False},
            {"root": "."},
        ]
        for here_only in ("venvPath", "venv", "exclude"):
            settings.pop(here_only, None)
        (MERGED / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    return MERGED


def to_source(text: str) -> str:
    """Turn paths of the copy into paths of the packages."""
    for source in sources():
        for part in (source / "hyperdjango").iterdir():
            below = f"hyperdjango{os.sep}{part.name}"
            real = str((source / below).relative_to(ROOT))
            text = text.replace(str(MERGED / below), real).replace(
                str((MERGED / below).relative_to(ROOT)), real
            )
    return text


def run_mapped(command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Run a checker and print what it says with our own paths."""
    print("+", *command, flush=True)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    sys.stdout.write(to_source(done.stdout))
    sys.stdout.flush()
    return done.returncode == 0
