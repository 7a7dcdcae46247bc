"""`hyperdjango`: the parts are found from it, and nothing is imported before it is used."""

import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import hyperdjango
import pytest


def output(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", hyperdjango.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(hyperdjango, name) is not None
    assert name in dir(hyperdjango)


@pytest.mark.parametrize(
    "name", [name for name in hyperdjango.__all__ if name not in {"__version__", "settings", "errors"}]
)
def test_a_name_from_here_and_from_its_part_is_the_same_object(name: str) -> None:
    value = getattr(hyperdjango, name)
    if name in {"conf", "database", "dataloader", "models", "multi_db"}:
        assert value is import_module(f"hyperdjango.{name}")
    else:
        part = "app" if name in {"HyperApp", "JSONBytes"} else "database"
        assert value is getattr(import_module(f"hyperdjango.{part}"), name)


def test_settings_and_errors_are_those_of_their_parts() -> None:
    from hyperdjango import conf
    from hyperdjango.database import errors

    assert hyperdjango.settings is conf.settings
    assert hyperdjango.errors is errors


def test_its_version_is_the_distributions() -> None:
    assert hyperdjango.__version__ == metadata.version("hyperdjango")


def test_importing_it_imports_none_of_its_parts() -> None:
    script = "import sys, hyperdjango; print([n for n in sys.modules if n.startswith('hyperdjango.')])"
    assert output(script) == "[]\n"


def test_a_part_is_imported_on_first_use() -> None:
    script = "import sys, hyperdjango; hyperdjango.settings; print('hyperdjango.database' in sys.modules)"
    assert output(script) == "False\n"


def test_an_unknown_name_is_an_attribute_error_or_an_import_error() -> None:
    with pytest.raises(AttributeError, match="module 'hyperdjango' has no attribute 'Databse'"):
        _ = hyperdjango.Databse  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert "cannot import name" in output(
        "try:\n    from hyperdjango import Databse\nexcept ImportError as error: print(error)"
    )


def test_it_owns_the_only_init_file_at_this_level() -> None:
    found = [Path(place, "__init__.py") for place in hyperdjango.__path__]
    assert [path for path in found if path.exists()] == [Path(str(hyperdjango.__file__))]
    assert (Path(str(hyperdjango.__file__)).parent / "py.typed").exists()
