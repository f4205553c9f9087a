"""Moments in which a kill, a full disk or a power failure could cost the only copy, or make half a dataset complete."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.conversions import SETTINGS, em, properties, read

from wkconvert_core.contract.errors import NoSpace, TargetError
from wkconvert_core.conversion.execute import convert
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.places import sweep_replaced
from wkconvert_core.datasets.records import journal as journals
from wkconvert_core.datasets.records.journal import Journal, keep_record
from wkconvert_core.datasets.records.unfinished_runs import unfinished
from wkconvert_core.datasets.writer import DatasetWriter


class Stopped(BaseException):
    """Stands for a kill."""


@pytest.fixture
def source(tmp_path, reader):
    return reader(tmp_path / "src", em())


@pytest.fixture
def dataset(tmp_path, source):
    convert(source, tmp_path / "ds", SETTINGS)
    return tmp_path / "ds"


def old_ones(dataset):
    return sorted(dataset.parent.glob(f".{dataset.name}.wkconvert-old.*.tmp"))


def test_the_old_dataset_stays_until_the_new_one_is_in_its_place(source, dataset, monkeypatch):
    """A run that was killed between the two renames of --overwrite leaves nothing at the target."""
    before, real = read(dataset), Path.rename

    def stops_at_the_second(self, target):
        if Path(target) == dataset:
            raise Stopped
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stops_at_the_second)
        with pytest.raises(Stopped):
            convert(source, dataset, replace(SETTINGS, overwrite=True, name="new"))
    assert not dataset.exists()
    (old,) = old_ones(dataset)
    sweep_replaced(dataset)
    assert old_ones(dataset) == [old]
    dataset.mkdir()
    sweep_replaced(dataset)
    (dataset / ".wkconvert").mkdir()
    (dataset / ".wkconvert" / "color.auto.plan").write_text("{}")
    sweep_replaced(dataset)
    assert old_ones(dataset) == [old], "an unfinished dataset is no replacement"
    assert (read(old) == before).all()
    shutil.rmtree(dataset)
    convert(source, dataset, replace(SETTINGS, overwrite=True, name="new"))
    assert old_ones(dataset) == []
    assert properties(dataset)["id"]["name"] == "new"


def test_all_shards_are_safe_before_the_metadata_say_that_the_dataset_is_complete(source, tmp_path, monkeypatch):
    synced, seen = set(), []
    real_sync, real_write = os.fsync, properties_file.write

    def sync(descriptor):
        synced.add(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        real_sync(descriptor)

    def write(path, content):
        seen.append({str(file) for file in path.parent.rglob("*.wkw")} - synced)
        folders = {str(file.parent) for file in path.parent.rglob("*.wkw")}
        seen.append(folders - synced)
        real_write(path, content)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(properties_file, "write", write)
    convert(source, tmp_path / "ds", replace(SETTINGS, file_len=1))
    assert len(list((tmp_path / "ds").rglob("x*.wkw"))) > 10
    assert seen == [set(), set()]


def test_a_record_that_is_only_half_kept_does_not_look_like_a_run_that_was_begun(dataset, tmp_path, monkeypatch):
    plan = dataset / ".wkconvert" / "color.auto.plan"
    for folder in (plan.parent, tmp_path / "elsewhere" / ".wkconvert"):
        folder.mkdir(parents=True, exist_ok=True)
        writes = []

        def stops(path, content, real=journals.write_atomically, writes=writes):
            if path.suffix == ".plan" or writes:
                raise Stopped
            writes.append(path)
            real(path, content)

        with monkeypatch.context() as patch:
            patch.setattr(journals, "write_atomically", stops)
            with pytest.raises(Stopped):
                keep_record(plan, folder)
        assert [path.suffix for path in folder.glob("color.auto-*")] == [".shards"]
        assert unfinished(folder.parent) == []


def test_a_list_of_an_earlier_version_keeps_its_time_which_decides_whether_it_holds(dataset):
    shards = dataset / ".wkconvert" / "color.auto.shards"
    lines = [line.rpartition(b', "')[0] + b"]\n" for line in shards.read_bytes().splitlines()[1:]]
    shards.write_bytes(b"".join(lines))
    os.utime(shards, ns=(10**18, 10**18))
    Journal(dataset, "color", "auto").set_aside()
    (kept,) = (dataset / ".wkconvert").glob("*.shards")
    assert kept.name.startswith("color.auto-")
    assert kept.stat().st_mtime_ns == 10**18
    assert kept.read_bytes() == b"".join(lines)


@pytest.mark.parametrize(("number", "kind"), [(28, NoSpace), (5, TargetError)])
def test_an_error_of_the_system_when_the_metadata_are_made_is_one_of_ours(source, tmp_path, monkeypatch, number, kind):
    """Writers of plugins may leave such errors to core."""

    def fails(self, layers):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(DatasetWriter, "finish", fails)
        with pytest.raises(kind, match=str(tmp_path / "ds")):
            convert(source, tmp_path / "ds", SETTINGS)
    assert convert(source, tmp_path / "ds", SETTINGS).resumed > 0
