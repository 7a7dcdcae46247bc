"""Whether users' checkers see our types where not everything is installed: `tools/check.py` runs it.

The distributions share the folder `hyperdjango`, and only the full stack says by a `py.typed` there that all of it is
typed. Whoever has the driver and the ORM alone has typed packages and, beside them, the extension's module, of which
mypy believes nothing: what is derived from it must not be Any. So this is run as a user runs it, in an environment of
its own, over the ORM's file of typed usage.
typing docs: distributing type information, "Packaging type information".
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
INSTALLED: Final = ("hyper-pgzig", "hyper-orm", "hyper-dataloader")
USAGE: Final = ROOT / "packages/hyper-orm/tests/models/typed_usage.py"
# What the distributions need, as it is installed here.
NEEDED: Final = ("annotated_types", "typing_extensions")


def installed(folder: Path) -> Path:
    """Make an environment with these distributions alone, and return its interpreter."""
    venv.create(folder, with_pip=False)
    library = next(folder.glob("lib/python*/site-packages"))
    for name in INSTALLED:
        source = ROOT / "packages" / name / "src/hyperdjango"
        shutil.copytree(source, library / "hyperdjango", dirs_exist_ok=True)
    assert not (library / "hyperdjango/py.typed").exists(), "then it says nothing"
    for name in NEEDED:
        found = Path(str(__import__(name).__file__))
        if found.name == "__init__.py":
            shutil.copytree(found.parent, library / name)
        else:
            shutil.copy(found, library)
    return folder / "bin/python"


def main() -> bool:
    """Run mypy as such a user does; return whether it finds what the file says."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        interpreter = installed(folder / "environment")
        shutil.copy(USAGE, folder)
        command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", interpreter, USAGE.name]
        return subprocess.run([str(word) for word in command], cwd=folder, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(not main())
