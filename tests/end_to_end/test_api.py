"""The Python functions behind the commands on datasets."""

import inspect

import numpy as np
import pytest
from helpers.conversions import SETTINGS, mags_of, random_voxels, read
from typer.testing import CliRunner

from wkconvert_core import Mag, api
from wkconvert_core.cli.app import app
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins


@pytest.fixture
def dataset(tmp_path, reader):
    """One layer with mag 2-2-1, raw."""
    reader(tmp_path / "src", random_voxels((70, 60, 40)))
    raw = Settings(SETTINGS.voxel_size, target_mag=Mag(2, 2, 1), downsample=False, compression="none")
    convert(tmp_path / "src", tmp_path / "ds", raw)
    return tmp_path / "ds"


def test_every_function_does_what_its_command_does(tmp_path, dataset):
    heard = []
    before = read(dataset, mag="2-2-1")
    api.downsample(dataset, Settings(max_mag=4), listen=heard.append)
    api.upsample(dataset, layers=["color"], from_mag=Mag(2, 2, 1))
    assert mags_of(dataset) == ["1-1-1", "2-2-1", "4-4-1"]
    assert [mag.compression for mag in api.inventory(dataset)] == ["lz4", "none", "lz4"]
    assert "saved" in api.compress(dataset, mags=[Mag(2, 2, 1)]).notes[0]
    assert [mag.compression for mag in api.inventory(dataset)] == ["lz4"] * 3
    api.compress(dataset, tmp_path / "copy")
    api.recube(dataset, tmp_path / "recubed", Settings(file_len=1), mags=[Mag(2, 2, 1)])
    assert api.check_equality(dataset, tmp_path / "copy").equal
    assert api.verify(tmp_path / "recubed").sound
    assert api.update(dataset, api.Wanted("other")).written
    np.testing.assert_array_equal(read(tmp_path / "recubed", mag="2-2-1"), before)
    assert heard


@pytest.mark.skipif("tiff" not in plugins().formats(), reason="wkconvert-tiff is not installed")
def test_export(tmp_path, dataset):
    api.export_tiff(dataset, tmp_path / "out", pictures=api.Pictures(tile_size=(16, 16)))
    assert (tmp_path / "out/39/1/2.tiff").exists()


def test_all_are_described():
    functions = [function for name in api.__all__ if inspect.isfunction(function := getattr(api, name))]
    assert len(functions) == 10
    assert all(function.__doc__ for function in functions)


def test_info_tells_what_it_can_of_what_cannot_be_opened(dataset):
    run = CliRunner()
    api.downsample(dataset, Settings(max_mag=4))
    header = dataset / "color/4-4-1/header.wkw"
    content = header.read_bytes()
    header.write_bytes(b"WKX" + content[3:])
    result = run.invoke(app, ["info", str(dataset)])
    assert "mag 4-4-1 cannot be read" in result.stdout
    assert result.exception
    header.write_bytes(content)
    (dataset / "datasource-properties.json").unlink()
    result = run.invoke(app, ["info", str(dataset)])
    assert "2-2-1" in result.stdout
    assert "wkconvert metadata" in str(result.exception)
