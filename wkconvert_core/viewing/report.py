"""One self-contained HTML page of what a run has read and written. Behind `--report`."""

from __future__ import annotations

from base64 import standard_b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from wkconvert_core import __version__
from wkconvert_core.contract.errors import TargetError, TargetExists
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.conversion.execute import Done
from wkconvert_core.conversion.source_layer import SourceLayer, notes_on
from wkconvert_core.datasets.inventory import MagStorage, inventory
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.toolkit.atomic import replacing, writing
from wkconvert_core.toolkit.byte_sizes import size_text
from wkconvert_core.toolkit.files import is_file, is_folder
from wkconvert_core.viewing.picture import LayerPreview, look_at, picture

BINS = 64
META = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em .2em 0; text-align: left; vertical-align: top; }
th { font-weight: 600; } .scroll { overflow-x: auto; } img { max-width: 100%; margin-top: .6em; }
svg { display: block; max-width: 100%; height: auto; }
.warning { border-left: 4px solid #d98200; padding-left: .6em; }
.note { border-left: 4px solid #bbb; padding-left: .6em; }
code { background: #f2f2f2; padding: .2em .4em; overflow-wrap: anywhere; }
"""


def check_place(out: Path) -> None:
    """Raise TargetExists if a folder is in the way, TargetError if that of the file is missing: before the work."""
    if is_folder(out):
        raise TargetExists(f"--report {out} is a folder", fix="name a file, such as report.html")
    if not is_folder(out.parent):
        raise TargetError(f"--report {out} cannot be written", why="its folder is missing", fix=f"make {out.parent}")


def write_run(out: Path, done: Done, command: str) -> None:
    """Write the report of a conversion to `out`. Raises TargetError, and BrokenSource if the result cannot be read."""
    conversion = done.conversion
    size = conversion.voxel_size
    facts = [
        ("read", str(conversion.src)),
        ("written", str(conversion.dst)),
        ("voxel size", f"{size} ({size.origin})" if size else "none: `cube` writes no metadata"),
        ("size", f"{size_text(done.stored_bytes)} on disk, {size_text(conversion.raw_bytes)} raw"),
        ("time", f"{done.seconds:.1f} s, {done.shards:,} shards, {done.resumed:,} of them from an earlier run"),
    ]
    there = is_file(conversion.dst / PROPERTIES_FILE)
    stored = [mag for mag in inventory(conversion.dst) if mag.where.layer in conversion.request.layers] if there else []
    _write(out, conversion.dst.name, command, facts, done.notes, conversion.layers, stored)


def write_source(
    out: Path, path: Path | str, layers: Sequence[SourceLayer], stored: Sequence[MagStorage], command: str
) -> None:
    """Write the report of what `info` finds to `out`. Raises TargetError and BrokenSource."""
    _write(out, str(path), command, [("read", str(path))], notes_on(layers), layers, stored)


def _write(
    out: Path,
    title: str,
    command: str,
    facts: Iterable[tuple[str, str]],
    notes: Iterable[str],
    layers: Sequence[SourceLayer],
    stored: Sequence[MagStorage],
) -> None:
    parts = [f"<h1>{escape(title)}</h1>", _table([], facts), *map(_note, notes)]
    for layer in layers:
        parts += _about(layer, [each for each in stored if each.where.layer == layer.name])
    if stored:
        heads = ("layer", "mag", "shape", "shards", "on disk", "raw to stored", "compression")
        parts += ["<h2>On disk</h2>", f'<div class="scroll">{_table(heads, map(_row, stored))}</div>']
    parts += ["<h2>To repeat it</h2>", f"<p><code>{escape(command)}</code></p>", f"<p>wkconvert {__version__}</p>"]
    body = "\n".join(parts)
    head = f"{META}<title>{escape(title)}</title><style>{STYLE}</style>"
    with writing(out), replacing(out) as temporary:
        temporary.write_text(
            f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n', "utf-8"
        )


def _about(layer: SourceLayer, stored: Sequence[MagStorage]) -> list[str]:
    """The facts of a layer, and a picture of what is written, which has coarser mags, or of the source."""
    written = {each.where.mag: each.mag for each in stored if each.mag}
    shown = look_at(layer.name, layer.category, written or layer.mags, layer.color, layer.intensity_range)
    read, size = layer.found.match, layer.voxel_size
    facts = [
        ("category", str(layer.decision)),
        ("read by", f"{read.format}: {read.reason}"),
        ("voxel size", f"{size} ({size.origin})" if size else "not stated"),
        ("mags read", ", ".join(map(str, sorted(layer.mags)))),
    ]
    png = standard_b64encode(picture("", [shown])).decode()
    image = f'<img alt="three planes of {escape(layer.name)}" src="data:image/png;base64,{png}">'
    return [f"<h2>{escape(layer.name)}</h2>", _table([], facts), image, _histogram(shown)]


def _row(mag: MagStorage) -> Sequence[str]:
    """A mag's row in the table of what is on disk."""
    where = mag.where
    shape = " x ".join(map(str, where.box.shape)) if where.box else ""
    ratio = f"{mag.ratio:.2f}" if mag.ratio else ""
    size = size_text(mag.stored_bytes)
    return where.layer, str(where.mag), shape, f"{mag.shards:,}", size, ratio, mag.compression or ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; without heads, the first cell of each row is one."""
    first = "td" if heads else "th"
    lines = ["".join(f"<th>{escape(text)}</th>" for text in heads)] if heads else []
    for row in rows:
        name, *others = map(escape, row)
        lines.append(f"<{first}>{name}</{first}>" + "".join(f"<td>{text}</td>" for text in others))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _note(note: str) -> str:
    kind = "warning" if isinstance(note, WarningNote) else "note"
    return f'<p class="{kind}">{kind}: {escape(note)}</p>'


def _histogram(shown: LayerPreview) -> str:
    """How often each value occurs in the planes, as a drawing; of labels, how many ids there are."""
    values = shown.values[np.isfinite(shown.values)]
    if shown.category == "segmentation":
        ids = np.unique(values[values != 0])
        return f"<p>{len(ids):,} ids in these planes, {(values == 0).mean():.1%} of the voxels are 0.</p>"
    if not values.size:
        return "<p>No value in these planes is a number.</p>"
    counts, edges = np.histogram(values.astype(np.float64), BINS)
    heights = 100 * counts / counts.max()
    bars = "".join(
        f'<rect x="{8 * n}" y="{100 - height:.1f}" width="7" height="{height:.1f}" fill="#5b7fa6"/>'
        for n, height in enumerate(heights)
    )
    text = "".join(
        f'<text x="{x}" y="116" text-anchor="{anchor}" font-size="12">{value:.6g}</text>'
        for x, anchor, value in ((0, "start", edges[0]), (8 * BINS, "end", edges[-1]))
    )
    size = f'width="{8 * BINS}" height="120" viewBox="0 0 {8 * BINS} 120"'
    return f'<svg role="img" aria-label="histogram of the planes" {size}>{bars}{text}</svg>'
