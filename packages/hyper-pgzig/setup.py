"""Builds `hyperdjango._hyperdjango_native` with `zig build`, on top of setuptools-zig.

setuptools-zig finds Zig; what it would run by itself (`zig build-lib`) knows no build.zig, so
`build_extension` is ours. The Zig sources are the workspace's, two folders up; an sdist carries a copy.
"""

import runpy
import shutil
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.sdist import sdist as _sdist
from setuptools_zig import BuildExt, zig

HERE = Path(__file__).resolve().parent
# By path, not by import: the package itself cannot be imported before it is built.
_build = runpy.run_path(str(HERE / "src" / "hyperdjango" / "database" / "_build.py"))
ZIG_ROOT: Path = _build["zig_root"](HERE)


class build_ext(BuildExt):  # noqa: N801 - setuptools names commands so
    """Runs `zig build` for the one extension."""

    def __init__(self, dist: Distribution) -> None:
        super().__init__(dist, zig_value=True)

    def build_extension(self, ext: Extension) -> None:
        """Build `ext` to where setuptools wants it."""
        temporary = Path(self.build_temp).resolve()
        _build["run_zig_build"](
            [zig] if isinstance(zig, str) else list(zig),
            Path(self.get_ext_fullpath(ext.name)).resolve(),
            root=ZIG_ROOT,
            prefix=temporary / "zig-out",
            cache=temporary / "zig-cache" if ZIG_ROOT.parent == HERE else None,
        )


class sdist(_sdist):  # noqa: N801 - setuptools names commands so
    """Adds the Zig sources."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copy `zig/` beside the files that setuptools chose."""
        super().make_release_tree(base_dir, files)
        destination = Path(base_dir) / "zig"
        if not destination.exists():
            shutil.copytree(
                ZIG_ROOT, destination, ignore=shutil.ignore_patterns(".zig-cache*", "zig-out", "*.o")
            )


setup(
    ext_modules=[Extension("hyperdjango._hyperdjango_native", sources=[])],
    cmdclass={"build_ext": build_ext, "sdist": sdist},
)
