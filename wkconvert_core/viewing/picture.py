"""One picture of some layers: the three middle planes of each, in the proportions of its voxels."""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.geometry import Mag, Vec3
from wkconvert_core.contract.model import Category, Source
from wkconvert_core.contract.voxel_size import METRES, VoxelSize, proportions
from wkconvert_core.viewing.planes import fitting, plane

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from wkconvert_core.contract.model import Array

SIDE = 400
"""Pixels of the longest side of a layer."""
MARGIN, GAP, LINE = 24, 10, 20
"""Pixels around a card, between its planes, and of a line of text."""
LEAST_WIDTH = 360
"""Pixels of the narrowest card: what its text takes."""
BACKGROUND, INK, FAINT = (20, 22, 26), (236, 238, 242), (150, 156, 166)
MADE_BY = "wkconvert preview"
"""The text in the file that says what made the picture."""


@dataclass(frozen=True)
class LayerPreview:
    """Three planes of a layer, and what has to be said about them."""

    name: str
    category: Category
    dtype: str
    channels: int
    shape: Vec3
    """Of the finest mag."""
    finest: Mag
    mag: Mag
    """The mag that is shown."""
    planes_at: Vec3
    """The voxel of that mag in which the planes cross, counted from the layer's corner."""
    window: tuple[float, float] | None
    """The values that are shown black and white; None for labels, and for colours as they are."""
    voxel_size: VoxelSize | None
    """Of mag 1."""
    sides: tuple[int, int, int]
    """Pixels along x, y, z."""
    planes: tuple[Array, Array, Array]
    """Pixels `[row, column, rgb]`: y by x, y by z, z by x."""
    values: Array
    """The voxels of the planes, of the first channel, in no order."""

    @property
    def lines(self) -> list[str]:
        """The lines above the planes."""
        values = f"{self.channels} x {self.dtype}" if self.channels > 1 else self.dtype
        size = f"{self.voxel_size}" if self.voxel_size else "voxel size unknown"
        digits = 4 if "float" in self.dtype else 10  # those of a 32-bit integer
        window = f", {self.window[0]:.{digits}g} is black, {self.window[1]:.{digits}g} is white" if self.window else ""
        x, y, z = self.planes_at
        return [
            f"{self.category}, {values}, {' x '.join(map(str, self.shape))}, {size}",
            f"mag {self.mag} at x {x}, y {y}, z {z}{window}",
        ]


def look_at(
    name: str,
    category: Category,
    mags: Mapping[Mag, Source],
    color: tuple[int, int, int] | None = None,
    window: tuple[float, float] | None = None,
) -> LayerPreview:
    """Read the three middle planes of a layer, of the mag that fits. Raises BrokenSource.

    Grey values get `color`, and are shown from black to white within `window`; None: within the bulk of them.
    """
    mag = fitting(mags, SIDE)
    source, first = mags[mag], min(mags)
    finest = mags[first].info
    info, size = source.info, finest.voxel_size and finest.voxel_size.refined(first)
    shape, center = Vec3(*info.shape), info.box.shape // 2
    lengths = [n * side * factor for n, side, factor in zip(shape, proportions(size), mag, strict=True)]
    x, y, z = (max(1, round(length * SIDE / max(lengths))) for length in lengths)
    of_z, of_x, of_y = (
        plane(source, axis, center[axis], SIDE) for axis in (2, 0, 1)
    )  # [c, x, y], [c, y, z], [c, x, z]
    voxels = [of_z.transpose(2, 1, 0), of_x.transpose(1, 2, 0), of_y.transpose(2, 1, 0)]
    values = np.concatenate([each[..., 0].ravel() for each in voxels])
    if category == "segmentation":
        window, planes = None, [label_colors(each[..., 0]) for each in voxels]
    elif info.channels == 3 and info.dtype == np.uint8:
        window, planes = None, voxels
    else:
        if window is None:
            finite = values[np.isfinite(values)].astype(np.float64)
            low, high = np.percentile(finite, [0.1, 99.9]) if finite.size else (0.0, 1.0)
            window = (float(low), float(high)) if info.dtype.kind == "f" else (math.floor(low), math.ceil(high))
        planes = [grey(each[..., 0], window, color) for each in voxels]
    y_by_x, y_by_z, z_by_x = planes
    return LayerPreview(
        *(name, category, info.dtype.name, info.channels, Vec3(*finest.shape), first, mag, center, window, size),
        (x, y, z),
        (y_by_x, y_by_z, z_by_x),
        values,
    )


def grey(values: Array, window: tuple[float, float], color: tuple[int, int, int] | None = None) -> Array:
    """Values as pixels `[..., rgb]`: the window's lower end is black, its upper one white or `color`; NaN is black.

    >>> grey(np.array([0, 5, 10, 99]), (0, 10))[..., 0].tolist(), grey(np.array([10]), (0, 10), (255, 0, 0)).tolist()
    ([0, 127, 255, 255], [[255, 0, 0]])
    """
    low, high = window
    share = np.clip((values.astype(np.float64) - low) / ((high - low) or 1), 0, 1)
    pixels: Array = (np.nan_to_num(share)[..., None] * np.array(color or (255, 255, 255))).astype(np.uint8)
    return pixels


def label_colors(ids: Array) -> Array:
    """Ids as pixels `[..., rgb]`: 0 is black, neighbouring ids get colours that are far apart.

    >>> label_colors(np.array([0, 1, 2])).tolist()
    [[0, 0, 0], [76, 124, 242], [172, 242, 76]]
    """
    # The golden ratio spreads any run of numbers; in 64 bits, as floats beyond 2^53 have no digits after the point.
    hue = (ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.float64) / 2**64 * 6
    rising = np.clip(np.abs((hue[..., None] + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return np.where((ids == 0)[..., None], 0, 76 + 166 * rising).astype(np.uint8)


def scale_bar(size: VoxelSize | None, pixels_per_voxel: float, longest: float) -> tuple[float, str]:
    """Pixels and text of a bar of at most `longest` pixels: 1, 2 or 5 times a power of ten, in a unit that reads well.

    >>> scale_bar(VoxelSize((4, 4, 40)), 0.5, 120)
    (62.5, '500 nm')
    >>> scale_bar(VoxelSize((0.5, 0.5, 2), "µm"), 2, 120), scale_bar(None, 2, 120), scale_bar(None, 90, 120)
    ((80.0, '20 µm'), (100.0, '50 voxels'), (90.0, '1 voxel'))
    """
    side = size.size[0] if size else None
    metres = side * METRES[size.unit] if size and side else 1.0
    most = longest / pixels_per_voxel * metres
    units = [(METRES[unit], unit) for unit in ("nm", "µm", "mm", "cm", "m")] if side else [(1.0, "voxels")]
    factor, unit = max((each for each in units if each[0] <= most), default=units[0])
    ten = 10.0 ** math.floor(math.log10(most / factor))
    length = max((n * ten for n in (1, 2, 5) if n * ten * factor <= most * (1 + 1e-9)), default=ten)
    unit = "voxel" if (length, unit) == (1, "voxels") else unit
    return round(length * factor / metres * pixels_per_voxel, 3), f"{length:g} {unit}"


def picture(title: str, layers: Sequence[LayerPreview]) -> bytes:
    """The layers side by side, in rows of at most three, as a PNG file."""
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    cards = [_card(layer) for layer in layers]
    rows = [cards[at : at + 3] for at in range(0, len(cards), 3)]
    widths = [sum(card.width for card in row) for row in rows]
    whole = Image.new(
        "RGB", (max(widths), 2 * LINE + sum(max(card.height for card in row) for row in rows)), BACKGROUND
    )
    _write(ImageDraw.Draw(whole), (MARGIN, LINE // 2), title, INK, 16)
    top = 2 * LINE
    for row in rows:
        left = 0
        for card in row:
            whole.paste(card, (left, top))
            left += card.width
        top += max(card.height for card in row)
    marks = PngInfo()
    marks.add_text("Software", MADE_BY)
    stream = io.BytesIO()
    whole.save(stream, "png", pnginfo=marks)
    return stream.getvalue()


def _card(layer: LayerPreview) -> Image:
    """One layer: its name, what is said of it, the planes with their axes, a scale bar."""
    from PIL import Image, ImageDraw

    x, y, z = layer.sides
    head = LINE * (2 + len(layer.lines))
    left, top = MARGIN + LINE, head + LINE
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    texts = max(probe.textlength(_drawable(text), _font(13)) for text in layer.lines)
    width = int(max(left + x + GAP + max(z, LINE), LEAST_WIDTH, MARGIN + texts)) + MARGIN
    card = Image.new("RGB", (width, top + y + GAP + z + 3 * LINE), BACKGROUND)
    draw = ImageDraw.Draw(card)
    _write(draw, (MARGIN, 0), layer.name, INK, 18)
    for number, line in enumerate(layer.lines):
        _write(draw, (MARGIN, LINE * (1.4 + number)), line, FAINT, 13)
    is_enlarged = x > 2 * layer.planes[0].shape[1]  # voxels are to be seen as they are
    how = Image.Resampling.NEAREST if is_enlarged or layer.category == "segmentation" else Image.Resampling.BILINEAR
    corners = [((left, top), (x, y)), ((left + x + GAP, top), (z, y)), ((left, top + y + GAP), (x, z))]
    for pixels, (corner, size) in zip(layer.planes, corners, strict=True):
        card.paste(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, how), corner)
    _axis(draw, "x", (left, top - 8), (1, 0))
    _axis(draw, "y", (left - 8, top), (0, 1))
    _axis(draw, "z", (left + x + GAP, top - 8), (1, 0))
    _axis(draw, "z", (left - 8, top + y + GAP), (0, 1))
    length, text = scale_bar(layer.voxel_size, x / (layer.shape.x * layer.finest.x), max(x / 3, 40))
    foot = top + y + GAP + z + LINE
    draw.line((left, foot, left + length, foot), INK, 3)
    _write(draw, (left + length + 8, foot - 9), text, INK, 13)
    return card


def _axis(draw: ImageDraw, name: str, start: tuple[int, int], along: tuple[int, int]) -> None:
    """An arrow from `start` to the right or downwards, with the axis' name at its tip."""
    (x, y), (right, down) = start, along
    tip = x + 24 * right, y + 24 * down
    draw.line((x, y, *tip), FAINT, 1)
    draw.polygon([(tip[0] + 5 * right, tip[1] + 5 * down), (tip[0] + 3 * down, tip[1] + 3 * right),
                  (tip[0] - 3 * down, tip[1] - 3 * right)], FAINT)  # fmt: skip
    _write(draw, (tip[0] + 9 * right - 4 * down, tip[1] + 8 * down - 8 * right), name, FAINT, 13)


def _write(draw: Any, at: tuple[float, float], text: str, ink: Any, size: int) -> None:
    draw.text(at, _drawable(text), ink, _font(size))


def _drawable(text: str) -> str:
    """A text in letters of Pillow's own font, which has no µ, no Å and no ×.

    >>> _drawable("0.04 µm, 8 × 8 Å, größer")
    '0.04 um, 8 x 8 A, großer'
    """
    letters = unicodedata.normalize("NFKD", text.translate({ord("µ"): "u", ord("×"): "x", ord("–"): "-"}))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
