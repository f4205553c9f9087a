import copy
import errno
import json
import math
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import paths
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core.contract.errors import (
    BrokenSource,
    ConversionError,
    DamagedData,
    InconsistentStack,
    NoSpace,
    OptionError,
    TargetError,
    TargetExists,
    TargetNotWritable,
)
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import DatasetSpec, LayerSpec, MagSpec
from wkconvert_core.contract.voxel_size import METRES, WEBKNOSSOS_UNITS, VoxelSize
from wkconvert_core.datasets import properties_file as datasource
from wkconvert_core.datasets.properties import element_class, element_type, mag_folder, stored_layer, voxel_size
from wkconvert_core.datasets.properties_file import layer_entry, mag_entry, merge, read, write
from wkconvert_core.toolkit.atomic import sync

SAMPLES = paths.SAMPLES / "wkw"

NAME = "datasource-properties.json"
EM = DatasetSpec("my set", VoxelSize((11.24, 11.24, 28.0), "nm", "here"))


def layer(
    name: str = "color", category: str = "color", dtype: str = "uint8", channels: int = 1, **more: Any
) -> LayerSpec:
    box = more.pop("box", Box((3, 4, 5), (100, 70, 33)))
    mags = more.pop("mags", [Mag(1, 1, 1), Mag(2, 2, 1)])
    kind = np.dtype(dtype)
    specs = [MagSpec(name, category, mag, box.coarsened(mag), kind, channels) for mag in mags]  # type: ignore[arg-type]
    return LayerSpec(name, category, box, kind, channels, specs, **more)  # type: ignore[arg-type]


def entry(spec: LayerSpec) -> dict[str, Any]:
    mags = [mag_entry(each.mag, f"{spec.name}/{each.mag}", {"cubeLength": 1024 // each.mag.x}) for each in spec.mags]
    return layer_entry(spec, "wkw", mags)


def test_a_new_dataset_reads_as_the_format_says() -> None:
    spec = layer("seg", "segmentation", "uint32", largest_segment_id=41)
    text = json.dumps(merge(None, EM, [entry(layer()), entry(spec)]), indent=4)
    mags = [
        {"mag": [1, 1, 1], "path": "./seg/1", "cubeLength": 1024, "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3}},
        {"mag": [2, 2, 1], "path": "./seg/2-2-1", "cubeLength": 512, "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3}},
    ]
    found = json.loads(text)
    assert list(found) == ["id", "scale", "dataLayers", "version"]
    assert found["id"] == {"name": "my set", "team": ""}
    assert found["scale"] == {"factor": [11.24, 11.24, 28.0], "unit": "nanometer"}
    assert found["dataLayers"][1] == {
        "name": "seg",
        "category": "segmentation",
        "boundingBox": {"topLeft": [3, 4, 5], "width": 100, "height": 70, "depth": 33},
        "elementClass": "uint32",
        "dataFormat": "wkw",
        "mags": mags,
        "numChannels": 1,
        "largestSegmentId": 41,
        "mappings": [],
    }
    keys = ["name", "category", "boundingBox", "elementClass", "dataFormat", "mags", "numChannels"]
    assert list(found["dataLayers"][0]) == keys


@pytest.mark.parametrize(
    ("dtype", "channels", "name"),
    [
        ("uint8", 1, "uint8"),
        ("uint8", 3, "uint24"),
        ("uint8", 2, "uint16"),
        ("uint16", 3, "uint48"),
        ("int64", 1, "int64"),
        ("float32", 1, "float"),
        ("float64", 1, "double"),
        ("float32", 3, "float96"),
    ],
)
def test_element_classes_count_the_bits_of_all_channels(dtype: str, channels: int, name: str) -> None:
    assert element_class(np.dtype(dtype), channels) == name
    assert element_type(name, channels) == (np.dtype(dtype), channels)


@pytest.mark.parametrize(
    ("name", "channels"), [("uint24", 2), ("bool", 1), ("uint8", 0), ("complex64", 1), ("uint8\n", 1), ("uint128", 1)]
)
def test_what_is_no_element_class_is_refused(name: str, channels: int) -> None:
    with pytest.raises(ValueError, match="not an element class"):
        element_type(name, channels)


@pytest.mark.parametrize("largest", [None, 0, -1])
def test_an_unknown_largest_id_is_null(largest: int | None) -> None:
    assert entry(layer("s", "segmentation", "int32", largest_segment_id=largest))["largestSegmentId"] is None


def test_the_largest_64_bit_id_survives(tmp_path: Path) -> None:
    spec = layer("s", "segmentation", "uint64", largest_segment_id=2**64 - 1)
    write(tmp_path / NAME, merge(None, EM, [entry(spec)]))
    (stored,) = [stored_layer(each, tmp_path) for each in (read(tmp_path / NAME))["dataLayers"]]
    assert stored.largest_segment_id == 2**64 - 1


@pytest.mark.parametrize(
    ("dtype", "values", "shown", "view"),
    [
        ("uint16", (7, 4000), (90, 3500), {"min": 7, "max": 4000, "intensityRange": [90, 3500]}),
        ("uint16", (7.0, 4000.0), None, {"min": 7, "max": 4000, "intensityRange": [7, 4000]}),
        ("float32", (-1.5, 2.5), (-1.0, 2.0), {"min": -1.5, "max": 2.5, "intensityRange": [-1.0, 2.0]}),
        ("float32", (-math.inf, 2.5), (math.nan, 2.0), None),
        ("float64", (1.0, 1.0), None, None),
        ("uint16", (5, 5), (5, 5), None),
        ("uint16", None, None, None),
        ("uint8", (0, 200), None, None),
        ("uint8", (0, 200), (10, 100), {"intensityRange": [10, 100]}),
    ],
)
def test_layers_of_more_than_8_bits_say_their_range_others_a_stated_one(
    dtype: str, values: Any, shown: Any, view: Any
) -> None:
    found = entry(layer(dtype=dtype, value_range=values, intensity_range=shown))
    assert found.get("defaultViewConfiguration") == view
    assert not view or {type(n) for n in found["defaultViewConfiguration"]["intensityRange"]} == {
        int if dtype[0] == "u" else float
    }


def test_a_color_is_kept_and_labels_have_no_range() -> None:
    red = entry(layer(color=(255, 0, 9)))
    labels = entry(layer("s", "segmentation", "uint32", value_range=(0, 9), intensity_range=(0, 9)))
    assert red["defaultViewConfiguration"] == {"color": [255, 0, 9]}
    assert "defaultViewConfiguration" not in labels


def test_a_layer_without_voxels_is_refused() -> None:
    with pytest.raises(TargetError, match="has no voxels"):
        entry(layer(box=Box((0, 0, 0), (5, 0, 5))))


@pytest.mark.parametrize("unit", METRES)
def test_every_unit_is_written_by_its_full_name_and_read_back(unit: str) -> None:
    size = VoxelSize((0.5, 0.25, 3.0), unit, NAME)
    properties = merge(None, DatasetSpec("d", size), [])
    assert properties["scale"]["unit"] == WEBKNOSSOS_UNITS[unit]
    assert voxel_size(properties) == size


def test_older_scales_and_foreign_units_are_understood() -> None:
    assert voxel_size({"scale": [11.24, 11.24, 28]}).size == (11.24, 11.24, 28)
    assert str(voxel_size({"scale": {"factor": [4, 4, 4], "unit": "µm"}})) == "4 x 4 x 4 µm"
    assert voxel_size({"scale": {"factor": [1, 2, 3], "unit": "foot"}}).to("inch").size == (12, 24, 36)


@pytest.mark.parametrize("size", [None, VoxelSize((4.0, None, 4.0))])
def test_a_dataset_is_not_begun_without_its_voxel_size(size: VoxelSize | None) -> None:
    with pytest.raises(OptionError, match="y") as caught:
        merge(None, DatasetSpec("d", size), [])
    assert "--voxel-size" in caught.value.fix


# --- merging


def hand_edited() -> dict[str, Any]:
    properties = merge(None, EM, [entry(layer()), entry(layer("seg", "segmentation", "uint32"))])
    properties["id"] = {"name": "Ours", "team": "lab"}
    properties["defaultViewConfiguration"] = {"zoom": 2}
    properties["licence"] = "CC0"
    properties["dataLayers"][0]["defaultViewConfiguration"] = {"color": [1, 2, 3], "isInverted": True}
    properties["dataLayers"][0]["coordinateTransformations"] = [{"type": "affine"}]
    properties["dataLayers"][1]["mappings"] = ["axons"]
    return properties


def test_adding_a_layer_keeps_every_edit_and_changes_nothing_in_place() -> None:
    old = hand_edited()
    before = copy.deepcopy(old)
    merged = merge(old, DatasetSpec("other", EM.voxel_size), [entry(layer("new"))])
    assert old == before
    assert merged == {**before, "dataLayers": [*before["dataLayers"], entry(layer("new"))]}
    assert list(merged) == ["id", "scale", "dataLayers", "version", "defaultViewConfiguration", "licence"]


def test_layers_of_other_formats_and_older_forms_stay_as_they_are() -> None:
    old = {"scale": [11.24, 11.24, 28], "id": {}, "dataLayers": [{"name": "z", "dataFormat": "zarr3", "odd": 1}]}
    merged = merge(old, EM, [entry(layer())])
    assert merged["dataLayers"][0] is old["dataLayers"][0]
    assert merged["scale"] == [11.24, 11.24, 28]
    assert "version" not in merged


def test_a_layer_of_the_same_name_is_refused_unless_asked() -> None:
    with pytest.raises(TargetExists, match="color"):
        merge(hand_edited(), EM, [entry(layer())])
    with pytest.raises(TargetExists, match="new"):
        merge(hand_edited(), EM, [entry(layer("new")), entry(layer("new"))])


def test_replacing_forgets_the_old_layer_and_keeps_its_place() -> None:
    new = entry(layer(dtype="uint16", box=Box((0, 0, 0), (9, 9, 9))))
    merged = merge(hand_edited(), EM, [new], same="replace")
    assert merged["dataLayers"] == [new, hand_edited()["dataLayers"][1]]


def test_extending_takes_extent_and_mags_and_keeps_the_edits() -> None:
    old = hand_edited()
    old["dataLayers"][0]["mags"][0]["credentialId"] = "x"
    new = entry(layer(mags=[Mag(4, 4, 2), Mag(2, 2, 1)], box=Box((0, 0, 0), (9, 9, 9)), color=(9, 9, 9)))
    (found, other) = merge(old, EM, [new], same="extend")["dataLayers"]
    assert [m["mag"] for m in found["mags"]] == [[1, 1, 1], [2, 2, 1], [4, 4, 2]]
    assert found["mags"][0]["credentialId"] == "x"
    assert found["boundingBox"]["width"] == 9
    assert found["defaultViewConfiguration"] == {"color": [1, 2, 3], "isInverted": True}
    assert found["coordinateTransformations"] == [{"type": "affine"}]
    assert other == old["dataLayers"][1]


def test_extending_with_the_same_layer_changes_nothing() -> None:
    new = [entry(layer()), entry(layer("seg", "segmentation", "uint32"))]
    once = merge(None, EM, new)
    assert merge(once, EM, new, same="extend") == once


def test_extending_brings_older_forms_to_the_newer() -> None:
    old = merge(None, EM, [entry(layer())])
    del old["dataLayers"][0]["mags"]
    old["dataLayers"][0]["wkwResolutions"] = [{"resolution": 1, "cubeLength": 32}]
    (found,) = merge(old, EM, [entry(layer(mags=[Mag(2, 2, 2)]))], same="extend")["dataLayers"]
    assert "wkwResolutions" not in found
    assert [m["mag"] for m in found["mags"]] == [[1, 1, 1], [2, 2, 2]]
    assert all("axisOrder" in m and "resolution" not in m for m in found["mags"])
    assert set(stored_layer(found).mags) == {
        Mag(1, 1, 1),
        Mag(2, 2, 2),
    }


def test_extending_a_layer_of_another_dtype_is_refused() -> None:
    with pytest.raises(TargetExists, match="uint8") as caught:
        merge(hand_edited(), EM, [entry(layer(dtype="uint16"))], same="extend")
    assert "uint16" in caught.value.why


def test_extending_a_layer_of_another_format_is_refused() -> None:
    old = hand_edited()
    old["dataLayers"][0]["dataFormat"] = "zarr3"
    with pytest.raises(TargetExists) as caught:
        merge(old, EM, [entry(layer())], same="extend")
    assert "zarr3" in caught.value.why


def test_another_voxel_size_is_refused_and_the_same_in_another_unit_is_not() -> None:
    old = merge(None, EM, [])
    merge(old, DatasetSpec("d", VoxelSize((0.01124, 0.01124, 0.028), "µm")), [])
    merge(old, DatasetSpec("d", VoxelSize((11.239999771118164, None, 28.0))), [])
    merge(old, DatasetSpec("d", None), [])
    with pytest.raises(InconsistentStack, match=r"11\.24 x 11\.24 x 28 nm") as caught:
        merge(old, DatasetSpec("d", VoxelSize((11.24, 11.24, 30.0))), [])
    assert "--voxel-size 11.24,11.24,28.0 --unit nm" in caught.value.fix


# --- reading


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b"\xff\xfe", "utf-8"),
        (b"[]", "does not hold a JSON object"),
        (b'{"id": {}, "scale": [1, 1, 1]}', "no 'dataLayers'"),
        (b'{"id": {}, "dataLayers": []}', "no 'scale'"),
        (b'{"scale": [1, 1, 1], "dataLayers": []}', "no 'id'"),
        (b'{"id": {}, "scale": [1, 1], "dataLayers": []}', "three numbers"),
        (b'{"id": {}, "scale": [1, 1, 0], "dataLayers": []}', "cannot measure 0 nm along z"),
        (b'{"id": {}, "scale": [1, 1, 1e999], "dataLayers": []}', "cannot measure inf nm"),
        (b'{"id": {}, "scale": [1, 1, NaN], "dataLayers": []}', "NaN is no JSON number"),
        (b'{"id": {}, "scale": {"factor": [1, 1, 1], "unit": "smoot"}, "dataLayers": []}', "'smoot'.*nanometer"),
        (b'{"id": {}, "scale": [1, 1, 1], "dataLayers": [3]}', "layer 0 is not a JSON object"),
        (b'{"id": {}, "scale": [1, 1, 1], "dataLayers": [{"name": "c"}]}', "'c' has no 'category'"),
        (b"[" * 100_000, "recursion|nest"),
    ],
)
def test_damaged_metadata_are_an_error_that_names_the_file(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(BrokenSource, match=str(tmp_path / NAME)) as caught:
        read(tmp_path / NAME)
    assert re.search(why, caught.value.why)
    with pytest.raises(DamagedData):
        read(tmp_path / NAME, DamagedData)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(BrokenSource, match=str(tmp_path / NAME)):
        read(tmp_path / NAME)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"category": "colour"}, "colour"),
        ({"elementClass": "bool"}, "bool"),
        ({"numChannels": "3"}, ""),
        ({"boundingBox": {"topLeft": [0, 0, 0], "width": 3, "height": 3}}, "depth"),
        ({"boundingBox": {"topLeft": [0, 0, 0], "width": 3, "height": 3, "depth": -1}}, "-1"),
        ({"boundingBox": {"topLeft": [0, 0], "width": 3, "height": 3, "depth": 1}}, ""),
        ({"mags": [{"mag": [3, 1, 1]}]}, "power"),
        ({"mags": [{}]}, "None is no mag"),
        ({"mags": ["1"]}, ""),
        ({"largestSegmentId": "x"}, "x"),
        ({"defaultViewConfiguration": {"color": [1, 2]}}, ""),
    ],
)
def test_a_layer_that_makes_no_sense_is_named(change: dict[str, Any], why: str) -> None:
    properties = {"dataLayers": [{**entry(layer()), **change}]}
    with pytest.raises(BrokenSource, match=r"datasource-properties.json: layer 'color'") as caught:
        [stored_layer(each, Path("set")) for each in (properties)["dataLayers"]]
    assert why in caught.value.why


@given(
    st.tuples(*[st.integers(0, 10**6)] * 3),
    st.tuples(*[st.integers(1, 10**6)] * 3),
    st.sampled_from(["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"]),
    st.integers(1, 5),
    st.sets(st.sampled_from([Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 2), Mag(8, 8, 8)]), min_size=1),
)
def test_what_is_written_is_read_back(start: Any, shape: Any, dtype: str, channels: int, mags: set[Mag]) -> None:
    spec = layer("l", dtype=dtype, channels=channels, box=Box(start, shape), mags=sorted(mags))
    found = stored_layer(json.loads(json.dumps(merge(None, EM, [entry(spec)])))["dataLayers"][0])
    assert (found.name, found.category, found.box) == ("l", "color", spec.box)
    assert (found.dtype, found.channels, set(found.mags)) == (spec.dtype, channels, mags)


@paths.needs_samples
def test_metadata_of_other_tools_are_read() -> None:
    simple, old, rich = (
        [stored_layer(each, SAMPLES / name) for each in (read(SAMPLES / name / NAME))["dataLayers"]]
        for name in ("simple_wkw_dataset", "old_wkw_dataset", "complex_property_ds")
    )
    assert (simple[0].dtype, simple[0].channels, simple[0].color) == (np.uint8, 3, (255, 0, 0))
    assert simple[0].box == Box((0, 0, 0), (24, 24, 24))
    assert set(old[0].mags) == {Mag(1, 1, 1), Mag(2, 2, 2)}
    assert voxel_size(read(SAMPLES / "old_wkw_dataset" / NAME)).size[2] == 28
    assert [one.name for one in rich] == ["color", "segmentation"]
    assert rich[1].largest_segment_id == 10**9
    assert mag_folder(SAMPLES / "old_wkw_dataset", old[0], Mag(2, 2, 2)).is_dir()


def test_ids_in_an_envelope_are_read() -> None:
    spec = entry(layer("s", "segmentation", "uint64"))
    spec["largestSegmentId"] = {"customJsonEncoding": "bigint", "value": "18446744073709551615"}
    assert stored_layer(spec).largest_segment_id == 2**64 - 1


@pytest.mark.parametrize("path", ["../other/color/1", "/etc", "color/../../x", "s3://b/color", "link/1", "..\\x"])
def test_a_path_that_leaves_the_dataset_is_no_folder_of_it(tmp_path: Path, path: str) -> None:
    dataset = tmp_path / "set"
    dataset.mkdir()
    (dataset / "link").symlink_to(tmp_path)
    spec = entry(layer())
    spec["mags"] = [{"mag": [1, 1, 1], "path": path}]
    found = stored_layer(spec, dataset)
    assert mag_folder(dataset, found, Mag(1, 1, 1)) is None


@pytest.mark.parametrize("folder", ["2", "2-2-2"])
def test_a_mag_without_a_path_is_found_by_either_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / "color" / folder).mkdir(parents=True)
    spec = entry(layer())
    spec["mags"] = [{"mag": [2, 2, 2], "cubeLength": 32}]
    found = stored_layer(spec, tmp_path)
    assert mag_folder(tmp_path, found, Mag(2, 2, 2)) == tmp_path / "color" / folder


# --- writing


def test_the_file_has_indent_4_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    properties = merge(None, EM, [entry(layer())])
    write(tmp_path / NAME, properties)
    assert (tmp_path / NAME).read_text() == json.dumps(properties, indent=4) + "\n"
    assert names(tmp_path) == [NAME]


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write(tmp_path / NAME, {})
    (tmp_path / "other").write_text("")
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_none_never_reach_the_file(tmp_path: Path, number: float) -> None:
    write(tmp_path / NAME, {"old": 1})
    with pytest.raises(ConversionError, match=NAME):
        write(tmp_path / NAME, {"scale": [1, number]})
    assert read_raw(tmp_path) == {"old": 1}


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def read_raw(folder: Path) -> Any:
    assert names(folder) == [NAME]
    return json.loads((folder / NAME).read_text())


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EIO, TargetNotWritable)])
def test_a_failing_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, kind: type[Exception]
) -> None:
    write(tmp_path / NAME, {"old": 1})

    def fail(*arguments: Any) -> Any:
        raise OSError(number, os.strerror(number))

    if step == "write":
        real = Path.open
        monkeypatch.setattr(Path, "open", lambda path, *rest: Torn(real(path, *rest), fail))
    else:
        monkeypatch.setattr(*{"open": (Path, "open"), "fsync": (os, "fsync"), "replace": (Path, "replace")}[step], fail)
    with pytest.raises(kind, match=NAME) as caught:
        write(tmp_path / NAME, {"new": 2})
    monkeypatch.undo()
    assert os.strerror(number) in str(caught.value)
    assert read_raw(tmp_path) == {"old": 1}


class Torn:
    """A file that takes half of what is written, and then fails."""

    def __init__(self, file: Any, fail: Any) -> None:
        self.file, self.fail = file, fail

    def __enter__(self) -> "Torn":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        self.fail()


@pytest.mark.parametrize("step", ["os.fsync", "Path.replace"])
def test_a_killed_write_leaves_the_old_file_and_what_sweep_removes(tmp_path: Path, step: str) -> None:
    write(tmp_path / NAME, {"old": 1})
    script = f"""
import os
from pathlib import Path
from wkconvert_core.datasets.properties_file import write
{step} = lambda *arguments: os._exit(9)
write(Path({str(tmp_path / NAME)!r}), {{"new": 2}})
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert json.loads((tmp_path / NAME).read_text()) == {"old": 1}
    assert all(name == NAME or name.startswith(".") for name in names(tmp_path))
    assert len(names(tmp_path)) == 2
    datasource.sweep(tmp_path)
    assert read_raw(tmp_path) == {"old": 1}


def test_the_content_is_synced_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def replaced(path: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write(tmp_path / NAME, {})
    assert steps == ["file", "replace", "folder"]


def test_a_folder_that_cannot_be_synced_is_no_error_but_a_failing_disk_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    for number, raises in ((errno.EINVAL, False), (errno.EIO, True)):

        def fail(handle: int, number: int = number) -> None:
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                raise OSError(number, os.strerror(number))
            real(handle)

        monkeypatch.setattr(os, "fsync", fail)
        if raises:
            with pytest.raises(TargetNotWritable):
                write(tmp_path / NAME, {})
            with pytest.raises(TargetError):
                sync([tmp_path / NAME])
        else:
            write(tmp_path / NAME, {})
            sync([tmp_path / NAME])


def test_writers_at_the_same_time_never_tear_the_file(tmp_path: Path) -> None:
    contents = [{"n": [n] * 5000} for n in range(8)]
    threads = [threading.Thread(target=lambda c=c: [write(tmp_path / NAME, c) for _ in range(5)]) for c in contents]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_raw(tmp_path) in contents


@pytest.mark.parametrize("change", [{"mags": "1"}, {"boundingBox": {}}, {"elementClass": "bool"}])
def test_extending_a_layer_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    old = hand_edited()
    old["dataLayers"][0] |= change
    with pytest.raises(BrokenSource, match="layer 'color'"):
        merge(old, EM, [entry(layer())], same="extend")


def test_a_folder_that_does_not_exist_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(TargetNotWritable, match="No such file"):
        write(tmp_path / "none" / NAME, {})
