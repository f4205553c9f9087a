"""How far a run is: what is told, who is told, and one place that counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from wkconvert_core.engine.workers import Workers


@dataclass(frozen=True)
class Progress:
    """How far a step is."""

    step: str
    number: int
    steps: int
    voxels: int
    """Done so far, of `total`."""
    total: int
    voxel_bytes: int
    workers: str = ""
    """Who is at work, where that changes: on a cluster."""
    waiting: str = ""
    """What the run waits for before anything goes on."""


Listener: TypeAlias = Callable[[Progress], None]


class Meter:
    """Counts a step's voxels and tells a listener, if there is one and there is anything to count."""

    def __init__(
        self,
        listen: Listener | None,
        title: str,
        place: tuple[int, int],
        total: int,
        voxel_bytes: int,
        *,
        done: int = 0,
        workers: Workers | None = None,
    ) -> None:
        """`place`: the step's number, and how many steps there are; `done`: voxels that are there already."""
        self._now = Progress(title, *place, done, total, voxel_bytes)
        self._listen = listen if listen and total else lambda progress: None
        self._workers = workers
        self._listen(self._now)

    def advance(self, voxels: int) -> None:
        """Some more are done."""
        status = self._workers.status if self._workers else ""
        self._now = replace(self._now, voxels=self._now.voxels + voxels, workers=status)
        self._listen(self._now)
