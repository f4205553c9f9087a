"""A mag read a second time by a library that is not ours, and compared with what we read. Behind `verify --with`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from wkconvert_core.contract.errors import BrokenSource, DamagedData, OptionError, SourceError, one_of
from wkconvert_core.contract.geometry import Box, Vec3
from wkconvert_core.contract.mag_format import SecondReader, StoredMag
from wkconvert_core.contract.model import VolumeInfo
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.engine.progress import Meter
from wkconvert_core.inspection.compare import CompareWith, cell_side, compare
from wkconvert_core.inspection.findings import MagSoundness, Run, sentence
from wkconvert_core.planning.step import Step
from wkconvert_core.registry.plugins import plugins

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class ReadByLibrary:
    """The voxels of a mag as a library reads them, as a Source."""

    mag: StoredMag
    reader: SecondReader

    @property
    def info(self) -> VolumeInfo:
        """The facts as our own reader states them."""
        return self.mag.info

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises BrokenSource for whatever the library raises."""
        try:
            return self.reader.read_by_library(self.mag, box + self.mag.box.start)
        except Exception as error:
            what = f"{self.reader.library} does not read {self.mag.folder}, which wkconvert does"
            raise BrokenSource(what, why=f"{type(error).__name__}: {error}") from error


def is_read_by(where: MagOnDisk, library: str) -> bool:
    """Whether the library reads a mag: one in a folder, in its format."""
    return isinstance(where.format, SecondReader) and where.format.library == library and not where.url


def check_library(library: str, wanted: Sequence[MagOnDisk]) -> None:
    """Raise OptionError for a library that nobody knows, that is missing, or that reads none of the mags."""
    formats = plugins().mag_formats()
    second = {name: form.library for name, form in formats.items() if isinstance(form, SecondReader)}
    known = {each: [name for name, own in second.items() if own == each] for each in second.values()}
    if library not in known:
        raise OptionError(f"--with {library} is no second reader", fix=one_of(sorted(known), library))
    if find_spec(library) is None:
        raise OptionError(f"--with {library} needs the library {library}", fix=f"pip install {library}")
    if not any(is_read_by(where, library) for where in wanted):
        found = ", ".join(sorted({where.format.name for where in wanted}))
        why = f"they are {found}, and it reads {' and '.join(known[library])} in folders"
        raise OptionError(f"--with {library} reads none of these mags", why=why)


def check_second(run: Run, where: MagOnDisk, result: MagSoundness, library: str) -> MagSoundness:
    """Read a mag by the library, too, and compare every voxel; returns `result` with what was compared.

    A difference is a problem of the run. A mag that is damaged is not read again: what the library makes of it, black
    for example, is no second opinion.
    """
    if not (is_read_by(where, library) and run.is_sound(where)):
        return result
    reader = where.format
    assert isinstance(reader, SecondReader), "the library reads it"
    number = run.next_step()
    try:
        ours = where.open()
        side = cell_side(ours.info.voxel_bytes, run.budget)
        other = ReadByLibrary(ours, reader)
        step = Step(ours, (CompareWith(other, where.layer, where.mag, ours.box, Vec3(1, 1, 1) * side),))
        meter = Meter(run.listen, f"{where.title}, by {library}", number, step.voxels, step.voxel_bytes)
        difference = compare(step, run.budget, run.workers, meter.advance)
    except (DamagedData, SourceError) as error:
        run.blame(where, where.folder, sentence(error))
        return result
    if difference is not None:
        run.blame(where, where.folder, f"{library} reads other voxels than wkconvert: {difference}")
        return result
    return replace(result, second_reader=library, second_reader_voxels=step.voxels)
