"""Reports of `verify`, `check-equality`, `metadata` and `preview`, and the table of mags of `info`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from wkconvert_core.cli.reporting.output import (
    count_text,
    near,
    print_lines,
    print_table,
    rate_text,
    shape_text,
    shard_text,
)
from wkconvert_core.toolkit.byte_sizes import size_text

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.commands.check_equality import Equality
    from wkconvert_core.commands.metadata import Updated
    from wkconvert_core.commands.verify import Soundness
    from wkconvert_core.datasets.inventory import MagStorage
    from wkconvert_core.viewing.preview import Preview

NO_KERNEL = ("the finest mag", "made of the source")
"""Mags of which no kernel could be known: these reasons are not worth a word."""
LISTED = 40
"""Most damaged shards that are printed one by one."""


# --- verify ----------------------------------------------------------------------------------------------------------


def show_soundness(found: Soundness, console: Console, *, quiet: bool) -> None:
    """Print what `verify` found; with `quiet`, only what is damaged or has changed."""
    for problem in found.damaged[:LISTED]:
        print_lines(console, f"damaged: {problem.path}", f"  {problem.reason}")
    if (more := len(found.damaged) - LISTED) > 0:
        print_lines(console, f"damaged: {more:,} more; --json lists all")
    for problem in found.changed:
        fix = f"  if that is what you want: wkconvert verify {found.path} --write-checksums takes the new ones"
        print_lines(console, f"changed: {problem.path}", f"  {problem.reason}", fix)
    if quiet:
        return
    for mag in found.mags:
        compared = mag.checksums_compared
        sums = f"{count_text(compared, 'checksum')} compared" if compared else "no checksums to compare"
        parts = [count_text(mag.shards, "shard"), "checksums written" if mag.checksums_written else sums]
        if mag.kernel:
            parts.append(f"made by {mag.kernel}")
        elif mag.kernel_reason and mag.kernel_reason not in NO_KERNEL:
            parts.append(f"kernel unknown ({mag.kernel_reason})")
        if mag.second_reader:
            parts.append(f"{mag.second_reader} reads the same voxels")
        print_lines(console, f"{mag.layer} mag {mag.mag}: {', '.join(parts)}")
    shards, size = sum(mag.shards for mag in found.mags), sum(mag.stored_bytes for mag in found.mags)
    changed = f"{count_text(len(found.changed), 'mag')} changed since" if found.changed else "sound"
    verdict = f"{len(found.damaged):,} damaged" if found.damaged else changed
    took = [size_text(size), f"{found.seconds:.1f} s", rate_text(size, found.seconds)]
    parts = [verdict, count_text(shards, "shard"), *filter(None, took)]
    print_lines(console, f"{near(found.path)}: {', '.join(parts)}")


# --- check-equality --------------------------------------------------------------------------------------------------


def show_equality(found: Equality, console: Console, *, quiet: bool) -> None:
    """Print what `check-equality` found; with `quiet`, only what differs."""
    for each in found.metadata:
        where = f"{each.layer}: " if each.layer else ""
        verb = "differ" if each.what in ("layers", "mags", "channels") else "differs"
        print_lines(console, f"{where}{each.what.replace('_', ' ')} {verb}: {each.a} and {each.b}")
    for mag in found.mags:
        if mag.difference:
            print_lines(console, f"{mag.layer} mag {mag.mag}: {mag.difference}")
    if quiet:
        return
    same = [f"{mag.layer} mag {mag.mag}: {mag.voxels:,} voxels are equal" for mag in found.mags if not mag.difference]
    verdict = "equal" if found.equal else "different"
    print_lines(console, *same, f"{near(found.a)} and {near(found.b)} are {verdict}, {found.seconds:.1f} s")


# --- metadata --------------------------------------------------------------------------------------------------------


def show_metadata(done: Updated, console: Console, *, quiet: bool) -> None:
    """Print what `metadata` changed; with `quiet`, nothing."""
    if quiet:
        return
    print_lines(console, *map(str, done.changes))
    what = "metadata made" if done.created else "metadata changed" if done.changes else "metadata are up to date"
    only = ", but not written (--dry-run)" if done.changes and not done.written else ""
    print_lines(console, f"{near(done.path)}: {what}{only}")


# --- info ------------------------------------------------------------------------------------------------------------


def show_stored(found: Sequence[MagStorage], console: Console) -> None:
    """Print a table of stored mags for each layer."""
    for layer, mags in groupby(found, lambda mag: mag.where.layer):
        print_lines(console, "", f"{layer}, as stored")
        listed = list(mags)
        unit = next((f", {mag.voxel_size.unit}" for mag in listed if mag.voxel_size), "")
        titles = ("mag", "shape", "dtype", "shards", "on disk", "ratio", "stored", "shard", f"voxel{unit}")
        print_table(console, titles, map(_cells, listed))
        print_lines(console, *(f"  mag {mag.where.mag} cannot be read: {mag.problem}" for mag in listed if mag.problem))


def _cells(mag: MagStorage) -> list[str]:
    box, opened, size = mag.where.box, mag.mag, mag.voxel_size
    return [
        str(mag.where.mag),
        shape_text(box.shape) if box else "?",
        f"{opened.info.dtype.name}{f' x {n}' if (n := opened.info.channels) > 1 else ''}" if opened else "?",
        f"{mag.shards:,}",
        size_text(mag.stored_bytes),
        f"{mag.ratio:.1f}" if mag.ratio is not None else "-",
        mag.compression or "?",
        shard_text(opened.shard_shape) if opened else "?",
        ",".join(f"{side:g}" if side else "?" for side in size.size) if size else "?",
    ]


def show_preview(made: Preview, console: Console, *, quiet: bool) -> None:
    """Print where the picture is, and what it shows; with `quiet`, nothing."""
    if quiet:
        return
    print_lines(console, *(f"{layer.name}: {line}" for layer in made.layers for line in layer.lines), f"{made.picture}")
