"""Installs built wheels in a fresh environment and runs queries through them, where the platform is ours.

Called by tools/release.py. The programs that are run are those of the check `packages`.
"""

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import check_packages
from check_layers import EXTRAS

from releasing.projects import DRIVER, Project, Refused
from releasing.targets import current_version

ASKS: Final = f"""
import importlib, os
from importlib import metadata

extras = {sorted(EXTRAS)!r}
parts = {{
    str(path) for path in metadata.files(os.environ["CHECK_NAME"]) or ()
    if str(path).startswith("hyperdjango/") and path.suffix == ".py"
}}
assert parts
for path in sorted(parts):
    name = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    if name not in extras and not name.rpartition(".")[2].startswith("__main__"):
        importlib.import_module(name)

from hyperdjango.database import SyncDatabase

with SyncDatabase(os.environ["CHECK_URL"]) as db:
    assert db.query_val("SELECT $1::int + 1", 41) == 42
print(os.environ["CHECK_NAME"], "installed:", len(parts), "modules imported, a query answered")
"""


def runs_here(wheel: Path) -> bool:
    """Whether this interpreter can import the wheel."""
    version = current_version().replace(".", "")
    ours = f"-cp{version.rstrip('t')}-cp{version}-manylinux_2_28_{_machine()}"
    return wheel.name.endswith("-none-any.whl") or ours in wheel.name


def try_driver(wheel: Path) -> None:
    """Install the driver's wheel alone and run queries through both faces."""
    from hyperdjango.database._embedded_server import EmbeddedServer  # noqa: PLC0415 - the build needs none

    with tempfile.TemporaryDirectory(prefix="hyper-release-") as name, EmbeddedServer() as server:
        python = check_packages.environment_with(_uv(), Path(name) / "environment", [wheel], "--no-deps")
        script = check_packages.DRIVER_ALONE
        check_packages.call(python, "-c", script, environment={"CHECK_URL": server.url})


def try_together(wheels: Mapping[str, Path], projects: Sequence[Project]) -> None:
    """Install wheels, with the driver's among them, in one environment; import and query by each."""
    from hyperdjango.database._embedded_server import EmbeddedServer  # noqa: PLC0415 - the build needs none

    if DRIVER not in wheels:
        raise Refused("the driver's wheel for this interpreter is missing")
    with tempfile.TemporaryDirectory(prefix="hyper-release-") as name, EmbeddedServer() as server:
        python = check_packages.environment_with(_uv(), Path(name) / "environment", list(wheels.values()))
        for project in projects:
            asked = {"CHECK_URL": server.url, "CHECK_NAME": project.name}
            check_packages.call(python, "-c", ASKS, environment=asked)


def _uv() -> str:
    found = shutil.which("uv")
    if found is None:
        raise Refused("trying the wheels needs uv: pip install uv")
    return found


def _machine() -> str:
    import platform  # noqa: PLC0415 - one word of it

    return platform.machine() if sys.platform == "linux" else "none"
