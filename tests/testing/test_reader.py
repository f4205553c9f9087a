"""Calling a plugin's hooks in its own tests, and the voxels for them."""

import types
from dataclasses import dataclass, replace

import numpy as np
import pytest
from helpers.sources import InMemory

from wkconvert_core import Box, Confidence, Layer, Mag, Match
from wkconvert_core.testing import ContractViolation, Reader, noise, read_checked


def plugin(layers=1, **more):
    def wkconvert_detect(head, options):
        return Match(options.get("as", "good"), Confidence.EXACT, head.decode())

    def wkconvert_open(format, path, options):
        made = [Layer({Mag(1, 1, 1): InMemory(noise(2, 3, 4, 5))}, options.get("name", "a")) for _ in range(layers)]
        return made if format == "good" else None

    return types.SimpleNamespace(
        __name__="ours", wkconvert_detect=wkconvert_detect, wkconvert_open=wkconvert_open, **more
    )


def test_hooks_get_what_core_gives_them(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 5000)
    reader = Reader(plugin())
    assert reader.detect(tmp_path / "a").reason == "x" * 4096
    assert reader.detect(tmp_path).reason == ""
    assert reader.layer(tmp_path, name=5).name == "5"
    np.testing.assert_array_equal(reader.voxels(tmp_path / "a"), noise(2, 3, 4, 5))


def test_the_reader_is_the_one_that_was_named_or_detected(tmp_path):
    assert Reader(plugin(), "good").source(tmp_path, **{"as": "bad"}).info.channels == 2
    with pytest.raises(AssertionError, match=r"ours does not open .* as bad"):
        Reader(plugin()).layers(tmp_path, **{"as": "bad"})


def test_the_only_layer_is_the_only_one(tmp_path):
    assert len(Reader(plugin(layers=2)).layers(tmp_path)) == 2
    with pytest.raises(AssertionError, match=r"has the layers \['a', 'a'\]"):
        Reader(plugin(layers=2)).layer(tmp_path)


def test_a_source_whose_parts_differ_from_the_whole_is_caught():
    @dataclass(frozen=True)
    class Shifted(InMemory):
        def read(self, box):
            found = super().read(box)
            return found if box == self.info.box else np.roll(found, 1)

    @dataclass(frozen=True)
    class Stream(InMemory):
        boxes: tuple = (Box((0, 0, 0), (3, 4, 2)), Box((0, 0, 2), (3, 4, 3)))

        def stream(self):
            return ((box, self.read(box)) for box in self.boxes)

    voxels = noise(2, 3, 4, 5)
    np.testing.assert_array_equal(read_checked(Stream(voxels)), voxels)
    with pytest.raises(ContractViolation, match="is not that part"):
        read_checked(Shifted(voxels))
    with pytest.raises(ContractViolation, match="does not yield the voxel"):
        read_checked(replace(Stream(voxels), boxes=Stream.boxes[:1]))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint64", "int64", "float32", "float64", "complex64"])
def test_noise_is_the_same_each_time_and_of_the_whole_range(dtype):
    values = noise(30, 20, dtype=dtype)
    assert values.dtype == dtype
    assert values.shape == (30, 20)
    assert len(np.unique(values)) > (1 if dtype == "bool" else 200)
    np.testing.assert_array_equal(values, noise(30, 20, dtype=dtype))
    assert (values != noise(30, 20, dtype=dtype, seed=1)).any()
    if values.dtype.kind in "iu":
        assert (values.min(), values.max()) == (np.iinfo(dtype).min, np.iinfo(dtype).max)
        assert (noise(30, 20, dtype=dtype, zeros=False) != 0).all()
