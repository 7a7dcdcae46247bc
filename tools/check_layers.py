"""The layers of the Python packages: imports point down, and only to what a package declares.

A tool over the installed name would see one package where there are five, and not tell an import inside a
function from one at the top; so this reads the source trees. Zig's layers are held by build.zig.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
NATIVE: Final = "hyperdjango._hyperdjango_native"
NATIVE_DOOR: Final = "hyperdjango.database._native"
DRIVER_HELPERS: Final = "hyperdjango.dataloader._driver"

# Part of the import name, and the other parts it may import. What is not listed is the full stack.
ALLOWED: Final = {
    "conf": frozenset[str](),
    "database": frozenset({"conf"}),
    "dataloader": frozenset[str](),
    "models": frozenset({"database", "conf"}),
    "multi_db": frozenset({"database", "conf"}),
}
# Of extras, which nothing else imports but inside a function.
EXTRAS: Final = {
    "hyperdjango.database.otel": "opentelemetry",
    "hyperdjango.database._otel_metrics": "opentelemetry",
    "hyperdjango._pytest_plugin": "pytest",
}
# Inside a function only, for what may not be installed.
ALLOWED_LAZILY: Final = {"models": frozenset({"dataloader"})}


class Import(NamedTuple):
    """One imported module, and where."""

    name: str
    line: int
    is_lazy: bool


def imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[Import]:
    """Yield what a module imports; an import inside a function or under TYPE_CHECKING is lazy."""
    base = module.split(".") if is_package else module.split(".")[:-1]
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, is_lazy = pending.pop()
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, is_lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = base[: len(base) - node.level + 1] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            # `from hyperdjango import database` names a module in its second half.
            deeper = origin in {"hyperdjango", "hyperdjango.database", "hyperdjango.dataloader"}
            yield from (
                Import(f"{origin}.{alias.name}" if deeper else origin, node.lineno, is_lazy)
                for alias in node.names
            )
        guard = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        inner = is_lazy or guard or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        pending += [(child, inner) for child in ast.iter_child_nodes(node)]


def declared(package: Path) -> frozenset[str]:
    """Return the import names of a package's dependencies, as far as they follow from the names."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return frozenset(
        re.split(r"[^A-Za-z0-9_.-]", name)[0].lower().replace("-", "_") for name in project["dependencies"]
    )


def fault(module: str, one: Import, dependencies: frozenset[str]) -> str | None:
    """Say what is wrong with an import, or None."""
    part = module.split(".")[1] if "." in module else ""
    if not one.name.startswith("hyperdjango"):
        top = one.name.split(".")[0]
        known = one.is_lazy or top in sys.stdlib_module_names or top in dependencies
        known = known or EXTRAS.get(module) == top
        return None if known else f"{top} is not declared as a dependency; import it where it is used"
    if one.name.startswith(NATIVE):
        return None if module == NATIVE_DOOR else f"only {NATIVE_DOOR} imports the extension"
    if one.name in EXTRAS and not one.is_lazy and module not in EXTRAS:
        return f"{one.name} needs an extra; import it where it is used"
    if part not in ALLOWED:
        return None
    target = one.name.split(".")[1] if "." in one.name else ""
    allowed = {part} | ALLOWED[part] | (ALLOWED_LAZILY.get(part, frozenset()) if one.is_lazy else frozenset())
    # Whoever is built on the driver looks at its native API number through that module.
    if target in allowed or one.name.startswith(NATIVE_DOOR) or module.startswith(DRIVER_HELPERS):
        return None
    return f"{part} must not import {one.name}"


def main() -> bool:
    """Print every import that breaks the layers; return whether there is none."""
    faults: list[str] = []
    for package in sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml")):
        source, dependencies = package / "src", declared(package)
        if package.name != "hyperdjango" and (source / "hyperdjango" / "__init__.py").exists():
            faults.append(f"{source}/hyperdjango/__init__.py hides the one of packages/hyperdjango")
        for path in sorted(source.rglob("*.py")):
            names = path.relative_to(source).with_suffix("").parts
            is_package = names[-1] == "__init__"
            module = ".".join(names[:-1] if is_package else names)
            for one in imports(ast.parse(path.read_text(encoding="utf-8")), module, is_package=is_package):
                what = fault(module, one, dependencies)
                faults += [f"{path.relative_to(ROOT)}:{one.line}: {what}"] if what else []
    print("\n".join(faults) if faults else "layers: imports point down")
    return not faults


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
