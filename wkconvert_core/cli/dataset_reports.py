"""What the commands on whole datasets print: verify, check-equality, metadata, and the table of `info`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table

from wkconvert_core.cli.output import Document, print_lines, shape_text, shard_text, size_document
from wkconvert_core.toolkit.byte_sizes import size_text

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.commands.check_equality import Equality
    from wkconvert_core.commands.metadata import Updated
    from wkconvert_core.commands.verify import MagSoundness, Soundness
    from wkconvert_core.datasets.dataset import MagStorage

NO_KERNEL = ("the finest mag", "made of the source")
"""Why a mag has no kernel that could be known."""
LISTED = 40
"""Damaged shards that are printed one by one."""


# --- verify ----------------------------------------------------------------------------------------------------------


def soundness_document(found: Soundness) -> Document:
    """What `verify --json` prints."""
    return {
        "path": str(found.path),
        "sound": found.sound,
        "damaged": [
            {
                "layer": problem.layer,
                "mag": problem.mag and str(problem.mag),
                "path": str(problem.path),
                "reason": problem.reason,
            }
            for problem in found.problems
        ],
        "mags": [
            {
                "layer": mag.layer,
                "mag": str(mag.mag),
                "shards": mag.shards,
                "stored_bytes": mag.stored_bytes,
                "checksums_compared": mag.compared,
                "checksums_written": mag.written,
                "shards_not_recorded": mag.unrecorded,
                "kernel": mag.kernel,
                "kernel_reason": mag.kernel_reason or None,
                "kernel_voxels": mag.kernel_voxels,
            }
            for mag in found.mags
        ],
        "seconds": round(found.seconds, 3),
        "notes": list(found.notes),
    }


def show_soundness(found: Soundness, console: Console, *, quiet: bool) -> None:
    """What `verify` prints; what is damaged, even with `--quiet`."""
    for problem in found.problems[:LISTED]:
        print_lines(console, f"damaged: {problem.path}", f"  {problem.reason}")
    if (more := len(found.problems) - LISTED) > 0:
        print_lines(console, f"damaged: {more:,} more; --json lists all")
    if quiet:
        return
    print_lines(console, *(_mag_line(mag) for mag in found.mags), *(f"note: {note}" for note in found.notes))
    shards, size = sum(mag.shards for mag in found.mags), sum(mag.stored_bytes for mag in found.mags)
    verdict = f"{len(found.problems):,} damaged" if found.problems else "sound"
    rate = size / found.seconds / 1e6 if found.seconds else 0
    took = f"{size_text(size)}, {found.seconds:.1f} s, {rate:.0f} MB/s"
    print_lines(console, f"{found.path}: {verdict}, {_count(shards, 'shard')}, {took}")


def _mag_line(mag: MagSoundness) -> str:
    sums = f"{_count(mag.compared, 'checksum')} compared" if mag.compared else "no checksums to compare"
    parts = [_count(mag.shards, "shard"), "checksums written" if mag.written else sums]
    if mag.kernel:
        parts.append(f"made by {mag.kernel}")
    elif mag.kernel_reason not in NO_KERNEL:
        parts.append(f"kernel unknown ({mag.kernel_reason})")
    return f"{mag.layer} mag {mag.mag}: {', '.join(parts)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


# --- check-equality --------------------------------------------------------------------------------------------------


def equality_document(found: Equality) -> Document:
    """What `check-equality --json` prints."""
    return {
        "a": str(found.a),
        "b": str(found.b),
        "equal": found.equal,
        "metadata": [{"what": each.what, "layer": each.layer, "a": each.a, "b": each.b} for each in found.metadata],
        "mags": [
            {
                "layer": mag.layer,
                "mag": str(mag.mag),
                "voxels": mag.voxels,
                "differing": mag.difference.count if mag.difference else 0,
                "first": {
                    "place": list(mag.difference.place),
                    "channel": mag.difference.channel,
                    "a": _number(mag.difference.values[0]),
                    "b": _number(mag.difference.values[1]),
                }
                if mag.difference
                else None,
            }
            for mag in found.mags
        ],
        "seconds": round(found.seconds, 3),
        "notes": list(found.notes),
    }


def _number(value: Any) -> Any:
    """A value as JSON has it; NaN and infinity as text."""
    return value if math.isfinite(value) else str(value)


def show_equality(found: Equality, console: Console, *, quiet: bool) -> None:
    """What `check-equality` prints; what differs, even with `--quiet`."""
    for each in found.metadata:
        where = f"{each.layer}: " if each.layer else ""
        print_lines(console, f"{where}{each.what.replace('_', ' ')} differs: {each.a} and {each.b}")
    for mag in found.mags:
        if mag.difference:
            print_lines(console, f"{mag.layer} mag {mag.mag}: {mag.difference}")
    if quiet:
        return
    print_lines(console, *(f"note: {note}" for note in found.notes))
    same = [f"{mag.layer} mag {mag.mag}: {mag.voxels:,} voxels are equal" for mag in found.mags if not mag.difference]
    verdict = "equal" if found.equal else "different"
    print_lines(console, *same, f"{found.a} and {found.b} are {verdict}, {found.seconds:.1f} s")


# --- metadata --------------------------------------------------------------------------------------------------------


def metadata_document(done: Updated) -> Document:
    """What `metadata --json` prints."""
    return {
        "path": str(done.path),
        "created": done.created,
        "written": done.written,
        "changes": [
            {"what": change.what, "layer": change.layer, "old": change.old, "new": change.new}
            for change in done.changes
        ],
        "notes": list(done.notes),
    }


def show_metadata(done: Updated, console: Console) -> None:
    """What `metadata` prints."""
    print_lines(console, *map(str, done.changes), *(f"note: {note}" for note in done.notes))
    what = "metadata made" if done.created else "metadata changed" if done.changes else "metadata are up to date"
    only = ", but not written (--dry-run)" if done.changes and not done.written else ""
    print_lines(console, f"{done.path}: {what}{only}")


# --- info ------------------------------------------------------------------------------------------------------------


def stored_document(found: Sequence[MagStorage]) -> list[Document]:
    """What `info --json` adds for a dataset."""
    return [_stored(mag) for mag in found]


def _stored(mag: MagStorage) -> Document:
    box, opened = mag.where.box, mag.mag
    return {
        "layer": mag.where.layer,
        "mag": str(mag.where.mag),
        "path": str(mag.where.folder),
        "top_left": list(box.start) if box else None,
        "shape": list(box.shape) if box else None,
        "dtype": opened.info.dtype.name if opened else None,
        "channels": opened.info.channels if opened else None,
        "voxel_size": size_document(mag.voxel_size),
        "shards": mag.shards,
        "stored_bytes": mag.stored_bytes,
        "raw_bytes": mag.raw_bytes,
        "ratio": round(mag.ratio, 3) if mag.ratio is not None else None,
        "compression": opened.compression if opened else None,
        "shard_side": opened.shard_shape[0] if opened else None,
        "block_side": opened.block_shape[0] if opened else None,
        "problem": mag.problem or None,
    }


def show_stored(found: Sequence[MagStorage], console: Console) -> None:
    """The table of mags that `info` prints for a dataset; nothing in it is ever cut off."""
    for layer, mags in groupby(found, lambda mag: mag.where.layer):
        print_lines(console, "", f"{layer}, as stored")
        listed = list(mags)
        unit = next((size.unit for mag in listed if (size := mag.voxel_size)), "")
        table = Table(box=None, padding=(0, 1, 0, 0))
        for title in ("mag", "shape", "dtype", "shards", "on disk", "ratio", "stored", "shard", f"voxel, {unit}"):
            table.add_column(title, overflow="fold")
        for mag in listed:
            table.add_row(*_cells(mag))
        console.print(table, highlight=False)
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
        opened.compression if opened else "?",
        shard_text(opened.shard_shape) if opened else "?",
        ",".join(f"{side:g}" if side else "?" for side in size.size) if size else "?",
    ]
