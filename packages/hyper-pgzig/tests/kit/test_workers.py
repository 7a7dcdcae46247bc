"""In how many processes the tests run."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from workers import PROCESSES_MAX, pytest_collection_modifyitems, pytest_xdist_auto_num_workers

HERE = str(Path(__file__).parent)


def count(*args: str, collectonly: bool = False, capture: str = "fd") -> int:
    config: Any = SimpleNamespace(
        args=list(args), option=SimpleNamespace(collectonly=collectonly, capture=capture)
    )
    return pytest_xdist_auto_num_workers(cast("pytest.Config", config))


@pytest.fixture(autouse=True)
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})


def test_folders_are_shared_between_all_processors() -> None:
    assert count(HERE) == 3
    assert count("test_a.py", HERE) == 3


def test_many_processors_are_not_all_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert count(HERE) == PROCESSES_MAX


def test_a_single_processor_has_no_second_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert count(HERE) == 0


def test_a_few_files_or_single_tests_stay_in_this_process() -> None:
    assert count("test_a.py") == 0
    assert count("test_a.py::test_one", "test_a.py::test_two", "test_b.py", "test_b.py::test_one[x]") == 0
    assert count("test_a.py", "test_b.py", "test_c.py", "test_d.py") == 3


def test_what_is_printed_or_only_listed_stays_in_this_process() -> None:
    assert count(HERE, capture="no") == 0
    assert count(HERE, collectonly=True) == 0


def test_a_given_server_is_used_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1/x")
    assert count(HERE) == 0


def test_a_name_that_differs_between_processes_is_refused() -> None:
    def named(name: str) -> pytest.Item:
        return cast("pytest.Item", SimpleNamespace(name=name, nodeid=f"test_a.py::{name}"))

    pytest_collection_modifyitems([named("test_one[at 0]")])
    with pytest.raises(pytest.UsageError, match=r"ids without an address: test_a.py::test_one\[<object"):
        pytest_collection_modifyitems([named(f"test_one[{object()!r}]")])
