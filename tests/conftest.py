"""A reader for tests of the whole conversion, so that they need no plugin to be installed."""

import pytest
from helpers import npy_volumes

collect_ignore = [
    "dockerfile.py",
    "readme_commands.py",
    "helpers/check_installed.py",
]  # programs, which know no examples


@pytest.fixture
def reader():
    """Folders that hold `volume.npy` can be read; makes one from voxels [c, x, y, z]."""
    with npy_volumes.registered() as make_folder:
        yield make_folder
