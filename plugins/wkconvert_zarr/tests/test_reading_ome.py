"""OME-Zarr 0.4 and 0.5: axes, mags, voxel sizes, places, channels, labels, plates and series."""

import shutil

import numpy as np
import pytest
from helpers.conversions import layers_of, read
from images import READER, array, attributes, changed_attributes, coarser, ome, put, zyx

from wkconvert_core import BrokenSource, Mag, OptionError, SourceNotFound, UnsupportedSource, WarningNote
from wkconvert_core.api import Settings, convert
from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.testing import noise, read_checked

VOXELS = noise(21, 18, 17, dtype="uint16", zeros=False)  # x, y, z
NM = [40.0, 4.0, 4.0]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_voxels_size_and_mags_are_those_of_the_image(tmp_path, version):
    levels = [zyx(VOXELS), coarser(zyx(VOXELS), (1, 2, 2)), coarser(zyx(VOXELS), (2, 4, 4))]
    path = ome(tmp_path / "em.zarr", levels[:2], version=version, scale=NM, factor=[1, 2, 2])
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1), Mag(2, 2, 1)]
    assert str(layer.source.info.voxel_size) == "4 x 4 x 40 nm"
    assert str(layer.mags[Mag(2, 2, 1)].info.voxel_size) == "8 x 8 x 40 nm"
    assert np.array_equal(read_checked(layer.source)[0], VOXELS)
    assert np.array_equal(read_checked(layer.mags[Mag(2, 2, 1)])[0], VOXELS[::2, ::2])
    assert layer.source.info.notes == ()


@pytest.mark.parametrize("axes", ["zyx", "xyz", "yzx", "czyx", "zcyx", "yxzc", "tczyx", "xyzct", "yx"])
def test_axes_are_those_that_the_image_names_in_any_order(tmp_path, axes):
    depth = 17 if "z" in axes else 1
    sizes = {"x": 21, "y": 18, "z": depth, "c": 2, "t": 1}
    voxels = noise(2 if "c" in axes else 1, 21, 18, depth, zeros=False)  # c, x, y, z
    kept = [axis for axis in "cxyz" if axis in axes]
    stored = voxels.squeeze(tuple(number for number, axis in enumerate("cxyz") if axis not in axes))
    stored = stored.transpose([kept.index(axis) for axis in axes if axis != "t"]).reshape(
        [sizes[axis] for axis in axes]
    )
    layers = READER.layers(ome(tmp_path / "a.zarr", [np.ascontiguousarray(stored)], axes))
    assert np.array_equal(np.concatenate([read_checked(layer.source) for layer in layers]), voxels)


def test_a_time_point_is_chosen(tmp_path):
    movie = noise(3, 2, 9, 18, 21, zeros=False)  # t, c, z, y, x
    path = ome(tmp_path / "movie.zarr", [movie], "tczyx", chunks=(2, 2, 9, 16, 16))
    with pytest.raises(UnsupportedSource, match="holds 3 time points") as caught:
        READER.layers(path)
    assert "-o timepoint=N, N from 0 to 2" in caught.value.fix
    layers = READER.layers(path, timepoint=1)
    assert [layer.name for layer in layers] == ["channel0", "channel1"]
    for number, layer in enumerate(layers):
        assert np.array_equal(read_checked(layer.source)[0], movie[1, number].T)
    with pytest.raises(OptionError, match="has no time point 3"):
        READER.layers(path, timepoint=3)
    assert layers[0].source.read_cost == 5, "a chunk holds two time points and two channels, which are decoded as well"


@pytest.mark.parametrize(
    ("unit", "said"), [("micrometer", "µm"), ("angstrom", "Å"), ("meter", "m"), ("millimeter", "mm"), ("um", "µm")]
)
def test_units_are_lengths_as_they_are_spelled(tmp_path, unit, said):
    path = ome(tmp_path / "a.zarr", [zyx(VOXELS)], units=dict.fromkeys("xyz", unit))
    assert str(READER.source(path).info.voxel_size) == f"4 x 4 x 4 {said}"


def test_units_may_differ_between_axes(tmp_path):
    path = ome(tmp_path / "a.zarr", [zyx(VOXELS)], scale=[0.04, 4, 4], units={**{"x": "nm", "y": "nm"}, "z": "µm"})
    assert str(READER.source(path).info.voxel_size) == "4 x 4 x 40 nm"


@pytest.mark.parametrize("units", [{}, dict.fromkeys("xyz", "pixel")])
def test_a_size_without_a_unit_of_length_is_told_and_taken_when_the_unit_is_said(tmp_path, units):
    path = ome(tmp_path / "a.zarr", [zyx(VOXELS)], units=units)
    info = READER.source(path).info
    assert info.voxel_size is None
    assert "4 x 4 x 4" in info.notes[0]
    assert "-o unit=" in info.notes[0]
    assert str(READER.source(path, unit="µm").info.voxel_size) == "4 x 4 x 4 µm"
    with pytest.raises(OptionError, match="parsec is no unit of length"):
        READER.source(path, unit="parsec")


@pytest.mark.parametrize("scale", [[float("nan"), 4, 4], [0, 4, 4], [-40, 4, 4], [float("inf"), 4, 4]])
def test_a_scale_that_is_no_size_is_not_taken_for_one(tmp_path, scale):
    info = READER.source(ome(tmp_path / "a.zarr", [zyx(VOXELS)], scale=scale)).info
    assert info.voxel_size.size == (4, 4, None)
    assert "the voxel size along z is" in info.notes[0]


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_translation_of_whole_voxels_is_the_place(tmp_path):
    levels = [zyx(VOXELS[:20, :18, :16]), coarser(zyx(VOXELS[:20, :18, :16]), (2, 2, 2))]
    corner, centre = [400.0, 40.0, 8.0], [420.0, 42.0, 10.0]
    for second in (corner, centre):
        path = ome(tmp_path / f"{second[0]}.zarr", levels, scale=NM, translations=[corner, second])
        layer = READER.layer(path)
        assert [source.info.offset for source in layer.mags.values()] == [(2, 10, 10), (1, 5, 5)]
        assert layer.source.info.affine.origin == (8.0, 40.0, 400.0)
    path = ome(tmp_path / "other.zarr", levels, scale=NM, translations=[corner, [400.0, 44.0, 8.0]])
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1)]
    assert "s1 is made anew: it begins 1 voxels away along y" in layer.source.info.notes[0]


def test_a_level_that_begins_within_one_of_its_voxels_is_made_anew(tmp_path):
    corner = [[0.0, 0.0, 12.0]] * 2
    path = ome(tmp_path / "a.zarr", [zyx(VOXELS), coarser(zyx(VOXELS), (2, 2, 2))], translations=corner)
    layer = READER.layer(path)
    assert (list(layer.mags), layer.source.info.offset) == ([Mag(1, 1, 1)], (3, 0, 0))
    assert layer.source.info.notes == ("level s1 is made anew: 3, 0, 0 is no multiple of 2",)


@pytest.mark.parametrize("place", [[0.0, 0.0, 6.0], [0.0, -8.0, 0.0], [0.0, 0.0, 1e30]])
def test_a_place_that_is_none_of_a_bounding_box_is_told(tmp_path, place):
    info = READER.source(ome(tmp_path / "a.zarr", [zyx(VOXELS)], scale=NM, translations=[place])).info
    assert info.offset == (0, 0, 0)
    assert "by itself it is laid at 0, 0, 0; --top-left decides otherwise" in info.notes[0]


def test_a_translation_that_is_no_number_is_left_out_with_a_warning(tmp_path):
    info = READER.source(ome(tmp_path / "a.zarr", [zyx(VOXELS)], scale=NM, translations=[[0, float("nan"), 0]])).info
    assert (info.offset, info.affine) == ((0, 0, 0), None)
    assert "left out" in info.notes[0]


def test_transformations_of_the_whole_image_come_on_top(tmp_path):
    path = ome(tmp_path / "a.zarr", [zyx(VOXELS)], scale=[1.0, 1.0, 1.0], translations=[[0, 2, 3]])

    def change(about):
        about["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": NM}]

    info = READER.source(changed_attributes(path, change)).info
    assert (str(info.voxel_size), info.offset) == ("4 x 4 x 40 nm", (3, 2, 0))


# --- levels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "step", "why"),
    [
        ([3, 3, 3], 3, "its factor along x is 3, no power of two"),
        ([1, 1, 1], 1, "it is no coarser"),
        ([2, 2, 2], 3, "it has 7 x 6 x 6 voxels, not 11 x 9 x 9"),
    ],
)
def test_levels_that_are_no_mags_are_made_anew_and_told(tmp_path, factor, step, why):
    levels = [zyx(VOXELS), coarser(zyx(VOXELS), [step] * 3)]
    layer = READER.layer(ome(tmp_path / "a.zarr", levels, factor=factor))
    assert list(layer.mags) == [Mag(1, 1, 1)]
    assert layer.source.info.notes == (f"level s1 is made anew: {why}",)


def test_a_level_that_is_missing_or_of_another_kind_is_made_anew(tmp_path):
    levels = [zyx(VOXELS), coarser(zyx(VOXELS), (2, 2, 2)).astype("uint8"), coarser(zyx(VOXELS), (4, 4, 4))]
    path = ome(tmp_path / "a.zarr", levels)
    (path / "s2" / "zarr.json").unlink()
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1)]
    assert "level s2 is left out and made anew" in layer.source.info.notes[0]
    assert layer.source.info.notes[1] == "level s1 is made anew: it is uint8 with 3 axes"
    (path / "s0" / "zarr.json").unlink()
    with pytest.raises(SourceNotFound, match="s0 holds no such array"):
        READER.layers(path)


def test_a_level_that_stores_nothing_is_made_anew(tmp_path):
    path = ome(tmp_path / "a.zarr", [zyx(VOXELS), coarser(zyx(VOXELS), (2, 2, 2))])
    shutil.rmtree(path / "s1" / "c")
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1)]
    assert layer.source.info.notes == ("level s1 stores no chunk, and is made anew",)


def test_a_level_that_is_named_by_itself_has_the_axes_and_size_of_its_image(tmp_path):
    movie = noise(1, 2, 9, 18, 21, zeros=False)
    path = ome(tmp_path / "a.zarr", [movie, coarser(movie, (1, 1, 1, 2, 2))], "tczyx", factor=[1, 1, 1, 2, 2])
    for layers in (READER.layers(path / "s1"), READER.layers(path, image="s1")):
        assert len(layers) == 2
        assert str(layers[0].source.info.voxel_size) == "8 x 8 x 4 nm"
        assert np.array_equal(read_checked(layers[1].source)[0], movie[0, 1, :, ::2, ::2].T)


def test_images_before_axes_were_named_have_five_and_no_size(tmp_path):
    movie = noise(1, 1, 8, 24, 36, zeros=False)
    path = ome(tmp_path / "a.zarr", [movie, coarser(movie, (1, 1, 1, 2, 2))], "tczyx", version="0.4")
    datasets = [{"path": "s0"}, {"path": "s1"}]
    attributes(path, {"multiscales": [{"version": "0.1", "datasets": datasets}]}, "0.4")
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1), Mag(2, 2, 1)]
    assert layer.source.info.voxel_size is None
    assert np.array_equal(read_checked(layer.source)[0], movie[0, 0].T)


# --- channels and labels ---------------------------------------------------------------------------------------------


def test_channels_are_layers_with_their_names_and_colours(tmp_path):
    channels = [{"label": "DAPI", "color": "0000FF"}, {"label": "my protein", "color": "FF00FF"}]
    both = noise(2, 9, 18, 21, dtype="uint16", zeros=False)
    path = ome(tmp_path / "a.zarr", [both], "czyx", more={"omero": {"channels": channels}})
    layers = READER.layers(path)
    assert [(layer.name, layer.color) for layer in layers] == [("DAPI", (0, 0, 255)), ("my protein", (255, 0, 255))]
    assert np.array_equal(read_checked(layers[1].source)[0], both[1].T)
    assert READER.layer(path, channel=1).name == "my protein"
    with pytest.raises(OptionError, match="channel 2 does not exist"):
        READER.layers(path, channel=2)


@pytest.mark.parametrize(
    ("names", "colors", "count"),
    [
        (["", "", ""], ["FF0000", "00FF00", "0000FF"], 1),
        (["Channel 0", "Channel 1", "Channel 2"], ["FF0000", "00FF00", "0000FF"], 1),
        (["red", "green", "blue"], [None, None, None], 1),
        (["DAPI", "GFP", "Cy5"], ["FF0000", "00FF00", "0000FF"], 3),
        (["", "", ""], ["0000FF", "00FF00", "FF0000"], 3),
    ],
)
def test_three_channels_are_colours_unless_they_are_named_or_shown_otherwise(tmp_path, names, colors, count):
    picture = noise(9, 18, 21, 3, zeros=False)
    channels = [{"label": name, "color": color} for name, color in zip(names, colors, strict=True)]
    path = ome(tmp_path / "a.zarr", [picture], "zyxc", more={"omero": {"channels": channels}})
    layers = READER.layers(path)
    assert [layer.source.info.channels for layer in layers] == [3 // count] * count
    assert np.array_equal(np.concatenate([read_checked(each.source) for each in layers]), picture.transpose(3, 2, 1, 0))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_beside_an_image_are_layers_of_their_own(tmp_path, version):
    path = ome(tmp_path / "a.zarr", [zyx(VOXELS)], version=version, scale=NM)
    ids = noise(21, 18, 17, dtype="uint32")
    attributes(path / "labels", {"labels": ["nuclei"]}, version)
    ome(path / "labels" / "nuclei", [zyx(ids)], version=version, scale=NM, more={"image-label": {"colors": []}})
    layers = READER.layers(path)
    assert [(layer.name, layer.category) for layer in layers] == [(None, None), ("nuclei", "segmentation")]
    assert np.array_equal(read_checked(layers[1].source)[0], ids)
    assert READER.layer(path, labels="false").name is None
    for alone in (path / "labels", path / "labels" / "nuclei"):
        assert READER.layer(alone).category == "segmentation"
    attributes(path / "labels", {"labels": ["cells"]}, version)
    with pytest.raises(SourceNotFound, match="lists the labels cells, which are not there"):
        READER.layers(path)


# --- plates and series -----------------------------------------------------------------------------------------------


def plate(path, version):
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/2", "rowIndex": 1, "columnIndex": 1}]
    attributes(path, {"plate": {"rows": [], "columns": [], "wells": wells}}, version)
    for well in wells:
        attributes(path / well["path"], {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, version)
        for field in "01":
            ome(path / well["path"] / field, [zyx(VOXELS) + int(field)], version=version)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_of_a_plate_one_image_is_chosen(tmp_path, version):
    path = plate(tmp_path / "plate.zarr", version)
    with pytest.raises(UnsupportedSource, match="is a plate of many images") as caught:
        READER.layers(path)
    assert "A/1, B/2" in caught.value.why
    assert "-o image=A/1/0" in caught.value.fix
    with pytest.raises(UnsupportedSource, match="is a well of 2 fields: 0, 1") as caught:
        READER.layers(path, image="B/2")
    assert "-o image=B/2/0" in caught.value.fix
    assert np.array_equal(READER.voxels(path, image="B/2/1")[0], VOXELS + 1)
    with pytest.raises(SourceNotFound, match="A/3/0 holds no array"):
        READER.layers(path, image="A/3/0")


@pytest.mark.parametrize("listed", [True, False])
def test_of_several_series_one_is_chosen_and_a_single_one_is_taken(tmp_path, listed):
    path = tmp_path / "scans.zarr"
    attributes(path, {"bioformats2raw.layout": 3}, "0.4")
    (path / "OME").mkdir()
    (path / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    ome(path / "0", [zyx(VOXELS)], version="0.4")
    assert np.array_equal(READER.voxels(path)[0], VOXELS)
    ome(path / "1", [zyx(VOXELS) + 1], version="0.4")
    if listed:
        attributes(path / "OME", {"series": ["1", "0"]}, "0.4")
    with pytest.raises(UnsupportedSource, match="is a file of 2 images") as caught:
        READER.layers(path)
    assert f"-o image={int(listed)}" in caught.value.fix
    assert np.array_equal(READER.voxels(path, image="1")[0], VOXELS + 1)


# --- metadata that are wrong -----------------------------------------------------------------------------------------


WRONG = {
    "no list": (lambda about: about.update(multiscales="s0"), BrokenSource, "no list of objects"),
    "an empty list": (lambda about: about.update(multiscales=[]), BrokenSource, "no list of objects"),
    "no datasets": (lambda about: about["multiscales"][0].update(datasets=[]), BrokenSource, "list no datasets"),
    "no path": (lambda about: about["multiscales"][0].update(datasets=[{}]), BrokenSource, "which has no path"),
    "a path out of it": (
        lambda about: about["multiscales"][0]["datasets"][0].update(path="../../secret"),
        UnsupportedSource,
        "outside of itself",
    ),
    "an absolute path": (
        lambda about: about["multiscales"][0]["datasets"][0].update(path="/etc"),
        UnsupportedSource,
        "outside of itself",
    ),
    "a URL": (
        lambda about: about["multiscales"][0]["datasets"][0].update(path="https://example.org/s0"),
        UnsupportedSource,
        "outside of itself",
    ),
    "axes that are none": (
        lambda about: about["multiscales"][0].update(axes=[1, 2, 3]),
        BrokenSource,
        "no list of obj",
    ),
    "too few axes": (lambda about: about["multiscales"][0].update(axes=["y", "x"]), BrokenSource, "for 2 axes"),
    "axes twice": (
        lambda about: about["multiscales"][0].update(axes=[{"name": "x"}, {"name": "y"}, {"name": "x"}]),
        UnsupportedSource,
        "each once",
    ),
    "a scale for other axes": (
        lambda about: about["multiscales"][0]["datasets"][0]["coordinateTransformations"][0].update(scale=[4, 4]),
        BrokenSource,
        "for 3 axes",
    ),
    "a scale of texts": (
        lambda about: about["multiscales"][0]["datasets"][0]["coordinateTransformations"][0].update(scale=["4"] * 3),
        BrokenSource,
        "for 3 axes",
    ),
    "another transformation": (
        lambda about: about["multiscales"][0]["datasets"][0].update(
            coordinateTransformations=[{"type": "affine", "affine": [[1, 0, 0, 0]] * 3}]
        ),
        BrokenSource,
        "coordinateTransformations",
    ),
    "a later version": (lambda about: about.update(version="1.0"), UnsupportedSource, "is OME-Zarr 1.0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_metadata_that_are_wrong_are_refused_with_the_reason(tmp_path, case):
    change, error, told = WRONG[case]
    path = changed_attributes(ome(tmp_path / "a.zarr", [zyx(VOXELS)]), change)
    with pytest.raises(error, match=told):
        READER.layers(path)


def test_metadata_may_hold_anything_beside(tmp_path):
    path = ome(tmp_path / "a.zarr", [zyx(VOXELS)], more={"omero": {"channels": [7], "rdefs": {}}, "_creator": 1})
    put(path / "notes.json", {})
    array(path / "other", np.zeros((4, 4), "uint8"))
    assert np.array_equal(READER.voxels(path)[0], VOXELS)


# --- datasets --------------------------------------------------------------------------------------------------------


def test_places_colours_windows_and_levels_arrive_in_the_dataset(tmp_path):
    both = noise(2, 16, 40, 64, dtype="uint16", zeros=False)
    place, ids = [0, 400.0, 40.0, 80.0], noise(16, 20, 32, dtype="uint32")
    channels = [
        {"label": "DAPI", "color": "0000FF", "window": {"start": 100, "end": 5000, "min": 0, "max": 65535}},
        {"label": "GFP", "color": "00FF00", "window": {"start": 0, "end": 65535, "min": 0, "max": 65535}},
    ]
    path = ome(
        tmp_path / "img.zarr",
        [both, coarser(both, (1, 1, 2, 2))],
        "czyx",
        scale=[1, 40.0, 4.0, 4.0],
        factor=[1, 1, 2, 2],
        translations=[place, place],
        more={"omero": {"channels": channels}},
    )
    attributes(path / "labels", {"labels": ["nuclei"]}, "0.5")
    centre = [[400.0, 42.0, 82.0]]  # of the first voxel, which is twice as large
    ome(path / "labels" / "nuclei", [ids], scale=[40.0, 8.0, 8.0], translations=centre, more={"image-label": {}})
    done = convert(path, tmp_path / "ds", Settings(jobs=2))
    found = layers_of(tmp_path / "ds")
    assert {name: layer["boundingBox"]["topLeft"] for name, layer in found.items()} == {
        "DAPI": [20, 10, 10],
        "GFP": [20, 10, 10],
        "nuclei": [20, 10, 10],
    }
    view = found["DAPI"]["defaultViewConfiguration"]
    assert (view["color"], view["intensityRange"]) == ([0, 0, 255], [100, 5000])
    assert found["GFP"]["defaultViewConfiguration"]["intensityRange"][1] < 65535, "the whole range says nothing"
    assert [note for note in done.notes if isinstance(note, WarningNote)] == []
    assert np.array_equal(read(tmp_path / "ds", "GFP", "2-2-1")[0], both[1, :, ::2, ::2].T), "its level, not a median"
    assert np.array_equal(read(tmp_path / "ds", "nuclei", "2-2-1")[0], ids.T)


@pytest.mark.parametrize(("translation", "corner"), [([2.0, 3.0, 4.0], [4, 3, 2]), ([2.5, 3.0, 4.0], None)])
def test_labels_lie_beside_an_image_that_only_scales_and_so_begins_at_0(tmp_path, translation, corner):
    path, cells = tmp_path / "a.zarr", noise(8, 8, 8, dtype="uint32")
    ome(path, [zyx(noise(30, 24, 20))], scale=[1.0] * 3)
    attributes(path / "labels", {"labels": ["cells"]}, "0.5")
    placed = {"scale": [1.0] * 3, "translations": [translation], "more": {"image-label": {}}}
    ome(path / "labels" / "cells", [zyx(cells)], **placed)
    if corner is None:
        with pytest.raises(WkconvertError, match=r"cells begins at 4, 3, 2\.5 voxels of color"):
            convert(path, tmp_path / "ds", Settings())
        return
    convert(path, tmp_path / "ds", Settings())
    assert layers_of(tmp_path / "ds")["cells"]["boundingBox"]["topLeft"] == corner
    np.testing.assert_array_equal(read(tmp_path / "ds", "cells")[0], cells)


@pytest.mark.parametrize(("end", "shown"), [(255, None), (90, [10, 90])])
def test_a_window_of_8_bit_counts_unless_it_is_the_whole_range(tmp_path, end, shown):
    channels = [{"color": "FFFFFF", "window": {"start": 10 if shown else 0, "end": end}}]
    path = ome(tmp_path / "em.zarr", [zyx(VOXELS).astype("uint8")], more={"omero": {"channels": channels}})
    convert(path, tmp_path / "ds", Settings(jobs=2, category="color"))
    (layer,) = layers_of(tmp_path / "ds").values()
    assert layer.get("defaultViewConfiguration") == (shown and {"intensityRange": shown})
    convert(path, tmp_path / "cast", Settings(jobs=2, category="color", dtype="uint16", convert="scale"))
    (layer,) = layers_of(tmp_path / "cast").values()
    assert layer["defaultViewConfiguration"]["intensityRange"] != shown


def test_levels_that_are_listed_coarse_first_are_taken_by_their_scale(tmp_path):
    levels = [zyx(VOXELS), coarser(zyx(VOXELS), (2, 2, 2))]
    path = ome(tmp_path / "em", levels)
    changed_attributes(path, lambda about: about["multiscales"][0]["datasets"].reverse())
    (layer,) = READER.layers(path)
    assert [*layer.mags] == [(1, 1, 1), (2, 2, 2)]
    assert np.array_equal(layer.source.read(layer.source.info.box)[0], VOXELS)
    assert layer.source.info.voxel_size.size == (4, 4, 4)
    assert any("s1 is listed first, and s0 is finer" in note for note in layer.source.info.notes)
