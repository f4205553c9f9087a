"""OME-XML: where the planes of an image are, names and colours of its channels, and its voxel size.

The schema: https://docs.openmicroscopy.org/ome-model/
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from wkconvert_core import METRES, unit_symbol


@dataclass(frozen=True)
class OmeChannel:
    """A channel of an image."""

    name: str
    samples: int
    color: tuple[int, int, int] | None


@dataclass(frozen=True)
class OmePlanes:
    """A run of planes, consecutive in a file and, from `first` on, in the image."""

    first: dict[str, int]
    """By axis: C, Z, T."""
    ifd: int
    count: int | None
    """Number of planes; None: all from `ifd` to the end of the file."""
    file: str | None
    uuid: str | None


@dataclass(frozen=True)
class OmeLength:
    """A length as OME-XML states it."""

    value: float
    unit: str
    """As it is spelled; `µm`, the schema's default, if none is stated."""
    stated: bool
    """Whether the unit is stated."""

    @property
    def metres(self) -> float | None:
        """The length in metres; None if its unit is none of length, such as `pixel` or `reference frame`."""
        symbol = unit_symbol(self.unit)
        scale = METRES[symbol] if symbol else _METRES.get(self.unit.strip())
        return None if scale is None else self.value * scale


_METRES = {
    **{f"{prefix}m": 10.0**power for prefix, power in zip("YZEPTGMk", range(24, 0, -3), strict=True)},
    **{f"{prefix}m": 10.0**power for prefix, power in zip("fazy", range(-15, -25, -3), strict=True)},
    **{"hm": 100.0, "dam": 10.0, "dm": 0.1, "mi.": 1609.344, "mi": 1609.344, "yd": 0.9144, "ft": 0.3048},
    **{"li": 0.0254 / 12, "thou": 2.54e-5, "pt": 0.0254 / 72, "ua": 149597870700.0, "ly": 9460730472580800.0},
    "pc": 3.0856775814913673e16,
}
"""Units of OME's schema that voxels do not have elsewhere, in metres."""


@dataclass(frozen=True)
class OmeImage:
    """One image of the file."""

    name: str
    order: str
    """The axes, the fastest first, such as `XYZCT`."""
    sizes: dict[str, int]
    channels: list[OmeChannel]
    physical: tuple[OmeLength | None, ...]
    """The size of a voxel along x, y, z; None where it is unknown."""
    planes: list[OmePlanes]
    uuid: str | None
    """UUID of the file that contains this XML."""
    well: str = ""
    """Where it lies on a plate: `well B3, field 1`; empty for images that lie on none."""
    stage: str = ""
    """Where the stage stood for its first plane, such as `x 120.5 µm, y -3 µm`; empty if that is not stated."""
    type: str = ""
    """The type of its numbers, such as `uint16` or `float`; empty if that is not stated."""


class ElsewhereError(ValueError):
    """OME-XML that refers to another file for all that it would say."""

    def __init__(self, file: str) -> None:
        """`file` is the name of the file that holds the XML."""
        super().__init__(f"its OME-XML is in another file: {file or '?'}")
        self.file = file


def is_ome(description: str) -> bool:
    r"""Whether the description of a TIFF is OME-XML.

    >>> is_ome("<OME></OME>\n"), is_ome("ImageJ=1.53t")
    (True, False)
    """
    return description[-10:].strip().endswith("OME>")


@functools.lru_cache(maxsize=2)  # called for the planes and again for the voxel size
def read_ome(description: str) -> list[OmeImage]:
    """The images that OME-XML describes.

    Raises ElsewhereError for XML that is in another file, another ValueError for what is damaged or incomplete.

    >>> text = '<OME><Image Name="a"><Pixels SizeX="9" SizeY="7" SizeZ="5" PhysicalSizeX="4"/></Image></OME>'
    >>> read_ome(text)[0].sizes, read_ome(text)[0].physical[0]
    ({'X': 9, 'Y': 7, 'Z': 5, 'C': 1, 'T': 1}, OmeLength(value=4.0, unit='µm', stated=False))
    """
    try:
        root = ElementTree.fromstring(description)
    except ElementTree.ParseError as error:
        raise ValueError(f"its OME-XML is damaged: {error}") from error
    if binary := list(_all(root, "BinaryOnly")):
        raise ElsewhereError(binary[0].get("MetadataFile", ""))
    wells = dict(_wells(root))
    return [
        _image(image, pixels, root.get("UUID"), wells.get(image.get("ID", ""), ""))
        for image in _all(root, "Image")
        for pixels in _all(image, "Pixels")
    ]


def _wells(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """The ID of each image on a plate, and the well and field where it was taken."""
    for plate in _all(root, "Plate"):
        for well in _all(plate, "Well"):
            row, column = int(well.get("Row", "0")), int(well.get("Column", "0"))
            letter = chr(ord("A") + row) if 0 <= row < 26 else f"row {row + 1}, column "
            for field, sample in enumerate(_all(well, "WellSample"), 1):
                for image in _all(sample, "ImageRef"):
                    yield image.get("ID", ""), f"well {letter}{column + 1}, field {field}"


def _all(parent: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """The children of that name in any version of the schema."""
    return (child for child in parent if child.tag.rpartition("}")[2] == name)


def _image(image: ElementTree.Element, pixels: ElementTree.Element, uuid: str | None, well: str) -> OmeImage:
    order = pixels.get("DimensionOrder", "XYZCT")
    if sorted(order) != sorted("XYZCT") or order[:2] != "XY":
        raise ValueError(f"its OME-XML gives the axes as {order!r}")
    sizes = {axis: int(pixels.get(f"Size{axis}", "1")) for axis in "XYZCT"}
    if min(sizes.values()) < 1:
        raise ValueError(f"its OME-XML gives the sizes {sizes}")
    return OmeImage(
        name=image.get("Name") or image.get("ID") or "",
        order=order,
        sizes=sizes,
        channels=[_channel(channel) for channel in _all(pixels, "Channel")],
        physical=tuple(_pixel_size(pixels, axis) for axis in "XYZ"),
        planes=[_planes(data) for data in _all(pixels, "TiffData")],
        uuid=uuid,
        well=well,
        stage=", ".join(_stage(pixels)),
        type=pixels.get("Type", ""),
    )


def _stage(pixels: ElementTree.Element) -> Iterator[str]:
    """Where the stage stood for the first plane, along each axis for which that is stated."""
    planes = sorted(_all(pixels, "Plane"), key=lambda plane: int(plane.get("TheZ", "0")))
    for first, axis in itertools.product(planes[:1], "XYZ"):
        place, unit = first.get(f"Position{axis}"), first.get(f"Position{axis}Unit", "reference frame")
        if place is not None:
            yield f"{axis.lower()} {place}{'' if unit == 'reference frame' else f' {unit}'}"


def _channel(channel: ElementTree.Element) -> OmeChannel:
    color = channel.get("Color")
    red_green_blue = int(color) >> 8 & 0xFFFFFF if color is not None else None
    return OmeChannel(
        name=channel.get("Name") or "",
        samples=int(channel.get("SamplesPerPixel", "1")),
        color=None
        if red_green_blue is None
        else (red_green_blue >> 16, red_green_blue >> 8 & 255, red_green_blue & 255),
    )


def _pixel_size(pixels: ElementTree.Element, axis: str) -> OmeLength | None:
    """The stated size of a pixel along an axis; None unless it is a finite number above 0."""
    try:
        size = float(_with_point(pixels.get(f"PhysicalSize{axis}", "nan")))
    except ValueError:
        return None
    unit = pixels.get(f"PhysicalSize{axis}Unit")
    return OmeLength(size, unit or "µm", unit is not None) if 0 < size < float("inf") else None


def _with_point(number: str) -> str:
    """A number whose decimal comma, which is no thousands separator, is a point, as programs write in some countries.

    >>> _with_point("0,325"), _with_point("12,5"), _with_point("1,000")
    ('0.325', '12.5', '1,000')
    """
    whole, comma, fraction = number.strip().partition(",")
    return f"{whole}.{fraction}" if comma and (whole == "0" or len(fraction) != 3) else number


def own_uuid(description: str) -> str | None:
    """The UUID that OME-XML gives the file it is in, from its beginning alone; None if it gives none.

    >>> own_uuid('<?xml version="1.0"?><OME xmlns="..." UUID="urn:uuid:1f"><Image')
    'urn:uuid:1f'
    """
    found = re.search(r"""<(?:\w+:)?OME\b[^>]*?\bUUID=["']([^"'>]+)""", description)
    return found[1] if found else None


def _planes(data: ElementTree.Element) -> OmePlanes:
    count = data.get("PlaneCount") or data.get("NumPlanes") or ("1" if "IFD" in data.attrib else None)
    uuid = next(_all(data, "UUID"), None)
    return OmePlanes(
        first={axis: int(data.get(f"First{axis}", "0")) for axis in "CZT"},
        ifd=int(data.get("IFD", "0")),
        count=None if count is None else int(count),
        file=None if uuid is None else uuid.get("FileName"),
        uuid=None if uuid is None else uuid.text,
    )
