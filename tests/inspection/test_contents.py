"""What a survey of a mag finds: where its voxels lie, and the largest of them."""

import numpy as np
import pytest
from helpers.datasets import write_by_wkw
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import Box, Mag
from wkconvert_core.datasets.dataset import MagFolder
from wkconvert_core.engine.workers import Workers
from wkconvert_core.formats.wkw.source import WkwSource
from wkconvert_core.inspection.contents import survey
from wkconvert_core.planning.route import Budget

PLENTY = Budget(1 << 30, 2, shared=True, scratch=0, base=0)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.data())
def test_any_voxels_are_found_where_they_are(tmp_path_factory, data):
    points = data.draw(st.lists(st.tuples(*[st.integers(0, 150)] * 3), min_size=1, max_size=6))
    folder = tmp_path_factory.mktemp("survey") / "em" / "1"
    volume = np.zeros((2, 160, 160, 160), np.int16)
    for number, point in enumerate(points):
        volume[(number % 2, *point)] = number - 2 or 9
    write_by_wkw(
        folder, volume, file_len=data.draw(st.sampled_from([1, 4])), block_type=data.draw(st.sampled_from([1, 2]))
    )
    place, low, high = MagFolder("em", Mag(1, 1, 1), folder), np.min(points, axis=0), np.max(points, axis=0) + 1
    expected = Box(tuple(map(int, low)), tuple(map(int, high - low)))
    for outline in (True, False):
        found = survey(place, PLENTY, Workers("threads", 2), None, outline=outline)
        assert found.box == expected
    assert found.largest == max(0, int(volume.max()))


def test_an_outline_leaves_the_inside_unread(tmp_path, monkeypatch):
    folder = write_by_wkw(tmp_path / "em/1", np.ones((1, 192, 192, 192), np.uint8), file_len=1)
    read, real = [], WkwSource.read
    monkeypatch.setattr(WkwSource, "read", lambda self, box: (read.append(box), real(self, box))[1])
    place = MagFolder("em", Mag(1, 1, 1), folder)
    found = survey(place, PLENTY, Workers("sequential", 1), None, outline=True)
    assert found.box == Box((0, 0, 0), (192, 192, 192))
    assert len(read) <= 6**3 - 4**3
