"""Notes to the user: facts, and warnings of what may be wrong in the result."""

from __future__ import annotations

from collections.abc import Collection


class WarningNote(str):
    """A note that has to be seen before the work begins: something was left out, guessed, or contradicts itself.

    A plain `str` among notes is a fact that is good to know. Warnings are shown under `-q` too, and `--strict` makes an
    error of each.

    >>> notes = ["1-bit values are stored as uint8, 0 and 1", WarningNote("3 files are left out: a.tif, b.tif, c.tif")]
    >>> [note for note in notes if isinstance(note, WarningNote)]
    ['3 files are left out: a.tif, b.tif, c.tif']
    """

    __slots__ = ()


def counted(notes: Collection[str]) -> str:
    """The number of notes, and of the warnings among them.

    >>> counted(["alpha dropped", WarningNote("slice 3 is missing")]), counted([])
    ('2 notes (1 warning)', '0 notes')
    """
    warnings = sum(isinstance(note, WarningNote) for note in notes)
    return f"{len(notes)} notes" + f" ({warnings} warning{'s' * (warnings > 1)})" * bool(warnings)


def about(subject: str, note: str) -> str:
    """The note with what it is about before it; a warning stays one.

    >>> about("em", WarningNote("slice 3 is missing"))
    'em: slice 3 is missing'
    >>> type(_).__name__, type(about("em", "alpha dropped")).__name__
    ('WarningNote', 'str')
    """
    return type(note)(f"{subject}: {note}")
