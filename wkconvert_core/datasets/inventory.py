"""Size and compression of every mag of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk


@dataclass(frozen=True)
class MagStorage:
    """How one mag of one layer is stored."""

    where: MagOnDisk
    mag: StoredMag | None
    """None if it cannot be read."""
    shards: int = 0
    stored_bytes: int = 0
    problem: str | None = None
    """Why the mag cannot be read; None if it can."""

    @property
    def compression(self) -> str | None:
        """The compression as `--compression` names it; None if the mag cannot be read."""
        return self.mag.compression if self.mag else None

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Voxel size of this mag."""
        return self.where.voxel_size

    @property
    def raw_bytes(self) -> int | None:
        """Bytes of the voxels within the extent, uncompressed; None if the extent or the dtype is unknown."""
        return self.mag.box.volume * self.mag.info.voxel_bytes if self.where.box and self.mag else None

    @property
    def ratio(self) -> float | None:
        """Raw bytes per byte on disk; None if nothing is stored."""
        return self.raw_bytes / self.stored_bytes if self.raw_bytes is not None and self.stored_bytes else None


def inventory(dataset: Path | str, *, follow: bool = False) -> list[MagStorage]:
    """Size and compression of every mag of a dataset; no shard is read.

    A mag that cannot be read is listed with its `problem`. Raises SourceNotFound and BrokenSource as `Dataset.open`.
    """
    found = []
    for where in Dataset.open(Path(dataset), follow=follow).mags:
        try:
            mag = where.open()
            sizes = [] if where.url else [shard.path.stat().st_size for shard in mag.shards()]
            found.append(MagStorage(where, mag, len(sizes), sum(sizes)))
        except WkconvertError as error:
            found.append(MagStorage(where, None, problem=error.what))
        except OSError as error:
            found.append(MagStorage(where, None, problem=f"{error.filename}: {error.strerror}"))
    return found
