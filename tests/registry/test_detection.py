"""Which reader takes a path, and what is said when none or several do."""

import os
import types
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.conversions import dataset_of

from wkconvert_core import (
    Confidence,
    Layer,
    Mag,
    Match,
    SourceNotFound,
    UnsupportedSource,
    VolumeInfo,
    VoxelSize,
    WarningNote,
    hookimpl,
)
from wkconvert_core.api import Settings, convert
from wkconvert_core.commands.info import describe
from wkconvert_core.contract.errors import AmbiguousFormat, BrokenSource, OptionError, TargetExists, UnknownFormat
from wkconvert_core.registry.answers import ask, read_head
from wkconvert_core.registry.detection import find, open_layers
from wkconvert_core.registry.plugins import Plugins, plugins


def plugin(name, confidence=None, error=None):
    """A plugin that claims every path, none, or fails."""

    @hookimpl
    def wkconvert_detect(path, head):
        if error:
            raise error
        return Match(name, confidence, f"{name} says so") if confidence else None

    return types.SimpleNamespace(wkconvert_detect=wkconvert_detect, FORMATS={name: "a test"}, __name__=name)


@pytest.fixture
def loaded():
    """Core's own plugins and those that a test adds."""

    with ExitStack() as stack:

        def make(*added):
            result = Plugins(iter(()))
            for item in added:
                stack.enter_context(result.register(item))
            return result

        yield make


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_bytes(b"content")
    return path


def test_the_surest_reader_wins(file, loaded):
    found = find(file, loaded(plugin("sure", Confidence.EXACT), plugin("guess", Confidence.SUFFIX)))
    assert [(item.match.format, item.layer) for item in found] == [("sure", None)]


def test_a_tie_names_the_rivals_and_the_way_out(file, loaded):
    tied = loaded(plugin("one", Confidence.CONTENT), plugin("two", Confidence.CONTENT))
    with pytest.raises(AmbiguousFormat, match=r"one \(one says so\)") as caught:
        find(file, tied)
    assert "--reader one or --reader two" in caught.value.fix
    assert find(file, tied, reader="two")[0].match.format == "two"


def test_a_reader_that_fails_to_detect_does_not_stop_the_others(file, loaded):
    several = loaded(plugin("bad", error=RuntimeError("oops")), plugin("good", Confidence.SUFFIX))
    assert find(file, several)[0].match.format == "good"
    assert "failed: RuntimeError: oops" in {answer.error for answer in ask(file, several, head=b"content")}


def test_into_a_dataset_looks_nobody_but_cores_own_reader(tmp_path, loaded):
    curious = loaded(plugin("curious", error=RuntimeError("it looked")))
    assert "failed: RuntimeError: it looked" in [answer.error for answer in ask(tmp_path, curious)]
    dataset_of(tmp_path / "ds", np.ones((4, 4, 4), "uint8"))
    assert [answer.plugin for answer in ask(tmp_path / "ds", curious)] == ["webknossos"]


def test_an_unknown_reader_is_refused_with_the_known_ones(file, loaded):
    with pytest.raises(OptionError, match="no reader is called 'x'") as caught:
        find(file, loaded(plugin("one")), reader="x")
    assert "one, raw, webknossos" in caught.value.fix


def test_nothing_at_the_path(tmp_path, loaded):
    with pytest.raises(SourceNotFound, match="does not exist"):
        find(tmp_path / "nothing", loaded())


def test_an_empty_file(tmp_path, loaded):
    (tmp_path / "a.tif").touch()
    with pytest.raises(BrokenSource, match=r"a\.tif is empty"):
        find(tmp_path / "a.tif", loaded())


def test_an_empty_folder(tmp_path, loaded):
    with pytest.raises(UnknownFormat, match="the folder is empty"):
        find(tmp_path, loaded())


def test_a_folder_of_text(tmp_path):
    for number in range(7):
        (tmp_path / f"notes{number}.txt").write_text("hello")
    with pytest.raises(UnknownFormat, match=r"notes0\.txt.* and 2 more"):
        find(tmp_path, plugins())


def test_what_to_install_is_said(tmp_path, loaded):
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(UnknownFormat) as caught:
        find(tmp_path, loaded())
    assert 'pip install "wkconvert[tiff]"' in caught.value.fix


def test_a_file_that_cannot_be_read(file, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(BrokenSource, match=r"cannot be read\. Permission denied"):
        read_head(file)


def test_folders_below_are_layers_in_natural_order(tmp_path, reader):
    for name in ("s10", "s2", ".hidden"):
        reader(tmp_path / "src" / name, np.zeros((1, 4, 4, 4), "uint8"))
    (tmp_path / "src" / "readme.txt").write_text("hello")
    (tmp_path / "src" / "empty").mkdir()
    assert [item.layer for item in find(tmp_path / "src", plugins())] == ["s2", "s10"]


def test_links_are_followed_once_and_never_out_of_the_source(tmp_path, reader):
    inside = reader(tmp_path / "src" / "a", np.zeros((1, 4, 4, 4), "uint8"))
    outside = reader(tmp_path / "elsewhere", np.zeros((1, 4, 4, 4), "uint8"))
    (tmp_path / "src" / "loop").symlink_to(tmp_path / "src", target_is_directory=True)
    (tmp_path / "src" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "src" / "out").symlink_to(outside, target_is_directory=True)
    (tmp_path / "src" / "again").symlink_to(inside, target_is_directory=True)
    (found,) = find(tmp_path / "src", plugins())
    assert found.layer == "a"
    assert [str(note) for note in found.notes if isinstance(note, WarningNote)] == [
        "left out of src, as links to folders are not followed (convert what they lead to by itself, with --add): "
        "again, loop, out, up"
    ]


def test_a_folder_of_nothing_but_links_is_refused_and_says_why(tmp_path, reader):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "em").symlink_to(reader(tmp_path / "em", np.zeros((1, 4, 4, 4), "uint8")))
    with pytest.raises(UnknownFormat, match=r"it holds em, which fit none .*; links to folders are not followed"):
        find(tmp_path / "src", plugins())


def test_a_name_that_is_not_utf8_is_found(tmp_path, reader):
    odd = tmp_path / "src" / os.fsdecode(b"\xff")
    reader(odd, np.zeros((1, 4, 4, 4), "uint8"))
    assert [item.path for item in find(tmp_path / "src", plugins())] == [odd]


def test_a_forced_reader_looks_into_layer_folders_too(tmp_path, reader):
    reader(tmp_path / "src" / "a", np.zeros((1, 4, 4, 4), "uint8"))
    assert [item.layer for item in find(tmp_path / "src", plugins(), reader="volumes")] == ["a"]


# --- URLs ------------------------------------------------------------------------------------------------------------

URL = "mem://store//em"


@dataclass(frozen=True)
class InMemory:
    """A volume that a plugin finds by a URL; each voxel tells its place."""

    url: str

    @property
    def info(self):
        return VolumeInfo((40, 30, 20), np.dtype("uint16"))

    def read(self, box):
        return np.arange(40 * 30 * 20, dtype="uint16").reshape(1, 40, 30, 20)[:, *box.slices_in(self.info.box)]


@pytest.fixture
def remote():
    """A reader of `mem://…`; the paths that its hooks were given."""
    seen = []

    @hookimpl
    def wkconvert_detect(path, head):
        seen.append((path, head))
        return Match("mem", Confidence.EXACT, "mem://") if str(path).startswith("mem://") else None

    @hookimpl
    def wkconvert_open(format, path):
        seen.append(path)
        return [Layer({Mag(1, 1, 1): InMemory(path)})] if format == "mem" else None

    hooks = {"wkconvert_detect": wkconvert_detect, "wkconvert_open": wkconvert_open}
    with plugins().register(types.SimpleNamespace(**hooks, FORMATS={"mem": "memory"}, __name__="mem")):
        yield seen


def test_a_url_reaches_the_reader_unharmed(tmp_path, remote):
    settings = Settings(VoxelSize((4, 4, 35)), downsample=False, layer_name="em", category="color")
    done = convert(URL, tmp_path / "ds", settings)
    assert remote[0] == (URL, b"")
    assert set(remote[1:]) == {URL}
    (voxels,) = describe(tmp_path / "ds").layers
    np.testing.assert_array_equal(voxels.mags[Mag(1, 1, 1)].read(voxels.info.box), InMemory(URL).read(voxels.info.box))
    assert done.shards == convert(URL, tmp_path / "ds", settings).resumed == 1
    with pytest.raises(TargetExists, match="from another source"):
        convert(URL + "2", tmp_path / "ds", settings)


def test_a_url_is_described(remote):
    described = describe(URL)
    assert (described.path, described.layers[0].found.path, described.stored) == (URL, URL, [])
    assert [answer.plugin for answer in described.answers if answer.match or answer.error] == ["mem"]


def test_a_url_that_no_reader_takes():
    with pytest.raises(UnknownFormat, match=r"no reader takes s3://bucket/em") as caught:
        find("s3://bucket/em", Plugins(iter(())))
    assert caught.value.why == "no installed reader takes such a URL"
    assert "wkconvert[zarr]" in caught.value.fix


@pytest.mark.parametrize("name", sorted(plugins().formats().keys() - {"vox", "zarr"}))
def test_readers_of_local_paths_decline_urls(name):
    url, known = "s3://bucket/em.tif", plugins()
    assert [answer.plugin for answer in ask(url, known) if answer.match or answer.error] == []
    (found,) = find(url, known, reader=name)
    with pytest.raises(UnsupportedSource, match=f"the reader {name} does not take {url}"):
        open_layers(found, known, {})


def test_a_link_that_leads_nowhere_is_told_beside_layers(tmp_path, loaded):
    (tmp_path / "src" / "em").mkdir(parents=True)
    np.save(tmp_path / "src" / "em" / "em.npy", np.zeros((4, 4, 4), "uint8"))
    (tmp_path / "src" / "labels").symlink_to(tmp_path / "unmounted")
    (tmp_path / "src" / "more.npy").touch()
    [found] = find(tmp_path / "src", loaded())
    assert found.layer == "em"
    assert "left out of src, as these links lead nowhere: labels" in found.notes
    assert "left out of src, as there is nothing in it: more.npy" in found.notes
