"""The journal and the lock: what survives a kill, and what is refused."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest

from wkconvert_core import Box, BrokenSource, Checksum, Mag, MagSpec
from wkconvert_core.contract.errors import DamagedData, TargetError, TargetExists, TargetLocked, TargetNotWritable
from wkconvert_core.datasets.checksums import records
from wkconvert_core.datasets.naming import FOLDER
from wkconvert_core.datasets.places import sweep
from wkconvert_core.datasets.records.finished_shards import FinishedShards, sorted_on_disk
from wkconvert_core.datasets.records.journal import Journal, Request
from wkconvert_core.datasets.records.lines import format_line, format_serial, parse_line, parse_serial
from wkconvert_core.datasets.records.lock import locked
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.toolkit.atomic import write_atomically

PLAN = Request("auto", "a", "f", {"max_mag": None}, {"color": Box((0, 0, 0), (30, 1, 1))})
MAG = Mag(2, 2, 1)


def shard(x, low=0):
    return ShardDone(MAG, (x, 0, 0), Checksum(x, 16), low, 2**64 - 1, 0, 64)


class Goal:
    """A sink whose shards are single voxels in a row."""

    spec = MagSpec("color", "color", MAG, Box((0, 0, 0), (30, 1, 1)), np.dtype("uint8"), 1)
    shard_shape = (1, 1, 1)


def started(journal):
    """Where the shards that are done begin, along x."""
    return [x for x in range(30) if (MAG, (x, 0, 0)) in journal.finished]


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
        opened[-1].begin(plan, [Goal()])
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
    assert started(again) == [0, 1]
    finished = again.done[MAG]
    assert (finished.low, finished.high, finished.count, finished.stored_bytes) == (-1.5, 2**64 - 1, 2, 32)


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_torn_line_counts_as_not_done(target, begun, cut):
    journal = begun(target)
    journal.add(shard(0))
    journal.add(shard(1))
    journal.close()
    path = target / FOLDER / "color.auto.journal"
    path.write_bytes(path.read_bytes()[:-cut])
    again = begun(target)
    assert started(again) == [0]
    again.add(shard(2))
    again.close()
    assert started(begun(target)) == [0, 2]


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
            assert started(again) == [0, 1, 2]
            again.finish()
            assert files(folder) == ["color.auto.plan", "color.auto.shards"]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("at_a_time", [1, 3, 7, 100])
def test_more_shards_than_fit_in_memory_are_sorted_through_files(target, begun, monkeypatch, at_a_time):
    monkeypatch.setattr("wkconvert_core.datasets.records.finished_shards.SORTED_AT_A_TIME", at_a_time)
    journal = begun(target)
    order = [5, 2, 9, 0, 2, 7, 1]
    for turn, x in enumerate(order):
        journal.add(shard(x, low=turn))
    journal.finish()
    first, *lines = map(json.loads, (target / FOLDER / "color.auto.shards").read_text().splitlines())
    assert first[:2] == ["record", 1]
    assert [line[1] for line in lines] == sorted(set(order))
    assert [line[5] for line in lines] == [3, 6, 4, 0, 5, 2]  # of a shard that was written twice, the last counts
    assert files(target) == ["color.auto.plan", "color.auto.shards"]


@pytest.mark.parametrize("start", [(30, 0, 0), (-1, 0, 0), (0, 1, 0)])
def test_a_shard_of_another_place_is_refused(target, begun, start):
    journal = begun(target)
    journal.add(shard(1))
    stray = ShardDone(MAG, start, Checksum(0, 16), 0, 1, 0, 64)
    with pytest.raises(ValueError, match="no shard of"):
        journal.done[MAG].add(stray)
    with (target / FOLDER / "color.auto.journal").open("ab") as file:
        file.write(format_line(stray))
    with pytest.raises(DamagedData, match=r"line 2 of .*color\.auto\.journal"):
        begun(target)


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b'["2-2-1", 2, 0, 0, "crc32:0:16', b'["2-2-1", 2, 0, 0, 7, 0, 1, 0, 64]\n', b"\xff\n"]
)
def test_a_line_that_is_none_is_damage_whoever_reads_it(target, begun, line):
    journal = begun(target)
    journal.add(shard(1))
    assert journal.stored_bytes() == 16
    with (target / FOLDER / "color.auto.journal").open("ab") as file:
        file.write(line if line.endswith(b"\n") else line + b"\n")
    with pytest.raises(DamagedData, match=r"line 2 of .*color\.auto\.journal"):
        journal.stored_bytes()
    with pytest.raises(DamagedData, match=r"line 2 of .*color\.auto\.journal"):
        begun(target)


def test_a_start_within_a_shard_is_none_of_a_shard():
    finished = FinishedShards(Box((5, 0, 0), (100, 64, 64)), (32, 32, 32))
    assert (5, 0, 0) not in finished
    assert (32, 32, 0) not in finished
    for start in ((0, 0, 0), (6, 0, 0), (33, 0, 0), (128, 0, 0)):
        with pytest.raises(ValueError, match="no shard of"):
            finished.drop(start)


def test_what_a_kill_leaves_of_the_sorting_is_swept_away(target, monkeypatch):
    monkeypatch.setattr("wkconvert_core.datasets.records.finished_shards.SORTED_AT_A_TIME", 1)
    lines = sorted_on_disk([b"2\n", b"1\n"], bytes, target / FOLDER)
    assert next(lines) == b"1\n"
    assert len(files(target)) == 1
    sweep(target, [])
    assert files(target) == []
    with contextlib.suppress(FileNotFoundError):
        lines.close()


def test_a_shard_that_is_written_again_counts_once(target, begun):
    journal = begun(target)
    journal.add(shard(3))
    journal.done[MAG].drop((3, 0, 0))
    assert started(journal) == []
    journal.add(shard(3))
    assert started(journal) == [3]
    assert (journal.done[MAG].count, journal.done[MAG].stored_bytes) == (1, 16)


def test_another_request_is_refused_and_named(target, begun):
    begun(target).close()
    with pytest.raises(TargetExists, match="another command") as caught:
        begun(target, replace(PLAN, source="b"))
    assert "source" in caught.value.why


def test_a_second_writer_is_kept_out(target):
    with pytest.raises(TargetLocked, match="another run"), locked(target):
        pass


def test_a_dead_holders_lock_is_free(tmp_path):
    code = (
        "import os, pathlib; from wkconvert_core.datasets.records.lock import locked\n"
        f"with locked(pathlib.Path({str(tmp_path)!r})): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with locked(tmp_path):
        pass


def test_a_lock_that_cannot_be_removed_is_told(tmp_path, monkeypatch):
    def fail(path, *_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    told = r"\.wkconvert/lock could not be removed: Input/output error.*look at the disk"
    with (
        pytest.warns(RuntimeWarning, match=told),
        monkeypatch.context() as patch,
        locked(tmp_path / "ds"),
    ):
        patch.setattr(os, "unlink", fail)
    with locked(tmp_path / "ds"):  # which keeps nobody out
        pass
    assert not (tmp_path / "ds").exists() or not any((tmp_path / "ds").iterdir())


def test_a_lock_that_went_with_its_folder_is_no_matter(tmp_path):
    with locked(tmp_path / "ds"):
        shutil.rmtree(tmp_path / "ds")


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


def test_a_plan_is_readable_json(target, begun):
    begun(target)
    assert json.loads((target / FOLDER / "color.auto.plan").read_text()) == json.loads(PLAN.text)


# --- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [format_line(shard(3, low=-2.5)), format_serial(41)])
def test_a_line_that_was_changed_anywhere_is_refused(line):
    """Also to one that would be sound: other digits, other signs."""
    read = parse_serial if line.startswith(b'["record"') else parse_line
    assert read(line)
    for at in range(len(line) - 1):
        for byte in (*b'0123456789abcdef", []-.', *range(0, 256, 37)):
            if byte != line[at] and not (byte == 0x0A and at == len(line) - 2):
                changed = line[:at] + bytes([byte]) + line[at + 1 :]
                try:
                    assert read(changed) is None, changed  # what begins otherwise is no first line of a list
                except ValueError:
                    continue


@pytest.mark.parametrize("tail", [b"]", b', "', b', "00000000"]', b""])
def test_the_sum_of_a_line_cannot_be_left_out(target, begun, tail):
    begun(target).close()
    journal = target / FOLDER / "color.auto.journal"
    journal.write_bytes(format_line(shard(1)).rpartition(b', "')[0] + tail + b"\n")
    with pytest.raises(DamagedData, match=r"line 1 of .*color\.auto\.journal"):
        begun(target)


NESTED = b"[" * 100_000
ODD = [NESTED, b"\xff\xfe", b"", b"{}", b"[]", b"7", b'"text"', b"nan", b'{"settings": 3}', b"\0"]


@pytest.mark.parametrize("content", ODD)
def test_odd_content_of_a_plan_is_another_commands(target, begun, content):
    (target / FOLDER / "color.auto.plan").write_bytes(content)
    with pytest.raises(TargetExists, match="another command") as caught:
        begun(target)
    assert "cannot be read" in caught.value.why


@pytest.mark.parametrize("content", [c for c in ODD if c] + [b'["1", "a", 0, 0, "crc32:0:16", "low", 1e400, 0, 64]'])
def test_odd_content_of_a_journal_is_named(target, begun, content):
    begun(target).close()
    (target / FOLDER / "color.auto.journal").write_bytes(content + b"\n")
    with pytest.raises(DamagedData, match=r"line 1 of .*color\.auto\.journal"):
        begun(target)


@pytest.mark.parametrize(
    "values", [["text", 1, 0, 64], [0, 1e400, 0, 64], [0, 1, "0", 64], [0, 1, 0, -1], [True, 1, 0, 64], [[], 1, 0, 64]]
)
@pytest.mark.parametrize("summed", [True, False])
def test_values_of_other_types_are_no_shard(values, summed):
    content = json.dumps(["1", 0, 0, 0, "crc32:000000ff:16", *values]).encode()[:-1]
    line = b'%b, "%08x"]\n' % (content, zlib.crc32(content)) if summed else content + b"]\n"
    with pytest.raises(ValueError, match=r"no number|no range"):
        parse_line(line, bare=True)


def test_the_number_of_a_list_that_cannot_be_read_is_not_taken_for_none(target, begun, monkeypatch):
    journal = begun(target)
    other = target / FOLDER / "color.verify.shards"
    other.write_bytes(format_serial(7))
    really = os.open

    def failing(path, *rest, **more):
        if str(path) == str(other):
            raise OSError(errno.EIO, "Input/output error", path)
        return really(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        with pytest.raises(BrokenSource, match=r"color\.verify\.shards cannot be read"):
            journal.finish()
    journal.finish()
    assert parse_serial(journal._shards.read_bytes()) == 8


def test_lists_of_earlier_versions_are_read_and_journals_are_not(target, begun):
    journal = begun(target)
    journal.add(shard(1))
    journal.finish()
    bare = format_line(shard(1)).rpartition(b', "')[0] + b"]\n"
    journal._shards.write_bytes(bare)
    assert started(begun(target)) == [1]
    assert records(target, "color").checksums(MAG).shards == {(1, 0, 0): Checksum(1, 16)}
    journal._shards.unlink()
    journal._journal.write_bytes(bare)
    with pytest.raises(DamagedData, match="line 1"):
        begun(target)


# --- the lock --------------------------------------------------------------------------------------------------------


def test_nothing_of_the_lock_is_left(tmp_path):
    with locked(tmp_path):
        assert (tmp_path / FOLDER / "lock").exists()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        (tmp_path / FOLDER / "em.auto.plan").touch()
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["em.auto.plan"]


def test_nothing_of_the_lock_is_left_in_a_folder_that_was_moved(tmp_path):
    with locked(tmp_path / "building"):
        (tmp_path / "building" / FOLDER / "em.auto.plan").touch()
        (tmp_path / "building").rename(tmp_path / "ds")
    assert [path.name for path in (tmp_path / "ds" / FOLDER).iterdir()] == ["em.auto.plan"]


@pytest.mark.slow
def test_of_many_that_want_a_dataset_one_has_it_at_a_time(tmp_path):
    """Each counts up a number in a file, unguarded but for the lock, which comes and goes with its file."""
    code = (
        "import sys, pathlib, time\n"
        "from wkconvert_core.contract.errors import TargetLocked\n"
        "from wkconvert_core.datasets.records.lock import locked\n"
        "folder = pathlib.Path(sys.argv[1]); counter = folder / 'count'; done = 0\n"
        "while done < 60:\n"
        "    try:\n"
        "        with locked(folder):\n"
        "            (folder / 'held').mkdir()\n"
        "            count = int(counter.read_text()); time.sleep(0.0005); counter.write_text(str(count + 1))\n"
        "            (folder / 'held').rmdir(); done += 1\n"
        "    except TargetLocked:\n"
        "        time.sleep(0.0002)\n"
    )
    (tmp_path / "count").write_text("0")
    running = [subprocess.Popen([sys.executable, "-c", code, tmp_path]) for _ in range(4)]
    assert [process.wait(100) for process in running] == [0] * 4
    assert (tmp_path / "count").read_text() == "240"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


@pytest.mark.parametrize("what", ["", FOLDER, f"{FOLDER}/lock", f"{FOLDER}/em.auto.journal", f"{FOLDER}/scratch"])
def test_a_dataset_with_a_link_where_a_run_writes_is_refused(tmp_path, what):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "scratch").mkdir(parents=True)
    (elsewhere / ".kept.tmp").write_text("kept")
    link = tmp_path / "ds" / what
    link.parent.mkdir(parents=True, exist_ok=True)
    if not what:
        link = tmp_path / "ds"
    link.symlink_to(elsewhere)
    with pytest.raises(TargetError, match="is a link"), locked(tmp_path / "ds"):
        pass
    assert sorted(path.name for path in elsewhere.iterdir()) == [".kept.tmp", "scratch"]
