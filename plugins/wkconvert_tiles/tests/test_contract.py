"""The hooks: what is claimed and what is not, and core's compliance kit on trees of several kinds."""

import subprocess
import sys

import numpy as np
import pytest
from trees_of import CATMAID, PLAIN, detect, noise, plant, save, source, volume

import wkconvert_tiles
from wkconvert_core import Confidence, OptionError, UnsupportedSource
from wkconvert_core.testing import (
    Sample,
    SourceContract,
    check_boxes,
    check_damaged_header,
    check_truncated,
    check_unknown_option,
)

SLICES = noise(3, 300, 400)


def tree(root, **options):
    return Sample(plant(root, SLICES, (160, 120), **options), expected=volume(SLICES))


def color(root):
    slices = noise(2, 100, 200, 3)
    return Sample(plant(root, slices, (160, 120), name=CATMAID[1]), expected=volume(slices))


def odd(root):
    sample = tree(root, name="s{z}/{y}-{x}.tif", first=(3, 0, 12))
    return Sample(sample.path, "tiles", {"pattern": "s{z}/{y}-{x}.tif"}, sample.expected)


SAMPLES = {
    "z, y, x": lambda root: tree(root, first=(3, 0, 12)),
    "JPEG": lambda root: Sample(plant(root, noise(2, 1024, 2048), (1024, 1024), name="{z}/{y}/{x}.jpg")),
    "CATMAID 1, colour": color,
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLES)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLES[request.param](tmp_path_factory.mktemp("sample") / "tree")


def test_a_forced_pattern_keeps_the_contract(tmp_path):
    sample = odd(tmp_path / "tree")
    assert detect(sample.path) is None
    check_boxes(sample.path, reader=sample.reader, options=sample.options, expected=sample.expected)
    check_unknown_option(sample.path, reader=sample.reader, options=sample.options)
    check_truncated(sample.path, reader=sample.reader, options=sample.options)
    check_damaged_header(sample.path, reader=sample.reader, options=sample.options)


def test_a_tree_is_claimed_by_its_names(tmp_path):
    plant(tmp_path, SLICES, (160, 120))
    found = detect(tmp_path)
    assert (found.format, found.confidence, found.reason) == (
        "tiles",
        Confidence.CONTENT,
        "tiles named {z}/{y}/{x}.png",
    )


@pytest.mark.parametrize(
    "names",
    [
        ["1/0001.png", "1/0002.png", "2/0003.png"],
        [f"{layer}/{number}.png" for layer in (1, 2) for number in range(13)],
        ["1/1_1.png", "1/1_2.png", "2/1_1.png", "2/1_2.png"],
        ["em/z1_y0_x0.png", "em/z1_y0_x1.png", "labels/1.png"],
        ["z1_y0_x0.png", "z2_y0_x0.png"],
        ["s1_y0_x0_c0.png", "s1_y0_x0_c1.png", "s1_y1_x0_c0.png"],
        ["tile_1_s1.png", "tile_1_s2.png"],
        ["max1_y1.png", "max2_y2.png"],
        ["1/2_3.png", "2/2_3.png"],
        ["s1/2/3.png"],
        ["1/x1/2/3.png"],
        ["1/2/3.txt", "1/2/4"],
        ["1/2/a3.png"],
        ["1/2/3/4/5.png"],
        ["0.png", "1.png", "1/2/3.png"],
        ["color/1/1/1.png", "labels/1/1/1.png"],
        ["color/1/1/1.png", "labels/1/1/1.png", "1/1/1.png"],
        [],
    ],
    ids=lambda names: " ".join(names[:4]),
)
def test_what_is_no_tree_of_tiles_is_left_to_others(tmp_path, names):
    for name in names:
        save(tmp_path / name.removesuffix(".txt"), SLICES[0], format="png")
        if name.endswith(".txt"):
            (tmp_path / name.removesuffix(".txt")).rename(tmp_path / name)
    assert detect(tmp_path) is None
    with pytest.raises(UnsupportedSource, match=r"-o pattern="):
        source(tmp_path)


def test_empty_folders_and_other_files_do_not_hide_a_tree(tmp_path):
    for number in range(50):
        (tmp_path / f"{number}" / "0").mkdir(parents=True)
    (tmp_path / "info.json").write_text("{}")
    (tmp_path / "thumbnails").mkdir()
    for number in range(60):
        (tmp_path / f"._{number}.png").write_bytes(b"")
    save(tmp_path / "60/small.jpg", SLICES[0])
    save(tmp_path / "60/1/2.png", SLICES[0])
    assert detect(tmp_path).reason == "tiles named {z}/{y}/{x}.png"


def test_detecting_looks_at_few_folders(tmp_path, monkeypatch):
    import os

    for number in range(400):
        (tmp_path / str(number)).mkdir()
    looked = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (looked.append(path), scandir(path))[1])
    assert detect(tmp_path) is None
    assert len(looked) <= 110


def test_auto_makes_one_layer_of_a_tree_and_a_layer_of_each_tree_in_a_folder(tmp_path):
    from wkconvert_core.contract.voxel_size import VoxelSize
    from wkconvert_core.conversion.execute import convert
    from wkconvert_core.conversion.settings import Settings

    settings = Settings(VoxelSize((4.0, 4.0, 35.0), "nm", "test"), downsample=False)
    slices = noise(2, 30, 40)
    plant(tmp_path / "both/em", slices, (16, 12), name=CATMAID[4])
    plant(tmp_path / "both/em", slices[:, ::2, ::2], (16, 12), name=CATMAID[4], zoom=1)
    plant(tmp_path / "both/raw", slices, (16, 12), first=(2, 1, 60))
    for source_, layers in ((tmp_path / "both/em", ["color"]), (tmp_path / "both", ["em", "raw"])):
        target = tmp_path / f"dataset-{len(layers)}"
        convert(source_, target, settings)
        assert sorted(entry.name for entry in target.iterdir() if entry.is_dir() and entry.name[0] != ".") == layers
    wkw = pytest.importorskip("wkw")
    for layer, offset in (("em", (0, 0, 0)), ("raw", (32, 12, 60))):
        with wkw.Dataset.open(str(tmp_path / "dataset-2" / layer / "1")) as dataset:
            np.testing.assert_array_equal(dataset.read(offset, (40, 30, 2)), volume(slices))


def test_other_formats_are_left_to_other_plugins(tmp_path):
    assert wkconvert_tiles.wkconvert_open("nifti", tmp_path, {}) is None


def test_options_are_known_by_name_and_value(tmp_path):
    plant(tmp_path, SLICES, (160, 120))
    with pytest.raises(OptionError, match="category, palette, pattern, white, zoom"):
        source(tmp_path, level=1)
    with pytest.raises(OptionError, match="int"):
        source(tmp_path, zoom="fine")


def test_importing_and_detecting_import_no_format_library(tmp_path):
    plant(tmp_path, SLICES, (160, 120), name=PLAIN)
    code = f"""
import sys
from pathlib import Path
import wkconvert_tiles
assert wkconvert_tiles.wkconvert_detect(Path({str(tmp_path)!r}), {{}})
heavy = {{"numpy", "imageio", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_source_stays_small_however_many_tiles_there_are(tmp_path):
    import pickle

    small, large = plant(tmp_path / "a", noise(1, 8, 8), (8, 8)), plant(tmp_path / "b", noise(30, 64, 64), (8, 8))
    sizes = [len(pickle.dumps(source(path))) for path in (small, large)]
    assert sizes[1] < sizes[0] + 40 < 3000
