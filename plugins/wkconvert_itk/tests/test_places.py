"""A series of DICOM, and a part that SimpleITK cut out of it as NRRD or MetaImage, lie upon each other in a dataset."""

import numpy as np
import pytest
from itks import slice_file

from wkconvert_core import Box
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise

sitk = pytest.importorskip("SimpleITK")


@pytest.mark.parametrize("name", ["part.nrrd", "part.mha"])
@pytest.mark.parametrize("directions", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, 0, 1)])
def test_a_part_that_simpleitk_cut_out_of_a_series_lies_where_it_was(tmp_path, name, directions):
    given, normal = noise(19, 18, 7, dtype="uint16"), np.cross(directions[:3], directions[3:])
    folder = tmp_path / "source"
    (folder / "ct").mkdir(parents=True)
    for z in range(7):
        place = (10, 20, 30) + 2 * z * normal
        slice_file(folder / "ct" / str(z), given[..., z], place.tolist(), directions=directions, number=z)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "ct")))
    sitk.WriteImage(sitk.RegionOfInterest(reader.Execute(), (9, 8, 5), (3, 4, 1)), folder / name)
    convert(folder, tmp_path / "ds", Settings(max_mag=1))
    found = plugins().hook.wkconvert_open(format="webknossos", path=tmp_path / "ds", options={})
    whole, part = ({layer.name: layer.source for layer in found}[name] for name in ("ct", "part"))
    assert any(part.info.offset)
    assert sorted(part.info.shape) == [5, 8, 9]
    inside = Box(part.info.offset, part.info.shape)
    np.testing.assert_array_equal(part.read(part.info.box), whole.read(inside))
