"""Damaged files: an error of ours that names the file, before anything is decoded where that can be."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from helpers.processes import peak_of
from helpers.sources import whole
from mrc_files import FIELDS, header, layers, source, voxels, write, zipped

from wkconvert_core import Box, BrokenSource, SourceNotFound, UnsupportedSource, WkconvertError
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise

GIVEN = noise(5, 4, 3, dtype="int16")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"lengths": (0, 4, 5)}, "would be 0 x 4 x 5"),
        ({"lengths": (3, -4, 5)}, "would be 3 x -4 x 5"),
        ({"lengths": (3, 4, 6)}, "1168 bytes expected, 1144 found"),
        ({"lengths": (30000, 30000, 30000)}, "cut short"),
        ({"lengths": (2147483647,) * 3}, "cut short"),
        ({"mode": 5}, "of mode 5"),
        ({"mode": -1}, "a mode of 0, 1, 2, 3, 4, 6, 12, 16, 101"),
        ({"mode": 2}, "1264 bytes expected"),
        ({"mode": 16}, "1204 bytes expected"),
        ({"axes": (1, 1, 3)}, "axes along 1, 1, 3"),
        ({"axes": (1, 2, 0)}, "axes along 1, 2, 0"),
        ({"axes": (1, -2, 3)}, "axes along 1, -2, 3"),
        ({"axes": (7, 8, 9)}, "axes along 7, 8, 9"),
        ({"extended_bytes": -1}, "extended header of -1 bytes"),
        ({"extended_bytes": 1}, "1145 bytes expected, 1144 found"),
        ({"extended_bytes": 2147483647}, "cut short"),
        ({"group": 401, "intervals": (3, 4, 0)}, "0 sections each"),
        ({"group": 401, "intervals": (3, 4, -5)}, "-5 sections each"),
        ({"group": 401, "intervals": (3, 4, 2)}, "2 sections each .MZ., but has 5 sections"),
        ({"group": 630, "intervals": (3, 4, 6)}, "6 sections each"),
    ],
)
def test_what_a_header_says_is_checked(tmp_path, fields, words):
    path = write(tmp_path / "a.mrc", GIVEN, **fields)
    with pytest.raises(BrokenSource, match=words) as caught:
        layers(path)
    assert "a.mrc" in str(caught.value)


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path):
    path = write(tmp_path / "a.mrc", GIVEN, extended=bytes(20))
    content = path.read_bytes()
    for length in [*range(0, 1024, 60), *range(1024, len(content))]:
        path.write_bytes(content[:length])
        with pytest.raises(BrokenSource, match=r"a\.mrc is cut short"):
            layers(path)


def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path):
    path = write(tmp_path / "a.mrc", GIVEN)
    of = source(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BrokenSource, match=r"a\.mrc is cut short"):
        whole(of)
    path.unlink()
    with pytest.raises(SourceNotFound, match=r"a\.mrc"):
        whole(of)


def test_bytes_behind_the_voxels_are_told(tmp_path):
    path = write(tmp_path / "a.mrc", GIVEN, behind=bytes(7))
    assert "7 bytes behind the voxels are left out" in source(path).info.notes
    np.testing.assert_array_equal(voxels(path)[0], GIVEN.T)


def test_the_byte_order_is_that_in_which_the_header_makes_sense_whatever_the_machine_stamp_says(tmp_path):
    for order, stamp in (("<", b"\x11\x11\0\0"), (">", b"\x44\x44\0\0"), (">", b"\0\0\0\0")):
        path = write(tmp_path / "a.mrc", GIVEN, order, machine=stamp)
        np.testing.assert_array_equal(voxels(path)[0], GIVEN.T)


def test_the_byte_order_of_an_old_file_of_bytes_is_that_of_the_smaller_volume(tmp_path):
    stored = noise(5, 4, 3)
    for order in "<>":
        fields = {"axes": (0, 0, 0), "map": b"", "machine": b"", "version": 0, "group": 0}
        path = write(tmp_path / "a.mrc", stored, order, **fields)
        np.testing.assert_array_equal(voxels(path)[0], stored.T)


def test_compressed_files_that_are_damaged_or_cut_anywhere_are_refused(tmp_path):
    path = zipped(write(tmp_path / "a.mrc", GIVEN))
    content = path.read_bytes()
    np.testing.assert_array_equal(voxels(path)[0], GIVEN.T)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(BrokenSource, match=r"a\.mrc\.gz"):
            list(source(path).stream())
    path.write_bytes(content[:-6] + bytes([content[-6] ^ 1]) + content[-5:])
    with pytest.raises(BrokenSource, match=r"a\.mrc\.gz"):
        list(source(path).stream())


def test_compressed_values_of_4_bits_are_refused(tmp_path):
    path = zipped(write(tmp_path / "a.st", bytes(60), lengths=(5, 4, 5), mode=101))
    with pytest.raises(UnsupportedSource, match="4 bits, compressed"):
        layers(path)


def test_4_bit_values_that_are_cut_short_are_refused(tmp_path):
    path = write(tmp_path / "a.st", bytes(3 * 4 * 5), lengths=(5, 4, 5), mode=101)
    assert source(path).info.shape == (5, 4, 5)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BrokenSource, match="1084 bytes expected, 1083 found"):
        layers(path)


@pytest.mark.slow
def test_wrong_bytes_raise_nothing_but_errors_of_ours(tmp_path):
    path = write(tmp_path / "a.mrc", GIVEN, extended=bytes(8), group=401)
    content, rng, opened, messages = path.read_bytes(), random.Random(0), 0, []
    places = [place for place, _ in FIELDS.values() if place < 216]
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.choice(places) + rng.randrange(12)] = rng.choice([0, 1, 2, 4, 127, 255, rng.randrange(256)])
        path.write_bytes(damaged)
        try:
            for layer in layers(path, **rng.choice([{}, {"volume": 0}, {"orientation": "stored"}])):
                whole(layer.source)
            opened += 1
        except WkconvertError as error:
            messages.append(str(error))
    assert min(opened, len(messages)) > 200
    assert all("a.mrc" in message for message in messages)


def test_an_empty_header_is_none(tmp_path):
    (tmp_path / "a.mrc").write_bytes(header())
    with pytest.raises(BrokenSource, match="none of MRC"):
        layers(tmp_path / "a.mrc")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="ru_maxrss has other units elsewhere")
def test_a_file_of_1_gib_goes_through_400_mib(tmp_path):
    path = write(tmp_path / "a.mrc", b"", lengths=(1024, 1024, 512), mode=6, cell=(4096.0, 4096.0, 2048.0))
    os.truncate(path, 1024 + (1 << 30))
    with path.open("r+b") as file:
        file.seek(1024 + (1 << 29))
        file.write(bytes(range(256)) * 4096)
    peak = peak_of("auto", path, tmp_path / "out", "--memory", "400MiB", "--max-mag", "2", "--jobs", "2")
    assert peak < 400 << 20
    (layer,) = plugins().hook.wkconvert_open(format="webknossos", path=tmp_path / "out", options={})
    assert layer.source.read(Box((0, 0, 256), (3, 1, 1))).ravel().tolist() == [0x0100, 0x0302, 0x0504]


def test_voxels_behind_the_first_4_gib_are_read(tmp_path):
    path = write(tmp_path / "a.mrc", b"", lengths=(2048, 1024, 1025), mode=6, cell=(8192.0, 4096.0, 4100.0))
    os.truncate(path, 1024 + (1025 << 22))
    with path.open("r+b") as file:
        file.seek(1024 + (4 << 30))
        file.write(bytes(range(6)))
    (layer,) = layers(path)
    assert layer.source.read(Box((0, 0, 1024), (3, 1, 1))).ravel().tolist() == [0x0100, 0x0302, 0x0504]
