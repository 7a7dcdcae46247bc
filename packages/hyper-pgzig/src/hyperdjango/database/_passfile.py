"""The password file: one password per line, found by host, port, database and user.

PostgreSQL docs: libpq-pgpass.
"""

import logging
import os
import stat
from pathlib import Path
from typing import Final

_log = logging.getLogger("hyperdjango.database")

# Which one is the default was decided when the server was built: its own build, or a Linux distribution's.
DEFAULT_SOCKET_FOLDERS: Final = frozenset({"/tmp", "/var/run/postgresql", "/run/postgresql"})  # noqa: S108


def default_path() -> Path | None:
    """Return where the password file is when nobody says; None without a home."""
    if os.name == "nt":
        folder = os.environ.get("APPDATA")
        return Path(folder) / "postgresql" / "pgpass.conf" if folder else None
    try:
        return Path.home() / ".pgpass"
    except RuntimeError:  # no HOME and no entry for this user
        return None


def read(path: Path) -> list[str]:
    """Return the lines of the file; none where it is missing, or where others may read it: that is logged."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            _log.warning("password file %s is not a plain file; it is ignored", path)
            return []
        if os.name != "nt" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            _log.warning(
                "password file %s has group or world access; it is ignored. Run: chmod u=rw,go= on it", path
            )
            return []
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _log.warning("password file %s cannot be read (%s); it is ignored", path, error.strerror)
        return []


def find(lines: list[str], *, host: str, port: int, dbname: str, user: str) -> str | None:
    """Return the password of the first line that matches, None when none does.

    A Unix socket's host is its directory; a default directory also goes by the name localhost.
    """
    names = {host, "localhost"} if host in DEFAULT_SOCKET_FOLDERS else {host}
    wanted = (names, {str(port)}, {dbname}, {user})
    for line in lines:
        if not line or line.startswith("#"):
            continue
        fields = _fields(line)
        if len(fields) < 5:
            continue
        if all(field == "*" or field in accepted for field, accepted in zip(fields[:4], wanted, strict=True)):
            # The password is everything behind the fourth colon, escapes undone.
            return fields[4]
    return None


def _fields(line: str) -> list[str]:
    """Split at colons that no backslash protects: four fields, and the rest of the line as the fifth."""
    fields: list[str] = []
    current = ""
    characters = iter(line)
    for character in characters:
        if character == "\\":
            current += next(characters, "\\")
        elif character == ":" and len(fields) < 4:
            fields.append(current)
            current = ""
        else:
            current += character
    return [*fields, current]
