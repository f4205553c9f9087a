"""Series of DICOM: their order, places, sizes and values, against GDCM; what does not fit together is refused."""

import logging.handlers
import re
import shutil

import numpy as np
import pytest
from itks import DICOM, REAL, by_gdcm, enhanced, pydicom, series, sitk, slice_file

from wkconvert_core import (
    BrokenSource,
    InconsistentStack,
    OptionError,
    UnsupportedSource,
    WarningNote,
    WkconvertError,
)
from wkconvert_core.testing import noise, read_checked

layers, source, voxels = DICOM.layers, DICOM.source, DICOM.voxels
GIVEN = noise(9, 8, 5, dtype="int16")
STORED = {"orientation": "stored"}


def warnings(of):
    return [note for note in of.info.notes if isinstance(note, WarningNote)]


def test_slices_are_in_the_order_of_their_positions_whatever_their_names_and_numbers(tmp_path):
    folder = series(tmp_path / "a", GIVEN, 1.5, order=[3, 0, 4, 2, 1])
    (folder / "more").mkdir()
    (folder / "001").rename(folder / "more" / "IM1.7")
    found = source(folder, **STORED)
    np.testing.assert_array_equal(read_checked(found)[0], GIVEN)
    assert found.info.voxel_size.size == (0.25, 0.5, 1.5), "by positions, not by SliceThickness"
    assert found.info.affine.at((1, 2, 3)) == (-10.25, -21, 34.5)
    np.testing.assert_array_equal(voxels(folder)[0], GIVEN[::-1, ::-1])
    assert source(folder).info.turned.how == "from LPS to RAS"
    assert not warnings(found)


def test_voxels_and_places_are_those_of_simpleitk(tmp_path):
    directions = (0, 1, 0, 0, 0, -1)  # sagittal: rows to the back, columns to the bottom, slices along -x
    for z in range(5):
        slice_file(tmp_path / str(z), GIVEN[..., z], (30 - 2 * z, 10, 20), directions=directions, number=z)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    made = reader.Execute()
    found, seen = source(tmp_path), voxels(tmp_path)[0]
    assert found.info.shape == (5, 9, 8)
    assert found.info.voxel_size.size == (2, 0.25, 0.5)
    for place in ((0, 0, 0), (4, 3, 2), (1, 8, 7)):
        x, y, z = found.info.affine.at(place)
        point = made.TransformPhysicalPointToIndex((-x, -y, z))
        np.testing.assert_allclose(made.TransformIndexToPhysicalPoint(point), (-x, -y, z))
        assert seen[place] == made.GetPixel(point)


def test_the_skew_of_a_tilted_gantry_is_told(tmp_path):
    for z in range(5):
        slice_file(tmp_path / str(z), GIVEN[..., z], (0, 0.5 * z, 2 * z))
    found = source(tmp_path)
    assert any("skews the axes by up to 14.0 degrees" in note for note in warnings(found))
    assert found.info.voxel_size.size == (0.25, 0.5, 2)


def test_links_that_lead_nowhere_or_to_folders_are_told(tmp_path):
    folder = series(tmp_path / "a", GIVEN)
    (folder / "005").symlink_to(tmp_path / "unmounted")
    (folder / "more").symlink_to(series(tmp_path / "b", GIVEN))
    told = warnings(source(folder))
    assert "links that lead nowhere are left out: 005" in told
    assert "links to folders are left out: more" in told


def test_a_missing_slice_is_an_error_until_gaps_decides(tmp_path):
    folder = series(tmp_path / "a", GIVEN)
    (folder / "002").unlink()
    with pytest.raises(InconsistentStack, match=r"slices are missing .* between 32 and 36 mm .* \(1 in all\)"):
        layers(folder)
    filled = GIVEN.copy()
    filled[..., 2] = 0
    np.testing.assert_array_equal(voxels(folder, gaps="fill", **STORED)[0], filled)
    assert (
        "1 missing slice is filled with zeros: between 32 and 36 mm along the normal"
        in source(folder, gaps="fill").info.notes
    )
    np.testing.assert_array_equal(voxels(folder, gaps="close", **STORED)[0], np.delete(GIVEN, 2, 2))
    assert source(folder, gaps="close").info.voxel_size.size[2] == 2
    assert any(
        "1 of 3 distances between slices are not 2 mm" in note for note in warnings(source(folder, gaps="close"))
    )


def test_slices_that_lie_unevenly_are_refused(tmp_path):
    folder = series(tmp_path / "a", GIVEN)
    slice_file(folder / "004", GIVEN[..., 4], (10, 20, 38.8))
    with pytest.raises(InconsistentStack, match="not evenly spaced"):
        layers(folder)
    assert source(folder, gaps="close").info.shape == (9, 8, 5)


def test_copies_of_a_slice_are_left_out_with_a_warning(tmp_path):
    folder = series(tmp_path / "a", GIVEN)
    shutil.copy(folder / "001", folder / "copy")
    found = source(folder, **STORED)
    np.testing.assert_array_equal(read_checked(found)[0], GIVEN)
    assert warnings(found) == ["1 copies of slices are left out: copy"]


def test_another_slice_at_a_place_is_refused(tmp_path):
    folder = series(tmp_path / "a", GIVEN)
    slice_file(folder / "again", GIVEN[..., 1], (10, 20, 32))
    with pytest.raises(InconsistentStack, match="several slices at one place: again, 001"):
        layers(folder)


def test_several_volumes_at_the_same_places_are_chosen_or_layers(tmp_path):
    folder = series(tmp_path / "a", GIVEN, EchoTime=20)
    shutil.copytree(series(tmp_path / "b", GIVEN + np.int16(1), EchoTime=9), folder / "b")
    with pytest.raises(UnsupportedSource, match="holds 2 volumes"):
        layers(folder)
    np.testing.assert_array_equal(voxels(folder, volume=0, **STORED)[0], GIVEN)
    assert [layer.name for layer in layers(folder, volumes="channels")] == ["volume_0", "volume_1"]
    slice_file(folder / "b" / "000", GIVEN[..., 0], (10, 20, 30), EchoTime=30)
    with pytest.raises(InconsistentStack, match="several slices at one place"):
        layers(folder, volume=0)


def test_several_series_are_listed_and_one_is_chosen(tmp_path):
    series(tmp_path / "a", GIVEN, series="1.2.3")
    series(tmp_path / "b", GIVEN + np.int16(1), series="1.2.4")
    with pytest.raises(UnsupportedSource, match=r"2 series: 0: CT head, 5 files, 1\.2\.3; 1: .*1\.2\.4"):
        layers(tmp_path)
    for said in ("1", "1.2.4"):
        np.testing.assert_array_equal(voxels(tmp_path, series=said, **STORED)[0], GIVEN + np.int16(1))
    with pytest.raises(OptionError, match=r"no series 2"):
        layers(tmp_path, series="2")


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"PixelSpacing": [1, 1]}, r"pixel spacing: 002"),
        ({"directions": (0, 1, 0, 0, 0, 1)}, r"orientation: 002"),
        ({"ImagePositionPatient": None}, r"do not say where they lie: 002"),
    ],
)
def test_slices_that_are_not_alike_are_named(tmp_path, elements, words):
    folder = series(tmp_path / "a", GIVEN)
    slice_file(folder / "002", GIVEN[..., 2], (10, 20, 34), **elements)
    with pytest.raises(InconsistentStack, match=words):
        layers(folder)


@pytest.mark.parametrize("values", [GIVEN[:8, :, 2], GIVEN[..., 2].astype("uint16")])
def test_slices_of_another_size_or_dtype_are_named(tmp_path, values):
    folder = series(tmp_path / "a", GIVEN)
    slice_file(folder / "002", values, (10, 20, 34))
    with pytest.raises(InconsistentStack, match=r": 002 \("):
        layers(folder)


def test_without_positions_numbers_count_with_a_warning(tmp_path):
    folder = series(tmp_path / "a", GIVEN, ImagePositionPatient=None)
    found = source(folder)
    np.testing.assert_array_equal(read_checked(found)[0], GIVEN)
    assert any("order of their numbers" in note for note in warnings(found))
    assert found.info.voxel_size.size == (0.25, 0.5, None)
    assert found.info.affine is None


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32"])
def test_every_dtype_keeps_every_bit(tmp_path, dtype):
    given = noise(9, 8, 3, dtype=dtype)
    found = source(series(tmp_path / "a", given), **STORED)
    assert found.info.dtype == dtype
    np.testing.assert_array_equal(read_checked(found)[0], given)


@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (0.5, 3), (2.37, -11.3)])
def test_slope_and_intercept_are_applied_as_niftis_are(tmp_path, slope, intercept):
    folder = series(tmp_path / "a", GIVEN, RescaleSlope=slope, RescaleIntercept=intercept)
    found = source(folder, **STORED)
    assert found.info.dtype == np.float32
    np.testing.assert_array_equal(read_checked(found)[0], (GIVEN * float(slope) + intercept).astype("float32"))
    np.testing.assert_array_equal(voxels(folder, slope="ignore", **STORED)[0], GIVEN)
    if slope == 1:
        labels = source(folder, category="segmentation", **STORED)
        assert labels.info.dtype == np.int32
        np.testing.assert_array_equal(read_checked(labels)[0], GIVEN.astype(int) - 1024)


def test_slopes_may_differ_from_slice_to_slice_for_intensities_only(tmp_path):
    for z in range(5):
        slice_file(tmp_path / str(z), GIVEN[..., z], (0, 0, z), RescaleSlope=1 + z, RescaleIntercept=0)
    found = source(tmp_path, **STORED)
    np.testing.assert_array_equal(read_checked(found)[0], GIVEN * np.arange(1, 6, dtype="float32"))
    with pytest.raises(UnsupportedSource, match="differ from slice to slice"):
        layers(tmp_path, category="segmentation")


REFUSED = ("liver", "SC_rgb_rle_16bit", "SC_rgb_rle_32bit", "SC_rgb_rle_2frame", "examples_ybr", "image_dfl")
REFUSED += ("JPEG2000-embedded",)
"""Files of one bit, of large colours, of frames without positions, a deflated one, and one whose pixels are damaged."""
BY_ITSELF = [
    pytest.param(path, marks=[pytest.mark.slow] * (path.stat().st_size > 100_000))
    for path in sorted(REAL.glob("*.dcm"))
    if not path.name.startswith(("badVR", "meta_missing"))
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("path", BY_ITSELF, ids=lambda path: path.name)
def test_real_files_equal_what_gdcm_reads_or_are_refused(path):
    try:
        found = source(path, slope="ignore", **STORED)
        values = np.squeeze(read_checked(found)[..., 0].T)
    except WkconvertError:
        refused = pydicom.dcmread(path, force=True)
        assert "Rows" not in refused or path.name.startswith(REFUSED) or not magic(path)
        return
    assert not path.name.startswith(REFUSED)
    if path.name.startswith("rtdose"):  # of which GDCM refuses the pixels
        expected = pydicom.dcmread(path).pixel_array.reshape(-1, 10, 10)[0]
    else:
        expected = by_gdcm(path)
    np.testing.assert_array_equal(values, expected)


def magic(path):
    return path.read_bytes()[128:132] == b"DICM" and "truncated" not in path.name


SERIES = ["98892001/CT5N", "77654033/CT2", "77654033/CR1"]


@pytest.mark.slow
@pytest.mark.parametrize("folder", SERIES)
def test_real_series_are_in_the_order_of_their_positions(folder):
    path = REAL / "dicomdirtests" / folder
    files = [pydicom.dcmread(file) for file in path.iterdir()]
    row, column = np.reshape(files[0].get("ImageOrientationPatient", (1, 0, 0, 0, 1, 0)), (2, 3)).astype(float)
    files.sort(key=lambda one: np.cross(row, column) @ np.array(one.get("ImagePositionPatient", (0, 0, 0)), float))
    found = source(path, gaps="close", slope="ignore", **STORED)
    expected = np.stack([by_gdcm(one.filename) for one in files])
    np.testing.assert_array_equal(read_checked(found)[0].T, expected)


@pytest.mark.parametrize(
    ("folder", "words"), [("98892003/MR700", "differ in orientation"), ("98892003/MR2", "3 series")]
)
def test_real_folders_that_are_no_volume_are_refused(folder, words):
    with pytest.raises((InconsistentStack, UnsupportedSource), match=words):
        layers(REAL / "dicomdirtests" / folder)


def test_small_values_that_are_meant_to_be_bright_are_kept_as_stored_and_told(tmp_path):
    given = noise(9, 8, 3, dtype="uint16")
    folder = series(tmp_path / "a", given, PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=1)
    found = source(folder, slope="ignore", **STORED)
    np.testing.assert_array_equal(read_checked(found)[0], given)
    assert any("MONOCHROME1" in note for note in warnings(found))


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CT_small", "MR_small_RLE", "MR_small_jp2klossless", "SC_rgb_jpeg_dcmtk"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, name):
    content = (REAL / f"{name}.dcm").read_bytes()
    for part in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9):
        (tmp_path / "a.dcm").write_bytes(content[: int(part * len(content))])
        with pytest.raises(BrokenSource, match=r"a\.dcm"):
            voxels(tmp_path / "a.dcm")


OURS = (
    "the file has 0 bytes",
    r"it has \d+ bytes, and DICOM begins with 132",
    r"it states \S+ as its transfer syntax, so that nobody knows how it is coded",
    "an element of its header is cut, or holds what none of its kind may hold",
    r"its header lacks \w+.*",
    "it holds no pixels",
    "it ends before its compressed pixels",
    r"\d+ bytes of pixels expected, \d+ found",
    r"its compressed pixels end at byte \d+, the file at \d+",
)


@pytest.mark.parametrize("name", ["MR_small", "MR_small_jp2klossless", "SC_rgb_small_odd_jpeg", "rtdose_1frame"])
def test_wherever_a_file_is_cut_it_is_told_in_our_words(tmp_path, name, capfd):
    content = (REAL / f"{name}.dcm").read_bytes()
    end = pydicom.dcmread(REAL / f"{name}.dcm", specific_tags=["PixelData"])["PixelData"].file_tell or len(content)
    for length in {*range(0, 800, 13), 141, 142, 715, 1532, *range(800, min(end, len(content) - 400), 97)}:
        (tmp_path / "a.dcm").write_bytes(content[:length])
        with pytest.raises(BrokenSource) as caught:
            layers(tmp_path / "a.dcm")
        assert re.fullmatch("|".join(OURS), caught.value.why), (length, caught.value.why)
        assert caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_what_pydicom_says_of_its_work_is_not_shown(capfd):
    """It tries one decoder after the other, and finds oddities that do no harm."""
    told = logging.handlers.BufferingHandler(1000)
    logging.getLogger().addHandler(told)
    try:
        for name in ("JPEG-lossy", "SC_rgb_jpeg", "GDCMJ2K_TextGBR"):
            voxels(REAL / f"{name}.dcm")
    finally:
        logging.getLogger().removeHandler(told)
    assert told.buffer == []
    assert capfd.readouterr() == ("", "")


def test_an_empty_file_among_slices_is_named(tmp_path):
    folder = series(tmp_path / "a", GIVEN)
    (folder / "000").write_bytes(b"")
    (folder / "002").write_bytes(b"")
    assert DICOM.detect(folder).format == "dicom"
    with pytest.raises(BrokenSource, match="000 is empty"):
        layers(folder)


def test_opening_reads_no_pixels_and_asks_for_all_of_them(tmp_path, monkeypatch):
    folder = series(tmp_path / "a", GIVEN)
    monkeypatch.setattr("wkconvert_itk.slices.pixels", None)
    assert source(folder).info.shape == (9, 8, 5)
    content = (folder / "002").read_bytes()
    pixels = content.index(GIVEN[..., 2].T.tobytes())
    (folder / "002").write_bytes(content[: pixels - 12])  # up to the element before
    with pytest.raises(BrokenSource, match=r"002 is cut short\. it holds no pixels"):
        layers(folder)
    slice_file(folder / "002", GIVEN[..., 2], (10, 20, 34), Rows=9)
    with pytest.raises(BrokenSource, match="162 bytes of pixels expected, 144 found"):
        layers(folder)


def test_a_slice_that_is_damaged_in_a_folder_is_named(tmp_path):
    folder = series(tmp_path / "a", GIVEN)
    (folder / "002").write_bytes((folder / "002").read_bytes()[:500])
    with pytest.raises(BrokenSource, match="002"):
        layers(folder)


def test_a_folder_that_changes_is_told(tmp_path):
    folder = series(tmp_path / "a", GIVEN)
    found = source(folder)
    slice_file(folder / "002", GIVEN[..., 2], (10, 20, 34))
    with pytest.raises(BrokenSource, match="has changed"):
        found.read(found.info.box)


# --- several frames in a file ----------------------------------------------------------------------------------------

POSITIONS = [(10, 20, 30 + 2 * z) for z in (3, 0, 4, 2, 1)]
DEEP = np.argsort([place[2] for place in POSITIONS])


def test_frames_are_slices_in_the_order_of_their_positions(tmp_path):
    found = source(enhanced(tmp_path / "a.dcm", GIVEN, POSITIONS), **STORED)
    np.testing.assert_array_equal(read_checked(found)[0], GIVEN[..., DEEP])
    assert found.info.voxel_size.size == (0.25, 0.5, 2)
    assert found.info.affine.at((1, 2, 3)) == (-10.25, -21, 36)


def test_slope_and_intercept_are_those_of_each_frame_else_of_all(tmp_path):
    each = [{"RescaleSlope": 1 + z, "RescaleIntercept": 3} for z in range(5)]
    path = enhanced(tmp_path / "a.dcm", GIVEN, POSITIONS, PixelValueTransformationSequence=each)
    expected = (GIVEN * np.arange(1, 6, dtype="float32") + 3)[..., DEEP]
    np.testing.assert_array_equal(voxels(path, **STORED)[0], expected)
    path = enhanced(tmp_path / "b.dcm", GIVEN, POSITIONS, shared={"PixelValueTransformationSequence": each[1]})
    np.testing.assert_array_equal(voxels(path, **STORED)[0], GIVEN[..., DEEP] * np.float32(2) + 3)


def test_frames_of_several_times_at_the_same_places_are_volumes(tmp_path):
    times = [{"TemporalPositionIndex": 1 + z % 2} for z in range(4)]
    path = enhanced(tmp_path / "a.dcm", GIVEN[..., :4], [(0, 0, z // 2) for z in range(4)], FrameContentSequence=times)
    with pytest.raises(UnsupportedSource, match="holds 2 volumes"):
        layers(path)
    for number in range(2):
        np.testing.assert_array_equal(voxels(path, volume=number, **STORED)[0], GIVEN[..., number:4:2])


def test_a_frame_that_is_missing_is_told_as_a_missing_slice(tmp_path):
    path = enhanced(tmp_path / "a.dcm", GIVEN[..., :3], [POSITIONS[0], POSITIONS[1], POSITIONS[2]])
    with pytest.raises(InconsistentStack, match=r"slices are missing .* between 30 and 36 mm"):
        layers(path)


def dose_grid(path, offsets, **elements):
    """A grid of doses, of a frame for each offset."""
    slice_file(path, GIVEN[..., 0].astype("uint16"), (10, 20, 30), **elements)
    made = pydicom.dcmread(path)
    if offsets:
        made.GridFrameOffsetVector = offsets
    made.NumberOfFrames, made.DoseGridScaling = 5, 0.5
    made.PixelData = np.ascontiguousarray(GIVEN.astype("uint16").T).tobytes()
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("name", ["rtdose", "rtdose_expb", "rtdose_rle"])
def test_a_real_dose_is_one_volume_by_its_offsets(name):
    found, dose = source(REAL / f"{name}.dcm", **STORED), pydicom.dcmread(REAL / f"{name}.dcm")
    assert found.info.shape == (10, 10, 15)
    assert found.info.voxel_size.size == (10, 10, 5)
    assert found.info.affine.at((0, 0, 2)) == (-189.43125, -199.43125, -751.87)
    np.testing.assert_array_equal(read_checked(found)[0].T, dose.pixel_array * float(dose.DoseGridScaling))


@pytest.mark.parametrize(
    ("offsets", "directions", "first", "order"),
    [
        ([0, 3, 6, 9, 12], (1, 0, 0, 0, 1, 0), (-10, -20, 30), slice(None)),
        ([0, -3, -6, -9, -12], (1, 0, 0, 0, 1, 0), (-10, -20, 18), slice(None, None, -1)),
        ([30, 33, 36, 39, 42], (1, 0, 0, 0, 1, 0), (-10, -20, 30), slice(None)),  # places along z
        ([0, 3, 6, 9, 12], (0, 1, 0, 0, 0, -1), (-10, -20, 30), slice(None)),  # along the normal, which is -x
    ],
)
def test_the_offsets_of_a_dose_grid_place_its_frames(tmp_path, offsets, directions, first, order):
    found = source(dose_grid(tmp_path / "a.dcm", offsets, directions=directions), **STORED)
    np.testing.assert_array_equal(read_checked(found)[0], (GIVEN.astype("uint16") * np.float32(0.5))[..., order])
    assert found.info.voxel_size.size == (0.25, 0.5, 3)
    np.testing.assert_allclose(found.info.affine.at((0, 0, 0)), first, atol=1e-9)


def test_offsets_that_make_no_volume_are_refused(tmp_path):
    with pytest.raises(InconsistentStack, match=r"not evenly spaced|slices are missing"):
        layers(dose_grid(tmp_path / "a.dcm", [0, 3, 7.5, 9, 12]))
    for offsets in ([7, 10, 13, 16, 19], None):  # from nowhere; and none
        with pytest.raises(UnsupportedSource, match="holds 5 frames"):
            layers(dose_grid(tmp_path / "b.dcm", offsets))
    with pytest.raises(BrokenSource, match=r"GridFrameOffsetVector is .*, and 5 numbers should be there"):
        layers(dose_grid(tmp_path / "c.dcm", [0, 3, 6]))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("liver_1frame", r"1 bit per value.*segimage2itkimage"),
        ("image_dfl", r"is deflated.*dcmconv \+te"),
        ("SC_rgb_rle_16bit", r"16 bits per value, 3 values.*in colours of 8 bits"),
    ],
)
def test_what_is_not_read_is_refused_with_a_remedy_for_it(name, words):
    with pytest.raises(UnsupportedSource, match=words):
        layers(REAL / f"{name}.dcm")


def test_films_are_refused(tmp_path):
    path = slice_file(tmp_path / "a.dcm", GIVEN[..., 0], (0, 0, 0))
    made = pydicom.dcmread(path)
    made.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    made.PixelData = pydicom.encaps.encapsulate([b"\0\0\1\xb3"])
    made["PixelData"].is_undefined_length = True
    made.save_as(path, enforce_file_format=True)
    with pytest.raises(UnsupportedSource, match="holds pixels as MPEG2"):
        layers(path)


def test_frames_that_do_not_all_say_where_they_lie_are_refused(tmp_path):
    with pytest.raises(UnsupportedSource, match=r"holds 30 frames.*where their positions are stated"):
        layers(REAL / "examples_ybr_color.dcm")
    with pytest.raises(UnsupportedSource, match="holds 5 frames"):
        layers(enhanced(tmp_path / "a.dcm", GIVEN, POSITIONS[:4]))


def test_a_file_of_frames_that_is_cut_short_is_refused(tmp_path):
    path = enhanced(tmp_path / "a.dcm", GIVEN, POSITIONS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BrokenSource, match="720 bytes of pixels expected, 719 found"):
        layers(path)
