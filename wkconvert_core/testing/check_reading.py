"""Checks of reading: the right voxels, from any thread or process, and nothing left behind."""

from __future__ import annotations

import gc
import hashlib
import math
import random
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.abilities import Stream, stream_of
from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import Source, VolumeInfo
from wkconvert_core.testing.samples import (
    DECODE_LIMIT,
    READ_LIMIT,
    NotApplicable,
    Rule,
    affordable,
    boxes_in,
    files_of,
    opened,
    region,
    require,
    volume_bytes,
)

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

Options = Mapping[str, str] | None


def check_boxes(
    path: Path, *, reader: str | None = None, options: Options = None, expected: Array | None = None
) -> None:
    """Single voxels, planes, boxes across chunks and random boxes equal the same part of the whole, read in any order.

    `expected`: the true voxels `[c, x, y, z]` of the first layer's finest mag, if known from elsewhere.
    """
    for number, (label, source) in enumerate(opened(path, reader, options)):
        within = region(source.info)
        whole = np.array(_checked(label, source.info, within, source.read(within)))
        if expected is not None and number == 0:
            _check_expected(label, source.info, within, whole, expected)
        _check_parts(label, source, within, whole)


def read_checked(source: Source) -> Array:
    """All voxels `[c, x, y, z]` of a small source, for tests that know the true ones.

    Boxes of every kind, and the stream of a source that has `stream`, are compared with the whole, with fewer random
    ones than `check_boxes` has, as tests read many files. Raises ContractViolation.
    """
    within = source.info.box
    whole = np.array(_checked("the source", source.info, within, source.read(within)))
    _check_parts("the source", source, within, whole, scattered=4)
    if stream := stream_of(source):
        _check_one_stream("the source", source, stream)
    return whole


def _check_parts(label: str, source: Source, within: Box, whole: Array, scattered: int = 20) -> None:
    """Compare boxes within a box of a source with its voxels, which were read before; it is read again at the end."""
    parts = boxes_in(source.info, within, scattered=scattered)[1:]
    results = [(box, source.read(box)) for box in [*parts, *reversed(parts), within]]
    for box, data in results:  # compared after all were read, so that a reused buffer shows
        part = whole[(slice(None), *box.slices_in(within))]
        same = _equal(_checked(label, source.info, box, data), part)
        require(same, f"{label}: box {box} is not that part of {within}", Rule.READ)


def _check_expected(label: str, info: VolumeInfo, within: Box, whole: Array, expected: Array) -> None:
    shape = (info.channels, *info.shape)
    seen = f"{label} is {info.dtype} {shape}, expected is {expected.dtype} {expected.shape}"
    require(expected.shape == shape and expected.dtype == info.dtype, seen, Rule.READ)
    part = expected[(slice(None), *within.slices_in(info.box))]
    same = _equal(whole, part)
    require(same, "" if same else f"{label}: {_difference(whole, part, within)}", Rule.READ)


def _checked(label: str, info: VolumeInfo, box: Box, data: Array) -> Array:
    """The voxels of a box. Raises ContractViolation unless they are an array of the right shape and dtype."""
    require(isinstance(data, np.ndarray), f"{label}: read returned a {type(data).__name__}, no array", Rule.READ)
    shape = (info.channels, *box.shape)
    require(data.shape == shape, f"{label}: box {box} has the shape {data.shape}, it should be {shape}", Rule.READ)
    good = data.dtype == info.dtype
    require(good, f"{label}: read returned {data.dtype.str}, `info` says {info.dtype.str}", Rule.READ)
    return data


def _equal(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def _difference(data: Array, expected: Array, box: Box) -> str:
    """Where two arrays `[c, x, y, z]` of a box differ first."""
    differs = (data != expected) & ((data == data) | (expected == expected))  # NaN is NaN
    first = tuple(int(n) for n in np.argwhere(differs)[0])
    voxel = tuple(a + n for a, n in zip(box.start, first[1:], strict=True))
    return f"voxel {voxel} of channel {first[0]} is {data[first]}, expected {expected[first]}"


def check_stream(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """The `stream` of a source yields every voxel once, and the same ones as `read`."""
    for label, source, stream in _having("stream", path, reader, options):
        if volume_bytes(source.info) > DECODE_LIMIT:
            raise NotApplicable(f"{label} has more than {DECODE_LIMIT >> 30} GiB")
        _check_one_stream(label, source, stream)


def _check_one_stream(label: str, source: Source, stream: Stream) -> None:
    within = region(source.info)
    whole = np.array(source.read(within))
    seen = np.zeros(source.info.shape, np.uint8)
    for box, data in stream():
        require(box in source.info.box, f"{label}: stream yields {box} outside {source.info.box}", Rule.STREAM)
        _checked(label, source.info, box, data)
        seen[box.slices_in(source.info.box)] += 1
        common = box.intersection(within)
        ours = data[(slice(None), *common.slices_in(box))]
        theirs = whole[(slice(None), *common.slices_in(within))]
        require(_equal(ours, theirs), f"{label}: stream and read differ in {common}", Rule.STREAM)
    wrong = np.argwhere(seen != 1)[:1].tolist()
    require(not wrong, f"{label}: stream does not yield the voxel at {wrong} once", Rule.STREAM)


def check_occupied(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """The `occupied` of a source is False only for boxes in which `read` finds nothing but zeros."""
    for label, source, occupied in _having("occupied", path, reader, options):
        within = region(source.info)
        whole = source.read(within)
        for box in (*within.tiles(within.shape.ceildiv(4)), *boxes_in(source.info, within)):
            answer = occupied(box)
            require(isinstance(answer, bool), f"{label}: occupied({box}) is {answer!r}, no bool", Rule.OCCUPIED)
            found = whole[(slice(None), *box.slices_in(within))].any()
            require(answer or not found, f"{label}: occupied({box}) is False, but read finds voxels", Rule.OCCUPIED)


def check_read_cost(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """The `read_cost` of a source is a finite number that covers at least the array that `read` returns."""
    for label, _, cost in _having("read_cost", path, reader, options):
        good = isinstance(cost, int | float) and 1 <= cost < math.inf
        require(good, f"{label}: read_cost is {cost!r}", Rule.COST)


def _having(member: str, path: Path, reader: str | None, options: Options) -> list[tuple[str, Source, Any]]:
    """The sources that have an optional member, each with its label and the member. Raises NotApplicable for none."""
    asked = [(label, source, getattr(source, member, None)) for label, source in opened(path, reader, options)]
    if not (found := [each for each in asked if each[2] is not None]):
        raise NotApplicable(f"{path} has no source with `{member}`")
    return found


def check_threads(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """Eight threads that read one Source concurrently get the same voxels as one thread; two if chunks are huge."""
    from concurrent.futures import ThreadPoolExecutor

    for label, source in opened(path, reader, options):
        within = region(source.info)
        whole = np.array(source.read(within))
        boxes = (boxes_in(source.info, within, seed=1) * 4)[: max(8, affordable(source.info))]
        random.Random(1).shuffle(boxes)
        with ThreadPoolExecutor(max(2, min(8, affordable(source.info)))) as pool, _hasty_threads():
            results = list(pool.map(_read_or_error, [source] * len(boxes), boxes))
        for box, data in zip(boxes, results, strict=True):
            if isinstance(data, Exception):
                require(False, f"{label}: box {box} among threads: {type(data).__name__}: {data}", Rule.THREADS)
            part = whole[(slice(None), *box.slices_in(within))]
            same = data.shape == part.shape and _equal(data, part)
            require(same, f"{label}: box {box} differs when several threads read", Rule.THREADS)


@contextmanager
def _hasty_threads() -> Iterator[None]:
    """Make threads switch five hundred times as often as usual, so that races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _read_or_error(source: Source, box: Box) -> Any:
    try:
        return source.read(box)
    except Exception as error:
        return error


def check_loky(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """Other processes, which only get the pickled Source, read the same voxels as this one."""
    import joblib

    for label, source in opened(path, reader, options):
        boxes = boxes_in(source.info, region(source.info), seed=2)[:8]
        tasks = (joblib.delayed(_digests)(source, part) for part in (boxes[::2], boxes[1::2]))
        try:
            answers = joblib.Parallel(n_jobs=2, backend="loky")(tasks)
        except Exception as error:
            last = str(error.__cause__ or error).strip(' "\n').rpartition("\n")[2]
            require(False, f"{label}: in another process: {type(error).__name__}: {last}", Rule.VALUE)
        here = [_digests(source, part) for part in (boxes[::2], boxes[1::2])]
        require(answers == here, f"{label}: another process reads other voxels", Rule.VALUE)


def _digests(source: Source, boxes: Sequence[Box]) -> list[str]:
    return [hashlib.sha256(np.ascontiguousarray(source.read(box)).tobytes()).hexdigest() for box in boxes]


def check_no_open_handles(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """After reading, no file of the source is open or was left to the garbage collector, and no handle was leaked."""
    import psutil

    path, process = Path(path), psutil.Process()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sources = opened(path, reader, options)
        boxes = [(source, box) for _, source in sources for box in boxes_in(source.info, region(source.info))[:8]]
        for source, box in boxes[:1]:
            source.read(box)  # libraries open here what they open once for themselves
        gc.collect()
        before = _handles(process)
        for source, box in boxes:
            source.read(box)
        gc.collect()
    forgotten = [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)]
    require(not forgotten, f"{path}: left to the garbage collector: {'; '.join(forgotten[:3])}", Rule.HANDLES)
    mine = {str(file.resolve()) for file in files_of(path)}
    for _ in range(100):  # threads of a library may close a file a moment later
        still = sorted({file.path for file in process.open_files() if file.path in mine})
        if not still:
            break
        time.sleep(0.01)
    require(not still, f"still open after reading: {', '.join(still[:3])}", Rule.HANDLES)
    after = _handles(process)
    require(after <= before, f"{path}: {after - before} more handles are open after reading than before", Rule.HANDLES)


def _handles(process: Any) -> int:
    """Number of open files, sockets and pipes; 0 on Windows, where libraries open and close them at will."""
    return int(process.num_fds()) if hasattr(process, "num_fds") else 0


def check_untouched(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """Opening and reading neither change the source nor leave files beside it."""
    path = Path(path)
    before = _state(path)
    for _, source in opened(path, reader, options):
        for box in boxes_in(source.info, region(source.info))[:4]:
            source.read(box)
    after = _state(path)
    changed = sorted(str(file) for file in before.keys() | after.keys() if before.get(file) != after.get(file))
    require(not changed, f"reading made, changed or removed {', '.join(changed[:3])}", Rule.UNTOUCHED)


def _state(path: Path) -> dict[Path, tuple[int, int, str]]:
    """Size, time and, if the source is small, a digest of its files; also of files beside it that share its stem."""
    files = set(files_of(path))
    is_small = sum(file.stat().st_size for file in files) <= READ_LIMIT
    state = {}
    for file in files.union(file for file in path.parent.iterdir() if path.stem in file.name and file.is_file()):
        status, content = file.stat(), file.read_bytes() if is_small and file in files else b""
        state[file] = status.st_size, status.st_mtime_ns, hashlib.sha256(content).hexdigest()
    return state
