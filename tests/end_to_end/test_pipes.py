"""What is no file where one should be (pipes, sockets, devices, folders) is refused, and never waited for."""

import os
import shutil
import socket
from dataclasses import replace

import pytest
import tifffile
from helpers.conversions import SETTINGS, em, invoke
from helpers.processes import wkconvert

from wkconvert_core import BrokenSource
from wkconvert_core.conversion.execute import convert

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")


def put_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


KINDS = {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}
SLICES = {**KINDS, "socket": put_socket}


def stack(folder):
    folder.mkdir()
    for z in range(4):
        tifffile.imwrite(folder / f"{z:04d}.tif", em((40, 40, 1), seed=z)[0, :, :, 0].T)


def refused(*args, names):
    ended = wkconvert(*args)
    assert ended.returncode == 1, ended.stderr
    assert names in ended.stderr.replace("\n", "")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", ["src", "a.tif", "a_4x4x4_uint8.raw", "a.nii.gz", "a.dm3", "a.png"])
def test_a_source(tmp_path, kind, name):
    KINDS[kind](tmp_path / name)
    refused("info", tmp_path / name, names=name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLICES)
@pytest.mark.parametrize("place", ["0000.tif", "0002.tif", "0004.tif"])
def test_a_slice_is_missed_wherever_it_should_be(tmp_path, monkeypatch, kind, place):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    stack(tmp_path / "src")
    (tmp_path / "src" / place).unlink(missing_ok=True)
    SLICES[kind](tmp_path / "src" / place if kind != "socket" else f"src/{place}")
    refused("auto", "src", "ds", "--voxel-size", "4,4,4", names=place)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    "place",
    ["color/1/header.wkw", "color/1/z0/y0/x0.wkw", ".wkconvert/color.auto.shards", "datasource-properties.json"],
)
@pytest.mark.parametrize("command", ["verify", "downsample", "recube"])
def test_a_part_of_a_dataset(tmp_path, reader, kind, place, command):
    convert(reader(tmp_path / "src", em()), tmp_path / "ds", SETTINGS)
    shutil.rmtree(tmp_path / "ds/color/2-2-1", ignore_errors=True)
    (tmp_path / "ds" / place).unlink()
    KINDS[kind](tmp_path / "ds" / place)
    ended = wkconvert(command, tmp_path / "ds", *([tmp_path / "out"] if command == "recube" else []))
    assert "Traceback" not in ended.stderr, ended.stderr
    if not place.endswith(".shards"):
        assert ended.returncode == 1


COMMANDS = ["verify", "downsample", "recube", "compress", "export-tiff", "preview", "auto", "check-equality"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "lost link", "pipe", "folder that is a lost link"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_shard_of_a_dataset_without_records_is_no_zeros(tmp_path, reader, kind, command):
    convert(reader(tmp_path / "src", em()), tmp_path / "ds", replace(SETTINGS, compression="none", downsample=False))
    shutil.rmtree(tmp_path / "ds/.wkconvert")
    place = tmp_path / "ds/color/1/z0" / ("y0" if kind.startswith("folder that") else "y0/x0.wkw")
    place.rename(tmp_path / "kept")
    {"folder": os.mkdir, "pipe": os.mkfifo}.get(kind, lambda path: path.symlink_to("nowhere"))(place)
    targets = {"preview": ["--output", tmp_path / "a.png"], "check-equality": [tmp_path / "ds"]}
    target = [] if command in ("verify", "downsample") else targets.get(command, [tmp_path / "out"])
    if command == "verify":
        result = invoke(command, tmp_path / "ds")
        assert (result.exit_code, str(place) in result.output.replace("\n", "")) == (1, True)
    else:
        with pytest.raises(BrokenSource) as caught:
            invoke(command, tmp_path / "ds", *target)
        assert caught.value.what.startswith(f"{place} ")
