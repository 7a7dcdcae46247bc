"""A version is released when its changelog, its siblings and its native API say so, and is refused otherwise."""

import datetime
import subprocess
import tomllib
from pathlib import Path

import pytest
from releasing import changelog, projects, repository, targets
from releasing.projects import Project, Refused

DAY = datetime.date(2026, 11, 26)
CHANGELOG = "# Changelog of hyper-orm\n\nEntries of the next release are collected in `changelog.d/`.\n"


def write(root: Path, name: str, version: str, requires: str = "", *, api: int = 1) -> None:
    folder = root / "packages" / name
    source = folder / "src" / "hyperdjango" / name.removeprefix("hyper-")
    source.mkdir(parents=True)
    (folder / "changelog.d").mkdir()
    (folder / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    (source / "_driver.py").write_text(f"NATIVE_API: Final = {api}\n", encoding="utf-8")
    lines = f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = [{requires}]\n'
    (folder / "pyproject.toml").write_text(lines, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "hyper-pgzig", "0.1.4")
    write(tmp_path, "hyper-orm", "0.1.0", '"hyper-pgzig>=0.1,<0.2"')
    module = tmp_path / "zig" / "src" / "python" / "module.zig"
    module.parent.mkdir(parents=True)
    module.write_text("pub const api_version = 1;\n", encoding="utf-8")
    (tmp_path / "zig" / "build.zig.zon").write_text(
        '.{\n    .version = "0.1.4",\n    .minimum_zig_version = "0.17.1",\n}\n', encoding="utf-8"
    )
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def orm(root: Path) -> Project:
    return projects.workspace(root)["hyper-orm"]


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def test_the_packages_of_this_workspace_fit_each_other() -> None:
    known = projects.workspace()
    assert set(known) == {"hyper-pgzig", "hyper-orm", "hyper-multidb", "hyper-dataloader", "hyperdjango"}
    for project in known.values():
        assert list(projects.range_faults(project, known)) == []
        assert list(projects.api_faults(project)) == []
        assert list(projects.lock_faults(project)) == []


def test_a_version_that_uv_has_not_locked_is_refused(root: Path) -> None:
    lock = root / "uv.lock"
    lock.write_text('[[package]]\nname = "hyper-orm"\nversion = "0.0.9"\n', encoding="utf-8")
    (fault,) = projects.lock_faults(orm(root), root)
    assert fault == "uv.lock has hyper-orm 0.0.9, pyproject.toml 0.1.0: run `uv lock`"
    edit(lock, "0.0.9", "0.1.0")
    assert list(projects.lock_faults(orm(root), root)) == []
    edit(lock, "hyper-orm", "hyper-other")
    (fault,) = projects.lock_faults(orm(root), root)
    assert fault.startswith("uv.lock has hyper-orm not at all")


def test_the_classifiers_name_what_wheels_are_built_for() -> None:
    systems = {"macosx": "MacOS", "manylinux": "POSIX :: Linux", "musllinux": "POSIX :: Linux"}
    built_for = {systems[platform.name.partition("_")[0]] for platform in targets.PLATFORMS}
    versions = {version for version in targets.VERSIONS if not version.endswith("t")}
    for project in projects.workspace().values():
        text = (project.folder / "pyproject.toml").read_text(encoding="utf-8")
        named = [str(each) for each in tomllib.loads(text)["project"]["classifiers"]]
        system = "Operating System :: "
        assert {each.removeprefix(system) for each in named if each.startswith(system)} == built_for
        if project.is_native:
            python = "Programming Language :: Python :: 3."
            assert {f"3.{each.removeprefix(python)}" for each in named if each.startswith(python)} == versions
            assert "Programming Language :: Python :: Free Threading" in named


def test_a_package_that_names_no_licence_is_refused_until_its_owner_decides(root: Path) -> None:
    fault = projects.license_fault(orm(root))
    assert fault is not None
    assert fault.startswith("hyper-orm: pyproject.toml names no licence, so nobody would be allowed to use")
    edit(root / "packages" / "hyper-orm" / "pyproject.toml", "[project]", '[project]\nlicense = "MIT"')
    assert projects.license_fault(orm(root)) is None


def test_packages_that_fit_have_no_faults(root: Path) -> None:
    known = projects.workspace(root)
    for project in known.values():
        assert list(projects.range_faults(project, known)) == []
        assert list(projects.api_faults(project, root)) == []


@pytest.mark.parametrize("released", ["hyper-orm", "hyper-pgzig"])
def test_a_range_that_does_not_admit_the_sibling_is_refused_on_both_sides(root: Path, released: str) -> None:
    edit(root / "packages" / "hyper-pgzig" / "pyproject.toml", "0.1.4", "0.2.0")
    known = projects.workspace(root)
    faults = list(projects.range_faults(known[released], known))
    assert faults == ["hyper-orm needs hyper-pgzig<0.2,>=0.1, but hyper-pgzig is 0.2.0 here"]


def test_a_range_without_an_upper_bound_is_refused(root: Path) -> None:
    edit(root / "packages" / "hyper-orm" / "pyproject.toml", ",<0.2", "")
    known = projects.workspace(root)
    (fault,) = projects.range_faults(known["hyper-orm"], known)
    assert "no upper bound" in fault


def test_another_native_api_than_the_extension_has_is_refused(root: Path) -> None:
    edit(root / "zig" / "src" / "python" / "module.zig", "= 1;", "= 2;")
    (fault,) = projects.api_faults(orm(root), root)
    assert fault == "packages/hyper-orm/src/hyperdjango/orm/_driver.py is for native API 1, module.zig has 2"


def test_the_driver_has_the_version_of_its_zig_package(root: Path) -> None:
    edit(root / "zig" / "build.zig.zon", "0.1.4", "0.1.3")
    (fault,) = projects.api_faults(projects.workspace(root)["hyper-pgzig"], root)
    assert fault == "zig/build.zig.zon has version 0.1.3, pyproject.toml 0.1.4"


def test_siblings_are_those_of_siblings_too(root: Path) -> None:
    write(root, "hyperdjango", "0.1.0", '"hyper-orm>=0.1,<0.2", "click>=8"')
    known = projects.workspace(root)
    found = [each.name for each in projects.siblings(known["hyperdjango"], known)]
    assert found == ["hyper-orm", "hyper-pgzig"]


def test_folding_writes_an_entry_and_removes_the_fragments(root: Path) -> None:
    folder = root / "packages" / "hyper-orm"
    (folder / "changelog.d" / "b.md").write_text("Second thing,\non two lines.\n", encoding="utf-8")
    (folder / "changelog.d" / "a.md").write_text("- First thing.\n- And another.\n", encoding="utf-8")
    changelog.fold(orm(root), DAY)
    assert (folder / "CHANGELOG.md").read_text(encoding="utf-8") == (
        f"{CHANGELOG}\n## 0.1.0 (2026-11-26)\n\n- First thing.\n- And another.\n- Second thing, on two lines.\n"
    )
    assert changelog.fragments(orm(root)) == []
    assert changelog.fault(orm(root)) is None


def test_a_later_entry_stands_before_the_earlier_ones(root: Path) -> None:
    folder = root / "packages" / "hyper-orm"
    (folder / "changelog.d" / "a.md").write_text("Old.", encoding="utf-8")
    changelog.fold(orm(root), DAY)
    edit(folder / "pyproject.toml", '"0.1.0"', '"0.1.1"')
    (folder / "changelog.d" / "a.md").write_text("New.", encoding="utf-8")
    changelog.fold(orm(root), DAY)
    text = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text == (f"{CHANGELOG}\n## 0.1.1 (2026-11-26)\n\n- New.\n\n## 0.1.0 (2026-11-26)\n\n- Old.\n")
    assert changelog.entry(text, "0.1.1") == ["- New."]
    assert changelog.entry(text, "0.1.0") == ["- Old."]


def test_nothing_to_fold_and_a_version_folded_before_are_refused(root: Path) -> None:
    with pytest.raises(Refused, match="nothing to release"):
        changelog.fold(orm(root), DAY)
    fragment = root / "packages" / "hyper-orm" / "changelog.d" / "a.md"
    fragment.write_text("One.", encoding="utf-8")
    changelog.fold(orm(root), DAY)
    fragment.write_text("Two.", encoding="utf-8")
    with pytest.raises(Refused, match="raise the version first"):
        changelog.fold(orm(root), DAY)
    assert fragment.exists()


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ("", "CHANGELOG.md has no entry for 0.1.0"),
        ("\n## 0.1.01 (2026-01-01)\n\n- Of another version.\n", "CHANGELOG.md has no entry for 0.1.0"),
        ("\n## 0x1x0\n\n- Of another version.\n", "CHANGELOG.md has no entry for 0.1.0"),
        ("\n## 0.1.0 (2026-01-01)\n\n## 0.0.9\n\n- Old.\n", "CHANGELOG.md has no entry for 0.1.0"),
    ],
    ids=["nothing", "longer", "pattern", "empty"],
)
def test_a_version_without_an_entry_is_refused(root: Path, added: str, fault: str) -> None:
    path = root / "packages" / "hyper-orm" / "CHANGELOG.md"
    path.write_text(CHANGELOG + added, encoding="utf-8")
    found = changelog.fault(orm(root))
    assert found is not None
    assert fault in found


def test_fragments_that_wait_are_refused(root: Path) -> None:
    folder = root / "packages" / "hyper-orm"
    (folder / "CHANGELOG.md").write_text(f"{CHANGELOG}\n## 0.1.0\n\n- Done.\n", encoding="utf-8")
    assert changelog.fault(orm(root)) is None
    (folder / "changelog.d" / "late.md").write_text("Late.", encoding="utf-8")
    assert "1 files wait in changelog.d" in (changelog.fault(orm(root)) or "")


def test_a_clean_checkout_is_released_and_a_changed_one_is_not(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")
    assert list(repository.faults(orm(root), None, root)) == []
    (root / "packages" / "hyper-orm" / "new.py").write_text("", encoding="utf-8")
    (fault,) = repository.faults(orm(root), None, root)
    assert fault == "the tree is not the commit's: packages/hyper-orm/new.py"
    (root / "packages" / "hyper-orm" / "new.py").unlink()
    edit(root / "packages" / "hyper-orm" / "CHANGELOG.md", "Entries", "entries")
    (fault,) = repository.faults(orm(root), None, root)
    assert fault == "the tree is not the commit's: packages/hyper-orm/CHANGELOG.md"


def test_a_tag_must_be_new_or_the_one_that_started_the_release(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")
    project = orm(root)
    assert list(repository.faults(project, project.tag, root)) == ["there is no tag hyper-orm-v0.1.0"]
    git(root, "tag", project.tag)
    assert list(repository.faults(project, project.tag, root)) == []
    assert "is there already" in next(repository.faults(project, None, root))
    assert "pyproject.toml makes it" in next(repository.faults(project, "hyper-orm-v0.1.9", root))
    git(root, "commit", "-qm", "later", "--allow-empty")
    assert "stands at another commit" in next(repository.faults(project, project.tag, root))


def test_a_build_sees_what_git_knows_or_would_add(root: Path, tmp_path: Path) -> None:
    git(root, "init", "-q")
    (root / ".gitignore").write_text("*.so\n", encoding="utf-8")
    package = root / "packages" / "hyper-orm"
    (package / "old.so").write_text("", encoding="utf-8")
    (root / "README.md").write_text("", encoding="utf-8")
    git(root, "add", "packages/hyper-orm/pyproject.toml")
    repository.export(tmp_path / "out", root)
    copied = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert "packages/hyper-orm/pyproject.toml" in copied
    assert "packages/hyper-orm/src/hyperdjango/orm/_driver.py" in copied
    assert not {"packages/hyper-orm/old.so", "README.md"} & copied
