"""Each look at source, target or records that fails is an error of ours, or changes nothing: never fewer files."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tifffile
from helpers.conversions import SETTINGS, different, em
from helpers.faults import every_failure
from PIL import Image

from wkconvert_core import Mag
from wkconvert_core.commands import (
    check_equality,
    compress,
    downsample,
    export,
    metadata,
    recube,
    upsample,
    verify,
)
from wkconvert_core.commands.info import describe
from wkconvert_core.conversion.execute import convert, execute
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.publishing.upload import _files

SETTLED = replace(SETTINGS, jobs=1, strategy="sequential", max_mag=2, name="ds", memory=8 << 30)
ALONE = Settings(jobs=1, strategy="sequential", max_mag=2, memory=8 << 30)


def stack(folder, count=4):
    folder.mkdir(parents=True)
    for z in range(count):
        tifffile.imwrite(folder / f"{z:04d}.tif", em((40, 40, 1), seed=z)[0, :, :, 0].T)


def layers(folder):
    nibabel = pytest.importorskip("nibabel")
    stack(folder / "em")
    (folder / "labels").mkdir()
    nibabel.save(nibabel.Nifti1Image(em((20, 20, 20))[0], np.eye(4)), folder / "labels" / "ids.nii")


def tiles(folder):
    for z, y, x in np.ndindex(2, 2, 2):
        (folder / f"{z}/{y}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(em((32, 32, 1), seed=x)[0, :, :, 0]).save(folder / f"{z}/{y}/{x}.png")


def cubes(folder):
    (folder / "knossos.conf").parent.mkdir()
    scale = "".join(f"scale {axis} 9.0;\nboundary {axis} 128;\n" for axis in "xyz")
    (folder / "knossos.conf").write_text(f'experiment name "e";\n{scale}magnification 1;\n')
    (folder / "mag1/x0000/y0000/z0000").mkdir(parents=True)
    (folder / "mag1/x0000/y0000/z0000/e_mag1_x0000_y0000_z0000.raw").write_bytes(em((128, 128, 128)).tobytes())


def raw(folder):
    folder.mkdir()
    (folder / "em_20x20x20_uint8.raw").write_bytes(em((20, 20, 20)).tobytes())


SOURCES = [stack, layers, tiles, cubes, raw]


@pytest.mark.slow
@pytest.mark.parametrize("make", SOURCES)
def test_info(tmp_path, make):
    make(tmp_path / "src")
    told = [layer.info for layer in describe(tmp_path / "src").layers]
    for struck, found in every_failure(tmp_path, lambda: describe(tmp_path / "src")):
        assert [layer.info for layer in found.layers] == told, struck


@pytest.mark.slow
@pytest.mark.parametrize(("make", "below"), [(stack, "."), (layers, "src"), (tiles, "src"), (cubes, "src")])
def test_auto(tmp_path, make, below):
    make(tmp_path / "src")
    convert(tmp_path / "src", tmp_path / "clean", SETTLED)

    def clear():
        shutil.rmtree(tmp_path / "ds", ignore_errors=True)

    for struck, _ in every_failure(
        tmp_path / below, lambda: convert(tmp_path / "src", tmp_path / "ds", SETTLED), clear
    ):
        assert different(tmp_path / "ds", tmp_path / "clean") == [], struck


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [partial(compress.prepare, dst=None), downsample.prepare], ids=["compress", "downsample"]
)
def test_commands_within_a_dataset(tmp_path, command):
    stack(tmp_path / "src")
    convert(tmp_path / "src", tmp_path / "raw", replace(SETTLED, compression="none", downsample=False))

    def copy():
        shutil.rmtree(tmp_path / "ds", ignore_errors=True)
        shutil.copytree(tmp_path / "raw", tmp_path / "ds")

    copy()
    execute(command(tmp_path / "ds", settings=ALONE))
    (tmp_path / "ds").rename(tmp_path / "clean")
    for struck, _ in every_failure(tmp_path, lambda: execute(command(tmp_path / "ds", settings=ALONE)), copy):
        assert [name for name in different(tmp_path / "ds", tmp_path / "clean") if name[0] != "."] == [], struck


NAMED = replace(ALONE, name="ds")
WRITING = {
    "recube": lambda src, dst: execute(recube.prepare(src, dst, NAMED)),
    "export-tiff": lambda src, dst: execute(export.prepare(src, dst, NAMED)),
    "upsample": lambda src, dst: execute(
        upsample.prepare(shutil.copytree(src, dst), replace(ALONE, target_mag=Mag(1, 1, 1)))
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", WRITING)
def test_commands_that_read_a_dataset_write_all_or_nothing(tmp_path, command):
    stack(tmp_path / "src")
    convert(tmp_path / "src", tmp_path / "ds", SETTLED)
    if command == "upsample":
        shutil.rmtree(tmp_path / "ds/color/1")
        metadata.update(tmp_path / "ds", metadata.Wanted(), ALONE)
    WRITING[command](tmp_path / "ds", tmp_path / "clean")
    below = tmp_path / ("made" if command == "upsample" else "ds")
    for struck, _ in every_failure(
        below,
        lambda: WRITING[command](tmp_path / "ds", tmp_path / "made"),
        lambda: shutil.rmtree(tmp_path / "made", ignore_errors=True),
    ):
        assert different(tmp_path / "made", tmp_path / "clean") == [], struck


LOOKING = {
    "verify": lambda ds: replace(verify.verify(ds, ALONE), seconds=0),
    "check-equality": lambda ds: replace(check_equality.check_equality(ds, ds, ALONE), seconds=0),
    "metadata": lambda ds: metadata.update(ds, metadata.Wanted(dry_run=True), ALONE),
    "metadata --extent": lambda ds: metadata.update(ds, metadata.Wanted(extent=True, dry_run=True), ALONE),
    "upload": _files,
}


@pytest.mark.slow
@pytest.mark.parametrize("command", LOOKING)
def test_commands_that_look_at_a_dataset_see_all_of_it_or_say_that_they_do_not(tmp_path, command):
    stack(tmp_path / "src")
    convert(tmp_path / "src", tmp_path / "ds", SETTLED)
    clean = LOOKING[command](tmp_path / "ds")
    for struck, found in every_failure(tmp_path / "ds", lambda: LOOKING[command](tmp_path / "ds")):
        if command == "verify":
            assert not found.sound or found == clean, struck
        else:
            assert found == clean, struck
