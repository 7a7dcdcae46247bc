"""`hyperdjango.models` can be imported, says its version, and refuses a driver it was not made for."""

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
    from hyperdjango import models

    assert models.__version__ == metadata.version("hyper-orm")
    assert all(hasattr(models, name) for name in models.__all__)


def test_it_is_typed() -> None:
    from hyperdjango import models

    assert (Path(models.__file__).parent / "py.typed").exists()


def test_without_the_extension_the_import_says_how_to_build_it() -> None:
    script = 'import sys; sys.modules["hyperdjango._hyperdjango_native"] = None; import hyperdjango.models'
    done = run(script)
    assert done.returncode == 1
    assert "NativeExtensionMissing: Native extension not available. Build it:" in done.stderr


def test_a_driver_of_another_native_api_is_refused_with_both_versions() -> None:
    done = run(FAKE + "door.EXPECTED_API = fake.API_VERSION = 2\nimport hyperdjango.models")
    assert done.returncode == 1
    assert "ImportError: hyper-orm 0.1.0 needs native API 1" in done.stderr
    assert "the extension of hyper-pgzig 0.1.0 has native API 2" in done.stderr
    assert "uv pip install --upgrade hyper-pgzig hyper-orm" in done.stderr
