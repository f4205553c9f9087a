"""Adding coarser mags to datasets that are there, by us and by others."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import paths
from helpers.conversions import (
    JOBS,
    PROPERTIES,
    SETTINGS,
    carry_out,
    edited,
    files,
    layers_of,
    mags_of,
    random_voxels,
    read,
)

from wkconvert_core import Box, Mag, OptionError, SourceNotFound
from wkconvert_core.commands.downsample import prepare
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.errors import TargetExists
from wkconvert_core.conversion.execute import convert
from wkconvert_core.engine.consumers import WriteShards

SAMPLES = paths.SAMPLES


def downsample(dataset, settings=JOBS, **options):
    return carry_out(prepare(dataset, settings, **options))


def finest_mag(folder, reader):
    reader(folder / "src", random_voxels())
    convert(folder / "src", folder / "ds", replace(SETTINGS, downsample=False, name="ds"))


@pytest.fixture
def finest(tmp_path, reader, put_copy):
    """A dataset of mag 1 alone, beside the stack `src`."""
    put_copy(finest_mag, tmp_path)
    return tmp_path / "ds"


def test_the_mags_are_those_of_auto(tmp_path, finest):
    convert(tmp_path / "src", tmp_path / "auto", replace(SETTINGS, name="ds"))
    before = {name: (finest / "color" / "1" / name).read_bytes() for name in files(finest / "color" / "1")}
    done = downsample(finest)
    assert [spec.mag for spec in done.layers[0].mags] == [(2, 2, 1), (4, 4, 1)]
    for name in files(tmp_path / "auto" / "color"):
        assert (finest / "color" / name).read_bytes() == (tmp_path / "auto" / "color" / name).read_bytes()
    assert layers_of(finest) == layers_of(tmp_path / "auto")
    assert before == {name: (finest / "color" / "1" / name).read_bytes() for name in before}


def test_mags_can_be_added_bit_by_bit_and_what_is_there_stays(tmp_path, finest):
    downsample(finest, replace(JOBS, max_mag=2, interpolation_mode="min"))
    smallest = read(finest, mag="2-2-1")
    downsample(finest, replace(JOBS, interpolation_mode="max"))
    assert mags_of(finest) == ["1-1-1", "2-2-1", "4-4-1"]
    np.testing.assert_array_equal(read(finest, mag="2-2-1"), smallest)
    cells = smallest[:, :74, :64].reshape(1, 37, 2, 32, 2, 70)
    np.testing.assert_array_equal(read(finest, mag="4-4-1")[:, :37, :32], cells.max(axis=(2, 4)))
    assert downsample(finest).layers == []


def test_one_may_begin_at_any_mag(finest):
    downsample(finest, replace(JOBS, max_mag=2))
    (finest / "color" / "1" / "header.wkw").rename(finest / "header.wkw")
    with pytest.raises(Exception, match="header"):
        prepare(finest, JOBS)
    (finest / "header.wkw").rename(finest / "color" / "1" / "header.wkw")
    steps = prepare(finest, replace(JOBS, max_mag=8), start=Mag(2, 2, 1)).steps
    assert [sink.spec.mag for planned in steps for sink in planned.step.sinks] == [(4, 4, 1), (8, 8, 1)]
    assert steps[0].step.source.factor == (2, 2, 1)


def test_an_existing_mag_in_between_is_what_the_next_is_made_of(finest):
    downsample(finest, replace(JOBS, max_mag=4, interpolation_mode="min"))
    with edited(finest) as properties:
        properties["dataLayers"][0]["mags"].pop(1)
    shutil.rmtree(finest / "color" / "2-2-1")
    fourth = read(finest, mag="4-4-1")
    downsample(finest, replace(JOBS, max_mag=8, interpolation_mode="max"))
    assert mags_of(finest) == ["1-1-1", "2-2-1", "4-4-1", "8-8-1"]
    np.testing.assert_array_equal(read(finest, mag="4-4-1"), fourth)
    cells = fourth[:, :36, :32].reshape(1, 18, 2, 16, 2, 70)
    np.testing.assert_array_equal(read(finest, mag="8-8-1")[:, :18, :16], cells.max(axis=(2, 4)))


def test_a_mag_that_is_replaced_while_a_coarser_one_is_made_of_it_is_noticed(finest):
    downsample(finest, replace(JOBS, max_mag=2))
    before = prepare(finest, replace(JOBS, max_mag=4)).request
    os.utime(finest / "color" / "2-2-1" / "header.wkw", (1, 1))
    after = prepare(finest, replace(JOBS, max_mag=4)).request
    assert before.fingerprint != after.fingerprint
    assert replace(after, fingerprint=before.fingerprint) == before


def test_the_rest_of_the_metadata_stays(finest):
    with edited(finest) as properties:
        properties["dataLayers"][0] |= {"mine": 1, "defaultViewConfiguration": {"color": [1, 2, 3]}}
        properties["dataLayers"][0]["boundingBox"]["width"] -= 1
    downsample(finest)
    layer = layers_of(finest)["color"]
    assert (layer["mine"], layer["defaultViewConfiguration"]) == (1, {"color": [1, 2, 3]})
    assert layer["boundingBox"] == properties["dataLayers"][0]["boundingBox"]


def test_ids_keep_their_largest(tmp_path, reader):
    ids = np.zeros((1, 64, 64, 64), "uint64")
    ids[0, 5, 5, 5] = 2**63 + 5
    settings = replace(SETTINGS, downsample=False, category="segmentation")
    convert(reader(tmp_path / "src", ids), tmp_path / "ds", settings)
    known = layers_of(tmp_path / "ds")["segmentation"]["largestSegmentId"]
    downsample(tmp_path / "ds")
    assert layers_of(tmp_path / "ds")["segmentation"]["largestSegmentId"] == known == 2**63 + 5
    assert read(tmp_path / "ds", "segmentation", "2-2-1").max() == 0


def test_layers_can_be_chosen_and_share_their_mags(tmp_path, reader):
    reader(tmp_path / "src" / "a", random_voxels((300, 300, 40)))
    reader(tmp_path / "src" / "b", random_voxels((300, 300, 1)))
    convert(tmp_path / "src", tmp_path / "ds", replace(SETTINGS, downsample=False))
    isotropic = replace(JOBS, sampling_mode="isotropic")
    downsample(tmp_path / "ds", isotropic, names=["a"])
    assert (mags_of(tmp_path / "ds", "a"), mags_of(tmp_path / "ds", "b")) == (["1-1-1", "2-2-2", "4-4-4"], ["1-1-1"])
    downsample(tmp_path / "ds")
    assert mags_of(tmp_path / "ds", "b") == ["1-1-1", "2-2-2", "4-4-4"]


@pytest.mark.slow
def test_a_run_that_ends_early_goes_on(tmp_path, finest, monkeypatch):
    shutil.copytree(finest, tmp_path / "whole")
    downsample(tmp_path / "whole", replace(JOBS, interpolation_mode="bicubic"))
    write, left = WriteShards.__call__, [1]

    def fails_soon(self, *args):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("stop")
        return write(self, *args)

    metadata = (finest / PROPERTIES).read_text()
    with monkeypatch.context() as patch:
        patch.setattr(WriteShards, "__call__", fails_soon)
        with pytest.raises(RuntimeError):
            downsample(finest, replace(JOBS, interpolation_mode="bicubic", jobs=1))
    assert (finest / PROPERTIES).read_text() == metadata
    with pytest.raises(TargetExists, match=r"2-2-1 is there, but not listed"):
        downsample(finest, replace(JOBS, interpolation_mode="min"))
    assert downsample(finest, replace(JOBS, interpolation_mode="bicubic")).resumed > 0
    assert files(finest) == files(tmp_path / "whole")
    for name in files(finest / "color"):
        assert (finest / "color" / name).read_bytes() == (tmp_path / "whole" / "color" / name).read_bytes()


def test_a_run_that_ends_before_the_metadata_has_nothing_left_to_make(finest):
    file = finest / PROPERTIES
    before = file.read_text()
    downsample(finest, replace(JOBS, max_mag=4))
    after = file.read_text()
    file.write_text(before)
    done = downsample(finest, replace(JOBS, max_mag=4))
    assert (done.resumed, file.read_text()) == (done.shards, after)
    assert len(list((finest / ".wkconvert").glob("*.plan"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["median", "max"])
@pytest.mark.parametrize("killed_at", [0, 1, 2, 3])
def test_the_record_of_a_mag_that_stays_survives_a_kill_while_it_is_set_aside(finest, monkeypatch, kernel, killed_at):
    downsample(finest, replace(JOBS, max_mag=4, interpolation_mode="median"))
    whole = (finest / ".wkconvert/color.downsample-2-2-1.shards").read_bytes()
    with edited(finest) as properties:
        properties["dataLayers"][0]["mags"].pop(1)
    shutil.rmtree(finest / "color" / "2-2-1")
    calls, real = [], {name: getattr(Path, name) for name in ("replace", "unlink")}

    def dying(name):
        def call(path, *rest, **options):
            if "downsample" in path.name:
                calls.append(name)
                if len(calls) > killed_at:
                    raise KeyboardInterrupt
            return real[name](path, *rest, **options)

        return call

    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(Path, name, dying(name))
        with pytest.raises(KeyboardInterrupt):
            downsample(finest, replace(JOBS, max_mag=4, interpolation_mode=kernel))
    downsample(finest, replace(JOBS, max_mag=4, interpolation_mode=kernel))
    kept = [path for path in (finest / ".wkconvert").glob("color.downsample-2-2-1-*") if path.suffix == ".shards"]
    assert [path.read_bytes() for path in kept] == [whole]
    assert kept[0].with_suffix(".plan").exists()
    assert list((finest / ".wkconvert").glob(".*")) == []
    found = verify(finest, JOBS)
    assert found.sound
    assert [mag.checksums_compared for mag in found.mags] == [mag.shards for mag in found.mags]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"names": ["colour"]}, OptionError, "--layer-name colour is not in"),
        ({"start": Mag(2, 2, 1)}, OptionError, "--from-mag 2-2-1 is not in the layer"),
    ],
)
def test_what_is_not_there_is_refused(finest, options, error, message):
    with pytest.raises(error, match=message) as caught:
        prepare(finest, JOBS, **options)
    assert caught.value.fix


def test_what_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(SourceNotFound, match="is no finished dataset"):
        prepare(tmp_path, JOBS)


@paths.needs_samples
def test_datasets_of_others_get_mags(tmp_path):
    wkw = pytest.importorskip("wkw")
    shutil.copytree(SAMPLES / "wkw" / "simple_wkw_dataset", tmp_path / "ds")
    downsample(tmp_path / "ds", replace(JOBS, max_mag=2))
    layer = layers_of(tmp_path / "ds")["color"]
    box = Box(
        tuple(layer["boundingBox"]["topLeft"]), tuple(layer["boundingBox"][k] for k in ("width", "height", "depth"))
    )
    mag = Mag(*layer["mags"][-1]["mag"])
    coarse = box.coarsened(mag)
    with wkw.Dataset.open(str(tmp_path / "ds" / "color" / "1")) as fine:
        cells = fine.read(box.start, box.shape)
    with wkw.Dataset.open(str(tmp_path / "ds" / "color" / str(mag))) as made:
        found = made.read(coarse.start, coarse.shape)
    assert all(start % m == 0 and n % m == 0 for start, n, m in zip(box.start, box.shape, mag, strict=True))
    c, x, y, z = found.shape
    blocks = cells.reshape(c, x, mag.x, y, mag.y, z, mag.z).transpose(0, 1, 3, 5, 2, 4, 6).reshape(c, x, y, z, -1)
    np.testing.assert_array_equal(found, np.median(blocks, axis=-1).astype(found.dtype))
