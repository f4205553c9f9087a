"""The tag tree of a DM3 or DM4 file, read strictly.

Gatan has not published the format. It was found out by C. Boothroyd and G. Jefferis ("Digital Micrograph
file format", "DM3 format"), and checked on 114 real files:

- A file starts with its version (3 or 4), its size and whether values are little endian. All that describes the
  tree is big endian, in words of 4 bytes (DM3) or 8 (DM4).
- A group has two flags (sorted, open), the number of its tags, and the tags. A tag has its kind (20 is a group, 21 a
  value), the length of its name (2 bytes), the name and, in DM4, its size in bytes.
- A value starts with `%%%%`, the number of words that describe its type, and these words: the code of a number, or
  18 and the length of a string, or 15, a name's length, the number of fields and for each a name's length and a code,
  or 20, the type of an element and how many there are.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from io import BufferedReader
from typing import TypeAlias

from wkconvert_core.toolkit.files import broken, open_file, reading

TagPath: TypeAlias = tuple[str, ...]
"""The names from the root to a tag; a tag without a name goes by its place in the group, from 0."""

_GROUP, _VALUE = 20, 21
_STRUCT, _STRING, _ARRAY = 15, 18, 20
_NUMBERS = {2: "h", 3: "i", 4: "H", 5: "I", 6: "f", 7: "d", 8: "B", 9: "b", 10: "B", 11: "q", 12: "Q"}
_TEXT = 4
"""The elements of an array that is a text: UTF-16."""
_WANTED_OF_TAGS = (("ImageTags", "Meta Data", "Format"), ("ImageTags", "Microscope Info", "Stage Position"))
"""The tags that are read of those that DigitalMicrograph and its users note on an image."""
_DEEPEST = 64
_MOST_WORDS = 4096
_LONGEST_TEXT = 1024


@dataclass(frozen=True, slots=True)
class Span:
    """Where the elements of an array lie in the file."""

    offset: int
    size: int
    """In bytes."""


Value: TypeAlias = int | float | str | Span


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of images and their calibrations."""

    order: str
    """Byte order of all values, as `struct` and numpy write it."""
    values: dict[TagPath, Value] = field(default_factory=dict)

    def number(self, path: TagPath) -> int | float | None:
        """The number at a path, or None."""
        value = self.values.get(path)
        return value if isinstance(value, int | float) else None

    def text(self, path: TagPath) -> str:
        """The text at a path, or an empty one."""
        value = self.values.get(path)
        return value if isinstance(value, str) else ""


def read_tags(path: str) -> Tags:
    """Walk a file's tag tree; the work is bounded by the size of the file. Raises SourceNotFound, BrokenSource."""
    with reading(path), open_file(path) as file:
        return _Walk(path, file).tree()


class _Walk:
    """One pass over the tree, which keeps the tags that are `_wanted` and steps over all others."""

    def __init__(self, path: str, file: BufferedReader) -> None:
        self.path = path
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.word, self.width, self.tags = "I", 4, Tags("<")

    def tree(self) -> Tags:
        (version,) = struct.unpack(">I", self.take(4))
        if version not in (3, 4):
            raise broken(self.path, f"it starts with {version}; DM files start with their version, 3 or 4")
        if version == 4:
            self.word, self.width = "Q", 8
        self.words(1)
        (little,) = struct.unpack(">I", self.take(4))
        if little not in (0, 1):
            raise broken(self.path, f"its byte order is {little}, neither 0 (big endian) nor 1 (little endian)")
        self.tags = Tags("<" if little else ">")
        self.group((), wanted=True)
        return self.tags

    def take(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise broken(self.path, f"the tag tree reaches beyond the file's {self.size} bytes", cut=True)
        return data

    def words(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f">{count}{self.word}", self.take(count * self.width))

    def skip(self, count: int) -> Span:
        """Step over `count` bytes; they must exist."""
        start = self.file.tell()
        if start + count > self.size:
            why = f"a tag reaches to byte {start + count}, the file has {self.size} bytes"
            raise broken(self.path, why, cut=True)
        self.file.seek(count, os.SEEK_CUR)
        return Span(start, count)

    def group(self, path: TagPath, *, wanted: bool) -> None:
        if len(path) > _DEEPEST:
            raise broken(self.path, f"its tags are nested more than {_DEEPEST} deep")
        self.take(2)
        for number in range(self.words(1)[0]):
            kind, length = struct.unpack(">BH", self.take(3))
            name = self.take(length).decode("latin-1") or str(number)
            if self.width == 8:
                self.words(1)
            inner = (*path, name)
            keep = wanted and _wanted(inner)
            if kind == _GROUP:
                self.group(inner, wanted=keep)
            elif kind == _VALUE:
                self.value(inner, wanted=keep)
            else:
                raise broken(self.path, f"the tag {_shown(inner)} is of the kind {kind}, neither {_GROUP} nor {_VALUE}")

    def value(self, path: TagPath, *, wanted: bool) -> None:
        if (mark := self.take(4)) != b"%%%%":
            raise broken(self.path, f"the tag {_shown(path)} starts with {mark!r} instead of %%%%")
        count = self.words(1)[0]
        if not 1 <= count <= _MOST_WORDS:
            raise broken(self.path, f"the tag {_shown(path)} has a type of {count} words")
        kind = self.words(count)
        size, used = self.measure(path, kind, 0)
        if used != count:
            raise broken(self.path, f"the type of the tag {_shown(path)} has {count} words instead of {used}")
        where = self.skip(size)
        if wanted:
            self.tags.values[path] = self.content(path, kind, where)

    def measure(self, path: TagPath, kind: tuple[int, ...], at: int, depth: int = 0) -> tuple[int, int]:
        """Size in bytes of a value whose type begins at `kind[at]`, and the index where the type ends."""
        code, *rest = kind[at : at + 3] or (-1,)
        if code in _NUMBERS:
            return struct.calcsize(_NUMBERS[code]), at + 1
        if code == _STRING and rest:
            return rest[0], at + 2
        if code == _STRUCT and len(rest) == 2:
            end = at + 3 + 2 * rest[1]
            return self.measure_fields(path, kind[at + 4 : end : 2], rest[1]), end
        if code == _ARRAY and rest and depth < _DEEPEST:
            size, end = self.measure(path, kind, at + 1, depth + 1)
            if end < len(kind):
                return size * kind[end], end + 1
        raise broken(self.path, f"the tag {_shown(path)} has a type that DM files do not have: {kind[:8]}")

    def measure_fields(self, path: TagPath, codes: tuple[int, ...], expected: int) -> int:
        if len(codes) != expected or not set(codes) <= set(_NUMBERS):
            raise broken(
                self.path, f"the tag {_shown(path)} has fields of types that DM files do not have: {codes[:8]}"
            )
        return sum(struct.calcsize(_NUMBERS[code]) for code in codes)

    def content(self, path: TagPath, kind: tuple[int, ...], where: Span) -> Value:
        """The value that was stepped over: a number, a text, or the place of anything else."""
        number = _NUMBERS.get(kind[0])
        text = kind[:2] == (_ARRAY, _TEXT) and path[-1] != "Data"
        if not number and not text:
            return where
        self.file.seek(where.offset)
        data = self.take(min(where.size, _LONGEST_TEXT))
        self.file.seek(where.offset + where.size)
        if text:
            return data.decode("utf-16-le" if self.tags.order == "<" else "utf-16-be", "replace").rstrip("\0")
        (found,) = struct.unpack(self.tags.order + (number or ""), data)
        return int(found) if isinstance(found, int) else float(found)


def _wanted(path: TagPath) -> bool:
    """Whether a tag, or some tag in a group, gives the place, size or calibration of voxels."""
    if path[0] == "Thumbnails":
        return True
    if path[0] != "ImageList" or len(path) < 3:
        return path[0] == "ImageList"
    return path[2] in ("ImageData", "Name") or any(path[2:5] == known[: len(path) - 2] for known in _WANTED_OF_TAGS)


def _shown(path: TagPath) -> str:
    return repr(".".join(path)[:200])
