"""SER, SMV and DM, as ncempy reads them: what it reads right, and what is refused."""

import struct

import numpy as np
import pytest
from helpers import paths

import wkconvert_ncem
from wkconvert_core import BrokenSource, Confidence, OptionError, UnsupportedSource, WarningNote, WkconvertError
from wkconvert_core.registry.detection import find
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import Reader, Sample, SourceContract, check_second_opinion, noise, read_checked

NCEM = Reader(wkconvert_ncem, "ncem")
layers, source, voxels = NCEM.layers, NCEM.source, NCEM.voxels
TYPES = {"uint8": 1, "uint16": 2, "uint32": 3, "int8": 4, "int16": 5, "int32": 6, "float32": 7, "float64": 8}
SAMPLES = paths.SAMPLES / "dm"


def ser(path, images, *, kind=None, delta=(2e-9, 3e-9), dimensions=None, data=0x4122):
    """A SER file of images `[x, y]`, by the format's description, whose rows begin at the bottom."""
    dimensions = dimensions or [(len(images), b"Number")]
    head = struct.pack("<2s2hiiii", b"II", 0x197, 0x220, data, 0x4152, len(images), len(images))
    described = b"".join(
        struct.pack("<iddii", size, 0, 1, 0, len(name)) + name + struct.pack("<i", 0) for size, name in dimensions
    )
    start = len(head) + 12 + len(described)
    head += struct.pack("<qi", start, len(dimensions)) + described
    bodies = []
    for image in images:
        code = kind or TYPES[image.dtype.name]
        calibration = b"".join(struct.pack("<ddi", 0, each, 0) for each in delta)
        body = calibration + struct.pack("<hii", code, *image.shape) + np.ascontiguousarray(image.T[::-1]).tobytes()
        bodies.append(body)
    first = start + 16 * len(images)
    ends = np.cumsum([first, *map(len, bodies)])
    offsets = struct.pack(f"<{len(images)}q", *ends[:-1].tolist()) + struct.pack(f"<{len(images)}q", *[0] * len(images))
    path.write_bytes(head + offsets + b"".join(bodies))
    return path


def smv(path, image):
    from ncempy.io.smv import smvWriter

    smvWriter(path, np.ascontiguousarray(image.T))
    return path


SERIES = [noise(90, 60, dtype="int16", seed=seed) for seed in range(9)]
FRAME = noise(90, 60, dtype="uint16")
SAMPLE = {
    "SER": lambda to: Sample(ser(to / "a_1.ser", SERIES), expected=np.stack(SERIES, 2)[np.newaxis]),
    "SMV": lambda to: Sample(
        smv(to / "a.img", noise(90, 60, dtype="uint16")),
        expected=noise(90, 60, dtype="uint16")[np.newaxis, ..., np.newaxis],
    ),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLE)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLE[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("dtype", TYPES)
def test_every_dtype_of_ser_keeps_every_bit(tmp_path, dtype):
    given = noise(9, 8, dtype=dtype)
    found = source(ser(tmp_path / "a.ser", [given]))
    assert found.info.dtype == dtype
    np.testing.assert_array_equal(read_checked(found)[0, ..., 0], given)
    assert found.info.voxel_size.size == (2, 3, None)


def test_a_series_is_slices_with_a_warning_or_one_image(tmp_path):
    path = ser(tmp_path / "a.ser", SERIES)
    (note,) = source(path).info.notes
    assert isinstance(note, WarningNote)
    assert "the 9 images of a series, which may be times, are taken as slices" in note
    np.testing.assert_array_equal(voxels(path, element=3)[0, ..., 0], SERIES[3])
    with pytest.raises(OptionError, match="0 to 8"):
        layers(path, element=9)
    ser(path, SERIES, dimensions=[(3, b"x"), (3, b"y")])
    with pytest.raises(UnsupportedSource, match="a map of 3 x 3 images"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, element=3)[0, ..., 0], SERIES[3])


def test_a_series_that_was_ended_early_is_told(tmp_path):
    _, note = source(ser(tmp_path / "a.ser", SERIES, dimensions=[(200, b"Number")])).info.notes
    assert note == WarningNote("of 200 images that were planned, 9 were recorded")


def test_reciprocal_sizes_are_no_voxel_size(tmp_path):
    found = source(ser(tmp_path / "a.ser", SERIES[:1], delta=(2e7, 2e7)))
    assert found.info.voxel_size is None
    assert any("2e+07 m" in note for note in found.info.notes)


@pytest.mark.parametrize(("more", "words"), [({"kind": 9}, "the type 9"), ({"data": 0x4120}, "spectra")])
def test_what_is_no_image_of_real_numbers_is_refused(tmp_path, more, words):
    with pytest.raises(UnsupportedSource, match=words):
        layers(ser(tmp_path / "a.ser", SERIES, **more))


@pytest.mark.parametrize(
    ("old", "new"), [(b"little_endian", b"big_endian"), (b"DIM=2", b"DIM=3"), (b"SIZE1=90", b"SIZE1=-9")]
)
def test_smv_that_ncempy_would_read_wrong_is_refused(tmp_path, old, new):
    path = smv(tmp_path / "a.img", noise(90, 60, dtype="uint16"))
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(WkconvertError, match=r"a\.img"):
        layers(path)


@pytest.mark.parametrize("kind", ["ser", "smv"])
def test_a_file_that_is_cut_anywhere_or_holds_wrong_bytes_is_refused_or_read(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    ser(path, [noise(9, 8)]) if kind == "ser" else smv(path, noise(9, 8, dtype="uint16"))
    content = path.read_bytes()
    for length in range(4, len(content), 9):
        path.write_bytes(content[:length])
        with pytest.raises(BrokenSource, match=path.name):
            voxels(path)
    rng, refused = np.random.default_rng(0), []
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(0, min(200, len(content)), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            found = source(path)
            found.read(found.info.box)
        except WkconvertError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert all(path.name in message for message in refused)


def test_dm_files_are_left_to_their_reader_and_ser_claimed(tmp_path):
    assert NCEM.detect(ser(tmp_path / "a.dat", SERIES)).confidence == Confidence.CONTENT
    (tmp_path / "a.dm3").write_bytes(struct.pack(">3i", 3, 100, 1) + bytes(100))
    assert NCEM.detect(tmp_path / "a.dm3") is None


def test_an_img_file_of_smv_is_not_taken_for_half_a_pair_of_nifti(tmp_path):
    (found,) = find(smv(tmp_path / "a.img", FRAME), plugins())
    assert found.match.format == "ncem"


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no real files")
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*.dm?")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_second_opinion_on_real_dm_files_is_the_same(path):
    pytest.importorskip("wkconvert_dm")
    check_second_opinion(path)
