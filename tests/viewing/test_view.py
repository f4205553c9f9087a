"""What is served is compared with numpy; what a browser shows is looked at pixel by pixel."""

import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from helpers.conversions import edited, invoke, random_voxels
from helpers.datasets import run
from helpers.sources import InMemory
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wkconvert_core import Box, Mag, OptionError, PluginError, VolumeInfo, VoxelSize
from wkconvert_core.cli.surroundings import Interrupted
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.viewing.chosen import chosen_layers
from wkconvert_core.viewing.chunk_cache import ChunkCache, KeptChunks
from wkconvert_core.viewing.precomputed import Precomputed
from wkconvert_core.viewing.view import _shown, viewing

NEUROGLANCER = pytest.mark.skipif(not find_spec("neuroglancer"), reason="neuroglancer is not installed")
"""For tests that start its server."""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZE = VoxelSize((4, 4, 8))


def fetched(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read()


def served(address, number):
    """The folder of a layer's volume, given the address of the page."""
    host, _, token = address.rstrip("/").rpartition("/v/")
    return f"{host}/data/{token}/{number}"


def em_and_cells(folder, reader):
    """Layer `em` of 300 x 200 x 40 voxels from z 8 on: dark, and bright at low x; `cells`: id 7 at low y, else 0."""
    em = np.full((1, 300, 200, 40), 10, np.uint8)
    em[:, :150] = 240
    em += np.random.default_rng(0).integers(0, 10, em.shape, np.uint8)
    cells = np.zeros((1, 300, 200, 40), np.uint32)
    cells[:, :, :100] = 7
    for name, voxels in (("em", em), ("cells", cells)):
        reader(folder / name, voxels)
        category = "color" if name == "em" else "segmentation"
        convert(folder / name, folder / "ds", Settings(SIZE, name, category, start_z=8, add=name == "cells"))


@pytest.fixture
def dataset(tmp_path, reader, put_copy):
    put_copy(em_and_cells, tmp_path)
    return tmp_path / "ds"


@pytest.mark.parametrize(
    ("category", "dtype", "sent"),
    [
        ("color", "uint8", "uint8"),
        ("color", "int16", "int16"),
        ("color", "float64", "float32"),
        ("color", "uint64", "float32"),
        ("color", "bool", "uint8"),
        ("segmentation", "uint32", "uint32"),
        ("segmentation", "int32", "uint64"),
        ("segmentation", "int64", "uint64"),
    ],
)
def test_a_chunk_is_x_fastest_in_a_dtype_that_the_viewer_has(category, dtype, sent):
    voxels = np.arange(2 * 5 * 4 * 3).reshape(2, 5, 4, 3).astype(dtype)
    volume = Precomputed(category, {Mag(1, 1, 1): InMemory(voxels, offset=(10, 20, 30))}, SIZE)
    info = volume.info()
    assert (info["data_type"], info["num_channels"]) == (sent, 2)
    assert info["type"] == ("image" if category == "color" else "segmentation")
    scale = info["scales"][0]
    assert (scale["size"], scale["voxel_offset"], scale["resolution"]) == ((5, 4, 3), (10, 20, 30), [4, 4, 8])
    data = volume.chunk("1", Box((11, 20, 31), (3, 4, 2)))
    expected = voxels[:, 1:4, :, 1:3].astype(sent)
    np.testing.assert_array_equal(
        np.frombuffer(data, f"<{np.dtype(sent).str[1:]}").reshape(2, 2, 4, 3), expected.transpose(0, 3, 2, 1)
    )


def test_mags_that_are_missing_are_shown_by_every_nth_voxel():
    voxels = random_voxels((901, 400, 9))
    volume = Precomputed("color", {Mag(1, 1, 1): InMemory(voxels, offset=(16, 0, 0))}, VoxelSize((4, 4, 40)))
    assert list(volume.scales) == ["1", "2-2-1", "4-4-1", "8-8-1", "16-16-2"]
    scale = volume.scales["8-8-1"]
    assert scale.box == Box((2, 0, 0), (113, 50, 9))
    box = Box((60, 0, 0), (55, 50, 9))
    data = np.frombuffer(volume.chunk("8-8-1", box), np.uint8).reshape(9, 50, 55).T
    np.testing.assert_array_equal(data, voxels[0, 58 * 8 :: 8, ::8])


@pytest.mark.parametrize("box", [Box((0, 0, 0), (6, 1, 1)), Box((-1, 0, 0), (2, 1, 1)), Box((0, 0, 0), (0, 1, 1))])
def test_boxes_beyond_the_volume_are_refused(box):
    volume = Precomputed("color", {Mag(1, 1, 1): InMemory(np.zeros((1, 5, 4, 3), np.uint8))}, SIZE)
    with pytest.raises(ValueError, match="is no chunk"):
        volume.chunk("1", box)
    with pytest.raises(KeyError):
        volume.chunk("2", Box((0, 0, 0), (1, 1, 1)))


class Chunked(InMemory):
    """A volume in chunks from (1, 2, 0) on; remembers what was read."""

    @property
    def info(self):
        return VolumeInfo(
            self.voxels.shape[1:], self.voxels.dtype, len(self.voxels), chunk_shape=(4, 5, 3), chunk_start=(1, 2, 0)
        )

    def read(self, box):
        self.__dict__.setdefault("boxes", []).append(box)
        return super().read(box)


@given(st.data())
def test_kept_chunks_are_read_once_and_give_the_same_voxels(data):
    inners = [Chunked(random_voxels((13, 11, 7), seed=seed)) for seed in range(2)]
    kept = KeptChunks()
    caches = [ChunkCache(inner, kept) for inner in inners]
    for _ in range(4):
        start = [data.draw(st.integers(0, n - 1)) for n in (13, 11, 7)]
        stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, (13, 11, 7), strict=True)]
        box = Box.between(start, stop)
        for inner, cache in zip(inners, caches, strict=True):
            np.testing.assert_array_equal(cache.read(box), inner.voxels[:, *box.slices_in(inner.info.box)])
    for inner in inners:
        assert len(inner.boxes) == len(set(inner.boxes))


def test_no_more_is_kept_of_all_sources_than_was_said():
    kept = KeptChunks(most=130)  # two chunks of 60 voxels
    whole = Box((0, 0, 0), (13, 11, 7))
    inners = [Chunked(np.zeros((1, 13, 11, 7), np.uint8)) for _ in range(3)]
    for inner in inners:
        ChunkCache(inner, kept).read(whole)
    assert sum(each.nbytes for each in kept._kept.values()) == kept._bytes <= 130
    assert ChunkCache(inners[0], KeptChunks(most=10)).read(whole).shape == (1, 13, 11, 7)


@pytest.mark.slow
@NEUROGLANCER
def test_a_dataset_is_served_to_this_machine_and_to_those_who_know_the_token(dataset):
    with viewing(dataset) as shown:
        address = shown.address
        assert address.startswith("http://127.0.0.1:")
        assert b"<html" in fetched(address)
        info = json.loads(fetched(served(address, 0) + "/info"))
        assert info["scales"][0]["voxel_offset"] == [0, 0, 8]
        chunk = fetched(served(address, 1) + "/1/0-64_90-110_8-48")
        ids = np.frombuffer(chunk, "<u4").reshape(40, 20, 64)
        assert (ids[:, :10] == 7).all()
        assert (ids[:, 10:] == 0).all()
        for wrong in ("/1/0-64_90-110_0-48", "/3/0-1_0-1_8-9", "/1/x", "/nothing"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                fetched(served(address, 1) + wrong)
        stranger = served(address, 0).replace("/data/", "/data/0")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(stranger + "/info")
    with pytest.raises(urllib.error.URLError):
        fetched(address)


@NEUROGLANCER
def test_grey_values_are_shown_in_the_window_that_a_datasets_metadata_state(dataset):
    with edited(dataset) as found:
        (em,) = (layer for layer in found["dataLayers"] if layer["name"] == "em")
        em["defaultViewConfiguration"] = {"intensityRange": [20, 90], "color": [0, 0, 255]}
    (em,) = chosen_layers(dataset, ["em"], None, None)
    controls = _shown(em, "precomputed://").to_json()["shaderControls"]
    assert controls == {"shown": {"range": [20, 90]}, "color": "#0000ff"}


@NEUROGLANCER
def test_grey_values_are_shown_in_the_window_that_the_source_says(dataset):
    em = next(each for each in open_source(dataset, Settings(), plugins()) if each.name == "em")
    said = replace(em, intensity_range=(20, 90))
    assert _shown(said, "precomputed://").to_json()["shaderControls"]["shown"] == {"range": [20, 90]}


@pytest.mark.slow
@NEUROGLANCER
def test_a_port_that_is_taken_and_unknown_layers_are_refused(dataset):
    with viewing(dataset) as shown:
        port = int(shown.address.split(":")[2].split("/")[0])
        other = "import sys; from wkconvert_core.cli.app import main; main()"
        command = [sys.executable, "-c", other, "view", str(dataset), "--port", str(port), "--no-browser"]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (refused.returncode, f"--port {port} cannot be used" in refused.stderr) == (2, True)
    with pytest.raises(OptionError, match="--layer-name en"), viewing(dataset, layers=["en"]):
        pass


def test_without_neuroglancer_the_error_says_what_to_install(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "neuroglancer", None)
    with pytest.raises(PluginError, match=r"wkconvert\[view\]"), viewing(dataset):
        pass


@pytest.mark.slow
@NEUROGLANCER
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_command_prints_its_address_and_ends_with_a_signal(dataset, number, code):
    program = "import sys; from wkconvert_core.cli.app import main; main()"
    command = [sys.executable, "-c", program, "view", str(dataset), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert b"<html" in fetched(run.stdout.readline().strip())
        run.send_signal(number)
        assert run.wait(20) == code
        said = run.stderr.read()
    assert "Traceback" not in said
    assert ("goes on" in said) == (code != 0)  # Ctrl-C is how it ends, and leaves nothing to go on with


@pytest.mark.slow
@NEUROGLANCER
def test_ctrl_c_is_how_it_ends_also_while_the_browser_is_opened(dataset, monkeypatch):
    def opened(address):
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr("webbrowser.open", opened)
    assert invoke("view", dataset).exit_code == 0


def looked_at(viewer):
    """The pixels [y, x, rgb] that the browser shows of the layers' place, 300 by 200 of them."""
    png = viewer.screenshot().screenshot.image  # comes when all voxels of the view have come
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    rows, columns = (pixels != 0).any(axis=2).nonzero()  # without the bars around the view
    y, x = (rows.min() + rows.max() + 1) // 2, (columns.min() + columns.max() + 1) // 2
    return pixels[y - 100 : y + 100, x - 150 : x + 150]


@pytest.mark.slow
@NEUROGLANCER
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("to", ["wkw", "zarr3"])
def test_a_browser_shows_the_layers_where_they_lie(dataset, tmp_path, to):
    from neuroglancer import server

    if to != "wkw":
        run("recube", dataset, tmp_path / to, "--to", to, "-q")
        dataset = tmp_path / to

    flags = "--headless=new --no-sandbox --disable-dev-shm-usage --use-angle=swiftshader --enable-unsafe-swiftshader"
    with viewing(dataset) as shown, contextlib.ExitStack() as stack:
        (viewer,) = server.global_server.viewers.values()
        with viewer.txn() as state:
            state.layout = "xy"
            state.layers["cells"].visible = False
            state.show_axis_lines = state.show_default_annotations = state.show_scale_bar = False
        flags = [*flags.split(), f"--user-data-dir={tmp_path}/profile", "--window-size=800,600"]
        command = [CHROMIUM, *flags, shown.address]
        browser = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        stack.callback(browser.kill)
        em = looked_at(viewer)
        with viewer.txn() as state:
            state.layers["cells"].visible, state.layers["em"].visible = True, False
        cells = looked_at(viewer)
    assert em[20:180, 10:140].min() > 200
    assert em[20:180, 160:290].max() < 60
    assert np.ptp(cells[10:90, 10:290], axis=2).min() > 50  # in the colour of its id
    assert np.ptp(cells[110:190, 10:290], axis=2).max() == 0
