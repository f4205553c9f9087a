"""Checks that need a fresh interpreter: the imports of detection, and the bytes that opening reads."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from wkconvert_core.contract.hookspecs import PROJECT
from wkconvert_core.registry.answers import read_head
from wkconvert_core.registry.plugins import BUILT_IN, GROUP
from wkconvert_core.testing.samples import (
    ContractViolation,
    NotApplicable,
    Rule,
    files_of,
    opened,
    plugin_of,
    reader_of,
    require,
    volume_bytes,
)

ALWAYS_ALLOWED = {PROJECT, "numpy", "pluggy"}
"""Distributions that are loaded with every plugin."""

HEADER_BYTES = 128 << 10
"""Bytes that opening may read and keep per file, whatever its size: buffered files fetch 8 to 64 KiB."""

_imported_by: dict[str, list[str]] = {}
"""Modules that readers were seen to import when they opened a file."""


def check_imports(path: Path, *, reader: str | None = None, options: Mapping[str, str] | None = None) -> None:
    """Importing the plugin and detecting load no dependency of the plugin or of wkconvert but numpy.

    Distributions whose names begin with `wkconvert-` are parts of wkconvert: what they import counts, not they.
    """
    path = Path(path)
    name = plugin_of(reader_of(path, reader))
    libraries = {each for each in _requirements(name) - ALWAYS_ALLOWED if not each.startswith(f"{PROJECT}-")}
    heavy = _modules_of(libraries)
    imported = _run({"task": "detect", **_plugin(name), "path": str(path)}, Rule.IMPORTS)["modules"]
    found = sorted({module.partition(".")[0] for module in imported} & heavy)
    require(not found, f"detecting {path} imports {', '.join(found)}; import it inside the functions", Rule.IMPORTS)


def check_header_only_open(path: Path, *, reader: str | None = None, options: Mapping[str, str] | None = None) -> None:
    """Opening neither allocates nor reads an amount that grows with the volume.

    Measured in a fresh interpreter by the memory that Python allocates and, on Linux, the bytes that it reads.
    """
    path = Path(path)
    name = reader_of(path, reader)
    volume = sum(volume_bytes(source.info) for _, source in opened(path, reader, options))
    # buffered files on network file systems fetch larger blocks
    headers = sum(max(HEADER_BYTES, 2 * getattr(file.stat(), "st_blksize", 0)) for file in files_of(path))
    allowed = headers + volume // 8
    if allowed > volume // 2:
        raise NotApplicable(f"the {volume >> 10} KiB of {path} are too few to tell headers from voxels")
    asked = {"task": "open", **_plugin(plugin_of(name)), "path": str(path), "reader": name, "options": options or {}}
    known = _imported_by.setdefault(name, [])  # what it allocates and reads to import its libraries does not count
    spent = _run({**asked, "preload": known}, Rule.HEADERS)
    known += spent["modules"]
    if spent["modules"] and max(spent["allocated"], spent["read"]) > allowed:
        spent = _run({**asked, "preload": known}, Rule.HEADERS)
    for what in ("allocated", "read"):
        message = f"opening {path} {what} {spent[what] >> 10} KiB, its voxels are {volume >> 10} KiB"
        require(spent[what] <= allowed, message, Rule.HEADERS)


def _plugin(name: str) -> dict[str, str]:
    """The arguments by which the other interpreter loads a plugin: its name and its module."""
    values = {point.name: point.value for point in metadata.entry_points(group=GROUP)}
    return {"plugin": name, "value": (values | BUILT_IN)[name]}


def _requirements(plugin: str) -> set[str]:
    """Distributions that wkconvert and the plugin depend on, extras aside, by normalised name."""
    points = [point for point in metadata.entry_points(group=GROUP) if point.name == plugin]
    distributions = [PROJECT, *(point.dist.name for point in points if point.dist)]
    lines = [line for name in distributions for line in metadata.requires(name) or [] if "extra ==" not in line]
    return {_normal(re.split(r"[^A-Za-z0-9._-]", line.strip(), maxsplit=1)[0]) for line in lines}


def _modules_of(distributions: Iterable[str]) -> set[str]:
    """The top-level modules of distributions."""
    wanted = set(distributions)
    provided = _provided()
    modules = {module for module, owners in provided.items() if wanted & set(map(_normal, owners))}
    return modules | {name.replace("-", "_") for name in wanted}


@functools.cache
def _provided() -> Mapping[str, list[str]]:
    """The distributions of every top-level module, for which the files of all that is installed are listed."""
    return metadata.packages_distributions()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(request: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
    """Answer a request in a fresh interpreter with the same search path."""
    start = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    command = [sys.executable, "-c", start + f"from {__name__} import main; main(sys.argv[2])"]
    done = subprocess.run([*command, json.dumps(sys.path), json.dumps(request)], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ContractViolation(f"{request['path']} fails in a fresh interpreter: {last[0]}", rule)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main(text: str) -> None:
    """Answer one request on standard output; runs in the fresh interpreter."""
    request = json.loads(text)
    answer = {"detect": _detect, "open": _open}[request["task"]](request)
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


def _hook(request: Mapping[str, Any]) -> Any:
    import pluggy

    from wkconvert_core.contract import hookspecs

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(metadata.EntryPoint(request["plugin"], request["value"], GROUP).load(), request["plugin"])
    return manager.hook


def _detect(request: Mapping[str, Any]) -> dict[str, Any]:
    path = Path(request["path"])
    for module in BUILT_IN.values():  # what core loads before any plugin is not the plugin's doing
        import_module(module)
    before = set(sys.modules)
    _hook(request).wkconvert_detect(path=path, head=read_head(path), options={})
    return {"modules": sorted(set(sys.modules) - before)}


def _open(request: Mapping[str, Any]) -> dict[str, Any]:
    import tracemalloc

    hook = _hook(request)
    for module in request["preload"]:
        _import_quietly(module)
    before, modules = _bytes_read(), set(sys.modules)
    tracemalloc.start()
    layers = hook.wkconvert_open(format=request["reader"], path=Path(request["path"]), options=request["options"])
    described = [source.info for layer in layers for source in layer.mags.values()]
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    read, new = _bytes_read() - before, sorted(set(sys.modules) - modules)
    return {"allocated": allocated, "read": read, "modules": new, "sources": len(described)}


def _import_quietly(module: str) -> None:
    try:
        import_module(module)
    except Exception:  # a module that only loads on another platform, or through its parent
        return


def _bytes_read() -> int:
    """Bytes that this process has read from files so far; 0 if the system does not count them."""
    import psutil

    counters = getattr(psutil.Process(), "io_counters", None)
    return getattr(counters(), "read_chars", 0) if counters else 0
