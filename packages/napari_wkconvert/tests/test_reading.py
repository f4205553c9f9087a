"""What napari would be given, compared with the voxels; and the manifest, as npe2 sees it."""

from pathlib import Path

import numpy as np
import pytest
from helpers import npy_volumes
from helpers.conversions import edited, random_voxels
from helpers.sources import InMemory

import wkconvert
from wkconvert import LayerArrays, Mag, MagArray

pytest.importorskip("napari_wkconvert")
pytest.importorskip("dask")
from napari_wkconvert.reading import _shown, reader_of


@pytest.fixture
def reader():
    with npy_volumes.registered() as make_folder:
        yield make_folder


@pytest.fixture
def make(tmp_path, reader):
    """Converts voxels [c, x, y, z]; gives the dataset's path."""

    def converted(voxels, **options):
        reader(tmp_path / "src", voxels)
        wkconvert.convert(tmp_path / "src", tmp_path / "ds", voxel_size=(4, 5, 40), **options)
        return str(tmp_path / "ds")

    return converted


def test_an_image_is_a_pyramid_in_its_place_and_scale(make):
    voxels = random_voxels((70, 60, 40))
    path = make(voxels, layer_name="em", category="color", start_z=7, max_mag=4)
    ((levels, look, kind),) = reader_of(path)(path)
    assert (kind, look["name"], look["multiscale"]) == ("image", "em", True)
    assert [level.shape for level in levels] == [(40, 60, 70), (40, 30, 35), (40, 15, 18)]
    np.testing.assert_array_equal(levels[0].compute(), voxels[0].T)
    assert (look["scale"], look["translate"], look["units"]) == ([40, 5, 4], [280, 0, 0], ["nm"] * 3)
    assert look["axis_labels"] == ["z", "y", "x"]
    low, high = look["contrast_limits"]
    assert 0 <= low < high <= 255


def test_labels_are_labels(make):
    ids = np.zeros((1, 40, 30, 20), np.uint64)
    ids[:, 20:] = 2**40
    path = make(ids, category="segmentation", downsample=False)
    ((level, look, kind),) = reader_of(path)(path)
    assert (kind, look["multiscale"], level.dtype) == ("labels", False, np.uint64)
    np.testing.assert_array_equal(np.asarray(level), ids[0].T)


def test_colours_are_a_picture_and_other_channels_a_layer_each(tmp_path, reader):
    rgb = random_voxels((30, 20, 10), channels=3)
    reader(tmp_path / "rgb", rgb)
    ((level, look, _),) = reader_of(str(tmp_path / "rgb"))(str(tmp_path / "rgb"))
    assert look["rgb"]
    np.testing.assert_array_equal(np.asarray(level), rgb.T)
    two = random_voxels((30, 20, 10), channels=2)
    reader(tmp_path / "two", two)
    with pytest.warns(UserWarning, match="not 2 of uint8"):  # as channels of one layer in WEBKNOSSOS
        shown = reader_of(str(tmp_path / "two"))(str(tmp_path / "two"))
    assert [look["name"] for _, look, _ in shown] == ["color 0", "color 1"]
    np.testing.assert_array_equal(np.asarray(shown[1][0]), two[1].T)
    assert shown[0][1]["units"] == ["pixel"] * 3


def test_a_layer_has_its_colour_in_words_of_napari(make):
    path = make(random_voxels((30, 20, 10)), downsample=False)
    with edited(Path(path)) as properties:
        properties["dataLayers"][0]["defaultViewConfiguration"] = {"color": [0, 128, 255]}
    ((_, look, _),) = reader_of(path)(path)
    assert (look["colormap"], look["blending"]) == ("#0080ff", "additive")


def test_warnings_of_the_reader_are_shown(tmp_path):
    (tmp_path / "em.raw").write_bytes(bytes(60))
    (tmp_path / "em.json").write_text('{"size": [5, 4, 3], "type": "uint8", "spacing": [1, 1, 1]}')
    path = str(tmp_path / "em.raw")
    with pytest.warns(UserWarning, match="has no unit and is not taken"):
        assert len(reader_of(path)(path)) == 1


def test_layers_of_unknown_voxel_size_lie_on_each_other_by_their_mags():
    source = InMemory(random_voxels((30, 20, 10)), offset=(5, 6, 7))
    layer = LayerArrays("em", "color", (MagArray(source, Mag(2, 2, 1), "em"),), None, None, ())
    ((_, look, _),) = _shown(layer)
    assert (look["scale"], look["translate"], look["units"]) == ([1, 2, 2], [7, 12, 10], ["pixel"] * 3)


def test_what_nobody_reads_is_left_to_others(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    assert reader_of(str(tmp_path / "a.txt")) is None
    assert reader_of([str(tmp_path), str(tmp_path)]) is None


def test_napari_finds_the_reader(make):
    npe2 = pytest.importorskip("npe2")
    npe2.PluginManager.instance().discover()  # by its entry point
    path = make(random_voxels((30, 20, 10)), downsample=False)
    ((_, look, kind),) = npe2.read([path], stack=False, plugin_name="napari-wkconvert")
    assert (look["name"], kind) == ("color", "image")
