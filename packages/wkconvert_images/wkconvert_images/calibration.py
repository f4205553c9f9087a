"""Voxel sizes from the tags of a TIFF page, of OME, ImageJ, makers of microscopes, and from texts beside a picture.

Sources: OME's schema; ImageJ's FileSaver (pixels per unit in XResolution, `unit` and `spacing` in the
description); FEI's text tags (metres); Zeiss's text tag; the tags that Gatan's DigitalMicrograph writes.
"""

from __future__ import annotations

import itertools
import re
import struct
from pathlib import Path

from wkconvert_core import METRES, BrokenSource, VoxelSize, WarningNote, unit_symbol

from .ome import OmeImage, is_ome, read_ome
from .structures import fluoview, known, lsm, metamorph, positive
from .tags import Ifd

_FEI = (34680, 34682)
_FEI_XML = 34683
_TESCAN = 50431
_ZEISS = 34118
_SCREENS_AND_PRINTERS = (72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 240, 300, 350, 360, 400, 600, 720, 1200, 2400)
"""Dots per inch that programs write when they do not know the pixel size."""


def voxel_size(ifd: Ifd, image: int = 0) -> VoxelSize | None:
    """The voxel size that the tags of a page state, along its stored axes; `image` is the index of an OME image."""
    description = ifd.text(270)
    if is_ome(description):
        try:
            return ome_voxel_size(read_ome(description)[image])
        except (ValueError, IndexError):  # reported where the planes are looked up
            return None
    for read in (_imagej, lsm, fluoview, _fei, _zeiss, _tescan_tag, _digital_micrograph):
        if found := read(ifd):
            return found
    unit = {2: "inch", 3: "cm"}.get(ifd.number(296, 2))
    flat = from_density(*_density(ifd), unit, "TIFF resolution") if unit else None
    stack = metamorph(ifd)
    if flat is None or stack is None or stack.size[0]:
        return stack or flat
    return VoxelSize((*flat.size[:2], stack.to(flat.unit).size[2]), flat.unit, f"{flat.origin}, z: {stack.origin}")


def from_density(x: float, y: float, unit: str, origin: str) -> VoxelSize | None:
    """The pixel size from pixels per inch or cm; None for the densities of screens and printers.

    >>> from_density(25400, 12700, "inch", "PNG density").size
    (1000.0, 2000.0, None)
    >>> from_density(300, 300, "inch", "PNG density") is None
    True
    """
    if not (positive(x) and positive(y)) or _is_default(x, unit) or _is_default(y, unit):
        return None
    size = VoxelSize((1 / x, 1 / y, None), unit, origin).to("nm")
    return size if all(map(positive, size.size[:2])) else None


def _is_default(density: float, unit: str) -> bool:
    dpi = density * METRES["inch"] / METRES[unit]
    return density == 1 or any(abs(dpi - known) < 0.002 * known for known in _SCREENS_AND_PRINTERS)


def _density(ifd: Ifd) -> tuple[float, float]:
    """XResolution and YResolution; 0 if missing."""
    x, y = ((ifd.floats(tag) or (0.0,))[0] for tag in (282, 283))
    return x, y


def ome_voxel_size(image: OmeImage) -> VoxelSize | None:
    """The voxel size that OME-XML states of an image; None if it states none in a unit of length."""
    lengths = {axis: length for axis, length in zip("xyz", image.physical, strict=True) if length and length.metres}
    if not lengths:
        return None
    unit = next((symbol for length in lengths.values() if (symbol := unit_symbol(length.unit))), "nm")
    # 12 digits: the detour through metres must not show in the last ones
    x, y, z = (
        float(f"{(lengths[axis].metres or 0) / METRES[unit]:.12g}") if axis in lengths else None for axis in "xyz"
    )
    bare = ", ".join(axis for axis, length in lengths.items() if not length.stated)
    told = "" if len(bare) in (0, 3 * len(lengths) - 2) else f" ({bare} without a unit, hence in µm)"
    return known(x, y, z, unit, f"OME-XML{told}")


def imagej(description: str) -> dict[str, str]:
    r"""The lines of a description by ImageJ, by key; empty for other descriptions.

    >>> imagej("ImageJ=1.53t\nimages=8\nunit=nm\n")
    {'ImageJ': '1.53t', 'images': '8', 'unit': 'nm'}
    """
    if not description.startswith("ImageJ="):
        return {}
    return dict(line.split("=", 1) for line in description.splitlines() if "=" in line)


_IMAGEJ_FUNCTIONS = ("a + b*x", "a + b*x + c*x^2", "a + b*x + c*x^2 + d*x^3", "a + b*x + c*x^2 + d*x^3 + e*x^4")
"""The functions that `cf` counts, as far as they are polynomials; their numbers are c0, c1, …"""


def calibration_left_out(lines: dict[str, str]) -> list[str]:
    """The warning of a density calibration in ImageJ's description: voxels are the stored numbers x.

    >>> calibration_left_out({"cf": "0", "c0": "-1024", "c1": "0.5", "vunit": "HU"})
    ["ImageJ's calibration is left out: value in HU = a + b*x, x the stored number, a = -1024, b = 0.5"]
    >>> calibration_left_out({"cf": "0", "c0": "0", "c1": "1"})
    []
    """
    function = lines.get("cf", "20").strip()
    given = [lines[f"c{number}"].strip() for number in range(5) if f"c{number}" in lines]
    is_identity = function == "0" and list(map(_number, given)) == [0, 1]
    if is_identity or function == "20" or not (given or function == "21"):
        return []
    unit = lines.get("vunit", "").strip()
    known = function.isdecimal() and int(function) < len(_IMAGEJ_FUNCTIONS)
    formula = _IMAGEJ_FUNCTIONS[int(function)] if known else f"its function {function} of x"
    numbers = "".join(f", {letter} = {number}" for letter, number in zip("abcde", given, strict=False))
    value = f"value in {unit}" if unit and unit.casefold() != "gray value" else "value"
    return [WarningNote(f"ImageJ's calibration is left out: {value} = {formula}, x the stored number{numbers}")]


def lut_colors(ifd: Ifd) -> tuple[tuple[int, int, int], ...]:
    """The brightest colour in the lookup table of each channel, which ImageJ stores; empty if missing or damaged."""
    try:
        # tag 50839 holds a header and values; tag 50838 has their lengths, the header counts values of each kind
        data, ends = ifd.raw(50839), list(itertools.accumulate(ifd.array(50838).tolist()))
        header = struct.iter_unpack(ifd.tiff.order + "II", data[4 : ends[0]])
        kinds = [kind for kind, count in header for _ in range(min(count, len(ends)))]
        found = zip(kinds, itertools.pairwise(ends), strict=False)
        tables = [data[start:end] for kind, (start, end) in found if kind == int.from_bytes(b"luts")]
        return tuple((r, g, b) for r, g, b in (table[255::256] for table in tables))
    except (BrokenSource, KeyError, IndexError, ValueError, struct.error):  # no reason to refuse a picture
        return ()


def _imagej(ifd: Ifd) -> VoxelSize | None:
    lines = imagej(ifd.text(270))
    unit = unit_symbol(lines.get("unit", ""))
    if not lines or unit is None:
        return None
    x, y = _density(ifd)
    if unit == "inch" and (_is_default(x, unit) or _is_default(y, unit)):
        return None  # ImageJ copies the dpi of the files that it opens
    depth = abs(_number(lines.get("spacing", "")))
    y_unit, z_unit = (unit_symbol(lines.get(key, "")) or unit for key in ("yunit", "zunit"))
    y_scale, z_scale = METRES[y_unit] / METRES[unit], METRES[z_unit] / METRES[unit]
    return known(_pixel(ifd, 282), _pixel(ifd, 283) * y_scale, depth * z_scale, unit, "ImageJ tags")


def _fei(ifd: Ifd) -> VoxelSize | None:
    """FEI and Thermo Fisher: metres, in the section of the scan that took the picture, or in XML."""
    for tag in filter(ifd.__contains__, _FEI):
        sections = _sections(ifd.text(tag))
        scan = _first(r"^Scan\s*=\s*(\S+)", sections.get("Beam", "")) or "Scan"
        named = (sections.get(name, "") for name in ("Scan", scan))
        for text in (*named, *sections.values()):
            x, y = (_number(_first(rf"^Pixel{side}\s*=\s*(\S+)", text)) for side in ("Width", "Height"))
            if positive(x) and positive(y):
                return VoxelSize((x, y, None), "m", "FEI metadata").to("nm")
    if _FEI_XML not in ifd:
        return None
    pixel = re.search(r"<(?:\w+:)?PixelSize>(.*?)</(?:\w+:)?PixelSize>", ifd.text(_FEI_XML), re.DOTALL)
    sides = [re.search(rf"<(?:\w+:)?{axis}\b([^>]*)>([^<]*)<", pixel[1] if pixel else "") for axis in "XY"]
    metres = [_metres_in_xml(*side.groups()) for side in sides if side]
    size = known(metres[0], metres[1], None, "m", "FEI metadata") if len(metres) == 2 else None
    return size and size.to("nm")


def _sections(text: str) -> dict[str, str]:
    r"""The text of each section of an .ini file, by name; what precedes them all is named by an empty text.

    >>> _sections("[Beam]\nScan=EScan\n[EScan]\nPixelWidth=4e-9\n")
    {'': '', 'Beam': '\nScan=EScan\n', 'EScan': '\nPixelWidth=4e-9\n'}
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    before, *parts = re.split(r"^\[([^\]\n]*)\][ \t]*", lines, flags=re.MULTILINE)
    return {"": before} | dict(zip(parts[::2], parts[1::2], strict=True))


def _metres_in_xml(attributes: str, number: str) -> float | None:
    """A length in metres by the attributes of an XML element: `unit`, and `unitPrefixPower`, a factor, which is 1."""
    unit = unit_symbol(_first(r'\bunit\s*=\s*"([^"]*)"', attributes))
    factor = _first(r'\bunitPrefixPower\s*=\s*"([^"]*)"', attributes) or "1"
    return _number(number) * METRES[unit] if unit and factor == "1" else None


def _tescan_tag(ifd: Ifd) -> VoxelSize | None:
    return from_tescan(ifd.text(_TESCAN), "TESCAN metadata")


def from_tescan(text: str, origin: str) -> VoxelSize | None:
    r"""The pixel size in metres that TESCAN's programs write, in a tag and in a file beside the picture.

    >>> print(from_tescan("[MAIN]\nPixelSizeX=4e-9\nPixelSizeY=5e-9\n", "a.hdr"))
    4 x 5 x ? nm
    """
    x, y = (_number(_first(rf"^PixelSize{axis}\s*=\s*(\S+)", text)) for axis in "XY")
    size = known(x, y or x, None, "m", origin)
    return size and size.to("nm")


def beside(path: str) -> VoxelSize | None:
    """The pixel size in the text file that some electron microscopes write beside a picture; None if there is none.

    Hitachi writes `NAME.txt` with `PixelSize` in nm, TESCAN `NAME.hdr` or `NAME-tif.hdr` with metres.
    """
    picture = Path(path)
    for name in (f"{picture.stem}.hdr", f"{picture.stem}-{picture.suffix[1:]}.hdr", f"{picture.stem}.txt"):
        try:
            text_file = picture.with_name(name)
            content = text_file.read_bytes()[: 1 << 16] if text_file.is_file() else b""
        except OSError:
            continue
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", "replace")
        if name.endswith(".hdr") and (size := from_tescan(text, name)):
            return size
        pixel = _number(_first(r"^PixelSize\s*=\s*(\S+)", _sections(text).get("SemImageFile", "")))
        if positive(pixel):
            return VoxelSize((pixel, pixel, None), "nm", name)
    return None


def _zeiss(ifd: Ifd) -> VoxelSize | None:
    """The scale of the stored picture; the entry `Pixel Size` may belong to another magnification.

    Where only that is there, it belongs to the columns of the display, which are `Width` over it, mostly 1024: a
    picture of half or three times as many has pixels twice or a third as large.
    """
    text = ifd.text(_ZEISS)
    size, unit = _zeiss_length(text, "AP_IMAGE_PIXEL_SIZE")
    if not size:
        size, unit = _zeiss_length(text, "AP_PIXEL_SIZE")
        width, of_width = _zeiss_length(text, "AP_WIDTH")
        if size and width:
            times = width * METRES[of_width] / (size * METRES[unit]) / ifd.number(256, 1)
            whole = round(max(times, 1 / times))
            if abs(max(times, 1 / times) - whole) < 0.01:
                size = size * whole if times > 1 else size / whole
    return known(size, size, None, unit, "Zeiss SEM metadata")


def _zeiss_length(text: str, key: str) -> tuple[float, str]:
    """The length that an entry of Zeiss's text tag states, and its unit; 0 without one."""
    value = _first(rf"^{key}\s+[^=\n]*=\s*([^\n]+)", text).split()
    unit = unit_symbol(value[1]) if len(value) == 2 else None
    return (_number(value[0]), unit) if unit and positive(_number(value[0])) else (0, "nm")


def _digital_micrograph(ifd: Ifd) -> VoxelSize | None:
    sizes = [(ifd.floats(tag) or (0.0,))[0] for tag in (65009, 65010, 65011)]
    units = [unit_symbol(ifd.text(tag)) for tag in (65003, 65004, 65005)]
    unit = units[0]
    if unit is None:
        return None
    x, y, z = (size * METRES[own] / METRES[unit] if own else None for size, own in zip(sizes, units, strict=True))
    return known(x, y, z, unit, "DigitalMicrograph tags")


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text.replace("\r", "\n"), re.MULTILINE)
    return match[1] if match else ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _pixel(ifd: Ifd, tag: int) -> float:
    """Units per pixel: numerator and denominator of pixels per unit are exchanged, so that there is one rounding."""
    pixels, units = (ifd.fractions(tag) or ((0.0, 1.0),))[0]
    return units / pixels if positive(pixels) else 0.0
