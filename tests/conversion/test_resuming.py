"""A run goes on only from shards that are as an earlier one recorded them, whatever a power failure left."""

import shutil
from dataclasses import replace

import pytest
from helpers.conversions import JOBS, PROPERTIES, SETTINGS, carry_out, different, em

from wkconvert_core import WarningNote
from wkconvert_core.commands import downsample, export
from wkconvert_core.conversion.execute import convert
from wkconvert_core.datasets.records.lock import locked

RAW = replace(SETTINGS, file_len=1, compression="none", name="ds")


def zeros_in_the_middle(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    path.write_bytes(content)


DAMAGE = {
    "zeros in the middle": zeros_in_the_middle,
    "zeros from a page on": lambda path: path.write_bytes(path.read_bytes()[:4096].ljust(path.stat().st_size, b"\0")),
    "a flipped bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "another shard": lambda path: shutil.copy(path.with_name("x1.wkw"), path),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "no bytes": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


def interrupt(dataset):
    """As a run leaves it that ended before its last step."""
    (dataset / PROPERTIES).unlink()
    for record in (dataset / ".wkconvert").glob("*.shards"):
        lines = record.read_bytes().splitlines(keepends=True)
        record.with_suffix(".journal").write_bytes(b"".join(lines[1:]))
        record.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["none", "lz4"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_written_again(tmp_path, reader, damage, compression):
    settings = replace(RAW, compression=compression)
    source = reader(tmp_path / "src", em())
    written = convert(source, tmp_path / "ds", settings)
    shutil.copytree(tmp_path / "ds", tmp_path / "clean")
    interrupt(tmp_path / "ds")
    DAMAGE[damage](tmp_path / "ds/color/1/z0/y0/x0.wkw")
    done = convert(source, tmp_path / "ds", settings)
    assert done.resumed == written.shards - 1
    assert different(tmp_path / "ds", tmp_path / "clean") == []
    [note] = [note for note in done.notes if "not as recorded" in note]
    assert isinstance(note, WarningNote)
    assert note.startswith("1 shard of an earlier run was")


def test_of_sound_shards_none_is_written_again(tmp_path, reader):
    source = reader(tmp_path / "src", em())
    written = convert(source, tmp_path / "ds", RAW)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "ds").rglob("*.wkw") if path.name[0] == "x"}
    interrupt(tmp_path / "ds")
    done = convert(source, tmp_path / "ds", RAW)
    assert done.resumed == written.shards == len(times)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not any("recorded" in note for note in done.notes)


def test_workers_in_processes_find_it_too(tmp_path, reader):
    settings = replace(RAW, strategy="multiprocessing")
    source = reader(tmp_path / "src", em())
    convert(source, tmp_path / "ds", settings)
    shutil.copytree(tmp_path / "ds", tmp_path / "clean")
    interrupt(tmp_path / "ds")
    zeros_in_the_middle(tmp_path / "ds/color/1/z0/y0/x0.wkw")
    convert(source, tmp_path / "ds", settings)
    assert different(tmp_path / "ds", tmp_path / "clean") == []


def test_pictures_of_an_export_too(tmp_path, reader, monkeypatch):
    """The header of a picture whose pixels are gone is sound."""
    pytest.importorskip("tifffile")
    convert(reader(tmp_path / "src", em()), tmp_path / "ds", SETTINGS)
    carry_out(export.prepare(tmp_path / "ds", tmp_path / "clean", JOBS))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("wkconvert_core.conversion.execute._described", stop)
        with pytest.raises(KeyboardInterrupt):
            carry_out(export.prepare(tmp_path / "ds", tmp_path / "out", JOBS))
    [begun] = tmp_path.glob(".out.*")
    picture = sorted(begun.rglob("*.tif"))[3]
    picture.write_bytes(picture.read_bytes()[:-5] + bytes(5))
    done = carry_out(export.prepare(tmp_path / "ds", tmp_path / "out", JOBS))
    assert done.resumed == done.shards - 1
    assert different(tmp_path / "out", tmp_path / "clean") == []


def test_a_lock_that_a_killed_run_left_when_all_was_done_goes_with_the_next(tmp_path, reader):
    dataset = tmp_path / "ds"
    convert(reader(tmp_path / "src", em()), dataset, SETTINGS)
    lock = dataset / ".wkconvert/lock"
    lock.touch()
    assert not carry_out(downsample.prepare(dataset, SETTINGS)).layers
    assert not lock.exists()


def test_the_lock_of_a_run_that_goes_on_stays(tmp_path, reader):
    dataset = tmp_path / "ds"
    convert(reader(tmp_path / "src", em()), dataset, SETTINGS)
    with locked(dataset):
        assert not carry_out(downsample.prepare(dataset, SETTINGS)).layers
        assert (dataset / ".wkconvert/lock").exists()
