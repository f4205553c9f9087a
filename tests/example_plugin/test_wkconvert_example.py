import numpy as np
import pytest

from wkconvert_core.testing import Sample, SourceContract


class TestNpy(SourceContract):
    @pytest.fixture(params=["no", "yes"])
    def sample(self, request, tmp_path):
        voxels = np.random.default_rng(0).integers(0, 60000, (80, 90, 70), "uint16")
        np.save(tmp_path / "brain.npy", voxels)
        seen = voxels.T if request.param == "yes" else voxels
        return Sample(tmp_path / "brain.npy", options={"zyx": request.param}, expected=seen[np.newaxis])
