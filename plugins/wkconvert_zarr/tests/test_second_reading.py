"""`verify --with zarr`: mags in Zarr are read by zarr-python, too."""

import pytest
from helpers.conversions import dataset_of

from wkconvert_core import DTYPES
from wkconvert_core.commands.verify import verify
from wkconvert_core.testing import noise

zarr = pytest.importorskip("zarr")


@pytest.mark.slow
@pytest.mark.parametrize("to", ["zarr3", "zarr"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_zarr_python_reads_the_same_voxels_of_every_mag(tmp_path, to, dtype):
    more = {"to": to, "downsample": True, "max_mag": 2, "top_left": (5, 40, 33)}
    found = verify(dataset_of(tmp_path / "ds", noise(70, 60, 40, dtype=dtype), **more), second_reader="zarr")
    assert found.sound
    assert [mag.second_reader_voxels for mag in found.mags] == [70 * 60 * 40, 36 * 30 * 40]


def test_a_voxel_that_zarr_python_reads_otherwise_is_damage(tmp_path, monkeypatch):
    path, getitem = dataset_of(tmp_path / "ds", noise(70, 60, 40), to="zarr3"), zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, at: getitem(self, at) ^ 1)
    (problem,) = verify(path, second_reader="zarr").damaged
    assert "zarr reads other voxels than wkconvert: 168,000 voxels differ" in problem.reason
