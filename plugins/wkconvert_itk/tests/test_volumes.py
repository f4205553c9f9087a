"""Voxels, places and sizes of NRRD, MetaImage and GIPL equal what SimpleITK, pynrrd and numpy say."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from itks import IDENTITY, ITK, RAS, image, saved, sitk

from wkconvert_core import BrokenSource, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise

nrrd = pytest.importorskip("nrrd")
layers, source, voxels = ITK.layers, ITK.source, ITK.voxels

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
CODES = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.gipl", "a.gipl.gz"])
def test_every_dtype_keeps_every_bit(tmp_path, dtype, packed, name):
    if "gipl" in name and dtype in ("int32", "uint32", "int64", "uint64"):
        pytest.skip("SimpleITK does not write it")
    stored = noise(13, 7, 5, dtype=dtype)
    path = saved(tmp_path / name, stored, packed=packed)
    np.testing.assert_array_equal(voxels(path)[0], stored)
    assert source(path).info.dtype == dtype


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float64"])
@pytest.mark.parametrize("detached", [False, True])
def test_what_pynrrd_writes_is_read(tmp_path, order, encoding, dtype, detached):
    stored = noise(13, 7, 5, dtype=dtype).astype(np.dtype(dtype).newbyteorder(order))
    header = {"encoding": encoding, "space": "RAS", "space directions": np.diag([2.0, 3, 4]), "space units": ["um"] * 3}
    path = tmp_path / ("a.nhdr" if detached else "a.nrrd")
    nrrd.write(str(path), stored, header, detached_header=detached)
    np.testing.assert_array_equal(voxels(path)[0], stored)
    size = source(path).info.voxel_size
    assert (size.size, size.unit, size.origin) == ((2, 3, 4), "µm", "space directions")


def test_metaimage_in_big_endian_behind_a_header_of_its_own(tmp_path):
    stored = noise(6, 5, 4, dtype="int16")
    (tmp_path / "a.raw").write_bytes(b"HEAD" + stored.T.astype(">i2").tobytes())
    text = "NDims = 3\nDimSize = 6 5 4\nElementSpacing = 1 2 3\nElementByteOrderMSB = True\nElementType = MET_SHORT\n"
    for size in (4, -1):
        (tmp_path / "a.mhd").write_text(f"{text}HeaderSize = {size}\nElementDataFile = a.raw\n")
        np.testing.assert_array_equal(voxels(tmp_path / "a.mhd")[0], stored)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "a.mhd")).T, stored)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize(("order", "signs"), CODES, ids=lambda value: "".join(map(str, value)))
def test_each_voxel_lies_where_simpleitk_has_it_in_all_48_orientations(tmp_path, name, order, signs):
    direction = np.zeros((3, 3))
    for axis, (space, sign) in enumerate(zip(order, signs, strict=True)):
        direction[space, axis] = sign
    stored = noise(6, 5, 4, dtype="uint16")
    made = image(stored, direction.ravel())
    sitk.WriteImage(made, tmp_path / name)
    for orientation in ("canonical", "stored"):
        found = source(tmp_path / name, orientation=orientation)
        seen = voxels(tmp_path / name, orientation=orientation)[0]
        affine = found.info.affine
        for place in ((0, 0, 0), (1, 2, 3), (3, 0, 1)):
            right, front, top = affine.at(place)
            point = made.TransformPhysicalPointToIndex((-right, -front, top))  # RAS+ here, LPS there
            assert np.allclose(made.TransformIndexToPhysicalPoint(point), (-right, -front, top))
            assert seen[place] == stored[point]
        steps = np.array([affine.x, affine.y, affine.z])
        np.testing.assert_allclose(np.abs(steps).sum(axis=1), found.info.voxel_size.size)
        if orientation == "canonical":
            assert (np.diag(steps) > 0).all()
            assert np.count_nonzero(steps) == 3


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.tuples(*[st.floats(0.1, 9)] * 3),
    st.tuples(*[st.floats(-99, 99)] * 3),
    st.sampled_from(["a.nrrd", "a.mha"]),
)
def test_oblique_volumes_lie_where_simpleitk_has_them(tmp_path, turn, spacing, origin, name):
    direction = sitk.Euler3DTransform((0.0, 0.0, 0.0), *turn).GetMatrix()
    made = image(noise(4, 3, 2), direction, spacing, origin)
    sitk.WriteImage(made, tmp_path / name)
    affine = source(tmp_path / name, orientation="stored").info.affine
    for place in ((0, 0, 0), (3, 2, 1)):
        x, y, z = affine.at(place)
        np.testing.assert_allclose((-x, -y, z), made.TransformIndexToPhysicalPoint(place), atol=1e-4)


def test_a_volume_that_nobody_turned_is_mirrored_as_itk_counts_and_that_is_told(tmp_path):
    stored = noise(6, 5, 4)
    found = source(saved(tmp_path / "a.mha", stored, IDENTITY))
    assert any("turned from LPS (TransformMatrix) to RAS" in note for note in found.info.notes)
    assert found.info.turned.how == "from LPS to RAS"
    np.testing.assert_array_equal(voxels(tmp_path / "a.mha")[0], stored[::-1, ::-1])
    np.testing.assert_array_equal(voxels(tmp_path / "a.mha", orientation="stored")[0], stored)


def test_a_space_of_nrrd_that_is_no_bodys_is_not_turned_but_placed(tmp_path):
    header = {"space": "3D-right-handed", "space directions": np.diag([-2.0, 3, 4]), "space origin": [1, 2, 3]}
    nrrd.write(str(tmp_path / "a.nrrd"), noise(6, 5, 4), header)
    info = source(tmp_path / "a.nrrd").info
    assert (info.affine.x, info.affine.origin) == ((-2, 0, 0), (1, 2, 3))
    assert info.voxel_size is None
    assert any("no unit is named" in note for note in info.notes)
    assert source(tmp_path / "a.nrrd", unit="um").info.voxel_size.size == (2, 3, 4)


def test_units_come_from_the_file_or_from_itks_convention(tmp_path):
    path = saved(tmp_path / "a.mha", noise(6, 5, 4))
    assert str(source(path).info.voxel_size.origin) == "ElementSpacing, mm as in ITK"
    path.write_bytes(path.read_bytes().replace(b"ElementType", b"DistanceUnits = um\nElementType"))
    size = source(path).info.voxel_size
    assert (size.size, size.unit, size.origin) == ((2, 3, 4), "µm", "ElementSpacing")
    nrrd.write(str(tmp_path / "a.nrrd"), noise(6, 5, 4), {"spacings": [1, 2, np.nan], "units": ["nm", "nm", "nm"]})
    size = source(tmp_path / "a.nrrd").info.voxel_size
    assert (size.size, size.unit) == ((1, 2, None), "nm")


def test_an_anatomical_orientation_that_contradicts_the_matrix_is_told(tmp_path):
    path = saved(tmp_path / "a.mha", noise(6, 5, 4))
    assert not [note for note in source(path).info.notes if isinstance(note, WarningNote)]
    path.write_bytes(path.read_bytes().replace(b"AnatomicalOrientation = LPI", b"AnatomicalOrientation = RAI"))
    assert any("AnatomicalOrientation" in note for note in source(path).info.notes if isinstance(note, WarningNote))


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize("packed", [False, True])
def test_values_side_by_side_are_colours_or_a_layer_each(tmp_path, name, packed):
    stored = noise(3, 6, 5, 4)
    path = saved(tmp_path / name, stored, RAS, is_vector=True, packed=packed)
    np.testing.assert_array_equal(voxels(path), stored)
    stored = noise(3, 6, 5, 4, dtype="float32")
    path = saved(tmp_path / name, stored, RAS, is_vector=True, packed=packed)
    found = layers(path)
    assert [layer.name for layer in found] == ["channel_0", "channel_1", "channel_2"]
    for number, layer in enumerate(found):
        np.testing.assert_array_equal(layer.source.read(layer.source.info.box)[0], stored[number])
    np.testing.assert_array_equal(voxels(path, channel=2)[0], stored[2])


def test_the_alpha_of_nrrd_is_dropped_with_a_warning(tmp_path):
    stored = noise(4, 6, 5, 4)
    nrrd.write(str(tmp_path / "a.nrrd"), stored, {"kinds": ["RGBA-color", "domain", "domain", "domain"]})
    np.testing.assert_array_equal(voxels(tmp_path / "a.nrrd"), stored[:3])
    assert WarningNote("alpha dropped") in source(tmp_path / "a.nrrd").info.notes


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_volumes_one_behind_the_other_are_chosen_or_layers(tmp_path, name):
    stored = noise(6, 5, 4, 3, dtype="int16")
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(stored.T), isVector=False), tmp_path / name)
    with pytest.raises(UnsupportedSource, match=r"holds 3 volumes, .* 6 x 5 x 4 x 3"):
        layers(tmp_path / name)
    np.testing.assert_array_equal(voxels(tmp_path / name, volume=1, orientation="stored")[0], stored[..., 1])
    assert [layer.name for layer in layers(tmp_path / name, volumes="channels")] == ["volume_0", "volume_1", "volume_2"]


def test_axes_of_nrrd_that_cannot_be_a_volume_are_refused(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), noise(6, 5, 4, 3), {"kinds": ["domain", "list", "domain", "domain"]})
    with pytest.raises(UnsupportedSource, match="not neighbours"):
        layers(tmp_path / "a.nrrd")


def test_an_image_of_two_axes_is_a_volume_of_one_slice(tmp_path):
    stored = noise(6, 5)
    nrrd.write(str(tmp_path / "a.nrrd"), stored, {"spacings": [1, 2], "units": ["um", "um"]})
    assert source(tmp_path / "a.nrrd").info.voxel_size.size == (1, 2, None)
    np.testing.assert_array_equal(voxels(tmp_path / "a.nrrd")[0, ..., 0], stored)


def test_lines_and_bytes_before_the_voxels_are_skipped(tmp_path):
    stored = noise(6, 5, 4)
    text = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 6 5 4\nencoding: raw\ndata file: a.dat\n"
    (tmp_path / "a.dat").write_bytes(b"one\ntwo\nXYZ" + stored.T.tobytes())
    for skip in ("line skip: 2\nbyte skip: 3", "byte skip: -1"):
        (tmp_path / "a.nhdr").write_text(f"{text}{skip}\n")
        np.testing.assert_array_equal(voxels(tmp_path / "a.nhdr")[0], stored)


def test_a_data_file_of_another_name_is_told(tmp_path):
    for name, told in (("a.dat", False), ("b.dat", True)):
        (tmp_path / name).write_bytes(bytes(120))
        (tmp_path / "a.nhdr").write_text(HEADER.replace("a.dat", name))
        assert any("does not notice" in note for note in source(tmp_path / "a.nhdr").info.notes) == told


# --- damage ----------------------------------------------------------------------------------------------------------

HEADER = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 6 5 4\nencoding: raw\ndata file: a.dat\n"
META = "NDims = 3\nDimSize = 6 5 4\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\nElementDataFile = a.dat\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("a.nhdr", "sizes: 6 5 4", "sizes: 6 5", "sizes is '6 5'"),
        ("a.nhdr", "sizes: 6 5 4", "sizes: 6 -5 4", "sizes is"),
        ("a.nhdr", "sizes: 6 5 4", "sizes: 6 5 4000", "cut short"),
        ("a.nhdr", "dimension: 3", "dimension: 99", "legal is 1 to 16"),
        ("a.nhdr", "dimension: 3", "dimension: x", "dimension is 'x'"),
        ("a.nhdr", "type: uchar", "type: block", "has the type 'block'"),
        ("a.nhdr", "type: uchar", "type: short", "its endian is ''"),
        ("a.nhdr", "raw", "bzip2", "has the encoding 'bzip2'"),
        ("a.nhdr", "a.dat", "LIST", "several files"),
        ("a.nhdr", "a.dat", "../a.dat", "only files in the header's own folder"),
        ("a.nhdr", "a.dat", "b.dat", "there is no such file"),
        ("a.nhdr", "data file", "line skip: 9\ndata file", "has not the 9 lines"),
        (
            "a.nhdr",
            "data file",
            "space: RAS\nspace directions: (1,0) (0,1) (0,0)\ndata file",
            "3 numbers are expected",
        ),
        ("a.nhdr", "data file", "nonsense\ndata file", "which is no field"),
        ("a.nhdr", "NRRD0004", "NRRD0009", "not with NRRD0001"),
        ("a.mhd", "NDims = 3", "NDims = 0", "NDims is '0'"),
        ("a.mhd", "DimSize = 6 5 4", "DimSize = 6 5 4 3", "DimSize is"),
        ("a.mhd", "MET_UCHAR", "MET_STRING", "has the ElementType 'MET_STRING'"),
        ("a.mhd", "1 1 1", "1 nan 1", "ElementSpacing is '1 nan 1'"),
        ("a.mhd", "ElementType", "CompressedData = maybe\nElementType", "True or False"),
        ("a.mhd", "ElementDataFile = a.dat", "", "does not come to the field ElementDataFile"),
        ("a.mhd", "a.dat", "/etc/passwd", "only files in the header's own folder"),
        ("a.mhd", "ElementType", "BinaryData = False\nElementType", "as text"),
        ("a.mhd", "ElementType", "HeaderSize = 7\nElementType", "cut short"),
    ],
)
def test_what_a_header_says_is_checked(tmp_path, name, old, new, words):
    text = HEADER if name == "a.nhdr" else META
    (tmp_path / "a.dat").write_bytes(bytes(120))
    (tmp_path / name).write_text(text)
    assert layers(tmp_path / name)
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    with pytest.raises((BrokenSource, UnsupportedSource), match=words):
        layers(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.gipl", "a.gipl.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, name, packed):
    path = saved(tmp_path / name, noise(5, 4, 3, dtype="int16"), packed=packed)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(BrokenSource, match=name):
            voxels(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_flipped_bit_in_compressed_voxels_is_found(tmp_path, name):
    path = saved(tmp_path / name, noise(9, 8, 7), packed=True)
    content = bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(content)
    with pytest.raises(BrokenSource, match=name):
        list(source(path).stream())
