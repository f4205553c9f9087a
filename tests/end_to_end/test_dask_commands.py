"""Every command on a real dask scheduler: the same files and the same answers as on this machine."""

import re
import shutil
from types import SimpleNamespace

import pytest
from helpers.dask_clusters import cluster, dataset, different
from helpers.datasets import run
from typer.testing import CliRunner

from wkconvert_core.cli.app import app

__all__ = ["cluster"]  # a fixture

pytest.importorskip("distributed")
from wkconvert_core.cluster.dask_backend import DaskBackend

pytestmark = pytest.mark.slow

COMMANDS = {
    "cube": ("cube", "src", "out", "--file-len", "1"),
    "downsample": ("downsample", "src", "--file-len", "1", "--max-mag", "4"),
    "upsample": ("upsample", "coarse"),
    "compress": ("compress", "raw"),
    "compress a copy": ("compress", "raw", "out"),
    "recube": ("recube", "src", "out", "--file-len", "1", "--dtype", "uint16"),
    "metadata": ("metadata", "bare", "--voxel-size", "4,4,35", "--category", "segmentation", "--compute-max-id"),
    "verify": ("verify", "whole", "--deep", "--json"),
    "check-equality": ("check-equality", "whole", "raw", "--json"),
    "export-tiff": ("export-tiff", "src", "out"),
}
ENDS = {"check-equality": 1}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Datasets of one layer: as converted, with coarser mags, with only those, uncompressed, and without metadata."""
    folder = tmp_path_factory.mktemp("given")
    src = dataset(folder, (100, 90, 80))
    run("auto", src, folder / "coarse", "--target-mag", "2", "--max-mag", "2")
    shutil.copytree(src, folder / "whole")
    run("downsample", folder / "whole", "--max-mag", "4", "--interpolation-mode", "max")
    run("recube", src, folder / "raw", "--compression", "none")
    bare = shutil.copytree(src, folder / "bare")
    shutil.rmtree(bare / ".wkconvert")
    (bare / "datasource-properties.json").unlink()
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_does_the_same_on_a_cluster(tmp_path, given, cluster, name, monkeypatch):
    if name == "export-tiff":
        pytest.importorskip("tifffile")
    command, *options = COMMANDS[name]
    told, sent = [], []
    send = DaskBackend._send
    monkeypatch.setattr(DaskBackend, "_send", lambda self, *call: sent.append(call) or send(self, *call))
    for side, more in (("here", ("--distribution-strategy", "sequential")), ("there", cluster.options)):
        folder = shutil.copytree(given, tmp_path / "work")  # the same paths: they are recorded
        arguments = [folder / option if (folder / option).exists() or option == "out" else option for option in options]
        told.append(re.sub(r"\d+\.\d+ s|\"seconds\": .*", "", run(command, *arguments, *more, code=ENDS.get(name, 0))))
        folder.rename(tmp_path / side)
        assert bool(sent) == (side == "there")
    assert different(tmp_path / "here", tmp_path / "there") == []
    assert told[0] == told[1]
    assert different(tmp_path / "here", given) or name in ("verify", "check-equality"), "it did something"


def test_metadata_that_need_no_look_at_voxels_ask_for_no_worker(given, tmp_path, monkeypatch):
    folder = shutil.copytree(given / "whole", tmp_path / "ds")
    monkeypatch.setattr("wkconvert_core.commands.metadata.readers_at_work", None)
    run("metadata", folder, "--name", "other")
    run("metadata", folder, "--dry-run")
    with pytest.raises(TypeError):
        run("metadata", folder, "--compute-max-id", "--category", "segmentation")


def test_a_worker_without_a_recorded_kernel_is_refused(given, cluster, tmp_path, monkeypatch):
    here = SimpleNamespace(downsamplers=lambda: {"median": None, "ours": None})
    monkeypatch.setattr("wkconvert_core.commands.verify.plugins", lambda: here)
    whole = shutil.copytree(given / "whole", tmp_path / "ds")
    plan = next((whole / ".wkconvert").glob("*.downsample*.plan"))
    plan.write_text(plan.read_text().replace('"max"', '"ours"'))
    result = CliRunner().invoke(app, ["verify", str(whole), *cluster.options])
    assert result.exit_code == 1
    assert "kernel ours missing" in str(result.exception)
