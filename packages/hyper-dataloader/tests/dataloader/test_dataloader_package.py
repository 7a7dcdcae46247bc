"""`hyperdjango.dataloader` can be imported, says its version, and refuses a driver it was not made for."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

FAKE = """
import sys, types
fake = types.ModuleType("hyperdjango._hyperdjango_native")
fake.API_VERSION = 1
sys.modules[fake.__name__] = fake
import hyperdjango
hyperdjango._hyperdjango_native = fake
import hyperdjango.database._native as door
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )


def test_its_version_is_the_distributions() -> None:
    from hyperdjango import dataloader

    assert dataloader.__version__ == metadata.version("hyper-dataloader")
    assert sorted(dataloader.__all__) == dataloader.__all__
    assert all(hasattr(dataloader, name) for name in dataloader.__all__)


def test_it_is_typed() -> None:
    from hyperdjango import dataloader

    assert (Path(dataloader.__file__).parent / "py.typed").exists()


def test_it_can_be_imported_without_the_extension() -> None:
    script = (
        'import sys; sys.modules["hyperdjango._hyperdjango_native"] = None; import hyperdjango.dataloader'
    )
    done = run(script)
    assert done.returncode == 0, done.stderr


def test_a_driver_of_another_native_api_is_refused_with_both_versions() -> None:
    done = run(FAKE + "door.EXPECTED_API = fake.API_VERSION = 2\nimport hyperdjango.dataloader")
    assert done.returncode == 1
    assert "ImportError: hyper-dataloader 0.1.0 needs native API 1" in done.stderr
    assert "the extension of hyper-pgzig 0.1.0 has native API 2" in done.stderr
    assert "uv pip install --upgrade hyper-pgzig hyper-dataloader" in done.stderr
