"""Opening and reading as core does it, and pictures to read."""

import numpy as np

import wkconvert_tiff
from wkconvert_core.testing import Reader, read_checked

detect = Reader(wkconvert_tiff).detect


def layers(path, reader=None, **options):
    return Reader(wkconvert_tiff, reader).layers(path, **options)


def source(path, **options):
    found = layers(path, **options)
    assert len(found) == 1, [layer.name for layer in found]
    return found[0].source


def voxels(path, **options):
    """All voxels [c, x, y, z] of the only layer, whose random boxes are checked on the way."""
    return read_checked(source(path, **options))


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
