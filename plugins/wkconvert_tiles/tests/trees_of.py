"""Trees of tiles, made from an array by the plain definition, and reading them back."""

from pathlib import Path

import numpy as np
from PIL import Image

from wkconvert_core import Box, WkconvertError
from wkconvert_tiles import wkconvert_detect, wkconvert_open

SAMPLES = Path(__file__).parents[4] / "shared" / "samples"
PLAIN = "{z}/{y}/{x}.png"
CATMAID = {1: "{z}/{y}_{x}_{zoom}.png", 4: "{z}/{zoom}/{y}_{x}.png", 5: "{zoom}/{z}/{y}/{x}.png"}


def noise(*shape, dtype="uint8", seed=0):
    """Values that are never 0, so that what is missing shows."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def cut(slices, tile):
    """The tiles (x, y, z) of slices [z, y, x(, c)], border tiles cropped."""
    width, height = tile
    for z, picture in enumerate(slices):
        for y in range(0, picture.shape[0], height):
            for x in range(0, picture.shape[1], width):
                yield (x // width, y // height, z), picture[y : y + height, x : x + width]


def plant(root, slices, tile, *, name=PLAIN, first=(0, 0, 0), without=(), zoom=0):
    """Write the tiles of slices into a tree; `name` gives each its path."""
    for (x, y, z), picture in cut(slices, tile):
        if (x, y, z) not in without:
            numbers = {"x": x + first[0], "y": y + first[1], "z": z + first[2], "zoom": zoom}
            save(root / (name(numbers) if callable(name) else name.format(**numbers)), picture)
    return root


def volume(slices):
    """Slices [z, y, x(, c)] as voxels [c, x, y, z]."""
    return slices.reshape(*slices.shape[:3], -1).transpose(3, 2, 1, 0)


def without_tiles(slices, tile, missing):
    """The slices with zeros where tiles are missing."""
    left = slices.copy()
    for x, y, z in missing:
        left[z, y * tile[1] : (y + 1) * tile[1], x * tile[0] : (x + 1) * tile[0]] = 0
    return left


def detect(path, **options):
    return wkconvert_detect(path, options)


def source(path, **options):
    layers = wkconvert_open("tiles", path, {name: str(text) for name, text in options.items()})
    assert len(layers) == 1
    assert list(layers[0].mags) == [(1, 1, 1)]
    return layers[0].source


def whole(of):
    return of.read(of.info.box)


def voxels(path, **options):
    """All voxels [c, x, y, z], whose random boxes are checked on the way."""
    of = source(path, **options)
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


def refusal(action):
    """The error of ours that an action raises, or None."""
    try:
        action()
    except WkconvertError as error:
        return error
    return None


def notes(path, **options):
    return source(path, **options).info.notes
