"""How a mag was made, as every run records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from wkconvert_core.contract.geometry import Mag


@dataclass(frozen=True)
class Provenance:
    """How a mag was made: from a finer mag of its layer by a kernel, or copied from the source.

    >>> Provenance(Mag(2, 2, 1), "median").document
    ['2-2-1', 'median']
    >>> Provenance.parse(["2-2-1", "median"]) == Provenance(Mag(2, 2, 1), "median")
    True
    >>> Provenance.parse([]), Provenance.parse(["two", "median"])
    (Provenance(finer=None, kernel=''), None)
    """

    finer: Mag | None = None
    """None: copied from the source."""
    kernel: str = ""

    @property
    def document(self) -> list[str]:
        """The JSON form that a plan holds; an empty list for a copy."""
        return [str(self.finer), self.kernel] if self.finer else []

    @classmethod
    def parse(cls, document: Any) -> Self | None:
        """Read the JSON form; None if it is malformed."""
        try:
            return cls(Mag.parse(document[0]), str(document[1])) if document else cls()
        except (TypeError, ValueError, AttributeError, LookupError):
            return None
