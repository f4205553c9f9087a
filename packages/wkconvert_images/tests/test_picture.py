"""What the header of a picture says."""

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
