"""Headers of JPEG XL that encoders at hand do not write, put together bit by bit by ISO/IEC 18181-1."""

import io

import pytest

from wkconvert_core import UnsupportedSource
from wkconvert_images.headers.jpeg_xl import jpeg_xl

SIZE = [(1, 1), (1, 5), (1, 3)]
"""Small, 16 rows, as wide as high."""
DEPTH = [(0, 1), (0, 2)]
"""Whole numbers of 8 bits."""
RGB_NOT_XYB = [(0, 1), (1, 1)]


def header(*fields):
    """The facts of a header of numbers and their widths in bits, the lowest first."""
    number, at = 0, 0
    for value, width in (field for part in fields for field in part):
        number |= value << at
        at += width
    content = b"\xff\x0a" + number.to_bytes(at // 8 + 1, "little")
    return jpeg_xl("a.jxl", io.BytesIO(content), content, len(content))


def test_alpha_is_the_only_channel_beside_colours():
    plain, one = [(0, 1), (0, 1)], [(0, 1), (1, 2)]  # nothing as by default, no extra fields; one more channel
    found = header(SIZE, plain, DEPTH, one, [(1, 1)], RGB_NOT_XYB)
    assert (found.width, found.height, found.alpha, found.grey, found.samples.lossy) == (16, 16, True, False, False)
    depth_map = [(0, 1), (1, 2), *DEPTH, (0, 2), (0, 2)]
    with pytest.raises(UnsupportedSource, match="1 channels that are not only alpha"):
        header(SIZE, plain, DEPTH, one, depth_map, RGB_NOT_XYB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_upright_picture(orientation):
    wide = [(1, 1), (0, 5), (7, 3)]  # 8 rows, twice as wide
    turned = [(0, 1), (1, 1), (orientation - 1, 3), (0, 3)]
    found = header(wide, turned, DEPTH, [(0, 1), (0, 2)], RGB_NOT_XYB)
    assert (found.width, found.height) == ((8, 16) if orientation > 4 else (16, 8))


def test_what_is_as_by_default_is_lossy_colour_of_8_bits():
    found = header(SIZE, [(1, 1)])
    assert (found.samples.bits, found.samples.lossy, found.grey, found.alpha) == (8, True, False, False)
