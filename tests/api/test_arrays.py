"""Datasets and other sources as arrays."""

import inspect
import re
import sys
from dataclasses import fields

import numpy as np
import pytest
from helpers.conversions import random_voxels
from helpers.sources import InMemory
from hypothesis import given
from hypothesis import strategies as st

import wkconvert
from wkconvert_core.api.arrays import MagArray
from wkconvert_core.cli import app, dataset_commands, export_commands
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.conversion.settings import Settings

VOXELS = np.arange(2 * 5 * 4 * 3, dtype=np.uint16).reshape(2, 5, 4, 3)
FINEST = Mag(1, 1, 1)


def indices(length):
    bounds = st.none() | st.integers(-length - 2, length + 2)
    steps = st.none() | st.sampled_from([-3, -1, 1, 2, 7])
    return st.integers(-length, length - 1) | st.builds(slice, bounds, bounds, steps)


@given(st.data(), st.sampled_from([1, 2]))
def test_any_index_gives_what_numpy_gives(data, channels):
    array = MagArray(InMemory(VOXELS[:channels]), FINEST, "em")
    plain = VOXELS[:channels] if channels > 1 else VOXELS[0]
    assert (array.shape, array.dtype, array.ndim, array.nbytes) == (plain.shape, plain.dtype, plain.ndim, plain.nbytes)
    count = data.draw(st.integers(0, plain.ndim))
    index = [data.draw(indices(n)) for n in plain.shape[:count]]
    if data.draw(st.booleans()):
        index = [
            *index[: count // 2],
            ...,
            *(data.draw(indices(n)) for n in plain.shape[plain.ndim - count + count // 2 :]),
        ]
    np.testing.assert_array_equal(array[tuple(index)], plain[tuple(index)])
    assert array[tuple(index)].dtype == plain.dtype


@pytest.mark.parametrize("index", [5, -6, (0, 0, 0, 0), (..., ...), [1, 2], True, None, "x", 1.0, np.array([1])])
def test_other_indices_are_refused(index):
    with pytest.raises(IndexError):
        MagArray(InMemory(VOXELS[:1]), FINEST, "em")[index]


def test_an_index_beyond_the_end_names_the_axis_length():
    with pytest.raises(IndexError, match="index -6 is beyond an axis of 5 voxels"):
        MagArray(InMemory(VOXELS[:1]), FINEST, "em")[-6]


def test_only_the_box_that_is_asked_for_is_read():
    class Watched(InMemory):
        def read(self, box):
            boxes.append(box)
            return super().read(box)

    boxes = []
    array = MagArray(Watched(VOXELS), FINEST, "em")
    _ = array[1, 4:0:-2, 2]
    assert [(tuple(box.start), tuple(box.shape)) for box in boxes] == [((2, 2, 0), (3, 1, 3))]


@pytest.fixture
def dataset(tmp_path, reader):
    """Two layers at x, y, z 32, 0, 7 with mags."""
    voxels = random_voxels((70, 60, 40))
    reader(tmp_path / "src", voxels)
    wkconvert.convert(
        tmp_path / "src",
        tmp_path / "ds",
        voxel_size=(4, 4, 40),
        layer_name="em",
        start_z=7,
        max_mag=4,
    )
    return tmp_path / "ds", voxels


def test_a_dataset_is_its_layers_and_their_mags(dataset):
    path, voxels = dataset
    layers = wkconvert.open(str(path))
    layer = layers["em"]
    assert list(layers) == ["em"]
    assert list(layer) == [Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 1)]
    assert layer["2-2-1"] == layer[Mag(2, 2, 1)]
    assert layer[1] == layer.finest
    assert layer.category == "color"
    np.testing.assert_array_equal(layer.finest, voxels[0])
    assert str(layer.finest.bounding_box) == "x 0:70, y 0:60, z 7:47"
    assert str(layer["4-4-1"].voxel_size) == "16 x 16 x 40 nm"
    for text in ("em", "70 x 60 x 40", "2-2-1"):
        assert text in layers._repr_html_()
    assert "x 70, y 60, z 40, uint8, 4 x 4 x 40 nm" in repr(layers)


def test_what_is_not_there_is_a_key_error_that_lists_what_is(dataset):
    layers = wkconvert.open(dataset[0])
    with pytest.raises(KeyError, match=r"no layer en.*em"):
        layers["en"]
    with pytest.raises(KeyError, match=r"no mag 8.*2-2-1"):
        layers["em"][8]
    assert "en" not in layers
    assert layers.get("en") is None


def test_a_source_is_opened_as_a_dataset_is(dataset, tmp_path):
    layer = wkconvert.open(tmp_path / "src")["color"]
    np.testing.assert_array_equal(layer.finest[3:9, ::2, -1], dataset[1][0, 3:9, ::2, -1])
    assert layer.voxel_size is None


@pytest.mark.slow
def test_dask_reads_chunk_by_chunk(dataset):
    array = wkconvert.open(dataset[0])["em"].finest
    lazy = array.to_dask(chunks=(32, 32, 16))
    assert lazy.chunksize == (32, 32, 16)
    np.testing.assert_array_equal(lazy[5:50:3, ::-1].compute(), dataset[1][0, 5:50:3, ::-1])
    assert array.to_dask().sum().compute() == dataset[1].sum()


def test_coordinates_are_the_voxels_centres_so_that_mags_lie_on_each_other(dataset):
    layer = wkconvert.open(dataset[0])["em"]
    fine, coarse = layer.finest.to_xarray(), layer["4-4-1"].to_xarray()
    assert fine.dims == ("x", "y", "z")
    assert fine.x.attrs["units"] == "nm"
    assert fine.z[0] == (7 + 0.5) * 40
    assert coarse.x[0] == fine.x[:4].mean()
    assert fine.sel(x=9, y=1, z=7.5 * 40, method="nearest") == dataset[1][0, 2, 0, 0]


def test_without_a_voxel_size_coordinates_count_voxels():
    array = MagArray(InMemory(VOXELS, offset=(10, 0, 0)), Mag(1, 1, 1), "em").to_xarray()
    assert array.dims == ("c", "x", "y", "z")
    assert array.x.values.tolist() == [10.5, 11.5, 12.5, 13.5, 14.5]
    assert array.x.attrs["units"] == "voxel"


def test_options_are_keyword_arguments(dataset, tmp_path):
    heard = []
    done = wkconvert.downsample(dataset[0], max_mag=8, progress=heard.append)
    assert [str(mag.mag) for mag in done.layers[0].mags][-1] == "8-8-1"
    assert heard[-1].voxels == heard[-1].total
    assert (found := wkconvert.verify(dataset[0], jobs=1)).sound
    assert re.fullmatch(r"<Soundness \S+: sound; \d+ mags, \d+ shards, \S+, \S+ s, 0 notes>", repr(found))
    same = wkconvert.check_equality(dataset[0], dataset[0])
    assert re.fullmatch(r"<Equality (\S+), \1: equal; \d+ mags, \S+ s, 0 notes>", repr(same))
    assert wkconvert.recube(dataset[0], tmp_path / "copy", to="wkw", file_len=1).layers
    for wrong in ({"max_mug": 8}, {"voxel_size": (4, 4, 35)}):
        with pytest.raises(TypeError, match=rf"^downsample\(\) .*{next(iter(wrong))}"):
            wkconvert.downsample(dataset[0], **wrong)
    with pytest.raises(TypeError, match="downsample"):  # which would be taken for the pyramid of `convert`
        wkconvert.export_tiff(dataset[0], tmp_path / "out", downsample=2)
    taken = inspect.signature(wkconvert.convert).parameters
    assert {"src", "dst", "voxel_size", "category", "memory", "progress"} <= set(taken)
    assert "settings" not in taken


def test_what_is_not_installed_is_named_with_what_brings_it(dataset, monkeypatch):
    finest = wkconvert.open(dataset[0])["em"].finest
    for module, call in (("xarray", finest.to_xarray), ("dask.array", finest.to_dask)):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=rf"{module}.*wkconvert\[arrays\]"):
            call()


CALLED = {
    "option": "reader_options",
    "to_option": "to_options",
    "no_compress": "compression",
    "no_downsample": "downsample",
    "distribution_strategy": "strategy",
}
"""The fields of `Settings` that options of other names set."""


@pytest.mark.parametrize("name", ["convert", "downsample", "upsample", "compress", "recube", "export_tiff"])
def test_a_function_takes_the_options_of_its_command_and_no_others(name):
    commands = {"convert": app.auto, "export_tiff": export_commands.export_tiff}
    own = commands[name] if name in commands else getattr(dataset_commands, name)
    options = {CALLED.get(option, option) for option in inspect.signature(own).parameters}
    settings = {field.name for field in fields(Settings)}
    taken = set(inspect.signature(getattr(wkconvert, name)).parameters) & settings
    different = {"convert": {"metadata"}, "export_tiff": {"downsample"}}  # not for scripts; a field of `pictures`
    layers = {"layer_name"} if name not in commands else set()  # `layers`
    assert taken ^ (options & settings - layers) == different.get(name, set())


def test_a_bar_is_shown_where_it_is_asked_for(dataset, capsys):
    wkconvert.verify(dataset[0], progress=True)
    assert "100%" in capsys.readouterr().err
    wkconvert.verify(dataset[0])
    assert capsys.readouterr().err == ""


def test_every_name_is_there():
    assert all(hasattr(wkconvert, name) for name in wkconvert.__all__)
    assert all(getattr(wkconvert, name).__doc__ for name in wkconvert.__all__ if name != "__version__")
