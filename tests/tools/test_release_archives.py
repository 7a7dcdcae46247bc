"""Wheels and sdists of the same contents are the same bytes, and a wheel's SBOM says what is in it."""

import csv
import hashlib
import io
import json
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hyperdjango import _hyperdjango_native
from packaging.requirements import Requirement
from releasing import archives, building, checking, projects, sbom, targets
from releasing.projects import Project, Refused
from releasing.targets import Headers, Platform, Target

EPOCH = 1_795_731_894
INFO = "hyper_orm-0.1.0.dist-info"
FILES = {
    "hyperdjango/models/__init__.py": b"",
    f"{INFO}/METADATA": b"Metadata-Version: 2.4\nName: hyper-orm\nVersion: 0.1.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n\n",
    f"{INFO}/RECORD": b"anything",
    "hyperdjango/models/py.typed": b"",
}
SO = "hyperdjango/_hyperdjango_native.cpython-311-x86_64-linux-gnu.so"


def target(platform: int = 0, version: str = "3.11") -> Target:
    nowhere = Path("nowhere")
    return Target(Headers(version, nowhere, nowhere), targets.PLATFORMS[platform])


def validate(document: bytes) -> dict[str, Any]:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode()) is None
    loaded: dict[str, Any] = json.loads(document)
    return loaded


def test_the_order_of_files_does_not_show_in_a_wheel(tmp_path: Path) -> None:
    one = archives.write_wheel(FILES, "py3-none-any", EPOCH, tmp_path / "one")
    other = archives.write_wheel(dict(reversed(FILES.items())), "py3-none-any", EPOCH, tmp_path / "other")
    assert one.name == "hyper_orm-0.1.0-py3-none-any.whl"
    assert one.read_bytes() == other.read_bytes()


def test_a_written_wheel_has_a_record_of_every_file_and_the_tag_it_was_given(tmp_path: Path) -> None:
    path = archives.write_wheel({**FILES, SO: b"x"}, target().tag, EPOCH, tmp_path)
    assert path.name == "hyper_orm-0.1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
    written = archives.read_wheel(path)
    assert list(written)[-1] == f"{INFO}/RECORD"
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(written[f"{INFO}/RECORD"].decode()))}
    assert rows.pop(f"{INFO}/RECORD") == ["", ""]
    assert set(rows) == set(written) - {f"{INFO}/RECORD"}
    for name, (digest, size) in rows.items():
        assert digest == f"sha256={archives.digest(written[name])}"
        assert int(size) == len(written[name])
    assert written[f"{INFO}/WHEEL"].decode().splitlines()[-1] == f"Tag: {target().tag}"
    assert written[f"{INFO}/WHEEL"].decode().count("Tag:") == 1
    with zipfile.ZipFile(path) as archive:
        modes = {info.filename: stat.filemode(info.external_attr >> 16) for info in archive.infolist()}
        assert {info.date_time for info in archive.infolist()} == {(2026, 11, 26, 22, 24, 54)}
    assert modes.pop(SO) == "-rwxr-xr-x"
    assert set(modes.values()) == {"-rw-r--r--"}


def test_owners_modes_and_times_do_not_show_in_an_sdist(tmp_path: Path) -> None:
    written: list[bytes] = []
    for number, mode in enumerate((0o600, 0o755)):
        source = tmp_path / "source.py"
        source.write_bytes(b"pass\n")
        source.chmod(mode)
        os.utime(source, (number, number))
        raw = tmp_path / f"{number}.tar.gz"
        with tarfile.open(raw, "w:gz") as archive:
            archive.add(source, "hyper_orm-0.1.0/source.py")
        path = archives.write_sdist(archives.read_sdist(raw), EPOCH, tmp_path / str(number) / "a.tar.gz")
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_an_sdist_unpacks_to_what_was_packed(tmp_path: Path) -> None:
    files = {"a-1/pyproject.toml": b"x = 1\n", "a-1/src/m.py": b""}
    path = archives.write_sdist(files, EPOCH, tmp_path / "a-1.tar.gz")
    folder = archives.unpack_sdist(path, tmp_path / "out")
    assert folder == tmp_path / "out" / "a-1"
    assert (folder / "pyproject.toml").read_bytes() == b"x = 1\n"
    assert archives.read_sdist(path) == files


def test_wheels_that_differ_are_refused_by_the_name_of_what_differs(tmp_path: Path) -> None:
    one = archives.write_wheel(FILES, "py3-none-any", EPOCH, tmp_path / "one")
    changed = {**FILES, "hyperdjango/models/__init__.py": b"import time\n"}
    other = archives.write_wheel(changed, "py3-none-any", EPOCH, tmp_path / "other")
    assert building.same(one, one, "one and one") == one
    with pytest.raises(Refused, match=r"tree and sdist give different .*hyperdjango/models/__init__\.py"):
        building.same(one, other, "tree and sdist")


@pytest.mark.parametrize("name", sorted(projects.workspace()))
def test_the_sbom_is_valid_and_lists_every_dependency_with_its_range(name: str) -> None:
    project = projects.workspace()[name]
    document = validate(sbom.document(project, "py3-none-any", FILES, EPOCH))
    assert document["metadata"]["timestamp"] == "2026-11-26T22:24:54Z"
    assert document["metadata"]["component"]["purl"] == f"pkg:pypi/{name}@0.1.0"
    found = {
        each["name"]: {entry["name"]: entry["value"] for entry in each["properties"]}
        for each in document["components"]
    }
    for requirement in project.requires:
        assert Requirement(found[requirement.name]["hyper:python:requirement"]) == requirement
        assert "hyper:python:extra" not in found[requirement.name]
    wanted = {each.name for some in project.extras.values() for each in some}
    assert set(found) == wanted | {each.name for each in project.requires}


def test_the_sbom_of_a_native_wheel_has_the_extension_and_what_of_zig_is_in_it() -> None:
    project = projects.workspace()["hyper-pgzig"]
    document = validate(sbom.document(project, target().tag, {**FILES, SO: b"machine code"}, EPOCH))
    found = {each["name"]: each for each in document["components"]}
    content = hashlib.sha256(b"machine code").hexdigest()
    assert found[SO]["hashes"] == [{"alg": "SHA-256", "content": content}]
    for part in ("zig-std", "zig-compiler-rt"):
        assert found[part]["version"] == sbom.zig_version()
    needs = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    assert needs[f"file:{SO}"] == [f"zig-compiler-rt@{sbom.zig_version()}", f"zig-std@{sbom.zig_version()}"]
    assert f"file:{SO}" in needs["pkg:pypi/hyper-pgzig@0.1.0"]
    # Extras are known of, not needed.
    assert found["rich"]["scope"] == "optional"
    assert "pypi:rich" not in needs["pkg:pypi/hyper-pgzig@0.1.0"]


def test_the_sbom_is_the_same_for_the_same_wheel_and_another_for_another() -> None:
    project = projects.workspace()["hyper-orm"]
    one = sbom.document(project, "py3-none-any", FILES, EPOCH)
    assert sbom.document(project, "py3-none-any", FILES, EPOCH) == one
    other = json.loads(sbom.document(project, "py3-none-any", FILES, EPOCH + 1))
    assert other["serialNumber"] != json.loads(one)["serialNumber"]


def test_the_validator_refuses_a_document_that_is_none() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str('{"bomFormat": "CycloneDX"}') is not None


def headers(folder: Path, version: str, pyconfig: str) -> Path:
    folder.mkdir(parents=True)
    major, minor = version.split(".")
    (folder / "Python.h").write_text("", encoding="utf-8")
    (folder / "pyconfig.h").write_text(pyconfig, encoding="utf-8")
    (folder / "patchlevel.h").write_text(
        f"#define PY_MAJOR_VERSION\t{major}\n#define PY_MINOR_VERSION {minor}\n", encoding="utf-8"
    )
    return folder


def test_headers_say_their_version_and_whether_there_is_a_gil(tmp_path: Path) -> None:
    plain = targets.look_at(headers(tmp_path / "a", "3.13", "/* #undef Py_GIL_DISABLED */\n"))
    free = targets.look_at(headers(tmp_path / "b", "3.13", "#define Py_GIL_DISABLED 1\n"))
    assert plain is not None
    assert free is not None
    assert (plain.version, free.version) == ("3.13", "3.13t")
    assert targets.look_at(tmp_path) is None


def test_debians_headers_bring_the_pyconfig_they_would_choose(tmp_path: Path) -> None:
    asking = "# if defined(__x86_64__)\n#  include <x86_64-linux-gnu/python3.14/pyconfig.h>\n# endif\n"
    folder = headers(tmp_path / "python3.14", "3.14", asking)
    assert targets.look_at(folder) is None
    chosen = tmp_path / "x86_64-linux-gnu" / "python3.14" / "pyconfig.h"
    chosen.parent.mkdir(parents=True)
    chosen.write_text("#define SIZEOF_LONG 8\n", encoding="utf-8")
    found = targets.look_at(folder)
    assert found is not None
    targets.copy_headers(found, tmp_path / "copy")
    assert (tmp_path / "copy" / "pyconfig.h").read_text(encoding="utf-8") == "#define SIZEOF_LONG 8\n"


def test_headers_without_the_gil_are_made_of_those_with_it(tmp_path: Path) -> None:
    given = headers(tmp_path / "a", "3.14", "#define SIZEOF_LONG 8\n")
    found = targets.find_headers([given])
    made = found["3.14t"] if found["3.14t"].is_made_free_threaded else None
    assert found["3.14"].folder == given
    if made is None:  # this machine has a 3.14t of its own, which is taken first
        made = Headers("3.14t", given, given / "pyconfig.h", is_made_free_threaded=True)
    targets.copy_headers(made, tmp_path / "copy")
    read = targets.look_at(tmp_path / "copy")
    assert read is not None
    assert read.version == "3.14t"


def test_a_version_whose_headers_are_missing_is_refused_by_name() -> None:
    with pytest.raises(Refused, match=r"no headers of CPython 3\.99"):
        targets.matrix(["3.99"], ["manylinux_2_28_x86_64"])
    with pytest.raises(Refused, match="no platform is called 'win_amd64'"):
        targets.matrix([], ["win_amd64"])


@pytest.mark.parametrize(
    ("platform", "version", "tag", "suffix"),
    [
        (0, "3.11", "cp311-cp311-manylinux_2_28_x86_64", ".cpython-311-x86_64-linux-gnu.so"),
        (3, "3.13t", "cp313-cp313t-musllinux_1_2_aarch64", ".cpython-313t-aarch64-linux-musl.so"),
        (5, "3.14", "cp314-cp314-macosx_11_0_arm64", ".cpython-314-darwin.so"),
    ],
)
def test_a_target_is_named_as_installers_and_interpreters_look_for_it(
    platform: int, version: str, tag: str, suffix: str
) -> None:
    assert target(platform, version).tag == tag
    assert target(platform, version).suffix == suffix


def orm_wheel(folder: Path) -> tuple[Project, Path]:
    """A wheel of hyper-orm as it should be."""
    project = projects.workspace()["hyper-orm"]
    source = project.folder / "src"
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in source.rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    lines = [
        "Metadata-Version: 2.4",
        "Name: hyper-orm",
        "Version: 0.1.0",
        "Summary: Models.",
        "Requires-Python: >=3.11",
        *(f"Requires-Dist: {each}" for each in project.requires),
        *(f'Requires-Dist: {each}; extra == "x"' for some in project.extras.values() for each in some),
        "",
        "Readme.",
    ]
    files[f"{INFO}/METADATA"] = "\n".join(lines).encode()
    files[f"{INFO}/WHEEL"] = FILES[f"{INFO}/WHEEL"]
    files[sbom.path_in_wheel(project, INFO)] = sbom.document(project, "py3-none-any", files, EPOCH)
    return project, archives.write_wheel(files, "py3-none-any", EPOCH, folder)


def test_a_wheel_as_it_should_be_has_no_faults(tmp_path: Path) -> None:
    project, wheel = orm_wheel(tmp_path)
    assert checking.faults(project, wheel, None, [tmp_path]) == []


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("hyperdjango/models/_paging.py", None, "lacks hyperdjango/models/_paging.py"),
        ("hyperdjango/models/py.typed", None, "lacks hyperdjango/models/py.typed"),
        ("hyperdjango/models/tests/test_a.py", b"", "ships hyperdjango/models/tests/test_a.py"),
        ("hyperdjango/models/a.pyc", b"", "ships hyperdjango/models/a.pyc"),
        ("elsewhere/a.py", b"", "installs elsewhere/a.py"),
        ("hyperdjango/__init__.py", b"", "hides the other packages"),
        ("hyperdjango/models/a.so", b"", "has the extensions"),
        (f"{INFO}/sboms/hyper-orm.cdx.json", None, "lacks its SBOM"),
        (f"{INFO}/METADATA", b"Name: hyper-orm\nVersion: 0.2.0\n\n", "METADATA is of hyper-orm 0.2.0"),
    ],
)
def test_a_wheel_with_a_fault_is_refused_for_it(
    tmp_path: Path, name: str, content: bytes | None, fault: str
) -> None:
    project, good = orm_wheel(tmp_path / "good")
    files = archives.read_wheel(good)
    if content is None:
        del files[name]
    else:
        files[name] = content
    wheel = archives.write_wheel(files, "py3-none-any", EPOCH, tmp_path / "bad")
    assert any(fault in found for found in checking.faults(project, wheel, None, []))


def test_a_wheel_that_names_a_folder_of_the_machine_is_refused(tmp_path: Path) -> None:
    project, wheel = orm_wheel(tmp_path / "out")
    files = archives.read_wheel(wheel)
    files["hyperdjango/models/_where.py"] = f"HERE = {str(tmp_path)!r}\n".encode()
    wheel = archives.write_wheel(files, "py3-none-any", EPOCH, tmp_path / "again")
    (fault,) = checking.faults(project, wheel, None, [tmp_path])
    assert fault.endswith(f"hyperdjango/models/_where.py names {tmp_path}")


def test_compiled_code_names_no_folder_of_any_machine() -> None:
    assert list(checking.path_faults({"a.so": b"..../home/somebody/include/x.h\0"}, [])) == [
        "a.so names /home/"
    ]
    assert list(checking.path_faults({"a.py": b"# as in /home/somebody"}, [])) == []


def test_a_wheel_of_another_name_than_its_tag_is_refused(tmp_path: Path) -> None:
    project, wheel = orm_wheel(tmp_path)
    renamed = wheel.rename(wheel.with_name("hyper_orm-0.1.0-py2-none-any.whl"))
    (fault,) = checking.faults(project, renamed, None, [])
    assert "is tagged ['py3-none-any'] inside, ['py2-none-any'] outside" in fault


@pytest.mark.parametrize("platform", [1, 2], ids=["another machine", "another C library"])
def test_auditwheel_refuses_an_extension_that_is_not_for_the_tag(tmp_path: Path, platform: int) -> None:
    extension = Path(_hyperdjango_native.__file__).read_bytes()
    asked = target(platform)
    files = {**FILES, f"hyperdjango/_hyperdjango_native{asked.suffix}": extension}
    faults = list(checking.linux_faults(archives.write_wheel(files, asked.tag, EPOCH, tmp_path), asked))
    assert len(faults) == 1
    assert faults[0].startswith("auditwheel ")


def macho(cpu: int, minimum: int, *, signed: bool) -> dict[str, bytes]:
    import struct

    commands = [struct.pack("<6I", checking.LC_BUILD_VERSION, 24, 1, minimum, minimum, 0)]
    if signed:
        commands.append(struct.pack("<4I", checking.LC_CODE_SIGNATURE, 16, 0, 0))
    head = struct.pack("<8I", checking.MACHO_MAGIC, cpu, 0, 6, len(commands), 0, 0, 0)
    return {"a.so": head + b"".join(commands)}


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (macho(0x0100000C, 11 << 16, signed=True), []),
        (macho(0x0100000C, 11 << 16, signed=False), ["the extension is not signed"]),
        (macho(0x0100000C, 12 << 16, signed=True), ["the extension asks for a newer macOS than 11"]),
        (macho(0x01000007, 11 << 16, signed=True), ["the extension is no Mach-O file for aarch64"]),
        ({"a.so": b"\x7fELF" + bytes(60)}, ["the extension is no Mach-O file for aarch64"]),
    ],
    ids=["good", "unsigned", "newer", "intel", "elf"],
)
def test_a_macos_extension_is_judged_by_its_own_header(content: dict[str, bytes], faults: list[str]) -> None:
    assert list(checking.macho_faults(content, target(5))) == faults


def test_every_platform_is_one_that_zig_and_installers_know() -> None:
    assert len({platform.name for platform in targets.PLATFORMS}) == 6
    for platform in targets.PLATFORMS:
        assert isinstance(platform, Platform)
        assert platform.machine in {"x86_64", "aarch64"}
        assert platform.is_musl == ("musl" in platform.zig)
        assert platform.is_linux == ("linux" in platform.zig)
