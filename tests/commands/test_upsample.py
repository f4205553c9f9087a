"""Finer mags of coarser ones: every voxel is the one in which it lies, no hole at any factor."""

import json
from dataclasses import replace

import numpy as np
import pytest
import wkw
from helpers.conversions import JOBS, PROPERTIES, SETTINGS, carry_out, layers_of, mags_of, read
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from wkconvert_core import Box, Mag, OptionError, SourceNotFound
from wkconvert_core.cli.app import app
from wkconvert_core.commands.upsample import Upsampled, prepare
from wkconvert_core.commands.verify import verify
from wkconvert_core.conversion.execute import convert
from wkconvert_core.formats.wkw.source import WkwSource


def upsample(dataset, settings=JOBS, **options):
    return carry_out(prepare(dataset, settings, **options))


def ids(shape=(75, 66, 33)):
    return np.random.default_rng(0).integers(1, 2**63, (1, *shape), dtype=np.uint64)


def coarse_labels(folder, reader):
    reader(folder / "src", ids())
    labels = replace(SETTINGS, layer_name="labels", category="segmentation", target_mag=Mag(4, 4, 2), max_mag=8)
    convert(folder / "src", folder / "ds", labels)


@pytest.fixture
def coarse(tmp_path, reader, put_copy):
    """A layer of labels whose finest mag is 4-4-2."""
    put_copy(coarse_labels, tmp_path)
    return tmp_path / "ds"


@pytest.mark.parametrize("mags", [(Mag(1, 1, 1), Mag(2, 2, 1)), (Mag(2, 2, 1),)])
def test_every_voxel_is_the_coarse_one_in_which_it_lies(coarse, mags):
    before = read(coarse, "labels", "4-4-2")
    upsample(coarse, replace(JOBS, target_mag=mags[0]))
    assert mags_of(coarse, "labels") == ["-".join(map(str, mag)) for mag in (*mags, (4, 4, 2), (8, 8, 2))]
    shape = 75, 66, 33
    for mag in mags:
        found = wkw.Dataset.open(str(coarse / "labels" / str(mag)))
        size = [-(-n // m) for n, m in zip(shape, mag, strict=True)]
        x, y, z = np.indices(size)
        factor = [4 // mag.x, 4 // mag.y, 2 // mag.z]
        expected = before[:, x // factor[0], y // factor[1], z // factor[2]]
        np.testing.assert_array_equal(found.read((0, 0, 0), size), expected)
        assert expected.all()
        found.close()
    np.testing.assert_array_equal(read(coarse, "labels", "4-4-2"), before)
    assert verify(coarse).sound


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_box_of_any_extent_and_factor_is_what_repeating_gives(tmp_path_factory, data):
    from helpers.npy_volumes import FileSource

    factor = data.draw(st.tuples(*[st.sampled_from([1, 2, 4, 8])] * 3))
    start = data.draw(st.tuples(*[st.integers(0, 20)] * 3))
    shape = data.draw(st.tuples(*[st.integers(1, 30)] * 3))
    extent = Box(start, shape)
    coarse = extent.coarsened(factor)
    voxels = np.random.default_rng(1).integers(0, 255, (2, *coarse.shape), dtype=np.uint8)
    source = FileSource.make(tmp_path_factory.mktemp("up") / "volume.npy", voxels, offset=coarse.start)
    begin = data.draw(st.tuples(*(st.integers(0, n - 1) for n in shape)))
    size = data.draw(st.tuples(*(st.integers(1, n - b) for n, b in zip(shape, begin, strict=True))))
    places = [
        (np.arange(b + s, b + s + n)) // f - c
        for b, s, n, f, c in zip(begin, start, size, factor, coarse.start, strict=True)
    ]
    expected = voxels[np.ix_(range(2), *places)]
    np.testing.assert_array_equal(Upsampled(source, extent, factor).read(Box(begin, size)), expected)


def test_the_mags_of_other_layers_are_taken(tmp_path, coarse, reader):
    em = reader(tmp_path / "em", np.ones((1, 75, 66, 33), np.uint8))
    convert(em, coarse, replace(SETTINGS, layer_name="em", category="color", add=True, max_mag=4))
    mags = [mag["mag"] for mag in layers_of(coarse)["em"]["mags"]]
    upsample(coarse, names=["labels"])
    assert [mag["mag"] for mag in layers_of(coarse)["labels"]["mags"]][:3] == mags


def test_the_extent_and_the_rest_of_the_metadata_stay(coarse):
    file = coarse / PROPERTIES
    properties = json.loads(file.read_text())
    properties["dataLayers"][0] |= {"mine": 1}
    properties["dataLayers"][0]["boundingBox"]["width"] = 74
    file.write_text(json.dumps(properties))
    upsample(coarse)
    layer = json.loads(file.read_text())["dataLayers"][0]
    assert (layer["mine"], layer["boundingBox"]["width"]) == (1, 74)
    assert read(coarse, "labels", "1").shape == (1, 74, 66, 33)
    assert layer["largestSegmentId"] == properties["dataLayers"][0]["largestSegmentId"]


def test_one_may_begin_at_any_mag(coarse):
    upsample(coarse, replace(JOBS, target_mag=Mag(2, 2, 1)), start=Mag(8, 8, 2))
    eighth, second = read(coarse, "labels", "8-8-2"), read(coarse, "labels", "2-2-1")
    np.testing.assert_array_equal(second[:, ::4, ::4, ::2], eighth)
    assert mags_of(coarse, "labels") == ["2-2-1", "4-4-2", "8-8-2"]


def test_again_does_nothing_and_an_interrupted_run_goes_on_in_a_dataset_that_was_moved(coarse, monkeypatch):
    real, count = WkwSource.read, []

    def fails(self, box):
        count.append(box)
        if len(count) > 1:
            raise KeyboardInterrupt
        return real(self, box)

    monkeypatch.setattr(WkwSource, "read", fails)
    few = replace(JOBS, strategy="sequential", file_len=1)
    with pytest.raises(KeyboardInterrupt):
        upsample(coarse, few)
    monkeypatch.undo()
    assert mags_of(coarse, "labels") == ["4-4-2", "8-8-2"]
    moved = coarse.rename(coarse.with_name("moved"))
    assert upsample(moved, few).resumed > 0
    assert mags_of(moved, "labels") == ["1-1-1", "2-2-1", "4-4-2", "8-8-2"]
    assert upsample(moved, few).layers == []
    assert verify(moved).sound


def test_what_is_not_finer_is_refused(coarse, tmp_path):
    with pytest.raises(OptionError, match="not finer than mag 4-4-2"):
        prepare(coarse, replace(JOBS, target_mag=Mag(8, 8, 4)))
    with pytest.raises(OptionError, match="--from-mag 16 is not in the layer"):
        prepare(coarse, JOBS, start=Mag(16, 16, 16))
    with pytest.raises(SourceNotFound):
        prepare(tmp_path, JOBS)


def test_the_command(coarse):
    result = CliRunner().invoke(app, ["upsample", str(coarse), "--target-mag", "2-2-1", "--compression", "none", "-q"])
    assert result.exit_code == 0
    assert mags_of(coarse, "labels") == ["2-2-1", "4-4-2", "8-8-2"]
    assert (coarse / "labels/2-2-1/header.wkw").read_bytes()[5] == 1
