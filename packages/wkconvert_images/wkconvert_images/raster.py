"""Reading the pixels of a TIFF page: straight from the file where they are raw, else strip by strip, tile by tile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from typing import Any

import numpy as np

from .cache import Cache
from .coding import JPEGS, is_raw
from .facts import Array, Facts, chosen
from .page import Page

Decode = Callable[..., tuple[Array | None, Any, Any]]

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # a library must not print on its own
_DECODERS: Cache[Decode] = Cache(64)
_SKIPPED = 16384
"""Reading over as many bytes costs about as much as another call to the system."""
_SPAN = 1 << 18
"""What is read over should stay in the processor's cache."""


@dataclass(frozen=True)
class TiffRaster:
    """A page of a TIFF file that can be read."""

    page: Page

    @property
    def facts(self) -> Facts:
        """What its tags say."""
        return self.page.facts

    @property
    def several(self) -> bool:
        """Whether further pages follow in the file."""
        return self.page.next != 0

    @property
    def weight(self) -> int:
        """Approximate memory of this object, in bytes."""
        arrays = self.page.starts.nbytes + self.page.counts.nbytes
        if self.page.coding.compression in JPEGS:  # keeps a decoder, and with it a page of tifffile's, to itself
            return 50_000 + 6 * arrays
        return 2000 + arrays

    def fill(self, out: Array, row: int, column: int, samples: tuple[int, ...], shift: int = 0) -> None:
        """Fill `out[y, x, sample]`, see `facts.Raster`."""
        page, coding = self.page, self.page.coding
        if page.palette is not None:
            indices = np.empty((*out.shape[:2], 1), "u1" if coding.bits == 1 else coding.dtype)
            self._stored(indices, row, column, (0,), shift)
            out[...] = chosen(page.palette[indices[..., 0]], samples)
            return
        self._stored(out, row, column, samples, shift)
        if coding.photometric == 0:
            _invert(out, coding.bits)

    def _stored(self, out: Array, row: int, column: int, samples: tuple[int, ...], shift: int) -> None:
        read = self._raw if is_raw(self.page.coding) else self._decoded
        with FileIO(self.page.path) as file:
            if self.page.coding.planar:
                for i, sample in enumerate(samples):
                    read(file, out[..., i : i + 1], row, column, sample, (0,), shift)
            else:
                read(file, out, row, column, 0, samples, shift)

    @cached_property
    def decode(self) -> Decode:
        """The function of tifffile that decodes a strip or tile; raises ValueError where there is none."""
        if self.page.coding.compression in JPEGS:  # depends on what the first strip holds, too
            return _make_decoder(self.page)
        return _DECODERS.get(self.page.coding, lambda: _make_decoder(self.page))

    @cached_property
    def _runs(self) -> list[tuple[int, int, int]]:
        """First row, row after the last, and offset of each run of rows that lie one after another, plane by plane."""
        coding = self.page.coding
        starts, rows, row_bytes = self.page.starts.tolist(), coding.segment[1], coding.row_bytes()
        runs: list[tuple[int, int, int]] = []
        for strip, start in enumerate(starts):
            first = strip % coding.grid[1] * rows
            last = min(first + rows, coding.height)
            if runs and first and runs[-1][2] + (first - runs[-1][0]) * row_bytes == start and start:
                runs[-1] = (runs[-1][0], last, runs[-1][2])
            else:
                runs.append((first, last, start))
        return runs

    def _plane(self, plane: int) -> Iterator[tuple[int, int, int]]:
        """The runs of one sample's plane."""
        at = -1
        for run in self._runs:
            at += run[0] == 0
            if at == plane:
                yield run

    def _raw(
        self, file: FileIO, out: Array, row: int, column: int, plane: int, samples: tuple[int, ...], shift: int
    ) -> None:
        """Read rows that are not compressed, into `out` itself where its memory lies right."""
        coding = self.page.coding
        for first, last, start in self._plane(plane):
            a, b = max(first, row), min(last, row + len(out))
            if a >= b:
                continue
            part = out[a - row : b - row]
            if not start:
                part[...] = self.page.blank
                continue
            direct = part.dtype == coding.dtype and samples == tuple(range(coding.pixel)) and _packed(part)
            rows = part if direct else np.empty((b - a, part.shape[1], coding.pixel), coding.dtype)
            _read_rows(file, rows, start + shift + (a - first) * coding.row_bytes(), column, coding.row_bytes())
            if coding.order != _NATIVE and coding.dtype.itemsize > 1:
                rows.byteswap(inplace=True)
            if rows is not part:
                part[...] = chosen(rows, samples)

    def _decoded(
        self, file: FileIO, out: Array, row: int, column: int, plane: int, samples: tuple[int, ...], shift: int
    ) -> None:
        """Decode the strips or tiles that the region touches, and no other."""
        page, coding = self.page, self.page.coding
        (across, down), (wide, high) = coding.grid, coding.segment
        extra = {"jpegtables": page.tables} if coding.compression in JPEGS else {}
        stop_row, stop_column = row + out.shape[0], column + out.shape[1]
        for y in range(row // high, -(-stop_row // high)):
            for x in range(column // wide, -(-stop_column // wide)):
                index = (plane * down + y) * across + x
                top, left = max(row, y * high), max(column, x * wide)
                bottom, right = min(stop_row, (y + 1) * high), min(stop_column, (x + 1) * wide)
                target = out[top - row : bottom - row, left - column : right - column]
                count = int(page.counts[index])
                if not count:
                    target[...] = page.blank
                    continue
                data = self.decode(_bytes(file, int(page.starts[index]) + shift, count), index, **extra)[0]
                assert data is not None
                piece = data[0, top - y * high : bottom - y * high, left - x * wide : right - x * wide]
                target[...] = chosen(piece, samples)


def _make_decoder(page: Page) -> Decode:
    import tifffile

    # told that these are none of the kinds of which it would look at every page
    with tifffile.TiffFile(page.path, is_lsm=False, is_scanimage=False, is_ndpi=False) as tiff:
        tiff.filehandle.seek(page.ifd)
        decode = tifffile.TiffPage(tiff, 0).decode
    decode(None, 0)  # of a coding that it does not know, tifffile tells only when something is to be decoded
    return decode


_NATIVE = "<" if np.dtype("<u2").isnative else ">"


def _invert(values: Array, bits: int) -> None:
    """What is black becomes white, in place; floats have no white to count from and stay."""
    if values.dtype.kind == "u" and bits < 8 * values.dtype.itemsize:
        np.subtract((1 << bits) - 1, values, out=values)
    elif values.dtype.kind != "f":
        np.invert(values, out=values)


def _packed(rows: Array) -> bool:
    """Whether each row of `rows[y, x, sample]` is one piece of memory."""
    samples, size = rows.shape[2], rows.itemsize
    return rows.strides[1] == size * samples and (samples == 1 or rows.strides[2] == size)


def _read_rows(file: FileIO, rows: Array, start: int, column: int, row_bytes: int) -> None:
    """Fill `rows[y, x, sample]`, each row one piece of memory, from rows of `row_bytes` that begin at `start`."""
    pixel = rows.shape[2] * rows.itemsize
    wanted = rows.shape[1] * pixel
    if wanted == row_bytes and rows.flags.c_contiguous:
        _into(file, start, _memory(rows))
    elif row_bytes - wanted <= _SKIPPED:
        _read_spans(file, rows, start + column * pixel, row_bytes, wanted)
    else:
        for i, row in enumerate(rows):
            _into(file, start + i * row_bytes + column * pixel, _memory(row))


def _read_spans(file: FileIO, rows: Array, start: int, row_bytes: int, wanted: int) -> None:
    """Fill the rows from pieces of the file that hold several, with what lies between them."""
    step = max(1, _SPAN // row_bytes)
    buffer = np.empty((min(step, len(rows)), row_bytes), "u1")
    view = _memory(buffer)
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        _into(file, start + first * row_bytes, view[: (len(part) - 1) * row_bytes + wanted])
        part[...] = buffer[: len(part), :wanted].view(rows.dtype).reshape(part.shape)


def _into(file: FileIO, start: int, view: memoryview) -> None:
    """Fill `view` from the file, however many calls that takes."""
    file.seek(start)
    done = 0
    while done < len(view):
        count = file.readinto(view[done:])
        if not count:
            raise EOFError(f"{len(view)} bytes expected at byte {start}, {done} found")
        done += count


def _memory(array: Array) -> memoryview:
    return memoryview(array.data).cast("B")


def _bytes(file: FileIO, start: int, count: int) -> bytes:
    data = bytearray(count)
    _into(file, start, memoryview(data))
    return bytes(data)
