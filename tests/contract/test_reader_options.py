"""Reader options: texts become keyword arguments by a function's signature, or an error that says what would do."""

from __future__ import annotations

import functools
import pickle
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from wkconvert_core import OptionError, PluginError, parse_options
from wkconvert_core.contract.reader_options import UnknownOption, known_options

if TYPE_CHECKING:
    from nowhere import Array


def reader(
    path: Path,
    *,
    text: str = "",
    number: int = 0,
    length: float | None = None,
    flag: bool = False,
    order: Literal["xyz", "zyx"] = "xyz",
    side: Literal[64, 128] | None = None,
    either: int | Literal["auto"] = "auto",
    bare="",
) -> Array:
    raise NotImplementedError(path, text, number, length, flag, order, side, either, bare)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", "a=b c", "a=b c"),
        ("text", "", ""),
        ("number", "-7", -7),
        ("length", "1.5", 1.5),
        ("length", "3", 3.0),
        ("flag", "yes", True),
        ("flag", "True", True),
        ("flag", "1", True),
        ("flag", "no", False),
        ("flag", "FALSE", False),
        ("flag", "0", False),
        ("order", "zyx", "zyx"),
        ("side", "128", 128),
        ("either", "3", 3),
        ("either", "auto", "auto"),
        ("bare", "x", "x"),
    ],
)
def test_a_text_becomes_a_value_of_the_annotated_kind(name: str, text: str, value: object) -> None:
    parsed = parse_options(reader, {name: text})
    assert parsed == {name: value}
    assert type(parsed[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "legal"),
    [
        ("number", "1.5", "it takes: int"),
        ("number", "", "it takes: int"),
        ("length", "long", "it takes: float"),
        ("flag", "maybe", "it takes: true, false"),
        ("order", "yzx", "it takes: xyz, zyx"),
        ("side", "32", "it takes: 64, 128"),
        ("either", "none", "it takes: int, auto"),
    ],
)
def test_a_text_that_does_not_fit_is_refused_with_what_would(name: str, text: str, legal: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_options(reader, {name: text})
    assert type(caught.value) is OptionError
    assert f"-o {name}={text}" in caught.value.what
    assert caught.value.fix == legal


def test_unknown_options_are_named_and_the_known_ones_listed() -> None:
    with pytest.raises(UnknownOption) as caught:
        parse_options(reader, {"number": "1", "nubmer": "1", "colour": "red"})
    assert caught.value.names == ("colour", "nubmer")
    assert "colour, nubmer" in caught.value.what
    assert "bare, either, flag, length, number, order, side, text" in caught.value.fix


def test_a_reader_without_options_says_so() -> None:
    with pytest.raises(UnknownOption) as caught:
        parse_options(lambda path: path, {"path": "x"})
    assert caught.value.fix.endswith("none")


def test_an_unknown_option_keeps_its_names_between_processes() -> None:
    with pytest.raises(UnknownOption) as caught:
        parse_options(reader, {"colour": "red"})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.names, str(again)) == (UnknownOption, ("colour",), str(caught.value))


def test_what_is_given_by_place_is_no_option() -> None:
    assert "path" not in known_options(reader)


def test_kwargs_are_a_fault_of_the_plugin() -> None:
    def greedy(path: Path, **options: str) -> None:
        raise NotImplementedError(path, options)

    with pytest.raises(PluginError, match="greedy takes \\*\\*options") as caught:
        parse_options(greedy, {})
    assert "names each of its options" in caught.value.why


@dataclass(frozen=True)
class Volume:
    path: Path
    _: KW_ONLY
    depth: int = 1


class Plain:
    def __init__(self, path: Path, *, depth: int = 1) -> None:
        raise NotImplementedError(path, depth)


@pytest.mark.parametrize("target", [Volume, Plain, functools.partial(reader, text="x")])
def test_classes_and_partial_functions_have_options_too(target: Any) -> None:
    name = "number" if isinstance(target, functools.partial) else "depth"
    assert parse_options(target, {name: "5"}) == {name: 5}
