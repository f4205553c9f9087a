"""Each layer is an OME-Zarr image, and stays one whatever a command does to its mags."""

import json
import shutil

import numpy as np
import pytest
from helpers.conversions import edited, layers_of
from helpers.datasets import run
from zarrs import raw_volume, zarr

v04 = pytest.importorskip("ome_zarr_models.v04")
v05 = pytest.importorskip("ome_zarr_models.v05")

FORMATS = {"zarr3": v05, "zarr": v04}
for model in (v04.Image, v04.ImageLabel):  # this version of it leaves them half defined
    model.model_rebuild(_types_namespace=vars(pytest.importorskip("pydantic_zarr.v2")))
SIZE = ("--voxel-size", "4,4,35", "--layer-name", "color", "-q")


def image(dataset, layer="color"):
    """A layer as ome-zarr-models accepts it; the `ome` attributes."""
    found = layers_of(dataset)[layer]
    models, group = FORMATS[found["dataFormat"]], zarr.open_group(dataset / layer, mode="r")
    kind = models.ImageLabel if found["category"] == "segmentation" else models.Image
    model = kind.from_zarr(group)
    attributes = json.loads(model.attributes.model_dump_json(exclude_none=True, by_alias=True))
    ours = group.attrs.asdict()
    ours = ours.get("ome", ours)
    assert attributes.get("ome", attributes)["multiscales"][0]["datasets"] == ours["multiscales"][0]["datasets"]
    return ours


def made(tmp_path, to, dtype="uint8", *more):
    source = raw_volume(tmp_path / "src", (70, 50, 40), dtype)
    run("auto", source, tmp_path / "ds", *SIZE, "--to", to, "--to-option", "chunk=16", *more)
    return tmp_path / "ds"


def scales(about):
    return {
        each["path"]: [step[step["type"]] for step in each["coordinateTransformations"]]
        for each in about["multiscales"][0]["datasets"]
    }


@pytest.mark.parametrize("to", FORMATS)
def test_mags_are_resolutions_in_their_places(tmp_path, to):
    about = image(made(tmp_path, to))
    assert [(axis["name"], axis["type"], axis.get("unit")) for axis in about["multiscales"][0]["axes"]] == [
        ("c", "channel", None),
        ("x", "space", "nanometer"),
        ("y", "space", "nanometer"),
        ("z", "space", "nanometer"),
    ]
    assert scales(about) == {
        "1": [[1, 4, 4, 35], [0, 0, 0, 0]],
        "2-2-1": [[1, 8, 8, 35], [0, 2, 2, 0]],
        "4-4-1": [[1, 16, 16, 35], [0, 6, 6, 0]],
    }


def test_a_resolution_lies_where_its_voxels_were(tmp_path):
    """The centre of mass of a bright cube is the same in every mag."""
    voxels = np.zeros((64, 64, 32), "uint8")
    voxels[16:48, 8:24, 8:16] = 200
    source = raw_volume(tmp_path / "src", voxels.shape, "uint8", voxels=voxels)
    run("auto", source, tmp_path / "ds", *SIZE, "--to", "zarr3")
    places = []
    for name, (scale, shift) in scales(image(tmp_path / "ds")).items():
        found = zarr.open_array(tmp_path / "ds" / "color" / name, mode="r")[...]
        centre = [np.average(at, weights=found[found > 0]) for at in np.nonzero(found)]
        places.append(np.array(centre) * scale + shift)
    assert len(places) == 3
    np.testing.assert_allclose(places, np.broadcast_to([0, 31.5 * 4, 15.5 * 4, 11.5 * 35], (3, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize(
    ("dtype", "window"),
    [
        ("uint8", {"min": 0, "max": 255, "start": 0, "end": 255}),
        ("uint16", {"min": 0, "max": 65535}),
        ("int16", {"min": -32768, "max": 32767}),
        ("float32", {"min": 0, "max": 249}),
    ],
)
def test_windows_and_colours_are_those_of_the_metadata(tmp_path, to, dtype, window):
    dataset = made(tmp_path, to, dtype, "--category", "color")
    (channel,) = image(dataset)["omero"]["channels"]
    assert (channel["label"], channel["color"], channel["active"]) == ("color", "FFFFFF", True)
    view = layers_of(dataset)["color"].get("defaultViewConfiguration", {})
    shown = dict(zip(("start", "end"), view.get("intensityRange", (0, 255)), strict=True))
    assert channel["window"] == {**shown, **window}


@pytest.mark.parametrize("to", FORMATS)
def test_a_segmentation_is_an_image_label(tmp_path, to):
    about = image(made(tmp_path, to, "uint32", "--category", "segmentation"))
    assert "image-label" in about
    assert "omero" not in about


def test_three_channels_of_colour_are_red_green_and_blue(tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("wkconvert_tiff")
    (tmp_path / "src").mkdir()
    for z in range(3):
        picture = np.random.default_rng(z).integers(0, 255, (40, 50, 3), "uint8")
        imageio.imwrite(tmp_path / "src" / f"s{z}.png", picture)
    run("auto", tmp_path / "src", tmp_path / "ds", *SIZE, "--to", "zarr3")
    channels = image(tmp_path / "ds")["omero"]["channels"]
    assert [(it["label"], it["color"]) for it in channels] == [
        ("red", "FF0000"),
        ("green", "00FF00"),
        ("blue", "0000FF"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_it_follows_what_commands_change_and_keeps_what_others_added(tmp_path, to):
    dataset = made(tmp_path, to)
    file = dataset / "color" / {"zarr3": "zarr.json"}.get(to, ".zattrs")
    found = json.loads(file.read_text())
    attributes = found["attributes"]["ome"] if to == "zarr3" else found
    attributes["multiscales"][0]["type"] = "median"
    attributes["omero"]["channels"][0]["color"] = "00FF00"
    attributes["theirs"] = [1]
    file.write_text(json.dumps(found))
    run("downsample", dataset, "--max-mag", "16", "-q")
    about = image(dataset)
    assert [*scales(about)] == ["1", "2-2-1", "4-4-1", "8-8-1", "16-16-2"]
    assert about["multiscales"][0]["type"] == "median"
    assert about["omero"]["channels"][0]["color"] == "00FF00"
    assert about["theirs"] == [1]
    run("metadata", dataset, "--voxel-size", "0.5,0.5,2", "--unit", "µm", "-q")
    assert scales(image(dataset))["2-2-1"] == [[1, 1, 1, 2], [0, 0.25, 0.25, 0]]
    run("metadata", dataset, "--category", "segmentation", "-q")
    assert "omero" not in image(dataset)
    shutil.rmtree(dataset / "color" / "2-2-1")
    run("metadata", dataset, "-q")
    assert [*scales(image(dataset))] == ["1", "4-4-1", "8-8-1", "16-16-2"]
    run("compress", dataset, tmp_path / "copy", "-q")
    assert scales(image(tmp_path / "copy")) == scales(image(dataset))


def test_only_layers_in_zarr_become_images(tmp_path):
    dataset = made(tmp_path, "zarr3")
    run("auto", tmp_path / "src", dataset, "--add", "--layer-name", "other", "-q")
    assert [path.parent.name for path in sorted(dataset.glob("*/zarr.json"))] == ["color"]
    with edited(dataset) as found:
        found["dataLayers"][0]["mags"][1]["path"] = "./elsewhere/2-2-1"
    (dataset / "elsewhere").mkdir()
    (dataset / "color" / "2-2-1").rename(dataset / "elsewhere" / "2-2-1")
    run("metadata", dataset, "--name", "other", "-q")
    assert [*scales(image(dataset))] == ["1", "4-4-1"]


def test_metadata_makes_an_image_of_mags_that_cube_wrote(tmp_path):
    source = raw_volume(tmp_path / "src", (40, 40, 20), "uint8")
    run("cube", source, tmp_path / "ds", "--to", "zarr3", "--layer-name", "color", "-q")
    assert not (tmp_path / "ds" / "color" / "zarr.json").exists()
    run("metadata", tmp_path / "ds", "--voxel-size", "4,4,35", "-q")
    assert scales(image(tmp_path / "ds")) == {"1": [[1, 4, 4, 35], [0, 0, 0, 0]]}
