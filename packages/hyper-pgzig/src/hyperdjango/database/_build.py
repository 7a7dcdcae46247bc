"""Build the native extension with `zig build`: used by setup.py, and by `uv run hyper-build` in place.

Reads the environment: HYPER_ZIG_OPTIMIZE (ReleaseSafe), HYPER_ZIG_TARGET (this machine),
HYPER_ZIG_CPU (baseline), HYPER_PYTHON_INCLUDE (this interpreter's headers).
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

MODULE_NAME = "_hyperdjango_native"
DISTRIBUTION_ROOT = Path(__file__).resolve().parents[3]


def zig_root(distribution_root: Path = DISTRIBUTION_ROOT) -> Path:
    """Return the folder of build.zig: beside setup.py in an sdist, two folders up in the repository.

    Raises:
        FileNotFoundError: Neither place has it, as in an installed wheel.
    """
    for candidate in (distribution_root / "zig", distribution_root.parent.parent / "zig"):
        if (candidate / "build.zig").exists():
            return candidate
    raise FileNotFoundError(
        f"no zig/build.zig beside {distribution_root}: building needs the source tree or the sdist"
    )


def run_zig_build(
    zig: Sequence[str],
    destination: Path,
    *,
    root: Path,
    prefix: Path,
    optimize: str | None = None,
    cache: Path | None = None,
) -> None:
    """Build the extension and copy it to `destination`, whole or not at all.

    Args:
        zig: The command that starts Zig.
        destination: The file to make, named as the interpreter wants it.
        root: The folder of build.zig.
        prefix: Where Zig may put what it builds.
        optimize: Debug, ReleaseSafe, ReleaseFast or ReleaseSmall; None asks the environment.
        cache: Zig's local cache, for source trees that must not be written to.
    Raises:
        subprocess.CalledProcessError: Zig refused.
    """
    optimize = optimize or os.environ.get("HYPER_ZIG_OPTIMIZE") or "ReleaseSafe"
    target = os.environ.get("HYPER_ZIG_TARGET", "")
    include = os.environ.get("HYPER_PYTHON_INCLUDE") or sysconfig.get_path("include")
    command = [*zig, "build", "install", "--prefix", str(prefix), f"-Doptimize={optimize}"]
    command.append(f"-Dpython-include={include}")
    if target:
        command.append(f"-Dtarget={target}")
    # Without -Dcpu a native build uses every feature of the build machine's processor.
    command.append(f"-Dcpu={os.environ.get('HYPER_ZIG_CPU', 'baseline')}")
    if optimize != "Debug":
        strip = os.environ.get("HYPER_ZIG_STRIP", "true")
        command.append(f"-Dstrip={strip}")
        if "linux" in (target or sys.platform):
            command.append("-Dlto=full")
    if cache is not None:
        command += ["--cache-dir", str(cache)]
    if os.name == "nt":
        threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
        version = f"python{sys.version_info.major}{sys.version_info.minor}{threads}"
        command += [f"-Dpython-libdir={Path(sys.base_prefix) / 'libs'}", f"-Dpython-lib={version}"]
    # Zig compiles its own build runner first: minutes in a release mode, seconds in Debug.
    environment = {"ZIG_DEBUG_CMD": "1", **os.environ}
    shutil.rmtree(prefix, ignore_errors=True)
    print("+", *command, flush=True)
    subprocess.run(command, cwd=root, env=environment, check=True)  # noqa: S603 - our own words
    built = [
        path
        for folder in ("lib", "bin")
        for path in (prefix / folder).glob(f"*{MODULE_NAME}*")
        if path.suffix in {".so", ".dylib", ".dll"}
    ]
    if len(built) != 1:
        raise FileNotFoundError(f"zig build left {len(built)} libraries in {prefix}, expected one")
    destination.parent.mkdir(parents=True, exist_ok=True)
    # A running interpreter may have the old file mapped: replace the name, never the bytes.
    fresh = destination.with_name(destination.name + ".new")
    shutil.copyfile(built[0], fresh)
    fresh.chmod(0o755)
    fresh.replace(destination)


def main() -> None:
    """Build the extension into the source tree of this workspace (`uv run hyper-build`)."""
    parser = argparse.ArgumentParser(prog="hyper-build", description="Build the native extension in place.")
    parser.add_argument("--debug", action="store_true", help="Debug mode: compiles in seconds, runs slowly")
    parser.add_argument("--optimize", default=None, help="Zig's optimize mode; the default is ReleaseSafe")
    options = parser.parse_args()
    try:
        root = zig_root()
    except FileNotFoundError as error:
        raise SystemExit(f"hyper-build: {error}") from None
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    destination = DISTRIBUTION_ROOT / "src" / "hyperdjango" / f"{MODULE_NAME}{suffix}"
    try:
        run_zig_build(
            [sys.executable, "-m", "ziglang"],
            destination,
            root=root,
            prefix=root / "zig-out" / f"python{suffix}",
            optimize="Debug" if options.debug else options.optimize,
        )
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"hyper-build: zig build failed with exit code {error.returncode}") from None
    print(f"built {destination}")


if __name__ == "__main__":
    main()
