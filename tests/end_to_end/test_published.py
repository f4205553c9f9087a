"""What a dataset holds when it is published: nothing empty, nothing of the machine; the peer's client uploads it."""

import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from helpers import npy_volumes
from helpers.conversions import JOBS, SETTINGS, carry_out, em, files
from helpers.datasets import PEER, needs_peer
from helpers.webknossos_server import server

from wkconvert_core import Mag
from wkconvert_core.commands.compress import prepare as compress
from wkconvert_core.commands.downsample import prepare as downsample
from wkconvert_core.commands.metadata import Wanted, update
from wkconvert_core.commands.recube import prepare as recube
from wkconvert_core.commands.upsample import prepare as upsample
from wkconvert_core.commands.verify import verify
from wkconvert_core.conversion.execute import convert

HERE = "private-place-of-somebody"


@pytest.fixture
def source(tmp_path):
    """Three layers in a folder whose path is nobody's business; one of them holds nothing but zeros."""
    with npy_volumes.registered() as make:
        make(tmp_path / HERE / "src" / "em", em())
        make(tmp_path / HERE / "src" / "labels", em(dtype="uint32"))
        make(tmp_path / HERE / "src" / "nothing", np.zeros((1, 40, 30, 20), "uint8"))
        yield tmp_path / HERE / "src"


def assert_fit_to_publish(dataset):
    """No empty file, no temporary one, no link; no word of the machine, in whatever form it may be written."""
    machine = [part for part in dataset.parent.parts if len(part) > 3] + [HERE, "/home", "/root", "/tmp"]
    for name in files(dataset):
        path = dataset / name
        assert path.stat().st_size, f"{name} is empty"
        assert not path.is_symlink()
        assert not re.search(r"\.tmp$|\block$|\.journal$|\blogs/", name), name
        content = path.read_bytes()
        for word in machine:
            assert word.encode() not in content, f"{name} tells of {word}"
    assert [path for path in dataset.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


@pytest.mark.slow
def test_no_command_leaves_anything_empty_or_private(source, tmp_path):
    dataset = tmp_path / "ds"
    raw = replace(SETTINGS, compression="none", downsample=False)
    convert(source, dataset, raw)
    assert_fit_to_publish(dataset)
    for step in (
        lambda: carry_out(downsample(dataset, JOBS)),
        lambda: carry_out(compress(dataset, None, JOBS)),
        lambda: update(dataset, Wanted(name="another")),
        lambda: update(dataset, Wanted(refresh=True)),
        lambda: verify(dataset, JOBS, write_checksums=True),
    ):
        step()
        assert_fit_to_publish(dataset)
    carry_out(recube(dataset, tmp_path / "copy", JOBS))
    assert_fit_to_publish(tmp_path / "copy")
    convert(dataset, tmp_path / "again", JOBS)
    assert_fit_to_publish(tmp_path / "again")
    convert(source, dataset, replace(SETTINGS, overwrite=True))
    assert_fit_to_publish(dataset)
    coarse = replace(SETTINGS, target_mag=Mag(2, 2, 2), max_mag=2)
    convert(source / "em", tmp_path / "coarse", coarse)
    carry_out(upsample(tmp_path / "coarse", JOBS))
    assert_fit_to_publish(tmp_path / "coarse")
    carry_out(compress(dataset, tmp_path / "compressed", JOBS))
    assert_fit_to_publish(tmp_path / "compressed")


# --- the peer's client, and a double of the server -------------------------------------------------------------------

UPLOAD = """
import sys, webknossos as wk
from webknossos.client._upload_dataset import upload_dataset
from webknossos.client.context import webknossos_context
url, folder = sys.argv[1:]
with webknossos_context(url, "token"):
    print(upload_dataset(wk.Dataset.open(folder), "uploaded", datastore_url=url, jobs=2))
"""


def upload(url, dataset):
    command = [PEER, "-W", "ignore", "-c", UPLOAD, url, str(dataset)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@needs_peer
@pytest.mark.slow
def test_the_peers_client_uploads_the_whole_dataset(source, tmp_path):
    convert(source, tmp_path / "ds", SETTINGS)
    carry_out(compress(tmp_path / "ds", None, JOBS))
    with server() as taking:
        told = upload(taking.url, tmp_path / "ds")
        assert told.stdout.split()[-1:] == ["taken"], told.stderr[-2000:]
    assert {name for name, _ in taking.pieces} == files(tmp_path / "ds")


@needs_peer
@pytest.mark.slow
def test_the_double_refuses_what_the_server_refuses(source, tmp_path):
    convert(source / "em", tmp_path / "ds", SETTINGS)
    (tmp_path / "ds" / ".wkconvert" / "lock").touch()
    with server() as taking:
        assert "taken" not in upload(taking.url, tmp_path / "ds").stdout
