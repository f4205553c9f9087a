"""Boxes of raw volumes: the right voxels, in few reads, never backwards."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import Box
from wkconvert_core.toolkit import raw_rows
from wkconvert_core.toolkit.raw_rows import cheap_run, fill, fill_rows, read_box


class Counting(io.BytesIO):
    """Gives `most` bytes at a time, and remembers what was asked for."""

    def __init__(self, content, most=1 << 30):
        super().__init__(content)
        self.most, self.asked = most, []

    def readinto(self, buffer):
        self.asked.append((self.tell(), len(buffer)))
        return super().readinto(buffer[: self.most])


def volume(width, height, depth, samples=1, dtype="u1"):
    """Stored `[z, y, x, c]`."""
    kind = np.dtype(dtype)
    values = np.random.default_rng(0).integers(0, 1 << 8 * min(kind.itemsize, 4), (depth, height, width, samples))
    return values.astype(kind)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_box_is_that_part_of_the_volume(data):
    dtype = data.draw(st.sampled_from(["u1", "<u2", ">u2", "<f4", ">f8", ">i8"]))
    samples, span, gap = (data.draw(st.sampled_from(some)) for some in ([1, 3], [1, 100, 1 << 18], [0, 20, 1 << 12]))
    shape = tuple(data.draw(st.tuples(*[st.integers(1, 7)] * 3)))
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    box = Box.between(tuple(low for low, _ in ends), tuple(high for _, high in ends))
    stored = volume(*shape, samples, dtype)
    file = Counting(b"head" + stored.tobytes() + b"tail")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_rows, "_SPAN", span)
        patch.setattr(raw_rows, "_GAP", gap)
        found = read_box(file, box, shape, dtype, start=4, samples=samples)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, stored.transpose(3, 2, 1, 0)[:, *box.slices_in(Box((0, 0, 0), shape))])
    ends = [place + count for place, count in file.asked]
    assert all(place >= end for (place, _), end in zip(file.asked[1:], ends[:-1], strict=True)), "never backwards"


def test_long_gaps_are_skipped_and_short_ones_read():
    stored = volume(9000, 40, 5)
    file = Counting(stored.tobytes())
    read_box(file, Box((100, 10, 2), (50, 20, 2)), (9000, 40, 5), "u1")
    assert [count for _, count in file.asked] == [50] * 40
    file.asked.clear()
    read_box(file, Box((0, 10, 2), (8900, 20, 1)), (9000, 40, 5), "u1")
    assert file.asked == [((2 * 40 + 10) * 9000, 19 * 9000 + 8900)]
    file.asked.clear()
    read_box(file, Box((0, 0, 1), (9000, 40, 1)), (9000, 40, 5), "u1")
    assert file.asked == [(40 * 9000, 40 * 9000)]


def test_a_file_may_give_less_at_a_time_than_was_asked_for():
    stored = volume(5, 6, 7, dtype="<u2")
    found = read_box(Counting(stored.tobytes(), most=3), Box((0, 0, 0), (5, 6, 7)), (5, 6, 7), "<u2")
    np.testing.assert_array_equal(found[0], stored[..., 0].T)


@pytest.mark.parametrize("length", [0, 1, 209])
def test_a_file_that_ends_too_early_says_where(length):
    content = volume(5, 6, 7).tobytes()[:length]
    with pytest.raises(EOFError, match=rf"210 bytes expected, it ends at byte {length}") as caught:
        fill(io.BytesIO(content), np.zeros(210, "u1"), 0)
    assert caught.type is EOFError
    with pytest.raises(EOFError):
        read_box(io.BytesIO(content), Box((0, 0, 6), (5, 6, 1)), (5, 6, 7), "u1")


def test_rows_may_lie_apart_in_memory():
    out = np.zeros((4, 9), "<u2")
    fill_rows(io.BytesIO(np.arange(40, dtype="<u2").tobytes()), out[:, 2:5], start=2, row_bytes=20)
    np.testing.assert_array_equal(out[:, 2:5], [[n, n + 1, n + 2] for n in (1, 11, 21, 31)])
    assert not out[:, :2].any()
    assert not out[:, 5:].any()


def test_memory_in_pieces_is_refused_instead_of_filled_in_vain():
    with pytest.raises(ValueError, match="not one piece of memory"):
        fill(io.BytesIO(bytes(100)), np.zeros((4, 4), "u1")[:, ::2], 0)


def test_a_run_is_a_page_of_memory_and_never_longer_than_the_row():
    assert [cheap_run(width, 4) for width in (10, 1024, 5000)] == [10, 1024, 1024]
    assert cheap_run(3, 10_000) == 1
