"""Damaged files: an error of ours, which names the file, before anything is decoded; and little memory and time."""

import random
import re
import struct
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
import tifffile
from helpers.paths import SAMPLES, needs_samples
from helpers.sources import whole
from pictures_of import layers, source, voxels
from PIL import Image

from wkconvert_core import Box, BrokenSource, WkconvertError
from wkconvert_core.testing import noise
from wkconvert_tiff import stack_facts

PICTURE = noise(64, 80)


def saved(path, **options):
    tifffile.imwrite(path, PICTURE, metadata=None, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 16}, {"compression": "lzw"}, {"tile": (16, 16)}], ids=str)
def test_a_truncated_slice_is_named_with_the_bytes_expected_and_found(stack, options):
    folder = stack([PICTURE] * 5, lambda path, one: tifffile.imwrite(path, one, **options))
    broken = folder / "s3.tif"
    content = broken.read_bytes()
    broken.write_bytes(content[:-300])
    with pytest.raises(BrokenSource, match=r"file 4 of 5: .*s3\.tif is cut short") as caught:
        layers(folder)
    assert re.search(rf"to byte \d+, the file has {len(content) - 300} bytes", caught.value.why)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut short. it has 0 bytes, and the header of TIFF has 8"),
        (b"II*\0", "cut short. it has 4 bytes, and the header of TIFF has 8"),
        (b"II*\0\x08\0\0\0", "damaged. the directory of page 0 reaches to byte"),
        (b"not a picture at all", "damaged. it begins with the bytes 6e 6f 74 20, and TIFF with 49 49 or 4d 4d"),
        (b"II+\0\x08\0\0\0" + b"\xff" * 8, "cut short. the directory of page 0 reaches to byte"),
    ],
)
def test_a_slice_that_is_no_tiff_is_named(stack, content, words):
    folder = stack([PICTURE] * 3, tifffile.imwrite)
    (folder / "s1.tif").write_bytes(content)
    with pytest.raises(BrokenSource, match=r"s1\.tif is " + re.escape(words)) as caught:
        layers(folder)
    assert caught.value.fix


def test_a_slice_that_may_not_be_read_is_named(stack, monkeypatch):
    from wkconvert_images import tags

    folder = stack([PICTURE] * 3, tifffile.imwrite)

    def refuse(path):
        if path.endswith("s1.tif"):
            raise PermissionError(13, "Permission denied")
        return raw_file(path)

    raw_file = tags.raw_file
    monkeypatch.setattr(tags, "raw_file", refuse)
    with pytest.raises(BrokenSource, match=r"s1\.tif cannot be read.*Permission denied"):
        layers(folder)


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"compression": "lzw"}, {"compression": "zstd"}], ids=str)
def test_a_slice_that_cannot_be_decoded_is_named(stack, options):
    folder = stack([PICTURE] * 5, lambda path, one: tifffile.imwrite(path, one, **options))
    content = bytearray((folder / "s3.tif").read_bytes())
    with tifffile.TiffFile(folder / "s3.tif") as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    content[start : start + count] = b"\xff" * count
    (folder / "s3.tif").write_bytes(content)
    of = source(folder)
    of.read(Box((0, 0, 0), (80, 64, 3)))
    with pytest.raises(BrokenSource, match=r"slice 3: .*s3\.tif is damaged.*cannot be decoded"):
        whole(of)


def test_a_slice_that_is_cut_short_after_it_was_opened_is_named(stack):
    folder = stack([PICTURE] * 3, tifffile.imwrite)
    of = source(folder)
    whole(of)
    (folder / "s1.tif").write_bytes((folder / "s1.tif").read_bytes()[:-1])
    with pytest.raises(BrokenSource, match=r"slice 1: .*s1\.tif is cut short"):
        whole(of)


def overwrite(path, **values):
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, value in values.items():
            tiff.pages[0].tags[name].overwrite(value)
    return path


@pytest.mark.parametrize(
    ("options", "values", "why"),
    [
        ({}, {"ImageWidth": 0}, "0 x 64 pixels"),
        ({}, {"ImageLength": 2**31}, "33554432 strips expected, 1 listed"),
        ({}, {"ImageLength": 2**31, "RowsPerStrip": 2**31}, "reaches to byte"),
        ({"rowsperstrip": 16}, {"ImageLength": 2**31}, "134217728 strips expected, 4 listed"),
        ({"tile": (16, 16)}, {"TileWidth": 1}, "320 tiles expected, 20 listed"),
        ({"tile": (16, 16)}, {"TileLength": 0}, "tiles are 16 x 0"),
        ({"tile": (80, 80)}, {"TileWidth": 65520, "TileLength": 65520, "Compression": 5}, "more than 10000 to 1"),
        ({"compression": "lzw"}, {"SamplesPerPixel": 65535}, "more than 10000 to 1"),
        ({"compression": "lzw"}, {"StripByteCounts": 2**31}, "reaches to byte"),
        ({"compression": "lzw"}, {"StripOffsets": 2**32 - 1}, "reaches to byte"),
        ({"compression": "lzw"}, {"ImageWidth": 2**31, "RowsPerStrip": 64}, "more than 10000 to 1"),
        ({"compression": "lzw"}, {"PhotometricInterpretation": 3}, "palette of 256 colours expected, 0 found"),
    ],
)
def test_what_a_header_says_is_checked_against_the_file(tmp_path, options, values, why):
    path = overwrite(saved(tmp_path / "a.tif", **options), **values)
    with pytest.raises(BrokenSource, match=why):
        layers(path)


def test_an_empty_slice_among_others_is_no_bomb_however_well_it_is_compressed(stack, monkeypatch):
    monkeypatch.setattr(stack_facts, "MOST_PER_BYTE", 500)
    slices = [noise(512, 512), np.zeros((512, 512), "uint8"), noise(512, 512)]
    folder = stack(slices, lambda path, one: tifffile.imwrite(path, one, compression="zstd"))
    assert 500 * (folder / "s1.tif").stat().st_size < 512 * 512
    assert not source(folder).read(Box((0, 0, 1), (512, 512, 1))).any()
    with pytest.raises(BrokenSource, match="more than 500 to 1"):
        layers(folder / "s1.tif")


@needs_samples
@pytest.mark.parametrize("name", sorted(path.name for path in (SAMPLES / "tiff" / "broken").glob("*")))
def test_files_that_broke_other_readers_are_refused_with_little_memory(name):
    path = SAMPLES / "tiff" / "broken" / name
    code = f"""
import resource, sys
from pathlib import Path
from wkconvert_core import BrokenSource
from wkconvert_tiff import wkconvert_open
import wkconvert_tiff.opening, tifffile
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    wkconvert_open("tiff", Path({str(path)!r}), {{}})
except BrokenSource as error:
    assert {name!r} in str(error)
else:
    sys.exit("it was opened")
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


KINDS = {
    "raw.tif": lambda path: tifffile.imwrite(path, noise(3, 40, 30, dtype="uint16"), photometric="minisblack"),
    "lzw.tif": lambda path: tifffile.imwrite(path, noise(40, 30), compression="lzw", rowsperstrip=8),
    "tiled.tif": lambda path: tifffile.imwrite(path, noise(40, 30, 3), compression="jpeg", tile=(16, 16)),
    "big.tif": lambda path: tifffile.imwrite(path, noise(40, 30), bigtiff=True, compression="zlib", predictor=True),
    "imagej.tif": lambda path: tifffile.imwrite(path, noise(5, 40, 30), imagej=True),
    "set.ome.tif": lambda path: tifffile.imwrite(path, noise(5, 40, 30), ome=True, metadata={"axes": "ZYX"}),
    "palette.tif": lambda path: Image.fromarray(noise(40, 30, 3)).convert("P").save(path),
    "fax.tif": lambda path: Image.fromarray(noise(40, 30, dtype=bool)).save(path, compression="group4"),
    "grey.png": lambda path: Image.fromarray(noise(40, 30)).save(path),
    "deep.png": lambda path: path.write_bytes(imagecodecs.png_encode(noise(40, 30, 3, dtype="uint16"))),
    "palette.png": lambda path: Image.fromarray(noise(40, 30, 3)).convert("P").save(path),
    "colour.jpg": lambda path: Image.fromarray(noise(40, 30, 3)).save(path),
    "colour.bmp": lambda path: Image.fromarray(noise(40, 30, 3)).save(path),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_bytes_raise_nothing_but_errors_of_ours(tmp_path, kind):
    """And whatever is opened all the same can be read, or is refused then."""
    path = tmp_path / kind
    KINDS[kind](path)
    content = path.read_bytes()
    heads = [0]
    if kind.endswith("tif"):
        with tifffile.TiffFile(path) as tiff:
            heads = [page.offset for page in tiff.pages]
    rng = random.Random(0)
    opened, messages = 0, []
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 6)):
            near = rng.choice([rng.choice(heads) + rng.randrange(250), rng.randrange(len(content)), rng.randrange(64)])
            damaged[near % len(content)] = rng.choice([0, 1, 2, 255, rng.randrange(256)])
        path.write_bytes(damaged[: rng.choice([None, None, rng.randrange(len(content))])])
        try:
            for layer in layers(path, reader="tiff" if kind.endswith("tif") else "pictures"):
                opened += 1
                if layer.source.info.box.volume < 10**7:
                    whole(layer.source)
        except WkconvertError as error:
            messages.append(str(error))
    assert opened
    assert all(kind in message for message in messages)


def test_no_file_stays_open(stack, tmp_path):
    import psutil

    folder = stack([PICTURE] * 10, lambda path, one: tifffile.imwrite(path, one, compression="lzw"))
    pngs = stack([PICTURE] * 3, lambda path, one: Image.fromarray(one).save(path), "s{}.png", "pngs")
    deep = tmp_path / "deep.png"
    deep.write_bytes(imagecodecs.png_encode(noise(40, 30, dtype="uint16")))
    for path in (folder, pngs, deep):
        voxels(path)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(whole, [source(path)] * 8))
    (folder / "s11.tif").write_bytes(b"II*\0" + struct.pack("<I", 9999))
    with pytest.raises(BrokenSource):
        layers(folder, gaps="close")
    assert not [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path]


def test_many_threads_read_what_one_reads(stack):
    slices = noise(6, 300, 200, dtype="uint16")
    folder = stack(slices, lambda path, one: tifffile.imwrite(path, one, compression="zlib", tile=(64, 64)))
    of = source(folder)
    expected = whole(of)
    rng = np.random.default_rng(0)
    boxes = [Box((int(x), int(y), int(z)), (40, 50, 2)) for x, y, z in rng.integers(0, (160, 250, 4), (60, 3))]
    with ThreadPoolExecutor(8) as pool:
        for box, part in zip(boxes, pool.map(of.read, boxes), strict=True):
            np.testing.assert_array_equal(part, expected[:, *box.slices_in(of.info.box)])


@pytest.mark.slow
def test_many_pages_of_many_strips_are_opened_in_little_memory(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(300):
            writer.write(noise(1024, 8), rowsperstrip=1, contiguous=False, metadata=None)
    source(tmp_path / "a.tif")
    tracemalloc.start()
    try:
        assert source(tmp_path / "a.tif", reader="tiff").info.shape == (8, 1024, 300)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
