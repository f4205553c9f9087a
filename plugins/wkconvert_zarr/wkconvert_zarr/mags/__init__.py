"""Mags of WEBKNOSSOS datasets in arrays of Zarr, which are OME-Zarr images at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wkconvert_core import Box, ListedLayer, MagSpec, StoredMag, VoxelSize
from wkconvert_core.toolkit.files import is_file

from ..arrays import DESCRIPTIONS, Driver

if TYPE_CHECKING:
    import numpy as np

    from .sink import ZarrSink
    from .stored import ZarrMag

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class ZarrMags:
    """A version of Zarr as a MagFormat."""

    driver: Driver
    summary: str
    library: str = "zarr"
    """Zarr's own library for Python, which shares no code with tensorstore."""

    @property
    def name(self) -> str:
        """As tensorstore, and the metadata of datasets, call it."""
        return self.driver

    def has_mag(self, folder: Path) -> bool:
        """Whether there is a `zarr.json` or `.zarray`."""
        return is_file(folder / DESCRIPTIONS[self.driver])

    def open(self, folder: Path, box: Box | None = None, voxel_size: VoxelSize | None = None) -> ZarrMag:
        """Open a mag; without `box`, its extent is that of its shards.

        Raises SourceNotFound, BrokenSource, UnsupportedSource for an array that no mag can be.
        """
        from .description import read_layout
        from .stored import ZarrMag, open_mag

        nothing = Box((0, 0, 0), (0, 0, 0))
        return open_mag(ZarrMag(folder, read_layout(self.driver, folder), nothing, voxel_size), box)

    def open_listed(
        self, place: Path | str, entry: Mapping[str, Any], box: Box, voxel_size: VoxelSize | None
    ) -> ZarrMag:
        """Open a mag, also on a server, with the axes and channels that the metadata state, else those of the array.

        Raises what `open` raises.
        """
        from .description import layout_at, read_layout
        from .stored import ZarrMag

        if isinstance(place, str):
            return ZarrMag(Path(place), layout_at(self.driver, place, entry), box, voxel_size, url=place)
        return ZarrMag(place, read_layout(self.driver, place, entry), box, voxel_size)

    def sink(self, folder: Path, spec: MagSpec, options: Mapping[str, str]) -> ZarrSink:
        """A mag to be written. Raises OptionError, and TargetError for what Zarr cannot hold."""
        from .options import new_layout
        from .sink import ZarrSink

        return ZarrSink(folder, spec, new_layout(self.driver, spec, options))

    def read_by_library(self, mag: StoredMag, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box as Zarr's own library reads them; 0 beyond the array."""
        import numpy as np
        import zarr

        from .stored import ZarrMag

        assert isinstance(mag, ZarrMag), "it was opened here"
        grid, layout = mag.layout.grid, mag.layout
        out = np.zeros((grid.channels, *box.shape), grid.dtype)
        if (part := box.intersection(Box((0, 0, 0), grid.shape))).volume:
            array = zarr.open_array(str(mag.folder), mode="r")
            out[:, *part.slices_in(box)] = layout.seen(np.asarray(array[layout.spans(part)]))
        return out

    def entry(self, mag: StoredMag) -> Mapping[str, Any]:
        """The order of the array's axes, and which of its channels it is."""
        from .stored import ZarrMag

        assert isinstance(mag, ZarrMag), "it was opened here"
        return mag.layout.entry

    def list_mags(self, dataset: Path, layer: ListedLayer) -> None:
        """Make the layer an OME-Zarr image, or bring that up to date. Raises TargetError, SourceError."""
        from .ome import list_mags

        list_mags(self.driver, dataset, layer)


FORMATS = (
    ZarrMags("zarr3", "shards of Zarr 3; each layer is an OME-Zarr 0.5 image"),
    ZarrMags("zarr", "chunks of Zarr 2, for older viewers; each layer is an OME-Zarr 0.4 image"),
)
