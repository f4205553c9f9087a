"""Neuroglancer's precomputed volumes: scales as mags, places, encodings, shards."""

import gzip
import json

import numpy as np
import pytest
from images import READER, coarser, precomputed, put

from wkconvert_core import BrokenSource, Mag, UnsupportedSource
from wkconvert_core.testing import noise, read_checked

VOXELS = noise(21, 18, 17, 1, zeros=False)  # x, y, z, c
SHARDED = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "hash": "identity",
    "minishard_bits": 1,
    "preshift_bits": 1,
    "shard_bits": 1,
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}


def test_scales_are_mags_with_the_size_and_place_that_info_states(tmp_path):
    path = precomputed(tmp_path / "em", [VOXELS, coarser(VOXELS, (2, 2, 1, 1))], offset=(100, 200, 30))
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1), Mag(2, 2, 1)]
    assert layer.category == "color"
    assert [source.info.offset for source in layer.mags.values()] == [(100, 200, 30), (50, 100, 30)]
    assert str(layer.source.info.voxel_size) == "4 x 4 x 40 nm"
    assert layer.source.info.notes == ()
    assert np.array_equal(read_checked(layer.source), VOXELS.transpose(3, 0, 1, 2))
    assert np.array_equal(read_checked(layer.mags[Mag(2, 2, 1)]), VOXELS[::2, ::2].transpose(3, 0, 1, 2))


def test_a_scale_that_begins_within_a_coarser_voxel_is_made_anew(tmp_path):
    path = precomputed(tmp_path / "em", [VOXELS, coarser(VOXELS, (2, 2, 1, 1))], offset=(101, 200, 30))
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1)]
    assert "8_8_40 is made anew" in layer.source.info.notes[0]


def test_a_volume_before_zero_is_told(tmp_path):
    info = READER.source(precomputed(tmp_path / "em", [VOXELS], offset=(-5, 0, 0))).info
    assert info.offset == (0, 0, 0)
    assert "it begins at voxel -5, 0, 0" in info.notes[0]
    assert np.array_equal(READER.voxels(tmp_path / "em")[0], VOXELS[..., 0])


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
@pytest.mark.parametrize("sharding", [None, SHARDED])
def test_labels_are_read_compressed_and_in_shards(tmp_path, dtype, sharding):
    ids = noise(21, 18, 17, 1, dtype=dtype) // 2**20
    more = {"compressed_segmentation_block_size": [8, 8, 8], **({"sharding": sharding} if sharding else {})}
    path = precomputed(tmp_path / "ids", [ids], kind="segmentation", encoding="compressed_segmentation", **more)
    assert READER.layer(path).category == "segmentation"
    assert np.array_equal(READER.voxels(path), ids.transpose(3, 0, 1, 2))


@pytest.mark.parametrize("encoding", ["png", "jpeg"])
def test_pictures_are_read(tmp_path, encoding):
    smooth = np.add.outer(np.add.outer(np.arange(21), np.arange(18)), np.arange(17)).astype("uint8")[..., None]
    voxels = READER.voxels(precomputed(tmp_path / "em", [smooth], encoding=encoding))
    most = 0 if encoding == "png" else 3
    assert np.abs(voxels[0].astype(int) - smooth[..., 0]).max() <= most


def test_three_channels_are_colours_and_two_are_layers(tmp_path):
    three = noise(9, 8, 7, 3, zeros=False)
    assert np.array_equal(READER.voxels(precomputed(tmp_path / "rgb", [three])), three.transpose(3, 0, 1, 2))
    layers = READER.layers(precomputed(tmp_path / "two", [three[..., :2].astype("uint16")]))
    assert [layer.name for layer in layers] == ["channel0", "channel1"]
    assert np.array_equal(read_checked(layers[1].source)[0], three[..., 1].astype("uint16"))


@pytest.mark.parametrize(
    ("about", "error", "told"),
    [
        ({"@type": "neuroglancer_skeletons"}, UnsupportedSource, "describes neuroglancer_skeletons"),
        ({"type": "image", "scales": []}, BrokenSource, "its scales are"),
        ({"type": "image", "scales": [{"key": "a", "resolution": [4, 4]}]}, BrokenSource, "resolution"),
        ({"type": "image", "scales": [{"key": "../a", "resolution": [4, 4, 4]}]}, UnsupportedSource, "outside of"),
        ({"type": "image", "scales": [{"key": "a", "resolution": [4, 4, 4]}]}, BrokenSource, "cannot be read"),
    ],
)
def test_an_info_that_describes_no_volume_is_refused(tmp_path, about, error, told):
    put(tmp_path / "em" / "info", about)
    with pytest.raises(error, match=told):
        READER.layers(tmp_path / "em")


@pytest.mark.parametrize(
    ("key", "value"),
    [("encoding", "crackle"), ("size", [21, 18]), ("size", [-1, 18, 17]), ("chunk_sizes", [[0, 16, 16]])],
)
def test_a_scale_that_lies_is_refused(tmp_path, key, value):
    path = precomputed(tmp_path / "em", [VOXELS])
    about = json.loads((path / "info").read_text())
    about["scales"][0][key] = value
    put(path / "info", about)
    with pytest.raises(BrokenSource, match="em cannot be read"):
        READER.layers(path)


# --- chunks that are compressed once more ----------------------------------------------------------------------------


def packed(path, suffix=".gz", leave=()):
    """Compress the files of chunks as cloud-volume does on a disk."""
    for file in sorted(path.glob("*_*_*/*")):
        if file.name not in leave:
            file.with_name(file.name + suffix).write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    return path


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_chunks_that_cloud_volume_compressed_once_more_are_read(tmp_path, encoding):
    path = precomputed(tmp_path / "em", [VOXELS, coarser(VOXELS, (2, 2, 1, 1))], encoding=encoding, offset=(16, 8, 4))
    layer = READER.layer(packed(path, leave=("16-32_8-24_4-20",)))
    assert np.array_equal(read_checked(layer.source)[0], VOXELS[..., 0])
    assert np.array_equal(read_checked(layer.mags[Mag(2, 2, 1)])[0], VOXELS[::2, ::2, :, 0])
    next(path.glob("4_4_40/32-37_8-24_4-20.gz")).unlink()
    expected = VOXELS[..., 0].copy()
    expected[16:, :16, :16] = 0
    assert np.array_equal(layer.source.read(layer.source.info.box)[0], expected)


def test_damage_to_such_chunks_is_found(tmp_path):
    path = packed(precomputed(tmp_path / "em", [VOXELS]))
    source = READER.source(path)
    file = path / "4_4_40" / "0-16_0-16_0-16.gz"
    content = file.read_bytes()
    wrong = bytearray(content)
    wrong[-6] ^= 1  # of the checksum
    for damaged in (content[:-1], content[: len(content) // 2], b"", bytes(wrong), gzip.compress(bytes(10**6))):
        file.write_bytes(damaged)
        with pytest.raises(BrokenSource, match=r"0-16_0-16_0-16\.gz is (damaged|cut short)"):
            source.read(source.info.box)


@pytest.mark.parametrize(
    ("suffix", "error"), [(".br", UnsupportedSource), (".zst", UnsupportedSource), ("~", BrokenSource)]
)
def test_files_that_are_no_chunks_are_refused_instead_of_read_as_zeros(tmp_path, suffix, error):
    with pytest.raises(error, match=r"has chunks such as|which are no chunks"):
        READER.layers(packed(precomputed(tmp_path / "em", [VOXELS]), suffix))


def test_a_scale_that_stores_nothing_is_made_anew(tmp_path):
    path = precomputed(tmp_path / "em", [VOXELS, coarser(VOXELS, (2, 2, 1, 1))])
    for file in path.glob("8_8_40/*"):
        file.unlink()
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1)]
    assert layer.source.info.notes == ("level 8_8_40 stores no chunk, and is made anew",)
