"""Arrays of numpy: every order, dtype and choice of axes; what is damaged, or says too little, is refused."""

import io
import itertools
import zipfile

import numpy as np
import pytest

from wkconvert_core import BrokenSource, Confidence, OptionError, UnsupportedSource, WarningNote
from wkconvert_core.formats import npy
from wkconvert_core.testing import Reader, Sample, SourceContract, noise, read_checked

NPY = Reader(npy, "npy")
layers, source, voxels = NPY.layers, NPY.source, NPY.voxels
GIVEN = noise(9, 8, 7, dtype="int16")  # x, y, z


def saved(path, array, packed=False):
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        (np.savez_compressed if packed else np.savez)(path, volume=array)
    return path


SAMPLE = {
    "C": lambda to: Sample(saved(to / "a.npy", noise(70, 60, 50, dtype="uint16").T)),
    "Fortran": lambda to: Sample(saved(to / "a.npy", np.asfortranarray(noise(70, 60, 50)))),
    "zip": lambda to: Sample(saved(to / "a.npz", noise(70, 60, 50))),
    "compressed": lambda to: Sample(saved(to / "a.npz", noise(70, 60, 50), packed=True)),
    "channels": lambda to: Sample(saved(to / "a.npy", noise(40, 30, 20, 3)), options={"axes": "zyxc"}),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLE)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLE[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("dtype", ["?", "f2", "f8", ">u2", "<i4", "u8", "i1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("name", "packed"), [("a.npy", False), ("a.npz", False), ("a.npz", True)])
def test_every_dtype_keeps_every_bit_in_either_order(tmp_path, dtype, order, name, packed):
    given = (GIVEN % 2 if dtype == "?" else GIVEN).astype(dtype)
    found = source(saved(tmp_path / name, np.array(given, order=order), packed), axes="xyz")
    assert found.info.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read_checked(found)[0], given)


@pytest.mark.parametrize("axes", ["".join(axes) for axes in itertools.permutations("xyz")])
@pytest.mark.parametrize(("name", "packed"), [("a.npy", False), ("a.npz", True)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_axes_are_named_in_the_order_of_the_shape(tmp_path, axes, name, packed, order):
    array = np.array(GIVEN.transpose(["xyz".index(axis) for axis in axes]), order=order)
    found = source(saved(tmp_path / name, array, packed), axes=axes)
    np.testing.assert_array_equal(read_checked(found)[0], GIVEN)
    assert not found.info.notes


@pytest.mark.parametrize(("order", "named"), [("C", "z, y, x"), ("F", "x, y, z")])
def test_without_names_x_is_the_axis_that_is_fastest_in_the_file_and_that_is_told(tmp_path, order, named):
    found = source(saved(tmp_path / "a.npy", np.array(GIVEN, order=order)))
    np.testing.assert_array_equal(read_checked(found)[0], GIVEN.T if order == "C" else GIVEN)
    (note,) = found.info.notes
    assert isinstance(note, WarningNote)
    assert f"are taken as {named}" in note


@pytest.mark.parametrize("axes", ["czyx", "zyxc", "xyzc"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("name", "packed"), [("a.npy", False), ("a.npz", True)])
def test_channels_are_colours_or_a_layer_each(tmp_path, axes, order, name, packed):
    for dtype in ("uint8", "uint16"):
        given = noise(3, 9, 8, 7, dtype=dtype)  # c, x, y, z
        array = np.array(given.transpose(["cxyz".index(axis) for axis in axes]), order=order)
        path = saved(tmp_path / name, array, packed)
        found = [read_checked(layer.source) for layer in layers(path, axes=axes)]
        assert len(found) == (1 if dtype == "uint8" else 3)
        np.testing.assert_array_equal(np.concatenate(found), given)
        np.testing.assert_array_equal(voxels(path, axes=axes, channel=2)[0], given[2])


def test_two_axes_are_one_slice(tmp_path):
    np.testing.assert_array_equal(voxels(saved(tmp_path / "a.npy", GIVEN[..., 0].T))[0], GIVEN[..., :1])


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((3, 4, 5, 6), {}, "nobody says what they are"),
        ((3,), {}, "nobody says what they are"),
        ((3, 4, 5), {"axes": "zy"}, "does not name the 3 axes"),
        ((3, 4, 5), {"axes": "zyy"}, "does not name"),
        ((3, 4, 5), {"axes": "tyx"}, "does not name"),
        ((3, 4, 5), {"array": "a"}, "single array"),
        ((3, 4, 5), {"channel": "1"}, "channel 1 does not exist"),
    ],
)
def test_what_nobody_says_is_asked(tmp_path, shape, options, words):
    with pytest.raises(OptionError, match=words):
        layers(saved(tmp_path / "a.npy", np.zeros(shape)), **options)


@pytest.mark.parametrize("array", [np.zeros((3, 3, 3), complex), np.zeros((3, 0, 3)), np.zeros((3, 3, 3), "U4")])
def test_what_is_no_volume_of_numbers_is_refused(tmp_path, array):
    with pytest.raises(UnsupportedSource, match="float16 to float64"):
        layers(saved(tmp_path / "a.npy", array))


def test_an_axis_of_less_than_nothing_is_refused(tmp_path):
    """numpy believes it; the two make a size that fits the file."""
    path = saved(tmp_path / "a.npy", np.zeros((3, 4, 5), "u1"))
    path.write_bytes(path.read_bytes().replace(b"(3, 4, 5), }  ", b"(3, -4, -5), }"))
    with pytest.raises(UnsupportedSource, match=r"\(3, -4, -5\)"):
        layers(path)


def test_pickled_objects_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return print, ("unpickled",)

    for name in ("a.npy", "a.npz"):
        with pytest.raises(UnsupportedSource, match="object"):
            layers(saved(tmp_path / name, np.full((2, 2, 2), Bomb(), object)))


def test_channels_between_other_axes_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(UnsupportedSource, match="between its other axes") as caught:
        layers(saved(tmp_path / "a.npy", np.zeros((5, 2, 4, 3))), axes="zcyx")
    assert "numpy.moveaxis(array, 1, 0)" in caught.value.fix


def test_one_of_several_arrays_is_chosen(tmp_path):
    np.savez(tmp_path / "a.npz", raw=GIVEN, labels=GIVEN + np.int16(1))
    with pytest.raises(UnsupportedSource, match="holds 2 arrays: raw, labels"):
        layers(tmp_path / "a.npz")
    np.testing.assert_array_equal(voxels(tmp_path / "a.npz", array="labels", axes="xyz")[0], GIVEN + np.int16(1))
    with pytest.raises(OptionError, match="holds no array x"):
        layers(tmp_path / "a.npz", array="x")


def test_detection_is_by_the_first_bytes(tmp_path):
    for name, other in (("a.npy", "b.dat"), ("a.npz", "b.zip")):
        path = saved(tmp_path / name, GIVEN).rename(tmp_path / other)
        assert NPY.detect(path).confidence == Confidence.CONTENT
    (tmp_path / "c.npy").write_bytes(b"nothing")
    assert NPY.detect(tmp_path / "c.npy").confidence == Confidence.SUFFIX
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert NPY.detect(tmp_path / "d.zip") is None


@pytest.mark.parametrize(("name", "packed"), [("a.npy", False), ("a.npz", False), ("a.npz", True)])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, name, packed):
    path = saved(tmp_path / name, noise(5, 4, 3, dtype="int16"), packed)
    content = path.read_bytes()
    for length in range(0, len(content), 11):
        path.write_bytes(content[:length])
        with pytest.raises(BrokenSource, match=name):
            voxels(path)


def test_a_flipped_bit_in_a_compressed_array_is_found(tmp_path):
    path = saved(tmp_path / "a.npz", noise(30, 20, 10), packed=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BrokenSource, match=r"a\.npz"):
        list(source(path).stream())


def test_bytes_behind_an_array_are_told_and_other_versions_refused(tmp_path):
    path = saved(tmp_path / "a.npy", GIVEN)
    path.write_bytes(path.read_bytes() + b"more")
    assert "4 bytes behind the voxels are left out" in source(path).info.notes
    file = io.BytesIO()
    np.lib.format.write_array(file, GIVEN, version=(3, 0))
    path.write_bytes(file.getvalue())
    with pytest.raises(UnsupportedSource, match="version"):
        layers(path)
