"""Three or four planes that tifffile takes for colours: slices, channels or colours, by what the file says."""

import warnings

import numpy as np
import pytest
import tifffile
from pictures_of import layers, source, volume, voxels
from PIL import Image

from wkconvert_core import UnsupportedSource, WarningNote
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise, read_checked

NO_COLORS = ["uint32", "int8", "int16", "int32", "uint64", "int64", "float64"]
DOUBTFUL = ["uint16", "float16", "float32"]


def write(path, array, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tifffile, that it only guesses
        tifffile.imwrite(path, array, **options)
    return path


def assert_layers(found, channels):
    assert len(found) == len(channels)
    for layer, planes in zip(found, channels, strict=True):
        np.testing.assert_array_equal(read_checked(layer.source), volume(*planes))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 7}], ids=str)
@pytest.mark.parametrize("planes", [2, 3, 4])
@pytest.mark.parametrize("dtype", NO_COLORS)
def test_planes_of_what_is_no_colour_are_slices(tmp_path, dtype, planes, options):
    stack = noise(planes, 32, 48, dtype=dtype)
    file = write(tmp_path / "a.tif", stack, **options)
    np.testing.assert_array_equal(voxels(file), volume(*stack))
    assert source(file).info.notes == ()
    np.testing.assert_array_equal(voxels(file, axes="ZYX"), volume(*stack))
    np.testing.assert_array_equal(voxels(file, plain="true"), volume(*stack))
    assert_layers(layers(file, axes="CYX"), [[plane] for plane in stack])


@pytest.mark.parametrize("planes", [3, 4])
@pytest.mark.parametrize("dtype", NO_COLORS)
def test_without_a_description_planes_are_asked_about(tmp_path, dtype, planes):
    stack = noise(planes, 32, 48, dtype=dtype)
    file = write(tmp_path / "a.tif", stack, metadata=None)
    with pytest.raises(UnsupportedSource, match=rf"{planes} planes of {dtype}.*axes=ZYX for slices, -o axes=CYX"):
        layers(file)
    np.testing.assert_array_equal(voxels(file, axes="ZYX"), volume(*stack))
    np.testing.assert_array_equal(voxels(file, plain="true"), volume(*stack))
    np.testing.assert_array_equal(voxels(file, planes=f"Z{planes}"), volume(*stack))
    assert_layers(layers(file, planes=f"C{planes}"), [[plane] for plane in stack])


@pytest.mark.parametrize("planes", [3, 4])
@pytest.mark.parametrize("dtype", DOUBTFUL)
def test_planes_that_may_be_anything_are_asked_about(tmp_path, dtype, planes):
    stack = noise(planes, 32, 48, dtype=dtype)
    file = write(tmp_path / "a.tif", stack)
    with pytest.raises(UnsupportedSource, match=r"axes=ZYX for slices, -o axes=CYX for channels, -o axes=SYX for red"):
        layers(file)
    np.testing.assert_array_equal(voxels(file, axes="ZYX"), volume(*stack))
    assert_layers(layers(file, axes="CYX"), [[plane] for plane in stack])
    found = layers(file, axes="SYX")
    assert [layer.name for layer in found] == ["red", "green", "blue"]
    assert_layers(found, [[plane] for plane in stack[:3]])


@pytest.mark.parametrize("planes", [3, 4])
def test_planes_of_bytes_are_colours_as_they_are_marked_and_a_warning_says_so(tmp_path, planes):
    stack = noise(planes, 32, 48)
    file = write(tmp_path / "a.tif", stack)
    np.testing.assert_array_equal(voxels(file), volume(np.moveaxis(stack[:3], 0, 2)))
    (warning,) = (note for note in source(file).info.notes if "-o axes=ZYX for slices" in note)
    assert isinstance(warning, WarningNote)
    np.testing.assert_array_equal(voxels(file, axes="ZYX"), volume(*stack))
    assert_layers(layers(file, axes="CYX"), [[plane] for plane in stack])
    plain = write(tmp_path / "b.tif", stack, metadata=None)
    np.testing.assert_array_equal(voxels(plain), volume(np.moveaxis(stack[:3], 0, 2)))
    assert not any("axes=ZYX" in note for note in source(plain).info.notes)


@pytest.mark.parametrize("planes", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "uint64"])
def test_planes_of_labels_are_slices(tmp_path, dtype, planes):
    stack = noise(planes, 32, 48, dtype=dtype)
    file = write(tmp_path / "a.tif", stack)
    np.testing.assert_array_equal(voxels(file, category="segmentation"), volume(*stack))
    unsaid = write(tmp_path / "b.tif", stack, metadata=None)
    with pytest.raises(UnsupportedSource, match=f"{planes} planes of ids"):
        layers(unsaid, category="segmentation")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint64", "float32"])
@pytest.mark.parametrize(
    ("axes", "shape"), [("ZYX", (4,)), ("CYX", (4,)), ("ZCYX", (5, 3)), ("CZYX", (2, 3)), ("ZSYX", (5, 3))]
)
def test_axes_that_are_stated_count(tmp_path, axes, shape, dtype):
    stack = noise(*shape, 32, 48, dtype=dtype)
    file = write(tmp_path / "a.tif", stack, metadata={"axes": axes})
    if "S" in axes and dtype == "uint8":
        np.testing.assert_array_equal(voxels(file), volume(*np.moveaxis(stack, 1, 3)))
        return
    order = [axes.replace("S", "C").index(axis) for axis in "CZ" if axis in axes.replace("S", "C")]
    channels = stack.transpose(*order, -2 % stack.ndim, -1 % stack.ndim)
    channels = channels if len(shape) == 2 else channels[:, np.newaxis] if axes == "CYX" else channels[np.newaxis]
    assert_layers(layers(file), channels)


@pytest.mark.parametrize("dtype", NO_COLORS)
@pytest.mark.parametrize("planes", [3, 4])
def test_pages_of_planes_must_be_named(tmp_path, dtype, planes):
    stack = noise(5, planes, 32, 48, dtype=dtype)
    file = write(tmp_path / "a.tif", stack)
    with pytest.raises(UnsupportedSource, match=f"unnamed 5, unnamed {planes}"):
        layers(file)
    np.testing.assert_array_equal(voxels(file, axes="TZYX", timepoint=3), volume(*stack[3]))
    assert_layers(layers(file, axes="ZCYX"), stack.transpose(1, 0, 2, 3))
    np.testing.assert_array_equal(voxels(file, plain="yes"), volume(*stack.reshape(-1, 32, 48)))
    np.testing.assert_array_equal(voxels(file, planes=f"T5,Z{planes}", timepoint=2), volume(*stack[2]))


@pytest.mark.parametrize("dtype", NO_COLORS)
@pytest.mark.parametrize("options", [{}, {"metadata": None}], ids=str)
@pytest.mark.parametrize("samples", [3, 4])
def test_samples_side_by_side_that_are_no_colours_are_channels_and_none_is_alpha(tmp_path, samples, options, dtype):
    picture = noise(32, 48, samples, dtype=dtype)
    file = write(tmp_path / "a.tif", picture, **options)
    found = layers(file)
    assert [layer.name for layer in found] == [f"channel{number}" for number in range(samples)]
    assert_layers(found, [[picture[..., number]] for number in range(samples)])
    (note,) = found[0].source.info.notes
    assert isinstance(note, WarningNote)
    assert f"samples of {dtype} are no colours" in note


def test_a_folder_of_such_files_is_asked_about_and_joined(tmp_path):
    stacks = [noise(4, 32, 48, dtype="uint64", seed=seed) for seed in range(3)]
    for number, stack in enumerate(stacks):
        write(tmp_path / f"s{number}.tif", stack)
    with pytest.raises(UnsupportedSource, match="multipage=join"):
        layers(tmp_path)
    np.testing.assert_array_equal(voxels(tmp_path, multipage="join"), volume(*np.concatenate(stacks)))


def test_a_folder_of_planes_of_bytes_is_warned_of_too(tmp_path):
    for number in range(3):
        write(tmp_path / f"s{number}.tif", noise(3, 32, 48, seed=number), **({"metadata": None} if number else {}))
    (note,) = (note for note in source(tmp_path).info.notes if "-o axes=ZYX" in note)
    assert isinstance(note, WarningNote)
    assert note.endswith("(1 of 3 files)")


@pytest.mark.parametrize("extra", [1, 2, 0])
@pytest.mark.parametrize("dtype", ["uint8", "uint32"])
def test_the_only_sample_is_no_alpha_whatever_is_said_of_it(tmp_path, extra, dtype):
    picture = noise(32, 48, dtype=dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", picture, metadata=None, byteorder="<", extratags=[(60000, "H", 1, extra, True)]
    )
    content = (tmp_path / "a.tif").read_bytes()
    assert content.count((60000).to_bytes(2, "little") + b"\3\0\1\0\0\0") == 1
    entry = (338).to_bytes(2, "little") + b"\3\0\1\0\0\0"  # which tifffile would not write
    (tmp_path / "a.tif").write_bytes(content.replace((60000).to_bytes(2, "little") + entry[2:], entry))
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(picture))
    assert source(tmp_path / "a.tif").info.notes == ()


def test_a_name_that_says_labels_makes_slices_of_planes_of_bytes(tmp_path):
    stack = noise(3, 32, 48)
    file = write(tmp_path / "labels.tif", stack)
    (found,) = open_source(file, Settings(), plugins())
    assert found.category == "segmentation"
    assert found.info.shape == (48, 32, 3)
    (found,) = open_source(write(tmp_path / "image.tif", stack), Settings(), plugins())
    assert (found.category, found.info.channels) == ("color", 3)


@pytest.mark.parametrize("planes", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_labels_side_by_side_are_slices_and_none_is_alpha(tmp_path, dtype, planes):
    ids = np.zeros((planes, 32, 48), dtype)
    ids[:, 4:20, 5:30] = np.arange(1, planes + 1)[:, None, None]
    file = write(tmp_path / "labels.tif", ids.transpose(1, 2, 0), photometric="rgb")
    if dtype == "uint8":  # may be labels in colours
        with pytest.raises(UnsupportedSource, match=rf"{planes} planes of ids.*axes=ZYX for slices"):
            layers(file, category="segmentation")
    for options in ({"plain": "true"}, {"axes": "ZYX"}):
        np.testing.assert_array_equal(voxels(file, category="segmentation", **options), volume(*ids))
    if dtype == "uint16":
        (layer,) = open_source(file, Settings(), plugins())
        assert layer.category == "segmentation"
        np.testing.assert_array_equal(read_checked(layer.mags[min(layer.mags)]), volume(*ids))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_labels_in_colours_are_warned_of_and_are_no_segmentation(tmp_path, suffix):
    folder = tmp_path / "labels"
    folder.mkdir()
    Image.fromarray(noise(32, 48, 3)).save(folder / f"a.{suffix}")
    (layer,) = open_source(folder, Settings(), plugins())
    assert layer.category == "color"
    assert any(isinstance(note, WarningNote) and "-o palette=indices" in note for note in layer.notes)
    if suffix == "png":
        with pytest.raises(UnsupportedSource, match="a segmentation cannot have 3 channels"):
            open_source(folder, Settings(category="segmentation"), plugins())


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_what_is_asked_for_as_a_segmentation_is_the_numbers_of_its_palette(tmp_path, suffix):
    picture = Image.fromarray(noise(32, 48, 3)).convert("P")
    picture.save(tmp_path / f"a.{suffix}")
    (layer,) = open_source(tmp_path / f"a.{suffix}", Settings(category="segmentation"), plugins())
    np.testing.assert_array_equal(read_checked(layer.mags[min(layer.mags)]), volume(np.asarray(picture)))
