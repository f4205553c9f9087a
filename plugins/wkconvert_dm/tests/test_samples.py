"""Real files that DigitalMicrograph wrote, against what is known of them and what other readers say."""

import numpy as np
import pytest
from dm_files import SAMPLES, detect, encode, image, source, tree, volume, voxels
from helpers.paths import needs_samples

from wkconvert_core import METRES, Confidence
from wkconvert_core.testing import noise

FILES = sorted(SAMPLES.glob("*/*.dm?"))
DTYPES = {2: "float32", 6: "uint8", 9: "int8", 10: "uint16", 11: "uint32", 14: "bool", 23: "uint8"}
UNITS = {"nm": 1e-9, "pm": 1e-12, "um": 1e-6, "A": 1e-10}


def names(paths):
    return [f"{path.parent.name}/{path.name}" for path in paths]


@needs_samples
@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_they_are_recognised(path):
    assert detect(path).confidence == Confidence.EXACT


SMALL = [path for path in FILES if path.name.startswith("test-")]


@needs_samples
@pytest.mark.parametrize("path", SMALL, ids=names(SMALL))
def test_the_small_ones_count_from_1(path):
    kind = int(path.stem.removeprefix("test-"))
    shape = (2, 2, 2) if path.parent.name == "3D" else (2, 2)
    expected = volume(np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(DTYPES[kind]))
    found = voxels(path)
    assert found.dtype == DTYPES[kind]
    np.testing.assert_array_equal(found, np.broadcast_to(expected, (3 if kind == 23 else 1, *expected.shape[1:])))
    assert source(path).info.voxel_size is None


@needs_samples
@pytest.mark.parametrize("suffix", ["dm3", "dm4"])
def test_the_calibrated_ones_are_as_their_names_say(suffix):
    path = SAMPLES / "calibrated" / f"dmTest_3D_int16_64,65,66.{suffix}"
    info = source(path).info
    assert (info.shape, info.dtype) == ((64, 65, 66), np.int16)
    assert (info.voxel_size.size, info.voxel_size.unit) == ((0.002, 3, 4000), "nm")
    path = SAMPLES / "calibrated" / f"dmTest_float32_nonSquare_diffPixelSize.{suffix}"
    info = source(path).info
    assert (info.shape, info.dtype) == ((128, 64, 1), np.float32)
    assert info.voxel_size.size == (1, 0.2, None)


@needs_samples
def test_a_scale_is_exactly_the_float_in_the_file():
    info = source(SAMPLES / "calibrated" / "test_STEM_image.dm3").info
    assert info.stage == "x -461.276 µm, y 52.0039 µm, z 35.0339 µm"
    assert info.voxel_size.size == (0.24853801727294922, 0.24853801727294922, None)
    assert (info.shape, info.dtype) == ((68, 68, 1), np.uint32)


@needs_samples
@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_ncempy_reads_the_same(path):
    """Of what it reads: neither truth values nor colours."""
    dm = pytest.importorskip("ncempy.io.dm")
    if path.stem in ("test-14", "test-23"):
        pytest.skip("ncempy refuses these data types")
    theirs = dm.dmReader(path)
    np.testing.assert_array_equal(voxels(path), volume(theirs["data"]))
    check_sizes(source(path).info.voxel_size, theirs["pixelSize"][::-1], theirs["pixelUnit"][::-1])


@needs_samples
@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_rosettasciio_reads_the_same(path):
    rsciio = pytest.importorskip("rsciio.digitalmicrograph")
    (theirs,) = rsciio.file_reader(str(path))
    data = theirs["data"]
    expected = np.concatenate([volume(data[c]) for c in "RGB"]) if data.dtype.names else volume(data)
    np.testing.assert_array_equal(voxels(path), expected)
    axes = theirs["axes"][::-1]
    check_sizes(source(path).info.voxel_size, [axis["scale"] for axis in axes], [axis["units"] for axis in axes])


def test_rosettasciio_sees_the_colours_that_were_written(tmp_path):
    """The real files have only greys; this holds the order of red, green and blue."""
    rsciio = pytest.importorskip("rsciio.digitalmicrograph")
    path, root = tmp_path / "a.dm3", tree(image(noise(4, 5, dtype="int32"), 23, form="Image"))
    del root["Nested"]  # of an array of arrays, it reads one element of each
    path.write_bytes(encode(root))
    data = rsciio.file_reader(str(path))[0]["data"]
    np.testing.assert_array_equal(voxels(path), np.concatenate([volume(data[c]) for c in "RGB"]))


def check_sizes(ours, sizes, units):
    """Ours is theirs to 1e-6, in metres, and None where they give no length."""
    found = [size and size * METRES[ours.unit] for size in ours.size] if ours else [None] * 3
    for mine, size, unit in zip(found, sizes, units, strict=False):
        assert (mine is None) == (unit not in UNITS)
        assert mine is None or mine == pytest.approx(float(size) * UNITS[unit], rel=1e-6)
