"""A package is built twice, from the tree and from its sdist, and what differs is refused."""

import subprocess
from pathlib import Path

import pytest
import release
from releasing import archives, building, changelog, checking, projects, repository, sbom
from releasing.building import Builder
from releasing.projects import Project, Refused

EPOCH = 1_795_731_894
PYPROJECT = """\
[build-system]
requires = ["setuptools>=80"]
build-backend = "setuptools.build_meta"

[project]
name = "hyper-small"
version = "0.1.0"
description = "A package of one module."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["click>=8"]

[tool.setuptools.packages.find]
where = ["src"]
namespaces = true

[tool.setuptools.package-data]
"*" = ["py.typed"]
"""
DICE = """
import os
from setuptools import setup
from setuptools.command.build_py import build_py

class dice(build_py):
    def run(self):
        super().run()
        with open(os.path.join(self.build_lib, "hyperdjango", "small", "dice.py"), "w") as file:
            file.write(f"THROWN = {os.urandom(8).hex()!r}")

setup(cmdclass={"build_py": dice})
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    package = tmp_path / "root" / "packages" / "hyper-small"
    source = package / "src" / "hyperdjango" / "small"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("SMALL = True\n", encoding="utf-8")
    (source / "py.typed").write_text("", encoding="utf-8")
    (source / "left_over.so").write_text("", encoding="utf-8")
    (package / "README.md").write_text("A package.\n", encoding="utf-8")
    (package / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (tmp_path / "root" / ".gitignore").write_text("*.so\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "root", check=True)
    return projects.load(package)


def test_a_package_is_built_twice_to_the_same_bytes_and_has_no_faults(
    project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    builder = Builder(project, tmp_path / "work", EPOCH)
    sdist = builder.sdist(out)
    (wheel,) = builder.wheels(sdist, [None], out)
    assert sorted(path.name for path in out.iterdir()) == [
        "hyper_small-0.1.0-py3-none-any.whl",
        "hyper_small-0.1.0.tar.gz",
    ]
    assert checking.faults(project, wheel, None, [tmp_path]) == []
    files = archives.read_wheel(wheel)
    assert "hyperdjango/small/__init__.py" in files
    assert b"click" in files[sbom.path_in_wheel(project, archives.dist_info(files))]
    assert "hyper_small-0.1.0/README.md" in archives.read_sdist(sdist)


def test_the_machines_settings_do_not_reach_a_build(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    for number, settings in enumerate(
        ({}, {"SOURCE_DATE_EPOCH": "1", "TZ": "Asia/Tokyo", "PYTHONPATH": "/x"})
    ):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        out = tmp_path / f"out-{number}"
        builder = Builder(project, tmp_path / f"work-{number}", EPOCH)
        sdist = builder.sdist(out)
        made.append(sdist.read_bytes() + next(builder.wheels(sdist, [None], out)).read_bytes())
    assert made[0] == made[1]


def test_a_build_that_throws_dice_is_refused(project: Project, tmp_path: Path) -> None:
    (project.folder / "setup.py").write_text(DICE, encoding="utf-8")
    builder = Builder(project, tmp_path / "work", EPOCH)
    sdist = builder.sdist(tmp_path / "out")
    with pytest.raises(Refused, match=r"the tree and the sdist give different .*hyperdjango/small/dice\.py"):
        next(builder.wheels(sdist, [None], tmp_path / "out"))


def test_an_sdist_that_lacks_a_file_of_the_tree_is_refused(project: Project, tmp_path: Path) -> None:
    (project.folder / "setup.py").write_text(
        "import pathlib; from setuptools import setup\n"
        "here = pathlib.Path(__file__).parent\n"
        "name = here / 'words.txt'\n"
        "setup(description=name.read_text() if name.exists() else 'none', version='0.1.0')\n",
        encoding="utf-8",
    )
    text = PYPROJECT.replace('description = "A package of one module."\n', 'dynamic = ["description"]\n')
    (project.folder / "pyproject.toml").write_text(text, encoding="utf-8")
    (project.folder / "words.txt").write_text("some", encoding="utf-8")
    builder = Builder(project, tmp_path / "work", EPOCH)
    sdist = builder.sdist(tmp_path / "out")
    with pytest.raises(Refused, match="METADATA"):
        next(builder.wheels(sdist, [None], tmp_path / "out"))


def test_a_wheel_that_is_not_right_ends_the_matrix_where_it_is_found(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "AT_ONCE", 1)
    monkeypatch.setattr(checking, "faults", lambda *_: ["it has a fault"])
    monkeypatch.setattr(repository, "commit_time", lambda: EPOCH)
    begun: list[Path] = []
    once = building.run_backend

    def count(what: str, package: Path, out: Path, environment: dict[str, str]) -> Path:
        begun.append(package)
        return once(what, package, out, environment)

    monkeypatch.setattr(building, "run_backend", count)
    with pytest.raises(Refused, match="it has a fault"):
        release.make(project, [None] * 40, tmp_path / "out", tmp_path / "work")
    # Two sdists, the first wheel twice, and what had begun by the time that it was looked at.
    assert 4 <= len(begun) < 42


def test_a_build_that_fails_is_refused_with_its_last_words(project: Project, tmp_path: Path) -> None:
    (project.folder / "setup.py").write_text("raise SystemExit('no luck today')\n", encoding="utf-8")
    with pytest.raises(Refused, match="no luck today"):
        Builder(project, tmp_path / "work", EPOCH).sdist(tmp_path / "out")


def test_the_sums_are_as_sha256sum_reads_them(tmp_path: Path) -> None:
    for name in ("b.whl", "a.tar.gz"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    text = building.sums([tmp_path / "b.whl", tmp_path / "a.tar.gz"])
    (tmp_path / "SHA256SUMS").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True
    )
    assert done.stdout.decode() == "a.tar.gz: OK\nb.whl: OK\n"


def test_the_command_refuses_with_all_reasons_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repository, "faults", lambda *_: iter(["the tree is not the commit's: x"]))
    monkeypatch.setattr(changelog, "fault", lambda _: "there is no entry")
    monkeypatch.setattr(projects, "license_fault", lambda _: "there is no licence")
    assert release.main(["check", "hyper-orm"]) == 1
    said = "refused:\nthe tree is not the commit's: x\nthere is no entry\nthere is no licence\n"
    assert capsys.readouterr().out == said
    monkeypatch.setattr(repository, "faults", lambda *_: iter(()))
    monkeypatch.setattr(changelog, "fault", lambda _: None)
    monkeypatch.setattr(projects, "license_fault", lambda _: None)
    assert release.main(["check", "hyper-orm"]) == 0
    assert capsys.readouterr().out == "hyper-orm-v0.1.0 may be released\n"


def test_a_dry_run_that_is_refused_is_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release, "fit_faults", lambda project: [f"{project.name} does not fit"])
    assert release.run_dry() is False
    assert "hyper-orm does not fit" in capsys.readouterr().out


def test_what_the_compiler_said_is_shown_in_front_of_the_end_of_a_failed_build() -> None:
    said = "src/a.zig:4:2: error: no such field"
    lines = ["compiling", said, *(f"frame {number}" for number in range(100)), "CalledProcessError"]
    shown = building.gist("\n".join(lines)).splitlines()
    assert shown[0] == said
    assert shown[-1] == "CalledProcessError"
    assert len(shown) == 1 + building.ENDING
    assert building.gist("short") == "short"
