"""The options of a writer of Zarr, and the layout of the array that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from wkconvert_core import MagSpec, OptionError, TargetError, parse_options
from wkconvert_core.toolkit.shards import shard_side

from .layout import AXES, Layout, compact

LEVELS = {"zstd": range(1, 23), "blosc": range(1, 10), "gzip": range(1, 10)}
"""The levels of each compression."""
_LEVEL = {"zstd": 3, "blosc": 5, "gzip": 6}
"""The levels that are taken by default."""
_SIDES = [8, 16, 32, 64, 128, 256, 512, 1024]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `--to-option` for Zarr 2, in which each chunk is a file. Raises OptionError."""

    compression: Literal["zstd", "blosc", "gzip", "none"] = "zstd"
    compression_level: int | None = None
    chunk: int = 64
    """Voxels along a chunk's side."""

    def __post_init__(self) -> None:
        """Check all options, before anything is written."""
        levels, level = LEVELS.get(self.compression), self.compression_level
        if levels is None and level is not None:
            fix = f"leave --compression-level out, or take one of {', '.join(LEVELS)}"
            raise OptionError(f"--compression {self.compression} has no levels", fix=fix)
        if levels and level is not None and level not in levels:
            fix = f"{self.compression} has levels {levels[0]} to {levels[-1]}"
            raise OptionError(f"--compression-level {level} does not exist", fix=fix)
        self._check_side("chunk", self.chunk)

    def _check_side(self, option: str, side: int) -> None:
        if side not in _SIDES:
            fix = f"take a power of two from {_SIDES[0]} to {_SIDES[-1]}"
            raise OptionError(f"--to-option {option}={side} cannot be the side of a {option}", fix=fix)

    def layout(self, spec: MagSpec) -> Layout:
        """The array for a mag, with the axes c, x, y, z, x fastest. Raises TargetError for what it cannot hold."""
        about = {
            "zarr_format": 2,
            "shape": _shape(spec),
            "chunks": [spec.channels, *[self.chunk] * 3],
            "dtype": spec.dtype.newbyteorder("<").str,
            "compressor": self._compressor(),
            "fill_value": 0,
            "order": "F",
            "filters": None,
            "dimension_separator": "/",
        }
        return Layout("zarr", compact(about), tuple(AXES[4]))

    @property
    def level(self) -> int:
        """The level that is asked for, or the default one."""
        return self.compression_level if self.compression_level is not None else _LEVEL[self.compression]

    def _compressor(self) -> dict[str, Any] | None:
        if self.compression == "none":
            return None
        if self.compression == "blosc":
            return {"id": "blosc", "cname": "zstd", "clevel": self.level, "shuffle": 1, "blocksize": 0}
        return {"id": self.compression, "level": self.level}


@dataclass(frozen=True, kw_only=True)
class ShardedOptions(Options):
    """The same for Zarr 3, in which many chunks share a file. Raises OptionError."""

    chunk: int = 32
    """Voxels along a chunk's side: WEBKNOSSOS reads 32 at once."""
    shard: int | None = None
    """Voxels along a shard's side; None: as many as in WKW, and as near to `spec.shard_shape` as that allows."""

    def __post_init__(self) -> None:
        """Check all options, before anything is written."""
        super().__post_init__()
        if self.shard is not None:
            self._check_side("shard", self.shard)
            if self.shard < self.chunk:
                what = f"--to-option shard={self.shard} is less than a chunk of {self.chunk}"
                raise OptionError(what, fix="take a larger shard, or a smaller chunk")

    def layout(self, spec: MagSpec) -> Layout:
        """The array for a mag, with the axes c, x, y, z, x fastest. Raises TargetError for what it cannot hold."""
        shard, codecs = self._shard(spec), self._codecs(spec.dtype.itemsize)
        if shard > self.chunk:
            inner = {
                "chunk_shape": [spec.channels, *[self.chunk] * 3],
                "codecs": codecs,
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            }
            codecs = [{"name": "sharding_indexed", "configuration": inner}]
        about = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": _shape(spec),
            "data_type": spec.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [spec.channels, *[shard] * 3]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": codecs,
            "dimension_names": list(AXES[4]),
        }
        return Layout("zarr3", compact(about), tuple(AXES[4]))

    def _shard(self, spec: MagSpec) -> int:
        if self.shard is not None:
            return self.shard
        side = shard_side(spec.box, spec.dtype, spec.channels)
        if spec.shard_shape:  # a larger shard keeps one worker busy, and takes several times its size in memory
            fitting = [each for each in _SIDES if each <= spec.shard_shape[0]]
            side = min(2 * side, fitting[-1] if fitting else self.chunk)
        return max(self.chunk, side)

    def _codecs(self, itemsize: int) -> list[dict[str, Any]]:
        """The codecs of a chunk: with a checksum, so that no flipped bit decodes. gzip has one of its own."""
        order = {"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}}
        codecs = [order, {"name": "bytes", "configuration": {"endian": "little"}}]
        if self.compression == "zstd":
            return [*codecs, {"name": "zstd", "configuration": {"level": self.level, "checksum": True}}]
        if self.compression == "gzip":
            return [*codecs, {"name": "gzip", "configuration": {"level": self.level}}]
        if self.compression == "blosc":
            shuffle = {"shuffle": "shuffle", "typesize": itemsize, "blocksize": 0}
            codecs.append({"name": "blosc", "configuration": {"cname": "zstd", "clevel": self.level, **shuffle}})
        return [*codecs, {"name": "crc32c"}]


def new_layout(driver: str, spec: MagSpec, options: Mapping[str, str]) -> Layout:
    """The layout of a mag that is to be written with these options, as users write them.

    Raises OptionError, and TargetError for what Zarr cannot hold.
    """
    kind = ShardedOptions if driver == "zarr3" else Options
    given: Options = kind(**parse_options(kind, options, "--to-option {}={}".format))
    return given.layout(spec)


def _shape(spec: MagSpec) -> list[int]:
    """The shape of the array: from voxel 0 of the mag on, as WKW counts."""
    if min(spec.box.start) < 0:
        raise TargetError(f"Zarr has no place for an extent at {spec.box}", why="its voxels count from 0")
    return [spec.channels, *spec.box.stop]
