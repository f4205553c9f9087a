"""Progress of a run: a bar on a terminal or in a notebook, plain lines elsewhere, JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from wkconvert_core.cli.reporting.output import as_document, print_lines, printable, rate_text

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.engine.progress import Listener, Progress

WIDE = 100
"""Columns from which a bar leaves room for more than the most important."""
KEPT = 6
"""Most steps whose bars stay when they are done."""
PLAIN_SECONDS = 10.0
"""Least time between two plain lines of a step."""
NOTEBOOK_SECONDS = 0.25
"""Least time between two states of a notebook's bar."""


@contextmanager
def shown(console: Console, how: str = "auto") -> Iterator[Listener]:
    """A listener that shows progress on a console: `bar`, `plain`, `json`, `none`, or `auto`, as fits the console."""
    from rich.console import Console

    if how == "none":
        yield lambda progress: None
    elif how == "json":
        yield lambda progress: _print_event(progress, console)
    elif console.is_jupyter:
        yield _Cell(console)
    elif how == "bar" or (how == "auto" and console.is_terminal):
        with _bar(console if console.is_terminal else Console(file=console.file, force_terminal=True)) as bar:
            yield _Bar(bar)
    else:
        yield _Lines(console)


def _print_event(now: Progress, console: Console) -> None:
    console.file.write(json.dumps(as_document(now)) + "\n")
    console.file.flush()


def _bar(console: Console) -> Any:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.table import Column

    title = Column(overflow="fold", max_width=console.width // (3 if console.width < WIDE else 2))
    return Progress(
        TextColumn("{task.description}", table_column=title, markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[told]}", style="cyan", table_column=Column(no_wrap=True), markup=False),
        console=console,
        expand=True,
    )


class _Rate:
    """Measures speed, and estimates the time that is left, of a step and of all."""

    def __init__(self, first: Progress) -> None:
        self._began, self._voxels, self._done = time.monotonic(), first.voxels, first.done

    def text(self, now: Progress, *, both: bool = True) -> str:
        """Mean speed so far: `120 MB/s`, with `both` also in voxels; `there already` if nothing had to be done."""
        voxels, seconds = now.voxels - self._voxels, time.monotonic() - self._began
        if not voxels:
            return "there already" if now.voxels == now.total else ""
        parts = [rate_text(voxels * now.voxel_bytes, seconds), rate_text(voxels, seconds, "Mvx/s")]
        return " ".join(filter(None, parts if both else parts[:1]))

    def left(self, now: Progress) -> str:
        """Estimated time until the step ends: `0:12 left`; empty while that is unknown, and in the last second."""
        return self._estimated(now.voxels - self._voxels, now.total - now.voxels)

    def left_in_all(self, now: Progress) -> str:
        """The same until the run ends."""
        return self._estimated(now.done - self._done, 1 - now.done)

    def _estimated(self, done: float, ahead: float) -> str:
        if done <= 0 or ahead <= 0:
            return ""
        if not (seconds := round((time.monotonic() - self._began) * ahead / done)):
            return ""
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours}:{minutes:02}:{seconds % 60:02} left" if hours else f"{minutes}:{seconds % 60:02} left"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


class _Bar:
    """Shows a bar over all steps, if there are several, and below it one for each; of many only for the current one."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._wide = bar.console.width >= WIDE
        self._step: tuple[int, Any, _Rate] | None = None
        self._whole: tuple[Any, _Rate] | None = None

    def __call__(self, now: Progress) -> None:
        if now.waiting:
            print_lines(self._bar.console, now.waiting)
            return
        if self._step is None or self._step[0] != now.number:
            self._begin(now)
        assert self._step, "it has begun"
        _, task, rate = self._step
        told = _joined(rate.text(now, both=self._wide), rate.left(now))
        self._bar.update(task, completed=now.voxels, told=told)
        if self._whole:
            task, rate = self._whole
            self._bar.update(task, completed=now.done, told=_joined(now.workers, rate.left_in_all(now)))

    def _begin(self, now: Progress) -> None:
        """Add a bar for a new step."""
        if self._step and now.steps > KEPT:
            self._bar.remove_task(self._step[1])
        if self._whole is None and (now.steps > 1 or now.workers):
            whole = self._bar.add_task(f"all {now.steps} steps" if now.steps > 1 else "all", total=1.0, told="")
            self._whole = whole, _Rate(now)
        title = printable(f"{now.number}/{now.steps} {now.step}")
        self._step = now.number, self._bar.add_task(title, total=now.total, told=""), _Rate(now)


class _Lines:
    """Prints a line when a step ends, and every few seconds before."""

    def __init__(self, console: Console, pause: float = PLAIN_SECONDS) -> None:
        self._console, self._pause = console, pause
        self._step: tuple[int, _Rate] | None = None
        self._whole: _Rate | None = None
        self._last = 0.0

    def __call__(self, now: Progress) -> None:
        if now.waiting:
            self._tell(now, now.waiting)
            return
        self._whole = self._whole or _Rate(now)
        if self._step is None or self._step[0] != now.number:
            self._step, self._last = (now.number, _Rate(now)), time.monotonic()
        if now.voxels < now.total and time.monotonic() - self._last < self._pause:
            return
        self._last, rate = time.monotonic(), self._step[1]
        done = f"{now.number}/{now.steps} {now.step}: {now.voxels / now.total:.0%}"
        whole = self._whole.left_in_all(now) if now.steps > 1 else ""
        self._tell(now, _joined(done, rate.text(now), now.workers, rate.left(now), whole and f"{whole} in all"))

    def _tell(self, now: Progress, line: str) -> None:
        print_lines(self._console, line)


class _Cell(_Lines):
    """Shows a bar over the run, and the line of its step, below a notebook's cell; the notebook keeps the last state.

    Rich's own bar is a widget, of which a stored notebook shows nothing, and needs `ipywidgets`.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console, NOTEBOOK_SECONDS)
        self._shown: Any = None

    def _tell(self, now: Progress, line: str) -> None:
        from IPython.display import display

        bar = f'<progress max="1" value="{now.done:.3f}" style="width: 20em"></progress>'
        state = {"text/plain": line, "text/html": f"{bar} {escape(printable(line))}"}
        if self._shown:
            self._shown.update(state, raw=True)
        else:
            self._shown = display(state, raw=True, display_id=True)
