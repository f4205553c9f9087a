"""Damaged files: an error of ours that names the file."""

import random
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5_files import berkeley, imaris, layers, letters, matlab, plain, source, velox
from helpers.processes import peak_of
from helpers.sources import whole

from wkconvert_core import Box, BrokenSource, SourceError, SourceNotFound, WkconvertError
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise

GIVEN = noise(6, 7, 8, dtype="uint16")


def edited(path, change):
    with h5py.File(path, "a") as file:
        change(file)
    return path


def level(name):
    return f"DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/{name}".rstrip("/")


def deleted(*names):
    def change(file):
        for name in names:
            del file[name]

    return change


def replaced(name, data, **more):
    def change(file):
        del file[name]
        file.create_dataset(name, data=data, **more)

    return change


def told(name, **attributes):
    return lambda file: file[name].attrs.update({key: letters(value) for key, value in attributes.items()})


IMAGE = f"Data/Image/{0:032x}"
CASES = {
    "no numbers": (plain, replaced("volume", np.array([[["a"]]], "S1"))),
    "complex": (plain, replaced("volume", np.zeros((6, 7, 8), "c8"))),
    "empty": (plain, replaced("volume", np.zeros((0, 7, 8), "u2"))),
    "scalar": (plain, replaced("volume", 3)),
    "a type": (plain, replaced("volume", np.zeros((6, 7, 8), [("a", "u1"), ("b", "u1")]))),
    "a longer float": (plain, replaced("volume", np.zeros((6, 7, 8), "longdouble"))),
    "size of words": (plain, lambda file: file["volume"].attrs.update(element_size_um="abc")),
    "size of two": (plain, lambda file: file["volume"].attrs.update(element_size_um=[[1, 2], [3, 4]])),
    "no time": (imaris, deleted("DataSet/ResolutionLevel 0/TimePoint 0")),
    "no channel": (imaris, deleted(level(""))),
    "no data": (imaris, deleted(level("Data"))),
    "no image": (imaris, deleted("DataSetInfo/Image")),
    "no info": (imaris, deleted("DataSetInfo")),
    "no level 1": (imaris, deleted("DataSet/ResolutionLevel 1/TimePoint 0/Channel 0")),
    "size 0": (imaris, told(level(""), ImageSizeY=0)),
    "size of nothing": (imaris, told(level(""), ImageSizeZ="")),
    "size too large": (imaris, told(level(""), ImageSizeZ=999999)),
    "level without size": (imaris, told("DataSet/ResolutionLevel 1/TimePoint 0/Channel 0", ImageSizeX="x")),
    "data of two axes": (imaris, replaced(level("Data"), noise(8, 8))),
    "data of words": (imaris, replaced(level("Data"), np.array([[["a"]]], "S1"))),
    "an image of words": (velox, replaced(f"{IMAGE}/Data", np.array([[["a"]]], "S1"))),
    "metadata of one axis": (velox, replaced(f"{IMAGE}/Metadata", np.zeros(5, "u1"))),
    "no images": (velox, deleted(IMAGE)),
    "a place of words": (berkeley, replaced("data/volume/dim1", np.array(["a"] * 6, "S1"))),
    "data of none": (berkeley, replaced("data/volume/data", np.zeros((6, 0, 8)))),
}


def make(writer, path):
    if writer is imaris:
        return imaris(path, [GIVEN], chunk=(2, 2, 2))
    if writer is velox:
        return velox(path, {"HAADF": noise(7, 8, 1)})
    if writer is berkeley:
        return berkeley(path, GIVEN, [("z", "[n_m]", 4.0), ("y", "[n_m]", 1.0), ("x", "[n_m]", 1.0)])
    return writer(path, GIVEN)


@pytest.mark.parametrize("case", CASES)
def test_files_that_lack_or_contradict_something_are_refused(tmp_path, case):
    writer, change = CASES[case]
    path = edited(make(writer, tmp_path / "a.h5"), change)
    with pytest.raises(SourceError, match=r"a\.h5"):
        layers(path)


@pytest.mark.parametrize("writer", [plain, matlab])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, writer):
    path = make(writer, tmp_path / "a.h5")
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(BrokenSource, match=r"a\.h5"):
            whole(source(path))


def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN, chunks=(2, 7, 8), compression="gzip", fletcher32=True)
    of = source(path)
    edited(path, deleted("volume"))
    with pytest.raises(BrokenSource, match=r"a\.h5"):
        whole(of)
    edited(path, lambda file: file.create_dataset("volume", data=GIVEN[:3]))
    with pytest.raises(BrokenSource, match=r"a\.h5"):
        whole(of)
    edited(path, deleted("volume"))
    edited(path, lambda file: file.create_dataset("volume", data=GIVEN.astype("float32")))
    with pytest.raises(BrokenSource, match=r"a\.h5 has changed"):
        whole(of)
    path.unlink()
    with pytest.raises(SourceNotFound, match=r"a\.h5"):
        whole(of)


def test_a_chunk_whose_checksum_is_wrong_is_refused(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN, chunks=(2, 7, 8), fletcher32=True)
    with h5py.File(path) as file:
        place = file["volume"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(BrokenSource, match=r"a\.h5"):
        whole(source(path))


@pytest.mark.slow
@pytest.mark.parametrize("userblock", [0, 512])
@pytest.mark.parametrize("size", [0, 15])
def test_a_heap_of_texts_without_an_end_is_refused_and_not_walked_through_for_ever(tmp_path, userblock, size):
    path = tmp_path / "a.h5"
    h5py.File(path, "w", userblock_size=userblock).close()
    plain(path, GIVEN, attributes={"axistags": '{"axes": [{"key": "z"}, {"key": "y"}, {"key": "x"}]}', "b": "b" * 99})
    assert source(path).info.shape == (8, 7, 6)
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + 16
    while (index := int.from_bytes(content[at : at + 2], "little")) != 0:
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    assert index == 0
    content[at + 8 : at + 16] = size.to_bytes(8, "little")
    path.write_bytes(content)
    code = f"import wkconvert_hdf5, pathlib; wkconvert_hdf5.wkconvert_open('hdf5', pathlib.Path({str(path)!r}), {{}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"BrokenSource: {path} is damaged" in done.stderr
    assert f"free object of {size} bytes" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("writer", [plain, matlab, imaris, velox, berkeley])
def test_wrong_bytes_raise_nothing_but_errors_of_ours(tmp_path, writer):
    path = make(writer, tmp_path / "a.h5")
    content, rng, messages, opened = path.read_bytes(), random.Random(0), [], 0
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 5)):
            damaged[rng.randrange(len(content))] = rng.choice([0, 1, 2, 127, 255, rng.randrange(256)])
        path.write_bytes(damaged)
        try:
            for layer in layers(path):
                if layer.source.info.box.volume < 10**6:
                    whole(layer.source)
            opened += 1
        except WkconvertError as error:
            messages.append(str(error))
    assert min(opened, len(messages)) > 10
    assert all("a.h5" in message for message in messages)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="ru_maxrss has other units elsewhere")
def test_a_file_of_1_gib_goes_through_400_mib(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("volume", (512, 1024, 1024), "u2", chunks=(16, 128, 128), compression="gzip")
        data.attrs["element_size_um"] = [0.004, 0.004, 0.004]
        data[256:272, :128, :128] = np.arange(16 * 128 * 128, dtype="u2").reshape(16, 128, 128)
    options = ("--memory", "400MiB", "--max-mag", "2", "--jobs", "2")
    peak = peak_of("auto", tmp_path / "a.h5", tmp_path / "out", *options)
    assert peak < 400 << 20
    (layer,) = plugins().hook.wkconvert_open(format="webknossos", path=tmp_path / "out", options={})
    assert layer.source.read(Box((0, 0, 256), (3, 1, 1))).ravel().tolist() == [0, 1, 2]
