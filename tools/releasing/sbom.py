"""The CycloneDX document in a wheel's `.dist-info/sboms/`: what is in the file, and what it asks for.

Called by `building.py`. Written by hand, so that the same wheel has the same document; the official library
checks it in tests/tools. CycloneDX 1.6, JSON; the folder is PEP 770's.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Final

from packaging.requirements import Requirement

from releasing.projects import Project

# Names of serial numbers are ours, so that no other file has the same.
NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/hyperdjango")
ZIG_PARTS: Final = {
    "zig-std": "Zig's standard library: what the extension uses of it is compiled into it.",
    "zig-compiler-rt": "Zig's compiler-rt: the routines that compiled code calls, linked into the extension.",
}


def zig_version() -> str:
    """The version of Zig that builds, as its package has it."""
    return metadata.version("ziglang")


def zig_components() -> Iterator[dict[str, Any]]:
    """Yield what of Zig is in the extension."""
    version = zig_version()
    for name, says in ZIG_PARTS.items():
        yield {
            "bom-ref": f"{name}@{version}",
            "type": "library",
            "name": name,
            "version": version,
            "description": says,
            "licenses": [{"license": {"id": "MIT"}}],
            "purl": f"pkg:generic/{name}@{version}",
            "scope": "required",
        }


def file_component(name: str, content: bytes) -> dict[str, Any]:
    """The extension itself, by its hash."""
    return {
        "bom-ref": f"file:{name}",
        "type": "file",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
        "scope": "required",
    }


def requirement_component(requirements: Iterable[Requirement], extra: str | None) -> dict[str, Any]:
    """What the installer brings along, with its range."""
    (requirement,) = requirements
    properties = [{"name": "hyper:python:requirement", "value": str(requirement)}]
    if extra is not None:
        properties.append({"name": "hyper:python:extra", "value": extra})
    return {
        "bom-ref": f"pypi:{requirement.name}",
        "type": "library",
        "name": requirement.name,
        "purl": f"pkg:pypi/{requirement.name.lower().replace('_', '-')}",
        "scope": "required" if extra is None else "optional",
        "properties": properties,
    }


def python_components(project: Project) -> list[dict[str, Any]]:
    """The dependencies, then those of extras that are not among them."""
    found = {each.name: requirement_component([each], None) for each in project.requires}
    for extra, requirements in project.extras.items():
        for each in requirements:
            found.setdefault(each.name, requirement_component([each], extra))
    return list(found.values())


def document(project: Project, tag: str, files: Mapping[str, bytes], epoch: int) -> bytes:
    """The document of one wheel.

    Args:
        project: The distribution.
        tag: The wheel's tag.
        files: What is in the wheel.
        epoch: The commit's time in seconds.
    Returns:
        JSON, the same for the same arguments.
    """
    extensions = {name: content for name, content in files.items() if name.endswith(".so")}
    inside = [file_component(name, content) for name, content in extensions.items()]
    zig = list(zig_components()) if extensions else []
    python = python_components(project)
    purl = f"pkg:pypi/{project.name}@{project.version}"
    optional = {each["bom-ref"] for each in python if each["scope"] == "optional"}
    needed = [each["bom-ref"] for each in (*inside, *python) if each["bom-ref"] not in optional]
    depends: dict[str, list[str]] = {purl: needed}
    for each in inside:
        depends[each["bom-ref"]] = [part["bom-ref"] for part in zig]
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, f'{project.stem}-{project.version}-{tag}-{epoch}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "component": {
                "bom-ref": purl,
                "type": "library",
                "name": project.name,
                "version": project.version,
                "purl": purl,
            },
        },
        "components": sorted([*inside, *zig, *python], key=lambda each: str(each["bom-ref"])),
        "dependencies": [{"ref": ref, "dependsOn": sorted(depends[ref])} for ref in sorted(depends)],
    }
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def path_in_wheel(project: Project, info: str) -> str:
    """Where the document stands."""
    return f"{info}/sboms/{project.name}.cdx.json"
