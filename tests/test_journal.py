"""The journal and the lock: what survives a kill, and what is refused."""

import json
import os
import subprocess
import sys

import pytest

from wkconvert_core import Mag
from wkconvert_core.disk import write_atomically
from wkconvert_core.engine import ShardDone
from wkconvert_core.errors import TargetError, TargetExists, TargetLocked, TargetNotWritable
from wkconvert_core.journal import FOLDER, Journal, fingerprint, locked

PLAN = {"source": "a", "settings": {"max_mag": None}}
MAG = Mag(2, 2, 1)


def shard(x, low=0):
    return ShardDone(MAG, (x, 0, 0), f"crc32:0000000{x}:16", low, 2**64 - 1, 0, 64)


@pytest.fixture
def target(tmp_path):
    with locked(tmp_path):
        yield tmp_path


@pytest.fixture
def begun():
    """Begins a journal; a process that is killed would close the file as well."""
    opened = []

    def begin(target, plan=PLAN):
        opened.append(Journal(target, "color", "auto"))
        opened[-1].begin(plan)
        return opened[-1]

    yield begin
    for journal in opened:
        journal.close()


def files(target):
    return sorted(path.name for path in (target / FOLDER).iterdir() if path.name != "lock")


def test_what_was_added_is_there_after_a_kill(target, begun):
    journal = begun(target)
    journal.add(shard(1))
    journal.add(shard(0, low=-1.5))
    again = begun(target)  # the first one was never closed
    assert again.done == {MAG: {(1, 0, 0): shard(1), (0, 0, 0): shard(0, low=-1.5)}}


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_torn_line_counts_as_not_done(target, begun, cut):
    journal = begun(target)
    journal.add(shard(0))
    journal.add(shard(1))
    journal.close()
    path = target / FOLDER / "color.auto.journal"
    path.write_bytes(path.read_bytes()[:-cut])
    again = begun(target)
    assert list(again.done[MAG]) == [(0, 0, 0)]
    again.add(shard(2))
    again.close()
    assert list(begun(target).done[MAG]) == [(0, 0, 0), (2, 0, 0)]


def test_a_finished_layer_is_the_same_whatever_the_order(tmp_path_factory, begun):
    contents = []
    for order in ((0, 1, 2), (2, 0, 1)):
        folder = tmp_path_factory.mktemp("target")
        with locked(folder):
            journal = begun(folder)
            for x in order:
                journal.add(shard(x))
            journal.finish()
            assert files(folder) == ["color.auto.plan", "color.auto.shards"]
            contents.append((folder / FOLDER / "color.auto.shards").read_bytes())
            again = begun(folder)
            assert again.is_finished
            assert len(again.done[MAG]) == 3
            again.finish()
            assert files(folder) == ["color.auto.plan", "color.auto.shards"]
    assert contents[0] == contents[1]


def test_another_request_is_refused_and_named(target, begun):
    begun(target).close()
    with pytest.raises(TargetExists, match="another command") as caught:
        begun(target, {"source": "b", "settings": {"max_mag": None}})
    assert "source" in caught.value.why


def test_a_second_writer_is_kept_out(target):
    with pytest.raises(TargetLocked, match="another run"), locked(target):
        pass


def test_a_dead_holders_lock_is_free(tmp_path):
    code = (
        "import os, pathlib; from wkconvert_core.journal import locked\n"
        f"with locked(pathlib.Path({str(tmp_path)!r})): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with locked(tmp_path):
        pass


def test_a_target_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(TargetNotWritable, match="cannot be written"), locked(tmp_path / "dataset"):
        pass


@pytest.mark.parametrize("culprit", ["replace", "fsync"])
def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, culprit):
    path = tmp_path / "plan"
    write_atomically(path, b"old")

    def fail(*_):
        raise OSError("no")

    monkeypatch.setattr(*(("os.fsync", fail) if culprit == "fsync" else ("pathlib.Path.replace", fail)))
    with pytest.raises(TargetError, match="no"):
        write_atomically(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["plan"]
    assert path.read_text() == "old"


def test_the_fingerprint_changes_with_names_sizes_and_times(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    file = source / "deep" / "a.tif"
    file.write_bytes(b"1")
    os.utime(file, (1, 1))
    seen = {fingerprint(source)}
    assert fingerprint(source) in seen
    file.write_bytes(b"12")
    os.utime(file, (1, 1))
    seen.add(fingerprint(source))
    os.utime(file, (2, 2))
    seen.add(fingerprint(source))
    file.rename(source / "deep" / "b.tif")
    seen.add(fingerprint(source))
    assert len(seen) == 4
    assert fingerprint(source / "deep" / "b.tif") == fingerprint(source / "deep" / "b.tif")


def test_a_plan_is_readable_json(target, begun):
    begun(target)
    assert json.loads((target / FOLDER / "color.auto.plan").read_text()) == PLAN
