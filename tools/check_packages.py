"""What users will install works: the driver alone, and the full stack.

Builds every sdist and, from it, the wheel; installs only the driver's wheel in an empty environment and runs
queries through it; installs all wheels in another one and imports every module. What it has built stays in
`build/packages`, for `check_contract.py`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from check_layers import EXTRAS

ROOT: Final = Path(__file__).resolve().parents[1]
DIST: Final = ROOT / "build" / "packages"
BUILT_FROM: Final = DIST / "built-from"
PACKAGES: Final = ("hyper-pgzig", "hyper-orm", "hyper-multidb", "hyper-dataloader", "hyperdjango")

DRIVER_ALONE: Final = """
import asyncio, importlib.metadata, os
from hyperdjango.database import Database, SyncDatabase

installed = {d.metadata["Name"] for d in importlib.metadata.distributions()}
assert installed == {"hyper-pgzig"}, installed
files = {str(path) for path in importlib.metadata.files("hyper-pgzig")}
pages = ("database/_explain_page.css", "database/_explain_page.js")
for name in ("database/py.typed", "conf/py.typed", "_hyperdjango_native.pyi", *pages):
    assert f"hyperdjango/{name}" in files, name
assert not [name for name in files if name.endswith(("/__init__.py", ".zig")) and name.count("/") == 1], files

async def main(url):
    async with Database(url) as db:
        return await db.query("SELECT $1::int AS n, $2::text AS s", 7, "seven")

assert asyncio.run(main(os.environ["CHECK_URL"])) == [{"n": 7, "s": "seven"}]
with SyncDatabase(os.environ["CHECK_URL"]) as db:
    assert db.query_val("SELECT sum(n) FROM generate_series(1, $1) n", 100) == 5050
print("hyper-pgzig alone: queries answered")
"""

FULL_STACK: Final = f"""
import importlib, pkgutil
import hyperdjango

names = [m.name for m in pkgutil.walk_packages(hyperdjango.__path__, "hyperdjango.")]
for part in ("conf", "database", "dataloader", "models", "multi_db", "_hyperdjango_native"):
    assert f"hyperdjango.{{part}}" in names, part
extras = {sorted(EXTRAS)!r}
for name in names:
    if name.rpartition(".")[2].startswith("__main__"):
        continue
    try:
        importlib.import_module(name)
    except ImportError:
        if name not in extras:
            raise
print(f"full stack: {{len(names)}} modules imported, but for {{len(extras)}} that need an extra")
"""


def call(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command away from the source tree; a failure is an exception."""
    words = [str(word) for word in command]
    print("+", *("a script" if "\n" in word else word for word in words), flush=True)
    hidden = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    subprocess.run(words, cwd=tempfile.gettempdir(), env={**hidden, **(environment or {})}, check=True)


def build(uv: str, wheels: Path) -> None:
    """Build the sdist and the wheel from it, for each package."""
    for name in PACKAGES:
        call(uv, "build", "--quiet", "--package", name, "--project", ROOT, "--out-dir", wheels, ROOT)
    kinds = {suffix: len(list(wheels.glob(f"*{suffix}"))) for suffix in (".whl", ".tar.gz")}
    if set(kinds.values()) != {len(PACKAGES)}:
        raise RuntimeError(f"built {kinds}, expected {len(PACKAGES)} of each")


def sources_digest() -> str:
    """Name the state of all that goes into the packages."""
    digest = hashlib.sha256(sys.version.encode())
    skipped = {"__pycache__", "build", "tests", ".zig-cache", "zig-out"}
    for top in (ROOT / "packages", ROOT / "zig"):
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(name for name in folders if name not in skipped and "egg-info" not in name)
            for name in sorted(names):
                if not name.endswith((".so", ".pyc")):
                    path = Path(folder) / name
                    digest.update(f"{path.relative_to(ROOT)}\0".encode())
                    digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def build_afresh(uv: str) -> list[Path]:
    """Build all packages into `build/packages` and return the wheels."""
    state = sources_digest()
    shutil.rmtree(DIST, ignore_errors=True)
    build(uv, DIST)
    BUILT_FROM.write_text(state, encoding="utf-8")
    return sorted(DIST.glob("*.whl"))


def built(uv: str) -> list[Path]:
    """Return the wheels of the sources as they are now; built before if they have not changed since."""
    if BUILT_FROM.is_file() and BUILT_FROM.read_text(encoding="utf-8") == sources_digest():
        return sorted(DIST.glob("*.whl"))
    return build_afresh(uv)


def environment_with(uv: str, folder: Path, wheels: list[Path], *options: str) -> Path:
    """Make an empty environment with these wheels; return its interpreter."""
    call(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, folder)
    interpreter = folder / "bin" / "python"
    call(uv, "pip", "install", "--quiet", "--python", interpreter, *options, *wheels)
    return interpreter


def main() -> bool:
    """Build, install, use."""
    from hyperdjango.database._embedded_server import EmbeddedServer  # noqa: PLC0415 - the build needs none

    uv = shutil.which("uv")
    if uv is None:
        print("the packaging check needs uv: pip install uv")
        return False
    with tempfile.TemporaryDirectory(prefix="hyper-packages-") as name:
        folder = Path(name)
        wheels = build_afresh(uv)
        driver_wheel = [wheel for wheel in wheels if wheel.name.startswith("hyper_pgzig-")]
        driver = environment_with(uv, folder / "driver", driver_wheel, "--no-deps")
        with EmbeddedServer() as server:
            call(driver, "-P", "-c", DRIVER_ALONE, environment={"CHECK_URL": server.url})
        full = environment_with(uv, folder / "full", wheels)
        call(full, "-P", "-c", FULL_STACK)
        call(folder / "full" / "bin" / "hyper", "--help")
    return True


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
