"""The values that the texts of options stand for: settings, mags, boxes, pairs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.numbers import whole_number

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Box, Mag, Vec3
    from wkconvert_core.conversion.settings import Settings

T = TypeVar("T")


def settings(given: Mapping[str, Any], **more: Any) -> Settings:
    """The settings given by a command's options. Raises OptionError for the first one that cannot be read."""
    from dataclasses import fields

    from wkconvert_core.contract.voxel_size import VoxelSize
    from wkconvert_core.conversion.settings import Settings
    from wkconvert_core.toolkit.byte_sizes import parse_size

    said = {name: value for name, value in given.items() if value is not None}
    if said.pop("no_compress", False):
        if (name := said.get("compression", "none")) != "none":
            raise OptionError(f"--no-compress and --compression {name} contradict each other", fix="take one of them")
        said["compression"] = "none"
    readers: dict[str, Callable[[Any], Any]] = {
        "voxel_size": lambda text: VoxelSize.parse(text, said.get("unit")),
        "option": lambda texts: pairs(texts, "-o", "timepoint=0"),
        "to_option": lambda texts: pairs(texts, "--to-option", "compression=lz4"),
        "file_len": lambda text: None if text == "auto" else _read("file-len", whole_number, text),
        "target_mag": lambda text: mag("target-mag", text),
        "at_mag": lambda text: mag("at-mag", text),
        "top_left": _place,
        "bbox": _box,
        "flip": lambda text: text.replace(",", ""),
        "memory": lambda text: _read("memory", parse_size, text),
        "job_resources": _document,
        "no_downsample": operator.not_,
    }
    names = {
        "option": "reader_options",
        "to_option": "to_options",
        "no_downsample": "downsample",
        "distribution_strategy": "strategy",
    }
    values = {names.get(name, name): readers[name](value) if name in readers else value for name, value in said.items()}
    return Settings(**{field.name: values[field.name] for field in fields(Settings) if field.name in values} | more)


def mag(option: str, text: str) -> Mag:
    """The mag that an option names, `2` or `2-2-1`. Raises OptionError."""
    from wkconvert_core.contract.geometry import Mag

    return _read(option, Mag.parse, text)


def mags(texts: list[str] | None) -> list[Mag]:
    """The mags that a repeated `--mag` names. Raises OptionError."""
    return [mag("mag", text) for text in texts or ()]


def _read(option: str, reader: Callable[[str], T], text: str) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise OptionError(f"--{option} {text} cannot be read", why=str(error)) from None


def pairs(texts: list[str] | None, option: str = "-o", example: str = "timepoint=0") -> dict[str, str]:
    """A repeated option `key=value` as a mapping. Raises OptionError.

    >>> pairs(["timepoint=3", "name=a=b"])
    {'timepoint': '3', 'name': 'a=b'}
    """
    for text in texts or ():
        if "=" not in text.strip("="):
            raise OptionError(f"{option} {text} is not key=value", fix=f"write for example {option} {example}")
    return dict(text.split("=", 1) for text in texts or ())


def _document(text: str) -> dict[str, Any]:
    """The JSON object that `--job-resources` gives. Raises OptionError."""
    import json

    try:
        if isinstance(document := json.loads(text), dict):
            return document
        why = "it is no object"
    except ValueError as error:
        why = str(error)
    fix = 'write one JSON object in quotes: \'{"mem": "4G", "time": "02:00:00"}\''
    raise OptionError(f"--job-resources {text} cannot be read", why=why, fix=fix)


def _place(text: str) -> Vec3:
    from wkconvert_core.contract.geometry import Vec3

    numbers = [_read("top-left", whole_number, part.strip()) for part in text.split(",")]
    if len(numbers) != 3:
        raise OptionError(f"--top-left {text} is no place", fix="write it as x,y,z, for example --top-left 15,16,17")
    return Vec3(*numbers)


def _box(text: str) -> Box:
    from wkconvert_core.contract.geometry import Box

    numbers = [_read("bbox", whole_number, part.strip()) for part in text.split(",")]
    if len(numbers) != 6 or min(numbers[3:]) < 1 or min(numbers) < 0:
        raise OptionError(
            f"--bbox {text} is no part of a volume",
            why="x,y,z are 0 or more, width,height,depth 1 or more",
            fix="write for example 0,0,0,512,512,64",
        )
    x, y, z, width, height, depth = numbers
    return Box((x, y, z), (width, height, depth))
