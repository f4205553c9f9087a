import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import paths
from helpers.datasets import PEER, needs_peer

from wkconvert_core.contract.errors import (
    BrokenSource,
    DamagedData,
    InconsistentStack,
    OptionError,
    TargetError,
    WkconvertError,
)
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.hookspecs import PROJECT
from wkconvert_core.contract.model import Confidence, DatasetSpec, LayerSpec, MagSpec
from wkconvert_core.contract.reader_options import UnknownOption
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file as datasource
from wkconvert_core.datasets.reader import wkconvert_detect, wkconvert_open
from wkconvert_core.datasets.writer import DatasetWriter

SAMPLES = paths.SAMPLES / "wkw"

NAME = "datasource-properties.json"
EM = DatasetSpec("my set", VoxelSize((11.24, 11.24, 28.0), "nm", "here"))
Volume = np.ndarray[Any, np.dtype[Any]]


def volume(dtype: str, channels: int, shape: tuple[int, ...], seed: int = 0) -> Volume:
    return (np.random.default_rng(seed).random((channels, *shape)) * 100).astype(dtype)


def put(dataset: DatasetWriter, spec: LayerSpec, data: Volume) -> None:
    """Write a layer; coarser mags hold the first voxels of the finest."""
    for mag in spec.mags:
        sink = dataset.layer(mag)
        for part in mag.box.tiles(sink.shard_shape):
            sink.write(part, data[(slice(None), *part.slices_in(mag.box))])


def layer(name: str, category: Any, dtype: str, channels: int = 1, **more: Any) -> LayerSpec:
    box = Box((3, 4, 5), (70, 50, 33))
    mags = [
        MagSpec(name, category, mag, box.coarsened(mag), np.dtype(dtype), channels, (32 * length,) * 3, "wkw")
        for mag, length in ((Mag(1, 1, 1), 2), (Mag(2, 2, 1), 1))
    ]
    return LayerSpec(name, category, box, np.dtype(dtype), channels, mags, **more)


LAYERS = [
    layer("color", "color", "uint8", 3, color=(255, 0, 0)),
    layer("grey", "color", "uint16", value_range=(0, 99), intensity_range=(5, 90)),
    layer("fine", "color", "float32", value_range=(-0.5, 99.5)),
    layer("seg", "segmentation", "uint32", largest_segment_id=99),
    layer("empty", "segmentation", "int64", largest_segment_id=0),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = DatasetWriter(tmp_path_factory.mktemp("made") / "set", EM)
    for number, spec in enumerate(LAYERS):
        put(dataset, spec, volume(spec.dtype.name, spec.channels, spec.box.shape, number))
    dataset.finish(LAYERS)
    return dataset.path


def test_the_metadata_say_each_mags_own_cube_length(made: Path) -> None:
    entries = json.loads((made / NAME).read_text())["dataLayers"]
    assert [entry["name"] for entry in entries] == [spec.name for spec in LAYERS]
    assert [[mag["cubeLength"] for mag in entry["mags"]] for entry in entries] == [[64, 32]] * len(LAYERS)


def test_a_written_dataset_is_read_as_it_was_meant(made: Path) -> None:
    match = wkconvert_detect(made, b"")
    assert match
    assert match.confidence == Confidence.EXACT
    layers = wkconvert_open("webknossos", made, {})
    assert layers
    for number, (found, spec) in enumerate(zip(layers, LAYERS, strict=True)):
        assert (found.name, found.category, found.color) == (spec.name, spec.category, spec.color)
        assert set(found.mags) == {Mag(1, 1, 1), Mag(2, 2, 1)}
        assert found.source.info.offset == (3, 4, 5)
        assert found.source.info.voxel_size == VoxelSize((11.24, 11.24, 28.0), "nm", NAME)
        assert found.mags[Mag(2, 2, 1)].info.shape == (36, 25, 33)
        assert found.mags[Mag(2, 2, 1)].info.voxel_size == VoxelSize((22.48, 22.48, 28.0), "nm", NAME)
        data = volume(spec.dtype.name, spec.channels, spec.box.shape, number)
        assert np.array_equal(pickle.loads(pickle.dumps(found.source)).read(Box((0, 0, 0), spec.box.shape)), data)


ASK_PEER = """
import json, sys, numpy as np, webknossos as wk
dataset = wk.Dataset.open(sys.argv[1])
def told(layer):
    view, box = layer.default_view_configuration, layer.bounding_box
    finest = layer.get_finest_mag()
    return {
        "category": layer.category,
        "box": [*box.topleft.to_list(), *box.size.to_list()],
        "dtype": str(np.dtype(layer.dtype)),
        "channels": layer.num_channels,
        "mags": sorted(map(str, layer.mags)),
        "largest": getattr(layer, "largest_segment_id", None),
        "view": view and {"min": view.min, "max": view.max, "range": view.intensity_range, "color": view.color},
        "sum": float(finest.read().astype("f8").sum()),
    }
size = dataset.voxel_size_with_unit
print(json.dumps({
    "name": dataset.name, "factor": list(size.factor), "unit": size.unit.value,
    "layers": {name: told(layer) for name, layer in dataset.layers.items()},
}))
"""


def ask_peer(path: Path) -> Any:
    done = subprocess.run(
        [PEER, "-W", "ignore", "-c", ASK_PEER, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@needs_peer
def test_webknossos_opens_what_was_written(made: Path) -> None:
    told = ask_peer(made)
    assert (told["factor"], told["unit"]) == ([11.24, 11.24, 28.0], "nanometer")
    views = {
        "color": {"min": None, "max": None, "range": None, "color": [255, 0, 0]},
        "grey": {"min": 0, "max": 99, "range": [5, 90], "color": None},
        "fine": {"min": -0.5, "max": 99.5, "range": [-0.5, 99.5], "color": None},
    }
    for number, spec in enumerate(LAYERS):
        data = volume(spec.dtype.name, spec.channels, spec.box.shape, number)
        assert told["layers"][spec.name] == {
            "category": spec.category,
            "box": [3, 4, 5, 70, 50, 33],
            "dtype": spec.dtype.name,
            "channels": spec.channels,
            "mags": ["1", "2-2-1"],
            "largest": spec.largest_segment_id or None,
            "view": views.get(spec.name),
            "sum": pytest.approx(float(data.astype("f8").sum())),
        }


@needs_peer
def test_webknossos_opens_a_dataset_to_which_a_layer_was_added(tmp_path: Path) -> None:
    dataset = DatasetWriter(tmp_path / "set", EM)
    for spec in LAYERS[:2]:
        put(dataset, spec, volume(spec.dtype.name, spec.channels, spec.box.shape))
        dataset.finish([spec])
    assert set(ask_peer(dataset.path)["layers"]) == {"color", "grey"}


@needs_peer
def test_webknossos_opens_an_old_dataset_to_which_a_mag_was_added(tmp_path: Path) -> None:
    dataset, spec = DatasetWriter(tmp_path / "set", EM), LAYERS[3]
    put(dataset, spec, volume("uint32", 1, spec.box.shape))
    dataset.finish([replace(spec, mags=spec.mags[:1])])
    properties = json.loads((dataset.path / NAME).read_text())
    properties["scale"] = properties["scale"]["factor"]
    del properties["dataLayers"][0]["mags"], properties["dataLayers"][0]["numChannels"]
    properties["dataLayers"][0]["wkwResolutions"] = [{"resolution": 1, "cubeLength": 64}]
    (dataset.path / NAME).write_text(json.dumps(properties))
    dataset.finish([spec])
    told = ask_peer(dataset.path)
    assert told["layers"]["seg"]["mags"] == ["1", "2-2-1"]
    assert told["factor"] == [11.24, 11.24, 28.0]


@needs_peer
@pytest.mark.parametrize("largest", [2**53 + 1, 2**64 - 1])
def test_webknossos_reads_the_largest_ids(tmp_path: Path, largest: int) -> None:
    dataset, spec = DatasetWriter(tmp_path, EM), layer("ids", "segmentation", "uint64", largest_segment_id=largest)
    put(dataset, spec, np.full((1, *spec.box.shape), largest, np.uint64))
    dataset.finish([spec])
    assert ask_peer(tmp_path)["layers"]["ids"]["largest"] == largest


def test_what_wkw_reads_is_what_the_reader_reads(made: Path) -> None:
    wkw = pytest.importorskip("wkw")
    (seg,) = (found for found in wkconvert_open("webknossos", made, {}) or [] if found.name == "seg")
    with wkw.Dataset.open(str(made / "seg" / "1")) as theirs:
        assert np.array_equal(theirs.read((3, 4, 5), (70, 50, 33)), seg.source.read(Box((0, 0, 0), (70, 50, 33))))


def test_finishing_again_changes_not_a_byte(made: Path) -> None:
    before = (made / NAME).read_bytes()
    DatasetWriter(made, EM).finish(LAYERS)
    assert (made / NAME).read_bytes() == before


def test_finishing_keeps_edits_and_sweeps_what_a_kill_left(tmp_path: Path) -> None:
    dataset = DatasetWriter(tmp_path, EM)
    put(dataset, LAYERS[0], volume("uint8", 3, (70, 50, 33)))
    dataset.finish(LAYERS[:1])
    properties = json.loads((tmp_path / NAME).read_text()) | {"licence": "CC0"}
    properties["id"]["team"] = "lab"
    properties["dataLayers"][0]["defaultViewConfiguration"]["isInverted"] = True
    (tmp_path / NAME).write_text(json.dumps(properties))
    (tmp_path / f".{NAME}.1-x.tmp").write_text("{")
    dataset.finish(LAYERS[:1])
    assert json.loads((tmp_path / NAME).read_text()) == properties
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "color"}


def test_layers_added_without_a_voxel_size_wait_for_one(tmp_path: Path) -> None:
    dataset = DatasetWriter(tmp_path, DatasetSpec("d", None))
    put(dataset, LAYERS[0], volume("uint8", 3, (70, 50, 33)))
    dataset.finish(LAYERS[:1])
    assert not (tmp_path / NAME).exists()
    DatasetWriter(tmp_path, EM).finish(LAYERS[:1])
    put(dataset, LAYERS[1], volume("uint16", 1, (70, 50, 33)))
    dataset.finish(LAYERS[1:2])
    assert datasource.layer_names(datasource.read(tmp_path / NAME)) == ["color", "grey"]


def test_metadata_never_list_a_mag_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DamagedData, match="color/1"):
        DatasetWriter(tmp_path, EM).finish(LAYERS[:1])
    assert list(tmp_path.iterdir()) == []


def test_damaged_metadata_are_not_overwritten(made: Path, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    with pytest.raises(DamagedData, match=NAME):
        DatasetWriter(tmp_path, EM).finish([])
    with pytest.raises(DamagedData, match=NAME):
        DatasetWriter(tmp_path, EM).check()
    assert (tmp_path / NAME).read_text() == "{"


# --- what is refused


def mag(**changes: Any) -> MagSpec:
    dtype = np.dtype(changes.pop("dtype", "uint8"))
    return MagSpec(
        *("color", "color", Mag(1, 1, 1), Box((0, 0, 0), (9, 9, 9)), dtype, changes.pop("channels", 1)),
        data_format="wkw",
        **changes,
    )


@pytest.mark.parametrize("length", [0, 3, 128, -1])
def test_a_wrong_file_length_lists_the_legal_ones(tmp_path: Path, length: int) -> None:
    with pytest.raises(OptionError, match=f"--file-len {length}") as caught:
        DatasetWriter(tmp_path, EM, {"file_len": str(length)}).layer(mag())
    assert "1, 2, 4, 8, 16, 32, 64" in caught.value.fix


@pytest.mark.parametrize("changes", [{"compression": "zip"}, {"compression": "lz4hc", "compression_level": "13"}])
def test_a_wrong_compression_lists_the_legal_ones(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(OptionError) as caught:
        DatasetWriter(tmp_path, EM, changes).layer(mag())
    assert "none, lz4, lz4hc" in caught.value.fix or "1 to 12" in caught.value.fix


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [("bool", "--dtype uint8"), ("float16", "--dtype float32"), ("complex64", "real"), ("complex128", "real")],
)
def test_an_element_type_that_wkw_lacks_is_named_with_a_remedy(tmp_path: Path, dtype: str, remedy: str) -> None:
    with pytest.raises(TargetError, match=dtype) as caught:
        DatasetWriter(tmp_path, EM).layer(mag(dtype=dtype))
    assert remedy in caught.value.fix


@pytest.mark.parametrize(
    ("dtype", "channels", "fits"), [("uint8", 255, True), ("uint8", 256, False), ("uint64", 32, False)]
)
def test_a_voxel_has_at_most_255_bytes(tmp_path: Path, dtype: str, channels: int, fits: bool) -> None:
    dataset = DatasetWriter(tmp_path, EM)
    if fits:
        dataset.layer(mag(dtype=dtype, channels=channels))
    else:
        with pytest.raises(TargetError, match=f"{channels} channels"):
            dataset.layer(mag(dtype=dtype, channels=channels))


def test_a_layer_name_that_leaves_the_dataset_is_refused(tmp_path: Path) -> None:
    spec = MagSpec("../x", "color", Mag(1, 1, 1), Box((0, 0, 0), (9, 9, 9)), np.dtype("uint8"), 1, data_format="wkw")
    with pytest.raises(OptionError, match=r"\.\./x"):
        DatasetWriter(tmp_path, EM).layer(spec)


def test_another_voxel_size_is_noticed_before_anything_is_written(made: Path) -> None:
    with pytest.raises(InconsistentStack):
        DatasetWriter(made, DatasetSpec("d", VoxelSize((1.0, 1.0, 1.0)))).check()


# --- datasets of others


def test_only_a_folder_with_metadata_is_claimed_and_surely_only_one_with_a_layer(tmp_path: Path) -> None:
    assert wkconvert_detect(tmp_path, b"") is None
    (tmp_path / "x.tif").write_bytes(b"II*\0")
    assert wkconvert_detect(tmp_path / "x.tif", b"II*\0") is None
    empty = datasource.merge(None, EM, [])
    (tmp_path / NAME).write_text(json.dumps(empty))
    match = wkconvert_detect(tmp_path, b"")
    assert match
    assert match.confidence == Confidence.CONTENT
    with pytest.raises(BrokenSource, match="holds no layer that can be read"):
        wkconvert_open("webknossos", tmp_path, {})
    assert wkconvert_open("tiff", tmp_path, {}) is None


def test_damaged_metadata_are_claimed_and_then_explained(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"id": {}')
    match = wkconvert_detect(tmp_path, b"")
    assert match
    assert "damaged" in match.reason
    with pytest.raises(BrokenSource, match="no valid JSON"):
        wkconvert_open("webknossos", tmp_path, {})


def test_the_reader_has_no_options(made: Path) -> None:
    with pytest.raises(UnknownOption, match="timepoint"):
        wkconvert_open("webknossos", made, {"timepoint": "1"})


def changed(made: Path, tmp_path: Path, **change: Any) -> Path:
    """A copy of the metadata of `made` with its first layer changed, beside links to nothing but copies of its data."""
    properties = json.loads((made / NAME).read_text())
    properties["dataLayers"] = [{**properties["dataLayers"][0], **change}]
    (tmp_path / "color" / "1").mkdir(parents=True)
    (tmp_path / "color" / "1" / "header.wkw").write_bytes((made / "color" / "1" / "header.wkw").read_bytes())
    (tmp_path / NAME).write_text(json.dumps(properties))
    return tmp_path


def test_a_coarser_mag_that_is_missing_is_left_out_with_a_note(made: Path, tmp_path: Path) -> None:
    (found,) = wkconvert_open("webknossos", changed(made, tmp_path), {}) or []
    assert set(found.mags) == {Mag(1, 1, 1)}
    assert found.notes == ("mags listed for layer color, but missing: 2-2-1",)
    assert not found.source.read(Box((0, 0, 0), (3, 3, 3))).any()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"mags": [{"mag": [1, 1, 1], "path": "./color/none"}]}, "color/none is missing"),
        ({"mags": []}, "lists no mag"),
        ({"elementClass": "uint16", "numChannels": 1}, "says 1 x uint16"),
        ({"mags": [{"mag": [1, 1, 1], "path": "../color/1"}]}, "it lies elsewhere, at ../color/1"),
        ({"dataFormat": "n5"}, ""),
    ],
)
def test_metadata_that_do_not_fit_the_data_are_refused(made: Path, tmp_path: Path, change: Any, why: str) -> None:
    with pytest.raises(WkconvertError) as caught:
        wkconvert_open("webknossos", changed(made, tmp_path, **change), {})
    assert why in caught.value.why


@pytest.mark.parametrize("side", ["width", "height", "depth"])
def test_a_layer_without_voxels_is_an_error_that_says_how_to_go_on(made: Path, tmp_path: Path, side: str) -> None:
    box = json.loads((made / NAME).read_text())["dataLayers"][0]["boundingBox"]
    folder = changed(made, tmp_path, boundingBox=box | {side: 0})
    with pytest.raises(BrokenSource, match="has no voxels") as caught:
        wkconvert_open("webknossos", folder, {})
    assert "--extent" in caught.value.fix


def test_layers_of_other_formats_are_left_out_with_a_note(made: Path, tmp_path: Path) -> None:
    folder = changed(made, tmp_path)
    properties = json.loads((folder / NAME).read_text())
    properties["dataLayers"].append({**properties["dataLayers"][0], "name": "z", "dataFormat": "n5"})
    (folder / NAME).write_text(json.dumps(properties))
    (found,) = wkconvert_open("webknossos", folder, {}) or []
    assert "layer z is left alone: its format is n5, which no installed plugin stores" in found.notes


@paths.needs_samples
@pytest.mark.parametrize("name", ["simple_wkw_dataset", "old_wkw_dataset", "complex_property_ds"])
def test_datasets_of_other_tools_are_read_as_wkw_reads_them(name: str) -> None:
    wkw = pytest.importorskip("wkw")
    match = wkconvert_detect(SAMPLES / name, b"")
    assert match
    assert match.confidence == Confidence.EXACT
    for found in wkconvert_open("webknossos", SAMPLES / name, {}) or []:
        for number, source in found.mags.items():
            shape = tuple(min(side, 48) for side in source.info.shape)
            with wkw.Dataset.open(str(SAMPLES / name / str(found.name) / str(number))) as theirs:
                data = theirs.read(source.info.offset, shape)
            assert source.info.dtype == data.dtype
            assert np.array_equal(source.read(Box((0, 0, 0), shape)), data)  # type: ignore[arg-type]


@pytest.mark.slow
def test_importing_costs_no_format_library() -> None:
    script = "import sys, wkconvert_core.datasets.writer, wkconvert_core.datasets.reader; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tifffile", "imageio", "wkw", "scipy", "PIL", "joblib", "rich", "typer"} & set(found)


def test_the_hooks_are_marked_for_the_plugin_manager() -> None:
    for hook in (wkconvert_detect, wkconvert_open):
        assert hasattr(hook, f"{PROJECT}_impl")
