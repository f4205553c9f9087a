"""`verify --with`: what a library reads that is not ours is compared voxel by voxel, and is never the last word."""

import numpy as np
import pytest
from helpers.conversions import dataset_of, invoke

from wkconvert_core import DTYPES, OptionError
from wkconvert_core.commands.verify import verify
from wkconvert_core.formats.wkw import Wkw
from wkconvert_core.inspection import second_reading
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise

pytest.importorskip("wkw")
needs_zarr = pytest.mark.skipif("zarr" not in plugins().formats(), reason="wkconvert-zarr is not installed")


@pytest.fixture
def dataset(tmp_path):
    def make(dtype="uint8", **more):
        return dataset_of(tmp_path / "ds", noise(70, 60, 40, dtype=dtype), top_left=(5, 40, 33), **more)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_the_reference_library_reads_the_same_voxels_of_every_mag(dataset, dtype, compression):
    found = verify(dataset(dtype, compression=compression, downsample=True, max_mag=2), second_reader="wkw")
    assert found.sound
    assert [(str(mag.mag), mag.second_reader) for mag in found.mags] == [("1", "wkw"), ("2-2-1", "wkw")]
    assert [mag.second_reader_voxels for mag in found.mags] == [70 * 60 * 40, 36 * 30 * 40]


def test_a_voxel_that_it_reads_otherwise_is_damage(dataset, monkeypatch):
    path, read = dataset(), Wkw.read_by_library

    def other(self, mag, box):
        voxels = read(self, mag, box)
        voxels[0, 3, 2, 1] += 1
        return voxels

    monkeypatch.setattr(Wkw, "read_by_library", other)
    found = verify(path, second_reader="wkw")
    assert "wkw reads other voxels than wkconvert: 1 voxel differs" in found.damaged[0].reason
    assert "x 8, y 42, z 34" in found.damaged[0].reason
    assert found.mags[0].second_reader is None
    assert invoke("verify", path, "--with", "wkw").exit_code == 1


def test_what_it_cannot_read_is_told_by_name(dataset, monkeypatch):
    def fails(self, mag, box):
        raise RuntimeError("no such block")

    monkeypatch.setattr(Wkw, "read_by_library", fails)
    (problem,) = verify(dataset(), second_reader="wkw").damaged
    assert "wkw does not read" in problem.reason
    assert "RuntimeError: no such block" in problem.reason


def test_a_damaged_mag_is_our_finding_and_the_library_is_not_asked(dataset, monkeypatch):
    path, asked = dataset(compression="lz4"), []
    monkeypatch.setattr(Wkw, "read_by_library", lambda *given: asked.append(given))
    shard = next((path / "em/1").rglob("x*.wkw"))
    content = bytearray(shard.read_bytes())
    content[16:24] = bytes(8)  # in the jump table
    shard.write_bytes(content)
    found = verify(path, second_reader="wkw")
    assert [problem.path for problem in found.damaged] == [shard]
    assert found.mags[0].second_reader is None
    assert asked == []


def test_the_command_line_says_who_else_reads_it(dataset):
    path = dataset()
    assert "em mag 1: 1 shard, 1 checksum compared, wkw reads the same voxels" in invoke(
        "verify", path, "--with", "wkw"
    ).stdout.replace("\n", " ")
    assert "wkw" not in invoke("verify", path).stdout


def test_a_library_that_is_unknown_or_missing_is_refused(dataset, monkeypatch):
    path = dataset()
    with pytest.raises(OptionError, match="--with wwk is no second reader"):
        verify(path, second_reader="wwk")
    monkeypatch.setattr(second_reading, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match="pip install wkw"):
        verify(path, second_reader="wkw")


@needs_zarr
def test_mags_of_other_formats_are_told(tmp_path, dataset):
    pytest.importorskip("zarr")
    path = dataset()
    np.save(tmp_path / "more.npy", np.zeros((4, 5, 6), "uint8"))
    more = (
        "--layer-name",
        "more",
        "--category",
        "color",
        "--voxel-size",
        "4,4,35",
        "-o",
        "axes=zyx",
        "--no-downsample",
    )
    assert invoke("auto", tmp_path / "more.npy", path, "--add", "--to", "zarr3", *more).exit_code == 0
    found = verify(path, second_reader="wkw")
    assert found.sound
    assert "not read by wkw, which knows other formats: more mag 1" in found.notes
    with pytest.raises(OptionError, match="reads none of these mags"):
        verify(path, second_reader="wkw", layers=["more"])
    found = verify(path, second_reader="zarr")
    assert found.sound
    assert {mag.layer: mag.second_reader for mag in found.mags} == {"em": None, "more": "zarr"}
