"""Upload a finished dataset. Behind `wkconvert upload`."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import OptionError, UnsupportedSource
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.naming import FOLDER, dataset_name
from wkconvert_core.datasets.properties import is_inside, mag_entries
from wkconvert_core.engine.progress import Listener, Progress
from wkconvert_core.publishing.server import Server, UploadGone
from wkconvert_core.toolkit.atomic import write_atomically
from wkconvert_core.toolkit.files import is_file, is_link, state_of, walk
from wkconvert_core.toolkit.folders import fingerprint

PIECE = 10 << 20
"""Bytes that are sent at a time."""
AT_ONCE = 4
"""Pieces that are on their way at the same time."""
STATE = "upload"
"""The file in `.wkconvert` that names the upload that was begun."""


@dataclass(frozen=True)
class Uploaded:
    """The result of `upload`."""

    dataset: Path
    address: str
    """Where the dataset is shown."""
    files: int
    sent_bytes: int
    total_bytes: int
    """More than what was sent, if an earlier run had sent some."""


def upload(
    dataset: Path,
    url: str | None = None,
    token: str | None = None,
    *,
    name: str | None = None,
    folder: str | None = None,
    listen: Listener | None = None,
) -> Uploaded:
    """Send a dataset to a server: all its files but those in `.wkconvert`. The same call again goes on with the rest.

    Mags that lie on servers are sent as their URLs. `url` and `token` default to the environment's WK_URL (else
    https://webknossos.org) and WK_TOKEN; `name` to the dataset's, `folder` (an id of the server's) to the server's
    default. Raises OptionError without a token, SourceError for a dataset that is not whole, TargetError for what the
    server says.
    """
    url, token = url or os.environ.get("WK_URL") or "https://webknossos.org", token or os.environ.get("WK_TOKEN")
    token = (token or "").strip()  # what a shell reads from a file ends with a line feed
    fix = f"set WK_TOKEN to what {url}/auth/token shows"
    if not token:
        raise OptionError("there is no token", why=f"{url} takes datasets of people it knows", fix=fix)
    if not (token.isascii() and token.isprintable()):
        raise OptionError("the token is none", why="it has other characters than those of ASCII", fix=fix)
    properties = Dataset.finished(dataset).properties
    assert properties, "a finished dataset has metadata"
    for place in (mag.get("path") for layer in properties["dataLayers"] for mag in mag_entries(layer)):
        if place and "://" not in place and not is_inside(dataset, place):
            raise UnsupportedSource(
                f"{dataset} lists the mag {place}, which lies outside of it",
                why="it would not be sent, and the server has no such folder",
                fix=f"upload a copy that is whole: wkconvert recube {dataset} COPY --follow",
            )
    name = dataset_name(name or properties["id"]["name"] or dataset.resolve().name)
    files = _files(dataset)
    sizes = sum(files.values())
    state = dataset / FOLDER / STATE
    with Server(url, token) as server:
        wanted = {"server": server.url, "name": name, "folder": folder, "files": fingerprint(dataset)}
        if begun := _begun(state, wanted):
            with suppress(UploadGone):  # the server has forgotten it: begin anew
                return _sent(dataset, files, server, begun, state, listen, is_begun=True)
        server.check_name(name)
        begun = str(uuid.uuid4())
        server.reserve(begun, name, len(files), sizes, folder)
        state.parent.mkdir(exist_ok=True)
        write_atomically(state, json.dumps({**wanted, "id": begun}).encode())
        return _sent(dataset, files, server, begun, state, listen, is_begun=False)


def _files(dataset: Path) -> dict[str, int]:
    """The sizes of the files of a dataset by their names within it, without `.wkconvert`.

    Raises UnsupportedSource for a link, which would be sent as what it leads to, and for an empty file, for which the
    server waits in vain; BrokenSource for a folder that cannot be listed.
    """
    found: dict[str, int] = {}
    for folder, folders, names in walk(dataset):
        folders[:] = sorted(each for each in folders if Path(folder, each) != dataset / FOLDER)
        for path in (Path(folder, each) for each in (*folders, *sorted(names))):
            if is_link(path):
                raise UnsupportedSource(f"{path} is a link", fix="upload a copy: `wkconvert recube`")
            if is_file(path):
                found[path.relative_to(dataset).as_posix()], _ = state_of(path)
    if empty := [name for name, size in found.items() if not size]:
        raise UnsupportedSource(f"{dataset / empty[0]} is empty", why="servers wait for it in vain", fix="remove it")
    return found


def _begun(state: Path, wanted: Mapping[str, str | None]) -> str | None:
    """The id of an upload of the same files to the same place that was begun and not ended."""
    with suppress(OSError, ValueError, RecursionError, AttributeError, KeyError):  # it may hold anything
        said = json.loads(state.read_bytes())
        if {name: said.get(name) for name in wanted} == wanted:
            return str(said["id"])
    return None


def _sent(
    dataset: Path,
    files: Mapping[str, int],
    server: Server,
    upload_id: str,
    state: Path,
    listen: Listener | None,
    *,
    is_begun: bool,
) -> Uploaded:
    """Send the pieces that the server lacks, and end the upload."""
    total, sent, done = sum(files.values()), 0, 0

    def send(piece: tuple[str, int]) -> tuple[int, bool]:
        name, number = piece
        start, size = number * PIECE, min(PIECE, files[name] - number * PIECE)
        described = {
            "resumableIdentifier": f"{upload_id}/{name}",
            "resumableRelativePath": name,
            "resumableFilename": name.rpartition("/")[2],
            "resumableType": "",
            "resumableChunkSize": str(PIECE),
            "resumableChunkNumber": str(number + 1),
            "resumableCurrentChunkSize": str(size),
            "resumableTotalChunks": str(-(-files[name] // PIECE)),
            "resumableTotalSize": str(files[name]),
            "totalFileCount": str(len(files)),
        }
        if is_begun and server.has(described):
            return size, False
        with (dataset / name).open("rb") as stream:
            stream.seek(start)
            server.send(described, stream.read(size))
        return size, True

    pieces = [(name, number) for name, size in files.items() for number in range(-(-size // PIECE))]
    with ThreadPoolExecutor(AT_ONCE) as senders:
        try:
            for size, is_new in senders.map(send, pieces):
                done, sent = done + size, sent + size * is_new
                if listen:
                    listen(Progress("uploading", 1, 1, done, total, 1))
        except BaseException:
            senders.shutdown(cancel_futures=True)
            raise
    shown = server.finish(upload_id)
    state.unlink()
    return Uploaded(dataset, f"{server.url}/datasets/{shown}", len(files), sent, total)
