"""The lines of journals and lists of checksums: a JSON array each, whose last element is the CRC-32 of the others.

["2-2-1", 32, 0, 0, "crc32:000000ff:4096", 2, 250, 0, 32768, "6ba67902"]    a finished shard
["record", 3, "147ee4a3"]    begins a list of checksums: the third one of its layer. The higher number holds, not the
                             time of a file, which a copy may change.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.model import Checksum
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.toolkit.files import is_file, listed, open_file, reading

_RECORD = "record"


def format_line(done: ShardDone) -> bytes:
    r"""A shard's line in a journal or a list of checksums.

    >>> done = ShardDone(Mag(2, 2, 1), Vec3(32, 0, 0), Checksum(255, 4096), 2, 250, 0, 32**3)
    >>> format_line(done)
    b'["2-2-1", 32, 0, 0, "crc32:000000ff:4096", 2, 250, 0, 32768, "6ba67902"]\n'
    >>> parse_line(format_line(done)) == done
    True
    """
    return _with_sum([str(done.mag), *done.start, str(done.checksum), done.low, done.high, done.nans, done.voxels])


def parse_line(line: bytes, *, bare: bool = False) -> ShardDone:
    """Read what `format_line` gives. `bare` lines, of earlier versions, lack the sum, and are checked as far as goes.

    Raises ValueError for a line that is malformed or was changed.

    >>> parse_line(b'["1", 0, 0, 0, "crc32:000000ff:4096", 2, 250, 0, 32768]', bare=True).voxels
    32768
    >>> parse_line(b'["1", 0, 0, 0, "crc32:000000ff:4096", 2, 250, 0, 32768]')
    Traceback (most recent call last):
    ValueError: the line's own checksum does not fit
    """
    fields = _fields(line, bare=bare)
    try:
        mag, x, y, z, checksum, low, high, nans, voxels = fields
        counts = x, y, z, nans, voxels
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError(f"{counts} are no numbers of voxels")
        if not all(value is None or (type(value) in (int, float) and abs(value) < math.inf) for value in (low, high)):
            raise ValueError(f"{low!r} to {high!r} is no range of values")
        return ShardDone(Mag.parse(mag), Vec3(x, y, z), Checksum.parse(checksum), low, high, nans, voxels)
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def parsed(lines: Iterable[bytes], *, listed: bool) -> Iterator[tuple[int, bytes, ShardDone | ValueError]]:
    """Number, line and shard of each line of a list of checksums, or, if it is not `listed`, of a journal.

    The line that numbers a list is left out. For one that is malformed or was changed, the error stands for the shard.
    """
    bare = False
    for number, line in enumerate(lines, 1):
        try:
            if listed and number == 1:
                bare = is_bare(line)
                if parse_serial(line):
                    continue
            yield number, line, parse_line(line, bare=bare)
        except ValueError as error:
            yield number, line, error


def format_serial(serial: int) -> bytes:
    r"""The first line of a list of checksums.

    >>> format_serial(3), parse_serial(format_serial(3)), parse_serial(b'["1", 0, 0, 0, "crc32:000000ff:4096"]\n')
    (b'["record", 3, "147ee4a3"]\n', 3, None)
    """
    return _with_sum([_RECORD, serial])


def parse_serial(line: bytes) -> int | None:
    """The number of a list of checksums among those of its layer; None if its first line states none.

    Lists of earlier versions do not. Raises ValueError for a line that was changed.
    """
    if is_bare(line):
        return None
    match _fields(line):
        case [str(), int(serial)] if serial > 0:
            return serial
    raise ValueError("it does not say which list of checksums this is")


def serial_of(shards: Path) -> int:
    """The number of a list of checksums; 0 if it was changed, or is of an earlier version. Raises BrokenSource."""
    with reading(shards), open_file(shards) as file:
        line = file.readline(100)
    try:
        return parse_serial(line) or 0
    except ValueError:
        return 0


def is_bare(content: bytes) -> bool:
    """Whether a list of checksums, or its first line, is of an earlier version, without sums and number."""
    return not content.startswith(b'["record"')


def next_serial(folder: Path, layer: str, besides: Path) -> int:
    """The number for a new list of checksums of a layer: one more than those in a folder of records, `besides` one.

    Raises BrokenSource: without the numbers of the others, it is not known that this one is the newest.
    """
    others = (path for path in listed(folder, "*.shards") if layer_and_command(path)[0] == layer and path != besides)
    return 1 + max(map(serial_of, filter(is_file, others)), default=0)


def layer_and_command(path: Path) -> tuple[str, str]:
    """The layer and the command in the name of a plan or a list of checksums.

    >>> layer_and_command(Path("em.raw.downsample-2.shards"))
    ('em.raw', 'downsample-2')
    """
    layer, _, command = path.stem.rpartition(".")
    return layer, command


def content_of(path: Path) -> bytes:
    """The bytes of a plan or a list of checksums. Raises SourceNotFound, BrokenSource."""
    with reading(path), open_file(path) as file:
        return file.read()


def parsed_plan(content: bytes) -> dict[str, Any]:
    """The plan of a run; empty if it cannot be read as one."""
    try:
        plan = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return plan if isinstance(plan, dict) and isinstance(plan.get("settings"), dict) else {}


def entry_of(plan: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object in a plan; empty if it is missing or none."""
    found = plan.get(key)
    return found if isinstance(found, dict) else {}


def extent_in(plan: Mapping[str, Any], layer: str) -> Box | None:
    """A layer's extent at the time of a run, in mag-1 voxels; None if the plan does not state it."""
    try:
        x, y, z, width, height, depth = map(int, entry_of(plan, "extents")[layer])
        return Box((x, y, z), (width, height, depth))
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None


def sizes_in(plan: Mapping[str, Any]) -> Iterator[VoxelSize]:
    """The voxel sizes of mag 1 that a run was told by its layers; those before one that is malformed."""
    with suppress(TypeError, ValueError, OptionError):
        for x, y, z, unit in plan.get("voxel_sizes", ()):
            yield VoxelSize((x, y, z), unit, "the layers that are there")


def _with_sum(fields: list[Any]) -> bytes:
    content = json.dumps(fields).encode()[:-1]
    return b'%b, "%08x"]\n' % (content, zlib.crc32(content))


def _fields(line: bytes, *, bare: bool = False) -> list[Any]:
    """The elements of a line without its sum. Raises ValueError."""
    content, _, given = line.rstrip(b"\n").rpartition(b', "')
    if given != b'%08x"]' % zlib.crc32(content):
        if not bare or line.rstrip().endswith(b'"]'):
            raise ValueError("the line's own checksum does not fit")
        content = line.rstrip(b"\n").removesuffix(b"]")
    try:
        fields = json.loads(content + b"]")
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(fields, list):
        raise ValueError("it is no list")
    return fields
