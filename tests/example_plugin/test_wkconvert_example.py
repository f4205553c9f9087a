import numpy as np
import pytest

from wkconvert_core.testing import Sample, SourceContract


class TestVox(SourceContract):
    @pytest.fixture(params=["no", "yes"])
    def sample(self, request, tmp_path):
        voxels = np.random.default_rng(0).integers(0, 60000, (80, 90, 70), "uint16")
        header, order = b"VOX1" + np.array(voxels.shape, ">u4").tobytes(), "C" if request.param == "yes" else "F"
        (tmp_path / "brain.vox").write_bytes(header + voxels.astype(">u2").tobytes(order))
        return Sample(tmp_path / "brain.vox", options={"zyx": request.param}, expected=voxels[np.newaxis])
