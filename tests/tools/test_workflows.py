"""The workflow files give away as little as they can, and run only what is named by its commit."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from releasing import projects

FOLDER = projects.ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.y*ml"))
PINNED = re.compile(r"^\s*(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
# The jobs that may do more than read the repository: those that hand over what other jobs have built.
MORE = {
    ("release.yml", "publish"): {"id-token": "write", "attestations": "write"},
    ("docs.yml", "deploy"): {"id-token": "write", "pages": "write"},
}
# What whoever opens a pull request or names a branch can choose, wherever it would be text of a command.
EXPRESSION = re.compile(r"\$\{\{")


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(path)["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job["steps"]


def test_the_checks_and_the_release_have_a_workflow() -> None:
    assert {"ci.yml", "release.yml"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert lines
    assert [line for line in lines if not PINNED.match(line)] == []


def test_an_action_has_one_commit_in_all_workflows() -> None:
    pins: dict[str, set[str]] = {}
    for path in FILES:
        for step in steps(path):
            if "uses" in step:
                name, _, commit = step["uses"].partition("@")
                pins.setdefault(name, set()).add(commit)
    assert {name: commits for name, commits in pins.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_permitted_but_job_by_job(path: Path) -> None:
    assert load(path)["permissions"] == {}
    for name, job in jobs(path).items():
        kind = "publish" if name.startswith("publish-") else name
        assert job["permissions"] == MORE.get((path.name, kind), {"contents": "read"}), name
        assert job["timeout-minutes"] <= 180


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_command_has_an_expression_in_its_text(path: Path) -> None:
    assert [step["run"] for step in steps(path) if EXPRESSION.search(step.get("run", ""))] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_workflow_runs_foreign_code_with_rights_or_knows_a_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for word in ("pull_request_target", "workflow_run", "secrets.", "github.event", "password:"):
        assert word not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_checkout_leaves_no_credentials_behind(path: Path) -> None:
    found = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert found
    assert all(step["with"]["persist-credentials"] is False for step in found)


def test_each_package_is_published_by_a_job_in_an_environment_of_its_own_name() -> None:
    found = jobs(FOLDER / "release.yml")
    names = set(projects.workspace())
    assert set(found) == {"build", *(f"publish-{name}" for name in names)}
    for name in names:
        job = found[f"publish-{name}"]
        assert job["environment"] == name
        assert job["if"] == f"needs.build.outputs.package == '{name}'"
        assert job["needs"] == "build"


def test_a_job_that_may_publish_checks_nothing_out_and_builds_nothing() -> None:
    for name, job in jobs(FOLDER / "release.yml").items():
        if name.startswith("publish-"):
            used = [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]
            assert used == [
                "actions/download-artifact",
                "actions/attest-build-provenance",
                "pypa/gh-action-pypi-publish",
            ]
            commands = [step["run"] for step in job["steps"] if "run" in step]
            assert commands == ["sha256sum --check --strict SHA256SUMS && mv SHA256SUMS .."]


def test_a_release_starts_by_a_tag_of_a_package_and_by_nothing_else() -> None:
    text = (FOLDER / "release.yml").read_text(encoding="utf-8")
    # YAML reads the key `on` as a truth value.
    loaded: dict[Any, Any] = yaml.safe_load(text)
    assert loaded[True] == {"push": {"tags": ["hyper-*-v*", "hyperdjango-v*"]}}
    (pattern,) = re.findall(r'\[\[ "\$TAG" =~ (\S+) \]\]', text)
    for project in projects.workspace().values():
        found = re.match(pattern, project.tag)
        assert found is not None
        assert found[1] == project.name
    for tag in ("hyper-evil-v1", "hyper-orm-v", "hyper-orm-v1;id", "hyper-orm-v1/../x", "hyper-orm-v$(id)"):
        assert re.match(pattern, tag) is None
