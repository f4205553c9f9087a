"""Datasets that list arrays where they lie: nothing is copied, and commands read them if they are to follow."""

import functools
import http.server
import shutil
import threading

import numpy as np
import pytest
from helpers.conversions import different, edited, every_mag, invoke, layers_of
from helpers.datasets import run
from images import coarser, n5, ome, precomputed
from test_reading_plain import zipped
from zarrs import raw_volume, saved, volume, zarr

from wkconvert_core import Mag, OptionError, SourceError, UnsupportedSource
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins
from wkconvert_zarr.mags.sink import ZarrSink

SIZE = ("--voxel-size", "4,4,35", "-q")


def listed_inside(array, dataset):
    """A dataset whose layers are the channels of an array that lies in it."""
    run("auto", array, dataset, "--by-reference", "--max-mag", "1", *SIZE)
    shutil.move(array, dataset / array.name)
    with edited(dataset) as found:
        for layer in found["dataLayers"]:
            layer["mags"][0]["path"] = f"./{array.name}"


@pytest.fixture
def image(tmp_path):
    """An OME-Zarr image in z, y, x of two resolutions, as other programs write it; and its voxels [c, x, y, z]."""
    voxels = volume(40, 60, 70)
    group = zarr.create_group(tmp_path / "em.zarr")
    datasets = []
    for level, factor in enumerate((1, 2)):
        saved(tmp_path / "em.zarr" / str(level), voxels[:, ::factor, ::factor], axes="zyx")
        scale = {"type": "scale", "scale": [35, 4 * factor, 4 * factor]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return tmp_path / "em.zarr", voxels.T[np.newaxis]


@pytest.fixture
def served(tmp_path):
    """The URL of the test's folder on a server of this machine."""
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def expected(image, tmp_path, *, max_mag="8"):
    """What a copy of the source holds."""
    target = tmp_path / "copied"
    run("auto", image, target, "-q", "--max-mag", max_mag)
    return every_mag(target)


def every_mag_followed(dataset):
    found = plugins().hook.wkconvert_open(format="webknossos", path=dataset, options={"follow": "true"})
    return {(layer.name, mag): source.read(source.info.box) for layer in found for mag, source in layer.mags.items()}


def test_the_source_is_listed_and_only_what_is_missing_is_made(image, tmp_path):
    source, voxels = image
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    run("auto", source, tmp_path / "ds", "--by-reference", "--max-mag", "8", "-q")
    (name,) = layers_of(tmp_path / "ds")
    mags = layers_of(tmp_path / "ds")[name]["mags"]
    order = {"x": 2, "y": 1, "z": 0}
    assert [(mag["mag"], mag["path"], mag["axisOrder"]) for mag in mags[:2]] == [
        ([1, 1, 1], "../em.zarr/0", order),
        ([2, 2, 1], "../em.zarr/1", order),
    ]
    assert [mag["path"] for mag in mags[2:]] == [f"./{name}/4-4-1", f"./{name}/8-8-1"]
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    ours, copied = every_mag_followed(tmp_path / "ds"), expected(source, tmp_path)
    assert ours.keys() == copied.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], copied[key])
    np.testing.assert_array_equal(ours[name, Mag(1, 1, 1)], voxels)


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [(1, 1, 32, 32, 32), (1, 3, 32, 32, 32)], ids=["own files", "one file"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_of_five_axes_are_listed_by_their_index(tmp_path, chunks, version):
    voxels = volume(1, 3, 40, 60, 70, dtype="uint16")
    levels = [voxels, coarser(voxels, (1, 1, 2, 2, 2))]
    ome(tmp_path / "cells.zarr", levels, "tczyx", version=version, chunks=chunks)
    run("auto", tmp_path / "cells.zarr", tmp_path / "ds", "--by-reference", "--max-mag", "4", "-q")
    entries = layers_of(tmp_path / "ds")
    assert len(entries) == 3
    order = {"c": 1, "x": 4, "y": 3, "z": 2}
    for number, entry in enumerate(entries.values()):
        assert [(mag["axisOrder"], mag["channelIndex"]) for mag in entry["mags"][:2]] == [(order, number)] * 2
        assert [mag["path"] for mag in entry["mags"][:2]] == ["../cells.zarr/s0", "../cells.zarr/s1"]
        assert "channelIndex" not in entry["mags"][2], "it is an array of its own"
    ours, copied = every_mag_followed(tmp_path / "ds"), expected(tmp_path / "cells.zarr", tmp_path, max_mag="4")
    assert ours.keys() == copied.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], copied[key])
    for number, name in enumerate(entries):
        np.testing.assert_array_equal(ours[name, Mag(1, 1, 1)], voxels[:, number].transpose(0, 3, 2, 1))


@pytest.mark.slow
def test_a_channel_of_a_server_is_listed_and_followed(tmp_path, served):
    voxels = volume(2, 40, 60, 70)
    saved(tmp_path / "two", voxels, axes="czyx", chunks=(1, 32, 32, 32))
    run("auto", f"{served}/two", tmp_path / "ds", "--by-reference", "--channel", "1", "--max-mag", "1", *SIZE)
    (followed,) = every_mag_followed(tmp_path / "ds").values()
    np.testing.assert_array_equal(followed[0], voxels[1].T)


def test_a_channel_in_the_dataset_itself_is_read_and_checked_by_its_own_files(tmp_path):
    voxels = volume(2, 40, 60, 70)
    saved(tmp_path / "two", voxels, axes="czyx", chunks=(1, 32, 32, 32))
    listed_inside(tmp_path / "two", tmp_path / "ds")
    for number, found in enumerate(every_mag(tmp_path / "ds").values()):
        np.testing.assert_array_equal(found[0], voxels[number].T)
    run("verify", tmp_path / "ds", "-q")
    (tmp_path / "ds/two/c/1/0/1/0").write_bytes(b"no chunk")
    assert run("verify", tmp_path / "ds", "-q", code=1).count("damaged: ") == 1
    with edited(tmp_path / "ds") as found:
        found["dataLayers"][0]["mags"][0]["channelIndex"] = 2
    with pytest.raises(SourceError, match="has 2 channels"):
        every_mag(tmp_path / "ds")


def test_compress_leaves_an_array_alone_of_which_a_layer_is_one_channel(tmp_path):
    saved(tmp_path / "two", volume(2, 40, 30, 20, dtype="uint16"), axes="cxyz", compressors=None)
    listed_inside(tmp_path / "two", tmp_path / "ds")
    before = every_mag(tmp_path / "ds")
    run("compress", tmp_path / "ds", "-q")
    after = every_mag(tmp_path / "ds")
    assert len(after) == 2
    assert all(np.array_equal(after[key], before[key]) for key in before)


def test_the_first_channel_of_one_is_a_whole_array(tmp_path):
    source = raw_volume(tmp_path / "src", (40, 30, 20), "uint8")
    how = ("--to", "zarr3", "--compression", "none", "--max-mag", "1", "--layer-name", "em")
    run("auto", source, tmp_path / "ds", *how, *SIZE)
    with edited(tmp_path / "ds") as found:
        found["dataLayers"][0]["mags"][0]["channelIndex"] = 0
    run("compress", tmp_path / "ds", "-q")
    assert '"zstd"' in (tmp_path / "ds/em/1/zarr.json").read_text()


def test_a_translation_is_listed_where_the_array_has_it_if_the_user_says_so(tmp_path):
    voxels = volume(40, 60, 70)
    places = [[40, 80, 120], [40, 80, 120]]
    source = ome(tmp_path / "em.zarr", [voxels, coarser(voxels, (2, 2, 2))], translations=places)
    with pytest.raises(UnsupportedSource, match="cannot be listed by reference") as caught:
        run("auto", source, tmp_path / "ds", "--by-reference", "-q")
    assert "is to lie at 30,20,10" in caught.value.why
    assert "--top-left 0,0,0" in caught.value.fix
    run("auto", source, tmp_path / "ds", "--by-reference", "--top-left", "0,0,0", "--max-mag", "4", "-q")
    (name,) = layers_of(tmp_path / "ds")
    paths = [mag["path"] for mag in layers_of(tmp_path / "ds")[name]["mags"]]
    assert paths == ["../em.zarr/s0", "../em.zarr/s1", f"./{name}/4"]
    assert layers_of(tmp_path / "ds")[name]["boundingBox"]["topLeft"] == [0, 0, 0]
    followed = every_mag_followed(tmp_path / "ds")
    np.testing.assert_array_equal(followed[name, Mag(1, 1, 1)][0], voxels.T)
    np.testing.assert_array_equal(followed[name, Mag(2, 2, 2)][0], voxels[::2, ::2, ::2].T)
    run("downsample", tmp_path / "ds", "--follow", "--from-mag", "2", "--max-mag", "8", "-q")


@pytest.mark.slow
def test_commands_follow_only_if_they_are_told_to(image, tmp_path):
    source, _ = image
    dataset = tmp_path / "ds"
    run("auto", source, dataset, "--by-reference", "--max-mag", "4", "-q")
    with pytest.raises(UnsupportedSource, match="--follow"):
        run("check-equality", dataset, dataset, "-q")
    run("downsample", dataset, "--follow", "--from-mag", "2-2-1", "--max-mag", "8", "-q")
    run("recube", dataset, tmp_path / "whole", "--follow", "--to", "wkw", "-q")
    run("check-equality", dataset, tmp_path / "whole", "--follow", "-q")
    run("recube", dataset, tmp_path / "part", "--to", "wkw", "-q")
    assert min(mag for _, mag in every_mag(tmp_path / "part")) == Mag(4, 4, 1)
    assert min(mag for _, mag in every_mag(tmp_path / "whole")) == Mag(1, 1, 1)
    assert '"2-2-1"' in run("info", dataset, "--follow", "--json")
    assert '"2-2-1"' not in run("info", dataset, "--json")
    array = zarr.open_array(source / "0", mode="r+")
    array[3, 4, 5] = 255 - array[3, 4, 5]
    run("check-equality", dataset, tmp_path / "whole", "--follow", "-q", code=1)


def test_what_compress_replaces_is_never_the_source(tmp_path):
    saved(tmp_path / "raw", volume(40, 60, 70), axes="zyx", compressors=None)
    run("auto", tmp_path / "raw", tmp_path / "ds", "--by-reference", *SIZE)
    before = (tmp_path / "raw" / "zarr.json").read_bytes()
    with edited(tmp_path / "ds") as found:
        assert found["dataLayers"][0]["mags"][0]["path"] == "../raw"
    run("compress", tmp_path / "ds", "-q")
    assert (tmp_path / "raw" / "zarr.json").read_bytes() == before


@pytest.mark.slow
def test_mags_on_a_server_are_listed_by_their_url_and_followed(image, tmp_path, served):
    _, voxels = image
    run("auto", f"{served}/em.zarr", tmp_path / "ds", "--by-reference", "--max-mag", "4", "-q")
    (name,) = layers_of(tmp_path / "ds")
    assert layers_of(tmp_path / "ds")[name]["mags"][0]["path"].rstrip("/") == f"{served}/em.zarr/0"
    run("recube", tmp_path / "ds", tmp_path / "whole", "--follow", "--to", "wkw", "-q")
    np.testing.assert_array_equal(every_mag(tmp_path / "whole")[name, Mag(1, 1, 1)], voxels)
    run("check-equality", tmp_path / "ds", tmp_path / "whole", "--follow", "-q")


def test_all_mags_may_be_the_sources_and_a_dataset_in_wkw_is_one(tmp_path):
    source = raw_volume(tmp_path / "src", (70, 50, 40), "uint16")
    run("auto", source, tmp_path / "wkw", *SIZE, "--layer-name", "color")
    run("auto", tmp_path / "wkw", tmp_path / "ds", "--by-reference", "-q")
    assert layers_of(tmp_path / "ds")["color"]["mags"][0]["path"] == "../wkw/color/1"
    assert layers_of(tmp_path / "ds")["color"]["dataFormat"] == "wkw"
    assert not list((tmp_path / "ds").rglob("*.wkw"))
    run("check-equality", tmp_path / "ds", tmp_path / "wkw", "--follow", "-q")
    run("auto", source, tmp_path / "ds", "--add", "--layer-name", "other", "-q")
    assert [*layers_of(tmp_path / "ds")] == ["color", "other"]


def test_layers_join_a_dataset_by_reference(image, tmp_path):
    source, voxels = image
    run("auto", raw_volume(tmp_path / "src", (70, 60, 40), "uint8"), tmp_path / "ds", *SIZE, "--layer-name", "first")
    run("auto", source, tmp_path / "ds", "--add", "--by-reference", "--layer-name", "em", "-q")
    assert [*layers_of(tmp_path / "ds")] == ["first", "em"]
    np.testing.assert_array_equal(every_mag_followed(tmp_path / "ds")["em", Mag(1, 1, 1)], voxels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--dtype", "uint16"), "cast, cropped or mirrored"),
        (("--flip", "x"), "cast, cropped or mirrored"),
        (("--top-left", "10,0,0"), "is to lie at 10,0,0"),
        (("--bbox", "0,0,0,10,10,10"), "cast, cropped or mirrored"),
    ],
)
def test_what_would_show_other_voxels_is_refused(image, tmp_path, options, words):
    source, _ = image
    with pytest.raises(UnsupportedSource) as caught:
        run("auto", source, tmp_path / "ds", "--by-reference", "-q", *options)
    assert words in caught.value.why
    assert not (tmp_path / "ds").exists()


def test_what_is_in_no_format_of_mags_or_is_not_whole_is_refused_with_the_reason(tmp_path):
    source = raw_volume(tmp_path / "src", (40, 30, 20), "uint8")
    with pytest.raises(UnsupportedSource, match="is in no format of mags"):
        run("auto", source, tmp_path / "ds", "--by-reference", *SIZE)
    saved(tmp_path / "rgb", volume(3, 40, 30, 20), axes="cxyz", chunks=(1, 32, 32, 32))
    with pytest.raises(UnsupportedSource, match="its 3 channels lie in files of 1") as caught:
        run("auto", tmp_path / "rgb", tmp_path / "ds", "--by-reference", *SIZE)
    assert caught.value.fix == f"copy its voxels: wkconvert auto {tmp_path / 'rgb'} DST, without --by-reference"
    zipped(tmp_path / "rgb", tmp_path / "rgb.zip")
    with pytest.raises(UnsupportedSource, match="in folders and on servers only") as caught:
        run("auto", tmp_path / "rgb.zip", tmp_path / "ds", "--by-reference", *SIZE)
    assert "unpack" in caught.value.fix
    saved(tmp_path / "times", volume(2, 40, 30, 20), axes="txyz")
    with pytest.raises(UnsupportedSource, match="the axis t has 2 places"):
        run("auto", tmp_path / "times", tmp_path / "ds", "--by-reference", "-o", "timepoint=1", *SIZE)
    saved(tmp_path / "filled", volume(40, 30, 20), axes="xyz", fill_value=7)
    with pytest.raises(UnsupportedSource, match="what is not stored is 7"):
        run("auto", tmp_path / "filled", tmp_path / "ds", "--by-reference", *SIZE)
    with pytest.raises(OptionError, match="--by-reference"):
        run("auto", source, tmp_path / "ds", "--by-reference", "--to", "zarr3", *SIZE)


def test_n5_is_listed_and_what_cannot_be_written_is_told(tmp_path):
    """WEBKNOSSOS reads it; `test_peer` holds that its library does."""
    voxels = volume(70, 60, 40)
    calibration = {"pixelResolution": {"dimensions": [4, 4, 35], "unit": "nm"}}
    n5(tmp_path / "em.n5" / "s0", voxels, **calibration)
    n5(tmp_path / "em.n5" / "s1", voxels[::2, ::2])
    result = invoke("auto", tmp_path / "em.n5", tmp_path / "ds", "--by-reference", "--max-mag", "4")
    assert "mags 4-4-1 are not made" in " ".join(result.stderr.split())
    (layer,) = layers_of(tmp_path / "ds").values()
    order = {"x": 0, "y": 1, "z": 2}
    assert (layer["dataFormat"], layer["boundingBox"]["width"], layer["boundingBox"]["depth"]) == ("n5", 70, 40)
    assert layer["mags"] == [
        {"mag": [1, 1, 1], "path": "../em.n5/s0", "axisOrder": order},
        {"mag": [2, 2, 1], "path": "../em.n5/s1", "axisOrder": order},
    ]
    with pytest.raises(UnsupportedSource) as caught:  # no command takes it for a dataset without layers
        run("verify", tmp_path / "ds")
    assert "its format is n5" in caught.value.why


def test_channels_of_n5_are_listed_by_their_index(tmp_path):
    n5(tmp_path / "em", volume(30, 20, 10, 2), axes=["x", "y", "z", "c"])
    run("auto", tmp_path / "em", tmp_path / "ds", "--by-reference", "--max-mag", "1", *SIZE)
    listed = [layer["mags"][0] for layer in layers_of(tmp_path / "ds").values()]
    assert [mag["channelIndex"] for mag in listed] == [0, 1]
    assert [mag["axisOrder"] for mag in listed] == [{"c": 3, "x": 0, "y": 1, "z": 2}] * 2


def test_what_webknossos_would_not_read_is_refused_with_the_reason(tmp_path):
    n5(tmp_path / "xz", volume(30, 20, 10), compression={"type": "xz"})
    precomputed(tmp_path / "em", [volume(30, 20, 10, 1)])
    for name, why, fix in (
        ("xz", "compressed by xz", "write it again"),
        ("em", "axes stated differently", "as a remote dataset"),
    ):
        with pytest.raises(UnsupportedSource, match=f"/{name} cannot be listed by reference") as caught:
            run("auto", tmp_path / name, tmp_path / "ds", "--by-reference", *SIZE)
        assert why in caught.value.why
        assert fix in caught.value.fix
        assert caught.value.fix.endswith("or leave --by-reference out, to copy its voxels")
        assert not (tmp_path / "ds").exists()


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(image, tmp_path, monkeypatch):
    source, _ = image
    settings = Settings(by_reference=True, max_mag=16, name="ds")
    convert(source, tmp_path / "whole", settings)
    real = ZarrSink.write

    def write(self, box, data):
        if self.spec.mag == Mag(8, 8, 1):
            raise KeyboardInterrupt
        return real(self, box, data)

    monkeypatch.setattr(ZarrSink, "write", write)
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "cut", settings)
    monkeypatch.undo()
    assert not (tmp_path / "cut" / "datasource-properties.json").exists()
    convert(source, tmp_path / "cut", settings)
    assert different(tmp_path / "whole", tmp_path / "cut") == []
    shutil.rmtree(source)
    with pytest.raises(SourceError, match=r"em\.zarr"):
        every_mag_followed(tmp_path / "cut")
