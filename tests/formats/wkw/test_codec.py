import contextlib
import math
import struct
import tracemalloc
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import lz4.block
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core.contract.errors import DamagedData, TargetError
from wkconvert_core.contract.geometry import Box, Vec3
from wkconvert_core.formats.wkw.blocks import empty_voxels
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.encoding import encode_shard
from wkconvert_core.formats.wkw.header import BLOCK_TYPES, VOXEL_TYPES, BlockType, Header

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES = st.sampled_from(VOXEL_TYPES).map(np.dtype)
LEVELS = {"raw": None, "lz4": None, "lz4hc": 3}


def voxels(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Voxels of every bit pattern, with constant stretches among them; NaN is left out, for it equals nothing."""
    rng = np.random.default_rng(seed)
    noise = np.frombuffer(rng.bytes(math.prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)
    noise = np.nan_to_num(noise) if noise.dtype.kind == "f" else noise
    x = np.arange(shape[1])[None, :, None, None]
    return np.where((x // 8) % 2 == seed % 2, noise, np.asarray(rng.integers(0, 3)).astype(dtype))


def encoded(data: Array, header: Header, start: Vec3 = (0, 0, 0), level: int | None = None) -> bytes:
    return b"".join(encode_shard(data, header, start, level))


def decode_shard(content: bytes, header: Header, box: Box | None = None) -> Array:
    """The voxels of a box of a shard (None: all of it) from the content of its file."""
    view = memoryview(content)
    shard = Shard(lambda start, stop: view[start:stop], len(view), header)
    box = box or Box((0, 0, 0), (header.side,) * 3)
    out = empty_voxels(box.shape, header)
    shard.read_into(out, box)
    return out


def morton(x: int, y: int, z: int) -> int:
    return sum(((a >> bit) & 1) << (3 * bit + axis) for bit in range(16) for axis, a in enumerate((x, y, z)))


def blocks_by_definition(data: Array, header: Header) -> Iterator[bytes]:
    """The blocks of a whole shard, in the order of the file, voxel by voxel."""
    n, count = header.block_len, header.file_len
    places = sorted(product(range(count), repeat=3), key=lambda place: morton(*place))
    little = data.astype(data.dtype.newbyteorder("<"))
    for i, j, k in places:
        block = little[:, i * n : i * n + n, j * n : j * n + n, k * n : k * n + n]
        order = ((c, x, y, z) for z in range(n) for y in range(n) for x in range(n) for c in range(header.channels))
        yield b"".join(block[place].tobytes() for place in order)


@st.composite
def shards(draw: st.DrawFn, most_blocks: int = 64) -> tuple[Header, Array, Vec3]:
    """A header, voxels that fill a part of its shard, and where they begin in it."""
    block_len = draw(st.sampled_from([1, 2, 4, 8, 16]))
    file_len = draw(st.sampled_from([n for n in (1, 2, 4) if n**3 <= most_blocks]))
    header = Header(block_len, file_len, draw(st.sampled_from(BLOCK_TYPES)), draw(DTYPES), draw(st.integers(1, 3)))
    bounds = [sorted(draw(st.tuples(*[st.integers(0, header.side)] * 2))) for _ in range(3)]
    x, y, z = (low for low, _ in bounds)
    shape = [high - low for low, high in bounds]
    return header, voxels((header.channels, *shape), header.dtype, draw(st.integers(0, 99))), (x, y, z)


def whole(header: Header, data: Array, start: Vec3) -> Array:
    """The shard that `data` is a part of, zero elsewhere."""
    shard = np.zeros((header.channels, *[header.side] * 3), header.dtype)
    shard[:, *Box(start, data.shape[1:]).slices_in(Box((0, 0, 0), (header.side,) * 3))] = data
    return shard


# --- the header ------------------------------------------------------------------------------------------------------


def test_the_header_has_the_bytes_that_the_format_says() -> None:
    header = Header(32, 4, "lz4hc", np.dtype("uint16"), 3)
    assert header.pack() == b"WKW\x01\x25\x03\x02\x06" + bytes(8)
    assert header.of_shard().pack() == b"WKW\x01\x25\x03\x02\x06" + struct.pack("<Q", 16 + 8 * 64)
    assert Header(32, 1, "raw", np.dtype("int64")).of_shard().pack() == b"WKW\x01\x05\x01\x0a\x08\x10" + bytes(7)


@given(shards(), st.booleans())
def test_a_header_that_is_packed_is_parsed_to_the_same(shard: tuple[Header, Array, Vec3], of_shard: bool) -> None:
    header = shard[0].of_shard() if of_shard else shard[0]
    assert Header.parse(header.pack()) == header


@pytest.mark.parametrize(
    ("position", "value", "complaint"),
    [
        (0, ord("w"), "begins with"),
        (3, 2, "version 2"),
        (5, 0, "block type 0"),
        (5, 4, "block type 4"),
        (6, 0, "voxel type 0"),
        (6, 11, "voxel type 11"),
        (7, 0, "0 bytes per voxel"),
        (7, 3, "3 bytes per voxel"),
        (4, 0x2F, "32768"),  # a block of 2^45 voxels cannot be compressed
    ],
)
def test_a_header_that_makes_no_sense_is_refused_with_the_reason(position: int, value: int, complaint: str) -> None:
    content = bytearray(Header(32, 4, "lz4", np.dtype("uint16")).pack())
    content[position] = value
    with pytest.raises(DamagedData, match=complaint):
        Header.parse(bytes(content))


@pytest.mark.parametrize("length", [0, 1, 15, 17])
def test_a_header_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(DamagedData, match=f"{length} bytes"):
        Header.parse(Header(32, 4, "lz4", np.dtype("uint8")).pack().ljust(17, b"\0")[:length])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"block_len": 33}, "33"),
        ({"file_len": 0}, "0"),
        ({"file_len": 65536}, "65536"),
        ({"block_type": "zip"}, "zip"),
        ({"dtype": np.dtype("bool")}, "bool.*uint8"),
        ({"dtype": np.dtype("float16")}, "float16"),
        ({"dtype": np.dtype("complex64")}, "complex64"),
        ({"channels": 0}, "0 channels"),
        ({"channels": 256}, "256 channels"),
        ({"dtype": np.dtype("float64"), "channels": 32}, "32 channels of float64"),
        ({"block_len": 2048}, "LZ4"),
    ],
)
def test_what_wkw_cannot_hold_is_refused_with_the_value(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TargetError, match=complaint):
        Header(**{"block_len": 32, "file_len": 1, "block_type": "lz4", "dtype": np.dtype("uint8")} | change)


# --- encoding --------------------------------------------------------------------------------------------------------


def test_a_raw_shard_of_single_voxels_is_in_morton_order() -> None:
    data = np.arange(8, dtype=np.uint8).reshape(1, 2, 2, 2)  # the value is 4x + 2y + z
    shard = encoded(data, Header(1, 2, "raw", np.dtype("uint8")))
    assert shard == b"WKW\x01\x10\x01\x01\x01\x10" + bytes(7) + bytes([0, 4, 2, 6, 1, 5, 3, 7])


def test_a_raw_block_has_the_channel_first_then_x_then_y_then_z_in_little_endian() -> None:
    data = np.arange(16, dtype=np.uint16).reshape(2, 2, 2, 2)  # the value is 8c + 4x + 2y + z
    shard = encoded(data, Header(2, 1, "raw", np.dtype("uint16"), 2))
    order = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15]
    assert shard[16:] == b"".join(bytes([value, 0]) for value in order)


def test_a_compressed_shard_has_a_table_of_absolute_ends_and_blocks_without_a_frame() -> None:
    data = np.arange(8, dtype=np.uint8).reshape(1, 2, 2, 2)
    shard = encoded(data, Header(1, 2, "lz4", np.dtype("uint8")))
    assert shard[:16] == b"WKW\x01\x10\x02\x01\x01" + struct.pack("<Q", 16 + 8 * 8)
    assert struct.unpack("<8Q", shard[16:80]) == (82, 84, 86, 88, 90, 92, 94, 96)
    assert shard[80:] == b"".join(b"\x10" + bytes([value]) for value in [0, 4, 2, 6, 1, 5, 3, 7])


@given(shards(most_blocks=8).filter(lambda shard: shard[0].block_len <= 8))
@settings(max_examples=60, deadline=None)
def test_a_shard_holds_the_blocks_of_the_definition(shard: tuple[Header, Array, Vec3]) -> None:
    header, data, start = shard
    content = encoded(data, header, start, LEVELS[header.block_type])
    blocks = list(blocks_by_definition(whole(header, data, start), header))
    at = header.of_shard().data_offset
    assert content[:16] == header.of_shard().pack()
    if header.block_type == "raw":
        assert content[at:] == b"".join(blocks)
        return
    for block, end in zip(blocks, struct.unpack(f"<{len(blocks)}Q", content[16:at]), strict=True):
        assert lz4.block.decompress(content[at:end], uncompressed_size=header.block_bytes) == block
        at = end
    assert at == len(content)


@given(shards(), st.permutations(range(4)), st.booleans())
@settings(max_examples=80, deadline=None)
def test_the_same_voxels_give_the_same_bytes_in_any_memory_order(
    shard: tuple[Header, Array, Vec3], order: list[int], flipped: bool
) -> None:
    header, data, start = shard
    level = LEVELS[header.block_type]
    other = np.ascontiguousarray(data.transpose(order)).transpose(np.argsort(order))
    if flipped:
        other = np.ascontiguousarray(other[:, ::-1, :, ::-1])[:, ::-1, :, ::-1]
    np.testing.assert_array_equal(other, data)
    expected = encoded(data, header, start, level)
    assert encoded(other, header, start, level) == expected
    assert encoded(whole(header, data, start), header, level=level) == expected


@pytest.mark.parametrize("value", [0, 1, -1, 300])
def test_a_block_of_one_value_is_compressed_like_any_other(value: int) -> None:
    header = Header(32, 2, "lz4", np.dtype("int16"))
    data = np.full((1, 64, 64, 64), value, np.int16)
    data[0, 40, 40, 40] = 7
    shard = encoded(data, header)
    plain = lz4.block.compress(np.full(32**3, value, "<i2"), store_size=False)
    assert shard.count(plain) == 7
    np.testing.assert_array_equal(decode_shard(shard, header), data)


@pytest.mark.parametrize("values", [(0.0, -0.0), (np.nan, 0.0)])
def test_zeros_of_either_sign_and_nan_keep_their_bits(values: tuple[float, float]) -> None:
    header = Header(8, 1, "lz4", np.dtype("float32"))
    data = np.full((1, 8, 8, 8), values[0], np.float32)
    data[0, 3, 3, 3] = values[1]
    assert decode_shard(encoded(data, header), header).tobytes() == data.T.tobytes()


def test_lz4hc_is_left_out_of_blocks_in_which_it_gains_nothing() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, 32**3, "uint8")
    begins_as_noise = np.concatenate([noise[: 32**3 // 2], np.zeros(32**3 // 2, "uint8")])
    hidden = noise.copy()
    hidden[-(32**3) // 4 :] = 0  # where no sample is taken, but lz4 sees it
    for block, thorough in ((noise, False), (begins_as_noise, True), (hidden, True)):
        file = encoded(block.reshape((1, 32, 32, 32), order="F"), Header(32, 1, "lz4hc", np.dtype("uint8")))
        how = {"mode": "high_compression", "compression": 4} if thorough else {}
        assert file[24:] == lz4.block.compress(block.tobytes(), store_size=False, **how)


def test_a_level_changes_the_bytes_but_not_the_voxels() -> None:
    header = Header(32, 1, "lz4hc", np.dtype("uint8"))
    data = np.random.default_rng(0).integers(0, 4, (1, 32, 32, 32), dtype=np.uint8)
    low, high = encoded(data, header, level=1), encoded(data, header, level=12)
    assert len(high) < len(low)
    np.testing.assert_array_equal(decode_shard(low, header), decode_shard(high, header))


@pytest.mark.parametrize(
    ("shape", "dtype", "start"),
    [
        ((1, 8, 8, 8), "int8", (0, 0, 0)),
        ((1, 8, 8, 8), ">u2", (0, 0, 0)),
        ((2, 8, 8, 8), "uint16", (0, 0, 0)),
        ((1, 9, 8, 8), "uint16", (0, 0, 0)),
        ((1, 8, 8, 8), "uint16", (0, 0, 1)),
        ((1, 4, 4, 4), "uint16", (-1, 0, 0)),
        ((8, 8, 8), "uint16", (0, 0, 0)),
    ],
)
def test_voxels_that_do_not_fit_the_header_are_never_cast_cut_or_moved(
    shape: tuple[int, ...], dtype: str, start: Vec3
) -> None:
    with pytest.raises(ValueError, match="an array"):
        encode_shard(np.zeros(shape, dtype), Header(8, 1, "lz4", np.dtype("uint16")), start)


# --- decoding --------------------------------------------------------------------------------------------------------


@given(shards(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_box_of_a_shard_is_read_as_it_was_written(shard: tuple[Header, Array, Vec3], draw: st.DataObject) -> None:
    header, data, start = shard
    content = encoded(data, header, start, LEVELS[header.block_type])
    bounds = [sorted(draw.draw(st.tuples(*[st.integers(0, header.side)] * 2))) for _ in range(3)]
    box = Box.between((bounds[0][0], bounds[1][0], bounds[2][0]), (bounds[0][1], bounds[1][1], bounds[2][1]))
    found = decode_shard(content, header, box)
    expected = whole(header, data, start)[:, *box.slices_in(Box((0, 0, 0), (header.side,) * 3))]
    assert found.dtype == header.dtype
    np.testing.assert_array_equal(found, expected)


def test_voxels_are_read_into_an_array_of_any_memory_order() -> None:
    header = Header(8, 4, "lz4", np.dtype("uint16"), 2)
    data = voxels((2, 32, 32, 32), "uint16")
    content = encoded(data, header)
    view = memoryview(content)
    shard = Shard(lambda start, stop: view[start:stop], len(view), header)
    out = np.zeros((2, 30, 20, 31), np.uint16)
    shard.read_into(out, Box((1, 5, 1), (30, 20, 31)))
    np.testing.assert_array_equal(out, data[:, 1:31, 5:25, 1:32])


@pytest.mark.parametrize(
    ("box", "blocks"),
    [
        (Box((0, 0, 0), (32, 32, 32)), 64),
        (Box((0, 0, 0), (16, 16, 16)), 8),
        (Box((9, 9, 9), (2, 2, 2)), 1),
        (Box((0, 0, 31), (32, 32, 1)), 16),
        (Box((31, 0, 0), (1, 32, 32)), 16),
        (Box((7, 7, 7), (2, 2, 2)), 8),
        (Box((8, 8, 8), (0, 8, 8)), 0),
    ],
)
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_only_the_blocks_that_a_box_touches_are_read(box: Box, blocks: int, block_type: BlockType) -> None:
    header = Header(8, 4, block_type, np.dtype("uint8"))
    content = encoded(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 32), dtype=np.uint8), header)
    fetched: list[int] = []

    def fetch(start: int, stop: int) -> bytes:
        fetched.append(stop - start)
        return content[start:stop]

    shard = Shard(fetch, len(content), header)
    fetched.clear()
    shard.read_into(np.zeros((1, *box.shape), np.uint8), box)
    size = (len(content) - header.of_shard().data_offset) / 64  # noise: every block takes the same
    assert sum(fetched) == blocks * size


# --- damage ----------------------------------------------------------------------------------------------------------

SMALL = [
    Header(4, 2, "lz4", np.dtype("uint8")),
    Header(4, 2, "lz4hc", np.dtype("uint16"), 3),
    Header(4, 2, "raw", np.dtype("uint32")),
    Header(8, 1, "lz4", np.dtype("int8"), 4),
]


def small(header: Header, kind: str) -> Array:
    shape = (header.channels, *[header.side] * 3)
    if kind == "noise":
        return voxels(shape, header.dtype, 1)
    if kind == "labels":
        return np.repeat(voxels((*shape[:3], shape[3] // 4), header.dtype, 2), 4, axis=3)
    return np.full(shape, 5, header.dtype)


def flips(content: bytes, stop: int) -> Iterator[bytes]:
    for bit in range(8 * stop):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.mark.parametrize("header", SMALL, ids=str)
@pytest.mark.parametrize("kind", ["noise", "labels", "constant"])
def test_no_flipped_bit_of_header_or_jump_table_changes_a_voxel_unnoticed(header: Header, kind: str) -> None:
    data = small(header, kind)
    content = encoded(data, header)
    noticed = 0
    for damaged in flips(content, header.of_shard().data_offset):
        try:
            found = decode_shard(damaged, header)
        except DamagedData as error:
            noticed += bool(str(error))
        else:
            np.testing.assert_array_equal(found, data)
    assert noticed >= 8 * header.of_shard().data_offset - 1  # lz4 and lz4hc differ in name only, by one bit


@pytest.mark.slow
@pytest.mark.parametrize("header", SMALL, ids=str)
@pytest.mark.parametrize("kind", ["noise", "labels", "constant"])
def test_a_flipped_bit_of_a_block_raises_nothing_but_damaged_data(header: Header, kind: str) -> None:
    content = encoded(small(header, kind), header)
    offset = header.of_shard().data_offset
    for damaged in flips(content[offset:], min(len(content) - offset, 300)):
        try:
            found = decode_shard(content[:offset] + damaged, header)
        except DamagedData:
            continue
        assert found.shape == (header.channels, *[header.side] * 3)


@pytest.mark.parametrize("header", SMALL, ids=str)
def test_a_shard_cut_short_anywhere_is_damaged(header: Header) -> None:
    content = encoded(small(header, "noise"), header)
    for length in [*range(min(len(content), 200)), *range(200, len(content), 7), len(content) - 1]:
        with pytest.raises(DamagedData):
            decode_shard(content[:length], header)


@pytest.mark.parametrize("header", SMALL, ids=str)
@pytest.mark.parametrize("tail", [b"\0", b"WKW\x01", bytes(1000)])
def test_a_shard_with_more_at_its_end_is_damaged(header: Header, tail: bytes) -> None:
    with pytest.raises(DamagedData, match=r"the file (has|at) \d+|at \d+"):
        decode_shard(encoded(small(header, "noise"), header) + tail, header)


@pytest.mark.parametrize(
    "change",
    [{"block_len": 8}, {"file_len": 4}, {"dtype": np.dtype("int8")}, {"dtype": np.dtype("uint16")}, {"channels": 2}],
)
def test_a_shard_of_another_mag_is_damaged_and_says_in_what_it_differs(change: dict[str, Any]) -> None:
    header = Header(4, 2, "lz4", np.dtype("uint8"))
    theirs = Header(**{"block_len": 4, "file_len": 2, "block_type": "lz4", "dtype": np.dtype("uint8")} | change)
    with pytest.raises(DamagedData, match=next(iter(change))):
        decode_shard(encoded(small(theirs, "noise"), theirs), header)


@pytest.mark.parametrize("theirs", BLOCK_TYPES)
@pytest.mark.parametrize("ours", BLOCK_TYPES)
def test_a_shard_may_be_compressed_in_another_way_than_its_mag_says(ours: BlockType, theirs: BlockType) -> None:
    stored = Header(4, 2, theirs, np.dtype("uint16"))
    data = small(stored, "noise")
    found = decode_shard(encoded(data, stored), Header(4, 2, ours, np.dtype("uint16")))
    np.testing.assert_array_equal(found, data)


def with_blocks(header: Header, blocks: list[bytes]) -> bytes:
    shard = header.of_shard()
    ends = shard.data_offset + np.cumsum([len(block) for block in blocks])
    return shard.pack() + ends.astype("<u8").tobytes() + b"".join(blocks)


@pytest.mark.parametrize("length", [100, 511, 513, 520])
def test_a_block_that_decompresses_to_another_length_is_damaged(length: int) -> None:
    header = Header(8, 1, "lz4", np.dtype("uint8"))
    block = lz4.block.compress(np.random.default_rng(0).bytes(length), store_size=False)
    with pytest.raises(DamagedData, match="block 0"):
        decode_shard(with_blocks(header, [block]), header)


@pytest.mark.parametrize("length", [2, 531])
def test_a_block_that_no_compression_makes_so_short_or_long_is_damaged(length: int) -> None:
    header = Header(8, 1, "lz4", np.dtype("uint8"))
    content = with_blocks(header, [bytes(length)])
    with pytest.raises(DamagedData, match=f"{24 + length} bytes|block 0 has {length} bytes"):
        Shard(lambda start, stop: content[start:stop], len(content), header)


@pytest.mark.parametrize(
    ("ends", "complaint"),
    [
        ((90, 80, 100, 110, 120, 130, 140, 150), "block 1"),
        ((90, 90, 100, 110, 120, 130, 140, 150), "block 1"),
        ((79, 90, 100, 110, 120, 130, 140, 150), "block 0"),
        ((90, 95, 100, 110, 120, 130, 140, 149), "at byte 149"),
        ((90, 2**63, 100, 110, 120, 130, 140, 150), "beyond"),
        ((90, 2**64 - 1, 100, 110, 120, 130, 140, 150), "beyond"),
    ],
)
def test_a_jump_table_that_does_not_rise_to_the_end_of_the_file_is_damaged(
    ends: tuple[int, ...], complaint: str
) -> None:
    header = Header(1, 2, "lz4", np.dtype("uint64"))
    content = header.of_shard().pack() + struct.pack("<8Q", *ends) + bytes(70)
    with pytest.raises(DamagedData, match=complaint):
        decode_shard(content, header)


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
@pytest.mark.parametrize("sizes", [0x0F, 0xF0, 0xFF, 0x55, 0xF5])
def test_sizes_beyond_the_file_are_refused_without_taking_memory_for_them(block_type: BlockType, sizes: int) -> None:
    types = bytes([sizes, BLOCK_TYPES.index(block_type) + 1, 1, 1])
    blocks = (1 << (sizes >> 4)) ** 3
    offset = 16 if block_type == "raw" else 16 + 8 * blocks
    content = b"WKW\x01" + types + struct.pack("<Q", offset) + bytes(5000)
    file_len, block_len = 1 << (sizes >> 4), 1 << (sizes & 15)
    try:
        header = Header(block_len, file_len, block_type, np.dtype("uint8"))
    except TargetError:
        header = Header(32, 32, block_type, np.dtype("uint8"))
    with pytest.raises(DamagedData), allocating_at_most(1_000_000):
        decode_shard(content, header)


@pytest.mark.parametrize("header", SMALL, ids=str)
def test_damage_never_takes_more_memory_than_the_shard_is_worth(header: Header) -> None:
    content = encoded(small(header, "noise"), header)
    for damaged in list(flips(content, header.of_shard().data_offset))[::3]:
        with contextlib.suppress(DamagedData), allocating_at_most(300_000):
            decode_shard(damaged, header)


@contextlib.contextmanager
def allocating_at_most(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= limit


# --- against wkw -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wkw() -> Any:
    return pytest.importorskip("wkw")


def _create(wkw: Any, folder: Path, header: Header) -> Any:
    block_type = {"raw": 1, "lz4": 2, "lz4hc": 3}[header.block_type]
    return wkw.Dataset.create(
        str(folder),
        wkw.Header(header.dtype, header.channels, 1, header.block_len, header.file_len, block_type),
    )


LENGTHS = [(8, 1), (8, 2), (8, 4), (16, 1), (16, 2), (16, 4), (32, 1), (32, 2)]


@pytest.mark.parametrize("dtype", VOXEL_TYPES)
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
@given(lengths=st.sampled_from(LENGTHS), channels=st.integers(1, 3), draw=st.data())
@settings(max_examples=4, deadline=None)
def test_wkw_and_we_read_what_either_writes(
    tmp_path_factory: pytest.TempPathFactory,
    wkw: Any,
    dtype: str,
    block_type: BlockType,
    lengths: tuple[int, int],
    channels: int,
    draw: st.DataObject,
) -> None:
    header = Header(*lengths, block_type, np.dtype(dtype), channels)
    bounds = [sorted(draw.draw(st.tuples(*[st.integers(0, header.side)] * 2))) for _ in range(3)]
    start = (bounds[0][0], bounds[1][0], bounds[2][0])
    data = voxels((channels, *(high - low for low, high in bounds)), dtype, draw.draw(st.integers(0, 9)))
    expected = whole(header, data, start)
    folder = tmp_path_factory.mktemp("ours")
    (folder / "z0" / "y0").mkdir(parents=True)
    (folder / "header.wkw").write_bytes(header.pack())
    (folder / "z0" / "y0" / "x0.wkw").write_bytes(encoded(data, header, start, LEVELS[block_type]))
    with wkw.Dataset.open(str(folder)) as dataset:
        np.testing.assert_array_equal(dataset.read((0, 0, 0), (header.side,) * 3), expected)
    folder = tmp_path_factory.mktemp("theirs") / "mag"
    with _create(wkw, folder, header) as dataset:
        dataset.write((0, 0, 0), expected)
    assert Header.parse((folder / "header.wkw").read_bytes()) == header
    found = decode_shard((folder / "z0" / "y0" / "x0.wkw").read_bytes(), header)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", VOXEL_TYPES)
def test_a_raw_shard_is_the_one_that_wkw_writes(tmp_path: Path, wkw: Any, dtype: str) -> None:
    header = Header(8, 2, "raw", np.dtype(dtype), 3)
    data = voxels((3, 16, 16, 16), dtype)
    with _create(wkw, tmp_path / "mag", header) as dataset:
        dataset.write((0, 0, 0), data)
    assert (tmp_path / "mag" / "z0" / "y0" / "x0.wkw").read_bytes() == encoded(data, header)
