"""Arrays at URLs: over HTTP and from S3, whole, economical, and with servers that fail."""

import os
import pickle
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.conversions import read
from helpers.datasets import run
from images import array, attributes, coarser, n5, ome, precomputed, put, zarr, zyx
from servers import served, uploaded
from test_reading_plain import zipped

from wkconvert_core import Box, BrokenSource, SourceNotFound, UnsupportedSource, VoxelSize, WkconvertError
from wkconvert_core.api import Settings, convert
from wkconvert_core.testing import noise
from wkconvert_zarr import arrays, places, wkconvert_open

pytestmark = pytest.mark.slow  # servers

VOXELS = noise(40, 36, 34, dtype="uint16", zeros=False)  # x, y, z
LEVELS = [zyx(VOXELS), coarser(zyx(VOXELS), (2, 2, 2))]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Retry for a moment instead of half a minute; forget contexts and arrays of other tests."""
    monkeypatch.setattr(arrays, "_RETRIES", {"max_retries": 3, "initial_delay": "5ms", "max_delay": "20ms"})
    arrays._thread.__dict__.clear()
    yield
    arrays._thread.__dict__.clear()


@pytest.fixture
def server(tmp_path):
    with served(tmp_path) as found:
        yield found


def layers(url, **options):
    return wkconvert_open("zarr", url, {name: str(value) for name, value in options.items()})


def whole(layer):
    return layer.source.read(layer.source.info.box)


def n5_pyramid(path):
    put(path / "attributes.json", {"n5": "2.5.0"})
    for number in (0, 1):
        n5(path / f"s{number}", coarser(VOXELS, (2**number,) * 3))


KINDS = {
    "OME-Zarr 0.5": lambda to: ome(to / "em", LEVELS, shards=(32, 32, 32), chunks=(16, 16, 16)),
    "OME-Zarr 0.4": lambda to: ome(to / "em", LEVELS, version="0.4"),
    "zipped": lambda to: zipped(ome(to / "folder", LEVELS), to / "em.ozx"),
    "zipped in a folder": lambda to: zipped(ome(to / "folder", LEVELS, version="0.4"), to / "em.zip", "em.zarr/"),
    "Zarr 3": lambda to: array(to / "em", LEVELS[0]),
    "Zarr 2": lambda to: array(to / "em", LEVELS[0], version=2),
    "N5": lambda to: n5(to / "em", VOXELS),
    "N5 pyramid": lambda to: [
        put(to / "em/attributes.json", {"n5": "2"}),
        n5(to / "em/s0", VOXELS),
        n5(to / "em/s1", coarser(VOXELS, (2, 2, 2))),
    ],
    "precomputed": lambda to: precomputed(to / "em", [VOXELS[..., None], coarser(VOXELS[..., None], (2, 2, 1, 1))]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_read_over_http(tmp_path, server, kind):
    KINDS[kind](tmp_path)
    name = "em.ozx" if kind == "zipped" else "em.zip" if "zipped" in kind else "em"
    (layer,) = layers(f"{server.url}/{name}")
    assert np.array_equal(whole(layer)[0], VOXELS)
    assert len(layer.mags) == (1 if kind in ("Zarr 3", "Zarr 2", "N5") else 2)
    copy = pickle.loads(pickle.dumps(layer.source))
    assert copy == layer.source
    assert np.array_equal(copy.read(Box((3, 4, 5), (20, 20, 20)))[0], VOXELS[3:23, 4:24, 5:25])


def test_a_url_is_converted_with_each_chunk_fetched_once(tmp_path, server):
    ome(tmp_path / "em", LEVELS, chunks=(8, 8, 8), shards=(32, 32, 32))
    convert(f"{server.url}/em", tmp_path / "ds", Settings(jobs=2, category="color"))
    assert np.array_equal(read(tmp_path / "ds")[0], VOXELS)
    assert np.array_equal(read(tmp_path / "ds", mag="2")[0], VOXELS[::2, ::2, ::2]), "its own level, not a median"
    parts = [part for path, part in server.seen if "/s0/c/" in path and part and not part.startswith("bytes=-")]
    fetched = sum(int(last) - int(first) + 1 for first, last in (part[6:].split("-") for part in parts))
    stored = sum(file.stat().st_size for file in (tmp_path / "em" / "s0" / "c").rglob("*") if file.is_file())
    assert fetched <= stored


ASKED = {
    "OME-Zarr 0.5": ["zarr.json", "labels/zarr.json", "s0/zarr.json", "s1/zarr.json"],
    "OME-Zarr 0.4": [
        *("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"),
        *("labels/.zarray", "labels/.zattrs", "labels/.zgroup", "s0/.zarray", "s1/.zarray"),
    ],
    "N5": ["zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json"],
    "precomputed": ["zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json", "info"],
}


@pytest.mark.parametrize("kind", ASKED)
def test_opening_asks_for_no_more_than_tells_and_reading_for_none_of_it_again(tmp_path, server, kind):
    KINDS[kind](tmp_path)
    server.fault = lambda path, number: 0.1
    begin = time.monotonic()
    (layer,) = layers(f"{server.url}/em")
    assert time.monotonic() - begin < 1.5, "documents are asked for at once, and so are levels"
    asked = [path.removeprefix("/em/") for path, _ in server.seen]
    assert sorted(set(asked)) == sorted(ASKED[kind])
    assert len(asked) == len(set(asked)) or kind == "precomputed", "whose scales tensorstore opens by that one document"
    del server.seen[:]
    layer.source.read(Box((0, 0, 0), (1, 1, 1)))
    assert server.seen
    assert not {path.removeprefix("/em/") for path, _ in server.seen} & {*ASKED[kind]}, "its metadata are known"


def test_info_asks_for_nothing_twice(tmp_path, server):
    ome(tmp_path / "a", [voxels.astype("uint8") for voxels in LEVELS], chunks=(64, 64, 64))
    assert "40 x 36 x 34 uint8" in run("info", f"{server.url}/a")
    assert sorted(path for path, _ in server.seen) == [
        *("/a/labels/zarr.json", "/a/s0/c/0/0/0", "/a/s0/zarr.json", "/a/s1/zarr.json", "/a/zarr.json")
    ]


def test_consolidated_metadata_tell_of_groups_and_an_arrays_own_description_counts(tmp_path, server):
    ome(tmp_path / "em", LEVELS)
    labels = noise(40, 36, 34, dtype="uint32")
    ome(tmp_path / "em/labels/cells", [zyx(labels)], more={"image-label": {}})
    attributes(tmp_path / "em/labels", {"labels": ["cells"]}, "0.5")
    with warnings.catch_warnings(action="ignore"):
        zarr.consolidate_metadata(tmp_path / "em")
    array(tmp_path / "em/labels/cells/s0", zyx(labels)[:30], overwrite=True)  # none tells the group
    image, cells = layers(f"{server.url}/em")
    assert np.array_equal(whole(image)[0], VOXELS)
    assert (cells.category, cells.source.info.shape) == ("segmentation", (40, 36, 30))
    documents = [path for path, _ in server.seen if "/c/" not in path]
    assert sorted(documents) == [f"/em/{name}zarr.json" for name in ("labels/cells/s0/", "s0/", "s1/", "")]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_server_that_denies_what_is_not_there_is_read(tmp_path, server, version):
    ome(tmp_path / "em", LEVELS, version=version)
    server.fault = lambda path, number: None if (tmp_path / path[1:]).is_file() else 403
    (layer,) = layers(f"{server.url}/em")
    assert [*layer.mags] == [(1, 1, 1), (2, 2, 2)]


def test_a_group_is_listed_by_its_consolidated_metadata(tmp_path, server):
    for version in (2, 3):
        path = tmp_path / f"all{version}"
        zarr.create_group(path, zarr_format=version)
        array(path / "raw", LEVELS[0], version=version)
        with pytest.raises(UnsupportedSource, match="is a group whose arrays cannot be listed") as caught:
            layers(f"{server.url}/all{version}")
        assert "-o image=PATH" in caught.value.fix
        (layer,) = layers(f"{server.url}/all{version}", image="raw")
        assert np.array_equal(whole(layer)[0], VOXELS)
        with warnings.catch_warnings(action="ignore"):  # of Zarr 3 it is no part of the standard yet
            zarr.consolidate_metadata(path, zarr_format=version)
        (layer,) = layers(f"{server.url}/all{version}")
        assert np.array_equal(whole(layer)[0], VOXELS)


# --- servers that fail -----------------------------------------------------------------------------------------------


def test_what_is_not_there_is_an_error_that_lists_what_was_looked_for(tmp_path, server):
    with pytest.raises(SourceNotFound, match="/nowhere holds no array") as caught:
        layers(f"{server.url}/nowhere")
    assert "zarr.json, .zarray" in caught.value.why
    server.fault = lambda path, number: 403
    with pytest.raises(BrokenSource, match="may not be read") as caught:
        layers(f"{server.url}/nowhere")
    assert "403" in caught.value.why
    assert "AWS_PROFILE" in caught.value.fix


def test_errors_do_not_show_the_query_of_a_url_which_may_be_a_key(tmp_path, server):
    array(tmp_path / "em", LEVELS[0])
    (layer,) = layers(f"{server.url}/em?key=secret")
    assert all(path.endswith("?key=secret") for path, _ in server.seen)
    server.fault = lambda path, number: 503
    for call in (lambda: whole(layer), lambda: layers(f"{server.url}/em?key=secret")):
        with pytest.raises(BrokenSource, match="/em") as caught:
            call()
        assert "secret" not in str(caught.value)


def test_a_page_instead_of_a_document_is_none(tmp_path, server):
    array(tmp_path / "em", LEVELS[0])
    (tmp_path / "em" / "info").write_text("<!DOCTYPE html><html>Welcome</html>")
    (layer,) = layers(f"{server.url}/em")
    assert np.array_equal(whole(layer)[0], VOXELS)


@pytest.mark.parametrize("fault", [503, 429, 500, "cut"])
def test_faults_that_pass_are_tried_again(tmp_path, server, fault, monkeypatch):
    array(tmp_path / "em", LEVELS[0])
    monkeypatch.setitem(arrays._RETRIES, "max_retries", 20)  # the fourth request may be the same one's several times
    server.fault = lambda path, number: fault if number % 4 == 0 else None
    (layer,) = layers(f"{server.url}/em")
    assert np.array_equal(whole(layer)[0], VOXELS)


@pytest.mark.parametrize(
    ("fault", "told", "what"),
    [
        (503, "503", "cannot be reached"),
        (403, "403", "may not be read"),
        (400, "400", "cannot be read"),
        ("cut", "partial file", "cannot be reached"),
    ],
)
def test_chunks_that_cannot_be_fetched_are_errors_and_never_zeros(tmp_path, server, fault, told, what):
    array(tmp_path / "em", LEVELS[0])
    (layer,) = layers(f"{server.url}/em")
    server.fault = lambda path, number: fault if "/c/1/1" in path else None
    with pytest.raises(BrokenSource, match=what) as caught:
        whole(layer)
    assert told in caught.value.why
    assert "tensorstore_spec" not in str(caught.value)
    assert "<html>" not in str(caught.value)
    server.fault = None
    assert np.array_equal(whole(layer)[0], VOXELS)


def test_a_server_that_is_gone_is_an_error(tmp_path):
    with served(tmp_path) as server:
        url = f"{server.url}/em"
    with pytest.raises(BrokenSource, match="cannot be reached") as caught:
        layers(url)
    assert "repeat the command" in caught.value.fix


def test_an_array_that_changes_while_it_is_read_is_noticed(tmp_path, server):
    array(tmp_path / "em", LEVELS[0])
    (layer,) = layers(f"{server.url}/em")
    zarr.create_array(tmp_path / "em", shape=(9, 9, 9), chunks=(9, 9, 9), dtype="uint16", overwrite=True)
    with ThreadPoolExecutor(1) as worker, pytest.raises(BrokenSource, match="has changed since it was opened"):
        worker.submit(whole, layer).result()


@pytest.mark.slow
def test_a_server_that_goes_silent_is_given_up(tmp_path, server):
    """In a process of its own, because tensorstore takes the limit when it is imported."""
    import subprocess
    import sys

    array(tmp_path / "em", LEVELS[0])
    server.fault = lambda path, number: 60.0
    code = (
        "from wkconvert_zarr import arrays, places, wkconvert_open\n"
        "arrays._RETRIES, arrays._SILENCE = {'max_retries': 1, 'initial_delay': '10ms', 'max_delay': '10ms'}, 1\n"
        f"wkconvert_open('zarr', '{server.url}/em', {{}})"
    )
    env = {name: text for name, text in os.environ.items() if not name.startswith("TENSORSTORE")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=env)
    assert "cannot be reached" in done.stderr
    assert "too slow" in done.stderr


# --- S3 --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """An S3 server with a public bucket and a private one."""
    moto = pytest.importorskip("moto.server", reason="moto plays S3")
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    folder = tmp_path_factory.mktemp("s3")
    ome(folder / "em.zarr", LEVELS, version="0.4")
    precomputed(folder / "seg", [VOXELS[..., None].astype("uint32")], kind="segmentation")
    zipped(folder / "em.zarr", folder / "em.ozx")
    uploaded(folder, client, "public", public=True)
    uploaded(folder, client, "private", public=False)
    yield url
    server.stop()


@pytest.fixture
def aws(s3, monkeypatch, tmp_path):
    """An environment with nothing of AWS but the endpoint."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    return monkeypatch


@pytest.mark.slow  # moto takes its time to start
@pytest.mark.parametrize("name", ["em.zarr", "em.zarr/s0", "em.ozx", "seg"])
def test_public_buckets_need_no_credentials(aws, name):
    (layer,) = layers(f"s3://public/{name}")
    assert np.array_equal(whole(layer)[0], VOXELS)


@pytest.mark.slow  # moto takes its time to start
def test_private_buckets_take_keys_and_profiles_from_the_environment(aws, tmp_path):
    with pytest.raises(BrokenSource, match=r"s3://private/em\.zarr.* may not be read") as caught:
        layers("s3://private/em.zarr")
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix
    aws.setenv("AWS_ACCESS_KEY_ID", "a")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "b")
    (layer,) = layers("s3://private/em.zarr")
    assert np.array_equal(whole(layer)[0], VOXELS)
    arrays._thread.__dict__.clear()
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "keys").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    (layer,) = layers("s3://private/em.zarr")
    assert np.array_equal(whole(layer)[0], VOXELS)


@pytest.mark.slow  # moto takes its time to start
def test_a_bucket_or_key_that_is_not_there_is_an_error(aws):
    with pytest.raises(SourceNotFound, match="s3://public/other holds no array"):
        layers("s3://public/other")
    with pytest.raises(WkconvertError, match="s3://nobody/em"):
        layers("s3://nobody/em")


@pytest.mark.slow  # moto takes its time to start
def test_s3_is_converted(aws, tmp_path):
    convert("s3://public/em.zarr", tmp_path / "ds", Settings(VoxelSize((4, 4, 4)), jobs=2, category="color"))
    assert np.array_equal(read(tmp_path / "ds")[0], VOXELS)


def test_credentials_are_looked_for_where_the_tools_of_aws_do(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places._credentials() == {"type": "anonymous"}
    (tmp_path / "vendor").write_text("Amazon EC2\n")
    monkeypatch.setattr(places, "_VENDOR", tmp_path / "vendor")
    assert places._credentials() == {"type": "default", "profile": "default"}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile work]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    found = places._credentials()
    assert (found["type"], found["profile"]) == ("profile", "work")
    assert (found["credentials_file"], found["config_file"]) == (os.devnull, str(tmp_path / ".aws" / "config"))
    (tmp_path / ".aws" / "config").write_text("no config")
    assert places._credentials() == {"type": "default", "profile": "work"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    assert places._credentials() == {"type": "environment"}


@pytest.mark.slow
def test_public_buckets_of_google_need_no_credentials(tmp_path, server, monkeypatch):
    ome(tmp_path / "bucket" / "a" / "em.zarr", LEVELS)
    monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", server.url)
    (layer,) = layers("gs://bucket/a/em.zarr")
    assert np.array_equal(whole(layer)[0], VOXELS)
    server.fault = lambda path, number: 403
    with pytest.raises(BrokenSource, match=r"gs://bucket/a/em\.zarr/.* may not be read") as caught:
        layers("gs://bucket/a/em.zarr")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.fix
