"""What core and plugins exchange: where a volume lies, and the checksums of files."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core import Box, Checksum, VolumeInfo


def test_the_extent_is_the_volume_where_it_lies_in_the_dataset() -> None:
    info = VolumeInfo((4, 5, 6), np.dtype("uint8"), offset=(10, 0, 3))
    assert info.box == Box((0, 0, 0), (4, 5, 6))
    assert info.extent == Box((10, 0, 3), (4, 5, 6))


@given(st.binary(max_size=99))
def test_a_checksum_is_read_as_it_is_written(content: bytes) -> None:
    checksum = Checksum(zlib.crc32(content), len(content))
    assert Checksum.parse(str(checksum)) == checksum
    assert str(checksum) == f"crc32:{zlib.crc32(content):08x}:{len(content)}"


@pytest.mark.parametrize(
    "text",
    [
        *("", "crc32", "crc32:1c291ca3", "crc32:1c291ca3:", "crc32:1C291CA3:1", "crc32:1c291ca:1", "md5:1c291ca3:1"),
        *("crc32:1c291ca3:-1", "crc32:1c291ca3:1 ", "crc32:1c291ca3:1\n", " crc32:1c291ca3:1", "crc32:1c291ca3:1:1"),
    ],
)
def test_what_is_no_checksum_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no checksum; one reads crc32:1c291ca3:16424") as caught:
        Checksum.parse(text)
    assert repr(text) in str(caught.value)
