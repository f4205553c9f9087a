"""Damaged files: an error of ours that names the file, before anything is decoded where that can be; bounded work."""

import gzip
import random
import subprocess
import sys
import tracemalloc

import nibabel
import numpy as np
import pytest
from helpers.sources import whole
from niftis import LAS, layers, patched, saved, source, voxels

from wkconvert_core import Box, BrokenSource, SourceNotFound, WkconvertError
from wkconvert_core.testing import noise
from wkconvert_core.toolkit import raw_rows

GIVEN = noise(30, 20, 10, dtype="int16")
HUGE = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], "<i2").tobytes()


def test_a_file_that_is_cut_short_is_refused_when_it_is_opened(tmp_path):
    path = saved(tmp_path / "a.nii", GIVEN)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BrokenSource, match=r"a\.nii is cut short") as caught:
        layers(path)
    assert caught.value.why == f"{size} bytes expected, {size - 1} found"


def test_a_file_that_is_cut_short_after_it_was_opened_is_refused(tmp_path):
    path = saved(tmp_path / "a.nii", GIVEN)
    of = source(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BrokenSource, match=r"a\.nii is cut short"):
        whole(of)
    path.unlink()
    with pytest.raises(SourceNotFound, match=r"a\.nii cannot be read"):
        whole(of)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, suffix, version):
    path = saved(tmp_path / f"a.{suffix}", noise(5, 4, 3, dtype="int16"), version=version)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(BrokenSource, match=r"a\.nii"):
            drained(path)


def drained(path, **options):
    """Read everything, as a conversion does: through the stream, if there is one."""
    for layer in layers(path, **options):
        of = layer.source
        if of.info.box.volume < 10**6:
            list(of.stream()) if hasattr(of, "stream") else whole(of)


@pytest.fixture(params=["isal", "gzip"])
def inflater(request, monkeypatch):
    if request.param == "gzip":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        pytest.importorskip("isal")
    return request.param


@pytest.mark.parametrize("place", ["checksum", "length", "middle", "second member", "second member's end"])
def test_a_damaged_gzip_file_is_refused(tmp_path, inflater, place):
    path = saved(tmp_path / "a.nii.gz", GIVEN)
    content = bytearray(path.read_bytes())
    if place.startswith("second member"):
        content += b"\x1f\x8b\x08 no gzip" if place == "second member" else content[:-1]
    else:
        content[{"checksum": -8, "length": -4, "middle": len(content) // 2}[place]] ^= 0xFF
    path.write_bytes(content)
    of = source(path)
    with pytest.raises(BrokenSource, match=r"a\.nii\.gz"):
        list(of.stream())


def test_a_gzip_file_of_several_members_with_zeros_behind_is_sound(tmp_path, inflater):
    plain = saved(tmp_path / "b.nii", GIVEN).read_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"".join(gzip.compress(plain[n : n + 1000]) for n in range(0, len(plain), 1000)) + bytes(600))
    np.testing.assert_array_equal(voxels(path)[0], GIVEN)


@pytest.mark.parametrize("behind", [b"x", b"no gzip", b"\x1f", bytes(20) + b"no gzip" * 10_000])
def test_bytes_behind_a_gzip_stream_are_left_out_with_a_note(tmp_path, inflater, behind):
    path = saved(tmp_path / "a.nii.gz", GIVEN)
    assert not [note for note in source(path).info.notes if "behind" in note]
    path.write_bytes(path.read_bytes() + behind)
    np.testing.assert_array_equal(voxels(path)[0], GIVEN)
    assert any("what lies behind the voxels, if anything, is left out" in note for note in source(path).info.notes)


def test_bytes_behind_the_voxels_in_a_gzip_stream_are_told(tmp_path):
    path = saved(tmp_path / "a.nii", GIVEN)
    packed = tmp_path / "a.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes() + bytes(7)))
    np.testing.assert_array_equal(voxels(packed)[0], GIVEN)
    end = path.stat().st_size
    assert any(f"the length {end + 7}, not {end}" in note for note in source(packed).info.notes)


def test_both_inflaters_give_the_same(tmp_path, inflater):
    path = saved(tmp_path / "a.nii.gz", GIVEN, LAS)
    np.testing.assert_array_equal(voxels(path)[0], GIVEN[::-1])


def test_a_size_that_the_file_cannot_hold_is_refused(tmp_path):
    path = patched(saved(tmp_path / "a.nii", GIVEN), 40, HUGE)
    with pytest.raises(BrokenSource, match="cut short"):
        layers(path)
    path = path.rename(tmp_path / "a.nii.gz")
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(BrokenSource, match="cannot hold them"):
        layers(path)


@pytest.mark.parametrize(
    ("place", "content", "words"),
    [
        (40, np.int16(0).tobytes(), "counts 0 axes"),
        (40, np.array([3, 0], "<i2").tobytes(), "lengths 0, 20, 10"),
        (42, np.int16(-1).tobytes(), "lengths -1, 20, 10"),
        (108, np.float32(0).tobytes(), "byte 0 "),
        (108, np.float32(352.5).tobytes(), "byte 352.5"),
        (108, np.float32(np.nan).tobytes(), "byte nan"),
        (108, np.float32(-1e30).tobytes(), "byte -1e"),
        (108, np.float32(1e30).tobytes(), "cut short"),
        (344, b"n+1 ", "no header"),
        (0, bytes(4), "no header"),
    ],
)
def test_what_a_header_says_is_checked(tmp_path, place, content, words):
    path = patched(saved(tmp_path / "a.nii", GIVEN), place, content)
    with pytest.raises(BrokenSource, match=words):
        layers(path)


@pytest.mark.parametrize(("version", "size"), [(1, 348), (2, 540)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_first_bytes_of_a_header_are_said_to_be_that(tmp_path, version, size, pack):
    path = saved(tmp_path / "a.nii", GIVEN, version=version)
    path.write_bytes(pack(path.read_bytes()[:300]))
    with pytest.raises(BrokenSource, match=rf"cut short. its header has 300 of {size} bytes"):
        layers(path)


def test_bitpix_and_datatype_that_differ_are_told(tmp_path):
    path = patched(saved(tmp_path / "a.nii", GIVEN), 72, np.int16(32).tobytes())
    assert any("bitpix is 32" in note for note in source(path).info.notes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nii", "nii.gz", "two.nii", "hdr"])
def test_wrong_bytes_raise_nothing_but_errors_of_ours(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    given = noise(7, 6, 5, dtype="int16")
    if kind == "hdr":
        nibabel.Nifti1Pair(given, LAS).to_filename(path.with_suffix(".img"))
    else:
        saved(path, given, LAS, version=2 if kind == "two.nii" else 1)
    content = path.read_bytes()
    plain = gzip.decompress(content) if kind == "nii.gz" else content
    rng = random.Random(0)
    opened, messages = 0, []
    for number in range(600):
        packed = kind == "nii.gz" and number % 2
        damaged = bytearray(content if packed else plain)
        for _ in range(rng.randint(1, 5)):
            damaged[rng.randrange(min(len(damaged), 560))] = rng.choice([0, 1, 2, 127, 255, rng.randrange(256)])
        path.write_bytes(gzip.compress(damaged) if kind == "nii.gz" and not packed else damaged)
        try:
            drained(path, **rng.choice([{}, {"volume": 0}, {"volumes": "channels"}, {"orientation": "stored"}]))
            opened += 1
        except WkconvertError as error:
            messages.append(str(error))
    assert opened > 20
    assert messages
    assert all(f"a.{kind}" in message or "a.img" in message for message in messages)


@pytest.mark.slow
def test_a_volume_is_streamed_and_read_in_little_memory(tmp_path):
    given = np.zeros((512, 512, 128), "uint8")
    given[:] = np.arange(512)[:, np.newaxis, np.newaxis]
    of = source(saved(tmp_path / "a.nii.gz", given, LAS))
    size = 0
    tracemalloc.start()
    try:
        for box, part in of.stream():
            size += part.size
            assert box.volume <= 4 << 20
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
        tracemalloc.reset_peak()
        assert of.read(Box((0, 0, 100), (512, 512, 1))).shape == (1, 512, 512, 1)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()
    assert size == given.size


def test_a_stream_that_is_not_read_to_its_end_leaves_nothing_open(tmp_path):
    psutil = pytest.importorskip("psutil")
    of = source(saved(tmp_path / "a.nii.gz", GIVEN))
    parts = of.stream()
    next(parts)
    parts.close()
    assert not [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path]


@pytest.mark.parametrize("piece", [20, 40, 3000, 2 << 20])
def test_a_stream_is_inflated_once_however_short_its_pieces_are(tmp_path, monkeypatch, piece):
    monkeypatch.setattr("wkconvert_core.toolkit.volumes.stored.PIECE_BYTES", piece)
    counts, fill = [], raw_rows.fill

    def counted(file, out, start):
        counts.append((start, out.nbytes))
        fill(file, out, start)

    monkeypatch.setattr(raw_rows, "fill", counted)
    list(source(saved(tmp_path / "a.nii.gz", GIVEN, LAS)).stream())
    ends = [place + size for place, size in counts]
    assert [place for place, _ in counts] == [352, *ends[:-1]], "each read begins where the one before ended"


@pytest.mark.slow
def test_nibabel_says_nothing_about_what_is_repaired(tmp_path):
    path = patched(saved(tmp_path / "a.nii", GIVEN), 76, np.array([0, -2], "<f4").tobytes())
    code = (
        "import sys; from pathlib import Path; from wkconvert_nifti import wkconvert_open;"
        "wkconvert_open('nifti', Path(sys.argv[1]), {})"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_bytes_behind_the_voxels_are_told(tmp_path):
    path = saved(tmp_path / "a.nii", GIVEN)
    path.write_bytes(path.read_bytes() + bytes(7))
    assert "7 bytes behind the voxels are left out" in source(path).info.notes
