"""Raw volumes: what options, headers beside them and names say; sizes that do not match; core's compliance kit."""

import json

import numpy as np
import pytest
from helpers.sources import whole

from wkconvert_core import (
    Box,
    BrokenSource,
    Confidence,
    Layer,
    Mag,
    OptionError,
    SourceNotFound,
    UnsupportedSource,
    VoxelSize,
    WkconvertError,
    parse_options,
)
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.formats import raw as raw_volume
from wkconvert_core.formats.raw import open_raw, wkconvert_detect, wkconvert_open
from wkconvert_core.testing import Sample, SourceContract
from wkconvert_core.toolkit import raw_rows

SHAPE = (70, 50, 90)


def noise(shape=SHAPE, dtype="uint16"):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def write(path, voxels, order="F", before=b""):
    path.write_bytes(before + voxels.tobytes(order=order))
    return path


def opened(path, **options):
    return open_raw(path, **parse_options(open_raw, {name: str(value) for name, value in options.items()}))


SAMPLES = {
    "x fastest": lambda to: Sample(
        write(to / "a.raw", noise()), options={"shape": "70,50,90", "dtype": "uint16"}, expected=noise()[np.newaxis]
    ),
    "z fastest, big endian, after a header": lambda to: Sample(
        write(to / "a.vol", noise(dtype=">f4"), "C", b"header."),
        options={"shape": "70,50,90", "dtype": "float32", "order": "C", "byteorder": "big", "offset": "7"},
        expected=noise(dtype="float32")[np.newaxis],
    ),
    "named": lambda to: Sample(write(to / "a_70x50x90_uint16.raw", noise()), expected=noise()[np.newaxis]),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLES)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLES[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">i2", "<u4", ">i4", ">u8", "<i8", "<f4", ">f8"])
@pytest.mark.parametrize("order", ["F", "C"])
def test_every_dtype_in_both_orders_is_what_numpy_wrote(tmp_path, dtype, order):
    voxels = noise((5, 6, 7), dtype)
    source = opened(
        write(tmp_path / "a.raw", voxels, order),
        shape="5,6,7",
        dtype=voxels.dtype.name,
        order=order,
        byteorder="big" if dtype.startswith(">") else "little",
    )
    assert source.info.dtype == voxels.dtype.newbyteorder("=")
    assert source.info.dtype.isnative
    np.testing.assert_array_equal(whole(source)[0], voxels)
    np.testing.assert_array_equal(source.read(Box((1, 2, 3), (3, 4, 2)))[0], voxels[1:4, 2:6, 3:5])


def test_an_array_zyx_as_numpy_saves_it_is_order_f(tmp_path):
    zyx = noise((4, 3, 2), "uint8")
    zyx.tofile(tmp_path / "a.raw")
    np.testing.assert_array_equal(whole(opened(tmp_path / "a.raw", shape="2,3,4", dtype="uint8"))[0], zyx.T)


def test_detection_goes_by_suffix_and_leaves_knossos_cubes_alone(tmp_path):
    path = tmp_path / "A.VOL"
    assert wkconvert_detect(path, b"1").confidence == Confidence.SUFFIX
    assert wkconvert_detect(tmp_path / "a.raw", b"1").format == "raw"
    assert wkconvert_detect(tmp_path / "folder.raw", b"") is None
    assert wkconvert_detect(tmp_path / "a.bin", b"1") is None
    assert wkconvert_detect(tmp_path / "mag1/x0000/y0001/z0002/a.raw", b"1") is None


def test_it_opens_one_layer_of_its_own_format_only(tmp_path):
    path = write(tmp_path / "a_5x6x7_uint8.raw", noise((5, 6, 7), "uint8"))
    assert wkconvert_open("tiff", path, {}) is None
    (layer,) = wkconvert_open("raw", path, {})
    assert isinstance(layer, Layer)
    assert list(layer.mags) == [Mag(1, 1, 1)]


def test_without_a_shape_the_error_says_what_to_pass(tmp_path):
    path = write(tmp_path / "a.raw", noise())
    with pytest.raises(OptionError, match=r"a\.raw does not say its shape") as caught:
        opened(path)
    assert "-o shape=x,y,z -o dtype=uint8" in caught.value.fix
    assert "float64" in caught.value.fix


def test_without_a_dtype_the_error_lists_those_that_fit(tmp_path):
    with pytest.raises(OptionError, match="does not say its dtype") as caught:
        opened(write(tmp_path / "a.raw", noise()), shape="70,50,90")
    assert "uint16, int16" in caught.value.fix
    assert "uint8" not in caught.value.fix


def test_a_dtype_that_is_none_is_an_error_that_lists_them(tmp_path):
    path = write(tmp_path / "a.raw", noise())
    with pytest.raises(OptionError, match="dtype=complex") as caught:
        opened(path, shape="70,50,90", dtype="complex")
    assert "uint8, uint16, uint32" in caught.value.fix
    scivis(tmp_path / "a.json", type="complex64")
    with pytest.raises(UnsupportedSource, match=r"a\.json says .* holds complex64") as caught:
        opened(path)
    assert "uint16, int16" in caught.value.fix


@pytest.mark.parametrize(
    ("options", "remedies"),
    [
        ({"shape": "70,50,90", "dtype": "uint8"}, ["uint16, int16", "-o shape=70,50,180", "-o offset=315000"]),
        ({"shape": "70,50,45", "dtype": "uint16"}, ["uint32, int32, float32", "-o shape=70,50,90", "-o offset=315000"]),
        ({"shape": "70,50,90", "dtype": "uint32"}, ["uint16, int16", "-o shape=70,50,45"]),
        ({"shape": "71,50,90", "dtype": "uint16"}, ["nothing near it fits"]),
        ({"shape": "70,50,90", "dtype": "uint16", "offset": "512"}, ["-o offset=0"]),
        ({"shape": "70,50,90", "dtype": "uint16", "offset": "999999"}, ["-o offset=0"]),
    ],
)
def test_a_size_that_does_not_match_is_an_error_that_lists_what_would(tmp_path, options, remedies):
    path = write(tmp_path / "a.raw", noise())
    with pytest.raises(BrokenSource, match=r"a\.raw has 630000 bytes, \d+ expected") as caught:
        opened(path, **options)
    assert all(remedy in caught.value.fix for remedy in remedies)


@pytest.mark.parametrize("remedy", ["shape=70,50,180", "dtype=uint16", "offset=315000"])
def test_what_the_error_lists_does_fit(tmp_path, remedy):
    path = write(tmp_path / "a.raw", noise())
    name, _, value = remedy.partition("=")
    source = opened(path, **{"shape": "70,50,90", "dtype": "uint8", name: value})
    skipped = int(value) if name == "offset" else 0
    assert skipped + source.info.box.volume * source.info.voxel_bytes == path.stat().st_size


@pytest.mark.parametrize("shape", ["", "5", "5,6", "5,6,0", "5,6,-7", "5,6,7,8", "a,b,c", "1e3,1,1", "9" * 10 + ",1,1"])
def test_a_shape_is_three_numbers_above_0(tmp_path, shape):
    path = write(tmp_path / "a.raw", noise())
    with pytest.raises(WkconvertError, match="shape"):
        opened(path, shape=shape, dtype="uint8")
    with pytest.raises(OptionError, match="offset"):
        opened(path, shape="70,50,90", dtype="uint16", offset=-1)


PYHST = """! PyHST_SLAVE VOLUME INFO FILE
NUM_X =  70
NUM_Y =  50
NUM_Z =  90
voxelSize =  0.280000
BYTEORDER = {}
ValMin =  0.0
"""


@pytest.mark.parametrize("name", ["a.vol.info", "a.info"])
@pytest.mark.parametrize(
    ("order", "dtype"), [("LOWBYTEFIRST", "<f4"), ("HIGHBYTEFIRST", ">f4"), ("LOWBYTEFIRST", "u1")]
)
def test_the_info_of_pyhst_says_shape_byte_order_and_voxel_size(tmp_path, name, order, dtype):
    (tmp_path / name).write_text(PYHST.format(order))
    source = opened(write(tmp_path / "a.vol", noise(dtype=dtype)))
    assert source.info.dtype.name == np.dtype(dtype).name
    assert source.info.voxel_size.size == (0.28, 0.28, 0.28)
    assert (source.info.voxel_size.unit, source.info.voxel_size.origin) == ("µm", name)
    assert name in source.info.notes[0]
    np.testing.assert_array_equal(whole(source)[0], noise(dtype=dtype))


def scivis(path, **said):
    path.write_text(json.dumps({"size": [70, 50, 90], "type": "uint16", "spacing": [1, 1, 2], **said}))


def test_the_json_of_open_scivis_says_shape_and_dtype_and_its_spacing_has_no_unit(tmp_path):
    scivis(tmp_path / "a.json")
    source = opened(write(tmp_path / "a.raw", noise()))
    assert source.info.voxel_size is None
    assert "spacing [1, 1, 2] in a.json has no unit and is not taken" in source.info.notes
    np.testing.assert_array_equal(whole(source)[0], noise())


def test_a_dtype_that_is_said_goes_before_that_of_a_header(tmp_path):
    scivis(tmp_path / "a.json")
    source = opened(write(tmp_path / "a.raw", noise()), dtype="int16")
    assert source.info.dtype == "int16"
    with pytest.raises(BrokenSource, match="expected"):
        opened(tmp_path / "a.raw", dtype="uint8")


def test_the_dtype_to_be_written_is_not_taken_for_that_of_the_file(tmp_path):
    write(tmp_path / "a.raw", noise(dtype="uint8"))
    settings = Settings(dtype="int8", reader_options={"shape": "70,50,90"}, voxel_size=VoxelSize((1, 1, 1)))
    with pytest.raises(OptionError, match="does not say its dtype"):
        convert(tmp_path / "a.raw", tmp_path / "ds", settings)


def test_a_shape_that_is_given_goes_before_a_header(tmp_path):
    scivis(tmp_path / "a.json")
    source = opened(write(tmp_path / "a.raw", noise()), shape="50,70,90", dtype="int16")
    assert (source.info.shape, source.info.dtype) == ((50, 70, 90), "int16")


def test_a_header_that_the_file_does_not_fit_is_an_error(tmp_path):
    scivis(tmp_path / "a.json", type="float32")
    with pytest.raises(BrokenSource, match=r"a\.raw has 630000 bytes, 1260000 expected.*a\.json"):
        opened(write(tmp_path / "a.raw", noise()))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", "[" * 100_000),
        ("a.json", '{"size": [70, 50], "type": "uint16"}'),
        ("a.json", '{"size": 5, "type": "uint16"}'),
        ("a.json", '{"size": [70, 50, 90.5], "type": "uint16"}'),
        ("a.json", '{"size": [0, 50, 90], "type": "uint16"}'),
        ("a.info", PYHST.replace("70", "many")),
        ("a.info", PYHST.replace("0.28", "small")),
    ],
)
def test_a_header_that_makes_no_sense_is_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(BrokenSource, match=name) as caught:
        opened(write(tmp_path / "a.raw", noise()))
    assert caught.value.why
    assert "-o shape" not in caught.value.why, "nobody said that option"


@pytest.mark.parametrize("size", ["654", {"6": 0, "5": 0, "4": 0}])
def test_a_size_that_is_no_list_is_not_taken_for_one(tmp_path, size):
    scivis(tmp_path / "a.json", size=size, type="uint8")
    with pytest.raises(BrokenSource, match=r"a\.json cannot be read.*not a list of three"):
        opened(write(tmp_path / "a.raw", noise((6, 5, 4), "uint8")))


@pytest.mark.parametrize(("name", "content"), [("a.json", "[1, 2]"), ("a.json", '{"size": 5}'), ("a.info", "hello")])
def test_a_file_about_something_else_is_no_header(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(OptionError, match="does not say its shape"):
        opened(write(tmp_path / "a.raw", noise()))


@pytest.mark.parametrize("name", ["a_70x50x90_uint16.raw", "70x50x90_UINT16.vol"])
def test_a_name_counts_if_it_fits_the_size_and_a_note_says_so(tmp_path, name):
    source = opened(write(tmp_path / name, noise()))
    np.testing.assert_array_equal(whole(source)[0], noise())
    assert source.info.notes == ("read as uint16, x fastest (its name)",)


@pytest.mark.parametrize(
    "name", ["a_70x50x91_uint16.raw", "a_70x50x90_uint8.raw", "a_70x50x90.raw", "a_0x50x90_uint16.raw", "2x3.raw"]
)
def test_a_name_that_does_not_fit_counts_for_nothing(tmp_path, name):
    with pytest.raises(OptionError, match="does not say its shape"):
        opened(write(tmp_path / name, noise()))


def test_a_name_may_leave_the_dtype_to_the_option(tmp_path):
    assert opened(write(tmp_path / "a_70x50x90.raw", noise()), dtype="int16").info.dtype == "int16"


def test_a_file_that_was_cut_after_it_was_opened_is_an_error(tmp_path):
    source = opened(write(tmp_path / "a_70x50x90_uint16.raw", noise()))
    source.path.write_bytes(b"short")
    with pytest.raises(BrokenSource, match=r"uint16\.raw is cut short.*it ends at byte 5\."):
        whole(source)
    source.path.unlink()
    with pytest.raises(SourceNotFound, match="cannot be read"):
        whole(source)


def test_an_error_of_the_disk_is_one_of_the_source(tmp_path, monkeypatch):
    source = opened(write(tmp_path / "a_70x50x90_uint16.raw", noise()))

    class Failing(raw_volume.FileIO):
        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(raw_volume, "FileIO", Failing)
    with pytest.raises(BrokenSource, match=r"cannot be read.*Input/output error"):
        source.read(Box((1, 1, 1), (2, 2, 2)))


def test_a_disk_may_give_less_at_a_time_than_was_asked_for(tmp_path, monkeypatch):
    class Slow(raw_volume.FileIO):
        def readinto(self, buffer):
            return super().readinto(buffer[:5])

    source = opened(write(tmp_path / "a_5x6x7_uint16.raw", noise((5, 6, 7))))
    monkeypatch.setattr(raw_volume, "FileIO", Slow)
    np.testing.assert_array_equal(whole(source)[0], noise((5, 6, 7)))


@pytest.mark.parametrize("order", ["F", "C"])
@pytest.mark.parametrize("shape", [(9000, 4, 5), (5, 4, 9000), (600, 3, 2), (2, 3, 600)])
@pytest.mark.parametrize("span", [1, 1 << 20])
def test_boxes_of_long_and_short_rows_are_what_numpy_wrote(tmp_path, monkeypatch, order, shape, span):
    monkeypatch.setattr(raw_rows, "_SPAN", span)
    voxels = noise(shape, ">u2")
    path = write(tmp_path / "a.raw", voxels, order, b"head")
    said = {"shape": ",".join(map(str, shape)), "dtype": "uint16", "byteorder": "big", "offset": 4}
    source = opened(path, order=order, **said)
    for start in [(0, 0, 0), (1, 1, 1)]:
        box = Box.between(start, tuple(n - (n > 2) for n in shape))
        np.testing.assert_array_equal(source.read(box)[0], voxels[box.slices_in(source.info.box)])
    thin = Box((1, 1, 1), (1, 2, 1))
    np.testing.assert_array_equal(source.read(thin)[0], voxels[1:2, 1:3, 1:2])


def test_a_chunk_is_a_run_along_the_fastest_axis(tmp_path):
    path = write(tmp_path / "a.raw", noise((5000, 2, 3), "uint16"))
    assert opened(path, shape="5000,2,3", dtype="uint16").info.chunk_shape == (2048, 1, 1)
    assert opened(path, shape="5000,2,3", dtype="uint16", order="C").info.chunk_shape == (1, 1, 3)


def test_a_box_beyond_the_volume_is_refused(tmp_path):
    source = opened(write(tmp_path / "a_5x6x7_uint8.raw", noise((5, 6, 7), "uint8")))
    with pytest.raises(ValueError, match="is not within"):
        source.read(Box((0, 0, 0), (6, 6, 7)))


def test_a_folder_is_no_raw_volume(tmp_path):
    with pytest.raises(UnsupportedSource, match="is no file"):
        opened(tmp_path, shape="1,1,1", dtype="uint8")
