"""Writing TIFF: what tifffile, Pillow, imageio and our own reader find in the files."""

import zlib
from dataclasses import replace
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from helpers.sources import whole
from hypothesis import given
from hypothesis import strategies as st
from pictures_of import source
from PIL import Image

import wkconvert_tiff
from wkconvert_core import DTYPES, Box, Checksum, DatasetSpec, Mag, MagSpec, OptionError, UnsupportedSource, VoxelSize
from wkconvert_core.testing import noise
from wkconvert_tiff import writing
from wkconvert_tiff.writing_tags import density

SIZE = VoxelSize((11.24, 11.25, 28.0), "nm")


def sink(folder, voxels, *, start=(0, 0, 0), tile=None, size=SIZE, mag=Mag(1, 1, 1), **options):  # noqa: B008
    box = Box(start, voxels.shape[1:])
    spec = MagSpec("em", "color", mag, box, voxels.dtype, len(voxels), shard_shape=tile)
    return wkconvert_tiff.wkconvert_create("tiff", folder, DatasetSpec("em", size), options).layer(spec)


def written(folder, voxels, **more):
    """A sink whose shards have all been written from voxels [c, x, y, z]."""
    to = sink(folder, voxels, **more)
    for box in to.spec.box.tiles(to.shard_shape):
        assert not to.has(box)
        to.write(box, voxels[:, *box.slices_in(to.spec.box)])
        assert to.has(box)
    return to


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("compression", ["deflate", "none"])
def test_tifffile_and_our_reader_find_every_voxel(tmp_path, dtype, channels, compression):
    voxels = noise(channels, 70, 50, 3, dtype=dtype)
    written(tmp_path, voxels, compression=compression)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["em_00001.tif", "em_00002.tif", "em_00003.tif"]
    for z, file in enumerate(files):
        with tifffile.TiffFile(file) as tiff:
            assert len(tiff.series) == len(tiff.pages) == 1
            page = tiff.pages[0]
            assert page.photometric.name == ("RGB" if (channels, dtype) == (3, "uint8") else "MINISBLACK")
            assert page.predictor == 1, "ImageJ ignores the predictor of deflate"
            np.testing.assert_array_equal(page.asarray().reshape(50, 70, channels), voxels[..., z].transpose(2, 1, 0))
    layers = wkconvert_tiff.wkconvert_open("tiff", tmp_path, {})
    read = np.concatenate([whole(layer.source) for layer in layers])
    assert read.dtype == voxels.dtype
    np.testing.assert_array_equal(read, voxels)
    assert len(layers) == (1 if dtype == "uint8" and channels == 3 else channels)


def test_ids_beyond_53_bits_survive(tmp_path):
    voxels = np.array([2**64 - 1, 2**63 + 1, 2**53 + 1, 0], "uint64").reshape(1, 2, 2, 1)
    written(tmp_path, voxels)
    np.testing.assert_array_equal(whole(source(tmp_path)), voxels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32"])
def test_pillow_and_imageio_open_it(tmp_path, dtype):
    voxels = noise(1, 70, 50, 1, dtype=dtype)
    written(tmp_path, voxels)
    expected = voxels[0, ..., 0].T
    with Image.open(tmp_path / "em_00001.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture).astype(dtype), expected)
    np.testing.assert_array_equal(imageio.imread(tmp_path / "em_00001.tif"), expected)


def test_colours_open_in_pillow(tmp_path):
    voxels = noise(3, 70, 50, 1)
    written(tmp_path, voxels)
    with Image.open(tmp_path / "em_00001.tif") as picture:
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(picture), voxels[..., 0].transpose(2, 1, 0))


# --- the voxel size --------------------------------------------------------------------------------------------------


def test_the_voxel_size_is_written_as_imagej_does(tmp_path):
    written(tmp_path, noise(1, 7, 5, 1), size=VoxelSize((0.5, 0.25, 2.0), "µm"))
    with tifffile.TiffFile(tmp_path / "em_00001.tif") as tiff:
        page = tiff.pages[0]
        assert tiff.is_imagej
        assert tiff.imagej_metadata["unit"] == "\\u00B5m", "ImageJ's description is ASCII"
        assert tiff.imagej_metadata["spacing"] == 2.0
        assert page.tags["XResolution"].value == (2, 1), "pixels per unit"
        assert page.tags["YResolution"].value == (4, 1)
        assert page.tags["ResolutionUnit"].value == 1, "the unit is that of the description"
    assert source(tmp_path).info.voxel_size == VoxelSize((0.5, 0.25, 2.0), "µm", "ImageJ tags")


@pytest.mark.parametrize("unit", ["pm", "Å", "nm", "µm", "mm", "cm", "m"])
def test_every_unit_is_read_back(tmp_path, unit):
    written(tmp_path, noise(1, 7, 5, 2), size=VoxelSize((11.24, 9.2, 35.0), unit))
    assert source(tmp_path).info.voxel_size == VoxelSize((11.24, 9.2, 35.0), unit, "ImageJ tags")


def test_inches_become_centimetres_as_imagej_takes_them_for_dpi(tmp_path):
    written(tmp_path, noise(1, 7, 5, 2), size=VoxelSize((1 / 300, 1 / 300, 0.01), "inch"))
    read = source(tmp_path).info.voxel_size
    assert read.unit == "cm"
    np.testing.assert_allclose(read.size, [2.54 / 300, 2.54 / 300, 0.0254], rtol=1e-12)


@pytest.mark.parametrize(
    ("size", "unit"), [((4e-9, 4e-9, 3.5e-8), "m"), ((4e6, 5e6, 6e6), "nm"), ((0.00001124, 0.00001124, 0.000028), "mm")]
)
def test_tiny_and_huge_numbers_take_another_unit(tmp_path, size, unit):
    written(tmp_path, noise(1, 7, 5, 2), size=VoxelSize(size, unit))
    read = source(tmp_path).info.voxel_size
    np.testing.assert_allclose(read.to(unit).size, size, rtol=1e-11)


@given(st.floats(1e-3, 1e4))
def test_a_size_of_any_digits_is_kept_to_the_last_but_a_few(size):
    pixels, units = density(size)
    assert 0 < pixels < 1 << 32
    assert 0 < units < 1 << 32
    assert units / pixels == pytest.approx(size, rel=1e-12)


@given(st.integers(1, 10**9 - 1), st.integers(0, 5))
def test_a_size_of_nine_digits_is_kept_exactly(digits, point):
    size = float(f"{digits}e-{point}")
    pixels, units = density(size)
    assert max(pixels, units) < 1 << 32
    assert units / pixels == size


def test_sizes_that_others_stored_as_32_bit_floats_are_kept_exactly(tmp_path):
    size = float(np.float32(11.24)), float(np.float32(11.24)), float(np.float32(28.1))
    written(tmp_path, noise(1, 7, 5, 2), size=VoxelSize(size))
    assert source(tmp_path).info.voxel_size.size == size


def test_a_coarser_mag_has_larger_voxels(tmp_path):
    written(tmp_path, noise(1, 7, 5, 2), mag=Mag(4, 4, 2))
    assert source(tmp_path).info.voxel_size.size == (44.96, 45.0, 56.0)


@pytest.mark.parametrize("size", [None, VoxelSize((None, None, None)), VoxelSize((None, 4.0, 35.0))])
def test_without_a_voxel_size_none_is_made_up(tmp_path, size):
    written(tmp_path, noise(1, 7, 5, 2), size=size)
    assert source(tmp_path).info.voxel_size is None


def test_a_depth_that_is_not_known_is_left_open(tmp_path):
    written(tmp_path, noise(1, 7, 5, 2), size=VoxelSize((4.0, 5.0, None)))
    assert source(tmp_path).info.voxel_size.size == (4.0, 5.0, None)


# --- the sink's promises ---------------------------------------------------------------------------------------------


def test_the_same_voxels_give_the_same_bytes_and_the_checksum_is_of_the_file(tmp_path):
    voxels = noise(1, 70, 50, 1, dtype="uint16")
    checksums = [
        sink(tmp_path / name, voxels).write(Box((0, 0, 0), (70, 50, 1)), voxels[:, ::1]) for name in ("a", "b")
    ]
    sink(tmp_path / "c", voxels).write(Box((0, 0, 0), (70, 50, 1)), np.asfortranarray(voxels))
    contents = [(tmp_path / name / "em_00001.tif").read_bytes() for name in ("a", "b", "c")]
    assert contents[0] == contents[1] == contents[2]
    assert checksums == [Checksum(zlib.crc32(contents[0]), len(contents[0]))] * 2
    with tifffile.TiffFile(tmp_path / "a" / "em_00001.tif") as tiff:
        assert not {"DateTime", "Software", "HostComputer"} & {tag.name for tag in tiff.pages[0].tags}


@pytest.mark.parametrize("tile", [None, (30, 20, 1)])
@pytest.mark.parametrize("start", [(0, 0, 0), (7, 41, 5)])
def test_what_was_written_is_read_box_by_box(tmp_path, tile, start):
    voxels = noise(2, 70, 50, 4, dtype="uint16")
    read = written(tmp_path, voxels, tile=tile, start=start).source()
    assert read.info.shape == (70, 50, 4)
    rng = np.random.default_rng(0)
    for _ in range(20):
        a = [int(rng.integers(0, n)) for n in read.info.shape]
        box = Box(tuple(a), tuple(int(rng.integers(1, n - s + 1)) for s, n in zip(a, read.info.shape, strict=True)))
        np.testing.assert_array_equal(read.read(box), voxels[:, *box.slices_in(read.info.box)])


def test_tiles_are_named_z_y_x_and_end_where_the_extent_does(tmp_path):
    voxels = noise(1, 70, 50, 2)
    written(tmp_path, voxels, tile=(32, 40, 1))
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.tiff"))
    assert names == [f"{z}/{y}/{x}.tiff" for z in range(2) for y in range(2) for x in range(3)]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "1/1/2.tiff"), voxels[0, 64:, 40:, 1].T)


def test_a_slice_that_may_pass_4_gib_is_a_bigtiff(tmp_path, monkeypatch):
    voxels = noise(1, 70, 50, 1)
    monkeypatch.setattr(writing, "CLASSIC_BYTES", 70 * 50 + 70 * 50 // 250)
    written(tmp_path / "big", voxels)
    monkeypatch.setattr(writing, "CLASSIC_BYTES", 70 * 50 + 70 * 50 // 250 + 1)
    written(tmp_path / "classic", voxels)
    for name, is_big in (("big", True), ("classic", False)):
        with tifffile.TiffFile(tmp_path / name / "em_00001.tif") as tiff:
            assert tiff.is_bigtiff == is_big
            np.testing.assert_array_equal(tiff.asarray(), voxels[0, ..., 0].T)
        np.testing.assert_array_equal(whole(source(tmp_path / name)), voxels)


def test_many_slices_have_names_that_sort(tmp_path):
    many = sink(tmp_path, np.broadcast_to(np.zeros((1, 1, 1, 1), "uint8"), (1, 1, 1, 123456)))
    assert many.path(Box((0, 0, 6), (1, 1, 1))) == tmp_path / "em_000007.tif"


def test_a_file_that_is_cut_short_is_not_there(tmp_path):
    to = written(tmp_path, noise(1, 70, 50, 1))
    file = tmp_path / "em_00001.tif"
    content = file.read_bytes()
    for length in (0, 7, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        assert not to.has(to.spec.box), length


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    to = sink(tmp_path, noise(1, 7, 5, 1))
    with pytest.raises(OSError, match="No space left"):
        to.write(to.spec.box, noise(1, 7, 5, 1))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_box_is_a_bug(tmp_path):
    to = sink(tmp_path, noise(1, 7, 5, 2))
    with pytest.raises(ValueError, match="no shard"):
        to.write(to.spec.box, noise(1, 7, 5, 2))


def test_only_one_mag_fits_in_a_folder(tmp_path):
    spec = sink(tmp_path, noise(1, 7, 5, 2)).spec
    dataset = wkconvert_tiff.wkconvert_create("tiff", tmp_path, DatasetSpec("em", SIZE), {})
    dataset.layer(spec)
    with pytest.raises(OptionError, match="em mag 1 and em mag 2-2-1") as caught:
        dataset.layer(replace(spec, mag=Mag(2, 2, 1)))
    assert "--no-downsample" in caught.value.fix


def test_other_formats_are_left_to_other_plugins(tmp_path):
    assert wkconvert_tiff.wkconvert_create("wkw", tmp_path, DatasetSpec("em", SIZE), {}) is None


def test_what_tiff_cannot_hold_is_refused(tmp_path):
    with pytest.raises(UnsupportedSource, match="complex64"):
        sink(tmp_path, np.zeros((1, 2, 2, 2), "complex64"))
    with pytest.raises(OptionError, match="1 voxel deep"):
        sink(tmp_path, noise(1, 7, 5, 2), tile=(2, 2, 2))
