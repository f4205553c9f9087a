"""The structure of a TIFF file: its directories and their tags, read strictly and on demand.

TIFF 6.0 and BigTIFF, either byte order. tifffile, which decodes the pixels, repairs what it can and logs the rest. A
conversion must refuse a damaged file, must not allocate what a damaged header claims, and opens thousands of files.
Hence this reader: every length is checked against the size of the file before anything is read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from wkconvert_core import BrokenSource
from wkconvert_core.toolkit.files import broken, raw_file

if TYPE_CHECKING:  # telling what a file is must not wait for numpy
    import numpy as np

_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
_TYPES |= {13: "I", 16: "Q", 17: "q", 18: "Q"}
"""struct's letter for each type of tag."""
_SIZES = {code: struct.calcsize("<" + letters) for code, letters in _TYPES.items()}
_WINDOW = 4096
_MOST_TAGS = 4096
"""More tags in one directory are damage; tifffile has the same limit."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes and byte order of the fields of a directory, in TIFF or BigTIFF."""

    order: str
    big: bool
    count: struct.Struct
    entry: struct.Struct
    offset: struct.Struct


def _layout(order: str, big: bool) -> _Layout:
    letters = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    count, entry, offset = (struct.Struct(order + each) for each in letters)
    return _Layout(order, big, count, entry, offset)


_LAYOUTS = {
    mark + struct.pack(order + "H", version): _layout(order, version == 43)
    for mark, order in ((b"II", "<"), (b"MM", ">"))
    for version in (42, 43)
}
"""By the first four bytes of the file."""


def is_tiff(head: bytes) -> bool:
    r"""Whether a file that starts with these bytes is a TIFF.

    >>> is_tiff(b"II*\0"), is_tiff(b"MM\0+"), is_tiff(b"II")
    (True, True, False)
    """
    return head[:4] in _LAYOUTS


class _Entry(NamedTuple):
    type: int
    number: int
    inline: bytes


class TiffFile:
    """An open TIFF file, a context manager, of `size` bytes in the byte order `order` (struct's `<` or `>`)."""

    def __init__(self, path: str) -> None:
        """Open it and read the header; raises BrokenSource."""
        self.path = path
        self._file = raw_file(path)
        self.size = os.fstat(self._file.fileno()).st_size
        self._window = (0, b"")
        try:
            layout = _LAYOUTS.get(head := self.read(0, min(8, self.size), "the header")[:4])
            if self.size < 8:
                raise broken(path, f"it has {self.size} bytes, and the header of TIFF has 8", cut=True)
            if layout is None:
                raise broken(path, f"it begins with the bytes {head.hex(' ')}, and TIFF with 49 49 or 4d 4d")
            self._layout = layout
            self.order = layout.order
            at = 8 if layout.big else 4
            (self.first,) = layout.offset.unpack(self.read(at, layout.offset.size, "the header"))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TiffFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, start: int, count: int, what: str) -> bytes:
        """`count` bytes from `start` on. Raises BrokenSource, which names `what`, if the file is shorter."""
        if start + count > self.size:
            raise broken(
                self.path, f"{what} reaches to byte {start + count}, the file has {self.size} bytes", cut=start > 8
            )
        first, window = self._window
        if not first <= start <= start + count <= first + len(window):
            self._file.seek(start)
            first, window = start, self._file.read(max(count, _WINDOW)) or b""
            if len(window) < count:
                raise broken(self.path, f"{what} is {count} bytes at {start}, {len(window)} were found", cut=True)
            if count <= _WINDOW:
                self._window = first, window
        return window[start - first : start - first + count]

    def ifd(self, offset: int, name: str = "the page's directory") -> Ifd:
        """The directory at byte `offset`. Raises BrokenSource, which calls it `name`."""
        layout = self._layout
        (count,) = layout.count.unpack(self.read(offset, layout.count.size, name))
        if not 0 < count <= _MOST_TAGS:
            raise broken(self.path, f"{name} claims {count} tags")
        table = self.read(offset + layout.count.size, count * layout.entry.size + layout.offset.size, name)
        end = count * layout.entry.size
        entries = {
            tag: _Entry(kind, number, inline)
            for tag, kind, number, inline in reversed(list(layout.entry.iter_unpack(table[:end])))
        }  # of a repeated tag, the first counts
        (following,) = layout.offset.unpack(table[end:])
        return Ifd(self, offset, following, entries)

    def chain(self) -> Iterator[Ifd]:
        """The directories of the main chain, in order. Raises BrokenSource if it leaves the file or is circular."""
        seen: set[int] = set()
        offset = self.first
        while offset:
            if offset in seen:
                raise broken(self.path, f"its chain of pages leads back from page {len(seen) - 1} to byte {offset}")
            seen.add(offset)
            ifd = self.ifd(offset, f"the directory of page {len(seen) - 1}")
            yield ifd
            offset = ifd.next
        if not seen:
            raise broken(self.path, "it holds no picture")


@dataclass(frozen=True, slots=True)
class Ifd:
    """One directory: the tags of one picture. Values are read on demand, while the file is open."""

    tiff: TiffFile
    offset: int
    next: int
    """Offset of the next directory; 0 after the last."""
    entries: dict[int, _Entry]

    def __contains__(self, tag: int) -> bool:
        """Whether the tag is there."""
        return tag in self.entries

    def count(self, tag: int) -> int:
        """Number of values of the tag; 0 if it is missing."""
        entry = self.entries.get(tag)
        return entry.number if entry else 0

    def raw(self, tag: int, most: int | None = None) -> bytes:
        """The bytes of a tag, or the first of them, `most` in number.

        Raises BrokenSource if they lie outside the file, KeyError if the tag is missing.
        """
        kind, count, inline = self.entries[tag]
        if kind not in _SIZES:
            raise broken(self.tiff.path, f"tag {tag} has the unknown type {kind}")
        size = count * _SIZES[kind]
        if size <= len(inline):
            return inline[:size]
        (start,) = struct.unpack(self.tiff.order + ("Q" if len(inline) == 8 else "I"), inline)
        return self.tiff.read(start, min(size, most or size), f"tag {tag} ({count} values)")

    def array(self, tag: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """The values of a tag of integers. Raises BrokenSource, KeyError."""
        import numpy as np

        raw, letter = self.raw(tag), _TYPES[self.entries[tag].type]
        if letter not in "BHIQ":
            raise broken(self.tiff.path, f"tag {tag} is not a list of integers")
        return np.frombuffer(raw, self.tiff.order + {"B": "u1", "H": "u2", "I": "u4", "Q": "u8"}[letter]).astype("u8")

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values of a tag of few integers; `default` if it is missing. Raises BrokenSource."""
        entry = self.entries.get(tag)
        if entry is None:
            return default
        raw, letter = self.raw(tag), _TYPES[entry.type]
        if letter not in "BHIQ" or entry.number > _WINDOW:
            raise broken(self.tiff.path, f"tag {tag} is not a short list of integers")
        return struct.unpack(f"{self.tiff.order}{entry.number}{letter}", raw)

    def number(self, tag: int, default: int) -> int:
        """The first value of a tag of integers; `default` if it is missing. Raises BrokenSource."""
        values = self.numbers(tag, (default,))
        return values[0] if values else default

    def floats(self, tag: int) -> tuple[float, ...]:
        """The values of a tag of fractions or floats, x/0 as 0; empty if it is missing or damaged."""
        return tuple(n / d if d else 0.0 for n, d in self.fractions(tag))

    def fractions(self, tag: int) -> tuple[tuple[float, float], ...]:
        """The same as (numerator, denominator); the denominator of a float is 1."""
        entry = self.entries.get(tag)
        if entry is None or entry.number > _WINDOW or not (letters := _TYPES.get(entry.type, "s")).strip("s"):
            return ()
        try:
            values = struct.unpack(self.tiff.order + letters * entry.number, self.raw(tag))
        except BrokenSource:  # a damaged calibration is no reason to refuse a picture
            return ()
        if len(letters) == 1:
            return tuple((float(value), 1.0) for value in values)
        return tuple(zip(values[::2], values[1::2], strict=True))

    def text(self, tag: int, most: int | None = None) -> str:
        """The text of a tag, or of the first of its bytes, `most` in number; empty if it is missing or damaged."""
        entry = self.entries.get(tag)
        if entry is None or _TYPES.get(entry.type) not in ("s", "B"):
            return ""
        try:
            raw = self.raw(tag, most).rstrip(b"\0")
        except BrokenSource:
            return ""
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")  # a µ, mostly


def is_slice(ifd: Ifd) -> bool:
    """Whether a directory is a picture of its own, not a thumbnail, a smaller copy or a mask of another."""
    return not ifd.number(254, 0) & 0b101 and ifd.number(255, 0) != 2 and ifd.number(262, 1) != 4
