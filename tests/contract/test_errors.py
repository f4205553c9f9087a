"""The error tree: three parts, stable codes, and survival of a trip between processes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from wkconvert_core.contract import errors
from wkconvert_core.contract.errors import OptionError, SourceNotFound, TargetExists, WkconvertError

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, WkconvertError)]


@pytest.mark.parametrize("kind", TREE)
def test_an_error_keeps_its_three_parts(kind: type[WkconvertError]) -> None:
    error = kind("it broke", why="it was old", fix="buy another")
    assert (error.what, error.why, error.fix) == ("it broke", "it was old", "buy another")
    assert str(error) == "it broke. it was old. buy another"


def test_empty_parts_and_full_stops_leave_no_gaps() -> None:
    assert str(WkconvertError("it broke.", fix="mend it.")) == "it broke. mend it"
    assert str(WkconvertError("it broke")) == "it broke"


@pytest.mark.parametrize("kind", TREE)
@pytest.mark.parametrize("carry", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_an_error_survives_pickling_and_copying(kind: type[WkconvertError], carry: object) -> None:
    again = carry(kind("it broke", why="it was old", fix="buy another"))
    assert type(again) is kind
    assert (again.what, again.why, again.fix) == ("it broke", "it was old", "buy another")


def test_every_kind_has_a_code_of_its_own_below_its_parents() -> None:
    codes = [kind.code for kind in TREE]
    assert len(set(codes)) == len(codes)
    below_source = [kind.code for kind in TREE if issubclass(kind, errors.SourceError)]
    assert all(code.partition(".")[0] == "source" for code in below_source)


def test_only_options_exit_with_2() -> None:
    assert {kind.exit_code for kind in TREE if issubclass(kind, OptionError)} == {2}
    assert {kind.exit_code for kind in TREE if not issubclass(kind, OptionError)} == {1}


def test_errors_are_what_python_calls_them_too() -> None:
    assert issubclass(SourceNotFound, FileNotFoundError)
    assert issubclass(TargetExists, FileExistsError)
    assert issubclass(OptionError, ValueError)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__
    drawn = [line.split("── ")[1].split()[0] for line in errors.__doc__.splitlines() if "── " in line]
    assert sorted(["WkconvertError", *drawn]) == sorted(kind.__name__ for kind in TREE)
    for line in errors.__doc__.splitlines():
        if line.startswith("│   "):
            assert getattr(errors, line.split("── ")[1].split()[0]).__bases__[0] is not WkconvertError
