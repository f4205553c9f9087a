"""The examples in the docstrings of the toolkit and of the plugins do what they say."""

import doctest
import importlib

import pytest
from helpers import paths

CORE = [f"wkconvert_core.toolkit.{path.stem}" for path in (paths.ROOT / "wkconvert_core" / "toolkit").glob("[a-z]*.py")]
PLUGINS = [
    f"{path.parent.name}.{path.stem}"
    for folder in ("packages", "plugins")
    for path in (paths.ROOT / folder).glob("wkconvert_*/wkconvert_*/[a-z]*.py")
]


@pytest.mark.parametrize("name", sorted([*CORE, *PLUGINS, "wkconvert_core.testing.reader"]))
def test_the_examples_hold(name):
    if name in PLUGINS:
        pytest.importorskip(name.partition(".")[0])
    assert doctest.testmod(importlib.import_module(name)).failed == 0
