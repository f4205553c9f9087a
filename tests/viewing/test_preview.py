"""The picture is looked at pixel by pixel; what it says is read from the result."""

import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from helpers.conversions import SETTINGS, edited
from helpers.sources import InMemory
from PIL import Image
from typer.testing import CliRunner

from wkconvert_core import Mag, TargetError, VoxelSize, api
from wkconvert_core.cli.app import app
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.viewing.picture import BACKGROUND, INK, LINE, label_colors, look_at
from wkconvert_core.viewing.preview import preview

SHAPE = (40, 30, 20)


@pytest.fixture
def corner(tmp_path, reader):
    """A volume that is bright at low x, y, z, half bright at low x, and dark elsewhere."""
    voxels = np.zeros((1, *SHAPE), np.uint8)
    voxels[:, :25] = 100
    voxels[:, :25, :20, :12] = 200
    return reader(tmp_path / "em", voxels)  # a name of colour


def test_each_plane_is_where_and_as_its_arrows_say(tmp_path, corner):
    made = preview(corner, tmp_path / "p.png")
    (layer,) = made.layers
    assert (layer.planes_at, layer.mag, layer.sides) == ((20, 15, 10), Mag(1, 1, 1), (400, 300, 200))
    y_by_x, y_by_z, z_by_x = (pixels[..., 0] for pixels in layer.planes)
    assert [pixels.shape for pixels in (y_by_x, y_by_z, z_by_x)] == [(30, 40), (30, 20), (20, 40)]
    voxels = np.load(corner / "volume.npy")[0]
    shown = np.array([0, 127, 255])[(voxels // 100).astype(int)]
    np.testing.assert_allclose(y_by_x, shown[:, :, 10].T, atol=1)
    np.testing.assert_allclose(y_by_z, shown[20], atol=1)
    np.testing.assert_allclose(z_by_x, shown[:, 15].T, atol=1)


def test_the_picture_holds_the_planes(tmp_path, corner):
    png = preview(corner, tmp_path / "p.png").png
    assert (tmp_path / "p.png").read_bytes() == png
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    rows, _ = np.nonzero((pixels > 120) & (pixels < 135))  # half bright, below the bright corner
    assert np.bincount(rows).max() == pytest.approx(250 + 200, abs=12)  # y by x, and y by z beside it
    assert pixels[0, 0] == pytest.approx(np.mean(BACKGROUND), abs=2)


def test_a_dataset_is_shown_in_its_proportions_from_the_mag_that_fits(tmp_path, reader):
    src = reader(tmp_path / "src", np.zeros((1, 900, 300, 10), np.uint8))
    convert(src, tmp_path / "ds", Settings(VoxelSize((4, 4, 40)), category="color"))
    (layer,) = preview(tmp_path / "ds", tmp_path / "p.png").layers
    assert (layer.mag, layer.shape, layer.sides) == (Mag(2, 2, 1), (900, 300, 10), (400, 133, 44))
    assert "4 x 4 x 40 nm" in layer.lines[0]


def test_the_scale_bar_says_the_same_where_the_finest_mag_is_not_1(tmp_path, reader):
    src = reader(tmp_path / "src", np.zeros((1, 80, 60, 10), np.uint8))
    convert(src, tmp_path / "ds", Settings(VoxelSize((4, 4, 40)), category="color", max_mag=2))
    api.recube(tmp_path / "ds", tmp_path / "coarse", mags=[Mag(2, 2, 1)])
    pngs = [preview(tmp_path / each, tmp_path / "p.png").png for each in ("ds", "coarse")]
    fine, coarse = (np.asarray(Image.open(io.BytesIO(png)))[-2 * LINE :] for png in pngs)  # the bar and its text
    np.testing.assert_array_equal(fine, coarse)
    assert (fine == INK).all(axis=2).any()


@pytest.mark.parametrize(
    ("stated", "window"), [([50, 150], (50, 150)), ([0, 400], (0, 400)), ([150, 50], (0, 200)), ("all", (0, 200))]
)
def test_a_dataset_is_shown_in_the_window_and_colour_that_its_metadata_state(tmp_path, corner, stated, window):
    convert(corner, tmp_path / "ds", replace(SETTINGS, category="color"))
    with edited(tmp_path / "ds") as found:
        found["dataLayers"][0]["defaultViewConfiguration"] = {"intensityRange": stated, "color": [255, 0, 0]}
    (layer,) = preview(tmp_path / "ds", tmp_path / "p.png").layers
    assert layer.window == window
    assert f"{window[0]} is black, {window[1]} is white" in layer.lines[1]
    voxels = np.load(corner / "volume.npy")[0, :, :, 10].T.astype(float)
    low, high = window
    np.testing.assert_allclose(layer.planes[0][..., 0], np.clip((voxels - low) / (high - low), 0, 1) * 255, atol=1)
    assert not layer.planes[0][..., 1:].any()


def test_whole_numbers_have_a_window_of_whole_numbers(tmp_path, reader):
    src = reader(tmp_path / "src", np.linspace(-17.3, 24787.6, 8000).astype(np.int16).reshape(1, 20, 20, 20))
    (layer,) = preview(src, tmp_path / "p.png").layers
    low, high = layer.window
    assert 9999 < high == int(high)
    assert low == int(low)
    assert layer.lines[1].endswith(f", {int(low)} is black, {int(high)} is white")


def test_labels_get_colours_and_zero_is_black(tmp_path, reader):
    ids = np.zeros((1, *SHAPE), np.uint32)
    ids[:, 10:20], ids[:, 20:] = 7, 2**31
    reader(tmp_path / "src", ids)
    convert(tmp_path / "src", tmp_path / "ds", Settings(SETTINGS.voxel_size, category="segmentation"))
    (layer,) = preview(tmp_path / "ds", tmp_path / "p.png").layers
    assert layer.window is None
    colors = {tuple(color) for color in layer.planes[0].reshape(-1, 3).tolist()}
    assert colors == {(0, 0, 0), *map(tuple, label_colors(np.array([7, 2**31])).tolist())}


def test_neighbouring_ids_are_told_apart():
    for first in (1, 2**53, 2**64 - 2000):
        colors = label_colors(np.arange(first, first + 1999, dtype=np.uint64)).astype(int)
        assert (np.abs(colors[1:] - colors[:-1]).sum(axis=1) > 100).all()


def test_mags_of_unknown_voxel_size_are_shown_in_proportions_of_mag_1():
    mags = {Mag(n, n, 1): InMemory(np.zeros((1, 1600 // n, 800 // n, 400), np.uint8)) for n in (1, 2, 4)}
    shown = look_at("em", "color", mags)
    assert (shown.mag, shown.sides) == (Mag(4, 4, 1), (400, 200, 100))


def test_three_channels_of_bytes_are_a_colour_picture(tmp_path, reader):
    rgb = np.random.default_rng(0).integers(0, 255, (3, *SHAPE), np.uint8)
    (layer,) = preview(reader(tmp_path / "src", rgb), tmp_path / "p.png").layers
    np.testing.assert_array_equal(layer.planes[0], rgb[:, :, :, 10].transpose(2, 1, 0))


@pytest.mark.parametrize("values", [[np.nan, 0, 1], [np.nan] * 3, [-np.inf, 0, np.inf], [5, 5, 5]])
def test_any_floats_are_shown(tmp_path, reader, values):
    voxels = np.resize(np.array(values, np.float32), (1, *SHAPE))
    assert preview(reader(tmp_path / "src", voxels), tmp_path / "p.png").png


def test_only_a_preview_is_replaced(tmp_path, corner):
    out = tmp_path / "p.png"
    preview(corner, out)
    preview(corner, out)
    Image.new("L", (9, 9)).save(out)
    before = out.read_bytes()
    with pytest.raises(TargetError, match="it is no preview"):
        preview(corner, out)
    assert out.read_bytes() == before
    with out.open("wb") as stream:
        stream.truncate(2**40)  # a file of no blocks, which would fill the memory
    for each in (out, tmp_path):
        with pytest.raises(TargetError, match="it is no preview"):
            preview(corner, each)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_to_which_nobody_writes_is_not_waited_for(tmp_path, corner):
    os.mkfifo(tmp_path / "p.png")
    with pytest.raises(TargetError, match="it is no preview"):
        preview(corner, tmp_path / "p.png")


def test_the_command_says_what_is_shown_and_where(tmp_path, corner, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    told = run.invoke(app, ["preview", "em"]).stdout
    assert "mag 1 at x 20, y 15, z 10" in told
    assert told.splitlines()[-1] == "em-preview.png"
    document = json.loads(run.invoke(app, ["preview", "em", "-o", "other.png", "--json"]).stdout)
    assert (document["picture"], document["layers"][0]["planes_at"]) == ("other.png", [20, 15, 10])
    assert (tmp_path / "other.png").exists()
    shown = run.invoke(app, ["preview", "em", "-q", "--terminal"], env={"TERM": "xterm-kitty"}).stdout
    assert shown.startswith("\x1b_Ga=T,f=100,m=")
    assert shown.endswith("\x1b\\\n")
    refused = run.invoke(
        app, ["preview", "em", "--terminal"], env={"TERM": "dumb", "TERM_PROGRAM": "", "LC_TERMINAL": ""}
    )
    assert refused.exit_code != 0
    assert "--terminal" in str(refused.exception)
