"""Samples of a pixel that are planes of their own.

tifffile takes three or four planes for colours unless it is told otherwise: a stack of four slices, written without
`photometric`, is one page of red, green, blue and alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

from wkconvert_core import UnsupportedSource, WarningNote
from wkconvert_images.page import coding_of
from wkconvert_images.tags import Ifd

from .axes import Choice, named_axes

_RGB = 2


@dataclass(frozen=True)
class SamplesAxis:
    """The axis along which the samples of a page's pixels count."""

    letter: str = ""
    """The axis along which they count; empty for colours, and for channels that are stored side by side."""
    count: int = 1
    """The number of planes in each page."""
    notes: tuple[str, ...] = ()


def samples_axis(path: str, ifd: Ifd, choice: Choice, leading: list[int], stated: str | None = None) -> SamplesAxis:
    """Find out what the samples of a page count; `leading` are the lengths of the axes along which pages count.

    `stated` is the letter that tifffile's description gives to the axis of samples: empty if it describes the file but
    gives none, None without such a description. Raises UnsupportedSource where nothing tells slices from colours.
    """
    samples = ifd.number(277, 1)
    if samples < 2:
        return SamplesAxis()
    apart = SamplesAxis(stated or "Q", samples)
    if choice.axes is not None:
        given = named_axes(choice.axes)
        return apart if len(given) == sum(size > 1 for size in leading) + 1 else SamplesAxis()
    if stated:
        return SamplesAxis() if stated == "S" else apart
    coding = coding_of(ifd)
    # side by side, programs write colours, but labels are none
    if coding.photometric != _RGB or not (coding.planar or choice.labels):
        return SamplesAxis()
    may_be_color = coding.may_be_color and not choice.labels
    is_rgb = not coding.planar and coding.bits <= 8  # which may be a picture of labels, in colours
    if choice.plain or (stated is not None and not may_be_color and not is_rgb):
        return SamplesAxis() if may_be_color else apart
    pages = sum(size > 1 for size in leading)
    others, slices = "TVZ"[3 - pages :] if pages else "", "TVC"[3 - pages :] if pages else ""
    ways = {f"{slices}ZYX": "slices", f"{others}CYX": "channels", f"{others}SYX": "red, green and blue"}
    named = ", ".join(f"-o axes={axes} for {what}" for axes, what in ways.items())
    if may_be_color and (stated is None or coding.bits <= 8):
        doubt = f"{samples} planes are taken for red, green and blue{' and alpha' * (samples == 4)}: else say {named}"
        return SamplesAxis(notes=(WarningNote(doubt),) if stated is not None else ())
    raise UnsupportedSource(
        f"{path} holds pages of {samples} planes of {'ids' if choice.labels else coding.dtype}",
        why="they are marked as colours, as programs do that do not know what they are",
        fix=f"say {named}" + (" in each page" if pages else ""),
    )
