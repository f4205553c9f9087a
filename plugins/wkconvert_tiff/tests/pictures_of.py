"""Opening and reading as core does it, and pictures to read."""

from pathlib import Path

import numpy as np
import pytest

from wkconvert_core import Box
from wkconvert_tiff import wkconvert_detect, wkconvert_open

SAMPLES = Path(__file__).parents[4] / "shared" / "samples"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample files are not here")


def detect(path):
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(4096)
    return wkconvert_detect(path, head)


def layers(path, reader=None, **options):
    return wkconvert_open(reader or detect(path).format, path, {name: str(text) for name, text in options.items()})


def source(path, **options):
    found = layers(path, **options)
    assert len(found) == 1, [layer.name for layer in found]
    return found[0].source


def whole(of):
    return of.read(of.info.box)


def voxels(path, **options):
    """All voxels [c, x, y, z] of the only layer, whose random boxes are checked on the way."""
    return checked(source(path, **options))


def checked(of):
    everything = whole(of)
    assert everything.shape == (of.info.channels, *of.info.shape)
    assert everything.dtype == of.info.dtype
    rng = np.random.default_rng(0)
    for _ in range(12):
        start = [int(rng.integers(0, n)) for n in of.info.shape]
        shape = [int(rng.integers(1, n - a + 1)) for a, n in zip(start, of.info.shape, strict=True)]
        box = Box(tuple(start), tuple(shape))
        np.testing.assert_array_equal(of.read(box), everything[:, *box.slices_in(of.info.box)], str(box))
    return everything


def volume(*slices):
    """What pictures [y, x] or [y, x, c], as a library reads them, are as voxels [c, x, y, z]."""
    stacked = np.stack([picture.reshape(*picture.shape[:2], -1) for picture in slices])
    return stacked.transpose(3, 2, 1, 0)


def upright(picture, orientation):
    """A picture [y, x(, c)] as it is to be seen; the definition of each orientation in TIFF 6.0, page 36."""
    if orientation > 4:
        picture = picture.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return picture[::-1] if orientation in (3, 4, 7, 8) else picture


def noise(*shape, dtype="uint8", seed=0):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) > 0.5
    if kind.kind == "f":
        return rng.normal(size=shape).astype(kind)
    return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)
