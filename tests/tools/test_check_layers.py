"""The layer check finds what it is there to find, and lets pass what the layers allow."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_layers.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_layers", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


check_layers = load()

BROKEN = [
    ("hyperdjango.conf.x", "import hyperdjango.database"),
    ("hyperdjango.conf.x", "from hyperdjango import database"),
    ("hyperdjango.conf.x", "from ..database import Database"),
    ("hyperdjango.database.x", "from hyperdjango.models import Model"),
    ("hyperdjango.database.x", "import hyperdjango._hyperdjango_native"),
    ("hyperdjango.database.x", "from hyperdjango._hyperdjango_native import Connection"),
    ("hyperdjango.database.x", "def f():\n    import hyperdjango.models"),
    ("hyperdjango.database.x", "import psycopg"),
    ("hyperdjango.database.x", "import hyperdjango"),
    ("hyperdjango.models.x", "from hyperdjango.dataloader import DataLoader"),
    ("hyperdjango.models.x", "import hyperdjango.multi_db"),
    ("hyperdjango.multi_db.x", "from hyperdjango import models"),
    ("hyperdjango.dataloader.x", "from hyperdjango.database import Database"),
    ("hyperdjango._cli", "import psycopg"),
]
FINE = [
    ("hyperdjango.conf.x", "import os, tomllib"),
    ("hyperdjango.conf.x", "from hyperdjango.conf import _redact"),
    ("hyperdjango.database.x", "from hyperdjango.conf import settings"),
    ("hyperdjango.database.x", "from . import errors"),
    ("hyperdjango.database._native", "from hyperdjango import _hyperdjango_native as native"),
    ("hyperdjango.database.x", "def f():\n    import pydantic"),
    ("hyperdjango.database.x", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pydantic"),
    ("hyperdjango.models.x", "from hyperdjango.database import Database"),
    ("hyperdjango.models.x", "def f():\n    from hyperdjango.dataloader import DataLoader"),
    ("hyperdjango.dataloader.x", "from hyperdjango.database._native import require_native_api"),
    ("hyperdjango.dataloader._driver", "from hyperdjango.database import Database"),
    ("hyperdjango.app", "from hyperdjango import models, multi_db\nimport click"),
]


def faults(module: str, source: str) -> list[str]:
    found = check_layers.imports(ast.parse(source), module, is_package=False)
    return [fault for one in found if (fault := check_layers.fault(module, one, frozenset({"click"})))]


@pytest.mark.parametrize(("module", "source"), BROKEN)
def test_an_import_that_points_up_or_is_not_declared_is_found(module: str, source: str) -> None:
    assert len(faults(module, source)) == 1


@pytest.mark.parametrize(("module", "source"), FINE)
def test_an_import_that_points_down_passes(module: str, source: str) -> None:
    assert faults(module, source) == []
