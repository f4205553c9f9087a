"""Reading the pixels of a TIFF page: raw rows straight from the file, else strip by strip, tile by tile."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from typing import Any

import numpy as np

from wkconvert_core.toolkit.raw_rows import fill, fill_rows

from .cache import Cache
from .coding import JPEGS, is_raw
from .facts import Array, Facts, chosen
from .page import Page

Decode = Callable[..., tuple[Array | None, Any, Any]]

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # a library must not print on its own
warnings.filterwarnings("ignore", module=r"(tifffile|imagecodecs)(\.|$)")
_DECODERS: Cache[Decode] = Cache(64)
_NATIVE = "<" if np.dtype("<u2").isnative else ">"


@dataclass(frozen=True)
class TiffRaster:
    """A page of a TIFF file that can be read."""

    page: Page

    @property
    def facts(self) -> Facts:
        """Size, dtype and samples, from the tags."""
        return self.page.facts

    @property
    def several(self) -> bool:
        """Whether further pages, or planes of this one, follow in the file."""
        return self.page.next != 0 or self.page.planes > 1

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
        if page.inverted:
            if out.dtype.kind == "u" and coding.bits < 8 * out.itemsize:
                np.subtract((1 << coding.bits) - 1, out, out=out)
            else:
                np.invert(out, out=out)

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
        if self.page.coding.compression in JPEGS:  # the decoder depends on the first strip as well
            return _make_decoder(self.page)
        return _DECODERS.get(self.page.coding, lambda: _make_decoder(self.page))

    @cached_property
    def _runs(self) -> list[tuple[int, int, int]]:
        """(first row, row after the last, offset) of each run of rows contiguous in the file, plane by plane."""
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

    def _runs_of(self, plane: int) -> Iterator[tuple[int, int, int]]:
        """The runs of one plane: each plane begins with row 0."""
        at = -1
        for run in self._runs:
            at += run[0] == 0
            if at == plane:
                yield run

    def _raw(
        self, file: FileIO, out: Array, row: int, column: int, plane: int, samples: tuple[int, ...], shift: int
    ) -> None:
        """Read uncompressed rows, straight into `out` if its rows are contiguous pixels of the stored dtype."""
        coding = self.page.coding
        for first, last, start in self._runs_of(plane):
            a, b = max(first, row), min(last, row + len(out))
            if a >= b:
                continue
            part = out[a - row : b - row]
            if not start:
                part[...] = self.page.blank
                continue
            direct = part.dtype == coding.dtype and samples == tuple(range(coding.pixel))
            direct = direct and part[0].flags.c_contiguous
            rows = part if direct else np.empty((b - a, part.shape[1], coding.pixel), coding.dtype)
            # rows of the run before row a, then the pixels left of the column
            at = start + shift + (a - first) * coding.row_bytes() + column * coding.pixel * coding.dtype.itemsize
            fill_rows(file, rows, at, coding.row_bytes())
            if coding.order != _NATIVE and coding.dtype.itemsize > 1:
                rows.byteswap(inplace=True)
            if rows is not part:
                part[...] = chosen(rows, samples)

    def _decoded(
        self, file: FileIO, out: Array, row: int, column: int, plane: int, samples: tuple[int, ...], shift: int
    ) -> None:
        """Decode only the strips or tiles that the region touches."""
        page, coding = self.page, self.page.coding
        (across, down), (wide, high) = coding.grid, coding.segment
        extra = {"jpegtables": page.tables} if coding.compression in JPEGS else {}
        stop_row, stop_column = row + out.shape[0], column + out.shape[1]
        for y in range(row // high, -(-stop_row // high)):
            for x in range(column // wide, -(-stop_column // wide)):
                # strips and tiles are numbered across, then down, then plane by plane
                index = (plane * down + y) * across + x
                top, left = max(row, y * high), max(column, x * wide)
                bottom, right = min(stop_row, (y + 1) * high), min(stop_column, (x + 1) * wide)
                target = out[top - row : bottom - row, left - column : right - column]
                count = int(page.counts[index])
                if not count:
                    target[...] = page.blank
                    continue
                stored = np.empty(count, np.uint8)
                fill(file, stored, int(page.starts[index]) + shift)
                data = self.decode(stored.tobytes(), index, **extra)[0]
                assert data is not None
                piece = data[0, top - y * high : bottom - y * high, left - x * wide : right - x * wide]
                target[...] = chosen(piece, samples)


def _make_decoder(page: Page) -> Decode:
    import tifffile

    # for files of these kinds, tifffile would look at every page
    with tifffile.TiffFile(page.path, is_lsm=False, is_scanimage=False, is_ndpi=False) as tiff:
        tiff.filehandle.seek(page.ifd)
        decode = tifffile.TiffPage(tiff, 0).decode
    decode(None, 0)  # raises here for an unknown coding: tifffile reports it only when it decodes
    return decode
