"""`wkconvert export --to ome-tiff`: what tifffile and bioio find in the file, and what reading it back gives."""

import errno
import re

import numpy as np
import pytest
import tifffile
from helpers.conversions import carry_out, dataset_of, invoke
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wkconvert_core import Box, BrokenSource, DatasetSpec, Mag, MagSpec, OptionError, UnsupportedSource, VoxelSize
from wkconvert_core.commands.export import Pictures, prepare
from wkconvert_core.contract.errors import NoSpace
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.reader import open_layers
from wkconvert_core.testing import noise
from wkconvert_tiff import ome_parts, ome_writing

MAG1 = Mag(1, 1, 1)
SIZE = VoxelSize((11.24, 11.25, 28.0), "nm")


@pytest.fixture
def dataset(tmp_path):
    """Makes a dataset of the layer `em` from voxels `[1, x, y, z]`."""

    def make(voxels, **given):
        return dataset_of(tmp_path / "ds", voxels[0], **{"voxel_size": SIZE, **given})

    return make


@pytest.fixture(autouse=True)
def _several_parts(monkeypatch):
    """Tiles and parts so small that volumes of a moment have several."""
    monkeypatch.setattr(ome_parts, "TILE", 32)
    monkeypatch.setattr(ome_parts, "SHARD", (64, 64, 3))


def exported(src, out, **given):
    return carry_out(prepare(src, out, Settings(**given), to="ome-tiff"))


def written(folder, voxels, to=None, mag=MAG1):
    """The sink of a mag of a file, to which all parts of voxels `[c, x, y, z]` are written."""
    box = Box((0, 0, 0), voxels.shape[1:])
    to = to or ome_writing.dataset(folder, DatasetSpec("em", SIZE, "em.ome.tif"))
    sink = to.layer(MagSpec("em", "color", mag, box, voxels.dtype, len(voxels)))
    for part in box.tiles(sink.shard_shape):
        assert not sink.has(part)
        sink.write(part, voxels[:, *part.slices_in(box)])
        assert sink.has(part)
    return to, sink


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ome_writing.DTYPES)
@pytest.mark.parametrize("compression", ["deflate", "none"])
def test_a_file_has_the_voxels_by_tifffile_and_comes_back_the_same(tmp_path, dataset, dtype, compression):
    voxels = noise(1, 75, 40, 7, dtype=dtype)
    exported(dataset(voxels), tmp_path / "em.ome.tif", verify=True, compression=compression)
    with tifffile.TiffFile(tmp_path / "em.ome.tif") as tiff:
        assert tiff.is_ome
        assert tiff.series[0].axes == "ZYX"
        assert tiff.pages[0].predictor == 1
        np.testing.assert_array_equal(tiff.asarray(), voxels[0].T)
    back = convert(tmp_path / "em.ome.tif", tmp_path / "back", Settings(downsample=False, category="color"))
    assert back.conversion.voxel_size == VoxelSize(SIZE.size, "nm", "OME-XML")
    (layer,) = open_layers(tmp_path / "back")
    np.testing.assert_array_equal(layer.mags[Mag(1, 1, 1)].read(layer.mags[Mag(1, 1, 1)].info.box), voxels)


@pytest.mark.parametrize(("channels", "dtype", "axes"), [(3, "uint8", "ZYXS"), (2, "uint16", "CZYX")])
def test_channels_come_back_with_their_names(tmp_path, channels, dtype, axes):
    voxels = noise(channels, 70, 50, 5, dtype=dtype)
    to, sink = written(tmp_path, voxels)
    np.testing.assert_array_equal(sink.source().read(sink.spec.box), voxels)
    to.finish([])
    with tifffile.TiffFile(to.file) as tiff:
        assert tiff.series[0].axes == axes
        found = tiff.asarray()
        names = re.findall('Channel ID="[^"]*"[^>]* Name="([^"]*)"', tiff.ome_metadata)
    np.testing.assert_array_equal(np.moveaxis(found, -1, 0) if axes == "ZYXS" else found, voxels.swapaxes(1, 3))
    assert names == (["em"] if axes == "ZYXS" else ["em 0", "em 1"])


def mags_of(path):
    (layer,) = open_layers(path)
    return {str(mag): source.read(source.info.box) for mag, source in layer.mags.items()}


def levels_of(path):
    with tifffile.TiffFile(path) as tiff:
        (series,) = tiff.series
        assert all(level.keyframe.subfiletype == 1 for level in series.levels[1:])
        return [level.asarray() for level in series.levels]


def test_mags_of_as_many_slices_are_levels_of_a_pyramid_and_come_back_as_one_volume(tmp_path, dataset):
    voxels, size = noise(1, 75, 41, 7, dtype="uint16"), VoxelSize((4, 4, 20))
    src = dataset(voxels, voxel_size=size, downsample=True, max_mag=8)
    done = exported(src, tmp_path / "em.ome.tif", verify=True)
    mags = mags_of(src)
    assert list(mags) == ["1", "2-2-1", "4-4-1", "8-8-2"]
    assert [note for note in done.notes if "mag 8-8-2 left out" in note]
    for level, mag in zip(levels_of(tmp_path / "em.ome.tif"), list(mags.values())[:3], strict=True):
        np.testing.assert_array_equal(level, mag[0].T)
    back = convert(tmp_path / "em.ome.tif", tmp_path / "back", Settings(downsample=False, category="color"))
    assert back.conversion.voxel_size == VoxelSize((4, 4, 20), "nm", "OME-XML")
    np.testing.assert_array_equal(mags_of(tmp_path / "back").pop("1"), voxels)


@pytest.mark.parametrize(
    ("side", "given", "levels"),
    [
        (20, {}, [64, 32, 16]),
        (20, {"bbox": Box((2, 0, 0), (60, 64, 8))}, [60, 30]),
        (20, {"bbox": Box((1, 0, 0), (60, 64, 8))}, [60]),
        (4, {}, [64]),
    ],
)
def test_levels_begin_with_the_finest_and_have_as_many_slices(tmp_path, dataset, side, given, levels):
    src = dataset(noise(1, 64, 64, 8), voxel_size=VoxelSize((4, 4, side)), downsample=True, max_mag=4)
    exported(src, tmp_path / "em.ome.tif", **given)
    assert [level.shape[2] for level in levels_of(tmp_path / "em.ome.tif")] == levels


def test_pixels_of_several_voxels_have_no_smaller_copies(tmp_path, dataset):
    src = dataset(noise(1, 64, 64, 8), voxel_size=VoxelSize((4, 4, 20)), downsample=True, max_mag=4)
    carry_out(prepare(src, tmp_path / "em.ome.tif", Settings(), Pictures(downsample=2), to="ome-tiff"))
    assert [level.shape for level in levels_of(tmp_path / "em.ome.tif")] == [(8, 32, 32)]


@pytest.mark.parametrize(("channels", "dtype"), [(3, "uint8"), (2, "uint16")])
def test_channels_have_their_levels(tmp_path, channels, dtype):
    voxels = noise(channels, 70, 50, 5, dtype=dtype)
    to, _ = written(tmp_path, voxels)
    coarse = written(tmp_path, voxels[:, ::2, ::2], to, Mag(2, 2, 1))[1].source()
    np.testing.assert_array_equal(coarse.read(coarse.info.box), voxels[:, ::2, ::2])
    to.finish([])
    axes = (3, 2, 1, 0) if channels == 3 else (0, 3, 2, 1)
    for level, step in zip(levels_of(to.file), (1, 2), strict=True):
        np.testing.assert_array_equal(level, voxels[:, ::step, ::step].transpose(axes))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_bioio_finds_size_name_and_voxels(tmp_path, dataset):
    bioio = pytest.importorskip("bioio_ome_tiff")
    voxels = noise(1, 75, 40, 7, dtype="uint16")
    exported(dataset(voxels, downsample=True, max_mag=2), tmp_path / "em.ome.tif")
    image = bioio.Reader(tmp_path / "em.ome.tif")
    assert image.scenes == ("Image:0",)
    assert image.channel_names == ["em"]
    np.testing.assert_allclose(image.physical_pixel_sizes, (28.0, 11.25, 11.24))
    np.testing.assert_array_equal(np.squeeze(image.data), voxels[0].T)


def test_the_place_is_that_of_the_planes(tmp_path, dataset):
    src = dataset(noise(1, 40, 40, 4), top_left=(10, 20, 30))
    done = exported(src, tmp_path / "em.ome.tif", bbox=Box((12, 20, 31), (20, 20, 3)))
    with tifffile.TiffFile(tmp_path / "em.ome.tif") as tiff:
        found = [
            [float(place) for place in re.findall(f'Position{axis}="([^"]*)"', tiff.ome_metadata)] for axis in "XYZ"
        ]
    np.testing.assert_allclose(found, [[12 * 11.24] * 3, [20 * 11.25] * 3, [31 * 28, 32 * 28, 33 * 28]])
    assert any("--top-left" in note for note in done.notes)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_parts_of_any_shape_make_up_the_file_and_are_read_in_any_box(tmp_path_factory, data):
    shape = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(1, 8)))
    voxels = noise(data.draw(st.sampled_from([1, 2, 3])), *shape)
    to, sink = written(tmp_path_factory.mktemp("ome"), voxels)
    start = tuple(data.draw(st.integers(0, side - 1)) for side in shape)
    box = Box(start, tuple(data.draw(st.integers(1, side - first)) for side, first in zip(shape, start, strict=True)))
    np.testing.assert_array_equal(sink.source().read(box), voxels[:, *box.slices_in(sink.spec.box)])
    to.finish([])
    whole = np.squeeze(voxels.transpose(3, 2, 1, 0) if len(voxels) == 3 else voxels.swapaxes(1, 3))
    np.testing.assert_array_equal(np.squeeze(tifffile.imread(to.file)), whole)
    assert to.file.stat().st_size + sum(path.stat().st_size for path in sink.folder.rglob("*.tiles")) < sink.most_bytes(
        sink.spec.box.count_tiles(sink.shard_shape), sink.spec.box.volume
    )


def test_the_same_voxels_give_the_same_bytes_and_nothing_lies_beside_the_file(tmp_path, dataset):
    src = dataset(noise(1, 75, 40, 7))
    (tmp_path / "out").mkdir()
    exported(src, tmp_path / "out" / "a.ome.tif")
    exported(src, tmp_path / "out" / "b.ome.tif", jobs=1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.ome.tif", "b.ome.tif"]
    assert (tmp_path / "out/a.ome.tif").read_bytes() == (tmp_path / "out/b.ome.tif").read_bytes()


def test_an_interrupted_export_is_nowhere_and_goes_on_from_what_is_sound(tmp_path, dataset, monkeypatch):
    src = dataset(noise(1, 130, 130, 7))
    (tmp_path / "out").mkdir()
    exported(src, tmp_path / "clean.ome.tif")
    write, calls = ome_parts.OmeTiffSink.write, []

    def full(self, box, data):
        calls.append(box)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, box, data)

    monkeypatch.setattr(ome_parts.OmeTiffSink, "write", full)
    with pytest.raises(NoSpace):
        exported(src, tmp_path / "out/em.ome.tif", jobs=1)
    assert not (tmp_path / "out/em.ome.tif").exists()
    monkeypatch.setattr(ome_parts.OmeTiffSink, "write", write)
    part = next((tmp_path / "out").rglob("*.tiles"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    done = exported(src, tmp_path / "out/em.ome.tif")
    assert done.resumed > 0
    assert any("1 shard of an earlier run was" in note for note in done.notes)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["em.ome.tif"]
    assert (tmp_path / "out/em.ome.tif").read_bytes() == (tmp_path / "clean.ome.tif").read_bytes()


def test_a_damaged_part_is_an_error_and_no_file(tmp_path):
    voxels = noise(1, 70, 50, 5)
    to, sink = written(tmp_path, voxels)
    part = next(sink.folder.rglob("*.tiles"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(BrokenSource, match="cut short"):
        to.finish([])
    assert not to.file.exists()
    assert [sink.has(box) for box in sink.spec.box.tiles(sink.shard_shape)].count(False) == 1


def test_what_ome_does_not_hold_is_refused(tmp_path, dataset):
    src = dataset(noise(1, 20, 20, 2, dtype="uint64"), category="segmentation")
    with pytest.raises(UnsupportedSource, match="no uint64"):
        exported(src, tmp_path / "em.ome.tif")
    with pytest.raises(OptionError, match="no name of an OME-TIFF"):
        invoke("export", src, tmp_path / "em.tif", "--to", "ome-tiff")
