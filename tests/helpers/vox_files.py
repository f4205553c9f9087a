"""Files of the format that the example plugin reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def save_vox(path: Path, voxels: np.ndarray[Any, np.dtype[Any]]) -> Path:
    """Write voxels `[x, y, z]` of uint16 as a .vox file."""
    path.write_bytes(b"VOX1" + np.array(voxels.shape, ">u4").tobytes() + voxels.astype(">u2").tobytes("F"))
    return path
