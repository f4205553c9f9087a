"""Each plugin in this repository reads as a third party's would: it imports what core offers to everybody, no more."""

import ast
import graphlib

import pytest
from helpers import paths

import wkconvert_core
from wkconvert_core.toolkit import atomic, dyes, files, folders, raw_rows, shards, shortened, slices, stacks
from wkconvert_core.toolkit.naming import words
from wkconvert_core.toolkit.volumes import axes, choosing, inflated, orientation, scaling, stored

LIBRARY = "wkconvert_images"  # shared by plugins, and held to the same rules
FOLDERS = [*sorted((paths.ROOT / "plugins").glob("wkconvert_*")), paths.ROOT / "packages" / LIBRARY]
TOOLKIT = (
    atomic,
    dyes,
    files,
    folders,
    words,
    raw_rows,
    shards,
    shortened,
    slices,
    stacks,
    axes,
    choosing,
    inflated,
    orientation,
    scaling,
    stored,
)
OFFERED = {module.__name__: set(module.__all__) for module in (wkconvert_core, *TOOLKIT)}

each_plugin = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


CONTRACT = [*(paths.ROOT / "wkconvert_core" / "contract").glob("*.py")]
CORES_OWN = {"formats": paths.ROOT / "wkconvert_core" / "formats", "kernels": paths.ROOT / "wkconvert_core" / "kernels"}
NOT_OFFERED = {
    "Array": "a name for annotations alone; a plugin writes numpy's",
    "DType": "a name for annotations alone; a plugin writes numpy's",
    "Observe": "a name for annotations alone; a plugin writes Callable[[np.ndarray], None]",
    "ceil_div": "a line of arithmetic",
    "decimal_number": "float with fewer spellings; options of readers are read so by parse_options",
    "ResourceError": "memory that ran out during a check, of which a plugin lets the MemoryError pass",
    "TargetExists": "a header of another layout in the way: TargetError does for a plugin",
}
"""What core's own formats and kernels import from the contract and plugins cannot, and why that is no advantage."""


def trees(package):
    """The syntax tree of each module of a package, by its name."""
    for path in package.rglob("*.py"):
        yield path.stem, ast.parse(path.read_text("utf-8"))


def imports(package):
    """`(module, name)` of everything that a package imports from a project of ours."""
    for _, tree in trees(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names if alias.name.startswith("wkconvert"))
            elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("wkconvert"):
                yield from ((node.module, alias.name) for alias in node.names)


@each_plugin
def test_a_plugin_imports_only_what_core_offers_to_everybody(folder):
    found = {(module, name) for module, name in imports(folder / folder.name) if module.partition(".")[0] != LIBRARY}
    assert found
    assert {(module, name) for module, name in found if name not in OFFERED.get(module, set())} == set()


def test_formats_and_kernels_of_core_import_only_what_it_offers_to_everybody():
    offered = OFFERED | {f"wkconvert_core.contract.{path.stem}": OFFERED["wkconvert_core"] for path in CONTRACT}
    extra = set()
    for name, package in CORES_OWN.items():
        found = {(module, what) for module, what in imports(package) if f".{name}" not in module}
        assert found
        extra |= {what for module, what in found if what not in offered.get(module, set())}
    assert extra == set(NOT_OFFERED)


def within(tree):
    """The modules of its own package that a module imports, inside functions, too; not for types alone."""
    typing_only = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    left_out = {inner for node in typing_only for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in left_out:
            yield from [node.module] if node.module else (alias.name for alias in node.names)


@each_plugin
def test_no_modules_of_a_plugin_import_each_other_in_a_circle(folder):
    graph = {name: set(within(tree)) for name, tree in trees(folder / folder.name)}
    assert len(graph) > 1
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_circles_are_found_inside_functions_too():
    sources = {"a": "def f():\n    from .b import g", "b": "from . import a"}
    graph = {name: set(within(ast.parse(source))) for name, source in sources.items()}
    assert graph == {"a": {"b"}, "b": {"a"}}
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(graph).static_order())
