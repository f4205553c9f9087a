"""The commands as Python functions.

Each takes `Settings`, of which those count that the command has as options; functions that only read take `Resources`.
Each reports its progress to `listen`, continues an interrupted run of the same request, and raises errors of
`wkconvert_core.contract.errors`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from wkconvert_core.commands import compress as compress_command
from wkconvert_core.commands import downsample as downsample_command
from wkconvert_core.commands import export_tiff as export_tiff_command
from wkconvert_core.commands import recube as recube_command
from wkconvert_core.commands import upsample as upsample_command
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.commands.export_tiff import Pictures
from wkconvert_core.commands.metadata import Wanted, update
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.conversion.execute import Done, convert, execute
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.dataset import inventory
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.resources import Resources

__all__ = [
    "Pictures",
    "Resources",
    "Settings",
    "Wanted",
    "check_equality",
    "compress",
    "convert",
    "downsample",
    "export_tiff",
    "inventory",
    "recube",
    "update",
    "upsample",
    "verify",
]


def downsample(
    dst: Path,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    from_mag: Mag | None = None,
    listen: Listener | None = None,
) -> Done:
    """Make coarser mags for a dataset's layers (none: all), beginning with `from_mag` (None: each layer's finest)."""
    return execute(downsample_command.prepare(dst, settings or Settings(), names=layers, start=from_mag), listen)


def upsample(
    dst: Path,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    from_mag: Mag | None = None,
    listen: Listener | None = None,
) -> Done:
    """Make finer mags, down to `settings.target_mag`, from `from_mag` (None: each layer's finest)."""
    return execute(upsample_command.prepare(dst, settings or Settings(), names=layers, start=from_mag), listen)


def compress(
    src: Path,
    dst: Path | None = None,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Collection[Mag] = (),
    listen: Listener | None = None,
) -> Done:
    """Compress uncompressed mags in place, with a note of the bytes saved; or write a compressed copy to `dst`."""
    if dst is None:
        compress_command.finish(src)
    return execute(compress_command.prepare(src, dst, settings or Settings(), names=layers, mags=mags), listen)


def recube(
    src: Path,
    dst: Path,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Collection[Mag] = (),
    to: str | None = None,
    listen: Listener | None = None,
) -> Done:
    """Copy a dataset, or some layers and mags, with other shards, another compression, dtype or mag format.

    `to` names the format (None: each layer keeps its own), not `settings.to`.
    """
    return execute(recube_command.prepare(src, dst, settings or Settings(), names=layers, mags=mags, to=to), listen)


def export_tiff(
    src: Path,
    out: Path,
    settings: Settings | None = None,
    pictures: Pictures | None = None,
    *,
    listen: Listener | None = None,
) -> Done:
    """Write a layer (`settings.layer_name`) as TIFF: whole slices, or tiles as `pictures` describes them."""
    return execute(export_tiff_command.prepare(src, out, settings or Settings(), pictures or Pictures()), listen)
