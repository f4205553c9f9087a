"""A folder with a source, a dataset and a canary outside it, and the commands that work there."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
from helpers.conversions import every_mag
from helpers.processes import wkconvert

from attack.children import Misbehaved, Outcome, Verdict, attempt
from wkconvert_core import WkconvertError
from wkconvert_core.cli.app import app
from wkconvert_core.testing import noise

SHAPE = (70, 40, 36)
OPTIONS = ("--voxel-size", "4,4,35", "--name", "ds", "--jobs", "1")
MAKE = ("auto", "{src}", "{ds}", *OPTIONS, "--max-mag", "2", "SMALL SHARDS", "--compression", "none")
STORED = {
    "wkw": {"SMALL SHARDS": ("--file-len", "1"), "LARGE SHARDS": ("--file-len", "2")},
    "zarr3": {
        "SMALL SHARDS": ("--to", "zarr3", "--to-option", "chunk=16", "--to-option", "shard=32"),
        "LARGE SHARDS": ("--to-option", "shard=64"),
    },
    "zarr": {
        "SMALL SHARDS": ("--to", "zarr", "--to-option", "chunk=32"),
        "LARGE SHARDS": ("--to-option", "chunk=64"),
    },
}
"""What stands in a command for the format of its mags, and the size of its shards."""

READING: dict[str, tuple[str, ...]] = {
    "info": ("info", "{ds}"),
    "verify": ("verify", "{ds}"),
    "check-equality": ("check-equality", "{ds}", "{clean}"),
}
COPYING: dict[str, tuple[str, ...]] = {
    "recube": ("recube", "{ds}", "{out}", "LARGE SHARDS"),
    "copy": ("compress", "{ds}", "{out}"),
    "auto of a dataset": ("auto", "{ds}", "{out}", "--name", "ds", "--jobs", "1", "--no-downsample"),
    "export-tiff": ("export-tiff", "{ds}", "{out}", "--layer-name", "em"),
    "upsample": ("upsample", "{coarse}", "--target-mag", "1"),
}
CHANGING: dict[str, tuple[str, ...]] = {
    "downsample": ("downsample", "{ds}", "--max-mag", "4"),
    "compress": ("compress", "{ds}"),
    "metadata": ("metadata", "{ds}", "--compute-max-id", "--extent", "--name", "other"),
    "verify --write-checksums": ("verify", "{ds}", "--write-checksums"),
    "add": ("auto", "{more}", "{ds}", *OPTIONS[:2], "--jobs", "1", "--add", "--layer-name", "more"),
}
WRITING = {"auto": MAKE, "auto --overwrite": (*MAKE, "--overwrite"), **COPYING, **CHANGING}

CANARY = {".profile": b"alias", "secret.txt": b"canary", "scratch/a": b"a", ".x.tmp": b"t", "1/header.wkw": b"WKW"}


class World:
    """Everything that an attack needs, below one folder; made again for each attack by `restored`."""

    def __init__(self, folder: Path, to: str = "wkw") -> None:
        self._stored_as = STORED[to]
        self.folder, self.work, self.canary = folder, folder / "work", folder / "canary"
        self._plant_canary()
        self._stored = folder / "stored"
        self._places = {name: self.work / name for name in ("src", "ds", "out", "clean", "coarse", "deep", "more")}
        size = "x".join(map(str, SHAPE))
        for number, (layer, dtype) in enumerate((("src/em", "uint8"), ("src/labels", "uint32"), ("more", "uint8"))):
            file = self.work / layer / f"v_{size}_{dtype}.raw"
            file.parent.mkdir(parents=True)
            file.write_bytes((noise(*SHAPE, dtype=dtype, seed=number) // 9).tobytes("F"))
        self._prepare(*self.line("auto"))
        for name in ("clean", "coarse", "deep"):
            shutil.copytree(self.ds, self.work / name)
        self.work.rename(self._stored)
        self.restored()
        shutil.rmtree(self.work / "coarse" / ".wkconvert")
        for layer in ("em", "labels"):
            shutil.rmtree(self.work / "coarse" / layer / "1")
        self._prepare("metadata", str(self._places["coarse"]))
        self._prepare("downsample", str(self._places["deep"]), "--max-mag", "4")
        shutil.rmtree(self._stored)
        self.work.rename(self._stored)
        self.restored()

    def _plant_canary(self) -> None:
        shutil.rmtree(self.canary, ignore_errors=True)
        for name, content in CANARY.items():
            (self.canary / name).parent.mkdir(parents=True, exist_ok=True)
            (self.canary / name).write_bytes(content)

    @property
    def ds(self) -> Path:
        return self.work / "ds"

    def restored(self) -> None:
        """Put everything back where it was, with its times; the canary stays as it is."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self._stored, self.work, symlinks=True)

    def prepared(self, command: str) -> None:
        """The same, as a command finds it that is carried out for the first time."""
        self.restored()
        if command == "auto":
            shutil.rmtree(self.ds)

    def line(self, command: str) -> list[str]:
        """The arguments of a command."""
        parts = (self._stored_as.get(part, (part,)) for part in {**READING, **WRITING}[command])
        return [part.format(**self._places) for part in chain.from_iterable(parts)]

    def run(self, command: str) -> None:
        """Carry out a command in this process. Raises WkconvertError if it refuses."""
        try:
            app(self.line(command))
        except SystemExit as end:
            if end.code:
                raise WkconvertError(f"exit code {end.code}") from end

    def _prepare(self, *parts: str) -> None:
        """Carry out a command in another process: no thread of a library may be there when attempts are forked."""
        ended = wkconvert(*parts, "--quiet")
        assert ended.returncode == 0, ended.stderr

    def attacked(self, command: str, judge: Callable[[], None] = lambda: None, *, may_read: bool = False) -> Outcome:
        """How a command ends in a child that must leave the canary alone; `judge` looks at what it did."""
        before = fingerprint(self.canary)
        outcome = attempt(lambda: self._guarded(command, judge, may_read))
        if fingerprint(self.canary) != before:
            outcome = Outcome(Verdict.OUTSIDE, f"the folder outside is another now; {outcome.detail}")
            self._plant_canary()
        return outcome

    def _guarded(self, command: str, judge: Callable[[], None], may_read: bool) -> None:
        touched = watched(self.canary, may_read=may_read)
        try:
            self.run(command)
            if left := self.leftovers():
                raise Misbehaved(Verdict.LEFTOVER, ", ".join(left))
            judge()
        finally:
            if touched:
                raise Misbehaved(Verdict.OUTSIDE, touched[0])

    def leftovers(self) -> list[str]:
        """Temporary files and folders that a finished command should have removed."""
        return [str(path.relative_to(self.work)) for path in self.work.rglob(".*") if path.name.endswith(".tmp")]

    def same_voxels(self, folder: str, but_for: Path | None = None) -> None:
        """Raise Misbehaved if a mag holds other voxels than the sound one; the mag `but_for` may."""
        found, sound = every_mag(self.work / folder), every_mag(self.work / "deep")
        for layer, mag in found.keys() & sound.keys():
            if self.work / folder / layer / str(mag) != but_for and not np.array_equal(
                found[layer, mag], sound[layer, mag]
            ):
                raise Misbehaved(Verdict.WRONG, f"{folder}: {layer}, mag {mag} holds other voxels")


def fingerprint(folder: Path) -> dict[str, str]:
    """All that a folder holds: kinds, contents, times of change."""
    return {
        str(path.relative_to(folder)): f"{path.lstat().st_mode} {path.lstat().st_mtime_ns} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in folder.rglob("*")
    }


NAMING = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link")
"""What changes a name in a folder, and follows no link that the name itself is."""


def watched(folder: Path, *, may_read: bool) -> list[str]:
    """From now on, the calls of this process that change something in a folder, or read a file if it must not.

    To list what a link leads to, to say that it is none of the dataset's, does no harm.
    """
    touched: list[str] = []
    inside = os.path.realpath(folder)

    def hook(event: str, args: tuple[object, ...]) -> None:
        reads = event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR)
        if (
            event in ("os.listdir", "os.scandir")
            or (reads and may_read)
            or not event.startswith(("open", "os.", "shutil."))
        ):
            return
        for path in args:
            if isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith("/"):
                given = os.fsdecode(path).replace("\0", "")
                reached = os.path.realpath(Path(given).parent if event in NAMING else given)
                if f"{reached}/".startswith(f"{inside}/"):
                    touched.append(f"{event} {reached}")

    sys.addaudithook(hook)
    return touched
