"""Draw the middle planes of each layer of a dataset or of any source. Behind `wkconvert preview`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import TargetExists
from wkconvert_core.conversion.settings import location
from wkconvert_core.conversion.source_layer import notes_on
from wkconvert_core.toolkit.atomic import replacing, writing
from wkconvert_core.toolkit.files import exists, is_file
from wkconvert_core.viewing.chosen import chosen_layers
from wkconvert_core.viewing.picture import MADE_BY, LayerPreview, look_at, picture


@dataclass(frozen=True)
class Preview:
    """The result of `preview`."""

    source: Path | str
    picture: Path
    layers: Sequence[LayerPreview]
    notes: Sequence[str]
    """The readers' notes on how the layers are read."""
    png: bytes
    """The picture's file."""


def preview(
    path: Path | str,
    out: Path | None = None,
    *,
    layers: Sequence[str] = (),
    reader: str | None = None,
    options: Mapping[str, str] | None = None,
) -> Preview:
    """Write a PNG with three planes of each layer (none: all) to `out`; None: `NAME-preview.png` in the current folder.

    Of a source that is no dataset, layers are shown as `convert` would write their finest mag. An earlier preview is
    replaced. Raises OptionError for an unknown layer, TargetExists for another file at `out`, TargetError, and the
    errors of opening and reading.
    """
    path = location(path)
    name = path.resolve().name if isinstance(path, Path) else path.rstrip("/").rpartition("/")[2]
    out = out or Path(f"{name}-preview.png")
    if exists(out) and not _is_preview(out):
        raise TargetExists(f"{out} is there already", why="it is no preview", fix="choose another file with -o")
    chosen = chosen_layers(path, layers, reader, options)
    shown = [look_at(layer.name, layer.category, layer.mags, layer.color, layer.intensity_range) for layer in chosen]
    png = picture(name, shown)
    with writing(out), replacing(out) as temporary:
        temporary.write_bytes(png)
    return Preview(path, out, shown, notes_on(chosen), png)


def _is_preview(path: Path) -> bool:
    """Whether a path leads to a picture of ours; it may be anything, of any size, and closed to us."""
    with suppress(OSError):
        if is_file(path):
            with path.open("rb") as stream:
                return MADE_BY.encode() in stream.read(4096)
    return False
