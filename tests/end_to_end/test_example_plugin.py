"""The page on writing plugins keeps its word: each of its code blocks is a file of ours, or is run here."""

from __future__ import annotations

import gzip
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import paths
from helpers.fake_plugins import Forge, forge_in
from helpers.vox_files import save_vox

import wkconvert_core
from wkconvert_core import (
    Box,
    BrokenSource,
    InconsistentStack,
    Layer,
    Mag,
    SourceNotFound,
    UnsupportedSource,
    VolumeInfo,
    VoxelSize,
)
from wkconvert_core.contract import hookspecs
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.testing import CHECKS, Rule, check_boxes, read_checked

EXAMPLE = paths.ROOT / "tests" / "example_plugin"
PAGE = (paths.ROOT / "docs" / "writing-a-plugin.md").read_text("utf-8")
FILES = {
    ("The smallest complete plugin", "python"): "wkconvert_example.py",
    ("The smallest complete plugin", "toml"): "pyproject.toml",
    ("The compliance kit", "python"): "test_wkconvert_example.py",
}
RUN_HERE = {
    ("Try it", "sh"),
    ("The five hooks", "python"),
    ("Options", "python"),
    ("VolumeInfo", "python"),
    ("The Layer", "python"),
    ("Stream sources", "python"),
    ("Errors", "python"),
    ("The toolkit", "python"),
    ("Write another format", "python"),
    ("Store mags in another form", "python"),  # in tests/formats/test_mag_formats.py
    ("Downsamplers", "python"),
}


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)\n", PAGE, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks() -> dict[tuple[str, str], str]:
    """The code blocks of the page by heading and language: at most one of each."""
    found = [
        ((heading, language), code)
        for heading, text in sections().items()
        for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def run_block(heading: str) -> dict[str, Any]:
    """What a block of Python defines."""
    names: dict[str, Any] = {"__name__": f"block of {heading}"}
    exec(compile(blocks()[heading, "python"], heading, "exec", dont_inherit=True), names)
    return names


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    (tmp_path / "site").mkdir()
    with forge_in(tmp_path / "site") as forge:
        yield forge


BRAIN = np.random.default_rng(0).integers(0, 60000, (50, 40, 7), "uint16")


@pytest.fixture
def brain(tmp_path: Path) -> Path:
    pytest.importorskip("wkconvert_example")
    return save_vox(tmp_path / "brain.vox", BRAIN)


def test_every_block_is_compared_or_run() -> None:
    assert blocks().keys() == FILES.keys() | RUN_HERE


@pytest.mark.parametrize(("heading", "language"), FILES)
def test_the_page_prints_the_file(heading: str, language: str) -> None:
    assert blocks()[heading, language] == (EXAMPLE / FILES[heading, language]).read_text("utf-8")


def test_the_example_has_at_most_thirty_lines_of_code() -> None:
    lines = (EXAMPLE / "wkconvert_example.py").read_text("utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 30


@pytest.mark.slow
def test_the_commands_on_the_page_do_what_it_says(tmp_path: Path) -> None:
    pytest.importorskip("wkconvert_example")
    commands = blocks()["Try it", "sh"].splitlines()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    outputs = [
        subprocess.run(
            command, shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        for command in commands
    ]
    assert [(out.returncode, out.stderr) for out in outputs if out.returncode] == []
    listed, described, checked = (out.stdout for out in outputs[1:4])
    assert "vox" in listed
    assert "200 x 150 x 40 uint16" in described
    assert [name for name in CHECKS if f"passed  {name}" not in checked] == [
        "stream",
        "occupied",
        "read cost",
        "second opinion",
    ]
    assert (tmp_path / "brain" / "datasource-properties.json").is_file()


def test_the_page_has_every_hook_as_it_is() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("wkconvert_")}
    signatures = [f"def {name}{inspect.signature(hook)}: ...".replace("'", "") for name, hook in hooks.items()]
    assert blocks()["The five hooks", "python"].splitlines() == signatures


def test_the_page_mentions_every_public_name_and_every_check() -> None:
    quoted = set(re.findall(r"`([\w ]+)`", PAGE))
    assert set(wkconvert_core.__all__) - quoted == set()
    table = sections()["The compliance kit"]
    listed = [name for row in re.findall(r"^\| ([\w ,-]+) \|", table, re.M) for name in row.split(", ")]
    assert set(CHECKS) - set(listed) == set()


def test_every_rule_of_the_kit_has_a_section() -> None:
    assert {rule.value[1] for rule in Rule} <= sections().keys()


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    anchors = {heading.lower().replace(" ", "-") for heading in sections()}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors


@pytest.mark.parametrize("heading", ["Options", "VolumeInfo"])
def test_the_assertions_on_the_page_hold(heading: str) -> None:
    assert "assert " in blocks()[heading, "python"]
    run_block(heading)


def test_the_layers_on_the_page_are_layers() -> None:
    info = VolumeInfo((4, 4, 4), np.dtype("u1"))
    found: list[Layer] = run_block("The Layer")["layers"]([info, info], info, info)
    assert [layer.name for layer in found] == ["channel_0", "channel_1", "labels"]
    assert found[2].mags.keys() == {Mag(1, 1, 1), Mag(2, 2, 1)}


def test_the_stream_on_the_page_reads_and_refuses_half_a_file(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 60000, (5, 6, 7), "uint16")
    packed = gzip.compress(voxels.tobytes("F"))
    (tmp_path / "a.raw.gz").write_bytes(packed)
    source = run_block("Stream sources")["GzipSource"](tmp_path / "a.raw.gz", VolumeInfo((5, 6, 7), np.dtype("u2")))
    seen = np.concatenate([data for _, data in source.stream()], axis=3)
    assert np.array_equal(seen[0], voxels)
    box = Box((1, 2, 3), (4, 2, 3))
    assert np.array_equal(source.read(box)[0], voxels[box.slices_in(source.info.box)])
    (tmp_path / "a.raw.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(BrokenSource, match="no whole gzip file"):
        source.read(source.info.box)


def test_the_error_on_the_page_has_its_three_parts() -> None:
    check_depth = run_block("Errors")["check_depth"]
    check_depth("a.raw", 8)
    with pytest.raises(UnsupportedSource) as caught:
        check_depth("a.raw", 12)
    assert all([caught.value.what, caught.value.why, caught.value.fix])


def test_the_stack_on_the_page_reads_slices_and_refuses_bad_ones(tmp_path: Path) -> None:
    names = run_block("The toolkit")
    voxels = np.random.default_rng(0).integers(0, 60000, (3, 5, 4)).astype(">u2")  # [z, y, x]

    def write(number: int, slice_: Any) -> None:
        size = np.array(slice_.shape[::-1], "<u4")
        (tmp_path / f"s{number}.scan").write_bytes(size.tobytes() + slice_.tobytes())

    for number, slice_ in zip((9, 10, 12), voxels, strict=True):
        write(number, slice_)
    with pytest.raises(InconsistentStack, match="11 \\(1 in all"):
        names["open_scans"](tmp_path)
    source = names["open_scans"](tmp_path, gaps="fill")
    assert source.info.shape == (4, 5, 4)
    check = np.insert(voxels, 2, 0, axis=0).T
    assert np.array_equal(read_checked(source)[0], check)
    (tmp_path / "s9.scan").write_bytes(b"cut short")
    with pytest.raises(BrokenSource, match=r"s9\.scan is cut short"):
        source.read(source.info.box)
    write(9, voxels[0, :4])
    with pytest.raises(InconsistentStack, match=r"differ in size: s9\.scan \(4 x 4\)"):
        names["open_scans"](tmp_path, gaps="fill")
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFound, match=r"holds no \.scan files"):
        names["open_scans"](empty)


def test_the_writer_on_the_page_writes_every_mag(forge: Forge, brain: Path, tmp_path: Path) -> None:
    forge.install("slices_plugin", blocks()["Write another format", "python"])
    settings = Settings(VoxelSize((4.0, 4.0, 4.0), "nm", "test"), category="segmentation", to="npy-slices", start_z=3)
    convert(brain, tmp_path / "out", settings)
    voxels = BRAIN
    written = sorted((tmp_path / "out" / "segmentation" / "1").glob("*.npy"))
    assert [path.name for path in written] == [f"z{z:06}.npy" for z in range(3, 10)]
    assert np.array_equal(np.stack([np.load(path)[0] for path in written], axis=2), voxels)
    assert len(list((tmp_path / "out" / "segmentation" / "2").glob("*.npy"))) == 4
    assert (tmp_path / "out" / "dataset.json").is_file()


def test_the_kernel_on_the_page_makes_coarser_mags(forge: Forge, brain: Path, tmp_path: Path) -> None:
    forge.install("contrast_plugin", blocks()["Downsamplers", "python"])
    size = VoxelSize((4.0, 4.0, 4.0), "nm", "test")
    convert(brain, tmp_path / "out", Settings(size, category="color", interpolation_mode="contrast", max_mag=2))
    block = BRAIN[:2, :2, :2]
    layer = wkconvert_core.registry.plugins.plugins().hook.wkconvert_open(
        format="webknossos", path=tmp_path / "out", options={}
    )[0]
    voxel = layer.mags[Mag(2, 2, 2)].read(Box((0, 0, 0), (1, 1, 1)))
    assert voxel.item() == block.max() - block.min()


@pytest.mark.parametrize(
    ("lengths", "size"), [((3, 3, 3), 53), ((3, 3, 3), 55), ((0, 3, 3), 0), ((2**32 - 1,) * 3, 54), ((3, 3), 18)]
)
def test_the_example_refuses_what_is_no_volume(lengths: tuple[int, ...], size: int, tmp_path: Path) -> None:
    example = pytest.importorskip("wkconvert_example")
    (tmp_path / "a.vox").write_bytes(b"VOX1" + np.array(lengths, ">u4").tobytes() + bytes(size))
    with pytest.raises(BrokenSource, match=r"a\.vox is no sound \.vox file"):
        example.source(tmp_path / "a.vox")


def test_the_example_reads_what_the_format_says(tmp_path: Path) -> None:
    pytest.importorskip("wkconvert_example")
    voxels = np.random.default_rng(0).integers(0, 60000, (9, 8, 7), "uint16")
    check_boxes(save_vox(tmp_path / "volume.vox", voxels), expected=voxels[np.newaxis])
