"""Mutators: functions of a random generator and a file's bytes, which know where a format keeps its numbers and texts.

`places_…` tell where the fields of a format are; `odd_field` writes something odd into one of them.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from random import Random

Mutator = Callable[[Random, bytes], bytes]
Place = tuple[int, str]
"""Offset of a field, and its form as struct has it."""

# --- bytes of no known structure -------------------------------------------------------------------------------------


def flipped(rng: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def truncated(rng: Random, data: bytes) -> bytes:
    return data[: rng.choice([rng.randrange(len(data)), len(data) - rng.randint(1, min(16, len(data)))])]


def spliced(rng: Random, data: bytes) -> bytes:
    """A piece of the file written over, put before, or taken out of another place."""
    start, end, to = [*sorted(rng.randrange(len(data) + 1) for _ in range(2)), rng.randrange(len(data) + 1)]
    piece = data[start:end][:4096]
    after = to + rng.choice([0, len(piece)])
    return rng.choice([data[:to] + piece + data[after:], data[:start] + data[start + len(piece) :], data + piece])


def overwritten(rng: Random, data: bytes) -> bytes:
    """An odd number at any place of the first kilobyte, where headers are."""
    return odd_field(rng, data, [(rng.randrange(min(len(data), 1024)), rng.choice("<>") + rng.choice("HIQ"))])


GENERIC: list[Mutator] = [flipped, truncated, spliced, overwritten]

# --- numbers in known fields -----------------------------------------------------------------------------------------


def odd_number(rng: Random, form: str, size: int, others: Sequence[int]) -> bytes:
    """A field's bytes: an end of its range, a small number, about the file's length, or what another field holds."""
    bits = 8 * struct.calcsize(form)
    if form[-1] in "fd":
        return struct.pack(form, rng.choice([0.0, -1.0, 1e-30, 3e38, float("nan"), float("inf"), -float("inf")]))
    near = [rng.randrange(20), 1 << rng.randrange(bits), (1 << rng.randrange(bits)) - 1, size + rng.randint(-9, 9)]
    number = rng.choice([0, 1, (1 << bits) - 1, (1 << bits - 1), *near, *rng.sample(others, min(2, len(others)))])
    return (number % (1 << bits)).to_bytes(bits // 8, "big" if form[0] == ">" else "little")


def odd_field(rng: Random, data: bytes, places: Sequence[Place]) -> bytes:
    """One of the fields changed, sometimes two."""
    out = bytearray(data)
    fitting = [(at, form) for at, form in places if 0 <= at <= len(data) - struct.calcsize(form)]
    held = [struct.unpack_from(form, data, at)[0] for at, form in fitting if form[-1] in "BHIQ"]
    for at, form in rng.sample(fitting, min(len(fitting), rng.choice([1, 1, 2]))):
        out[at : at + struct.calcsize(form)] = odd_number(rng, form, len(data), held)
    return bytes(out)


def in_fields(places: Callable[[bytes], list[Place]]) -> Mutator:
    """The mutator that changes the fields of a format."""
    return lambda rng, data: odd_field(rng, data, places(data))


def tiff_entries(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each entry of each IFD begins, its tag, and whether the file is BigTIFF; tag -1 is the link to the next."""
    order, big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")
    word, count, length = ("Q", "Q", 20) if big else ("I", "H", 12)
    link, seen = 8 if big else 4, set()
    while link not in seen and link + 8 <= len(data):
        seen.add(link)
        yield link, -1, big
        at = struct.unpack_from(order + word, data, link)[0]
        if not 0 < at <= len(data) - 8:
            return
        entries = struct.unpack_from(order + count, data, at)[0]
        at += struct.calcsize(count)
        for number in range(min(entries, 200)):
            if at + length * (number + 1) <= len(data):
                yield at + length * number, struct.unpack_from(order + "H", data, at + length * number)[0], big
        link = at + length * entries


def places_of_tiff(data: bytes) -> list[Place]:
    order = "<" if data[:2] == b"II" else ">"
    found: list[Place] = [(2, order + "H"), (4, order + "H")]
    for at, tag, big in tiff_entries(data):
        word = order + ("Q" if big else "I")
        parts = [
            (0, order + "H"),
            (2, order + "H"),
            (4, word),
            (12 if big else 8, word),
            (12 if big else 8, order + "H"),
        ]
        found += [(at, word)] if tag < 0 else [(at + skip, form) for skip, form in parts]
    return found


def places_of_png(data: bytes) -> list[Place]:
    found, at = [], 8
    while at + 12 <= len(data):
        found += [
            (at, ">I"),
            (at + 4, ">I"),
            *((at + 8 + n, form) for n, form in ((0, ">I"), (4, ">I"), (8, "B"), (9, "B"))),
        ]
        at += 12 + struct.unpack_from(">I", data, at)[0]
    return found


def png_with_sums(rng: Random, data: bytes) -> bytes:
    """A field changed, and the checksums of all chunks made right again, so that it is believed."""
    out, at = bytearray(odd_field(rng, data, places_of_png(data))), 8
    while at + 12 <= len(out) and (end := at + 8 + struct.unpack_from(">I", out, at)[0]) + 4 <= len(out):
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def places_of_jpg(data: bytes) -> list[Place]:
    marks = [found.start() for found in re.finditer(rb"\xff[\xc0-\xfe]", data)]
    return [(at + skip, form) for at in marks for skip, form in ((1, "B"), (2, ">H"), (4, "B"), (5, ">H"), (7, ">H"))]


def places_of_bmp(data: bytes) -> list[Place]:
    return [(2, "<I"), (10, "<I"), (14, "<I"), *((18 + 4 * n, "<I") for n in range(9)), (26, "<H"), (28, "<H")]


def places_of_dm(data: bytes) -> list[Place]:
    """Version, length and order; names' lengths, groups' counts, and the words that say what a value is."""
    form, size = (">Q", 8) if data[3] == 4 else (">I", 4)
    found = [(0, ">I"), (4, form), (4 + size, ">I"), (10 + size, form)]
    for tag in re.finditer(rb"[\x14\x15]\0[\0-\x20]", data):
        after = tag.end() + data[tag.end() - 1]
        found += [
            (tag.start(), "B"),
            (tag.start() + 1, ">H"),
            (after, form),
            (after + 2, form),
            (after + size + 2, form),
        ]
    for value in re.finditer(b"%%%%", data):
        found += [(value.end() + size * n, form) for n in range(5)]
    return found


def places_of_nifti(data: bytes) -> list[Place]:
    order = "<" if data[:1] in (b"\x5c", b"\x1c") else ">"
    if data[0] in (0x1C, 0x02) or data[3:4] == b"\x1c":
        words = [(16 + 8 * n, "Q") for n in range(8)] + [(168, "Q")]
        return [
            (at, order + form)
            for at, form in [*words, (0, "I"), (12, "H"), (14, "H"), (344, "I"), (348, "I"), (500, "I")]
        ] + [(at, order + "d") for at in (*range(104, 168, 8), 176, 184, *range(352, 496, 8))]
    shorts = [*range(40, 56, 2), 68, 70, 72, 74, 252, 254]
    floats = [*range(76, 120, 4), 108, 112, 116, *range(256, 328, 4)]
    return [(0, order + "I"), (123, "B"), (344, "<I"), (348, "<I"), *((at, order + "H") for at in shorts)] + [
        (at, order + "f") for at in floats
    ]


def places_of_zip(data: bytes) -> list[Place]:
    fields = {b"PK\1\2": (8, 10, 20, 24, 28, 42), b"PK\3\4": (6, 8, 18, 22, 26), b"PK\5\6": (8, 10, 12, 16)}
    return [
        (found.start() + skip, "<I" if skip in (16, 18, 20, 22, 24, 42) else "<H")
        for sign, skips in fields.items()
        for found in re.finditer(re.escape(sign), data)
        for skip in skips
    ]


def places_of_wkw(data: bytes) -> list[Place]:
    """The header, and the jump table that follows it in a shard."""
    return [(n, "B") for n in range(3, 8)] + [(at, "<Q") for at in range(8, min(len(data), 80), 8)]


# --- texts -----------------------------------------------------------------------------------------------------------

ODD_WORDS = [
    *(b"0", b"-1", b"1e400", b"nan", b"Infinity", b"9223372036854775808", b"9" * 5000, "٣".encode(), b"1.5", b"", b" "),
    *(
        b"\0",
        b"\xff\xfe",
        b"\x1b]0;x\x07",
        b"../../x",
        b"/",
        b"a" * 5000,
        b"&lol;",
        b"<" * 99,
        b'"',
        b"'",
        b"\n",
        b"%s",
    ),
]


def odd_text(rng: Random, data: bytes) -> bytes:
    """A number or a word changed, a line or an element twice or not at all, brackets without end, another coding."""
    kind = rng.randrange(8)
    words = list(re.finditer(rb"-?\d[\d.]*" if kind < 4 else rb"\w+", data))
    if kind < 6 and words:
        chosen = rng.choice(words)
        return data[: chosen.start()] + rng.choice(ODD_WORDS) + data[chosen.end() :]
    if kind == 6:
        parts = re.split(rb"(?<=[\n>;,])", data)
        at = rng.randrange(len(parts))
        parts[at : at + 1] = [parts[at]] * rng.choice([0, 2, 2000])
        return b"".join(parts)
    nested = rng.choice([b"[", b'{"a":', b"<a>", b"(", b"/*", b"#", b"\0"]) * rng.choice([1, 100_000])
    utf16 = data.decode("latin-1").encode("utf-16")
    return rng.choice([nested, data + nested, nested + data, utf16, b"\xef\xbb\xbf" + data])


ODD_VALUES: list[object] = [
    *(None, True, 0, -1, 1.5, 1e300, 2**53, 2**62, 2**64, 10**400, float("nan"), float("inf"), "", "x", "..", "../x"),
    *(
        "/x",
        "a\0b",
        "\ud800",
        "a" * 5000,
        "em\n",
        "s3://x/y",
        [],
        {},
        [[]],
        [1, 2],
        [10**6] * 3,
        [10**7] * 3,
        [0, 0, 0],
    ),
]


def odd_json(rng: Random, data: bytes) -> bytes:
    """A value of a document exchanged, dropped or doubled, at any depth."""
    try:
        document = json.loads(data)
    except ValueError:
        return odd_text(rng, data)
    slots: list[tuple[object, object]] = []

    def walk(node: object) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in list(items):
            slots.append((node, key))
            walk(value)

    walk(document)
    if not slots:
        return odd_text(rng, data)
    node, key = rng.choice(slots)
    kind = rng.randrange(6)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, list):
        node.insert(key, node[key])
    else:
        node[key] = rng.choice(ODD_VALUES)
    return json.dumps(document).encode()


def odd_lines(rng: Random, data: bytes) -> bytes:
    """One line of a file of JSON lines changed like a document, or as text."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = rng.choice([odd_json, odd_text])(rng, lines[at] or b"0")
    return b"\n".join(lines)


ODD_DESCRIPTIONS = [
    b'{"shape": [1e400, 4, 4]}',
    b'{"shape": ' + b"[" * 100_000,
    b"ImageJ=1.53\nimages=%d\nslices=9\nspacing=1e400\nunit=\\u00B5m\n" % 2**40,
    b'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeX="1e9"/></Image></OME>',
    b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 999 + b'"><!ENTITY c "' + b"&b;" * 999 + b'">]><OME>&c;</OME>',
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><OME>&b;</OME>',
    b"<OME>" + b"<a>" * 100_000,
    b"\xff\xfe\0",
]


def tiff_description(rng: Random, data: bytes) -> bytes:
    """Another ImageDescription in a page that has one, written behind the file."""
    order = "<" if data[:2] == b"II" else ">"
    entries = [(at, big) for at, tag, big in tiff_entries(data) if tag == 270]
    if not entries:
        return flipped(rng, data)
    at, big = rng.choice(entries)
    form, skip = (order + "QQ", 4) if big else (order + "II", 4)
    count, offset = struct.unpack_from(form, data, at + skip)
    said = data[offset : offset + count].rstrip(b"\0")
    new = (
        rng.choice(ODD_DESCRIPTIONS) if rng.random() < 0.2 else (odd_json if said[:1] == b"{" else odd_text)(rng, said)
    )
    out = bytearray(data) + new + b"\0"
    struct.pack_into(form, out, at + skip, len(new) + 1, len(data))
    return bytes(out)


# --- files in files --------------------------------------------------------------------------------------------------


def gzipped(inner: Mutator) -> Mutator:
    """What is packed changed; sometimes packed twice, followed by another member, or by zeros without end."""

    def mutate(rng: Random, data: bytes) -> bytes:
        plain = inner(rng, gzip.decompress(data))
        packed = gzip.compress(plain, 1, mtime=0)
        kind = rng.randrange(24)
        if kind == 0:
            return gzip.compress(packed, 1, mtime=0)
        if kind == 1:
            return gzip.compress(plain + bytes(64 << 20), 1, mtime=0)
        return packed + packed if kind == 2 else packed

    return mutate


def odd_member(rng: Random, data: bytes) -> bytes:
    """The member of a zip changed, packed by another method, named elsewhere, twice, or zeros without end."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        name = file.namelist()[0]
        content = file.read(name)
    if rng.random() < 0.5:
        content = rng.choice([flipped, truncated, spliced])(rng, content)
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    if rng.random() < 0.1:
        content += bytes(64 << 20)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        file.writestr(rng.choice([name, name, "../../x", "/x", "", "a" * 999]), content)
        if rng.random() < 0.2:
            file.writestr("more", b"more")
    return out.getvalue()


PICTURE = [*GENERIC, png_with_sums, png_with_sums, in_fields(places_of_png)]
NIFTI = [*GENERIC, *[in_fields(places_of_nifti)] * 3]

BY_NAME: dict[str, list[Mutator]] = {
    ".tif": [*GENERIC, *[in_fields(places_of_tiff)] * 4, *[tiff_description] * 4],
    ".png": PICTURE,
    ".jpg": [*GENERIC, *[in_fields(places_of_jpg)] * 3],
    ".bmp": [*GENERIC, *[in_fields(places_of_bmp)] * 3],
    ".dm3": [*GENERIC, *[in_fields(places_of_dm)] * 4],
    ".dm4": [*GENERIC, *[in_fields(places_of_dm)] * 4],
    ".nii": NIFTI,
    ".hdr": NIFTI,
    ".nii.gz": [flipped, truncated, *map(gzipped, NIFTI)],
    ".conf": [odd_text],
    ".toml": [odd_text],
    ".info": [odd_text],
    ".json": [odd_json, odd_json, odd_text],
    ".zip": [*GENERIC, *[in_fields(places_of_zip)] * 2, *[odd_member] * 3],
    "header.wkw": [*GENERIC, *[in_fields(places_of_wkw)] * 4],
    ".wkw": [*GENERIC, *[in_fields(places_of_wkw)] * 2],
    ".plan": [odd_json, odd_json, odd_text],
    ".shards": [odd_lines],
    ".journal": [odd_lines],
}
"""The mutators for files whose names end like this; of several that fit, those of the longest."""


def mutated(rng: Random, name: str, data: bytes) -> bytes:
    """A file of this name with something changed; where an earlier change left no structure to change, only bits."""
    endings = [ending for ending in BY_NAME if name.endswith(ending)]
    mutator = rng.choice(BY_NAME[max(endings, key=len)] if endings else GENERIC)
    try:
        return mutator(rng, data)
    except (EOFError, OSError, ValueError, IndexError, struct.error, zlib.error, zipfile.BadZipFile):
        return flipped(rng, data or b"\0")
