"""N5: axes x, y, z; sizes, factors and units as several programs write them; BigDataViewer's setups and times."""

import json

import numpy as np
import pytest
from images import READER, array, coarser, n5, put

from wkconvert_core import Mag, OptionError, SourceNotFound, UnsupportedSource
from wkconvert_core.testing import noise, read_checked

VOXELS = noise(21, 18, 17, dtype="uint16", zeros=False)  # x, y, z
HALF = (2, 2, 1)


@pytest.mark.parametrize(
    "about",
    [
        {"resolution": [4, 5, 40], "units": ["nm", "nm", "nm"], "axes": ["x", "y", "z"]},
        {"resolution": [4, 5, 40], "units": "nm"},
        {"pixelResolution": {"dimensions": [4, 5, 40], "unit": "nm"}},
        {"pixelResolution": [4, 5, 40], "unit": "nm"},
        {"transform": {"axes": ["z", "y", "x"], "scale": [40, 5, 4], "units": ["nm"] * 3, "translate": [0, 0, 0]}},
    ],
)
def test_arrays_have_the_axes_x_y_z_and_the_size_that_they_state(tmp_path, about):
    path = n5(tmp_path / "em", VOXELS, **about)
    assert str(READER.source(path).info.voxel_size) == "4 x 5 x 40 nm"
    assert np.array_equal(READER.voxels(path)[0], VOXELS)


def test_axes_that_are_named_otherwise_count(tmp_path):
    path = n5(tmp_path / "em", VOXELS, axes=["z", "y", "x"], resolution=[40, 5, 4], units=["nm"] * 3)
    assert np.array_equal(READER.voxels(path)[0], VOXELS.T)
    assert str(READER.source(path).info.voxel_size) == "4 x 5 x 40 nm"
    assert np.array_equal(READER.voxels(path, axes="xyz")[0], VOXELS)


def test_a_resolution_without_a_unit_is_told(tmp_path):
    info = READER.source(n5(tmp_path / "em", VOXELS, resolution=[4, 5, 40])).info
    assert info.voxel_size is None
    assert info.notes[0].startswith("its resolution says 4 x 5 x 40, and names no unit")


def test_a_place_in_the_units_of_the_resolution_counts(tmp_path):
    moved = {"axes": ["z", "y", "x"], "scale": [40, 4, 4], "units": ["nm"] * 3, "translate": [80, 0, 12]}
    assert READER.source(n5(tmp_path / "em", VOXELS, transform=moved)).info.offset == (3, 0, 2)


@pytest.mark.parametrize("where", ["group", "scales", "arrays", "transforms", "shapes"])
def test_a_group_of_s0_s1_is_a_pyramid(tmp_path, where):
    group, levels = tmp_path / "em", [VOXELS, coarser(VOXELS, HALF)]
    about = {"pixelResolution": {"dimensions": [4, 5, 40], "unit": "nm"}}
    factors = [[1, 1, 1], [2, 2, 1]]
    put(group / "attributes.json", about)
    if where in ("group", "scales"):
        about["downsamplingFactors" if where == "group" else "scales"] = factors
        put(group / "attributes.json", about)
    for number, voxels in enumerate(levels):
        more = {"downsamplingFactors": factors[number]} if where == "arrays" else {}
        if where == "transforms":
            scale = [40, 5 * 2**number, 4 * 2**number]
            more = {"transform": {"axes": ["z", "y", "x"], "scale": scale, "units": ["nm"] * 3}}
        n5(group / f"s{number}", voxels, **more)
    layer = READER.layer(group)
    assert list(layer.mags) == [Mag(1, 1, 1), Mag(2, 2, 1)]
    assert str(layer.source.info.voxel_size) == "4 x 5 x 40 nm"
    assert np.array_equal(read_checked(layer.source)[0], VOXELS)
    assert np.array_equal(read_checked(layer.mags[Mag(2, 2, 1)])[0], levels[1])


def test_multiscales_of_cosem_name_the_levels(tmp_path):
    group = tmp_path / "em"
    put(group / "attributes.json", {"multiscales": [{"datasets": [{"path": "fine"}, {"path": "coarse"}]}]})
    for name, step in (("fine", 1), ("coarse", 2)):
        about = {"axes": ["z", "y", "x"], "scale": [40 * step, 4 * step, 4 * step], "units": ["nm"] * 3}
        n5(group / name, coarser(VOXELS, (step,) * 3), transform=about)
    layer = READER.layer(group)
    assert list(layer.mags) == [Mag(1, 1, 1), Mag(2, 2, 2)]
    (group / "coarse" / "attributes.json").unlink()
    with pytest.raises(SourceNotFound, match="lists coarse, which is not there"):
        READER.layers(group)


def test_a_container_of_several_volumes_is_a_layer_for_each(tmp_path):
    put(tmp_path / "all.n5" / "attributes.json", {"n5": "2.5.0"})
    put(tmp_path / "all.n5" / "volumes" / "attributes.json", {})
    n5(tmp_path / "all.n5" / "volumes" / "raw", VOXELS)
    put(tmp_path / "all.n5" / "volumes" / "labels" / "attributes.json", {})
    for number in (0, 1):
        n5(tmp_path / "all.n5" / "volumes" / "labels" / f"s{number}", coarser(VOXELS, (2**number,) * 3))
    layers = {layer.name: layer for layer in READER.layers(tmp_path / "all.n5")}
    assert set(layers) == {"volumes_raw", "volumes_labels"}
    assert list(layers["volumes_labels"].mags) == [Mag(1, 1, 1), Mag(2, 2, 2)]
    assert READER.layer(tmp_path / "all.n5", image="volumes/raw").name is None


def test_groups_need_no_attributes_of_their_own(tmp_path):
    put(tmp_path / "all.n5" / "attributes.json", {"n5": "2.5.0"})
    for number in (0, 1):
        n5(tmp_path / "all.n5" / "volumes" / "raw" / f"s{number}", coarser(VOXELS, (2**number,) * 3))
    for path, options in ((tmp_path / "all.n5", {}), (tmp_path / "all.n5" / "volumes" / "raw", {})):
        assert READER.detect(path).confidence == 2
        layer = READER.layer(path, **options)
        assert list(layer.mags) == [Mag(1, 1, 1), Mag(2, 2, 2)]
    assert list(READER.layer(tmp_path / "all.n5", image="volumes/raw").mags) == [Mag(1, 1, 1), Mag(2, 2, 2)]


def bigdataviewer(path, times):
    put(path / "attributes.json", {"n5": "2.5.0"})
    for setup in (0, 1):
        put(path / f"setup{setup}" / "attributes.json", {"downsamplingFactors": [[1, 1, 1], [2, 2, 1]]})
        for time in times:
            folder = path / f"setup{setup}" / f"timepoint{time}"
            put(folder / "attributes.json", {"resolution": [0.5, 0.5, 2], "multiScale": True})
            for number in (0, 1):
                n5(folder / f"s{number}", coarser(VOXELS, (2**number, 2**number, 1)) + 10 * setup + time)
    return path


def test_setups_of_bigdataviewer_are_layers_at_one_time(tmp_path):
    path = bigdataviewer(tmp_path / "dataset.n5", (0, 3))
    with pytest.raises(UnsupportedSource, match="holds 2 time points"):
        READER.layers(path)
    with pytest.raises(OptionError, match="no time point 1") as caught:
        READER.layers(path, timepoint=1)
    assert caught.value.fix == "it has 0, 3"
    layers = READER.layers(path, timepoint=3)
    assert [layer.name for layer in layers] == ["setup0", "setup1"]
    for number, layer in enumerate(layers):
        assert list(layer.mags) == [Mag(1, 1, 1), Mag(2, 2, 1)]
        assert np.array_equal(read_checked(layer.source)[0], VOXELS + 10 * number + 3)
    assert str(READER.layers(path, timepoint=0, unit="um")[0].source.info.voxel_size) == "0.5 x 0.5 x 2 µm"


@pytest.mark.parametrize("kind", ["raw", "gzip", "bzip2", "xz", "blosc", "zstd"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float32"])
def test_every_compression_and_dtype_is_read(tmp_path, kind, dtype):
    voxels = noise(9, 8, 7, dtype=dtype)
    how = {"type": kind}
    if kind == "blosc":
        how |= {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    source = READER.source(n5(tmp_path / "a", voxels, block=4, compression=how))
    assert np.array_equal(source.read(source.info.box)[0], voxels)


def test_missing_blocks_are_zero_and_a_volume_of_four_axes_names_them(tmp_path):
    path = n5(tmp_path / "a", VOXELS)
    (path / "0" / "0" / "0").unlink()
    expected = VOXELS.copy()
    expected[:16, :16, :16] = 0
    assert np.array_equal(READER.voxels(path)[0], expected)
    colours = noise(9, 8, 7, 2, zeros=False)
    with pytest.raises(UnsupportedSource, match="has 4 axes without names, of 9 x 8 x 7 x 2") as caught:
        READER.layers(n5(tmp_path / "b", colours))
    assert "-o axes=" in caught.value.fix
    layers = READER.layers(tmp_path / "b", axes="xyzc")
    assert np.array_equal(np.concatenate([read_checked(each.source) for each in layers]), colours.transpose(3, 0, 1, 2))


def test_a_folder_whose_attributes_say_nothing_of_n5_is_not_claimed(tmp_path):
    put(tmp_path / "a" / "attributes.json", {"author": "somebody"})
    assert READER.detect(tmp_path / "a") is None
    put(tmp_path / "b" / "info", {"author": "somebody"})
    assert READER.detect(tmp_path / "b") is None
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "zarr.json").write_text("{")
    assert READER.detect(tmp_path / "c").confidence == 1
    array(tmp_path / "d", VOXELS)
    assert json.loads((tmp_path / "d" / "zarr.json").read_text())
    assert READER.detect(tmp_path / "d").confidence == 2
