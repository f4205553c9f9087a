"""The commands on datasets that are there: `downsample`, `upsample`, `compress`, `recube`, as typer sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wkconvert_core.cli import options as opt
from wkconvert_core.cli.output import console
from wkconvert_core.cli.run import carry_out
from wkconvert_core.contract.errors import OptionError

if TYPE_CHECKING:
    from wkconvert_core.conversion.prepare import Conversion


@opt.takes(only=(*opt.PYRAMID_OPTIONS, *opt.RUN_OPTIONS))
def downsample(dst: opt.Dataset, layer_name: opt.Layers = None, from_mag: opt.FromMag = None, **given: Any) -> None:
    """Make coarser mags of a dataset's layers. Mags that are there stay as they are.

    The same command again continues a run that was interrupted.
    """
    from wkconvert_core.commands.downsample import prepare

    _add_mags(prepare, dst, layer_name, from_mag, given)


@opt.takes(only=("target_mag", "sampling_mode", *opt.STORAGE_OPTIONS, *opt.RUN_OPTIONS))
def upsample(dst: opt.Dataset, layer_name: opt.Layers = None, from_mag: opt.FromMag = None, **given: Any) -> None:
    """Make finer mags of a coarser one, for annotations: each voxel takes the value of the one in which it lies.

    Mags that are there stay as they are. The same command again continues a run that was interrupted.
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
    start = None if from_mag is None else opt.mag("from-mag", from_mag)
    settings = opt.settings(given)
    carry_out(lambda: prepare(dst, settings, names=layer_name or (), start=start), given)


@opt.takes(
    only=("to_option", "compression", "compression_level", "file_len", *opt.RUN_OPTIONS),
    helps={
        "compression": "lz4 or lz4hc (default: lz4; lz4hc for segmentation)",
        "file_len": "Blocks along a shard's side: 1, 2, … 64 (default: as it is, at most twice that of auto)",
    },
)
def compress(
    dst: opt.Dataset,
    copy: opt.Copy = None,
    layer_name: opt.Layers = None,
    mag: opt.Mags = None,
    **given: Any,
) -> None:
    """Compress what is not compressed, in place; or write a copy in which all is.

    The old voxels go when the new ones are complete. The same command again continues a run that was interrupted.
    """
    from wkconvert_core.commands import compress as compressing

    mags, settings = opt.mags(mag), opt.settings(given)
    if settings.writer_options.get("compression") == "none":
        raise OptionError("compression none does not compress", fix="take lz4 or lz4hc")
    earlier = compressing.finish(dst) if copy is None and not given["dry_run"] else ""
    if earlier and not (given["quiet"] or given["json"]):
        console(stderr=True).print(f"what an earlier run has compressed is in place: {earlier}", highlight=False)
    carry_out(lambda: compressing.prepare(dst, copy, settings, names=layer_name or (), mags=mags), given)


@opt.takes(
    only=("name", "dtype", "convert", "to", *opt.STORAGE_OPTIONS, "overwrite", *opt.RUN_OPTIONS),
    helps={"to": "Mag format of the copy, as `wkconvert plugins` lists them (default: each layer's own)"},
)
def recube(src: opt.Dataset, dst: opt.Dst, layer_name: opt.Layers = None, mag: opt.Mags = None, **given: Any) -> None:
    """Copy a dataset with other shards, another compression, dtype or mag format: all layers and mags, or some.

    The rest of the metadata is copied, too. The same command again continues a run that was interrupted.
    """
    from wkconvert_core.commands.recube import prepare

    mags, settings = opt.mags(mag), opt.settings(given)
    carry_out(lambda: prepare(src, dst, settings, names=layer_name or (), mags=mags, to=given["to"]), given)
