"""Progress of a run on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.engine.progress import Listener, Progress

PLAIN_SECONDS = 10.0
"""Least time between two plain lines of a step."""


@contextmanager
def shown(console: Console, quiet: bool) -> Iterator[Listener]:
    """A listener that shows progress as fits the console, or not at all."""
    if quiet:
        yield lambda progress: None
    elif console.is_terminal:
        with _bar(console) as bar:
            yield _Bar(bar)
    else:
        yield _Lines(console)


def _bar(console: Console) -> Any:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    title = Column(overflow="fold", max_width=console.width // 2)  # so that a long name leaves room for the numbers
    return Progress(
        TextColumn("{task.description}", table_column=title),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}", style="cyan"),
        TimeRemainingColumn(),
        console=console,
        expand=True,
    )


class _Rate:
    """Measures the speed of a step."""

    def __init__(self, first: Progress) -> None:
        self._began, self._voxels = time.monotonic(), first.voxels

    def text(self, now: Progress) -> str:
        """Mean speed so far: `120 MB/s 30 Mvx/s`."""
        seconds = time.monotonic() - self._began
        voxels = (now.voxels - self._voxels) / seconds if seconds > 0 else 0.0
        return f"{voxels * now.voxel_bytes / 1e6:.0f} MB/s {voxels / 1e6:.0f} Mvx/s"

    def remaining(self, now: Progress) -> str:
        """Estimated time: `, 0:12 left`; empty while that is unknown, and at the end."""
        done = now.voxels - self._voxels
        if not done or now.voxels == now.total:
            return ""
        seconds = int((time.monotonic() - self._began) * (now.total - now.voxels) / done)
        return f", {seconds // 60}:{seconds % 60:02} left"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


class _Bar:
    """Shows a bar for each step."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._step: tuple[int, Any, _Rate] | None = None

    def __call__(self, now: Progress) -> None:
        if now.waiting:
            self._bar.console.print(now.waiting, highlight=False, soft_wrap=True, markup=False)
            return
        if self._step is None or self._step[0] != now.number:
            title = f"{now.number}/{now.steps} {now.step}"
            self._step = now.number, self._bar.add_task(title, total=now.total, rate=""), _Rate(now)
        _, task, rate = self._step
        self._bar.update(task, completed=now.voxels, rate=_joined(rate.text(now), now.workers))


class _Lines:
    """Prints a line when a step ends, and every few seconds before."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step: tuple[int, _Rate] | None = None
        self._last = 0.0

    def __call__(self, now: Progress) -> None:
        if now.waiting:
            self._console.print(now.waiting, highlight=False, soft_wrap=True, markup=False)
            return
        if self._step is None or self._step[0] != now.number:
            self._step, self._last = (now.number, _Rate(now)), time.monotonic()
        if now.voxels < now.total and time.monotonic() - self._last < PLAIN_SECONDS:
            return
        self._last, rate = time.monotonic(), self._step[1]
        done = f"{now.number}/{now.steps} {now.step}: {now.voxels / now.total:.0%}"
        line = f"{_joined(done, rate.text(now), now.workers)}{rate.remaining(now)}"
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)
