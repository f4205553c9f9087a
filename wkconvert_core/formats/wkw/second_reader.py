"""WKW as the reference library reads it, for `wkconvert verify --with wkw`: an opinion beside our strict one.

It reads damaged headers and jump tables as black. So it is asked only where ours has found nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core.contract.geometry import Box

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


def read(folder: Path, box: Box) -> Array:
    """The voxels of a box `[c, x, y, z]`. Raises ImportError, and whatever the library raises."""
    import wkw

    with wkw.Dataset.open(str(folder)) as dataset:
        found: Array = dataset.read(tuple(box.start), tuple(box.shape))
    return found
