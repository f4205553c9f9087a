"""A reader for tests of the whole conversion, so that they need no plugin to be installed; datasets made once."""

import shutil

import pytest
from helpers import npy_volumes

collect_ignore = [
    "dockerfile.py",
    "readme_commands.py",
    "helpers/check_installed.py",
]  # programs, which know no examples

MADE = {}


@pytest.fixture
def reader():
    """Folders that hold `volume.npy` can be read; makes one from voxels [c, x, y, z]."""
    with npy_volumes.registered() as make_folder:
        yield make_folder


@pytest.fixture
def put_copy(reader, tmp_path_factory):
    """Copies into a folder what a function (folder, reader) makes, which is called once for all tests."""

    def put(make, folder):
        if make not in MADE:
            make(made := tmp_path_factory.mktemp(make.__name__), reader)
            MADE[make] = made
        shutil.copytree(MADE[make], folder, dirs_exist_ok=True)

    return put
