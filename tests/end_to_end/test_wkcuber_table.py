"""README's table for those who come from wkcuber: each of its lines is run, in order, and does what it says."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import wkw
from helpers import paths
from helpers.conversions import invoke, layers_of, read

tifffile = pytest.importorskip("tifffile")
nibabel = pytest.importorskip("nibabel")
image = pytest.importorskip("PIL.Image")
for plugin in ("tiff", "knossos", "nifti", "tiles"):
    pytest.importorskip(f"wkconvert_{plugin}")

README = paths.ROOT / "README.md"
WKCUBER = [
    *("", "cubing", "tile_cubing", "convert_knossos", "convert_nifti", "convert_raw", "metadata", "downsampling"),
    *("upsampling", "compress", "recubing", "check_equality", "export_wkw_as_tiff"),
    "export_wkw_as_nifti",
]
"""Its commands, in the order of the table."""

rng = np.random.default_rng(0)
EM = rng.integers(1, 250, (64, 48, 32)).astype(np.uint8)
"""Voxels [x, y, z]."""


def table():
    """The cells of the table, line by line."""
    rows = README.read_text("utf-8").split("## Coming from wkcuber")[1].split("\n##")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("| `")]
    return [(re.findall("`([^`]*)`", old), new.strip("`")) for old, new in cells]


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """What the commands of the table name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("stack", "tiles", "knossos/mag1/x0000/y0000/z0000"):
        (tmp_path / folder).mkdir(parents=True)
    for z in range(32):
        tifffile.imwrite(f"stack/{z:04}.tif", EM[:, :, z].T)
    for z, y, x in np.ndindex(2, 2, 2):
        Path(f"tiles/{z}/{y}").mkdir(parents=True, exist_ok=True)
        image.fromarray(EM[32 * x : 32 * x + 32, 24 * y : 24 * y + 24, z].T).save(f"tiles/{z}/{y}/{x}.png")
    cube = rng.integers(1, 250, (128, 128, 128)).astype(np.uint8)
    cube.T.tofile("knossos/mag1/x0000/y0000/z0000/em_mag1_x0000_y0000_z0000.raw")
    affine = nibabel.Nifti1Image(EM, np.diag([0.1, 0.1, 0.2, 1]))
    affine.header.set_xyzt_units("mm")
    nibabel.save(affine, "brain.nii.gz")
    EM.T.tofile("scan.raw")
    run("wkconvert auto stack coarse --voxel-size 11.24,11.24,25 --target-mag 4 --layer-name color")
    return cube


def run(command):
    name, *args = shlex.split(command)
    assert name == "wkconvert"
    result = invoke(*args)
    assert result.exit_code == 0, command
    return result.output


def mags(dataset):
    return [mag["mag"] for mag in layers_of(Path(dataset))["color"]["mags"]]


def test_every_command_of_wkcuber_is_there():
    assert [old[0].removeprefix("python -m wkcuber").removeprefix(".") for old, _ in table()] == WKCUBER


@pytest.mark.slow
def test_every_line_does_what_it_says(inputs):
    for _, command in table():
        run(command)
    for dataset, layer, voxels in (
        ("ds", "color", EM),
        ("cubed", "color", EM),
        ("other", "color", EM),
        ("em", "color", inputs),
        ("brain", "color", EM),
        ("scan", "color", EM),
    ):
        np.testing.assert_array_equal(read(Path(dataset), layer)[0], voxels, err_msg=dataset)
    assert mags("ds") == mags("cubed") == [[1, 1, 1], [2, 2, 1], [4, 4, 2]]
    assert mags("coarse")[0] == [1, 1, 1]
    assert (Path("cubed/color/1") / "header.wkw").read_bytes()[5] != 1
    with wkw.Dataset.open("tiled/color/1") as tiled:
        np.testing.assert_array_equal(tiled.read((0, 0, 0), (64, 48, 2))[0], EM[:, :, :2])
    assert len(list(Path("slices").glob("*.tif"))) == 32
    np.testing.assert_array_equal(tifffile.imread(sorted(Path("slices").glob("*.tif"))[7]), EM[:, :, 7].T)
    np.testing.assert_array_equal(nibabel.load("color.nii.gz").dataobj, EM)
