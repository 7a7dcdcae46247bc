"""What the driver's wheels are built for: versions of CPython, whose headers are looked for, and platforms."""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from releasing.projects import ROOT, Refused

VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t")
NO_GIL: Final = (
    "\n/* Of a build without the GIL: see docs/decisions, releases. */\n#define Py_GIL_DISABLED 1\n"
)


class Platform(NamedTuple):
    """One operating system and machine."""

    name: str
    zig: str
    suffix: str

    @property
    def machine(self) -> str:
        """As ELF and musl name it."""
        return self.zig.partition("-")[0]

    @property
    def is_musl(self) -> bool:
        """Whether the C library is musl."""
        return self.name.startswith("musllinux")

    @property
    def is_linux(self) -> bool:
        """Whether the file is ELF."""
        return "linux" in self.name


PLATFORMS: Final = (
    Platform("manylinux_2_28_x86_64", "x86_64-linux-gnu.2.28", "x86_64-linux-gnu"),
    Platform("manylinux_2_28_aarch64", "aarch64-linux-gnu.2.28", "aarch64-linux-gnu"),
    Platform("musllinux_1_2_x86_64", "x86_64-linux-musl", "x86_64-linux-musl"),
    Platform("musllinux_1_2_aarch64", "aarch64-linux-musl", "aarch64-linux-musl"),
    Platform("macosx_11_0_x86_64", "x86_64-macos.11.0", "darwin"),
    Platform("macosx_11_0_arm64", "aarch64-macos.11.0", "darwin"),
)


class Headers(NamedTuple):
    """A folder with Python.h."""

    version: str
    folder: Path
    pyconfig: Path
    is_made_free_threaded: bool = False


class Target(NamedTuple):
    """One wheel."""

    headers: Headers
    platform: Platform

    @property
    def tag(self) -> str:
        """The wheel's tag: `cp313-cp313t-musllinux_1_2_x86_64`."""
        digits = self.headers.version.replace(".", "")
        return f"cp{digits.rstrip('t')}-cp{digits}-{self.platform.name}"

    @property
    def suffix(self) -> str:
        """What the extension's file is called behind its name."""
        return f".cpython-{self.headers.version.replace('.', '')}-{self.platform.suffix}.so"


def current_version() -> str:
    """The version of CPython that this runs on, as in VERSIONS."""
    return "{}.{}".format(*sys.version_info) + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")


def look_at(folder: Path) -> Headers | None:
    """Read which CPython a folder's headers are of; None where it has none that can be used."""
    if not (folder / "Python.h").is_file() or not (folder / "pyconfig.h").is_file():
        return None
    level = (folder / "patchlevel.h").read_text(encoding="utf-8")
    major, minor = (
        re.findall(rf"^#define PY_{part}_VERSION\s+(\d+)", level, re.MULTILINE)[0]
        for part in ("MAJOR", "MINOR")
    )
    pyconfig = folder / "pyconfig.h"
    if "x86_64-linux-gnu/python" in pyconfig.read_text(encoding="utf-8"):
        # Debian's asks for the machine and includes its file, which lies beside the folder.
        pyconfig = folder.parent / "x86_64-linux-gnu" / folder.name / "pyconfig.h"
        if not pyconfig.is_file():
            return None
    found = re.search(r"^#define Py_GIL_DISABLED 1$", pyconfig.read_text(encoding="utf-8"), re.MULTILINE)
    return Headers(f"{major}.{minor}{'t' if found else ''}", folder, pyconfig)


def candidates() -> Iterator[Path]:
    """Yield where interpreters keep their headers: this one, pyenv's, uv's, those unpacked or built here."""
    yield Path(sysconfig.get_path("include"))
    uv = shutil.which("uv")
    roots = [Path.home() / ".pyenv" / "versions", ROOT / "build" / "interpreters"]
    if uv is not None:
        answer = subprocess.run([uv, "python", "dir"], capture_output=True, text=True, check=False)
        roots += [Path(line) for line in answer.stdout.splitlines()[:1]]
    for root in roots:
        for pattern in ("*/include/python3.*", "*/usr/include/python3.*"):
            yield from sorted(root.glob(pattern), reverse=True)
    yield from sorted(Path("/usr/include").glob("python3.*"))


def find_headers(given: Iterable[Path] = ()) -> dict[str, Headers]:
    """The headers of each version; the first that are found, those given before all others."""
    found: dict[str, Headers] = {}
    for folder in given:
        headers = look_at(folder)
        if headers is None:
            raise Refused(f"{folder} has no Python.h with its pyconfig.h")
        found.setdefault(headers.version, headers)
    for folder in candidates():
        headers = look_at(folder)
        if headers is not None:
            found.setdefault(headers.version, headers)
    for version in VERSIONS:
        plain = found.get(version.rstrip("t"))
        if version.endswith("t") and version not in found and plain is not None:
            found[version] = Headers(version, plain.folder, plain.pyconfig, is_made_free_threaded=True)
    return found


def copy_headers(headers: Headers, folder: Path) -> None:
    """Copy headers to where a build reads them, with the pyconfig.h they stand for."""
    shutil.copytree(headers.folder, folder, ignore=shutil.ignore_patterns("pyconfig.h", "*-linux-gnu"))
    text = headers.pyconfig.read_text(encoding="utf-8")
    (folder / "pyconfig.h").write_text(
        text + (NO_GIL if headers.is_made_free_threaded else ""), encoding="utf-8"
    )


def matrix(versions: Iterable[str], platforms: Iterable[str], given: Iterable[Path] = ()) -> list[Target]:
    """Every wheel that was asked for.

    Raises:
        Refused: There are no headers of a version, or no such version or platform.
    """
    known = {platform.name: platform for platform in PLATFORMS}
    headers = find_headers(given)
    unknown = [name for name in platforms if name not in known]
    missing = [version for version in versions if version not in headers]
    if unknown or missing:
        raise Refused(
            "".join(f"no platform is called {name!r}; there are {', '.join(known)}\n" for name in unknown)
            + "".join(
                f"no headers of CPython {version} here: give them by --headers, or leave it out by --python\n"
                for version in missing
            ).rstrip()
        )
    return [Target(headers[version], known[name]) for version in versions for name in platforms]
