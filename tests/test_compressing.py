"""Compressing in place: the same voxels, less space, and nothing lost wherever it is interrupted."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_convert import SETTINGS, files, layers_of, voxels
from test_recube import every_mag

from wkconvert_core import Mag
from wkconvert_core.compressing import is_pending, prepare, take_over
from wkconvert_core.convert import Settings, convert, execute

JOBS = Settings(jobs=2)


@pytest.fixture
def raw(tmp_path, reader):
    reader(tmp_path / "src" / "em", voxels((100, 90, 40)) // 64)
    reader(tmp_path / "src" / "labels", voxels((100, 90, 40), dtype="uint32") // 64)
    convert(tmp_path / "src", tmp_path / "ds", replace(SETTINGS, compression="none"))
    return tmp_path / "ds"


def compress(dataset, settings=JOBS, **options):
    done = execute(prepare(dataset, None, settings, **options), lambda progress: None)
    return done, take_over(dataset) if is_pending(dataset) else 0


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.wkw"))


def kinds(dataset):
    return {str(path.parent.relative_to(dataset)): path.read_bytes()[5] for path in dataset.rglob("header.wkw")}


def test_the_voxels_stay_and_the_space_is_freed(tmp_path, raw):
    expected, before, metadata = every_mag(raw), size(raw), layers_of(raw)
    _, saved = compress(raw)
    assert set(kinds(raw).values()) == {2, 3}
    assert saved == before - size(raw) > 0
    found = every_mag(raw)
    assert found.keys() == expected.keys()
    for key, whole in expected.items():
        np.testing.assert_array_equal(found[key], whole)
    assert layers_of(raw) == metadata
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_compressed_is_left_alone(raw):
    compress(raw, names=["em"], mags=[Mag(1, 1, 1)])
    assert {name for name, kind in kinds(raw).items() if kind != 1} == {"em/1"}
    before = {name: (raw / "em" / "1" / name).stat().st_ino for name in files(raw / "em" / "1")}
    compress(raw)
    assert before == {name: (raw / "em" / "1" / name).stat().st_ino for name in before}
    assert 1 not in kinds(raw).values()
    assert compress(raw)[0].conversion.steps == []


@pytest.mark.parametrize("killed_at", range(1, 12))
def test_a_move_that_is_interrupted_is_finished_by_the_next_run(raw, killed_at, monkeypatch):
    expected, left = every_mag(raw), [killed_at]

    def rename(self, target, really=Path.rename):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return really(self, target)

    execute(prepare(raw, None, JOBS), lambda progress: None)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            take_over(raw)
    assert is_pending(raw)
    take_over(raw)
    assert not is_pending(raw)
    found = every_mag(raw)
    assert found.keys() == expected.keys()
    for key, whole in expected.items():
        np.testing.assert_array_equal(found[key], whole)
    assert 1 not in kinds(raw).values()


def test_a_copy_has_all_layers_compressed_in_shards_of_the_same_length(tmp_path, raw):
    conversion = prepare(raw, tmp_path / "copy", JOBS)
    execute(conversion, lambda progress: None)
    assert 1 in kinds(raw).values()
    assert 1 not in kinds(tmp_path / "copy").values()
    sides = [mag["cubeLength"] for layer in layers_of(raw).values() for mag in layer["mags"]]
    assert [mag["cubeLength"] for layer in layers_of(tmp_path / "copy").values() for mag in layer["mags"]] == sides


def test_datasets_of_the_older_form_stay_in_it(raw):
    file = raw / "datasource-properties.json"
    properties = json.loads(file.read_text())
    for layer in properties["dataLayers"]:
        mags = layer.pop("mags")
        layer["wkwResolutions"] = [{"resolution": mag["mag"], "cubeLength": mag["cubeLength"]} for mag in mags]
    file.write_text(json.dumps(properties))
    shutil.rmtree(raw / ".wkconvert")
    compress(raw)
    assert json.loads(file.read_text()) == properties
    assert 1 not in kinds(raw).values()
