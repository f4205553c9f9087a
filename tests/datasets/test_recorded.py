"""Damage of recorded shards is no voxel: every command that reads them compares their checksums."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.conversions import JOBS, SETTINGS, carry_out, em, every_mag
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import Box, DamagedData, Mag
from wkconvert_core.commands import compress, downsample, export, recube, upsample
from wkconvert_core.commands.metadata import Wanted, update
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.datasets.reader import layers_of
from wkconvert_core.datasets.recorded import compared

COMMANDS = {
    "auto": lambda ds, out: convert(ds, out, SETTINGS),
    "auto of a part": lambda ds, out: convert(ds, out, replace(SETTINGS, bbox=Box((3, 3, 3), (90, 63, 60)))),
    "recube": lambda ds, out: carry_out(recube.prepare(ds, out, JOBS)),
    "recube into small shards": lambda ds, out: carry_out(recube.prepare(ds, out, replace(JOBS, file_len=1))),
    "recube into large shards": lambda ds, out: carry_out(recube.prepare(ds, out, replace(JOBS, file_len=8))),
    "recube to another dtype": lambda ds, out: carry_out(recube.prepare(ds, out, replace(JOBS, dtype="uint16"))),
    "compress in place": lambda ds, out: carry_out(compress.prepare(ds, None, JOBS)),
    "compress a copy": lambda ds, out: carry_out(compress.prepare(ds, out, JOBS)),
    "downsample": lambda ds, out: carry_out(downsample.prepare(ds, JOBS)),
    "downsample by bicubic": lambda ds, out: carry_out(
        downsample.prepare(ds, replace(JOBS, interpolation_mode="bicubic"))
    ),
    "export-tiff": lambda ds, out: carry_out(export.prepare(ds, out, JOBS)),
    "in processes": lambda ds, out: carry_out(recube.prepare(ds, out, Settings(jobs=2, strategy="multiprocessing"))),
}
EACH = [pytest.param(name, marks=[pytest.mark.slow] * (name == "in processes")) for name in COMMANDS]
SHAPE = (130, 66, 66)


@pytest.fixture(scope="module", params=["none", "lz4"])
def original(request, tmp_path_factory, make_reader):
    """Three shards along x, two along y and z, the last ones cut by the extent."""
    folder = tmp_path_factory.mktemp("original")
    source = make_reader(folder / "src", em(SHAPE))
    convert(source, folder / "ds", replace(SETTINGS, compression=request.param, file_len=2, downsample=False))
    return folder / "ds"


@pytest.fixture(scope="module")
def make_reader():
    from helpers import npy_volumes

    with npy_volumes.registered() as make_folder:
        yield make_folder


def copied(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "ds"))


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def is_compressed(ds):
    return Dataset.finished(ds).mags[0].open().compression != "none"


def shard(ds, start):
    z, y, x = (n // 64 for n in reversed(start))
    return ds / f"color/1/z{z}/y{y}/x{x}.wkw"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_sound_shards_are_read_as_ever(original, tmp_path, command):
    ds, out, voxels = copied(original, tmp_path), tmp_path / "out", em(SHAPE)
    COMMANDS[command](ds, out)
    mag = Dataset.finished(out if (out / PROPERTIES_FILE).exists() else ds).mags[0].open()
    expected = voxels[:, 3:93, 3:66, 3:63] if command == "auto of a part" else voxels
    assert np.array_equal(mag.read(mag.info.box), expected)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["first", "edge", "padding"])
@pytest.mark.parametrize("command", EACH)
def test_a_flipped_bit_ends_every_command(original, tmp_path, command, where):
    """Also in the part of a shard beyond the extent, which nobody decodes."""
    ds = copied(original, tmp_path)
    if (command == "compress in place" and is_compressed(ds)) or (command == "auto of a part" and where != "first"):
        pytest.skip("it does not read that shard")
    path = shard(ds, (0, 0, 0) if where == "first" else (128, 64, 64))
    flip(path, -1 if where == "padding" else len(path.read_bytes()) // 2 if where == "first" else 100 + 16 + 8 * 8)
    with pytest.raises(DamagedData, match=r"x\d\.wkw is damaged") as caught:
        COMMANDS[command](ds, tmp_path / "out")
    assert str(path) in caught.value.what
    assert "wkconvert verify" in caught.value.fix
    assert "as recorded" in caught.value.why or "does not decompress" in caught.value.why


@pytest.mark.parametrize("command", [each for each in EACH if each.values != ("compress in place",)])
def test_a_lost_shard_is_not_black(original, tmp_path, command):
    """`compress` in place says so before it begins."""
    ds = copied(original, tmp_path)
    shard(ds, (64, 64, 0)).unlink()
    with pytest.raises(DamagedData, match=r"x1\.wkw is damaged") as caught:
        COMMANDS[command](ds, tmp_path / "out")
    assert "missing, though it was recorded" in caught.value.why


def test_a_mag_upsampled_from(original, tmp_path):
    ds = copied(original, tmp_path)
    carry_out(downsample.prepare(ds, replace(JOBS, max_mag=2)))
    shutil.rmtree(ds / "color/1")
    flip(next((ds / "color").rglob("x0.wkw")), -1)
    update(ds, Wanted())
    with pytest.raises(DamagedData, match="is damaged"):
        carry_out(upsample.prepare(ds, JOBS))


def test_without_a_record_there_is_nothing_to_compare(original, tmp_path):
    ds = copied(original, tmp_path)
    shutil.rmtree(ds / ".wkconvert")
    path = shard(ds, (0, 0, 0))
    if not is_compressed(ds):  # any bytes decode
        flip(path, 5000)
    carry_out(recube.prepare(ds, tmp_path / "out", JOBS))
    for mag, voxels in every_mag(ds).items():
        np.testing.assert_array_equal(voxels, every_mag(tmp_path / "out")[mag])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_is_read_of_a_damaged_shard_is_refused_and_all_else_is_read(original, data):
    """Any box, any damaged byte."""
    dataset = Dataset.finished(original)
    layer = compared(original, layers_of(dataset)[0])
    source = layer.mags[Mag(1, 1, 1)]
    start = [data.draw(st.integers(0, n - 1)) for n in source.info.shape]
    shape = [data.draw(st.integers(1, n - a)) for n, a in zip(source.info.shape, start, strict=True)]
    box = Box(tuple(start), tuple(shape))
    path = shard(original, [data.draw(st.integers(0, n - 1)) for n in source.info.shape])
    place = data.draw(st.integers(0, path.stat().st_size - 1))
    first = [64 * int(part[1:].split(".")[0]) for part in reversed(path.parts[-3:])]
    touched = bool(Box(tuple(first), (64, 64, 64)).intersection(box).volume)
    flip(path, place)
    try:
        if touched:
            with pytest.raises(DamagedData, match="is damaged"):
                source.read(box)
        else:
            np.testing.assert_array_equal(source.read(box)[0], em(SHAPE)[0][box.slices_in(source.info.box)[0:]])
    finally:
        flip(path, place)


def test_the_table_finds_what_is_recorded(original):
    recorded = compared(original, layers_of(Dataset.finished(original))[0]).mags[Mag(1, 1, 1)].recorded
    starts = {(x, y, z) for x in (0, 64, 128) for y in (0, 64) for z in (0, 64)}
    around = {(x, y, z) for x in range(-64, 257, 64) for y in range(-64, 257, 64) for z in range(-64, 193, 64)}
    assert {start for start in around if recorded.of(start)} == starts
    assert {start for start in around if recorded.overlaps(Box(start, (1, 1, 1)))} == starts
    assert recorded.of((0, 0, 0)).size == shard(original, (0, 0, 0)).stat().st_size
    assert all(recorded.due(start) == recorded.of(start) for start in around)
    recorded.settle((64, 0, 0))
    assert recorded.due((64, 0, 0)) is None
    assert recorded.due((0, 64, 0)) == recorded.of((0, 64, 0))
