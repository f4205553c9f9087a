"""Raw voxels in a file or stream: boxes of a volume whose rows lie one after another, in any byte order.

A volume lies x fastest, then y, then z, as an array [z, y, x] in C order:

    byte   start        + row_bytes      + 2 row_bytes        (row_bytes = width x bytes of a voxel)
           |row y=0, z=0|row y=1, z=0    |...

A box needs a part of each row, with gaps between the parts. From the page cache, a seek and a read cost 1.5 µs per row;
reading across a gap of 4 KiB costs 0.2 µs, of 16 KiB 2.5 µs. So short gaps are read and dropped, long ones skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wkconvert_core.contract.geometry import Box, Vec3Like

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType

__all__ = ["Readable", "cheap_run", "fill", "fill_rows", "pieces", "read_box"]

_GAP = 4 << 10
"""Longest gap between two rows, in bytes, that is read and dropped rather than skipped."""
_SPAN = 256 << 10
"""Bytes of rows and gaps that are read at a time: few enough to stay in the processor's cache until copied."""


class Readable(Protocol):
    """A binary file without a buffer, such as `io.FileIO`, or a stream that behaves like one.

    It need not be able to go back: within one call of the functions here, positions only grow.
    """

    def seek(self, offset: int, /) -> object:
        """Go to a byte, counted from the start."""
        ...

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the beginning of the buffer; returns the number of bytes, 0 only at the end."""
        ...


def cheap_run(width: int, voxel_bytes: int) -> int:
    """Number of voxels along a row that cost about as much to read as one: the chunk of a raw volume along x.

    >>> cheap_run(512, 2), cheap_run(100_000, 2)
    (512, 2048)
    """
    return min(width, max(1, _GAP // voxel_bytes))


def pieces(box: Box, voxels: int) -> Iterator[Box]:
    """Parts of a box with at most `voxels` voxels each, in the order of the file.

    Readers that convert values hold one piece as stored beside the result, not the whole box twice.

    >>> [str(piece) for piece in pieces(Box((0, 0, 0), (100, 50, 2)), 3000)]
    ['x 0:100, y 0:30, z 0:1', 'x 0:100, y 30:50, z 0:1', 'x 0:100, y 0:30, z 1:2', 'x 0:100, y 30:50, z 1:2']
    """
    x, y, _ = box.shape
    # parts of a row, else whole rows of a plane, else whole planes: each follows the one before in the file
    shape = max(1, min(x, voxels)), max(1, min(y, voxels // max(1, x))), max(1, voxels // max(1, x * y))
    return box.tiles(shape, box.start)


def fill(file: Readable, out: Array, start: int) -> None:
    """Fill a C-contiguous array from a file, from byte `start` on, with as many reads as that takes.

    Raises EOFError if the file ends too early, OSError.

    >>> import io
    >>> out = np.zeros(3, "<u2")
    >>> fill(io.BytesIO(bytes(range(10))), out, 4)
    >>> out.tolist()  # 0x0504, 0x0706, 0x0908
    [1284, 1798, 2312]
    """
    if not out.flags.c_contiguous:
        raise ValueError(f"an array of the strides {out.strides} is not one piece of memory")
    left = out.reshape(-1).view(np.uint8).data
    file.seek(start)
    while left:
        count = file.readinto(left)
        if not count:
            end = start + out.nbytes
            raise EOFError(f"{end} bytes expected, it ends at byte {end - len(left)}")
        left = left[count:]


def fill_rows(file: Readable, rows: Array, start: int, row_bytes: int) -> None:
    """Fill `rows[row, ...]`, each row C-contiguous; the first begins at byte `start`, the others `row_bytes` apart.

    Reads nothing before the first requested byte or after the last one. Raises EOFError, OSError.

    The second and third value of each row of an image that is 4 wide:

    >>> import io
    >>> out = np.zeros((3, 2), "u1")
    >>> fill_rows(io.BytesIO(bytes(range(12))), out, start=1, row_bytes=4)
    >>> out.tolist()
    [[1, 2], [5, 6], [9, 10]]
    """
    if not rows.size:
        return
    wanted = rows[0].nbytes
    if wanted == row_bytes and rows.flags.c_contiguous:
        fill(file, rows, start)
    elif row_bytes - wanted > _GAP:
        for i, row in enumerate(rows):
            fill(file, row, start + i * row_bytes)
    else:
        # as many rows at a time as fit the span, the gaps between them included, but not the gap behind the last
        step = max(1, _SPAN // row_bytes)
        span = np.empty((min(step, len(rows)), row_bytes), np.uint8)
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            fill(file, span.reshape(-1)[: (len(part) - 1) * row_bytes + wanted], start + first * row_bytes)
            part[...] = span[: len(part), :wanted].view(rows.dtype).reshape(part.shape)


def read_box(
    file: Readable, box: Box, shape: Vec3Like, dtype: DType | str, *, start: int = 0, samples: int = 1
) -> Array:
    """The voxels of a box as an array `[c, x, y, z]` in native byte order, x (with more samples: c) contiguous.

    Parameters
    ----------
    file
        Read from the first byte of the box to the last, never backwards.
    box
        Lies within the volume.
    shape
        Extent of the volume along x, y, z in voxels; x is fastest in the file. For a volume that is stored z fastest,
        reverse shape and box, and transpose the result.
    dtype
        A sample as stored, with its byte order: `>u2`.
    start
        Position of the volume's first voxel in the file, in bytes.
    samples
        Interleaved values per voxel, such as red, green and blue: the channels of the result.

    Raises
    ------
    EOFError
        The file ends before the box does.
    OSError
        The file cannot be read. `files.reading` turns both into errors that name the file.

    Examples
    --------
    >>> import io
    >>> volume = np.arange(24, dtype=">u2").reshape(2, 3, 4)  # [z, y, x]: 4 wide, 3 high, 2 deep
    >>> file = io.BytesIO(volume.tobytes())
    >>> read_box(file, Box((1, 2, 0), (3, 1, 2)), (4, 3, 2), ">u2")[0, :, 0].tolist()  # [x, z]
    [[9, 21], [10, 22], [11, 23]]

    """
    (width, height, _), (x, y, z) = shape, box.shape
    out = np.empty((z, y, x, samples), dtype)
    voxel_bytes = samples * out.itemsize
    for number, plane in enumerate(out, box.start[2]):
        first = (number * height + box.start[1]) * width + box.start[0]
        fill_rows(file, plane, start + first * voxel_bytes, width * voxel_bytes)
    if not out.dtype.isnative:
        out = out.byteswap(inplace=True).view(out.dtype.newbyteorder("="))
    return out.transpose(3, 2, 1, 0)
