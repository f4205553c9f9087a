"""Each plugin in this repository reads as a third party's would: it imports what core offers to everybody, no more."""

import ast

import pytest
from helpers import paths

import wkconvert_core
from wkconvert_core.toolkit import stacks

LIBRARY = "wkconvert_images"  # shared by plugins, and held to the same rule
FOLDERS = [*(paths.ROOT / "plugins").glob("wkconvert_*"), paths.ROOT / "packages" / LIBRARY]
OFFERED = {"wkconvert_core": set(wkconvert_core.__all__), "wkconvert_core.toolkit.stacks": set(stacks.__all__)}


def imports(folder):
    """`(module, name)` of everything that a plugin imports from a project of ours."""
    for path in (folder / folder.name).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names if alias.name.startswith("wkconvert"))
            elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("wkconvert"):
                yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_plugin_imports_only_what_core_offers_to_everybody(folder):
    found = {(module, name) for module, name in imports(folder) if module.partition(".")[0] != LIBRARY}
    assert found
    assert {(module, name) for module, name in found if name not in OFFERED.get(module, set())} == set()
