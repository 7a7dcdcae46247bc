"""Put everything into its format: `uv run python tools/tidy.py`."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
COMMANDS: Final = (
    ("ruff", "check", "--fix", "--quiet", "."),
    ("ruff", "format", "."),
    ("ziglang", "fmt", "zig/build.zig", "zig/src"),
)


def main() -> int:
    """Run every formatter; return 1 when one of them could not mend everything."""
    return max(
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
        for command in COMMANDS
    )


if __name__ == "__main__":
    sys.exit(main())
