"""`hyperdjango.database._native`: the extension there, missing, broken, and of another API number.

Each case is a fresh interpreter, because the door is looked through once per process.
"""

import subprocess
import sys

import pytest

MISSING = "sys.modules['hyperdjango._hyperdjango_native'] = None"
FAKE = """
fake = types.ModuleType('hyperdjango._hyperdjango_native')
fake.API_VERSION = {api}
sys.modules[fake.__name__] = fake
import hyperdjango
hyperdjango._hyperdjango_native = fake
"""


def run(*lines: str) -> subprocess.CompletedProcess[str]:
    script = "\n".join(["import sys, types", *lines])
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )


def output(*lines: str) -> str:
    done = run(*lines)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_built_extension_has_the_api_number_that_python_expects() -> None:
    from hyperdjango.database import _native

    assert _native.available()
    assert _native.backend() == "pgzig"
    assert _native.native.API_VERSION == _native.EXPECTED_API
    _native.require_native()


def test_without_the_extension_importing_works_and_using_says_how_to_build_it() -> None:
    text = output(
        MISSING,
        "from hyperdjango.database import _native, errors",
        "print(_native.available(), _native.backend())",
        "_native.require_native_api('hyper-orm', 99)",
        "for use in (_native.require_native, lambda: _native.native.Connection):",
        "    try: use()",
        "    except errors.NativeExtensionMissing as error:",
        "        print(error); print(isinstance(error.__cause__, ImportError))",
    )
    said = "Native extension not available. Build it:\nuv run hyper-build\nTrue\n"
    assert text == "False none\n" + said + said


def test_an_extension_that_cannot_be_loaded_counts_as_missing_and_its_fault_is_the_cause() -> None:
    text = output(
        "class Finder:",
        "    def find_spec(self, name, path=None, target=None):",
        "        if name == 'hyperdjango._hyperdjango_native':",
        "            raise ImportError('undefined symbol: PyNothing')",
        "sys.meta_path.insert(0, Finder())",
        "from hyperdjango.database import _native",
        "try: _native.native.Connection",
        "except RuntimeError as error: print(type(error).__name__, '|', error.__cause__)",
    )
    assert text == "NativeExtensionMissing | undefined symbol: PyNothing\n"


@pytest.mark.parametrize("api", [0, 7])
def test_an_extension_of_another_api_number_is_refused_with_both_numbers_and_the_command(api: int) -> None:
    text = output(
        FAKE.format(api=api),
        "from hyperdjango.database import _native",
        "print(_native.available(), _native.backend())",
        "for use in (_native.require_native, lambda: _native.native.Connection):",
        "    try: use()",
        "    except ImportError as error: print(error)",
    )
    said = (
        "hyper-pgzig 0.1.0 needs native API 1, but the extension of hyper-pgzig 0.1.0 has native API "
        f"{api}. Build it again:\nuv run hyper-build\n"
    )
    assert text == "False none\n" + said + said


def test_an_extension_without_a_number_counts_as_of_api_0() -> None:
    done = run(
        FAKE.format(api=0),
        "del fake.API_VERSION",
        "from hyperdjango.database import _native as n; n.native.X",
    )
    assert "has native API 0." in done.stderr


@pytest.mark.parametrize("extension", [FAKE.format(api=7), MISSING])
def test_an_unusable_extension_can_still_be_built_anew(extension: str) -> None:
    assert output(extension, "from hyperdjango.database._build import main", "print('ok')") == "ok\n"


def test_another_distribution_is_told_both_versions_and_what_mends_it() -> None:
    fake = FAKE.format(api=1)
    door = "from hyperdjango.database._native import require_native_api"
    assert output(fake, door, "require_native_api('hyper-orm', 1); print('ok')") == "ok\n"
    done = run(fake, door, "require_native_api('hyper-orm', 2)")
    assert done.returncode == 1
    assert (
        "ImportError: hyper-orm 0.1.0 needs native API 2, but the extension of hyper-pgzig 0.1.0"
        in done.stderr
    )
    assert "has native API 1. Install versions that go together:" in done.stderr
    assert "uv pip install --upgrade hyper-pgzig hyper-orm" in done.stderr


@pytest.mark.parametrize("api", [1, 7])
def test_another_distribution_is_refused_at_its_import_when_the_driver_itself_does_not_fit(api: int) -> None:
    door = "from hyperdjango.database._native import require_native_api"
    done = run(FAKE.format(api=7), door, f"require_native_api('hyper-orm', {api})")
    assert done.returncode == 1
    assert f"ImportError: hyper-orm 0.1.0 needs native API {api}, but" in done.stderr
    assert "has native API 7. Build it again:\nuv run hyper-build" in done.stderr


def test_a_distribution_that_is_not_installed_is_named_without_a_version() -> None:
    door = "from hyperdjango.database._native import require_native_api"
    done = run(FAKE.format(api=1), door, "require_native_api('hyper-none', 2)")
    assert "ImportError: hyper-none (not installed) needs native API 2" in done.stderr
