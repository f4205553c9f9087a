"""Writing one zipped OME-Zarr image: the Sink behind `wkconvert export --to ozx`.

The mags are arrays of Zarr 3 in a folder beside OUT; `finish` stores their files in the zip file as they are, so that a
reader finds each by its place. Source of the facts: RFC 9 of OME-NGFF, https://ngff.openmicroscopy.org/rfc/9.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from wkconvert_core import Box, DatasetSpec, LayerSpec, ListedLayer, Mag, MagSpec, OptionError, WarningNote
from wkconvert_core.toolkit.atomic import replacing, sync
from wkconvert_core.toolkit.files import files_below

from .ome import image_of
from .options import new_layout
from .sink import ZarrSink

SUFFIX = ".ozx"
_MTIME = (1980, 1, 1, 0, 0, 0)
"""The time of each entry, the first that a zip file can state: no file tells when it was written."""


@dataclass(frozen=True)
class PackedSink(ZarrSink):
    """A mag that takes its place twice: its shards lie beside OUT until the zip file holds them, too."""

    def most_bytes(self, shards: int, voxels: int) -> int:
        """Upper bound on the bytes on disk, those in the zip file included."""
        return 2 * super().most_bytes(shards, voxels) + 256 * shards


@dataclass
class ZippedDataset:
    """The mags of one layer as an OME-Zarr 0.5 image in one zip file; a FileDataset."""

    folder: Path
    spec: DatasetSpec
    options: Mapping[str, str]
    notes: list[str] = field(default_factory=list)
    _sinks: list[ZarrSink] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The file, right in the folder."""
        return self.folder / self.spec.file

    @property
    def image(self) -> Path:
        """The folder that is zipped."""
        return self.folder / "image"

    def takes(self, mags: Sequence[Mag], box: Box) -> Sequence[Mag]:
        """All mags."""
        return mags

    def layer(self, spec: MagSpec) -> ZarrSink:
        """The sink of a mag. Raises OptionError, and TargetError for what Zarr cannot hold."""
        if not self._sinks and not _is_straight(spec):
            told = f"{spec.layer} lies turned or mirrored in its space ({spec.affine}), which OME-Zarr does not state"
            self.notes[:] = [WarningNote(f"{told}: its first voxel is written as the origin")]
        self._sinks.append(PackedSink(self.image / str(spec.mag), spec, new_layout("zarr3", spec, self.options)))
        return self._sinks[-1]

    def finish(self, layers: Sequence[LayerSpec]) -> None:
        """Write the image's metadata, then the zip file, and sync it. Raises TargetError."""
        (layer,) = layers
        assert self.spec.voxel_size, "an export has a voxel size"
        listed = ListedLayer(
            *(layer.name, layer.category, layer.dtype, layer.channels, self.spec.voxel_size),
            mags={sink.spec.mag: str(sink.spec.mag) for sink in self._sinks},
            color=layer.color,
            value_range=layer.value_range,
            intensity_range=layer.intensity_range,
        )
        specs = [sink.spec for sink in self._sinks]
        places = {spec.mag: _first_voxel(spec) for spec in specs} if all(map(_is_straight, specs)) else None
        image = image_of(listed, listed.mags, self._sinks[0].layout.axes, places)
        attributes = {"ome": {"version": "0.5", **image}}
        group = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=2)
        about = json.dumps({"ome": {"version": "0.5"}}).encode()
        with replacing(self.file) as temporary, zipfile.ZipFile(temporary, "x", allowZip64=True) as file:
            file.comment = about
            with _entry(file, "zarr.json") as entry:
                entry.write(group.encode())
            # the documents of the arrays first, then their shards: what a reader needs at once lies together
            for path in sorted(files_below(self.image), key=lambda path: (path.name != "zarr.json", path)):
                with _entry(file, path.relative_to(self.image).as_posix()) as entry, path.open("rb") as content:
                    shutil.copyfileobj(content, entry, 1 << 20)
        sync([self.file])


def dataset(path: Path, spec: DatasetSpec, options: Mapping[str, str]) -> ZippedDataset:
    """The file that the options ask for. Raises OptionError for a name that does not end as such files do."""
    if not spec.file.endswith(SUFFIX):
        raise OptionError(f"{spec.file} is no name of a zipped OME-Zarr image", fix=f"end it with {SUFFIX}")
    return ZippedDataset(path, spec, options)


def _entry(file: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A new entry of a zip file, stored as it is, of any length."""
    about = zipfile.ZipInfo(name, _MTIME)
    about.external_attr = 0o644 << 16
    return file.open(about, "w", force_zip64=True)


def _is_straight(spec: MagSpec) -> bool:
    """Whether x, y and z run along the axes of the space in which the layer lies."""
    affine = spec.affine
    if affine is None:
        return True
    steps = np.array([affine.x, affine.y, affine.z])
    return bool((np.diagonal(steps) > 0).all() and np.allclose(steps, np.diag(np.diagonal(steps)), atol=1e-6))


def _first_voxel(spec: MagSpec) -> tuple[float, float, float]:
    """Voxels of mag 1 from the origin to the centre of the mag's first voxel, along x, y, z."""
    affine = spec.affine
    if affine is None:
        return 0.0, 0.0, 0.0
    steps = affine.x[0], affine.y[1], affine.z[2]
    x, y, z = (place * f / step for place, f, step in zip(affine.origin, spec.mag, steps, strict=True))
    return x, y, z
