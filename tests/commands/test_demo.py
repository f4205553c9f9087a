import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from wkconvert_core.cli.app import app
from wkconvert_core.commands.demo import SHAPE, VOXEL_SIZE, demo_volume, write_demo_stack
from wkconvert_core.contract.errors import PluginError, TargetError, TargetExists
from wkconvert_core.sources.category import look, verdict

Volume = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def tissue() -> tuple[Volume, Volume]:
    return demo_volume()


@pytest.mark.slow
def test_the_volume_has_the_size_and_types_of_a_small_em_stack(tissue: tuple[Volume, Volume]) -> None:
    grey, cells = tissue
    assert (grey.shape, grey.dtype) == (SHAPE, np.uint8)
    assert (cells.shape, cells.dtype) == (SHAPE, np.uint32)


def test_the_same_seed_gives_the_same_voxels_and_another_does_not() -> None:
    shape = (64, 48, 16)
    one, two, other = demo_volume(shape), demo_volume(shape), demo_volume(shape, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_every_voxel_belongs_to_one_of_many_cells(tissue: tuple[Volume, Volume]) -> None:
    counts = np.bincount(tissue[1].ravel())
    assert counts[0] == 0
    assert (counts[1:] > 0).sum() > 100


@pytest.mark.slow
def test_cells_hang_together_from_slice_to_slice(tissue: tuple[Volume, Volume]) -> None:
    cells = tissue[1]
    assert (cells[:, :, 1:] == cells[:, :, :-1]).mean() > 0.8
    largest = np.bincount(cells.ravel()).argmax()
    parts, count = ndimage.label(cells == largest)
    assert np.bincount(parts.ravel())[1:].max() > 0.95 * (cells == largest).sum()
    assert count < 20


@pytest.mark.slow
def test_membranes_are_darker_than_the_cells(tissue: tuple[Volume, Volume]) -> None:
    grey, cells = tissue
    border = np.zeros(cells.shape, bool)
    border[1:] = cells[1:] != cells[:-1]
    inside = ndimage.distance_transform_edt(~border[:, :, 30]) > 4
    assert grey[border].mean() + 40 < grey[:, :, 30][inside].mean()


@pytest.mark.slow
def test_slices_resemble_the_next_one_and_use_the_range_of_grey(tissue: tuple[Volume, Volume]) -> None:
    grey = tissue[0].astype(np.float64)
    assert np.corrcoef(grey[:, :, 30].ravel(), grey[:, :, 31].ravel())[0, 1] > 0.4
    assert np.corrcoef(grey[:, :, 10].ravel(), grey[:, :, 50].ravel())[0, 1] < 0.3
    low, high = np.percentile(grey, [1, 99])
    assert low < 100 < 180 < high


@pytest.mark.slow
def test_it_is_told_apart_by_its_voxels_alone(tissue: tuple[Volume, Volume]) -> None:
    decisions = [verdict(look([volume[:, :, z] for z in (9, 30, 50)], 3), volume.dtype) for volume in tissue]
    assert [decision.category for decision in decisions] == ["color", "segmentation"]


def test_the_stack_is_two_layers_of_calibrated_slices(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    shape = (40, 30, 3)
    write_demo_stack(tmp_path / "stack", shape)
    for name, volume in zip(("color", "segmentation"), demo_volume(shape), strict=True):
        files = sorted((tmp_path / "stack" / name).iterdir())
        assert [file.name for file in files] == ["slice_0000.tif", "slice_0001.tif", "slice_0002.tif"]
        for z, file in enumerate(files):
            assert np.array_equal(tifffile.imread(file).T, volume[:, :, z])
            with tifffile.TiffFile(file) as tiff:
                tags, imagej = tiff.pages[0].tags, tiff.imagej_metadata
                sizes = [tags[tag].value[1] / tags[tag].value[0] for tag in ("XResolution", "YResolution")]
            assert (*sizes, imagej["spacing"], imagej["unit"]) == (*VOXEL_SIZE, "nm")


def test_whole_slices_are_left_alone_and_torn_ones_are_made_again(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    write_demo_stack(tmp_path, (40, 30, 2))
    whole, torn = (tmp_path / "color" / f"slice_000{z}.tif" for z in range(2))
    content, before = torn.read_bytes(), whole.stat()
    torn.write_bytes(content[:100])
    write_demo_stack(tmp_path, (40, 30, 2))
    assert (whole.stat().st_mtime_ns, whole.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert torn.read_bytes() == content


@pytest.mark.parametrize("name", ["color/slice_0001.tif", "color/notes.txt", "mine/slice_0001.tif"])
def test_other_files_are_never_overwritten_or_mixed_with_the_demo(tmp_path: Path, name: str) -> None:
    pytest.importorskip("tifffile")
    mine = tmp_path / "stack" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(TargetExists, match=mine.name):
        write_demo_stack(tmp_path / "stack", (40, 30, 2))
    assert mine.read_bytes() == b"mine"


def test_without_tifffile_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "tifffile":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(PluginError, match="tifffile") as caught:
        write_demo_stack(tmp_path / "stack", (40, 30, 2))
    assert 'pip install "wkconvert[tiff]"' in caught.value.fix
    assert not (tmp_path / "stack").exists()


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError, match="file/stack/color cannot be written"):
        write_demo_stack(tmp_path / "file" / "stack", (40, 30, 2))


def test_importing_costs_neither_scipy_nor_tifffile() -> None:
    script = "import sys, wkconvert_core.commands.demo; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tifffile", "scipy"} & set(found)


@pytest.mark.slow
def test_an_odd_name_never_reaches_the_terminal(tmp_path):
    pytest.importorskip("wkconvert_tiff")
    result = CliRunner().invoke(app, ["demo", str(tmp_path / "a\x1b[2Jb")])  # which is no name for a dataset
    assert "\x1b[2J" not in result.output
    assert "a\\x1b[2Jb-stack; now: wkconvert auto" in result.output
