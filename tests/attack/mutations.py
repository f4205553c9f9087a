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
from collections.abc import Callable, Iterable, Sequence
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


def laid_out(spec: str, starts: Iterable[int] = (0,), order: str = ">") -> list[Place]:
    """Fields by their offset from each start and their form.

    >>> laid_out("0I 4H", [100, 200])
    [(100, '>I'), (104, '>H'), (200, '>I'), (204, '>H')]
    """
    parts = [(int(part[:-1]), order + part[-1]) for part in spec.split()]
    return [(start + at, form) for start in starts for at, form in parts]


def tiff_parts(data: bytes) -> tuple[str, bool, list[int], list[int]]:
    """Byte order, whether it is BigTIFF, and where the links to IFDs and the entries of each begin."""
    order, big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")
    word, count, length = ("Q", "Q", 20) if big else ("I", "H", 12)
    link, links, entries = 8 if big else 4, [], []
    while link not in links and link + 8 <= len(data):
        links.append(link)
        at = struct.unpack_from(order + word, data, link)[0]
        if not 0 < at <= len(data) - 8:
            break
        listed = min(struct.unpack_from(order + count, data, at)[0], 200)
        first = at + struct.calcsize(count)
        link = first + length * listed
        entries += [entry for entry in range(first, link, length) if entry + length <= len(data)]
    return order, big, links, entries


def places_of_tiff(data: bytes) -> list[Place]:
    order, big, links, entries = tiff_parts(data)
    word, parts = ("0Q", "0H 2H 4Q 12Q 12H") if big else ("0I", "0H 2H 4I 8I 8H")
    return laid_out("2H 4H", order=order) + laid_out(word, links, order) + laid_out(parts, entries, order)


def png_chunks(data: bytes) -> list[int]:
    found, at = [], 8
    while at + 12 <= len(data):
        found.append(at)
        at += 12 + struct.unpack_from(">I", data, at)[0]
    return found


def places_of_png(data: bytes) -> list[Place]:
    return laid_out("0I 4I 8I 12I 16B 17B", png_chunks(data))


def png_with_sums(rng: Random, data: bytes) -> bytes:
    """A field changed, and the checksums of all chunks made right again, so that it is believed."""
    out = bytearray(odd_field(rng, data, places_of_png(data)))
    for at in png_chunks(out):
        end = at + 8 + struct.unpack_from(">I", out, at)[0]
        if end + 4 <= len(out):
            struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
    return bytes(out)


def places_of_jpg(data: bytes) -> list[Place]:
    return laid_out("1B 2H 4B 5H 7H", [found.start() for found in re.finditer(rb"\xff[\xc0-\xfe]", data)])


def places_of_bmp(data: bytes) -> list[Place]:
    return laid_out("2I 10I 14I 18I 22I 26H 28H 30I 34I 38I 42I 46I", order="<")


def places_of_dm(data: bytes) -> list[Place]:
    """Version, length and order; names' lengths, groups' counts, and the words that say what a value is."""
    tags = list(re.finditer(rb"[\x14\x15]\0[\0-\x20]", data))
    starts, after = [tag.start() for tag in tags], [tag.end() + data[tag.end() - 1] for tag in tags]
    values = [value.end() for value in re.finditer(b"%%%%", data)]
    head, group, words = (
        ("0I 4Q 12I 18Q", "0Q 2Q 10Q", "0Q 8Q 16Q 24Q")
        if data[3] == 4
        else ("0I 4I 8I 14I", "0I 2I 6I", "0I 4I 8I 12I")
    )
    return laid_out(head) + laid_out("0B 1H", starts) + laid_out(group, after) + laid_out(words, values)


def places_of_mrc(data: bytes) -> list[Place]:
    order = "<" if data[64] or data[68] else ">"  # MAPC, MAPR
    whole, real = (
        [*range(0, 40, 4), 64, 68, 72, 88, 92, 108, 152, 156],
        [*range(40, 64, 4), 76, 80, *range(196, 208, 4)],
    )
    return laid_out("0I", whole, order) + laid_out("0f", real, order) + laid_out("208I 212I", order=order)


def places_of_nifti(data: bytes) -> list[Place]:
    order = "<" if data[1:4] in (b"\x01\0\0", b"\x02\0\0") else ">"
    if 540 in struct.unpack_from("<I", data) + struct.unpack_from(">I", data):  # NIfTI-2
        whole, real = [*range(16, 80, 8), 168], [*range(104, 168, 8), 176, 184, *range(352, 496, 8)]
        return (
            laid_out("0Q", whole, order)
            + laid_out("0d", real, order)
            + laid_out("0I 12H 14H 344I 348I 500I 540I", order=order)
        )
    short, real = [*range(40, 56, 2), *range(68, 76, 2), 252, 254], [*range(76, 120, 4), *range(256, 328, 4)]
    return laid_out("0H", short, order) + laid_out("0f", real, order) + laid_out("0I 123B 344I 348I", order=order)


def places_of_zip(data: bytes) -> list[Place]:
    fields = {b"PK\1\2": "8H 10H 20I 24I 28H 42I", b"PK\3\4": "6H 8H 18I 22I 26H", b"PK\5\6": "8H 10H 12I 16I"}
    signs = {sign: [found.start() for found in re.finditer(sign, data)] for sign in fields}
    return [place for sign, spec in fields.items() for place in laid_out(spec, signs[sign], "<")]


def places_of_dicom(data: bytes) -> list[Place]:
    """Length of each element's value, and the first numbers of it."""
    elements = re.finditer(rb"(?s)..\0?.[A-Z]{2}", data[132:])
    ends = [132 + found.end() for found in elements]
    return laid_out("0H 2H 2I 4H 6I", ends, "<")


def places_of_ser(data: bytes) -> list[Place]:
    """Head, offsets of images (32 or 64 bit), and where the first of them begins."""
    start = struct.unpack_from("<q", data, 22)[0]
    first = struct.unpack_from("<q", data, start)[0] if 0 <= start <= len(data) - 8 else 0
    head = "2H 4H 6I 10I 14I 18I 22Q 30I 34I 38d 46d 54I 58I"
    return laid_out(head, order="<") + laid_out("0Q 8Q 16Q", [start], "<") + laid_out("0d 8d 40H 42I 46I", [first], "<")


def places_of_wkw(data: bytes) -> list[Place]:
    """The header, and the jump table that follows it in a shard."""
    return laid_out("3B 4B 5B 6B 7B", order="<") + laid_out("0Q", range(8, min(len(data), 80), 8), "<")


# --- texts -----------------------------------------------------------------------------------------------------------

ODD_WORDS = [
    *b"0 -1 1.5 1e400 nan Infinity 9223372036854775808 ../../x / &lol; <<<< \" ' %s \0 \xff\xfe \x1b]0;x\x07".split(
        b" "
    )
]
ODD_WORDS += [b"", b" ", b"\n", b"9" * 5000, b"a" * 5000, "٣".encode()]


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
    except (ValueError, RecursionError):  # too deep for Python: an earlier mutation's
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


def odd_head(rng: Random, data: bytes) -> bytes:
    """The text that a file of voxels begins with changed: up to an empty line, or the last line that is a text."""
    end = (re.match(rb"(?s).*?\n\r?\n", data) or re.match(rb"(?:[\t\r -~]*\n)*", data)).end()
    return odd_text(rng, data[:end] or b"0") + data[end:]


def odd_npy(rng: Random, data: bytes) -> bytes:
    """The dict that a file of numpy's begins with changed, and its length made right again."""
    end = 10 + struct.unpack_from("<H", data, 8)[0]
    head = odd_text(rng, data[10:end])
    return data[:8] + struct.pack("<H", len(head) % 65536) + head + data[end:]


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
    order, big, _, entries = tiff_parts(data)
    described = [at for at in entries if struct.unpack_from(order + "H", data, at)[0] == 270]
    if not described:
        return flipped(rng, data)
    form, at = order + ("QQ" if big else "II"), rng.choice(described) + 4
    count, offset = struct.unpack_from(form, data, at)
    said = data[offset : offset + count].rstrip(b"\0")
    new = (
        rng.choice(ODD_DESCRIPTIONS) if rng.random() < 0.2 else (odd_json if said[:1] == b"{" else odd_text)(rng, said)
    )
    out = bytearray(data) + new + b"\0"
    struct.pack_into(form, out, at, len(new) + 1, len(data))
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


def _mostly(places: Callable[[bytes], list[Place]], *others: Mutator) -> list[Mutator]:
    return [*GENERIC, *[in_fields(places)] * 4, *others]


BY_NAME: dict[str, list[Mutator]] = {
    ".tif": _mostly(places_of_tiff, *[tiff_description] * 4),
    ".png": _mostly(places_of_png, *[png_with_sums] * 4),
    ".jpg": _mostly(places_of_jpg),
    ".bmp": _mostly(places_of_bmp),
    ".dm3": _mostly(places_of_dm),
    ".dm4": _mostly(places_of_dm),
    **{ending: _mostly(places_of_mrc) for ending in (".mrc", ".st", ".map")},
    ".nii": _mostly(places_of_nifti),
    ".hdr": _mostly(places_of_nifti),
    ".nii.gz": [flipped, truncated, *map(gzipped, _mostly(places_of_nifti))],
    ".zip": _mostly(places_of_zip, *[odd_member] * 3),
    ".dcm": _mostly(places_of_dicom),
    ".ser": _mostly(places_of_ser),
    ".npy": [*GENERIC, *[odd_npy] * 4],
    ".npz": _mostly(places_of_zip, *[odd_member] * 3),
    **{ending: [*GENERIC, *[odd_head] * 4] for ending in (".nrrd", ".nhdr", ".mha", ".mhd", ".img")},
    ".wkw": _mostly(places_of_wkw),
    **{ending: [odd_text] for ending in (".conf", ".toml", ".info", ".xml")},
    **{
        ending: [odd_json, odd_json, odd_text] for ending in (".json", ".plan", ".zarray", ".zattrs", ".zgroup", "info")
    },
    **{ending: [odd_lines] for ending in (".shards", ".journal")},
}
"""The mutators for files whose names end like this; of several that fit, those of the longest."""


def mutated(rng: Random, name: str, data: bytes) -> bytes:
    """A file of this name with something changed; where an earlier change left no structure to change, only bits."""
    endings = [ending for ending in BY_NAME if name.endswith(ending)]
    mutator = rng.choice(BY_NAME[max(endings, key=len)] if endings else GENERIC)
    try:
        return mutator(rng, data)
    except (EOFError, OSError, ValueError, IndexError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile):
        return flipped(rng, data or b"\0")
