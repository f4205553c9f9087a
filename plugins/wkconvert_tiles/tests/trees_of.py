"""Trees of tiles, made from an array by the plain definition, and reading them back."""

from PIL import Image

import wkconvert_tiles
from wkconvert_core import WkconvertError
from wkconvert_core.testing import Reader, read_checked
from wkconvert_core.testing import noise as noise_of

READER = Reader(wkconvert_tiles, "tiles")
detect = READER.detect
PLAIN = "{z}/{y}/{x}.png"
CATMAID = {1: "{z}/{y}_{x}_{zoom}.png", 4: "{z}/{zoom}/{y}_{x}.png", 5: "{zoom}/{z}/{y}/{x}.png"}


def noise(*shape, **options):
    """Values that are never 0, so that what is missing shows."""
    return noise_of(*shape, zeros=False, **options)


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


def source(path, **options):
    layer = READER.layer(path, **options)
    assert list(layer.mags) == [(1, 1, 1)]
    return layer.source


def voxels(path, **options):
    return read_checked(source(path, **options))


def refusal(action):
    """The error of ours that an action raises, or None."""
    try:
        action()
    except WkconvertError as error:
        return error
    return None
