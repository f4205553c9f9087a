"""Damaged files: an error of ours, which names the file; little work, little memory, nothing made up."""

import random
import struct
import tracemalloc

import numpy as np
import pytest
from dm_files import FLAVOURS, SAMPLES, encode, image, number, source, tree, volume, voxels
from helpers.paths import needs_samples

from wkconvert_core import BrokenSource, SourceNotFound, WkconvertError
from wkconvert_core.testing import noise

ARRAY = noise(2, 4, 5, dtype="int16")
SCALES = [(2, "nm"), (2, "nm"), (3, "nm")]


def content(version=3, order="<"):
    return encode(tree(image(ARRAY, scales=SCALES)), version, order)


@pytest.mark.slow
@pytest.mark.parametrize(("version", "order"), FLAVOURS)
def test_a_file_cut_at_any_length_is_refused_or_has_lost_nothing(tmp_path, version, order):
    path, whole = tmp_path / "a.dm3", content(version, order)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length < len(whole) - 8:
            with pytest.raises(BrokenSource, match=r"a\.dm3 is cut short"):
                source(path)
        else:  # the 8 zeros at the end belong to no tag
            assert source(path).info.voxel_size.size == (2, 2, 3)
            np.testing.assert_array_equal(voxels(path), volume(ARRAY))


def try_to_read(path):
    """What is wrong with a damaged file, or an empty text. Only errors of ours are expected."""
    try:
        found = source(path)
        found.read(found.info.box)
    except WkconvertError as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(("version", "order"), FLAVOURS)
def test_every_byte_may_be_wrong(tmp_path, version, order):
    path, whole, rng = tmp_path / "a.dm3", content(version, order), random.Random(0)
    answers = []
    for place in range(len(whole)):
        for value in {rng.choice([0, 255]), whole[place] ^ rng.choice([1, 2, 128])} - {whole[place]}:
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            answers.append(try_to_read(path))
    assert not all(answers)
    assert all("a.dm3" in answer for answer in answers if answer)


@pytest.mark.slow
@needs_samples
@pytest.mark.parametrize("name", ["3D/test-6.dm3", "2D/test-23.dm4"])
def test_real_files_with_wrong_bytes_raise_nothing_but_errors_of_ours(tmp_path, name):
    whole, rng = (SAMPLES / name).read_bytes(), random.Random(1)
    path = tmp_path / "a.dm3"
    answers = []
    for _ in range(600):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            damaged[rng.randrange(len(whole))] = rng.choice([0, 1, 255, rng.randrange(256)])
        path.write_bytes(damaged[: rng.choice([None, None, rng.randrange(len(whole))])])
        answers.append(try_to_read(path))
    assert not all(answers)
    assert all("a.dm3" in answer for answer in answers if answer)


def with_data(**changes):
    """The root of a file whose image says something else of itself; None takes a tag away."""
    one = image(ARRAY)
    one["ImageData"] |= changes
    one["ImageData"] = {name: tag for name, tag in one["ImageData"].items() if tag is not None}
    return tree(one)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"Dimensions": [number(5), number(4), number(3)]},
            "image 1, 5 x 4 x 3 of int16, takes 120 bytes; 80 are there",
        ),
        ({"Dimensions": [number(5), number(4)]}, "takes 40 bytes; 80 are there"),
        ({"Dimensions": [number(2**31)] * 3}, "takes 19807040628566084398385987584 bytes; 80 are there"),
        ({"Dimensions": [number(0), number(4)]}, "image 1 is 0 x 4 in size"),
        ({"Dimensions": [number(-5, "i4"), number(-4, "i4")]}, "image 1 is -5 x -4 in size"),
        ({"Dimensions": []}, "lacks its data type, its values or its size"),
        ({"DataType": None}, "lacks its data type, its values or its size"),
        ({"DataType": number(1, "f4")}, "lacks its data type, its values or its size"),
        ({"Data": None}, "lacks its data type, its values or its size"),
        ({"Data": number(1)}, "lacks its data type, its values or its size"),
        ({"DataType": number(7)}, "of int32, takes 160 bytes; 80 are there"),
    ],
)
def test_what_is_said_of_an_image_is_checked_against_its_values(tmp_path, changes, why):
    (tmp_path / "a.dm3").write_bytes(encode(with_data(**changes)))
    with pytest.raises(BrokenSource, match=rf"a\.dm3 is damaged.*{why}"):
        source(tmp_path / "a.dm3")


def root(*tags, version=3, count=None):
    """A file with the given bytes for tags."""
    word = ">Q" if version == 4 else ">I"
    count = struct.pack(word, len(tags) if count is None else count)
    return struct.pack(">I", version) + struct.pack(word, 0) + struct.pack(">I", 1) + b"\0\0" + count + b"".join(tags)


def tag(*words, mark=b"%%%%", count=None, payload=b""):
    return (
        b"\x15\0\1x"
        + mark
        + struct.pack(f">{len(words) + 1}I", len(words) if count is None else count, *words)
        + payload
    )


@pytest.mark.parametrize(
    ("whole", "why"),
    [
        (b"", "beyond the file's 0 bytes"),
        (b"MM\0*" * 20, "it starts with 1296891946; DM files start with their version"),
        (b"\0\0\0\3\0\0\0\0\0\0\0\7" + bytes(20), "its byte order is 7"),
        (root(b"\x16\0\1x"), "the tag 'x' is of the kind 22"),
        (root(tag(2, mark=b"$$$$")), "the tag 'x' starts with b'\\$\\$\\$\\$' instead of %%%%"),
        (root(tag(1)), r"a type that DM files do not have: \(1,\)"),
        (root(tag(20, 1, 5)), "a type that DM files do not have"),
        (root(tag(20, 2)), "a type that DM files do not have"),
        (root(tag(18)), "a type that DM files do not have"),
        (root(tag(15, 0)), "a type that DM files do not have"),
        (root(tag(15, 0, 2, 0, 2)), "fields of types that DM files do not have"),
        (root(tag(15, 0, 1, 0, 18)), "fields of types that DM files do not have"),
        (root(tag(15, 0, 2**32 - 1, 0, 2)), "fields of types that DM files do not have"),
        (root(tag(2, 2)), "has 2 words instead of 1"),
        (root(tag(2, count=0)), "has a type of 0 words"),
        (root(tag(2, count=2**32 - 1)), "has a type of 4294967295 words"),
        (root(tag(*[20] * 200, 2, *[2] * 200)), "a type that DM files do not have"),
        (root(tag(18, 2**32 - 1)), "a tag reaches to byte 4294967333, the file has 38 bytes"),
        (root(tag(20, 20, 12, 2**32 - 1, 2**32 - 1)), "a tag reaches to byte 1475739525"),
        (root(count=2**32 - 1), "beyond the file's 18 bytes"),
        (root(b"\x14\0\1x\0\0\0\0\0\1" * 200), "nested more than 64 deep"),
    ],
)
def test_a_tree_that_makes_no_sense_is_refused_at_once(tmp_path, whole, why):
    (tmp_path / "a.dm3").write_bytes(whole)
    tracemalloc.start()
    try:
        with pytest.raises(BrokenSource, match=rf"a\.dm3 is .*{why}"):
            source(tmp_path / "a.dm3")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_large_file_is_opened_in_little_memory(tmp_path):
    path = tmp_path / "a.dm4"
    stored = np.zeros((8, 2048, 1024), "uint8")
    path.write_bytes(encode(tree(image(stored)), 4))
    tracemalloc.start()
    try:
        assert source(path).info.shape == (1024, 2048, 8)
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(SourceNotFound, match=r"a\.dm3 cannot be read"):
        source(tmp_path / "a.dm3")


def test_no_file_stays_open(tmp_path):
    import psutil

    path = tmp_path / "a.dm3"
    path.write_bytes(content())
    voxels(path)
    path.write_bytes(content()[:-200])
    with pytest.raises(BrokenSource):
        source(path)
    assert not [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path]
