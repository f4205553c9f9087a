"""Choosing one of the data sets of a file."""

from __future__ import annotations

from collections.abc import Sequence

from wkconvert_core import OptionError, UnsupportedSource, WarningNote
from wkconvert_core.toolkit.shortened import shorten

from .images import Image, times
from .kinds import KINDS, PACKED, Component


def choose(path: str, images: Sequence[Image], wanted: int | None) -> Image:
    """The image number `wanted`; without it, the only image, or the only one with two or three axes.

    Raises OptionError for a number that no image has, UnsupportedSource where there is no image, or a choice.
    """
    if not images:
        raise UnsupportedSource(f"{path} holds no image", why="it holds thumbnails at most")
    if wanted is not None:
        if not 0 <= wanted < len(images):
            raise OptionError(f"{path} has no object {wanted}", fix=f"choose one of {'; '.join(_listed(images))}")
        return images[wanted]
    volumes = [number for number, image in enumerate(images) if len(image.size) in (2, 3)]
    if len(volumes) > 1:
        raise UnsupportedSource(
            f"{path} holds {len(images)} data sets: {'; '.join(_listed(images))}",
            why="nothing says which one to convert",
            fix="choose one with -o object=N",
        )
    return images[volumes[0] if volumes else 0]


def left_out(images: Sequence[Image], taken: Image) -> tuple[str, ...]:
    """A note on the images that are not read, if any."""
    number = images.index(taken)
    others = [f"{each} ({image})" for each, image in enumerate(images) if each != number]
    return (WarningNote(f"object {number} is read; left out: {shorten(others)}"),) if others else ()


def _listed(images: Sequence[Image]) -> list[str]:
    return [f"{number}: {image}" for number, image in enumerate(images)]


def check(path: str, image: Image, component: Component | None) -> None:
    """Raise UnsupportedSource for an image that is not a volume, or is one only with an option that is missing."""
    if len(image.size) not in (2, 3):
        why = f"its size is {times(image.size)}; images, which have two axes, and stacks, which have three, are read"
        raise UnsupportedSource(f"{path} is no volume", why=why)
    if image.kind in PACKED:
        raise UnsupportedSource(
            f"{path} holds {PACKED[image.kind]} values",
            why="such an image is one half of a Fourier transform, in an order of its own",
            fix="convert it to complex or real values in DigitalMicrograph",
        )
    if image.kind not in KINDS:
        known = ", ".join(f"{number} ({kind.name})" for number, kind in KINDS.items())
        raise UnsupportedSource(
            f"{path} holds values of DigitalMicrograph's data type {image.kind}",
            why=f"the types that can be read are {known}",
        )
    if is_complex(image) and component is None:
        raise UnsupportedSource(
            f"{path} holds complex values",
            why="a voxel is one number",
            fix="choose one with -o component=abs, real, imag or phase",
        )


def is_complex(image: Image) -> bool:
    """Whether the values of an image are complex numbers."""
    return KINDS[image.kind].stored.startswith("c")
