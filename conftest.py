"""What the examples in docstrings take for granted."""

import numpy as np
import pytest
from helpers.sources import InMemory


@pytest.fixture(autouse=True)
def names(doctest_namespace):
    """Let examples say `in_memory([1, 2, 3])` for a Source of three voxels along x."""
    doctest_namespace["in_memory"] = lambda row, dtype="uint8": InMemory(np.array(row, dtype).reshape(1, -1, 1, 1))
