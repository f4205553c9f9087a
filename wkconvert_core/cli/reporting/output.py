"""Printing: lines and tables for people, one JSON document for scripts."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.notes import WarningNote

if TYPE_CHECKING:
    from rich.console import Console

Result = TypeVar("Result")

KEYS = {
    "WkconvertError": "code what why fix",
    "Done": "source=conversion.src target=conversion.dst layers=conversion.layers voxel_size=conversion.voxel_size"
    " written=layers seconds shards shards_from_earlier_run=resumed stored_bytes raw_bytes=conversion.raw_bytes notes",
    "Conversion": "source=src target=dst layers memory_bytes=memory useful_workers? disk_bytes=needed free_bytes=free"
    " estimate steps notes",
    "SourceLayer": "name category category_reason=decision.reason path=found.path reader=found.match.format"
    " reader_reason=found.match.reason shape=info.shape offset=info.offset top_left=extent.start"
    " dtype=info.dtype channels=info.channels"
    " chunk_shape=info.chunk_shape voxel_size mags=mags.keys notes",
    "PlannedStep": "title=step.title mags=step.sinks.spec.mag way=route.way workers=route.workers tasks=route.tasks"
    " shape=step.box.shape shard_shape=step.finest.grid memory_bytes=route.memory"
    " amplification=route.amplification scratch_bytes=route.scratch raw_bytes=step.raw_bytes",
    "LayerSpec": "name mags=mags.mag top_left=box.start shape=box.shape largest_segment_id",
    "Described": "path answers layers problem? stored?",
    "Answer": "plugin format=match.format confidence=match.confidence reason",
    "MagStorage": "layer=where.layer mag=where.mag path=where.place top_left=where.box.start shape=where.box.shape"
    " dtype=mag.info.dtype channels=mag.info.channels voxel_size shards stored_bytes raw_bytes ratio compression"
    " shard_side=mag.shard_shape.x block_side=mag.block_shape.x problem",
    "Loaded": "name distribution version formats writers interpolation_modes error",
    "Soundness": "path sound damaged changed mags seconds notes",
    "Equality": "a b equal metadata mags seconds notes",
    "MagCompared": "layer mag voxels differing first=difference",
    "Preview": "source picture layers notes",
    "LayerPreview": "name category dtype channels shape mag planes_at window voxel_size",
    "Progress": "step number steps voxels total voxel_bytes done workers waiting",
    "Difference": "place channel a=values.0 b=values.1",
}
"""Keys of the documents of classes whose documents are not just their fields, as `docs/json-output.md` promises.

`key=path.to.value` follows attributes from the object, into each item of a list; a key with `?` is left out if empty.
Those of `notes` that are warnings stand under `warnings` instead.
"""
ROUNDED = ("seconds", "ratio", "amplification")
"""Keys of measured numbers, rounded to three decimals."""


def as_document(value: Any) -> Any:
    """A result for JSON: an object for a dataclass or mapping, a list for other iterables, else text or a number.

    Paths, mags, dtypes and enum members become text, as do NaN and infinity, which JSON lacks.

    >>> from wkconvert_core import Box, Mag, VoxelSize
    >>> as_document({"mag": Mag(2, 2, 1), "box": Box((0, 0, 0), (8, 8, 4)), "value": math.nan, "at": Path("em/2-2-1")})
    {'mag': '2-2-1', 'box': {'start': [0, 0, 0], 'shape': [8, 8, 4]}, 'value': 'nan', 'at': 'em/2-2-1'}
    >>> as_document(VoxelSize((4.0, 4.0, None), "nm", "ImageJ tags"))
    {'size': [4.0, 4.0, None], 'unit': 'nm', 'origin': 'ImageJ tags'}
    """
    if keys := next((KEYS[kind.__name__] for kind in type(value).__mro__ if kind.__name__ in KEYS), None):
        return _object(value, keys.split())
    if is_dataclass(value):
        return _object(value, [field.name for field in fields(value)])
    if isinstance(value, Mapping):
        return {str(key): as_document(one) for key, one in value.items()}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mag | Path) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return [as_document(one) for one in value] if isinstance(value, Iterable) else value.name  # a dtype's name


def _object(value: Any, keys: Sequence[str]) -> dict[str, Any]:
    document = {}
    for entry in keys:
        key, _, path = entry.rstrip("?").partition("=")
        found = _follow(value, (path or key).split("."))
        if found or not entry.endswith("?"):
            document[key] = round(found, 3) if found is not None and key in ROUNDED else as_document(found)
        if key == "notes":
            document["notes"] = [note for note in found if not isinstance(note, WarningNote)]
            document["warnings"] = warnings_of(found)
    return document


def warnings_of(notes: Iterable[str]) -> list[str]:
    """The notes that are warnings."""
    return [note for note in notes if isinstance(note, WarningNote)]


def _follow(value: Any, path: Sequence[str]) -> Any:
    """The value at the end of a path of attributes; None if an attribute on the way is None."""
    for name in path:
        if value is None:
            return None
        if name == "keys":
            value = sorted(value)
        elif name.isdecimal():
            value = value[int(name)]
        else:
            value = [getattr(one, name) for one in value] if type(value) in (list, tuple) else getattr(value, name)
    return value


def print_document(value: Any) -> None:
    """Print a result as one JSON document to standard output."""
    sys.stdout.write(json.dumps(as_document(value), indent=2) + "\n")


def emit(
    result: Result, given: Mapping[str, Any], show: Callable[[Result, Console], None], *, stderr: bool = False
) -> None:
    """Print a result: as a JSON document if `given`, the command's options, has `json`, else by `show`."""
    if given["json"]:
        print_document(result)
    else:
        show(result, console(stderr=stderr))


class _Forgiving:
    """A stream that ignores errors: a closed pipe or a full disk must not end a conversion."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, for results, or on standard error, for everything else."""
    from rich.console import Console

    return Console(file=cast("TextIO", _Forgiving(sys.stderr if stderr else sys.stdout)))


def printable(text: str) -> str:
    r"""Text that a terminal may show: control characters, as file names may have, are escaped.

    >>> printable("slice\x1b[2J_\u202e1.tif")
    'slice\\x1b[2J_\\u202e1.tif'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def print_lines(console: Console, *lines: str, style: str = "") -> None:
    """Print lines: on a terminal wrapped at spaces and indented, elsewhere as they are, so that paths can be copied."""
    from rich.text import Text

    for line in map(printable, lines):
        if console.is_terminal and len(line) > console.width:
            line = hanging(line, console.width, 2 + len(line) - len(line.lstrip()))
        console.print(Text(line, style), soft_wrap=True)


def hanging(line: str, width: int, indent: int) -> str:
    """A line wrapped at spaces to a width, its second and further lines indented; longer words stay whole.

    >>> print(hanging("why: the file has 2114 bytes", 20, 5))
    why: the file has
         2114 bytes
    """
    return textwrap.fill(line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def print_notes(notes: Iterable[str], console: Console, *, quiet: bool = False) -> None:
    """Print a line for each note, the warnings first; with `quiet`, only those."""
    told = list(notes)
    print_lines(console, *(f"warning: {note}" for note in warnings_of(told)), style="yellow")
    if not quiet:
        print_lines(console, *(f"note: {note}" for note in told if not isinstance(note, WarningNote)))


def print_table(console: Console, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; on a terminal that is too narrow for it, a paragraph for each row."""
    cells: list[Sequence[str]] = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    if console.is_terminal and sum(widths) + len(widths) > console.width + 1:
        for row in cells:
            named = (title.replace(", ", " in ") for title in titles[1:])  # units: "voxel, nm"
            facts = (f"{title} {cell}" for title, cell in zip(named, row[1:], strict=True))
            print_lines(console, f"{row[0]}: {', '.join(facts)}")
        return
    for number, row in enumerate([titles, *cells]):
        line = " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print_lines(console, line.rstrip(), style="" if number else "bold")


def count_text(number: int, what: str) -> str:
    """A count with its noun.

    >>> count_text(1, "shard"), count_text(1024, "shard")
    ('1 shard', '1,024 shards')
    """
    return f"{number:,} {what}{'s' * (number != 1)}"


def rate_text(count: float, seconds: float, unit: str = "MB/s") -> str:
    """Millions of bytes or so per second, to two digits where they are few; empty where that says nothing.

    >>> rate_text(120e6, 1), rate_text(1.5e6, 10), rate_text(0, 1)
    ('120 MB/s', '0.15 MB/s', '')
    """
    rate = count / seconds / 1e6 if seconds > 0 else 0.0
    return "" if rate < 0.01 else f"{rate:.0f} {unit}" if rate >= 10 else f"{rate:.2g} {unit}"


def time_text(seconds: float) -> str:
    """An estimated time, in the largest unit of which there are two or more.

    >>> [time_text(seconds) for seconds in (0.1, 90, 840, 7 * 3600, 1e6)]
    ['1 s', '90 s', '14 min', '7 h', '12 days']
    """
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, seconds):.0f} s"


def near(path: Path) -> Path:
    """A path as the user would type it: relative to the working folder if it lies below."""
    with suppress(OSError, ValueError):
        return path.relative_to(Path.cwd())
    return path


def shape_text(shape: Iterable[int]) -> str:
    """Extent along each axis: `100 x 200 x 30`."""
    return " x ".join(map(str, shape))


def shard_text(shape: Sequence[int]) -> str:
    """The same, but short for a cube.

    >>> shard_text((128, 128, 128)), shard_text((128, 128, 1))
    ('128^3', '128 x 128 x 1')
    """
    return f"{shape[0]}^{len(shape)}" if len(set(shape)) == 1 else shape_text(shape)
