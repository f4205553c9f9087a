"""Damaged cubes and configurations: an error of ours, which names the file, before anything is decoded."""

import os
import random
import tracemalloc
import zipfile

import cramjam
import numpy as np
import pytest
from cubes_of import EDGE, conf_text, dataset, detect, folder_of, layers, noise, save_cube, source, whole
from PIL import Image

from wkconvert_core import (
    BrokenSource,
    InconsistentStack,
    SourceError,
    SourceNotFound,
    UnsupportedSource,
    WkconvertError,
)


def cube_of(root, suffix=".raw"):
    return next(folder_of(root / "mag1", (1, 0, 1)).glob(f"*{suffix}"))


@pytest.mark.parametrize("size", [0, 1, EDGE**3 - 1, EDGE**3 + 1, 2 * EDGE**3])
def test_a_raw_cube_of_the_wrong_size_is_named_when_it_is_opened(tmp_path, size):
    dataset(tmp_path)
    cube_of(tmp_path).write_bytes(bytes(size))
    with pytest.raises(UnsupportedSource, match=rf"x0001_y0000_z0001\.raw holds {size} bytes") as caught:
        source(tmp_path)
    assert f"holds {EDGE**3} bytes" in caught.value.why
    assert ("2 bytes a voxel" in caught.value.why) == (size == 2 * EDGE**3)


def test_a_cube_of_the_wrong_size_in_a_coarser_mag_is_named_too(tmp_path):
    dataset(tmp_path)
    save_cube(tmp_path / "mag2", (0, 0, 0), noise((EDGE, EDGE, EDGE - 1)))
    with pytest.raises(UnsupportedSource, match="mag2"):
        source(tmp_path)
    assert source(tmp_path, mags="first").info.shape == (70, 40, 50)


@pytest.mark.parametrize(
    ("pixels", "mode"), [((EDGE, EDGE), "L"), ((EDGE * EDGE, EDGE), "L"), ((EDGE, EDGE * EDGE), "RGB")]
)
def test_a_picture_of_the_wrong_size_or_kind_is_named(tmp_path, pixels, mode):
    dataset(tmp_path, suffix=".png")
    Image.new(mode, pixels).save(cube_of(tmp_path, ".png"))
    with pytest.raises(UnsupportedSource, match=rf"holds {pixels[0]} x {pixels[1]} pixels of {mode}") as caught:
        source(tmp_path)
    assert "32 x 1024 pixels of L" in caught.value.why


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".seg.sz.zip"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_cube_that_is_cut_short_is_named_when_it_is_opened(tmp_path, suffix, share):
    dataset(tmp_path, suffix=suffix, dtype="uint64" if "seg" in suffix else "uint8")
    path = cube_of(tmp_path, suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BrokenSource, match="x0001_y0000_z0001"):
        source(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize("suffix", [".raw", ".png", ".jpg", ".jp2", ".seg.sz.zip"])
def test_a_pipe_in_place_of_a_cube_is_refused_and_not_waited_for(tmp_path, suffix):
    dataset(tmp_path, suffix=suffix, dtype="uint64" if "seg" in suffix else "uint8")
    path = cube_of(tmp_path, suffix)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceError, match="x0001_y0000_z0001"):
        source(tmp_path)


def overlay(path, packed, names=("a.seg.sz",), method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name in names:
            file.writestr(name, packed)


GOOD = bytes(cramjam.snappy.compress_raw(noise((EDGE,) * 3, "uint64").tobytes()))
LARGER = bytes(cramjam.snappy.compress_raw(bytes(8 * EDGE**3 + 1)))
CLAIMS_4_GIB = b"\xff\xff\xff\xff\x0f" + GOOD[3:]


@pytest.mark.parametrize(
    ("packed", "names", "why"),
    [
        (GOOD, ("a.seg.sz", "b.seg.sz"), "2 files"),
        (GOOD, (), "0 files"),
        (LARGER, ("a.seg.sz",), "262145 bytes unpacked"),
        (CLAIMS_4_GIB, ("a.seg.sz",), "4294967295 bytes unpacked"),
        (b"", ("a.seg.sz",), "ends within its header"),
        (b"\xff\xff", ("a.seg.sz",), "ends within its header"),
    ],
)
def test_an_overlay_that_is_no_cube_is_named_when_it_is_opened(tmp_path, packed, names, why):
    dataset(tmp_path, suffix=".seg.sz.zip", dtype="uint64")
    overlay(cube_of(tmp_path, ".zip"), packed, names)
    with pytest.raises(WkconvertError, match=why) as caught:
        source(tmp_path)
    assert "x0001_y0000_z0001" in caught.value.what


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(GOOD[:-1], id="cut"),
        pytest.param(GOOD[:3] + b"\xff" * (len(GOOD) - 3), id="wrong"),
        pytest.param(GOOD[:3] + bytes(100_000_000), id="bomb"),
    ],
)
def test_an_overlay_whose_content_is_damaged_is_named_when_it_is_read(tmp_path, packed):
    dataset(tmp_path, suffix=".seg.sz.zip", dtype="uint64")
    overlay(cube_of(tmp_path, ".zip"), packed)
    of = source(tmp_path)
    tracemalloc.start()
    with pytest.raises(BrokenSource, match="x0001_y0000_z0001"):
        of.read(of.info.box)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_overlay_is_unpacked_only_where_that_is_bounded(tmp_path, method):
    """Of bzip2, Python unpacks a whole piece to look at five bytes: gigabytes, if it is zeros."""
    dataset(tmp_path, suffix=".seg.sz.zip", dtype="uint64")
    overlay(cube_of(tmp_path, ".zip"), GOOD[:3] + bytes(100_000_000), method=method)
    tracemalloc.start()
    with pytest.raises(WkconvertError, match="packed in a way that is not read") as caught:
        source(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"method {method}; cubes are stored (0) or deflated (8)" in caught.value.why
    assert peak < 10_000_000


def test_an_overlay_may_be_stored(tmp_path):
    dataset(tmp_path, suffix=".seg.sz.zip", dtype="uint64")
    expected = source(tmp_path).read(source(tmp_path).info.box)
    path = cube_of(tmp_path, ".zip")
    with zipfile.ZipFile(path) as file:
        packed = file.read(file.namelist()[0])
    overlay(path, packed, method=zipfile.ZIP_STORED)
    np.testing.assert_array_equal(source(tmp_path).read(source(tmp_path).info.box), expected)


def test_what_changes_after_it_was_opened_is_named(tmp_path):
    dataset(tmp_path)
    of = source(tmp_path)
    cube_of(tmp_path).write_bytes(b"short")
    with pytest.raises(BrokenSource, match=r"x0001_y0000_z0001\.raw is cut short"):
        of.read(of.info.box)


def test_a_dataset_that_goes_away_is_no_dataset_of_missing_cubes(tmp_path):
    dataset(tmp_path / "ds")
    of = source(tmp_path / "ds")
    (tmp_path / "ds" / "mag1").rename(tmp_path / "ds" / "unmounted")
    with pytest.raises(SourceNotFound, match="is gone"):
        of.read(of.info.box)


def test_a_picture_that_changes_after_it_was_opened_is_named(tmp_path):
    dataset(tmp_path, suffix=".png")
    of = source(tmp_path)
    Image.new("L", (5000, 5000)).save(cube_of(tmp_path, ".png"))
    with pytest.raises(BrokenSource, match="5000 x 5000"):
        of.read(of.info.box)


def test_a_cube_that_is_not_there_is_no_dataset(tmp_path):
    dataset(tmp_path)
    path = cube_of(tmp_path)
    path.unlink()
    with pytest.raises(UnsupportedSource, match="holds no cubes"):
        source(path)


@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_a_picture_of_another_depth_is_told_from_one_of_another_size(tmp_path, mode):
    dataset(tmp_path, suffix=".png")
    Image.new(mode, (EDGE, EDGE * EDGE)).save(cube_of(tmp_path, ".png"))
    with pytest.raises(UnsupportedSource, match=f"pixels of {mode}") as caught:
        source(tmp_path)
    assert ("colour picture" if mode == "RGB" else "16-bit picture") in caught.value.why
    assert caught.value.fix == "write it again as an 8-bit grey picture"


def test_a_picture_that_is_damaged_within_is_said_to_be(tmp_path):
    dataset(tmp_path, suffix=".png")
    path = cube_of(tmp_path, ".png")
    content = path.read_bytes()
    path.write_bytes(content[:10_000] + bytes(2000) + content[12_000:])
    of = source(tmp_path)
    with pytest.raises(BrokenSource, match=r"x0001_y0000_z0001\.png is damaged.*cannot be decoded"):
        of.read(of.info.box)


def test_a_picture_that_becomes_one_of_another_kind_is_not_read(tmp_path):
    dataset(tmp_path, suffix=".png")
    of = source(tmp_path)
    Image.new("L", (EDGE, EDGE * EDGE)).save(cube_of(tmp_path, ".png"), "BMP")
    with cube_of(tmp_path, ".png").open("ab") as file:
        file.write(b"IEND\xaeB`\x82")
    with pytest.raises(BrokenSource, match=r"x0001_y0000_z0001\.png is damaged"):
        of.read(of.info.box)


@pytest.mark.parametrize("suffix", [".seg"])
def test_a_dataset_of_cubes_that_are_not_read_is_claimed_to_say_so(tmp_path, suffix):
    folder = folder_of(tmp_path / "mag1", (0, 0, 0))
    folder.mkdir(parents=True)
    path = folder / f"ex_mag1_x0000_y0000_z0000{suffix}"
    path.write_bytes(b"1")
    for each in (tmp_path, folder, path):
        assert detect(each).format == "knossos"
        with pytest.raises(UnsupportedSource, match="of a kind that is not read") as caught:
            layers(each)
        assert f"1 {suffix}" in caught.value.why


@pytest.mark.parametrize("text", ["rubbish", "", "boundary\nscale", "\0" * 100])
def test_a_configuration_that_says_nothing_is_damaged(tmp_path, text):
    dataset(tmp_path)
    (tmp_path / "mag1" / "knossos.conf").write_text(text)
    with pytest.raises(BrokenSource, match=r"mag1.knossos\.conf is damaged"):
        source(tmp_path)


def test_a_link_to_nothing_is_no_missing_cube(tmp_path):
    dataset(tmp_path)
    path = cube_of(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere.raw")
    with pytest.raises(SourceNotFound, match="x0001_y0000_z0001"):
        source(tmp_path)


def test_a_folder_that_may_not_be_read_is_no_missing_cube(tmp_path, monkeypatch):
    from wkconvert_knossos import tree

    dataset(tmp_path)
    of = source(tmp_path)
    scandir = tree.os.scandir

    def refuse(path):
        if str(path).endswith("z0001"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(tree.os, "scandir", refuse)
    for action in (lambda: source(tmp_path), lambda: of.read(of.info.box)):
        with pytest.raises(BrokenSource, match=r"z0001 cannot be read.*Permission denied"):
            action()


def test_two_cubes_in_one_place_are_refused(tmp_path):
    dataset(tmp_path)
    path = cube_of(tmp_path)
    path.with_name("copy.raw").write_bytes(path.read_bytes())
    with pytest.raises(InconsistentStack, match=r"two cubes lie in .*z0001: copy\.raw and ex_mag1"):
        source(tmp_path)


def test_folders_that_are_no_place_for_cubes_are_noted(tmp_path):
    dataset(tmp_path)
    (tmp_path / "mag1" / "x2").mkdir()
    (tmp_path / "mag1" / "x0000" / "old").mkdir()
    (note,) = source(tmp_path).info.notes
    assert note == "left out, as no cubes belong there: x0000/old, mag1/x2"


def test_a_boundary_far_from_its_cubes_is_refused(tmp_path):
    dataset(tmp_path)
    (tmp_path / "mag1" / "knossos.conf").write_text(conf_text((320_000, 320_000, 320_000)))
    with pytest.raises(UnsupportedSource, match="12 of 1000000000000 cubes") as caught:
        source(tmp_path)
    assert "-o extent=cubes" in caught.value.fix


@pytest.mark.parametrize("boundary", ["0", "-5", "70.5", "nan", "inf", "1e99", "many", "9" * 5000])
def test_a_boundary_that_is_none_is_named(tmp_path, boundary):
    dataset(tmp_path)
    (tmp_path / "mag1" / "knossos.conf").write_text(conf_text((boundary, 40, 50)))
    with pytest.raises(UnsupportedSource, match=r"knossos\.conf says boundary x"):
        source(tmp_path)


@pytest.mark.parametrize("line", ["magnification 0;", "cube_edge_length 99999;", "magnification x;"])
def test_numbers_that_can_be_none_are_named(tmp_path, line):
    dataset(tmp_path)
    with (tmp_path / "mag1" / "knossos.conf").open("a") as file:
        file.write(line)
    with pytest.raises(UnsupportedSource, match=line.split()[0]):
        source(tmp_path)


def test_a_conf_may_be_written_in_many_ways(tmp_path):
    dataset(tmp_path)
    text = (
        '\ufeff\nexperiment name "äöü ex";\r\nboundary  x\t70.0;boundary y 40;boundary z 50\r\n'
        "scale x 9.0 ;scale y 9;scale z 2e1;\r\nftp_mode a b c d 10;\r\npng;\ncompression_ratio 0;\n"
        "cube_edge_length 32;"
    )
    (tmp_path / "mag1" / "knossos.conf").write_bytes(text.encode("latin-1", "replace"))
    info = source(tmp_path).info
    assert (info.shape, info.voxel_size.size) == ((70, 40, 50), (9, 9, 20))


@pytest.mark.parametrize(
    "text",
    [
        "[[Layer",
        "Layer = 5",
        "Layer = [5]",
        "[Layer]\nName = 5",
        "nothing = 1",
        "[[Layer]]\nExtent_px = 5",
        "[[Layer]]\nExtent_px = [5]",
        "[[Layer]]\nExtent_px = [5, 5, true]",
        "[[Layer]]\nVoxelSize_nm = [5, 5, 5]",
        "[[Layer]]\nFileExtension = 5",
        "[[Layer]]\nCubeShape_px = [0, 1, 1]",
        "a = " + "[" * 5000,
        "a = " + "9" * 5000,
    ],
)
def test_a_toml_that_makes_no_sense_is_named(tmp_path, text):
    dataset(tmp_path)
    (tmp_path / "mag1" / "knossos.conf").unlink()
    (tmp_path / "ex.k.toml").write_text(text)
    with pytest.raises((BrokenSource, UnsupportedSource), match=r"ex\.k\.toml"):
        source(tmp_path)


def test_a_configuration_without_end_is_not_read(tmp_path):
    dataset(tmp_path)
    (tmp_path / "mag1" / "knossos.conf").write_bytes(bytes(2 << 20))
    with pytest.raises(BrokenSource, match="more than 1048576 bytes"):
        source(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["knossos.conf", "ex.k.toml"])
def test_whatever_a_configuration_holds_only_our_errors_leave(tmp_path, name):
    dataset(tmp_path)
    (tmp_path / "mag1" / "knossos.conf").unlink()
    text = b'[[Layer]]\nName = "ex"\nFileExtension = [".raw"]\nExtent_px = [70, 40, 50]\nVoxelSize_nm = [[9, 9, 20]]\n'
    content = conf_text((70, 40, 50)).encode() if name == "knossos.conf" else text + b"CubeShape_px = [32, 32, 32]\n"
    rng, messages = random.Random(0), []
    for _ in range(300):
        damaged = bytearray(content[: rng.randrange(len(content) + 1)] if rng.random() < 0.3 else content)
        for _ in range(rng.randrange(1, 4) if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / name).write_bytes(damaged)
        try:
            for layer in layers(tmp_path):
                assert layer.source.info.box.volume > 0
        except WkconvertError as error:
            messages.append(f"{error.what}|{error.why or error.fix}")
    assert messages
    assert all(message.strip("|") == message for message in messages)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".seg.sz.zip"])
def test_whatever_a_cube_holds_only_our_errors_leave(tmp_path, suffix):
    dtype = "uint64" if "seg" in suffix else "uint8"
    (tmp_path / "knossos.conf").write_text(conf_text((EDGE,) * 3))
    path = save_cube(tmp_path / "mag1", (0, 0, 0), (noise((EDGE,) * 3, dtype) % 7).astype(dtype), suffix)
    content = path.read_bytes()
    rng, messages = random.Random(0), []
    survived = 0
    for _ in range(200):
        damaged = bytearray(content[: rng.randrange(len(content) + 1)] if rng.random() < 0.3 else content)
        for _ in range(rng.randrange(1, 4) if damaged else 0):
            damaged[rng.choice([rng.randrange(len(damaged)), rng.randrange(min(100, len(damaged)))])] = rng.randrange(
                256
            )
        path.write_bytes(damaged)
        try:
            survived += whole(source(tmp_path)).shape == (EDGE,) * 3
        except WkconvertError as error:
            messages.append(f"{error.what}|{error.why or error.fix}")
    assert survived < 200
    assert messages
    assert all(message.strip("|") == message for message in messages)


def test_a_cube_is_read_without_its_other_planes(tmp_path):
    dataset(tmp_path)
    of = source(tmp_path)
    from wkconvert_core import Box

    tracemalloc.start()
    of.read(Box((0, 0, 5), (70, 40, 1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < EDGE**3
    np.testing.assert_array_equal(of.read(Box((3, 4, 5), (1, 1, 1)))[0], noise((70, 40, 50))[3:4, 4:5, 5:6])
