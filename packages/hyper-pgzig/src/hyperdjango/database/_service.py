"""The connection service file: named sets of connection keys.

PostgreSQL docs: libpq-pgservice.
"""

from collections.abc import Mapping
from pathlib import Path

from hyperdjango.database._conninfo_keys import ENVIRONMENT, unknown_key


def load(service: str, file: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of one service.

    Args:
        service: The section's name.
        file: The file to read; None means `~/.pg_service.conf`.
        environ: Names, by PGSYSCONFDIR, the folder of the system-wide `pg_service.conf`, which is read when
            the first file has no such service.
    Raises:
        ValueError: No such file or service, or a line that cannot be understood. Shows no values.
    """
    if file:
        if not Path(file).is_file():
            raise ValueError(f"service file {file!r} not found")
        paths = [Path(file)]
    else:
        paths = [_home() / ".pg_service.conf"]
    if folder := environ.get("PGSYSCONFDIR"):
        paths.append(Path(folder) / "pg_service.conf")
    for path in paths:
        if path.is_file():
            found = _section(path, service)
            if found is not None:
                return found
    raise ValueError(f"definition of service {service!r} not found in {' or '.join(map(str, paths))}")


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise ValueError("service= needs a home folder, or PGSERVICEFILE") from None


def _section(path: Path, service: str) -> dict[str, str] | None:
    """Read the first section of that name; None when there is none."""
    values: dict[str, str] | None = None
    lines: list[str] | None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = None
    if lines is None:  # not raised above: a UnicodeDecodeError carries the whole file along
        raise ValueError(f"service file {str(path)!r} cannot be read as UTF-8 text")
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if values is not None:
                break
            if line == f"[{service}]":
                values = {}
            continue
        if values is None:
            continue
        key, equals, value = line.partition("=")
        where = f"line {number} of service file {str(path)!r}"
        if not equals:
            raise ValueError(f"{where} is not key=value")
        if key in {"service", "servicefile"}:
            raise ValueError(f"{where}: a service cannot name another service")
        if key not in ENVIRONMENT:
            raise ValueError(f"{where}: {unknown_key(key)}")
        # The first line that sets a key wins, as with libpq.
        values.setdefault(key, value)
    return values
