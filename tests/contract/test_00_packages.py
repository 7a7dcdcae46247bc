"""The contract's preface: which distribution gives which names, one extension, no fallback."""

import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hyperdjango
import pytest

DISTRIBUTIONS = ("hyper-pgzig", "hyper-orm", "hyper-multidb", "hyper-dataloader", "hyperdjango")


def files(distribution: str) -> set[str]:
    """What a wheel has put into site-packages."""
    return {str(path) for path in importlib.metadata.files(distribution) or ()}


def python(program: str) -> str:
    """Run a program in a fresh interpreter of this environment and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.line("0.environment")
def test_nothing_but_installed_wheels_is_seen() -> None:
    """What is tested is what users install."""
    import hyperdjango._hyperdjango_native as native

    environment = Path(os.environ["HYPER_CONTRACT_ENVIRONMENT"]).resolve()
    assert Path(sys.prefix).resolve() == environment
    assert sys.flags.safe_path
    places = [Path(place).resolve() for place in hyperdjango.__path__]
    installed = importlib.metadata.distribution("hyperdjango").locate_file("hyperdjango")
    assert places == [Path(str(installed)).resolve()]
    assert native.__file__ is not None
    assert Path(native.__file__).resolve().parent == places[0]
    assert places[0].is_relative_to(environment)
    assert places[0].parent.name == "site-packages"


@pytest.mark.line("0.import.database")
@pytest.mark.parametrize(
    "name", ["database/__init__.py", "conf/__init__.py", "_hyperdjango_native.pyi", "database/py.typed"]
)
def test_hyper_pgzig_gives_driver_and_settings(name: str) -> None:
    """hyper-pgzig: hyperdjango.database, hyperdjango.conf, the native module."""
    assert f"hyperdjango/{name}" in files("hyper-pgzig")


@pytest.mark.line("0.import.models")
def test_hyper_orm_gives_models() -> None:
    """hyper-orm: hyperdjango.models with Model and Field."""
    from hyperdjango.models import Field, Manager, Model, QuerySet

    assert "hyperdjango/models/__init__.py" in files("hyper-orm")
    assert all(map(callable, (Field, Manager, Model, QuerySet)))


@pytest.mark.line("0.import.multi_db")
def test_hyper_multidb_gives_routing() -> None:
    """hyper-multidb: hyperdjango.multi_db with the manager and the routers."""
    from hyperdjango.multi_db import ConnectionManager, DatabaseRouter, PrimaryReplicaRouter

    assert "hyperdjango/multi_db/__init__.py" in files("hyper-multidb")
    assert all(map(callable, (ConnectionManager, DatabaseRouter, PrimaryReplicaRouter)))


@pytest.mark.line("0.import.dataloader")
def test_hyper_dataloader_gives_the_loader() -> None:
    """hyper-dataloader: hyperdjango.dataloader with DataLoader."""
    from hyperdjango.dataloader import DataLoader

    assert "hyperdjango/dataloader/__init__.py" in files("hyper-dataloader")
    assert callable(DataLoader)


@pytest.mark.line("0.import.full")
def test_the_full_stack_gives_the_names_lazily() -> None:
    """hyperdjango: the names above, imported when they are first used."""
    program = """
import sys, hyperdjango
assert not [name for name in sys.modules if name.startswith("hyperdjango.")], "imported too early"
names = [hyperdjango.Database, hyperdjango.get_db, hyperdjango.settings, hyperdjango.models.Model,
         hyperdjango.multi_db.ConnectionManager, hyperdjango.dataloader.DataLoader]
print(all(names))
"""
    assert python(program) == "True"


@pytest.mark.line("0.alone")
def test_the_driver_works_alone(tmp_path: Path, url: str) -> None:
    """Installing hyper-pgzig alone gives a working driver."""
    for path in importlib.metadata.files("hyper-pgzig") or ():
        source = Path(str(path.locate()))
        if path.parts[0] != ".." and source.is_file():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, tmp_path / path)
    program = f"""
import asyncio, importlib.util, sys
sys.path.insert(0, {str(tmp_path)!r})
from hyperdjango.database import Database

async def main():
    async with Database({url!r}, 1, 1) as db:
        return await db.query("SELECT $1::int AS n", 7)

assert importlib.util.find_spec("hyperdjango.models") is None
print(asyncio.run(main()))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[{'n': 7}]", "")


@pytest.mark.line("0.everything")
def test_the_full_stack_brings_everything() -> None:
    """Installing hyperdjango gives everything."""
    brought = {re.split(r"[^\w-]", text)[0] for text in importlib.metadata.requires("hyperdjango") or ()}
    assert brought >= set(DISTRIBUTIONS) - {"hyperdjango"}


@pytest.mark.line("0.wheel.one_extension")
def test_the_extension_is_in_the_drivers_wheel_alone() -> None:
    """One native extension, shipped in the hyper-pgzig wheel only."""
    holders = {
        name: [path for path in files(name) if path.endswith((".so", ".pyd"))] for name in DISTRIBUTIONS
    }
    assert [name for name, found in holders.items() if found] == ["hyper-pgzig"]
    assert [path.split(".")[0] for path in holders["hyper-pgzig"]] == ["hyperdjango/_hyperdjango_native"]


@pytest.mark.line("0.wheel.no_init")
def test_only_the_full_stack_ships_the_common_init() -> None:
    """Import names are shared by several distributions."""
    assert [name for name in DISTRIBUTIONS if "hyperdjango/__init__.py" in files(name)] == ["hyperdjango"]


@pytest.mark.line("0.wheel.ranges")
@pytest.mark.parametrize("name", ["hyper-orm", "hyper-multidb", "hyperdjango"])
def test_who_is_built_on_the_driver_declares_a_range_of_it(name: str) -> None:
    """Every other distribution reaches native code through hyper-pgzig, at a version range it declares."""
    requirement = next(
        text for text in importlib.metadata.requires(name) or () if text.startswith("hyper-pgzig")
    )
    assert ">=" in requirement
    assert "<" in requirement.replace(">=", "")


@pytest.mark.line("0.native.number")
@pytest.mark.parametrize("part", ["models", "multi_db", "dataloader"])
def test_another_native_api_number_is_refused_at_import(part: str) -> None:
    """Mismatch: ImportError naming both versions and the command that mends it."""
    program = f"""
import sys, types
sys.modules["hyperdjango._hyperdjango_native"] = fake = types.ModuleType("hyperdjango._hyperdjango_native")
fake.API_VERSION = 999
import hyperdjango
hyperdjango._hyperdjango_native = fake
try:
    import hyperdjango.{part}
except ImportError as error:
    print(error)
"""
    distribution = {"models": "hyper-orm", "multi_db": "hyper-multidb", "dataloader": "hyper-dataloader"}[
        part
    ]
    printed = python(program)
    assert f"{distribution} {importlib.metadata.version(distribution)}" in printed
    assert f"hyper-pgzig {importlib.metadata.version('hyper-pgzig')}" in printed
    assert "999" in printed
    assert "uv " in printed


@pytest.mark.line("0.native.missing")
@pytest.mark.parametrize("call", ["Database('postgresql:///x')", "SyncDatabase('postgresql:///x')"])
def test_without_the_extension_there_is_no_database(call: str) -> None:
    """No fallback: NativeExtensionMissing, a RuntimeError, with the command on the next line."""
    program = f"""
import sys
sys.modules["hyperdjango._hyperdjango_native"] = None
from hyperdjango.database import Database, NativeExtensionMissing, SyncDatabase
try:
    {call}
except NativeExtensionMissing as error:
    assert isinstance(error, RuntimeError)
    print(error)
"""
    lines = python(program).splitlines()
    assert lines[:2] == ["Native extension not available. Build it:", "uv run hyper-build"]
