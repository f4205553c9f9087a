"""Faults of the disk, made in this process: the n-th look at a folder fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from wkconvert_core import WkconvertError

LOOKS = ("scandir", "listdir", "stat", "lstat")


@contextmanager
def failing(number: int, below: Path, looks: tuple[str, ...] = LOOKS) -> Iterator[list[str]]:
    """Let the `number`-th look at anything below a folder fail; yields what has failed, at the end one look or none."""
    struck, looks_so_far = list[str](), 0

    def faulty(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def look(path: object = ".", *rest: object, **more: object) -> object:
            nonlocal looks_so_far
            if not isinstance(path, int) and Path(os.fsdecode(path)).is_relative_to(below):
                looks_so_far += 1
                if looks_so_far == number:
                    struck.append(f"{name} {path}")
                    raise OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(path))
            return real(path, *rest, **more)

        return look

    with pytest.MonkeyPatch.context() as patched:
        for name in looks:
            patched.setattr(os, name, faulty(name, getattr(os, name)))
        yield struck


def every_failure(
    below: Path, act: Callable[[], object], before: Callable[[], object] = lambda: None
) -> Iterator[tuple[str, object]]:
    """Let each look of `act` fail in turn: it raises an error of ours, or yields what has failed and what it returned.

    `before` prepares each turn, without a fault.
    """
    for number in count(1):
        before()
        returned, refused = None, False
        with failing(number, below) as struck:
            try:
                returned = act()
            except WkconvertError:
                refused = True
        if not struck:
            assert not refused, "it does not work without a fault either"
            assert number > 10, "hardly a look was struck"
            return
        if not refused:
            yield struck[0], returned
