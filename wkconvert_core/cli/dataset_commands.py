"""The command-line functions of `downsample`, `upsample`, `compress` and `recube`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wkconvert_core.cli import options, values
from wkconvert_core.cli.reporting.output import console, print_lines
from wkconvert_core.cli.run import carry_out
from wkconvert_core.contract.errors import OptionError

if TYPE_CHECKING:
    from wkconvert_core.conversion.prepare import Conversion


@options.takes(only=("follow", *options.PYRAMID_OPTIONS, *options.RUN_OPTIONS))
def downsample(
    dst: options.Dataset, layer_name: options.Layers = None, from_mag: options.FromMag = None, **given: Any
) -> None:
    """Make coarser mags of a dataset's layers. Existing mags stay as they are.

    The same command again continues a run that was interrupted.
    """
    from wkconvert_core.commands.downsample import prepare

    _add_mags(prepare, dst, layer_name, from_mag, given)


@options.takes(only=("follow", "target_mag", "sampling_mode", *options.STORAGE_OPTIONS, *options.RUN_OPTIONS))
def upsample(
    dst: options.Dataset, layer_name: options.Layers = None, from_mag: options.FromMag = None, **given: Any
) -> None:
    """Make finer mags of a coarser one, for annotations: each voxel takes the value of the one in which it lies.

    Existing mags stay as they are. The same command again continues a run that was interrupted.
    """
    from wkconvert_core.commands.upsample import prepare

    _add_mags(prepare, dst, layer_name, from_mag, given)


def _add_mags(
    prepare: Callable[..., Conversion],
    dst: Path,
    layer_name: list[str] | None,
    from_mag: str | None,
    given: dict[str, Any],
) -> None:
    start = None if from_mag is None else values.mag("from-mag", from_mag)
    settings = values.settings(given)
    carry_out(lambda: prepare(dst, settings, names=layer_name or (), start=start), given, dst)


@options.takes(
    only=("to_option", "compression", "compression_level", "file_len", *options.RUN_OPTIONS),
    helps={
        "compression": "lz4 or lz4hc (default: lz4; lz4hc for segmentation)",
        "file_len": "Blocks along a shard's side: 1, 2, … 64 (default: unchanged, at most twice that of auto)",
    },
)
def compress(
    dst: options.Dataset,
    copy: options.Copy = None,
    layer_name: options.Layers = None,
    mag: options.Mags = None,
    **given: Any,
) -> None:
    """Compress uncompressed mags in place, or write a copy that is compressed throughout.

    Old mags are deleted once the new ones are complete. The same command again continues a run that was interrupted.
    """
    from wkconvert_core.commands.compress import finish, prepare

    mags, settings = values.mags(mag), values.settings(given)
    if settings.writer_options.get("compression") == "none":
        raise OptionError("--compression none does not compress", fix="take lz4 or lz4hc")
    earlier = finish(dst) if copy is None and not given["dry_run"] else ""
    if earlier and not (given["quiet"] or given["json"]):
        print_lines(console(stderr=True), f"moved into place what an earlier run had compressed: {earlier}")
    carry_out(lambda: prepare(dst, copy, settings, names=layer_name or (), mags=mags), given, dst)


@options.takes(
    only=(
        "follow",
        "name",
        "dtype",
        "convert",
        "range",
        "to",
        *options.STORAGE_OPTIONS,
        "overwrite",
        *options.RUN_OPTIONS,
    ),
    helps={"to": "Mag format of the copy, as `wkconvert plugins` lists them (default: each layer's own)"},
)
def recube(
    src: options.Original, dst: options.Dst, layer_name: options.Layers = None, mag: options.Mags = None, **given: Any
) -> None:
    """Copy a dataset with other shards, another compression, dtype or mag format: all layers and mags, or some.

    The rest of the metadata is copied, too. The same command again continues a run that was interrupted.
    """
    from wkconvert_core.commands.recube import prepare

    mags, settings = values.mags(mag), values.settings(given)
    carry_out(lambda: prepare(src, dst, settings, names=layer_name or (), mags=mags, to=given["to"]), given, src)
