"""Damage: chunks, shards and metadata that are cut or lie are errors of ours, never made-up voxels."""

import json
import os
import random
import shutil

import numpy as np
import pytest
from images import READER, array, attributes, n5, ome, precomputed, put, zarr, zyx

from wkconvert_core import BrokenSource, SourceNotFound, UnsupportedSource, WkconvertError
from wkconvert_core.testing import noise

VOXELS = noise(21, 18, 17, dtype="uint16", zeros=False)  # x, y, z
ZSTD = [zarr.codecs.ZstdCodec(level=1, checksum=True)]
SHARDED = {"chunks": (8, 8, 8), "shards": (16, 16, 16)}

KINDS = {
    "Zarr 3, crc32c": lambda to: array(to, zyx(VOXELS), compressors=[zarr.codecs.Crc32cCodec()]),
    "Zarr 3, sharded": lambda to: array(to, zyx(VOXELS), compressors=ZSTD, **SHARDED),
    "Zarr 3, gzip": lambda to: array(to, zyx(VOXELS), compressors=[zarr.codecs.GzipCodec()]),
    "Zarr 2, raw": lambda to: array(to, zyx(VOXELS), version=2, compressors=None),
    "N5, gzip": lambda to: n5(to, VOXELS),
    "precomputed, raw": lambda to: precomputed(to, [VOXELS[..., None]]),
    "precomputed, png": lambda to: precomputed(to, [VOXELS[..., None]], encoding="png"),
}
METADATA = ("zarr.json", ".zarray", ".zattrs", "attributes.json", "info")


def chunk_of(path):
    """The largest file that holds voxels."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name not in METADATA]
    return max(files, key=lambda file: (file.stat().st_size, str(file)))


def whole(path, **options):
    source = READER.source(path, **options)
    return source.read(source.info.box)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_that_is_cut_anywhere_is_refused(tmp_path, kind):
    path = KINDS[kind](tmp_path / "a")
    file = chunk_of(path)
    content = file.read_bytes()
    for length in {0, 1, 7, len(content) // 3, len(content) // 2, len(content) - 4, len(content) - 1}:
        file.write_bytes(content[:length])
        if kind == "precomputed, png" and length > len(content) - 12:  # what follows the pixels is not needed
            assert np.array_equal(whole(path)[0], VOXELS)
            continue
        with pytest.raises(BrokenSource, match="/a") as caught:
            whole(path)
        assert "tensorstore_spec" not in str(caught.value)


@pytest.mark.parametrize("kind", ["Zarr 3, crc32c", "Zarr 3, sharded", "Zarr 3, gzip", "N5, gzip"])
def test_a_flipped_bit_is_found_where_there_is_a_checksum(tmp_path, kind):
    path = KINDS[kind](tmp_path / "a")
    file = chunk_of(path)
    content = file.read_bytes()
    rng, found = random.Random(0), 0
    for _ in range(60):
        wrong = bytearray(content)
        wrong[rng.randrange(len(wrong))] ^= 1 << rng.randrange(8)
        file.write_bytes(wrong)
        try:
            assert np.array_equal(whole(path)[0], VOXELS), "a bit that does not count, such as in gzip's header"
        except WkconvertError:
            found += 1
    assert found > 50


STORED = {
    **{kind: make for kind, make in KINDS.items() if kind != "precomputed, png"},
    "Zarr 2, nested": lambda to: array(to, zyx(VOXELS), version=2, chunk_key_encoding={"name": "v2", "separator": "/"}),
    "Zarr 3, flat": lambda to: array(to, zyx(VOXELS), chunk_key_encoding={"name": "v2", "separator": "."}),
    "precomputed, offset": lambda to: precomputed(to, [VOXELS[..., None]], offset=(16, 8, 4)),
    "precomputed, sharded": lambda to: precomputed(
        *(to, [VOXELS[..., None]]),
        sharding={
            "@type": "neuroglancer_uint64_sharded_v1",
            **{"preshift_bits": 0, "hash": "identity", "minishard_bits": 0, "shard_bits": 1},
        },
    ),
}
"""Arrays whose chunks have names of every kind."""
NO_FILES = {
    "a link that leads nowhere": lambda place: place.symlink_to("nowhere"),
    "a link in a circle": lambda place: place.symlink_to(place.name),
    "a folder": lambda place: place.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("instead", NO_FILES)
@pytest.mark.parametrize("kind", STORED)
def test_what_is_no_file_is_no_chunk_that_is_missing(tmp_path, kind, instead):
    """tensorstore takes it for one, or waits for the pipe."""
    path = STORED[kind](tmp_path / "a")
    place = chunk_of(path)
    place.rename(tmp_path / "kept")
    assert not np.array_equal(whole(path)[0], VOXELS)
    NO_FILES[instead](place)
    with pytest.raises(BrokenSource) as caught:
        whole(path)
    assert caught.value.what.startswith(f"{place} ")
    place.rmdir() if place.is_dir() else place.unlink()
    place.symlink_to(tmp_path / "kept")  # a link to a file is that file, wherever it lies
    assert np.array_equal(whole(path)[0], VOXELS)


@pytest.mark.parametrize("instead", ["a link that leads nowhere", "a pipe"])
@pytest.mark.parametrize("kind", ["Zarr 3, crc32c", "Zarr 2, nested", "N5, gzip", "precomputed, raw"])
def test_what_is_no_folder_holds_no_chunks_that_are_missing(tmp_path, kind, instead):
    path = STORED[kind](tmp_path / "a")
    place = chunk_of(path).parent
    shutil.rmtree(place)
    NO_FILES[instead](place)
    with pytest.raises(BrokenSource) as caught:
        whole(path)
    assert caught.value.what.startswith(f"{place} ")


@pytest.mark.parametrize("instead", ["a link that leads nowhere", "a pipe"])
@pytest.mark.parametrize("name", ["zarr.json", ".zattrs"])
def test_metadata_that_are_no_file_are_neither_missing_nor_waited_for(tmp_path, name, instead):
    path = array(tmp_path / "a", zyx(VOXELS), version=3 if name == "zarr.json" else 2)
    (path / name).unlink(missing_ok=True)
    NO_FILES[instead](path / name)
    with pytest.raises(BrokenSource, match=f"/a/{name} "):
        READER.plugin.wkconvert_open("zarr", path, {})


def zarr3(**change):
    return "zarr.json", lambda about: about.update(change)


def codecs(value):
    return zarr3(codecs=value)


BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
LIES = {
    "a shape of other axes": zarr3(shape=[17, 18]),
    "a negative shape": zarr3(shape=[-1, 18, 21]),
    "a shape of texts": zarr3(shape=["17", "18", "21"]),
    "a shape beyond all numbers": zarr3(shape=[10**30, 18, 21]),
    "an empty shape": zarr3(shape=[]),
    "a shape of nothing": zarr3(shape=[0, 18, 21]),
    "chunks of nothing": zarr3(chunk_grid={"name": "regular", "configuration": {"chunk_shape": [0, 16, 16]}}),
    "chunks that are larger than they are": zarr3(
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": [16, 16, 32]}}
    ),
    "chunks that no memory holds": zarr3(
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": [2**20, 2**20, 2**20]}}
    ),
    "another grid": zarr3(chunk_grid={"name": "irregular", "configuration": {}}),
    "another dtype": zarr3(data_type="uint8"),
    "an unknown dtype": zarr3(data_type="uint128"),
    "a fill value of texts": zarr3(fill_value="white"),
    "an unknown codec": codecs([BYTES, {"name": "magic"}]),
    "no codec": codecs([]),
    "another codec": codecs([BYTES, {"name": "gzip", "configuration": {"level": 1}}]),
    "shards that are none": codecs(
        [{"name": "sharding_indexed", "configuration": {"chunk_shape": [8, 8, 8], "codecs": [BYTES]}}]
    ),
    "a later version": zarr3(zarr_format=4),
    "another kind of node": zarr3(node_type="table"),
    "names of other axes": zarr3(dimension_names=["y", "x"]),
    "names twice": zarr3(dimension_names=["x", "y", "x"]),
}


@pytest.mark.parametrize("case", LIES)
def test_metadata_of_zarr_3_that_lie_are_refused(tmp_path, case):
    name, change = LIES[case]
    path = array(tmp_path / "a", zyx(VOXELS), compressors=[zarr.codecs.ZstdCodec()])
    about = json.loads((path / name).read_text())
    change(about)
    put(path / name, about)
    with pytest.raises((BrokenSource, UnsupportedSource), match="/a"):
        whole(path)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [17, 18]},
        {"chunks": [0, 16, 16]},
        {"chunks": [16, 16, 32]},
        {"dtype": "|u9"},
        {"dtype": "|u1"},
        {"compressor": {"id": "magic"}},
        {"compressor": None},
        {"filters": [{"id": "delta", "dtype": "<u2"}]},
        {"order": "Z"},
        {"zarr_format": 7},
        {"fill_value": "white"},
    ],
    ids=str,
)
def test_metadata_of_zarr_2_that_lie_are_refused(tmp_path, change):
    path = array(tmp_path / "a", zyx(VOXELS), version=2)
    put(path / ".zarray", {**json.loads((path / ".zarray").read_text()), **change})
    with pytest.raises((BrokenSource, UnsupportedSource), match="/a"):
        whole(path)


@pytest.mark.parametrize(
    "change",
    [
        {"dimensions": [21, 18]},
        {"dimensions": [-21, 18, 17]},
        {"blockSize": [0, 16, 16]},
        {"blockSize": None},
        {"dataType": "uint128"},
        {"dataType": "uint8"},
        {"compression": {"type": "magic"}},
        {"compression": {"type": "xz"}},
        {"compression": None},
    ],
    ids=str,
)
def test_attributes_of_n5_that_lie_are_refused(tmp_path, change):
    path = n5(tmp_path / "a", VOXELS)
    put(path / "attributes.json", {**json.loads((path / "attributes.json").read_text()), **change})
    with pytest.raises((BrokenSource, UnsupportedSource), match="/a"):
        whole(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("name", ["zarr.json", ".zarray", "attributes.json", "info"])
def test_documents_that_are_none_are_refused(tmp_path, name, content):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(content)
    claim = READER.detect(tmp_path / "a")
    assert claim is None or claim.confidence == 1
    with pytest.raises(BrokenSource, match=f"/a/{name} is damaged"):
        READER.plugin.wkconvert_open("zarr", tmp_path / "a", {})


def test_an_array_whose_metadata_are_gone_is_refused(tmp_path):
    path = ome(tmp_path / "a", [zyx(VOXELS)])
    source = READER.source(path)
    (path / "s0" / "zarr.json").unlink()
    for call in (lambda: READER.layers(path), lambda: source.read(source.info.box)):
        with pytest.raises(SourceNotFound, match="s0 holds no such array"):
            call()
    (path / "zarr.json").unlink()
    with pytest.raises(SourceNotFound, match="/a holds no array"):
        READER.plugin.wkconvert_open("zarr", path, {})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, "OME-Zarr"])
def test_any_bytes_in_metadata_are_refused_or_taken_for_what_they_say(tmp_path, kind):
    path = ome(tmp_path / "a", [zyx(VOXELS)]) if kind == "OME-Zarr" else KINDS[kind](tmp_path / "a")
    documents = [file for name in METADATA for file in path.rglob(name)]
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        file = rng.choice(documents)
        content = file.read_bytes()
        wrong = bytearray(content)
        for _ in range(min(len(wrong), rng.randint(1, 3))):
            place = rng.randrange(len(wrong))
            if rng.random() < 0.5:
                wrong[place] = rng.randrange(32, 127)
            else:
                del wrong[place]
        file.write_bytes(wrong)
        try:
            for layer in READER.plugin.wkconvert_open("zarr", path, {}):
                info = layer.source.info
                if info.box.volume < 10**6:
                    layer.source.read(info.box)
        except WkconvertError:
            refused += 1
        file.write_bytes(content)
    assert refused > 50


ODD = [None, 5, "x", [], {}, -1, float("nan"), 10**30, True, [1], [None], {"a": 1}, "../x", 0, [[1]], "", ["x"], "s0"]


def places_in(document, path=()):
    yield path
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else [])
    )
    for key, value in inside:
        yield from places_in(value, (*path, key))


def with_odd_values(document, rng):
    """A JSON document in which one or two values are others, or missing."""
    for _ in range(rng.randint(1, 2)):
        document = json.loads(json.dumps(document))
        *above, last = rng.choice([place for place in places_in(document) if place] or [(None,)])
        if last is None:
            return document
        inner = document
        for key in above:
            inner = inner[key]
        if isinstance(inner, dict) and rng.random() < 0.3:
            del inner[last]
        else:
            inner[last] = rng.choice(ODD)
    return document


def series(path):
    attributes(path, {"bioformats2raw.layout": 3}, "0.4")
    attributes(path / "OME", {"series": ["0"]}, "0.4")
    ome(path / "0", [zyx(VOXELS)], version="0.4")


def labelled(path):
    channels = [{"label": "a", "color": "FF0000", "window": {"start": 0, "end": 9}}]
    ome(path, [zyx(VOXELS)], translations=[[0.0, 0.0, 4.0]], more={"omero": {"channels": channels}})
    attributes(path / "labels", {"labels": ["n"]}, "0.5")
    ome(path / "labels" / "n", [zyx(VOXELS)], more={"image-label": {}})


def pyramid(path):
    put(path / "attributes.json", {"pixelResolution": {"dimensions": [4, 4, 4], "unit": "nm"}, "scales": [[1, 1, 1]]})
    n5(path / "s0", VOXELS, transform={"axes": ["z", "y", "x"], "scale": [1, 1, 1], "units": ["nm"] * 3})


@pytest.mark.slow
@pytest.mark.parametrize("make", [series, labelled, pyramid, KINDS["precomputed, raw"], KINDS["Zarr 3, sharded"]])
def test_any_values_in_metadata_are_refused_or_taken_for_what_they_say(tmp_path, make):
    make(tmp_path / "whole")
    documents = [file for name in METADATA for file in (tmp_path / "whole").rglob(name)]
    rng = random.Random(0)
    refused = 0
    for number in range(60):
        file = rng.choice(documents)
        path = shutil.copytree(tmp_path / "whole", tmp_path / str(number))  # a name of its own: arrays stay open
        put(path / file.relative_to(tmp_path / "whole"), with_odd_values(json.loads(file.read_text()), rng))
        try:
            for layer in READER.plugin.wkconvert_open("zarr", path, {}):
                if layer.source.info.box.volume < 10**6:
                    layer.source.read(layer.source.info.box)
        except WkconvertError:
            refused += 1
    assert refused > 10


def test_an_array_that_is_moved_while_it_is_read_is_noticed(tmp_path):
    path = precomputed(tmp_path / "a", [VOXELS[..., None]])
    source = READER.source(path)
    about = json.loads((path / "info").read_text())
    about["scales"][0]["voxel_offset"] = [0, 0, 5]
    put(path / "info", about)
    with pytest.raises(BrokenSource, match="has changed since it was opened"):
        source.read(source.info.box)


@pytest.mark.parametrize("name", ["", ".", "/".join("a" * 40)])
def test_a_series_that_is_the_file_itself_is_refused(tmp_path, name):
    series(tmp_path / "a")
    attributes(tmp_path / "a" / "OME", {"series": [name]}, "0.4")
    with pytest.raises(WkconvertError, match="/a "):
        READER.layers(tmp_path / "a")
