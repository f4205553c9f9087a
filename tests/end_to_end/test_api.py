"""The Python functions behind the commands on datasets."""

import inspect
import shutil

import numpy as np
import pytest
from helpers.conversions import SETTINGS, mags_of, random_voxels, read
from typer.testing import CliRunner

from wkconvert_core import Mag, WkconvertError, api
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_paths_may_be_text_and_voxel_sizes_numbers(tmp_path, dataset):
    ds, out = str(dataset), tmp_path / "out"
    made = api.convert(str(tmp_path / "src"), str(out), Settings(voxel_size=(4, 4, 35)))
    assert made.conversion.voxel_size == Settings(voxel_size="4,4,35").voxel_size
    api.downsample(ds, Settings(max_mag=4))
    api.upsample(ds, from_mag=Mag(2, 2, 1))
    api.compress(ds)
    api.compress(ds, str(tmp_path / "copy"))
    api.recube(ds, str(tmp_path / "recubed"))
    assert api.check_equality(ds, str(tmp_path / "copy")).equal
    assert api.verify(ds).sound
    assert api.update(ds, api.Wanted(voxel_size=(4, 4, 40))).changes
    assert len(api.inventory(ds)) == 3


def test_errors_speak_of_parameters_and_fields(tmp_path, dataset):
    """Of each kind: a field of its own name, another name, a parameter of the function."""
    for call, said in (
        (lambda: api.downsample(dataset, Settings(interpolation_mode="x")), "interpolation_mode x is unknown"),
        (lambda: api.verify(dataset, api.Resources(strategy="x")), "strategy cannot be 'x'"),
        (lambda: api.verify(dataset, layers=["x"]), "layers x"),
        (lambda: api.recube(dataset, tmp_path / "r", mags=[Mag(8, 8, 8)]), "mags 8"),
        (lambda: api.convert(tmp_path / "src", dataset, Settings(voxel_size=(4, 4, 35))), "say overwrite to replace"),
        (lambda: api.convert(tmp_path / "src", tmp_path / "new"), "for example voxel_size 4,4,35"),
    ):
        with pytest.raises(WkconvertError) as caught:
            call()
        text = f"{caught.value.what}. {caught.value.why}. {caught.value.fix}"
        assert said in text
        assert "--" not in text


def test_results_are_printed_in_a_line(tmp_path, dataset):
    done = api.recube(dataset, tmp_path / "r")
    assert str(done).startswith(f"<Done {tmp_path / 'r'}: layers color; 1 mags, ")
    assert str(done.conversion) == f"<Conversion of {dataset} to {tmp_path / 'r'}: layers color; 1 steps>"


@pytest.mark.skipif("tiff" not in plugins().formats(), reason="wkconvert-tiff is not installed")
def test_export(tmp_path, dataset):
    api.export_tiff(dataset, tmp_path / "out", pictures=api.Pictures(tile_size=(16, 16)))
    assert (tmp_path / "out/39/1/2.tiff").exists()


def test_all_are_described():
    functions = [function for name in api.__all__ if inspect.isfunction(function := getattr(api, name))]
    assert len(functions) == 11
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
    shutil.rmtree(dataset / ".wkconvert")
    result = run.invoke(app, ["info", str(dataset)])
    assert "2-2-1" in result.stdout
    assert "wkconvert metadata" in str(result.exception)
