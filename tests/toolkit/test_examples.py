"""The examples in the toolkit's docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

from wkconvert_core import toolkit

MODULES = sorted(module.name for module in pkgutil.iter_modules(toolkit.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name):
    assert doctest.testmod(importlib.import_module(f"wkconvert_core.toolkit.{name}")).failed == 0
