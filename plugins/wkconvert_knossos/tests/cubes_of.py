"""Datasets of KNOSSOS, made for the tests, and what is read from them."""

import zipfile

import cramjam
import numpy as np
from helpers import paths
from PIL import Image

import wkconvert_knossos
from wkconvert_core import testing

SAMPLE = paths.SAMPLES / "knossos"
KNOSSOS = testing.Reader(wkconvert_knossos, "knossos")
detect, layers, layer, source = KNOSSOS.detect, KNOSSOS.layers, KNOSSOS.layer, KNOSSOS.source

EDGE = 32
"""Of the cubes here, in voxels: `cube_edge_length` says so."""


def noise(shape, dtype="uint8"):
    return testing.noise(*shape, dtype=dtype, zeros=False)


def save_raw(path, voxels):
    path.write_bytes(voxels.tobytes(order="F"))


def save_picture(path, voxels):
    x, y, z = voxels.shape
    Image.fromarray(voxels.T.reshape(z * y, x)).save(path)


def save_overlay(path, voxels):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        packed = bytes(cramjam.snappy.compress_raw(voxels.astype("<u8").tobytes(order="F")))
        file.writestr(path.name.removesuffix(".zip"), packed)


def save_lossy(path, voxels):
    """A picture of JPEG 2000 of a sixth of the bytes, as KNOSSOS' cuber has them made."""
    x, y, z = voxels.shape
    picture = Image.fromarray(voxels.T.reshape(z * y, x))
    picture.save(path, irreversible=True, quality_mode="rates", quality_layers=[6])


SAVE = dict.fromkeys([".png", ".jpg", ".jp2", ".j2k"], save_picture) | {
    ".raw": save_raw,
    ".6.jp2": save_lossy,
    ".seg.sz.zip": save_overlay,
}


def folder_of(mag, index):
    x, y, z = index
    return mag / f"x{x:04}" / f"y{y:04}" / f"z{z:04}"


def save_cube(mag, index, voxels, suffix=".raw", name="ex_mag1"):
    folder = folder_of(mag, index)
    folder.mkdir(parents=True, exist_ok=True)
    x, y, z = index
    path = folder / f"{name}_x{x:04}_y{y:04}_z{z:04}{suffix}"
    SAVE[suffix](path, voxels)
    return path


def save_volume(mag, voxels, suffix=".raw", edge=EDGE, name="ex_mag1", skip=()):
    """Cut a volume into cubes, padded with zeros, but for those in `skip`."""
    counts = [-(-n // edge) for n in voxels.shape]
    padded = np.zeros([n * edge for n in counts], voxels.dtype)
    padded[tuple(slice(n) for n in voxels.shape)] = voxels
    for index in np.ndindex(*counts):
        if index not in skip:
            part = padded[tuple(slice(n * edge, (n + 1) * edge) for n in index)]
            save_cube(mag, index, part, suffix, name)
    return mag


def conf_text(boundary=None, scale=(9.0, 9.0, 20.0), magnification=1, edge=EDGE, name="ex_mag1"):
    lines = [f'experiment name "{name}";']
    lines += [f"boundary {axis} {n};" for axis, n in zip("xyz", boundary or (), strict=False)]
    lines += [f"scale {axis} {n};" for axis, n in zip("xyz", scale or (), strict=False)]
    lines += [f"magnification {magnification};"] * (magnification is not None)
    return "\n".join([*lines, f"cube_edge_length {edge};", ""])


def dataset(root, shape=(70, 40, 50), suffix=".raw", dtype="uint8", **conf):
    """A dataset of one mag with a boundary that is no multiple of its cubes; its voxels."""
    voxels = noise(shape, dtype)
    save_volume(root / "mag1", voxels, suffix)
    (root / "mag1" / "knossos.conf").write_text(conf_text(shape, **conf))
    return voxels


def whole(of):
    """All voxels `[x, y, z]`; parts of them are checked on the way."""
    return testing.read_checked(of)[0]


def voxels(path, **options):
    return whole(source(path, **options))
