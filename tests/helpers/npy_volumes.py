"""A source and a sink on .npy files, for tests of what lies between any source and any sink."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wkconvert_core import Box, Checksum, Confidence, Layer, Mag, MagSpec, Match, VolumeInfo, hookimpl, parse_options
from wkconvert_core.registry.plugins import plugins


@dataclass(frozen=True)
class FileSource:
    """A volume [c, x, y, z] in a .npy file; counts the voxels it decodes in a file beside it."""

    path: Path
    info: VolumeInfo
    fail_at: tuple[int, int, int] | None = None
    kill_at: tuple[int, int, int] | None = None

    @classmethod
    def make(cls, path: Path, voxels: np.ndarray, **info) -> FileSource:
        np.save(path, voxels)
        return cls(path, VolumeInfo(voxels.shape[1:], voxels.dtype, voxels.shape[0], **info))

    def read(self, box: Box) -> np.ndarray:
        from wkconvert_core import BrokenSource

        if self.fail_at and Box(self.fail_at, (1, 1, 1)) in box:
            raise BrokenSource(f"{self.path} is broken at {self.fail_at}")
        if self.kill_at and Box(self.kill_at, (1, 1, 1)) in box:
            os.kill(os.getpid(), 9)
        decoded = box.aligned(self.info.chunk_shape or (1, 1, 1)).intersection(self.info.box)
        with self._log.open("a") as log:
            log.write(f"{decoded.volume}\n")
        return np.load(self.path, mmap_mode="r")[:, *box.slices_in(self.info.box)]

    @property
    def decoded(self) -> int:
        return sum(map(int, self._log.read_text().split()))

    @property
    def _log(self) -> Path:
        """Hidden, and a file: no part of a source."""
        return self.path.parent.with_name(f".{self.path.parent.name}.log")


@dataclass(frozen=True)
class Stream(FileSource):
    """The same, to be read in order; a box on its own costs the whole volume."""

    def stream(self):
        for box in self.info.box.tiles((*self.info.shape[:2], 7)):
            yield box, self.read(box)


@dataclass(frozen=True)
class Telling(FileSource):
    """The same, which knows where it holds anything."""

    def occupied(self, box: Box) -> bool:
        return bool(np.load(self.path, mmap_mode="r")[:, *box.slices_in(self.info.box)].any())


@dataclass(frozen=True)
class FileSink:
    """Shards as .npy files in a folder."""

    folder: Path
    spec: MagSpec
    shard_shape: tuple[int, int, int]

    @classmethod
    def make(cls, folder: Path, source, shard_shape, start=(0, 0, 0)) -> FileSink:
        folder.mkdir(exist_ok=True)
        info = source.info
        spec = MagSpec("layer", "color", Mag(1, 1, 1), Box(start, info.shape), info.dtype, info.channels)
        return cls(folder, spec, shard_shape)

    def _path(self, start) -> Path:
        return self.folder / "{}-{}-{}.npy".format(*start)

    def has(self, box: Box) -> bool:
        return self._path(box.start).exists()

    def write(self, box: Box, data: np.ndarray) -> Checksum:
        assert data.shape[1:] == box.shape
        np.save(self._path(box.start), data)
        return Checksum(zlib.crc32(np.ascontiguousarray(data)), data.nbytes)

    def source(self):
        return self

    @property
    def info(self) -> VolumeInfo:
        return replace(VolumeInfo(self.spec.box.shape, self.spec.dtype, self.spec.channels))

    def read(self, box: Box) -> np.ndarray:
        where = box.shifted(self.spec.box.start)
        result = np.zeros((self.spec.channels, *box.shape), self.spec.dtype)
        for shard in self.spec.box.tiles(self.shard_shape):
            part = shard.intersection(where)
            if part.volume:
                result[:, *part.slices_in(where)] = np.load(self._path(shard.start))[:, *part.slices_in(shard)]
        return result


@dataclass(frozen=True)
class DiesOnce:
    """A source that kills its worker at one place, once."""

    inner: FileSource
    fuse: Path

    @property
    def info(self):
        return self.inner.info

    def read(self, box):
        if box.start[2] == 128 and self.fuse.exists():
            self.fuse.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.read(box)


# --- the plugin that reads folders with a volume.npy -----------------------------------------------------------------

FORMATS = {"volumes": "folders with a volume.npy, for tests"}


def make_folder(folder: Path, voxels: np.ndarray, **info) -> Path:
    """A folder that the plugin reads; `info` goes into the VolumeInfo."""
    folder.mkdir(parents=True)
    FileSource.make(folder / "volume.npy", voxels, **info)
    (folder / "info.pickle").write_bytes(pickle.dumps(info))
    return folder


def open_folder(folder: Path, *, fail_at: str = "", kill_at: str = "") -> FileSource:
    voxels = np.load(folder / "volume.npy", mmap_mode="r")
    info = VolumeInfo(
        voxels.shape[1:], voxels.dtype, voxels.shape[0], **pickle.loads((folder / "info.pickle").read_bytes())
    )
    places = [tuple(map(int, text.split(","))) if text else None for text in (fail_at, kill_at)]
    return FileSource(folder / "volume.npy", info, *places)


@hookimpl
def wkconvert_detect(path, head):
    return Match("volumes", Confidence.EXACT, "volume.npy") if (path / "volume.npy").exists() else None


@hookimpl
def wkconvert_open(format, path, options):
    if format == "volumes":
        return [Layer({Mag(1, 1, 1): open_folder(path, **parse_options(open_folder, options))})]
    return None


@contextmanager
def registered():
    """Make the reader known to this process; gives the function that makes such a folder."""
    with plugins().register(sys.modules[__name__], "volumes"):
        yield make_folder
