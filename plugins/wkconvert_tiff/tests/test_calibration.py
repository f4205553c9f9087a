"""Voxel sizes of volumes and stacks: which of their files and pages says them, and along which axis."""

import numpy as np
import pytest
import tifffile
from helpers.paths import SAMPLES, needs_samples
from pictures_of import layers, source
from PIL import Image

from wkconvert_core.testing import noise

PICTURE = noise(8, 10)


def size_of(path, **options):
    found = layers(path, **options)[0].source.info.voxel_size
    return found and (tuple(size and round(size, 9) for size in found.size), found.unit, found.origin)


def written(path, picture=PICTURE, **options):
    tifffile.imwrite(path / "a.tif", picture, **options)
    return size_of(path / "a.tif")


@needs_samples
def test_a_real_stack():
    name = "test_loading_image_saved_with_imageJ_stack.tif"
    assert size_of(SAMPLES / "tiff" / "calibrated" / name) == ((0.168674711, 0.168674711, 2.5), "µm", "ImageJ tags")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"imagej": True, "resolution": (4, 5), "metadata": {"unit": "nm", "spacing": 35}},
            ((0.25, 0.2, 35), "nm", "ImageJ tags"),
        ),
        (
            {"ome": True, "metadata": {"PhysicalSizeX": 4, "PhysicalSizeY": 5, "PhysicalSizeZ": 0.035}},
            ((4, 5, 0.035), "µm", "OME-XML"),
        ),
        (
            {"resolution": (1e6, 5e5), "resolutionunit": "CENTIMETER", "metadata": None},
            ((10, 20, None), "nm", "TIFF resolution"),
        ),
    ],
    ids=["ImageJ", "OME", "pages"],
)
def test_the_slices_of_a_file_have_the_size_that_its_first_page_says(tmp_path, options, expected):
    assert written(tmp_path, noise(5, 8, 10), **options) == expected


def test_pictures_have_the_size_that_they_say(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png", dpi=(25400, 25400))
    assert np.allclose(size_of(tmp_path / "a.png")[0][:2], (1000, 1000), rtol=1e-5)


def test_ome_sizes_are_those_of_the_image_that_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=True) as writer:
        writer.write(PICTURE, metadata={"axes": "YX", "PhysicalSizeX": 1})
        writer.write(PICTURE, metadata={"axes": "YX", "PhysicalSizeX": 2})
    assert [size_of(tmp_path / "a.tif", series=series)[0][0] for series in (0, 1)] == [1, 2]


def test_rows_that_are_columns_swap_their_sizes(tmp_path):
    tags = [(274, "H", 1, 6, True)]
    assert written(tmp_path, resolution=(1e6, 5e5), resolutionunit=3, extratags=tags)[0] == (20, 10, None)


def test_a_text_beside_the_first_slice_says_the_size_if_the_pictures_do_not(stack):
    folder = stack([PICTURE] * 3, tifffile.imwrite)
    (folder / "s0.txt").write_text("[SemImageFile]\nPixelSize=4.5\n")
    assert size_of(folder) == ((4.5, 4.5, None), "nm", "s0.txt")
    tifffile.imwrite(folder / "s0.tif", PICTURE, resolution=(1e6, 1e6), resolutionunit="CENTIMETER")
    assert size_of(folder)[2] == "TIFF resolution"


def test_slices_that_disagree_are_noted(stack):
    resolutions = iter([(1e6, 1e6), (1e6, 1e6), (2e6, 2e6)])
    folder = stack(
        [PICTURE] * 3,
        lambda path, one: tifffile.imwrite(path, one, resolution=next(resolutions), resolutionunit="CENTIMETER"),
    )
    assert size_of(folder)[0] == (10, 10, None)
    assert source(folder).info.notes == ("1 of 3 files give another voxel size (5 x 5 x ? nm); the first counts",)


def test_damage_in_a_calibration_is_no_reason_to_refuse_the_picture(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PICTURE, resolution=(1e6, 1e6), resolutionunit=3, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        entry = tiff.pages[0].tags["XResolution"].offset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[entry + 8 : entry + 12] = b"\xff\xff\xff\x7f"
    (tmp_path / "a.tif").write_bytes(content)
    assert size_of(tmp_path / "a.tif") is None
