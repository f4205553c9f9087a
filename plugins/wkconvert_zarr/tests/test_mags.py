"""Datasets whose mags are arrays of Zarr: every command works on them, and other programs read every voxel."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.conversions import SETTINGS, different, edited, every_mag, layers_of, properties, read
from helpers.datasets import box_of, entries, run
from zarrs import raw_volume, zarr

from wkconvert_core import NO_FILE, Box, BrokenSource, DamagedData, Mag, MagSpec, OptionError, StoredMag
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.mag_format import ComparedMag, ListingFormat
from wkconvert_core.conversion.execute import convert
from wkconvert_core.registry.plugins import plugins
from wkconvert_zarr.mags.sink import ZarrSink

FORMATS = ["zarr3", "zarr"]
SIZE = ("--voxel-size", "4,4,35", "--layer-name", "color", "-q")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return raw_volume(tmp_path_factory.mktemp("src") / "color", (70, 50, 40), "uint8")


@pytest.fixture(scope="module")
def wkw(source, tmp_path_factory):
    target = tmp_path_factory.mktemp("wkw") / "ds"
    run("auto", source, target, *SIZE)
    return target


@pytest.fixture(scope="module", params=FORMATS)
def made(request, source, tmp_path_factory):
    target = tmp_path_factory.mktemp(request.param) / "ds"
    run("auto", source, target, *SIZE, "--to", request.param, "--to-option", "chunk=16")
    return target


@pytest.fixture
def dataset(made, tmp_path):
    """A dataset of our own in either version, to be changed."""
    return shutil.copytree(made, tmp_path / "ds")


def arrays(dataset):
    """Each mag as zarr-python reads it, cut to the extent that the metadata state."""
    found = {}
    for name, layer in entries(dataset).items():
        for mag, place in layer["mags"]:
            start, shape = box_of(layer, mag)
            array = zarr.open_array(dataset / place, mode="r")
            inside = (slice(a, a + length) for a, length in zip(start, shape, strict=True))
            found[name, Mag(*mag)] = array[:, *inside]
    return found


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])


def shard_of(dataset, mag="1"):
    """One of the files of a mag."""
    form = plugins().mag_formats()[layers_of(dataset)["color"]["dataFormat"]]
    return sorted(shard.path for shard in form.open(dataset / "color" / mag).shards())[-1]


def test_it_is_what_the_contract_asks_for(made):
    form = plugins().mag_formats()[layers_of(made)["color"]["dataFormat"]]
    assert isinstance(form, ListingFormat)
    mag = form.open(made / "color" / "1")
    assert isinstance(mag, StoredMag)
    assert isinstance(mag, ComparedMag)


def test_every_mag_is_that_of_wkw_and_zarr_python_reads_it(made, wkw):
    assert not list(made.rglob("*.wkw"))
    assert_same(every_mag(made), every_mag(wkw))
    assert_same(arrays(made), every_mag(wkw))
    assert check_equality(made, wkw).equal


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "uint64", "int64", "float32", "float64"])
def test_every_dtype_comes_back_with_each_bit(tmp_path, to, dtype):
    source = raw_volume(tmp_path / "color", (40, 33, 20), dtype, signed_zeros=True)
    expected = np.fromfile(next(source.iterdir()), dtype).reshape((1, 40, 33, 20), order="F")
    options = ("--to", to, "--category", "color", "--no-downsample")
    run("auto", source, tmp_path / "ds", *SIZE, *options)
    assert read(tmp_path / "ds").tobytes() == expected.tobytes()
    assert arrays(tmp_path / "ds")["color", Mag(1, 1, 1)].tobytes() == expected.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("compression", ["zstd", "blosc", "gzip", "none"])
def test_each_compression_is_read_by_zarr_python_and_named_by_info(source, wkw, tmp_path, to, compression):
    run("auto", source, tmp_path / "ds", *SIZE, "--to", to, "--compression", compression, "--to-option", "chunk=32")
    assert_same(arrays(tmp_path / "ds"), every_mag(wkw))
    told = json.loads(run("info", tmp_path / "ds", "--json"))["stored"]
    assert {mag["compression"] for mag in told} == {compression}
    assert verify(tmp_path / "ds").sound


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--compression", "lz4"], "--to-option compression=lz4 does not fit. it takes: zstd, blosc, gzip, none"),
        (["--compression", "none", "--compression-level", "3"], "none has no levels"),
        (["--compression", "gzip", "--compression-level", "11"], "gzip has levels 1 to 9"),
        (["--to-option", "chunk=33"], "take a power of two from 8 to 1024"),
        (["--to-option", "chunk=64", "--to-option", "shard=32"], "less than a chunk of 64"),
        (["--file-len", "4"], "this writer's options: chunk, compression, compression_level, shard"),
    ],
)
def test_options_are_checked_and_the_legal_ones_named(source, tmp_path, options, words):
    with pytest.raises(OptionError) as caught:
        run("auto", source, tmp_path / "ds", *SIZE, "--to", "zarr3", *options)
    assert words in str(caught.value)
    assert not (tmp_path / "ds").exists()


def test_chunks_and_shards_are_as_asked(source, tmp_path):
    options = (
        "--to-option",
        "chunk=16",
        "--to-option",
        "shard=64",
        "--compression",
        "zstd",
        "--compression-level",
        "9",
    )
    run("auto", source, tmp_path / "ds", *SIZE, "--to", "zarr3", *options)
    array = zarr.open_array(tmp_path / "ds" / "color" / "1", mode="r")
    assert (array.shards, array.chunks) == ((1, 64, 64, 64), (1, 16, 16, 16))
    assert '"level": 9' in (tmp_path / "ds" / "color" / "1" / "zarr.json").read_text()


def test_shards_are_as_large_as_those_of_wkw(wkw, made):
    if layers_of(made)["color"]["dataFormat"] == "zarr3":
        told = [json.loads(run("info", each, "--json"))["stored"] for each in (made, wkw)]
        assert [mag["shard_side"] for mag in told[0]] == [mag["shard_side"] for mag in told[1]]


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_shards_of_zeros_have_no_file_and_are_not_missed(tmp_path, to):
    voxels = np.zeros((130, 70, 40), "uint8")
    voxels[:10, :10, :10] = 7
    source = raw_volume(tmp_path / "color", voxels.shape, "uint8", voxels=voxels)
    small = ("--to-option", "shard=32") if to == "zarr3" else ()
    run("auto", source, tmp_path / "ds", *SIZE, "--to", to, "--to-option", "chunk=32", *small)
    form = plugins().mag_formats()[to]
    assert [shard.start for shard in form.open(tmp_path / "ds" / "color" / "1").shards()] == [(0, 0, 0)]
    np.testing.assert_array_equal(read(tmp_path / "ds")[0], voxels)
    found = verify(tmp_path / "ds", deep=True)
    assert found.sound
    assert found.mags[0].shards == found.mags[0].checksums_compared == 1
    assert str(NO_FILE) in (tmp_path / "ds" / ".wkconvert" / "color.auto.shards").read_text()
    run("recube", tmp_path / "ds", tmp_path / "wkw", "--to", "wkw", "-q")
    run("check-equality", tmp_path / "ds", tmp_path / "wkw", "-q")
    run("metadata", tmp_path / "ds", "-q")
    shard_of(tmp_path / "ds").unlink()
    assert "missing" in verify(tmp_path / "ds").damaged[0].reason


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["flipped", "cut", "lost", "empty"])
def test_damage_is_found_wherever_it_is_read(dataset, tmp_path, harm):
    shard = shard_of(dataset)
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes({"flipped": content, "cut": content[:-3], "lost": b"", "empty": b""}[harm])
    if harm == "lost":
        shard.unlink()
    assert [problem.path for problem in verify(dataset).damaged] == [shard]
    with pytest.raises(DamagedData, match=re.escape(str(shard))):
        run("recube", dataset, tmp_path / "copy", "-q")
    with edited(dataset) as found:
        del found["dataLayers"][0]["mags"][1:]
    for mag in ("2-2-1", "4-4-1"):
        shutil.rmtree(dataset / "color" / mag)
    with pytest.raises(DamagedData, match=re.escape(str(shard))):
        run("downsample", dataset, "-q")


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("compression", ["zstd", "blosc", "gzip", "none"])
def test_without_a_record_a_flipped_bit_is_found_where_the_codec_has_a_checksum(source, tmp_path, to, compression):
    run("auto", source, tmp_path / "ds", *SIZE, "--to", to, "--compression", compression, "--no-downsample")
    shutil.rmtree(tmp_path / "ds" / ".wkconvert")
    shard = shard_of(tmp_path / "ds")
    content = shard.read_bytes()
    for place in (11, len(content) // 2, len(content) - 30):
        flipped = bytearray(content)
        flipped[place] ^= 4
        shard.write_bytes(flipped)
        is_protected = to == "zarr3" or compression == "gzip"  # chunks of Zarr 2 have no checksum of their own
        if is_protected:
            assert not verify(tmp_path / "ds").sound, place
    shard.write_bytes(content[: len(content) // 2])
    assert not verify(tmp_path / "ds").sound


def test_new_mags_take_the_layers_own_format(dataset, wkw, tmp_path):
    own = shutil.copytree(wkw, tmp_path / "own")
    for target in (dataset, own):
        run("downsample", target, "--max-mag", "8", "-q")
    assert_same(arrays(dataset), every_mag(own))
    assert verify(dataset, deep=True).sound
    for target in (dataset, own):
        shutil.rmtree(target / "color" / "1")
        with edited(target) as found:
            del found["dataLayers"][0]["mags"][0]
        run("upsample", target, "--target-mag", "1", "-q")
    assert_same(arrays(dataset), every_mag(own))


@pytest.mark.parametrize("to", FORMATS)
def test_cube_metadata_and_compress(source, tmp_path, to):
    run("cube", source, tmp_path / "ds", "--to", to, "--to-option", "chunk=16", "--layer-name", "color", "-q")
    run("metadata", tmp_path / "ds", "--voxel-size", "4,4,35", "-q")
    before = read(tmp_path / "ds")
    assert [mag["compression"] for mag in json.loads(run("info", tmp_path / "ds", "--json"))["stored"]] == ["none"]
    run("compress", tmp_path / "ds", "-q")
    assert [mag["compression"] for mag in json.loads(run("info", tmp_path / "ds", "--json"))["stored"]] == ["zstd"]
    np.testing.assert_array_equal(read(tmp_path / "ds"), before)
    assert_same(arrays(tmp_path / "ds"), {("color", Mag(1, 1, 1)): before})
    assert verify(tmp_path / "ds").sound


def test_recube_writes_wkw_as_zarr_and_back_nothing_has_changed(wkw, made, tmp_path):
    to = layers_of(made)["color"]["dataFormat"]
    own = shutil.copytree(wkw, tmp_path / "wkw")
    with edited(own) as found:
        found["theirs"] = 1
        found["dataLayers"][0] |= {"note": "mine", "defaultViewConfiguration": {"color": [1, 2, 3]}}
    run("recube", own, tmp_path / "copy", "--to", to, "--name", "ds", "-q")
    assert not list((tmp_path / "copy").rglob("*.wkw"))
    run("check-equality", own, tmp_path / "copy", "-q")
    assert_same(arrays(tmp_path / "copy"), every_mag(own))
    run("recube", tmp_path / "copy", tmp_path / "back", "--to", "wkw", "--name", "ds", "-q")
    assert properties(tmp_path / "back") == properties(own)
    assert different(own, tmp_path / "back", "*.wkw") == []


def test_layers_of_several_formats_in_one_dataset(dataset, source):
    run("auto", source, dataset, "--add", "--layer-name", "other", "-q")
    run("downsample", dataset, "--max-mag", "8", "-q")
    assert verify(dataset).sound
    ours = every_mag(dataset)
    for mag in (Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 1), Mag(8, 8, 1)):
        np.testing.assert_array_equal(ours["color", mag], ours["other", mag])


def test_a_layer_may_begin_anywhere_and_what_is_before_takes_no_file(source, tmp_path):
    options = ("--top-left", "1000,2001,37", "--to", "zarr3", "--to-option", "shard=32")
    run("auto", source, tmp_path / "ds", *SIZE, *options)
    run("auto", source, tmp_path / "wkw", *SIZE, *options[:2])
    assert_same(arrays(tmp_path / "ds"), every_mag(tmp_path / "wkw"))
    assert len(list((tmp_path / "ds" / "color" / "1").rglob("c/**/[0-9]*"))) < 60


def test_what_shows_and_exports_works_on_them(dataset, wkw, tmp_path):
    run("preview", dataset, "--output", tmp_path / "a.png", "-q")
    run("preview", wkw, "--output", tmp_path / "b.png", "-q")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pytest.importorskip("wkconvert_tiff")
    for each, out in ((dataset, "ours"), (wkw, "theirs")):
        run("export-tiff", each, tmp_path / out, "-q")
    assert different(tmp_path / "ours", tmp_path / "theirs", "*.tif") == []


@pytest.mark.parametrize("to", FORMATS)
def test_a_run_that_is_begun_again_writes_what_is_lost_or_changed(tmp_path, to, monkeypatch):
    voxels = np.random.default_rng(0).integers(1, 250, (70, 50, 40)).astype("uint8")
    voxels[32:64] = 0
    source = raw_volume(tmp_path / "color", voxels.shape, "uint8", voxels=voxels)
    small = {"shard": "32"} if to == "zarr3" else {}
    settings = replace(SETTINGS, to=to, to_options={"chunk": "32", **small}, strategy="sequential", downsample=False)
    convert(source, tmp_path / "whole" / "ds", settings)
    real, calls = ZarrSink.write, []

    def write(self, box, data):
        if len(calls) == 9:
            raise KeyboardInterrupt
        calls.append(real(self, box, data))
        return calls[-1]

    monkeypatch.setattr(ZarrSink, "write", write)
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "cut" / "ds", settings)
    monkeypatch.undo()
    assert calls.count(NO_FILE) == 3
    name = layers_of(tmp_path / "whole" / "ds").popitem()[0]
    form = plugins().mag_formats()[to]
    left = sorted(shard.path for shard in form.open(tmp_path / "cut" / "ds" / name / "1").shards())
    assert len(left) == 6
    left[0].write_bytes(left[0].read_bytes()[:-1] + b"!")
    left[1].unlink()
    shutil.copy(left[2], form.open(tmp_path / "cut" / "ds" / name / "1").shard_path((32, 0, 0)))
    done = convert(source, tmp_path / "cut" / "ds", settings)
    assert done.resumed == 6
    assert done.notes[-1].startswith("3 shards of an earlier run were gone or not as recorded")
    assert different(tmp_path / "whole", tmp_path / "cut") == []


def test_the_same_voxels_give_the_same_bytes_whatever_order_they_have_in_memory(tmp_path):
    form = plugins().mag_formats()["zarr3"]
    box = Box((5, 0, 0), (45, 60, 33))
    spec = MagSpec("em", "color", Mag(1, 1, 1), box, np.dtype("uint16"), 2)
    voxels = np.random.default_rng(0).integers(0, 9, (2, *box.shape)).astype("uint16")
    sink = form.sink(tmp_path / "1", spec, {"chunk": "16", "shard": "64"})
    sink.begin()
    sums = {sink.write(box, each) for each in (voxels, np.asfortranarray(voxels), voxels[:, ::-1][:, ::-1])}
    assert len(sums) == 1
    assert sink.checksum(box) in sums
    np.testing.assert_array_equal(sink.source().read(Box((0, 0, 0), box.shape)), voxels)
    assert sink.write(box, np.zeros_like(voxels)) == NO_FILE
    assert not sink.has(box)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.update(shape=[1, 7, 50, 40]),
        lambda about: about["codecs"][0]["configuration"]["codecs"][0]["configuration"].update(order=[3, 1, 2, 0]),
        lambda about: about["chunk_key_encoding"].update(name="v2"),
        lambda about: about["attributes"]["wkconvert"].update(codecs=5),
        lambda about: about["attributes"]["wkconvert"].update(fill_value=1 << 80),
    ],
)
def test_a_changed_description_is_no_other_voxels(source, tmp_path, change):
    run("auto", source, tmp_path / "ds", *SIZE, "--to", "zarr3", "--to-option", "chunk=16")
    file = tmp_path / "ds" / "color" / "1" / "zarr.json"
    about = json.loads(file.read_text())
    about["shape"][1] += 64  # others may make it larger
    about["attributes"]["theirs"] = 1
    file.write_text(json.dumps(about))
    assert verify(tmp_path / "ds").sound
    change(about)
    file.write_text(json.dumps(about))
    assert not verify(tmp_path / "ds").sound
    with pytest.raises(BrokenSource, match="damaged"):
        run("recube", tmp_path / "ds", tmp_path / "copy", "-q")


@pytest.mark.parametrize("number", [1 << 80, "x", None, -3, 1.5])
def test_odd_numbers_in_a_description_are_an_error_that_names_it(dataset, number):
    file = next(path for path in (dataset / "color" / "1").iterdir() if path.is_file())
    about = json.loads(file.read_text())
    for where in (about["shape"], about.get("chunks") or about["chunk_grid"]["configuration"]["chunk_shape"]):
        kept, where[1] = where[1], number
        file.write_text(json.dumps(about))
        with pytest.raises(BrokenSource, match=file.name):
            read(dataset)
        where[1] = kept


def test_a_link_in_place_of_an_images_metadata_is_neither_read_nor_written_through(dataset, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"node_type": "group", "attributes": {"secret": 1}, "secret": 1}')
    for name in ("zarr.json", ".zgroup", ".zattrs"):
        for folder in (dataset, dataset / "color"):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(secret)
    run("metadata", dataset, "--name", "other", "-q")
    assert "secret" in secret.read_text()
    written = [
        path for path in (*dataset.glob("*"), *dataset.glob("color/*")) if path.is_file() and not path.is_symlink()
    ]
    assert len(written) >= 3
    assert not any("secret" in path.read_text() for path in written)


COST = """
import re, sys
import numpy as np
from pathlib import Path
from wkconvert_core import Box, Mag, MagSpec
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.process import tune_process

tune_process()
form = plugins().mag_formats()["zarr3"]
peak = lambda: int(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1]) << 10  # of no parent
for side in (32, 320):  # the first loads what there is to load
    box = Box((0, 0, 0), (side,) * 3)
    spec = MagSpec("em", "color", Mag(1, 1, 1), box, np.dtype("uint8"), 1)
    options = {"shard": "512", "compression": sys.argv[2]}
    sink = form.sink(Path(sys.argv[1], str(side)), spec, options)
    sink.begin()
    voxels = np.asfortranarray(np.random.default_rng(0).integers(0, 255, (1, *box.shape), "uint8"))
    before = peak()
    sink.write(box, voxels)
print((peak() - before) / box.volume, sink.write_cost)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="its peak is read there")
@pytest.mark.parametrize("compression", ["zstd", "blosc", "gzip", "none"])
def test_writing_a_shard_takes_the_memory_that_is_planned_for_it(tmp_path, compression):
    line = [sys.executable, "-c", COST, tmp_path, compression]
    measured, planned = map(float, subprocess.run(line, capture_output=True, check=True).stdout.split())
    assert measured <= planned + 0.1
    assert planned <= 2.5 * max(measured, 1)
