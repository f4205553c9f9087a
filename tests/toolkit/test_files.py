"""What lies in a folder, whether a source is still the same, and how faults are worded."""

import os
import zlib
from contextlib import suppress

import pytest
from helpers.faults import failing

from wkconvert_core import BrokenSource, SourceNotFound, UnsupportedSource
from wkconvert_core.toolkit.files import (
    entries,
    exists,
    files_below,
    is_file,
    is_folder,
    is_link,
    listed,
    open_file,
    raw_file,
    reading,
    state_of,
)
from wkconvert_core.toolkit.folders import Listing, digest, fingerprint, first_of_stack, list_folder

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def test_a_folder_is_listed_by_kind_in_natural_order_without_litter(tmp_path):
    touch(tmp_path, "s10.tif", "s2.TIF", "s1.tiff", ".hidden.tif", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt")
    (tmp_path / "b.tif").mkdir()
    (tmp_path / ".git").mkdir()
    listing = list_folder(tmp_path, (".tif", ".tiff"))
    assert listing == Listing(("s1.tiff", "s2.TIF", "s10.tif"), ("notes.txt",), ("b.tif",))
    assert listing == list_folder(str(tmp_path), (".tif", ".tiff"))
    assert listing.notes == ["other files ignored: notes.txt", "folders ignored: b.tif"]


def test_links_count_as_what_they_lead_to_and_lost_ones_as_files(tmp_path):
    touch(tmp_path, "a.tif")
    (tmp_path / "deep").mkdir()
    for name, target in {"b.tif": "a.tif", "c": "deep", "d.tif": "nowhere", "e.tif": "f.tif", "f.tif": "e.tif"}.items():
        (tmp_path / name).symlink_to(target)
    assert list_folder(tmp_path, (".tif",)) == Listing(("a.tif", "b.tif", "d.tif", "e.tif", "f.tif"), (), ("c", "deep"))
    assert [entry.name for entry in entries(tmp_path) if entry.is_link] == ["b.tif", "c", "d.tif", "e.tif", "f.tif"]


@needs_pipes
def test_a_pipe_or_a_folder_in_the_place_of_a_slice_is_one_that_cannot_be_read(tmp_path):
    touch(tmp_path, "s1.tif", "s2.tif", "notes.txt")
    os.mkfifo(tmp_path / "s3.tif")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "s4.tif").mkdir()
    (tmp_path / "labels.tif").mkdir()
    assert list_folder(tmp_path, (".tif",)) == Listing(
        ("s1.tif", "s2.tif", "s3.tif", "s4.tif"), ("notes.txt", "pipe"), ("labels.tif",)
    )


@needs_pipes
@pytest.mark.parametrize("opened", [open_file, raw_file])
def test_only_files_are_opened(tmp_path, opened):
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "link").symlink_to("a")
    with opened(str(tmp_path / "link")) as file:
        assert file.read() == b"123"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe or a device, no file"):
        opened(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe or a device, no file"):
        opened("/dev/zero")
    with pytest.raises(IsADirectoryError):
        opened(tmp_path)


def test_what_there_is(tmp_path):
    touch(tmp_path, "a")
    for name, target in {"to a": "a", "lost": "gone", "one": "two", "two": "one"}.items():
        (tmp_path / name).symlink_to(target)
    asked = {name: tmp_path / name for name in ("a", "to a", "lost", "one", "a/b", "c" * 999, "nul\0")}
    asked["."] = tmp_path
    assert {name for name in asked if exists(asked[name])} == {"a", "to a", "."}
    assert {name for name in asked if is_file(asked[name])} == {"a", "to a"}
    assert {name for name in asked if is_folder(asked[name])} == {"."}
    assert {name for name in asked if is_link(asked[name])} == {"to a", "lost", "one"}
    assert listed(tmp_path, "[ao]*") == [tmp_path / "a", tmp_path / "one"]
    assert listed(tmp_path / "a") == listed(tmp_path / "gone") == list(files_below(tmp_path / "a")) == []
    assert list(files_below(tmp_path)) == [tmp_path / "a", tmp_path / "to a"]


@pytest.mark.parametrize(
    "ask",
    [
        *(exists, is_file, is_folder, is_link, listed, entries, fingerprint),
        lambda path: list(files_below(path)),
        lambda path: fingerprint(path.parent),
        lambda path: first_of_stack(path, (".tif",)),
    ],
)
def test_what_the_system_cannot_say_is_never_a_no(tmp_path, ask):
    (tmp_path / "folder").mkdir()
    touch(tmp_path / "folder", "a.tif")
    number, refused = 1, 0
    while True:
        with failing(number, tmp_path / "folder", ("scandir", "listdir", "stat")) as struck, suppress(BrokenSource):
            ask(tmp_path / "folder")
            assert not struck, "answered all the same"
        if not struck:
            break
        number, refused = number + 1, refused + 1
    assert refused


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceNotFound, match=r"gone cannot be read\. No such file"):
        list_folder(tmp_path / "gone", ())
    touch(tmp_path, "file")
    with pytest.raises(BrokenSource, match=r"file cannot be read\. Not a directory"):
        entries(tmp_path / "file")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (FileNotFoundError(2, "No such file"), SourceNotFound, "a cannot be read. No such file. check that"),
        (PermissionError(13, "Permission denied"), BrokenSource, "a cannot be read. Permission denied. check that"),
        (OSError("no picture"), BrokenSource, "a is damaged. it cannot be decoded: no picture. write or copy"),
        (EOFError("it ends at byte 9"), BrokenSource, "a is cut short. it ends at byte 9. write or copy"),
        (EOFError(), BrokenSource, "a is cut short. its data end too early. write or copy"),
        (zlib.error("Error -3"), BrokenSource, "a is damaged. it cannot be decoded: Error -3. write or copy"),
        (KeyError(), BrokenSource, "a is damaged. it cannot be decoded: KeyError. write or copy"),
    ],
)
def test_whatever_fails_names_the_file_and_says_what_to_do(error, kind, text):
    with pytest.raises(kind) as caught, reading("a", zlib.error, LookupError):
        raise error
    assert str(caught.value).startswith(text)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [SourceNotFound("a"), UnsupportedSource("b"), ValueError("a bug"), zlib.error("c")])
def test_errors_of_ours_and_of_the_program_pass(error):
    with pytest.raises(type(error)) as caught, reading("a"):
        raise error
    assert caught.value is error


def test_a_digest_tells_names_sizes_times_and_order_apart():
    a, b = ("a", (1, 2)), ("b", (3, 4))
    seen = [
        digest(files) for files in ([a, b], [b, a], [a], [("c", (1, 2)), b], [("a", (2, 2)), b], [("a", (1, 3)), b])
    ]
    assert len(set(seen)) == 6
    assert digest(iter([a, b])) == seen[0]


def test_the_state_of_a_file_is_its_size_and_time(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    os.utime(tmp_path / "a", ns=(5, 7))
    assert state_of(tmp_path / "a") == state_of(str(tmp_path / "a")) == (3, 7)
    with pytest.raises(SourceNotFound, match="b cannot be read"):
        state_of(tmp_path / "b")


def test_the_fingerprint_changes_with_names_sizes_and_times(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    file = source / "deep" / "a.tif"
    file.write_bytes(b"1")
    os.utime(file, (1, 1))
    seen = {fingerprint(source)}
    assert fingerprint(source) in seen
    file.write_bytes(b"12")
    os.utime(file, (1, 1))
    seen.add(fingerprint(source))
    os.utime(file, (2, 2))
    seen.add(fingerprint(source))
    file.rename(source / "deep" / "b.tif")
    seen.add(fingerprint(source))
    assert len(seen) == 4
    assert fingerprint(source / "deep" / "b.tif") == fingerprint(source / "deep" / "b.tif")


def test_the_fingerprint_of_a_file_without_a_suffix_changes_with_it(tmp_path):
    touch(tmp_path, "volume", "volume.txt")
    seen = {fingerprint(tmp_path / "volume")}
    (tmp_path / "volume").write_bytes(b"1")
    seen.add(fingerprint(tmp_path / "volume"))
    (tmp_path / "volume.txt").write_bytes(b"1")
    assert len({*seen, fingerprint(tmp_path / "volume")}) == 3


def test_the_fingerprint_of_a_header_covers_the_files_beside_it(tmp_path):
    touch(tmp_path, "brain.hdr", "brain.img", "other.img")
    before = fingerprint(tmp_path / "brain.hdr")
    (tmp_path / "other.img").write_bytes(b"1")
    assert fingerprint(tmp_path / "brain.hdr") == before
    (tmp_path / "brain.img").write_bytes(b"1")
    assert fingerprint(tmp_path / "brain.hdr") != before
