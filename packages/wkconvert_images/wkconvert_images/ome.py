"""OME-XML: where the planes of an image are, names and colours of its channels, and its voxel size.

The schema: https://docs.openmicroscopy.org/ome-model/
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from wkconvert_core import unit_symbol


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
class OmeImage:
    """One image of the file."""

    name: str
    order: str
    """The axes, the fastest first, such as `XYZCT`."""
    sizes: dict[str, int]
    channels: list[OmeChannel]
    physical: tuple[tuple[float, str | None], ...]
    """Size and unit of a voxel along x, y, z; the unit is None where the size is unknown."""
    planes: list[OmePlanes]
    uuid: str | None
    """UUID of the file that contains this XML."""


def is_ome(description: str) -> bool:
    r"""Whether the description of a TIFF is OME-XML.

    >>> is_ome("<OME></OME>\n"), is_ome("ImageJ=1.53t")
    (True, False)
    """
    return description[-10:].strip().endswith("OME>")


@functools.lru_cache(maxsize=2)  # called for the planes and again for the voxel size
def read_ome(description: str) -> list[OmeImage]:
    """The images that OME-XML describes. Raises ValueError for XML that is damaged, incomplete or elsewhere.

    >>> text = '<OME><Image Name="a"><Pixels SizeX="9" SizeY="7" SizeZ="5" PhysicalSizeX="4"/></Image></OME>'
    >>> read_ome(text)[0].sizes, read_ome(text)[0].physical[0]
    ({'X': 9, 'Y': 7, 'Z': 5, 'C': 1, 'T': 1}, (4.0, 'µm'))
    """
    try:
        root = ElementTree.fromstring(description)
    except ElementTree.ParseError as error:
        raise ValueError(f"its OME-XML is damaged: {error}") from error
    if binary := list(_all(root, "BinaryOnly")):
        raise ValueError(f"its OME-XML is in another file: {binary[0].get('MetadataFile', '?')}")
    return [
        _image(image, pixels, root.get("UUID")) for image in _all(root, "Image") for pixels in _all(image, "Pixels")
    ]


def _all(parent: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """The children of that name in any version of the schema."""
    return (child for child in parent if child.tag.rpartition("}")[2] == name)


def _image(image: ElementTree.Element, pixels: ElementTree.Element, uuid: str | None) -> OmeImage:
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
        physical=tuple(_physical(pixels, axis) for axis in "XYZ"),
        planes=[_planes(data) for data in _all(pixels, "TiffData")],
        uuid=uuid,
    )


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


def _physical(pixels: ElementTree.Element, axis: str) -> tuple[float, str | None]:
    try:
        size = float(pixels.get(f"PhysicalSize{axis}", "nan"))
    except ValueError:
        size = float("nan")
    unit = unit_symbol(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return (size, unit) if 0 < size < float("inf") else (0.0, None)


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
