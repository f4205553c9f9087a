"""Progress of a run: the event, its listener, and the counter that sends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from wkconvert_core.engine.workers import Workers


@dataclass(frozen=True)
class Progress:
    """State of one step of a run."""

    step: str
    """Its title: `color mag 1`."""
    number: int
    """1 to `steps`; 0 before the first step."""
    steps: int
    voxels: int
    """Voxels done so far, of `total`."""
    total: int
    voxel_bytes: int
    """Bytes per voxel, all channels together."""
    workers: str = ""
    """On a cluster, the workers that have joined: `12 workers, 48 tasks`."""
    waiting: str = ""
    """The reason why the run waits; empty while it proceeds."""
    share: tuple[float, float] | None = None
    """Where this step begins and ends in the run's bytes, 0 to 1; None: all steps count alike."""

    @property
    def done(self) -> float:
        """The share of the whole run that is done, 0 to 1; before the first step 0.

        >>> Progress("em mag 1", 2, 4, 50, 100, 1).done, Progress("em mag 1", 2, 4, 50, 100, 1, share=(0.2, 0.8)).done
        (0.375, 0.5)
        """
        if not self.number:
            return 0.0
        begin, end = self.share or ((self.number - 1) / self.steps, self.number / self.steps)
        return begin + (end - begin) * self.voxels / self.total


Listener: TypeAlias = Callable[[Progress], None]


class Meter:
    """Counts a step's voxels and sends the progress to a listener, if there is one and there are any voxels.

    >>> meter = Meter(lambda now: print(f"{now.step}: {now.voxels} of {now.total}"), "em mag 1", (1, 2), 100, 4)
    em mag 1: 0 of 100
    >>> meter.advance(60)
    em mag 1: 60 of 100
    """

    def __init__(
        self,
        listen: Listener | None,
        title: str,
        number: tuple[int, int],
        total: int,
        voxel_bytes: int,
        *,
        done: int = 0,
        workers: Workers | None = None,
        share: tuple[float, float] | None = None,
    ) -> None:
        """`number`: the step's number and the number of steps; `done`: voxels that an earlier run has finished."""
        self._now = Progress(title, *number, done, total, voxel_bytes, share=share)
        self._listen = listen if listen and total else lambda progress: None
        self._workers = workers
        self._listen(self._now)

    def advance(self, voxels: int) -> None:
        """Add voxels that are done."""
        status = self._workers.status if self._workers else ""
        self._now = replace(self._now, voxels=self._now.voxels + voxels, workers=status)
        self._listen(self._now)
