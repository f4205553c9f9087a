"""Shared by the checks: the sample, the rules of the contract, the boxes that are read."""

from __future__ import annotations

import logging
import random
import unittest
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box, Vec3
from wkconvert_core.contract.model import Layer, Source, VolumeInfo
from wkconvert_core.registry import detection
from wkconvert_core.registry.plugins import BUILT_IN, plugins

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

READ_LIMIT = 32 << 20
"""Most bytes of voxels that a check holds as its reference; of a larger volume it takes a part."""

DECODE_LIMIT = 2 << 30
"""Most bytes that a reader has to decode for all boxes of one check."""

PAGE = "docs/writing-a-plugin.md"


class Rule(Enum):
    """The sentences of the contract that are checked, each with the section of the page on plugins that explains it."""

    FORMATS = "`FORMATS` names every reader of a plugin", "Name your readers"
    CLAIM = "`wkconvert_detect` claims what the plugin can read", "Detect"
    JUNK = "`wkconvert_detect` never raises, and claims CONTENT or EXACT only for what it has recognised", "Detect"
    IMPORTS = "importing a plugin and detecting import no library but numpy", "Detect"
    OPEN = "`wkconvert_open` returns the layers, and raises only errors of wkconvert for what it cannot read", "Open"
    OPTIONS = "an unknown option is an error that lists the known ones", "Options"
    HEADERS = "opening reads headers only", "The Source"
    INFO = "`VolumeInfo` describes the volume in plain numbers and a native dtype that WKW has, or bool", "VolumeInfo"
    LAYER = "a Layer has mags of powers of two, a legal name or none, a category or none", "The Layer"
    READ = "`read(box)` returns exactly the voxels of the box as `[c, x, y, z]`, whatever was read before", "The Source"
    VALUE = "a Source is a small value: a frozen dataclass of paths and options", "The Source"
    THREADS = "`read` may be called from many threads at once", "The Source"
    HANDLES = "a Source holds no open file between two reads", "The Source"
    UNTOUCHED = "reading leaves the source's folder as it was", "The Source"
    STREAM = "`stream` yields every voxel exactly once", "Stream sources"
    OCCUPIED = "`occupied` is False only where `read` gives nothing but zeros", "What a Source may have"
    COST = "`read_cost` is a number of at least 1", "What a Source may have"
    BROKEN = "a damaged file is an error of wkconvert, never made-up voxels, never another exception", "Errors"
    SECOND_OPINION = "another library finds the same in a file", "The compliance kit"
    SAME_BYTES = "the same source gives the same dataset, byte for byte", "The Source"


class ContractViolation(AssertionError):
    """A plugin does not do what the contract says."""

    def __init__(self, what: str, rule: Rule) -> None:
        """`what` was seen, and the rule that it breaks."""
        text, section = rule.value
        super().__init__(f"{what}. The contract: {text} ({PAGE}, {section!r})")
        self.what = what
        self.rule = rule

    def __reduce__(self) -> tuple[type[ContractViolation], tuple[str, Rule]]:
        """Pickle with both parts."""
        return type(self), (self.what, self.rule)


class NotApplicable(unittest.SkipTest):
    """The sample does not allow this check; pytest and unittest count it as skipped."""


@dataclass(frozen=True)
class Sample:
    """A file or folder to check a reader on."""

    path: Path
    reader: str | None = None
    """None: found by detection."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the reader, as from `-o key=value`."""
    expected: Array | None = field(default=None, compare=False)
    """The true voxels `[c, x, y, z]` of the first layer's finest mag, if known from elsewhere."""


def require(condition: object, what: str, rule: Rule) -> None:
    """Raise ContractViolation unless the condition holds."""
    if not condition:
        raise ContractViolation(what, rule)


def reader_of(path: Path, reader: str | None) -> str:
    """The requested reader, or the one that claims the path. Raises the errors of `detection.find`."""
    found = detection.find(Path(path), plugins(), reader)
    if len(found) > 1 or found[0].layer is not None:
        listed = ", ".join(str(one.path) for one in found)
        raise OptionError(f"{path} is a folder of layers", fix=f"check each by itself: {listed}")
    return found[0].match.format


def plugin_of(reader: str) -> str:
    """The name of the plugin that has a reader."""
    loaded = plugins()
    names = [*BUILT_IN, *(one.name for one in loaded.loaded if not one.error)]
    for name in names:
        if reader in loaded.formats_of(name):
            return name
    raise ContractViolation(f"no plugin has {reader!r} in its FORMATS", Rule.FORMATS)


def open_as(reader: str, path: Path, options: Mapping[str, str] | None) -> Sequence[Layer]:
    """Open a path with a reader. Raises the reader's errors, ContractViolation if it returns no layers."""
    layers = plugins().hook.wkconvert_open(format=reader, path=path, options=dict(options or {}))
    require(layers, f"wkconvert_open returned {layers!r} for {path} and its own format {reader!r}", Rule.OPEN)
    return list(layers)


def opened(path: Path, reader: str | None, options: Mapping[str, str] | None) -> list[tuple[str, Source]]:
    """Every mag of every layer, each with a label for messages."""
    layers = open_as(reader_of(path, reader), Path(path), options)
    return [
        (f"{path}, layer {layer.name or number}, mag {mag}", source)
        for number, layer in enumerate(layers)
        for mag, source in layer.mags.items()
    ]


def volume_bytes(info: VolumeInfo) -> int:
    """The size of a volume in memory."""
    return info.box.volume * info.voxel_bytes


def region(info: VolumeInfo) -> Box:
    """The volume; of a large one, a part with at most `READ_LIMIT` bytes around a chunk's border near the middle."""
    shape = list(info.shape)
    while shape[0] * shape[1] * shape[2] * info.voxel_bytes > READ_LIMIT and max(shape) > 1:
        longest = shape.index(max(shape))
        shape[longest] = -(-shape[longest] // 2)
    part = Vec3(*shape)
    return Box((_borders(info) - part // 2).min(info.box.shape - part).max((0, 0, 0)), part)


def _borders(info: VolumeInfo) -> Vec3:
    """A border between two chunks near the middle of each axis; the middle itself if there is none."""
    chunk = info.chunk_shape or info.shape
    return Vec3(*(n // c // 2 * c or (c if c < n else n // 2) for n, c in zip(info.shape, chunk, strict=True)))


def boxes_in(info: VolumeInfo, within: Box, seed: int = 0, scattered: int = 20) -> list[Box]:
    """`within` itself and boxes that reveal mistakes: corners, planes, across a chunk's border, random ones.

    There are at most `scattered` random ones, fewer if decoding is dear: altogether they decode what `within` is made
    of four times.
    """
    around = Box(_borders(info), (0, 0, 0)).grown((1, 1, 1))
    last = Box(within.stop, (0, 0, 0)).grown((1, 1, 1))
    chosen = [within, Box(within.start, (1, 1, 1)), last.intersection(within), around.intersection(within)]
    x, y, z = within.shape
    chosen += [Box(within.start, plane) for plane in ((1, y, z), (x, 1, z), (x, y, 1))]
    rng = random.Random(seed)
    to_decode = 4 * _decoded(info, within)
    for _ in range(scattered):
        ends = [sorted(rng.sample(range(a, b + 1), 2)) for a, b in zip(within.start, within.stop, strict=True)]
        (x0, x1), (y0, y1), (z0, z1) = ends
        box = Box.between((x0, y0, z0), (x1, y1, z1))
        to_decode -= _decoded(info, box)
        if to_decode < 0:
            break
        chosen.append(box)
    return [box for box in chosen if box.volume][: max(5, affordable(info))]


def _decoded(info: VolumeInfo, box: Box) -> int:
    """Voxels of the chunks that a box touches."""
    chunks = (box - info.chunk_start).aligned(info.chunk_shape or (1, 1, 1)) + info.chunk_start
    return chunks.intersection(info.box).volume


def affordable(info: VolumeInfo) -> int:
    """Number of chunks that fit into `DECODE_LIMIT`."""
    return DECODE_LIMIT // (Box((0, 0, 0), info.chunk_shape or (1, 1, 1)).volume * info.voxel_bytes)


def files_of(path: Path) -> list[Path]:
    """The files of a source, sorted by name; of a folder, at any depth."""
    return sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and logs of libraries about the damage that a check makes on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
