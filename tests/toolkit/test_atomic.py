"""Files that are there whole or not at all."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from wkconvert_core.contract.errors import NoSpace, TargetError, TargetNotWritable
from wkconvert_core.toolkit.atomic import TEMPORARY, replacing, sync, temporary_name, write_atomically, writing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.glob(TEMPORARY)) == [temporary]
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_what_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with suppress(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(bytes(1 // 0) if temporary.write_bytes(b"half") else b"")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_content_may_come_part_by_part(tmp_path):
    write_atomically(tmp_path / "a", (bytes([n]) for n in range(3)))
    write_atomically(tmp_path / "b", b"abc")
    assert (tmp_path / "a").read_bytes() == bytes(range(3))
    assert (tmp_path / "b").read_bytes() == b"abc"
    with pytest.raises(TargetError, match=r"gone.c cannot be written"):
        write_atomically(tmp_path / "gone" / "c", b"")


def test_temporary_names_differ():
    assert len({temporary_name(path) for path in [Path("a")] * 9}) == 9


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EROFS, TargetNotWritable), (errno.EIO, TargetError)]
)
def test_a_refusal_of_the_system_becomes_an_error_of_ours(tmp_path, number, kind):
    with pytest.raises(TargetError, match="a.*" + os.strerror(number)) as caught, writing(tmp_path / "a"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind


@pytest.mark.skipif(sys.platform != "linux", reason="which file a descriptor is, Linux tells")
def test_files_and_the_folders_above_them_are_synced(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    files = [tmp_path / "x" / "y" / f"{n}" for n in range(3)]
    files[0].parent.mkdir(parents=True)
    for path in files:
        path.touch()
    sync(iter(files))
    assert sorted(synced) == sorted([*files, tmp_path, tmp_path / "x", tmp_path / "x" / "y"])
    with pytest.raises(TargetError, match="gone"):
        sync([tmp_path / "gone"])
