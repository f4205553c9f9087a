"""Making NIfTI files with nibabel, and opening them as core does."""

from pathlib import Path

import nibabel
import numpy as np

from wkconvert_core import Box
from wkconvert_nifti import wkconvert_detect, wkconvert_open

SAMPLES = Path(__file__).parents[4] / "shared" / "samples" / "nifti"

RAS = np.diag([2.0, 3.0, 4.0, 1.0])
LAS = np.diag([-2.0, 3.0, 4.0, 1.0])


def noise(*shape, dtype="uint8", seed=0):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(size=shape).astype(kind)
    return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def image(voxels, affine=RAS, *, version=1, order="<", unit="mm", **fields):
    """An image of nibabel's with these fields in its header."""
    kind = {1: nibabel.Nifti1Image, 2: nibabel.Nifti2Image}[version]
    header = kind.header_class(endianness=order)
    header.set_data_dtype(voxels.dtype)
    made = kind(voxels, affine, header)
    made.header.set_xyzt_units(unit)
    for name, value in fields.items():
        made.header[name] = value
    return made


def saved(path, voxels, affine=RAS, **more):
    image(voxels, affine, **more).to_filename(path)
    return Path(path)


def patched(path, place, content):
    """Write bytes into a file, for what nibabel does not let out of its hands."""
    data = bytearray(path.read_bytes())
    data[place : place + len(content)] = content
    path.write_bytes(data)
    return path


def detect(path):
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(4096)
    return wkconvert_detect(path, head)


def layers(path, **options):
    return wkconvert_open("nifti", path, {name: str(text) for name, text in options.items()})


def source(path, **options):
    found = layers(path, **options)
    assert len(found) == 1, [layer.name for layer in found]
    return found[0].source


def whole(of):
    return of.read(of.info.box)


def voxels(path, **options):
    """All voxels [c, x, y, z] of the only layer; random boxes and the stream are checked on the way."""
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
    if hasattr(of, "stream"):
        seen = np.zeros(of.info.shape, int)
        for box, part in of.stream():
            np.testing.assert_array_equal(part, everything[:, *box.slices_in(of.info.box)], str(box))
            seen[box.slices_in(of.info.box)] += 1
        assert (seen == 1).all()
    return everything
