"""How a mag was made: recorded by every run that writes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from wkconvert_core.contract.geometry import Mag


@dataclass(frozen=True)
class Provenance:
    """How a mag was made: of which finer mag of its layer, by which kernel; or copied from the source."""

    finer: Mag | None = None
    """None: copied from the source."""
    kernel: str = ""

    @property
    def document(self) -> list[str]:
        """As a plan records it: `["2-2-1", "median"]`, or nothing for a copy."""
        return [str(self.finer), self.kernel] if self.finer else []

    @classmethod
    def parse(cls, document: Any) -> Self | None:
        """Read what `document` gives; None for what makes no sense."""
        try:
            return cls(Mag.parse(document[0]), str(document[1])) if document else cls()
        except (TypeError, ValueError, AttributeError, LookupError):
            return None
