"""Uploads to a double of the server; its files are compared with those on disk, byte by byte."""

import functools
import json
import ssl
import sys

import pytest
from helpers.conversions import SETTINGS, edited, random_voxels
from helpers.webknossos_server import server
from typer.testing import CliRunner

from wkconvert_core import OptionError, PluginError, SourceError, TargetError
from wkconvert_core.cli.app import app
from wkconvert_core.contract.errors import TargetExists
from wkconvert_core.conversion.execute import convert
from wkconvert_core.publishing import server as client
from wkconvert_core.publishing import upload as uploading
from wkconvert_core.publishing.upload import upload

pytest.importorskip("httpx")
CERTIFICATES = functools.cache(ssl.create_default_context)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Pieces of 20 kB, no waiting between tries, and the certificates of the system's authorities read only once."""
    monkeypatch.setattr(ssl, "create_default_context", CERTIFICATES)
    monkeypatch.setattr(uploading, "PIECE", 20_000)
    monkeypatch.setattr(client.time, "sleep", lambda seconds: None)
    monkeypatch.delenv("WK_TOKEN", raising=False)
    monkeypatch.delenv("WK_URL", raising=False)


def small(folder, reader):
    reader(folder / "src", random_voxels((70, 60, 40)))
    convert(folder / "src", folder / "ds", SETTINGS)


@pytest.fixture
def dataset(tmp_path, reader, put_copy):
    put_copy(small, tmp_path)
    return tmp_path / "ds"


def published(dataset):
    """The bytes of every file but those in `.wkconvert`."""
    names = (path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file())
    return {str(name): (dataset / name).read_bytes() for name in names if name.parts[0] != ".wkconvert"}


@pytest.mark.parametrize("versions", [(13, 16), (14, 14), (15, 99)])
def test_the_server_gets_every_byte_and_nothing_of_our_own(dataset, versions):
    heard = []
    with server(versions=versions) as taking:
        done = upload(dataset, taking.url + "/", "token", name="new", folder="some", listen=heard.append)
        assert taking.files() == published(dataset)
        (told,) = taking.told.values()
        assert done.address == f"{taking.url}/datasets/taken"
    assert (told["datasetName"], told["folderId"], told["organizationId"]) == ("new", "some", "a")
    assert done.sent_bytes == done.total_bytes == sum(map(len, published(dataset).values()))
    assert heard[-1].voxels == heard[-1].total == done.total_bytes
    assert not (dataset / ".wkconvert" / "upload").exists()


def test_what_was_sent_before_is_not_sent_again(dataset):
    with server(stop_after=2) as taking:
        with pytest.raises(TargetError, match="goes on from here"):
            upload(dataset, taking.url, "token")
        before = len(taking.pieces)
        assert before
        taking.stop_after = None
        taking.posted = 0
        done = upload(dataset, taking.url, "token")
        assert taking.files() == published(dataset)
        assert taking.posted == len(taking.pieces) - before
        assert len(taking.told) == 1
    assert 0 < done.sent_bytes < done.total_bytes


@pytest.mark.parametrize("change", ["name", "file", "forgotten"])
def test_another_upload_is_begun_where_that_one_cannot_go_on(dataset, change):
    with server(stop_after=2) as taking:
        with pytest.raises(TargetError):
            upload(dataset, taking.url, "token")
        taking.stop_after, taking.pieces = None, {}
        if change == "file":
            (dataset / "note.txt").write_text("more")
        if change == "forgotten":
            taking.told.clear()
        done = upload(dataset, taking.url, "token", name="other" if change == "name" else None)
        assert taking.files() == published(dataset)
        assert len(taking.told) == (1 if change == "forgotten" else 2)
    assert done.sent_bytes == done.total_bytes


@pytest.mark.slow
@pytest.mark.parametrize("codes", [[500, 503], [0], [429, 0, 502]])
@pytest.mark.parametrize("route", ["buildinfo", "reserveUpload", "upload/dataset", "finishUpload"])
def test_a_server_that_fails_now_and_then_is_asked_again(dataset, route, codes):
    with server(fail={route: list(codes)}) as taking:
        upload(dataset, taking.url, "token")
        assert taking.files() == published(dataset)
        assert taking.fail == {route: []}


def test_a_server_that_goes_on_failing_is_given_up(dataset):
    with server(fail={"finishUpload": [500] * 99}) as taking, pytest.raises(TargetError, match="500"):
        upload(dataset, taking.url, "token")
    with pytest.raises(TargetError, match="buildinfo"):
        upload(dataset, "http://127.0.0.1:9", "token")


def test_a_wrong_token_a_taken_name_and_another_server_are_told(dataset):
    with server() as taking:
        with pytest.raises(OptionError, match="refuses the token"):
            upload(dataset, taking.url, "wrong")
        with pytest.raises(TargetExists, match="called taken"):
            upload(dataset, taking.url, "token", name="taken")
        assert taking.told == {}
    with server(versions=(3, 9)) as taking, pytest.raises(TargetError, match="14 to 16"):
        upload(dataset, taking.url, "token")
    with pytest.raises(OptionError, match="WK_TOKEN"):
        upload(dataset)


@pytest.mark.parametrize("token", ["secret\nsecret", "sécret", "secret\x00"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(dataset, token):
    with server() as taking, pytest.raises(OptionError, match="the token is none") as caught:
        upload(dataset, taking.url, token)
    assert "cret" not in str(caught.value)


def test_a_token_may_end_with_a_line_feed(dataset):
    with server() as taking:
        upload(dataset, taking.url, "token\n")
        assert taking.files() == published(dataset)


@pytest.mark.parametrize("route", ["buildinfo", "reserveUpload", "upload/dataset", "finishUpload"])
def test_an_address_that_leads_elsewhere_is_told_and_nothing_counts_as_sent(dataset, route):
    with server(fail={route: [301] * 99}) as taking, pytest.raises(OptionError, match="leads elsewhere") as caught:
        upload(dataset, taking.url, "token")
    assert "301, to https://elsewhere" in caught.value.why
    assert not taking.pieces or route == "finishUpload"


def test_an_address_without_a_scheme_is_none(dataset):
    with pytest.raises(OptionError, match=r"webknossos\.org is no address"):
        upload(dataset, "webknossos.org", "token")


def test_links_empty_files_and_unfinished_datasets_are_refused_before_anything_is_sent(dataset, tmp_path):
    with server() as taking:
        (dataset / "color" / "empty").touch()
        with pytest.raises(SourceError, match="empty is empty"):
            upload(dataset, taking.url, "token")
        (dataset / "color" / "empty").unlink()
        (dataset / "color" / "elsewhere").symlink_to(tmp_path)
        with pytest.raises(SourceError, match="is a link"):
            upload(dataset, taking.url, "token")
        (dataset / "datasource-properties.json").unlink()
        with pytest.raises(SourceError, match=r"datasource-properties\.json is missing"):
            upload(dataset, taking.url, "token")
        assert taking.told == {}


def test_mags_outside_of_the_dataset_are_refused_before_anything_is_sent(dataset, tmp_path):
    (dataset / "color" / "1").rename(tmp_path / "elsewhere")
    with edited(dataset) as found:
        found["dataLayers"][0]["mags"][0]["path"] = "../elsewhere"
    with server() as taking:
        with pytest.raises(SourceError, match=r"lists the mag \.\./elsewhere, which lies outside") as caught:
            upload(dataset, taking.url, "token")
        assert "recube" in caught.value.fix
        assert taking.told == {}
        with edited(dataset) as found:
            found["dataLayers"][0]["mags"][0]["path"] = "https://example.org/elsewhere"
        upload(dataset, taking.url, "token")


def test_without_httpx_the_error_says_what_to_install(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(PluginError, match=r"wkconvert\[upload\]"):
        upload(dataset, "http://127.0.0.1:9", "token")


def test_the_commands(dataset, tmp_path, monkeypatch):
    run = CliRunner()
    with server() as taking:
        monkeypatch.setenv("WK_URL", taking.url)
        arguments = ["auto", str(tmp_path / "src"), str(tmp_path / "other"), "--voxel-size", "4", "--upload"]
        assert isinstance(run.invoke(app, arguments).exception, OptionError)  # no token: refused before the work
        assert not (tmp_path / "other").exists()
        monkeypatch.setenv("WK_TOKEN", "token")
        assert f"{taking.url}/datasets/taken" in run.invoke(app, arguments).output
        assert taking.files() == published(tmp_path / "other")
        taking.pieces.clear()
        document = json.loads(run.invoke(app, ["upload", str(dataset), "--name", "again", "--json"]).stdout)
        assert document["address"] == f"{taking.url}/datasets/taken"
        assert taking.files() == published(dataset)
