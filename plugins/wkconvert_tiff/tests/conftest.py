"""What the tests of this plugin share."""

import pytest


@pytest.fixture
def stack(tmp_path):
    """Writes slices as files `s0.tif`, `s1.tif`, ... of a folder, by a function (path, slice)."""

    def write(slices, save, name="s{}.tif", folder="stack"):
        target = tmp_path / folder
        target.mkdir(exist_ok=True)
        for number, picture in enumerate(slices):
            save(target / name.format(number), picture)
        return target

    return write
