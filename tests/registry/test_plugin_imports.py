"""Each plugin in this repository reads as a third party's would: it imports what core offers to everybody, no more."""

import ast
import graphlib

import pytest
from helpers import paths

import wkconvert_core
from wkconvert_core.toolkit import atomic, files, raw_rows, slices, stacks

PLUGINS = sorted(path.name for path in (paths.ROOT / "plugins").glob("wkconvert_*"))
OFFERED = {module.__name__: set(module.__all__) for module in (wkconvert_core, atomic, files, raw_rows, slices, stacks)}


def trees(plugin):
    """The syntax tree of each module of a plugin, by its name."""
    for path in (paths.ROOT / "plugins" / plugin / plugin).rglob("*.py"):
        yield path.stem, ast.parse(path.read_text("utf-8"))


def imports(plugin):
    """`(module, name)` of everything that a plugin imports from a project of ours."""
    for _, tree in trees(plugin):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names if alias.name.startswith("wkconvert"))
            elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("wkconvert"):
                yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_only_what_core_offers_to_everybody(plugin):
    found = set(imports(plugin))
    assert found
    assert {(module, name) for module, name in found if name not in OFFERED.get(module, set())} == set()


def within(tree):
    """The modules of its own package that a module imports, inside functions, too; not for types alone."""
    typing_only = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    left_out = {inner for node in typing_only for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in left_out:
            yield from [node.module] if node.module else (alias.name for alias in node.names)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_no_modules_of_a_plugin_import_each_other_in_a_circle(plugin, request):
    if plugin == "wkconvert_tiff":
        request.applymarker(pytest.mark.xfail(strict=True, reason="volume and ome_volume import each other"))
    graph = {name: set(within(tree)) for name, tree in trees(plugin)}
    assert len(graph) > 1
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_circles_are_found_inside_functions_too():
    sources = {"a": "def f():\n    from .b import g", "b": "from . import a"}
    graph = {name: set(within(ast.parse(source))) for name, source in sources.items()}
    assert graph == {"a": {"b"}, "b": {"a"}}
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(graph).static_order())
