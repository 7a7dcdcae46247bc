"""The pytest plugin that says in how many processes the tests run, and prepares each of them.

Every process of pytest-xdist has servers of its own (`postgres_servers`), so tests know nothing of those that
run beside them. Which process gets which test is decided while they run: tests depend on no order.
Loaded by the root conftest. pytest-xdist docs: "Running tests across multiple CPUs".
"""

import gc
import os
from pathlib import Path
from typing import Final

import pytest

FILES_MIN: Final = 4
"""So few files are done before a second process has collected them and started its servers."""
PROCESSES_MAX: Final = 4


@pytest.hookimpl(optionalhook=True)  # there is no such hook with `-p no:xdist`
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return what `-n auto` stands for: 0 is this process alone, as for single files and for `-s`.

    A server of DATABASE_URL is one for all: what tests make there beside databases, as roles, would collide.
    """
    if os.environ.get("DATABASE_URL"):
        return 0
    paths = {argument.partition("::")[0] for argument in config.args}
    is_short = len(paths) < FILES_MIN and not any(Path(path).is_dir() for path in paths)
    if is_short or config.option.collectonly or config.option.capture == "no":
        return 0
    count = min(len(os.sched_getaffinity(0)), PROCESSES_MAX)
    return count if count > 1 else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a name with an address in it: every process would have another."""
    for item in items:
        if " at 0x" in item.name:
            raise pytest.UsageError(f"give its parameters ids without an address: {item.nodeid}")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep the collector from looking through all tests again and again: many collect to see what is left.

    It takes a tenth of a second each time, and a test of some hundred moments does it at each of them.
    """
    gc.collect()
    gc.freeze()
