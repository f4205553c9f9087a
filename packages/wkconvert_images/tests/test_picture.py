"""What the header of a picture says."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from wkconvert_core.testing import noise
from wkconvert_images.picture import read_picture


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
@pytest.mark.parametrize(("dpi", "expected"), [(72, None), (300, None), (25400, (1000, 1000, None))])
def test_the_density_of_pictures_counts_unless_a_screen_has_it(tmp_path, suffix, dpi, expected):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(8, 10)).save(path, dpi=(dpi, dpi))
    found = read_picture(str(path)).facts.voxel_size
    assert found is None if expected is None else np.allclose(found.size[:2], expected[:2], rtol=1e-5)


def damaged_exif(path):
    """A JPEG whose EXIF ends in the middle of its first entry, of which Pillow warns."""
    exif = b"Exif\0\0" + b"MM\0*\0\0\0\x08" + b"\0\x05" + b"\x01\x12\0\x03"
    Image.fromarray(noise(8, 10)).save(path, exif=exif)
    return path


def test_pillow_warns_of_this_file(tmp_path):
    with pytest.warns(UserWarning, match="Corrupt EXIF data"), Image.open(damaged_exif(tmp_path / "a.jpg")) as picture:
        picture.getexif()


@pytest.mark.slow
def test_warnings_of_libraries_do_not_reach_the_terminal(tmp_path):
    """In an interpreter of its own: here, warnings are errors."""
    code = "import sys; from wkconvert_images.opening import raster; print(raster(sys.argv[1]).facts.width)"
    command = [sys.executable, "-c", code, str(damaged_exif(tmp_path / "a.jpg"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("10\n", "")
