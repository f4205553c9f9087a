"""Layers of several formats in one dataset, and that every real file is read or declined with a reason."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import paths
from helpers.conversions import carry_out, layers_of
from helpers.conversions import read as read_mag

from wkconvert_core import InconsistentStack, OptionError, UnsupportedSource, VoxelSize, WarningNote, WkconvertError
from wkconvert_core.commands import recube
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.prepare import prepare_conversion as prepare
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins

SAMPLES = paths.SAMPLES
SIZE = VoxelSize((4.0, 4.0, 35.0))
wkw = pytest.importorskip("wkw")
tifffile = pytest.importorskip("tifffile")
nibabel = pytest.importorskip("nibabel")
for plugin in ("dm", "knossos", "nifti", "tiff", "tiles"):
    pytest.importorskip(f"wkconvert_{plugin}")


def noise(*shape, dtype="uint8"):
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


def stack(folder, slices):
    folder.mkdir(parents=True)
    for z, one in enumerate(slices):
        tifffile.imwrite(folder / f"s{z}.tif", one)


def labels(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels, np.diag([0.5, 0.5, 2, 1]), dtype=voxels.dtype)
    image.header.set_xyzt_units("micron")
    image.to_filename(path)


def read(dataset, layer, shape):
    with wkw.Dataset.open(str(dataset / layer / "1")) as mag:
        return mag.read((0, 0, 0), shape)[0]


def test_a_folder_for_each_layer_may_have_a_format_of_its_own(tmp_path):
    em, ids, raw = noise(40, 60, 70), noise(70, 60, 38, dtype="uint32") % 9, noise(30, 60, 70, dtype="uint16")
    stack(tmp_path / "src" / "em", em)
    labels(tmp_path / "src" / "labels" / "volume.nii.gz", ids)
    (tmp_path / "src" / "prob").mkdir()
    (tmp_path / "src" / "prob" / "prob_70x60x30_uint16.raw").write_bytes(raw.tobytes())
    done = convert(tmp_path / "src", tmp_path / "ds", Settings(SIZE))
    assert [(layer.name, layer.category) for layer in done.layers] == [
        ("em", "color"),
        ("labels", "segmentation"),
        ("prob", "color"),
    ]
    assert done.notes[0].startswith("the layers differ in extent: em x 0:70, y 0:60, z 0:40; labels")
    np.testing.assert_array_equal(read(tmp_path / "ds", "em", (70, 60, 40)), em.T)
    np.testing.assert_array_equal(read(tmp_path / "ds", "labels", (70, 60, 38)), ids)
    np.testing.assert_array_equal(read(tmp_path / "ds", "prob", (70, 60, 30)), raw.T)
    written = json.loads((tmp_path / "ds" / "datasource-properties.json").read_text())
    assert [len(layer["mags"]) for layer in written["dataLayers"]] == [3, 3, 3]


def test_the_voxel_size_comes_from_the_layer_that_says_it(tmp_path):
    stack(tmp_path / "src" / "em", noise(4, 60, 70))
    labels(tmp_path / "src" / "labels" / "volume.nii", noise(70, 60, 4, dtype="uint16"))
    size = prepare(tmp_path / "src", tmp_path / "ds", Settings()).voxel_size
    assert size.to("nm").size == pytest.approx((500, 500, 2000), rel=1e-6)


def test_a_reader_option_goes_to_the_readers_that_know_it(tmp_path):
    stack(tmp_path / "src" / "em", noise(4, 60, 70))
    labels(tmp_path / "src" / "labels" / "volume.nii", noise(70, 60, 4, 2, dtype="uint16"))
    layers = prepare(tmp_path / "src", tmp_path / "ds", Settings(SIZE, reader_options={"volume": "1"})).layers
    assert [layer.info.shape for layer in layers] == [(70, 60, 4), (70, 60, 4)]
    with pytest.raises(OptionError, match="unknown reader option volumn"):
        prepare(tmp_path / "src", tmp_path / "ds", Settings(SIZE, reader_options={"volume": "1", "volumn": "1"}))


def test_labels_that_were_saved_through_a_slope_keep_their_ids_whatever_tells_that_they_are(tmp_path):
    ids = noise(20, 30, 10) % 5
    for place in ("sub-01_seg.nii.gz", "labels.nii", "src/segmentation/volume.nii"):
        image = nibabel.Nifti1Image(ids.astype("float64"), np.diag([0.5, 0.5, 1, 1]))
        image.set_data_dtype("int16")
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(image, tmp_path / place)
    for src in ("sub-01_seg.nii.gz", "labels.nii", "src"):
        convert(tmp_path / src, tmp_path / "ds", Settings(SIZE, overwrite=True))
        found = read(tmp_path / "ds", "segmentation", (20, 30, 10))
        np.testing.assert_array_equal(found, ids)


OPTIONS = {
    "multipage.tiff": {"series": "0"},
    "example4d.nii.gz": {"volume": "1"},
    "functional.nii": {"volume": "2"},
}
"""Without them, these are errors that name them."""
PATHS = [path for folder in ("dm", "nifti") for path in sorted((SAMPLES / folder).rglob("*.*")) if path.is_file()]
PATHS += [SAMPLES / "knossos"]


@pytest.mark.slow
@paths.needs_samples
@pytest.mark.parametrize("path", PATHS, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_voxel_of_a_real_file_is_in_the_dataset(tmp_path, path):
    settings = Settings(SIZE, reader_options=OPTIONS.get(path.name, {}))
    done = convert(path, tmp_path / "ds", settings)
    for layer in done.conversion.layers:
        box = layer.info.box.shifted(layer.info.offset)
        with wkw.Dataset.open(str(tmp_path / "ds" / layer.name / "1")) as dataset:
            voxels = dataset.read(box.start, box.shape)
        np.testing.assert_array_equal(voxels, layer.mags[layer.finest].read(layer.info.box))


@paths.needs_samples
@pytest.mark.parametrize("name", ["nifti/example4d.nii.gz", "nifti/functional.nii"])
def test_what_needs_an_option_says_which(tmp_path, name):
    with pytest.raises(UnsupportedSource, match="volume") as caught:
        prepare(SAMPLES / name, tmp_path / "ds", Settings(SIZE))
    assert "-o volume=" in caught.value.fix


@paths.needs_samples
def test_a_tree_of_real_tiles_keeps_its_place(tmp_path):
    (layer,) = prepare(SAMPLES / "tiles" / "temca2", tmp_path / "ds", Settings(SIZE)).layers
    assert (layer.info.offset, layer.info.shape) == ((143360, 61440, 1), (6144, 2048, 40))
    tile = layer.mags[layer.finest].read(layer.info.box.intersection(next(layer.info.box.tiles((1024, 1024, 1)))))
    imageio = pytest.importorskip("imageio.v3")
    np.testing.assert_array_equal(tile[0, :, :, 0], imageio.imread(SAMPLES / "tiles/temca2/1/60/140.jpg").T)


@pytest.mark.parametrize(
    "name", ["a.dm3", "a.nii", "a.nii.gz", "a.tif", "0/0/0.png", "x0000/y0000/z0000/a.raw", "a.raw"]
)
@pytest.mark.parametrize("content", [b"", b"\0" * 400, b"just some text\n" * 40, bytes(range(256)) * 8])
def test_junk_of_every_name_is_one_clear_error(tmp_path, name, content):
    path = tmp_path / "src" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    for src in (path, tmp_path / "src"):
        with pytest.raises(WkconvertError) as caught:
            convert(src, tmp_path / "ds", Settings(SIZE))
        assert caught.value.what
        assert not (tmp_path / "ds").exists()


def ome(folder, places):
    """A folder of OME-TIFF, a slice each, that say where the stage stood."""
    folder.mkdir(parents=True)
    for z, place in enumerate(places):
        stage = " ".join(
            f'Position{axis}="{at}" Position{axis}Unit="µm"' for axis, at in zip("XYZ", place, strict=True)
        )
        text = (
            '<OME><Image ID="Image:0"><Pixels DimensionOrder="XYZCT" Type="uint8" SizeX="24" SizeY="20" SizeZ="1" '
            f'SizeC="1" SizeT="1"><TiffData/><Plane TheZ="0" TheC="0" TheT="0" {stage}/></Pixels></Image></OME>'
        )
        tifffile.imwrite(folder / f"s{z}.tif", noise(20, 24), description=text.encode(), metadata=None)


def stage_warnings(src, tmp_path):
    notes = prepare(src, tmp_path / "ds", Settings(SIZE)).notes
    return [str(note) for note in notes if isinstance(note, WarningNote) and "stage" in note]


def test_layers_and_slices_for_which_the_stage_stood_elsewhere_are_warned_of(tmp_path):
    ome(tmp_path / "here" / "em", [(1, 2, z) for z in range(3)])
    ome(tmp_path / "here" / "more", [(1, 2, z) for z in range(3)])
    assert stage_warnings(tmp_path / "here", tmp_path) == []
    ome(tmp_path / "there" / "em", [(1, 2, z) for z in range(3)])
    ome(tmp_path / "there" / "more", [(1, 52.5, z) for z in range(3)])
    (told,) = stage_warnings(tmp_path / "there", tmp_path)
    assert "the stages differ: em x 1 µm, y 2 µm, z 0 µm, more x 1 µm, y 52.5 µm, z 0 µm; " in told
    ome(tmp_path / "fields", [(1, 2, 0), (1, 2, 0), (100, 2, 0)])
    (told,) = stage_warnings(tmp_path / "fields", tmp_path)
    assert "2 places, and slices are not moved" in told
    assert "s2.tif at x 100 µm, y 2 µm" in told


@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("flips", [(-1, 1, 1), (1, -1, -1)])
def test_labels_of_half_the_size_lie_exactly_upon_an_image_that_is_turned(tmp_path, flips, odd):
    """Where an odd number of voxels is mirrored, labels begin before the image: both are moved, or nothing is added."""
    ids = noise(12, 10, 8, dtype="uint16")
    image = ids.repeat(2, 0).repeat(2, 1).repeat(2, 2)[: 24 - odd, : 20 - odd, : 16 - odd]
    fine = np.diag([*flips, 1.0])
    coarse = fine @ np.diag([2, 2, 2, 1.0])
    coarse[:3, 3] = fine[:3, :3] @ [0.5, 0.5, 0.5]
    (tmp_path / "src").mkdir()
    for name, voxels, affine in (("em", image, fine), ("labels", ids, coarse)):
        file = nibabel.Nifti1Image(voxels, affine)
        file.header.set_xyzt_units("micron")
        file.to_filename(tmp_path / "src" / f"{name}.nii")
    how = Settings(downsample=False)
    convert(tmp_path / "src", tmp_path / "both", how)
    convert(tmp_path / "src" / "em.nii", tmp_path / "added", replace(how, layer_name="em"))
    add = replace(how, add=True, layer_name="labels")
    if odd:
        with pytest.raises(InconsistentStack, match=r"labels begins at voxel .*-1") as refused:
            prepare(tmp_path / "src" / "labels.nii", tmp_path / "added", add)
        assert "convert all layers anew from one folder" in refused.value.fix
    else:
        convert(tmp_path / "src" / "labels.nii", tmp_path / "added", add)
    for dataset in ("both",) if odd else ("both", "added"):
        places = [layers_of(tmp_path / dataset)[name]["boundingBox"]["topLeft"] for name in ("em", "labels")]
        assert places == [[odd * (flip < 0) for flip in flips], [0, 0, 0]]
        found, labels = (read_mag(tmp_path / dataset, *mag)[0] for mag in (("em", "1"), ("labels", "2")))
        above = labels.repeat(2, 0).repeat(2, 1).repeat(2, 2)
        box = tuple(slice(start, start + side) for start, side in zip(places[0], found.shape, strict=True))
        np.testing.assert_array_equal(found, above[box])


def test_a_place_that_another_file_of_the_same_format_leaves_at_0_is_warned_of(tmp_path):
    mrcfile = pytest.importorskip("mrcfile")
    pytest.importorskip("wkconvert_mrc")
    (tmp_path / "src").mkdir()
    for name, origin in (("em", 0), ("labels", 80)):
        with mrcfile.new(tmp_path / "src" / f"{name}.mrc") as file:
            file.set_data(noise(4, 20, 24, dtype="uint16"))
            file.voxel_size = 40
            file.header.origin.x = origin
    notes = prepare(tmp_path / "src", tmp_path / "ds", Settings()).notes
    (told,) = [note for note in notes if isinstance(note, WarningNote)]
    assert "(80, 0, 0) Å by the ORIGIN) is not used where em states none, in a file of the same format" in told


def test_stages_and_first_slices_are_compared_with_those_of_layers_that_are_there(tmp_path):
    ome(tmp_path / "em", [(1, 2, z) for z in range(3)])
    ome(tmp_path / "more", [(1, 52.5, z) for z in range(3)])
    convert(tmp_path / "em", tmp_path / "ds", Settings(SIZE, layer_name="em", downsample=False))
    carry_out(recube.prepare(tmp_path / "ds", tmp_path / "copy", Settings(jobs=2)))
    add = Settings(add=True, layer_name="more", downsample=False)
    for dataset in ("ds", "copy"):
        (told,) = warnings_of(prepare(tmp_path / "more", tmp_path / dataset, add))
        assert "the stages differ: em x 1 µm, y 2 µm, z 0 µm, more x 1 µm, y 52.5 µm, z 0 µm; " in told
        assert warnings_of(prepare(tmp_path / "em", tmp_path / dataset, add)) == []
    convert(tmp_path / "more", tmp_path / "ds", replace(add, top_left=(0, 13, 0)))
    assert warnings_of(prepare(tmp_path / "em", tmp_path / "ds", replace(add, layer_name="again"))) == []
    later = tmp_path / "later"
    later.mkdir()
    for z in range(7, 10):
        tifffile.imwrite(later / f"s{z}.tif", noise(20, 24))
    (told,) = warnings_of(prepare(later, tmp_path / "ds", replace(add, layer_name="later")))
    assert "the numbers of first slices differ: em from 0 on, later from 7 on" in told


def warnings_of(conversion):
    return [str(note) for note in conversion.notes if isinstance(note, WarningNote) and "differ" in note]


def test_two_layers_of_one_name_are_told(tmp_path):
    for name in ("em.nii", "em.nii.gz"):
        labels(tmp_path / "src" / name, noise(20, 24, 4, dtype="uint16"))
    conversion = prepare(tmp_path / "src", tmp_path / "ds", Settings(SIZE))
    assert [layer.name for layer in conversion.layers] == ["em", "em_2"]
    told = [note for note in conversion.notes if "it is called em_2, as another layer is em" in note]
    assert [type(note) for note in told] == [WarningNote]


@pytest.mark.parametrize(("first", "count"), [(0, 4), (5, 4), (6, 3)])
def test_layers_whose_names_count_slices_from_different_numbers_on_are_warned_of(tmp_path, first, count):
    for name, start, slices in (("em", 5, 4), ("labels", first, count)):
        (tmp_path / "src" / name).mkdir(parents=True)
        for z in range(start, start + slices):
            tifffile.imwrite(tmp_path / "src" / name / f"s{z:03}.tif", noise(20, 24))
    notes = prepare(tmp_path / "src", tmp_path / "ds", Settings(SIZE)).notes
    told = [note for note in notes if isinstance(note, WarningNote) and "first slices differ" in note]
    assert len(told) == (first != 5)
    assert all(f"em from 5 on, labels from {first} on" in note for note in told)


@pytest.mark.parametrize("names", [("ch0", "ch1"), ("DAPI", "GFP")])
def test_numbered_folders_of_the_channels_of_a_slice_are_no_layers(tmp_path, names):
    for number in range(3):
        (tmp_path / "src" / str(number)).mkdir(parents=True)
        for name in names:
            tifffile.imwrite(tmp_path / "src" / str(number) / f"{name}.tif", noise(20, 24))
    with pytest.raises(UnsupportedSource, match=r"are numbered and hold one slice each: 0, 1, 2.*z0_ch0\.png"):
        open_source(tmp_path / "src", Settings(), plugins())
    assert len(open_source(tmp_path / "src", Settings(reader="tiff"), plugins())) == 6
    for number in range(3):  # the remedy
        for name in names:
            (tmp_path / "src" / str(number) / f"{name}.tif").rename(tmp_path / "src" / f"z{number}_{name}.tif")
        (tmp_path / "src" / str(number)).rmdir()
    assert [layer.info.shape for layer in open_source(tmp_path / "src", Settings(), plugins())] == [(24, 20, 3)] * 2
