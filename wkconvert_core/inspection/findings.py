"""What verifying a dataset finds, and the run that finds it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.route import Budget


@dataclass(frozen=True)
class Problem:
    """Something that is damaged."""

    layer: str
    mag: Mag | None
    """None: all of the layer."""
    path: Path
    """A shard, a header, a mag's folder, or a list of checksums."""
    reason: str


@dataclass(frozen=True)
class MagSoundness:
    """What was found of one mag."""

    layer: str
    mag: Mag
    shards: int = 0
    stored_bytes: int = 0
    checksums_compared: int = 0
    """Shards whose checksum was compared."""
    checksums_written: bool = False
    """Whether checksums were added."""
    shards_not_recorded: int = 0
    """Shards without a recorded checksum, though the mag's others have one."""
    kernel: str | None = None
    """The kernel that was found to have made the mag; None where none is known or the voxels do not match."""
    kernel_reason: str | None = None
    """Why there is no kernel."""
    kernel_voxels: int = 0
    """Voxels that were made anew to be compared."""


@dataclass(frozen=True)
class Soundness:
    """What verifying a dataset found."""

    path: Path
    mags: Sequence[MagSoundness]
    damaged: Sequence[Problem]
    notes: Sequence[str]
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged


@dataclass
class Run:
    """One run of `verify`."""

    dataset: Path
    budget: Budget
    workers: Workers
    listen: Listener | None
    steps: int
    deep: bool
    """Whether mags are made anew as a whole."""
    kernels: Collection[str]
    """Those of the recorded kernels that are installed."""
    problems: list[Problem] = field(default_factory=list)
    step: int = 0

    def place(self) -> tuple[int, int]:
        """The number of the step that begins, and of all."""
        self.step += 1
        return self.step, self.steps

    def blame(self, where: MagOnDisk, path: Path, reason: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(where.layer, where.mag, path, reason))

    def is_sound(self, where: MagOnDisk) -> bool:
        """Whether nothing of a mag was found to be damaged so far."""
        return not any((problem.layer, problem.mag) == (where.layer, where.mag) for problem in self.problems)


def sentence(error: WkconvertError) -> str:
    """An error's message, as a part of another one."""
    return f"{error.what}: {error.why}" if error.why else error.what
