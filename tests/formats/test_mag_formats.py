"""A form of mags that a plugin brings, the one that docs/writing-a-plugin.md prints: every command works on it."""

import json
import os
import re
import shutil
import signal
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from helpers import paths
from helpers.conversions import SETTINGS, every_mag, files, layers_of, random_voxels, read
from helpers.datasets import run

from wkconvert_core import Mag, StoredMag
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.errors import OptionError, TargetExists, UnsupportedSource
from wkconvert_core.contract.mag_format import MagFormat
from wkconvert_core.conversion.execute import convert
from wkconvert_core.registry.plugins import plugins

NAME = "datasource-properties.json"


@pytest.fixture(scope="module")
def npy_mags():
    """The plugin of the page, as a module."""
    page = (paths.ROOT / "docs" / "writing-a-plugin.md").read_text("utf-8")
    section = page.split("## Store mags in another form")[1]
    module = types.ModuleType("npy_mags")
    sys.modules["npy_mags"] = module
    exec(re.search(r"```python\n(.*?)```", section, re.S)[1], module.__dict__)
    with plugins().register(module):
        yield module
    del sys.modules["npy_mags"]


@pytest.fixture
def source(tmp_path, reader):
    return reader(tmp_path / "src", random_voxels((70, 50, 40)))


@pytest.fixture
def dataset(npy_mags, tmp_path, source):
    run("auto", source, tmp_path / "npy", "--voxel-size", "4,4,35", "--to", "npy-mags", "-q")
    return tmp_path / "npy"


@pytest.fixture
def wkw(npy_mags, tmp_path, source):
    run("auto", source, tmp_path / "wkw", "--voxel-size", "4,4,35", "-q")
    return tmp_path / "wkw"


def test_it_is_what_the_contract_asks_for(npy_mags, dataset):
    assert [one.name for one in npy_mags.wkconvert_mag_formats()] == ["npy-mags"]
    form: MagFormat = plugins().mag_formats()["npy-mags"]
    assert isinstance(form.open(dataset / "color" / "1"), StoredMag)
    assert json.loads(run("plugins", "--json"))["formats"]["npy-mags"] == "cubes as numpy.save writes them"


def test_auto_writes_it_and_every_mag_is_that_of_wkw(dataset, wkw):
    assert layers_of(dataset)["color"]["dataFormat"] == "npy-mags"
    assert not list(dataset.rglob("*.wkw"))
    ours, theirs = every_mag(dataset), every_mag(wkw)
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])


def test_check_equality_compares_different_formats(dataset, wkw):
    assert check_equality(dataset, wkw).equal
    (dataset / "color" / "1" / "0_0_0.npy").unlink()
    found = check_equality(wkw, dataset)
    assert found.mags[0].difference.place == (0, 0, 0)
    run("check-equality", dataset, wkw, "-q", code=1)


def test_verify_finds_what_is_damaged(dataset):
    found = verify(dataset, deep=True)
    assert found.sound
    assert [mag.kernel for mag in found.mags] == [None, "median", "median"]
    assert all(mag.checksums_compared == mag.shards for mag in found.mags)
    shard = dataset / "color" / "1" / "1_0_0.npy"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [problem.path for problem in verify(dataset).damaged] == [shard]
    shard.unlink()
    assert "missing" in verify(dataset).damaged[0].reason


def test_new_mags_take_the_layers_own_format(dataset, tmp_path):
    run("downsample", dataset, "--max-mag", "8", "-q")
    assert (dataset / "color" / "8-8-1" / "mag.json").exists()
    assert verify(dataset).sound
    shutil.rmtree(dataset / "color" / "1")
    properties = json.loads((dataset / NAME).read_text())
    properties["dataLayers"][0]["mags"] = properties["dataLayers"][0]["mags"][1:]
    (dataset / NAME).write_text(json.dumps(properties))
    run("upsample", dataset, "--target-mag", "1", "-q")
    coarse = read(dataset, mag="2-2-1")
    np.testing.assert_array_equal(read(dataset), coarse.repeat(2, 1).repeat(2, 2)[:, :70, :50])


def test_cube_metadata_and_compress(npy_mags, source, tmp_path):
    run("cube", source, tmp_path / "ds", "--to", "npy-mags", "--to-option", "side=64", "-q")
    assert json.loads((tmp_path / "ds" / "color" / "1" / "mag.json").read_text())["compression"] == "none"
    run("metadata", tmp_path / "ds", "--voxel-size", "4,4,35", "-q")
    before = read(tmp_path / "ds")
    run("compress", tmp_path / "ds", "-q")
    assert json.loads((tmp_path / "ds" / "color" / "1" / "mag.json").read_text())["compression"] == "zlib"
    np.testing.assert_array_equal(read(tmp_path / "ds"), before)
    assert verify(tmp_path / "ds").sound


def test_recube_copies_it_and_info_describes_it(dataset, tmp_path):
    run("recube", dataset, tmp_path / "copy", "--to-option", "side=64", "--dtype", "uint16", "-q")
    told = json.loads(run("info", tmp_path / "copy", "--json"))
    assert [(mag["mag"], mag["dtype"], mag["shard_side"], mag["compression"]) for mag in told["stored"]] == [
        ("1", "uint16", 64, "zlib"),
        ("2-2-1", "uint16", 64, "zlib"),
        ("4-4-1", "uint16", 64, "zlib"),
    ]
    np.testing.assert_array_equal(read(tmp_path / "copy"), read(dataset))


def test_recube_writes_another_format_and_back_nothing_has_changed(npy_mags, wkw, tmp_path):
    properties = json.loads((wkw / NAME).read_text())
    properties["theirs"] = 1
    properties["dataLayers"][0] |= {"note": "mine", "defaultViewConfiguration": {"color": [1, 2, 3]}}
    (wkw / NAME).write_text(json.dumps(properties))
    run("recube", wkw, tmp_path / "npy", "--to", "npy-mags", "--name", "wkw", "-q")
    copy = json.loads((tmp_path / "npy" / NAME).read_text())
    assert not list((tmp_path / "npy").rglob("*.wkw"))
    assert copy["dataLayers"][0]["dataFormat"] == "npy-mags"
    assert not any("cubeLength" in mag for mag in copy["dataLayers"][0]["mags"])
    run("check-equality", wkw, tmp_path / "npy", "-q")
    run("recube", tmp_path / "npy", tmp_path / "kept", "-q")
    assert layers_of(tmp_path / "kept")["color"]["dataFormat"] == "npy-mags"
    run("recube", tmp_path / "npy", tmp_path / "back", "--to", "wkw", "--name", "wkw", "-q")
    run("check-equality", wkw, tmp_path / "back", "-q")
    assert json.loads((tmp_path / "back" / NAME).read_text()) == json.loads((wkw / NAME).read_text())
    ours, theirs = every_mag(wkw), every_mag(tmp_path / "back")
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])


def test_a_copy_in_another_format_is_not_continued_in_a_third_and_unknown_ones_are_listed(dataset, tmp_path):
    run("recube", dataset, tmp_path / "copy", "-q")
    with pytest.raises(TargetExists):  # `wkw` is what --to would be for `auto`
        run("recube", dataset, tmp_path / "copy", "--to", "wkw", "-q")
    run("recube", dataset, tmp_path / "copy", "--to", "wkw", "--overwrite", "-q")
    assert layers_of(tmp_path / "copy")["color"]["dataFormat"] == "wkw"
    with pytest.raises(OptionError, match=r"--to tiff is no installed mag format\. take one of npy-mags, wkw"):
        run("recube", dataset, tmp_path / "other", "--to", "tiff", "-q")


def test_a_layer_is_exported_and_converted(dataset, wkw, tmp_path):
    pytest.importorskip("wkconvert_tiff")
    run("export-tiff", dataset, tmp_path / "slices", "-q")
    run("export-tiff", wkw, tmp_path / "others", "-q")
    assert len(files(tmp_path / "slices")) > 40
    for name in (name for name in files(tmp_path / "slices") if name.endswith(".tif")):
        assert (tmp_path / "slices" / name).read_bytes() == (tmp_path / "others" / name).read_bytes()
    run("auto", dataset, tmp_path / "again", "-q")
    assert check_equality(tmp_path / "again", wkw).equal


def test_layers_of_both_formats_in_one_dataset(dataset, source):
    run("auto", source, dataset, "--add", "--layer-name", "other", "-q")
    assert {layer["dataFormat"] for layer in layers_of(dataset).values()} == {"npy-mags", "wkw"}
    run("downsample", dataset, "--max-mag", "8", "-q")
    assert {mag.mag for mag in verify(dataset).mags} == {Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 1), Mag(8, 8, 1)}
    assert verify(dataset).sound
    assert {mag["mag"] for mag in json.loads(run("info", dataset, "--json"))["stored"]} == {
        "1",
        "2-2-1",
        "4-4-1",
        "8-8-1",
    }


def test_without_the_plugin_the_layer_is_left_alone(dataset, source, monkeypatch):
    run("auto", source, dataset, "--add", "--layer-name", "other", "-q")
    known = plugins().mag_formats()
    monkeypatch.setattr(type(plugins()), "mag_formats", lambda self: {"wkw": known["wkw"]})
    assert [mag["layer"] for mag in json.loads(run("info", dataset, "--json"))["stored"]] == ["other"] * 3
    found = verify(dataset)
    assert {mag.layer for mag in found.mags} == {"other"}
    assert "layer color is left alone" in found.notes[0]
    with pytest.raises(UnsupportedSource, match="layer color"):
        verify(dataset, layers=["color"])
    properties = json.loads((dataset / NAME).read_text())
    properties["dataLayers"] = properties["dataLayers"][:1]
    (dataset / NAME).write_text(json.dumps(properties))
    with pytest.raises(UnsupportedSource, match="nothing to work on"):  # where nothing can be checked, nothing is sound
        run("verify", dataset, "-q")


def test_a_killed_run_goes_on_and_ends_as_if_undisturbed(npy_mags, source, tmp_path):
    whole = replace(SETTINGS, to="npy-mags", strategy="sequential", max_mag=1)
    convert(source, tmp_path / "whole" / "ds", whole)
    child = os.fork()
    if child == 0:
        writes, real = [], npy_mags.NpySink.write

        def write(self, box, data):
            if len(writes) == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            writes.append(box)
            return real(self, box, data)

        npy_mags.NpySink.write = write
        try:
            convert(source, tmp_path / "cut" / "ds", whole)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert not (tmp_path / "cut" / "ds" / NAME).exists()
    done = convert(source, tmp_path / "cut" / "ds", whole)
    assert done.resumed == 5
    names = files(tmp_path / "whole")
    assert files(tmp_path / "cut") == names
    for name in names - {"ds/.wkconvert/lock"}:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
