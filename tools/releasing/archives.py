"""Wheels and sdists written again, so that the same contents are the same bytes on any machine.

setuptools lets the umask, the order of a folder and the clock show; and it names a wheel for the interpreter
that runs it. Called by `building.py`.
"""

import base64
import gzip
import hashlib
import io
import stat
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Zip has no times before this.
ZIP_BEGINS: Final = 315532800
PLAIN: Final = 0o644
PROGRAM: Final = 0o755


def read_wheel(path: Path) -> dict[str, bytes]:
    """Every file of a wheel."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}


def dist_info(files: Mapping[str, bytes]) -> str:
    """The name of the wheel's .dist-info folder."""
    (found,) = {name.partition("/")[0] for name in files if name.split("/")[0].endswith(".dist-info")}
    return found


def digest(content: bytes) -> str:
    """As RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def record(files: Mapping[str, bytes], name: str) -> bytes:
    """RECORD of these files: itself without a hash."""
    lines = [f"{path},sha256={digest(content)},{len(content)}" for path, content in files.items()]
    return "\n".join([*lines, f"{name},,", ""]).encode()


def tagged(wheel: bytes, tag: str) -> bytes:
    """The file WHEEL with this tag instead of what it has."""
    lines = [line for line in wheel.decode().splitlines() if line and not line.startswith("Tag:")]
    return "\n".join([*lines, f"Tag: {tag}", ""]).encode()


def write_wheel(files: Mapping[str, bytes], tag: str, epoch: int, folder: Path) -> Path:
    """Write a wheel of these files with this tag and a RECORD of its own; return its path."""
    info = dist_info(files)
    inside = {name: content for name, content in files.items() if name != f"{info}/RECORD"}
    inside[f"{info}/WHEEL"] = tagged(inside[f"{info}/WHEEL"], tag)
    # The metadata stands last, as the format asks.
    ordered = dict(sorted(inside.items(), key=lambda item: (item[0].startswith(f"{info}/"), item[0])))
    ordered[f"{info}/RECORD"] = record(ordered, f"{info}/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{info.removesuffix('.dist-info')}-{tag}.whl"
    moment = time.gmtime(max(epoch, ZIP_BEGINS))[:6]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ordered.items():
            entry = zipfile.ZipInfo(name, moment)
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = PROGRAM if name.endswith(".so") else PLAIN
            entry.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(entry, content)
    return path


def read_sdist(path: Path) -> dict[str, bytes]:
    """Every file of an sdist."""
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                found[member.name] = content.read()
    return found


def write_sdist(files: Mapping[str, bytes], epoch: int, path: Path) -> Path:
    """Write an sdist of these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.mtime = epoch
            entry.mode = PLAIN
            archive.addfile(entry, io.BytesIO(files[name]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(packed.getvalue(), compresslevel=9, mtime=epoch))
    return path


def unpack_sdist(path: Path, folder: Path) -> Path:
    """Unpack an sdist of ours below a folder; return the folder it makes there."""
    for name, content in read_sdist(path).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder / path.name.removesuffix(".tar.gz")
