"""The result of `verify`, and the run that collects it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.notes import counted
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.costs import Budget
from wkconvert_core.toolkit.byte_sizes import size_text


@dataclass(frozen=True)
class Problem:
    """One case of damage."""

    layer: str
    mag: Mag | None
    """None: the whole layer."""
    path: Path
    """The damaged shard, header, folder of a mag, or list of checksums."""
    reason: str


@dataclass(frozen=True)
class MagSoundness:
    """The result for one mag."""

    layer: str
    mag: Mag
    shards: int = 0
    stored_bytes: int = 0
    checksums_compared: int = 0
    """Shards whose checksum was compared."""
    checksums_written: bool = False
    """Whether checksums were added."""
    shards_not_recorded: int = 0
    """Shards without a recorded checksum, in a mag of which others have one."""
    kernel: str | None = None
    """The kernel that made the mag, confirmed by recomputing voxels; None if unknown or not confirmed."""
    kernel_reason: str | None = None
    """Why `kernel` is None."""
    kernel_voxels: int = 0
    """Number of recomputed voxels."""
    second_reader: str | None = None
    """The library that reads the same voxels; None if none was asked, or it reads others."""
    second_reader_voxels: int = 0
    """Number of voxels that were compared with what it reads."""


@dataclass(frozen=True)
class Soundness:
    """The result for a dataset."""

    path: Path
    mags: Sequence[MagSoundness]
    damaged: Sequence[Problem]
    notes: Sequence[str]
    seconds: float
    changed: Sequence[Problem] = ()
    """Mags that decode soundly, and that another program has rewritten since a run recorded them."""

    def __repr__(self) -> str:
        """`<Soundness em: sound; 3 mags, 12 shards, 1.2MiB, 0.4 s, 0 notes>`."""
        verdict = "sound" if self.sound else f"{len(self.damaged)} damaged, {len(self.changed)} changed"
        shards, size = sum(mag.shards for mag in self.mags), sum(mag.stored_bytes for mag in self.mags)
        facts = f"{len(self.mags)} mags, {shards} shards, {size_text(size)}, {self.seconds:.1f} s"
        return f"<Soundness {self.path}: {verdict}; {facts}, {counted(self.notes)}>"

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged, and all is as it was recorded."""
        return not self.damaged and not self.changed


@dataclass
class Run:
    """State of one run of `verify`."""

    dataset: Path
    budget: Budget
    workers: Workers
    listen: Listener | None
    steps: int
    deep: bool
    """Whether mags are recomputed completely, not only in sampled boxes."""
    kernels: Collection[str]
    """The recorded kernels that are installed."""
    problems: list[Problem] = field(default_factory=list)
    changed: dict[tuple[str, Mag], Problem] = field(default_factory=dict)
    """Mags that were rewritten since, by layer and mag."""
    step: int = 0

    def next_step(self) -> tuple[int, int]:
        """Begin a step; returns its number, from 1, and the number of steps."""
        self.step += 1
        return self.step, self.steps

    def blame(self, where: MagOnDisk, path: Path, reason: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(where.layer, where.mag, path, reason))

    def is_changed(self, where: MagOnDisk) -> bool:
        """Whether a mag was rewritten since it was recorded."""
        return (where.layer, where.mag) in self.changed

    def is_sound(self, where: MagOnDisk) -> bool:
        """Whether no damage of a mag was found so far."""
        return not any((problem.layer, problem.mag) == (where.layer, where.mag) for problem in self.problems)


def sentence(error: WkconvertError) -> str:
    """An error's message without its remedy, to be part of another one."""
    return f"{error.what}: {error.why}" if error.why else error.what
