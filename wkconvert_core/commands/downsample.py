"""Coarser mags for a dataset that is there. Behind `wkconvert downsample`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from wkconvert_core.commands.new_mags import Place, added
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.model import Sink, Source
from wkconvert_core.conversion.opening import Opened
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import Planned, kernel_of, together
from wkconvert_core.planning.step import factor_between
from wkconvert_core.sources.downsampled import Downsampled


def prepare(dst: Path, settings: Settings, *, names: Sequence[str] = (), start: Mag | None = None) -> Conversion:
    """Decide which coarser mags a dataset gets, and write nothing. For the rest, see `adding.added`."""
    return added(dst, settings, "downsample", _steps, names, start)


def _steps(place: Place, layer: Opened, start: Mag, taken: Collection[Mag]) -> Iterator[Planned]:
    """Make each mag after the first, unless it is there, of the one before it."""
    kernel, finer = kernel_of(layer, place.settings), start
    source, sources, sinks = layer.mags[finer], list[Source](), list[Sink]()
    for mag in place.coarser(layer, start, taken, place.settings.max_mag):
        if mag in layer.mags:
            yield from together(layer, sources, sinks, kernel, place.budget)
            source, sources, sinks = layer.mags[mag], [], []
        else:
            box = source.info.box.shifted(source.info.offset)
            made = Downsampled(source, box, factor_between(finer, mag), kernel, sources[-1] if sources else source)
            sink = place.sink(layer, made, mag, made.box)
            source, sources, sinks = sink.source(), [*sources, made], [*sinks, sink]
        finer = mag
    yield from together(layer, sources, sinks, kernel, place.budget)
