"""What a built wheel must be: its name, tags, metadata, contents, and what its extension is linked with.

Called by tools/release.py after every build. Returns faults as texts, all of them rather than the first.
"""

import re
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from email.parser import BytesParser
from pathlib import Path
from typing import Final, cast

from packaging.utils import canonicalize_name, parse_wheel_filename

from releasing import archives, sbom
from releasing.projects import ROOT, Project
from releasing.targets import Target

# Folders of any machine's own, whatever it is called: neither users of the wheel nor the next build have them.
FOREIGN: Final = (b"/home/", b"/root/", b"/Users/", b"/tmp/")
NOT_SHIPPED: Final = re.compile(
    r"(^|/)(tests?|kit|__pycache__|changelog\.d)/|\.(zig|c|pyc|o)$|(^|/)conftest\.py$"
)
MACHO_MAGIC: Final = 0xFEEDFACF
MACHO_CPU: Final = {"x86_64": 0x01000007, "aarch64": 0x0100000C}
LC_BUILD_VERSION: Final = 0x32
LC_CODE_SIGNATURE: Final = 0x1D
MACOS_11: Final = 11 << 16


def faults(project: Project, wheel: Path, target: Target | None, folders: Iterable[Path]) -> list[str]:
    """Every fault of one wheel.

    Args:
        project: The distribution it is of.
        wheel: The file.
        target: What it was built for; None is all.
        folders: The folders of the build, which must not be named in it.
    """
    files = archives.read_wheel(wheel)
    found = [
        *name_faults(project, wheel, files, target),
        *content_faults(project, files, target),
        *path_faults(files, folders),
    ]
    if target is not None:
        found += linux_faults(wheel, target) if target.platform.is_linux else macho_faults(files, target)
    return [f"{wheel.name}: {text}" for text in found]


def name_faults(
    project: Project, wheel: Path, files: Mapping[str, bytes], target: Target | None
) -> Iterator[str]:
    """Yield where file name, WHEEL and METADATA do not say the same."""
    name, version, _, tags = parse_wheel_filename(wheel.name)
    info = archives.dist_info(files)
    metadata = BytesParser().parsebytes(files[f"{info}/METADATA"])
    described = BytesParser().parsebytes(files[f"{info}/WHEEL"])
    wanted = "py3-none-any" if target is None else target.tag
    if name != canonicalize_name(project.name) or str(version) != project.version:
        yield f"is {name} {version}, not {project.name} {project.version}"
    if (metadata["Name"], metadata["Version"]) != (project.name, project.version):
        yield f"METADATA is of {metadata['Name']} {metadata['Version']}"
    if described.get_all("Tag") != [wanted] or {str(tag) for tag in tags} != {wanted}:
        yield f"is tagged {described.get_all('Tag')} inside, {sorted(map(str, tags))} outside, not {wanted}"
    if described["Root-Is-Purelib"] != ("true" if target is None else "false"):
        yield f"Root-Is-Purelib is {described['Root-Is-Purelib']}"
    if not metadata["Summary"] or not metadata["Requires-Python"] or not metadata.get_payload():
        yield "METADATA lacks its summary, Requires-Python or readme"
    if sorted(
        line.replace(" ", "") for line in metadata.get_all("Requires-Dist") or [] if "extra" not in line
    ) != (sorted(str(each).replace(" ", "") for each in project.requires)):
        yield f"METADATA requires {metadata.get_all('Requires-Dist')}"


def content_faults(project: Project, files: Mapping[str, bytes], target: Target | None) -> Iterator[str]:
    """Yield what is missing in the wheel, and what has no business there."""
    info = archives.dist_info(files)
    sources = project.folder / "src"
    for path in sorted(sources.rglob("*")):
        name = path.relative_to(sources).as_posix()
        wanted = path.suffix in {".py", ".pyi", ".css", ".js"} or path.name == "py.typed"
        if path.is_file() and wanted and ".egg-info/" not in name and name not in files:
            yield f"lacks {name}"
    if not any(name.endswith("/py.typed") for name in files):
        yield "lacks py.typed"
    if sbom.path_in_wheel(project, info) not in files:
        yield "lacks its SBOM"
    for name in files:
        if NOT_SHIPPED.search(name):
            yield f"ships {name}"
        if not name.startswith(("hyperdjango/", f"{info}/")):
            yield f"installs {name}, outside of hyperdjango"
    if project.name != "hyperdjango" and "hyperdjango/__init__.py" in files:
        yield "ships hyperdjango/__init__.py, which hides the other packages"
    extensions = [name for name in files if name.endswith((".so", ".pyd", ".dylib"))]
    expected = [] if target is None else [f"hyperdjango/_hyperdjango_native{target.suffix}"]
    if extensions != expected:
        yield f"has the extensions {extensions}, not {expected}"


def path_faults(files: Mapping[str, bytes], folders: Iterable[Path]) -> Iterator[str]:
    """Yield members that name a folder of the machine that built them."""
    ours = {str(folder).encode() for folder in (*folders, ROOT, Path(sys.prefix)) if len(folder.parts) > 2}
    home = str(Path.home()).encode()
    for name, content in files.items():
        # Sources may well speak of /tmp or of root's home; compiled code has no reason to.
        marks = {*ours, home, *FOREIGN} if name.endswith(".so") else ours
        found = sorted(mark.decode() for mark in marks if mark in content)
        if found:
            yield f"{name} names {', '.join(found)}"


def linux_faults(wheel: Path, target: Target) -> Iterator[str]:
    """Yield what auditwheel has against the tag."""
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = " ".join(done.stdout.split())
    found = re.search(
        r'consistent with the following platform tag: "((?:many|musl)linux_\d+_\d+)_(\w+)"', text
    )
    if done.returncode != 0 or found is None:
        yield f"auditwheel says: {text or done.stderr.strip()}"
        return
    kind, machine = found[1].rpartition("linux_"), found[2]
    asked = re.match(r"(many|musl)linux_(\d+)_(\d+)_(\w+)", target.platform.name)
    assert asked is not None
    allowed = (int(asked[2]), int(asked[3]))
    needed = cast("tuple[int, int]", tuple(map(int, kind[2].split("_"))))
    if kind[0] != asked[1] or machine != asked[4] or needed > allowed:
        yield f"auditwheel finds {found[1]}_{machine}, which {target.platform.name} does not admit"


def macho_faults(files: Mapping[str, bytes], target: Target) -> Iterator[str]:
    """Yield what a Mach-O file's own header has against the tag."""
    (content,) = (content for name, content in files.items() if name.endswith(".so"))
    magic, cpu, _, _, count, _, _, _ = struct.unpack_from("<8I", content)
    if magic != MACHO_MAGIC or cpu != MACHO_CPU[target.platform.machine]:
        yield f"the extension is no Mach-O file for {target.platform.machine}"
        return
    offset = 32
    commands: dict[int, int] = {}
    for _ in range(count):
        command, size = struct.unpack_from("<2I", content, offset)
        commands[command] = offset
        offset += size
    built = commands.get(LC_BUILD_VERSION)
    minimum = None if built is None else struct.unpack_from("<I", content, built + 12)[0]
    if minimum is None or minimum > MACOS_11:
        yield "the extension asks for a newer macOS than 11"
    # Apple's own processors start nothing without one; Zig's linker signs ad hoc.
    if target.platform.machine == "aarch64" and LC_CODE_SIGNATURE not in commands:
        yield "the extension is not signed"
