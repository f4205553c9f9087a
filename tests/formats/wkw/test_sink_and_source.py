import concurrent.futures
import errno
import json
import os
import pickle
import re
import shutil
import stat
import threading
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from helpers import paths
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core.contract.errors import (
    BrokenSource,
    DamagedData,
    NoSpace,
    OptionError,
    SourceNotFound,
    TargetError,
    TargetExists,
    TargetNotWritable,
)
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.model import Checksum, MagSpec, Sink, Source
from wkconvert_core.formats.wkw import Wkw
from wkconvert_core.formats.wkw.header import VOXEL_TYPES, Header
from wkconvert_core.formats.wkw.sink import BLOCK_TYPES, WkwSink
from wkconvert_core.formats.wkw.source import WkwSource, open_mag
from wkconvert_core.toolkit.atomic import sync
from wkconvert_core.toolkit.shards import shard_side

Array = np.ndarray[Any, np.dtype[Any]]

SAMPLES = paths.SAMPLES
ODD = Box((10, 37, 70), (90, 50, 61))
"""An extent that is aligned to nothing."""


def wanted(box: Box = ODD, dtype: str = "uint8", channels: int = 1, **more: Any) -> WkwSink:
    """A sink that has no folder yet."""
    spec = MagSpec("layer", "color", Mag(1, 1, 1), box, np.dtype(dtype), channels)
    return WkwSink(Path(), spec, **{"file_len": 2} | more)


def sink_in(folder: Path, like: WkwSink) -> WkwSink:
    return replace(like, folder=folder)


def voxels(spec: MagSpec, seed: int = 0) -> Array:
    noise = np.random.default_rng(seed).integers(0, 100, (spec.channels, *spec.box.shape))
    return np.where(noise < 50, noise, 7).astype(spec.dtype)


def fill(sink: WkwSink, data: Array) -> dict[Box, str]:
    shards = sink.spec.box.tiles(sink.shard_shape)
    return {box: sink.write(box, data[:, *box.slices_in(sink.spec.box)]) for box in shards}


@pytest.fixture
def written(tmp_path: Path) -> tuple[WkwSink, Array]:
    sink = sink_in(tmp_path / "1", wanted())
    data = voxels(sink.spec)
    fill(sink, data)
    return sink, data


def everything(source: Source) -> Array:
    return source.read(source.info.box)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the shard's side ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dtype", "channels", "side"),
    [
        ((1024, 1024, 256), "uint8", 1, 128),
        ((1024, 1024, 256), "uint32", 1, 128),
        ((2048, 2048, 512), "uint8", 1, 128),
        ((50, 50, 50), "uint8", 1, 64),
        ((50, 50, 50), "uint64", 1, 64),
        ((32, 32, 32), "uint8", 1, 32),
        ((33, 2, 2), "uint8", 1, 64),
        ((100, 100, 100), "uint8", 1, 128),
        ((512, 512, 256), "uint32", 1, 128),
        ((4096, 4096, 1024), "uint8", 1, 256),
        ((30000, 30000, 7000), "uint8", 1, 512),
        ((30000, 30000, 7000), "uint8", 3, 256),
        ((30000, 30000, 7000), "uint64", 1, 256),
        ((30000, 30000, 7000), "uint8", 255, 64),
        ((10000, 10000, 1), "uint8", 1, 128),
        ((1, 1, 100000), "uint8", 1, 128),
    ],
)
def test_the_shards_side_fits_the_extent(shape: Vec3, dtype: str, channels: int, side: int) -> None:
    assert shard_side(Box((0, 0, 0), shape), np.dtype(dtype), channels) == side


@given(
    st.tuples(*[st.integers(0, 10**6)] * 3),
    st.tuples(*[st.integers(1, 10**6)] * 3),
    st.sampled_from(VOXEL_TYPES),
    st.integers(1, 31),
)
def test_the_shards_side_is_neither_wasteful_nor_huge(start: Vec3, shape: Vec3, dtype: str, channels: int) -> None:
    box = Box(start, shape)
    length = shard_side(box, np.dtype(dtype), channels) // 32
    side = 32 * length
    assert length in (1, 2, 4, 8, 16, 32)
    assert length == 1 or side**3 * channels * np.dtype(dtype).itemsize <= 128 << 20
    assert side < 2 * max(*shape, 33)
    assert side >= 64 or max(shape) <= 32


# --- what is written -------------------------------------------------------------------------------------------------


def test_source_and_sink_fulfil_the_contract(written: tuple[WkwSink, Array]) -> None:
    sink, data = written
    source = sink.source()
    assert isinstance(source, Source)
    contract: Sink = sink
    assert contract.shard_shape == (64, 64, 64)
    assert (source.info.shape, source.info.offset, source.info.chunk_shape) == (ODD.shape, ODD.start, None)
    assert (source.info.dtype, source.info.channels) == (np.uint8, 1)
    np.testing.assert_array_equal(everything(source), data)


@pytest.mark.slow
@pytest.mark.parametrize("compression", BLOCK_TYPES)
@given(
    start=st.tuples(*[st.integers(0, 100)] * 3),
    shape=st.tuples(*[st.integers(1, 90)] * 3),
    dtype=st.sampled_from(VOXEL_TYPES),
    channels=st.integers(1, 3),
    file_len=st.sampled_from([1, 2, 4]),
    draw=st.data(),
)
@settings(max_examples=12, deadline=None)
def test_wkw_reads_what_a_sink_writes_and_a_source_reads_any_box_of_it(
    tmp_path_factory: pytest.TempPathFactory,
    compression: str,
    start: Vec3,
    shape: Vec3,
    dtype: str,
    channels: int,
    file_len: int,
    draw: st.DataObject,
) -> None:
    wkw = pytest.importorskip("wkw")
    mag = wanted(Box(start, shape), dtype, channels, compression=compression, file_len=file_len)
    data, folder = voxels(mag.spec), tmp_path_factory.mktemp("mag")
    sink = sink_in(folder, mag)
    fill(sink, data)
    with wkw.Dataset.open(str(folder)) as dataset:
        np.testing.assert_array_equal(dataset.read(start, shape), data)
        around = dataset.read((0, 0, 0), tuple(a + n + 40 for a, n in zip(start, shape, strict=True)))
        assert np.count_nonzero(around) == np.count_nonzero(data)
    low = tuple(draw.draw(st.integers(0, n - 1)) for n in shape)
    box = Box(low, tuple(draw.draw(st.integers(1, n - a)) for a, n in zip(low, shape, strict=True)))
    np.testing.assert_array_equal(sink.source().read(box), data[:, *box.slices_in(Box((0, 0, 0), shape))])


@pytest.mark.slow
@pytest.mark.parametrize("block_len", [8, 16, 32])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_a_source_reads_what_wkw_writes_into_parts_of_files(tmp_path: Path, block_len: int, dtype: str) -> None:
    wkw = pytest.importorskip("wkw")
    mag = wanted(dtype=dtype, channels=2)
    data = voxels(mag.spec)
    header = wkw.Header(np.dtype(dtype), 2, 1, block_len, 4, wkw.Header.BLOCK_TYPE_RAW)
    with wkw.Dataset.create(str(tmp_path / "1"), header) as dataset:
        dataset.write(ODD.start, data)
        with dataset.compress(str(tmp_path / "2"), compress_files=True):
            pass
    for name in ("1", "2"):
        source = WkwSource(tmp_path / name, open_mag(tmp_path / name), ODD)
        np.testing.assert_array_equal(everything(source), data)


def test_the_checksum_is_that_of_the_file(written: tuple[WkwSink, Array]) -> None:
    sink, data = written
    for box, checksum in fill(sink, data).items():
        content = sink.path(box).read_bytes()
        assert checksum == Checksum(zlib.crc32(content), len(content))


def test_a_large_shard_is_written_whole(tmp_path: Path) -> None:
    mag = wanted(Box((0, 0, 0), (128, 128, 128)), "uint16", file_len=4, compression="none")
    sink = sink_in(tmp_path / "1", mag)
    data = voxels(mag.spec)
    ((box, checksum),) = fill(sink, data).items()
    content = sink.path(box).read_bytes()
    assert len(content) == 16 + data.nbytes
    assert checksum == Checksum(zlib.crc32(content), len(content))
    np.testing.assert_array_equal(everything(sink.source()), data)


def test_a_mag_is_laid_out_as_the_format_says(written: tuple[WkwSink, Array]) -> None:
    sink, _ = written
    expected = {f"z{z}/y{y}/x{x}.wkw" for x in (0, 1) for y in (0, 1) for z in (1, 2)} | {"header.wkw"}
    assert set(files(sink.folder)) == expected
    assert files(sink.folder)["header.wkw"] == Header(32, 2, "lz4", np.dtype("uint8")).pack()


def test_every_worker_and_every_rerun_writes_the_same_bytes(written: tuple[WkwSink, Array], tmp_path: Path) -> None:
    sink, data = written
    other = sink_in(tmp_path / "other", sink)
    boxes = list(ODD.tiles(sink.shard_shape)) * 3
    barrier = threading.Barrier(8)

    def write(k: int) -> None:
        barrier.wait()
        for box in boxes[k:] + boxes[:k]:
            other.write(box, np.asfortranarray(data[:, *box.slices_in(ODD)]))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert files(other.folder) == files(sink.folder)


def test_new_files_have_the_permissions_of_any_file(written: tuple[WkwSink, Array], tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert {stat.S_IMODE(p.stat().st_mode) for p in written[0].folder.rglob("*.wkw")} == {expected}


def test_a_sink_says_which_shards_are_there_whole(written: tuple[WkwSink, Array]) -> None:
    sink, _ = written
    first, second, *_ = boxes = list(ODD.tiles(sink.shard_shape))
    assert all(sink.has(box) for box in boxes)
    assert sink.has(Box(first.start, sink.shard_shape))
    sink.path(first).unlink()
    content = sink.path(second).read_bytes()
    sink.path(second).write_bytes(content[:-1])
    assert [sink.has(box) for box in boxes] == [False, False, *[True] * (len(boxes) - 2)]
    sink.path(second).write_bytes(b"")
    assert not sink.has(second)


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        ({"compression": "zip"}, OptionError, "zip.*auto, none, lz4, lz4hc"),
        ({"compression": "lz4", "compression_level": "4"}, OptionError, "lz4 has no levels"),
        ({"compression": "lz4hc", "compression_level": "0"}, OptionError, "0.*1 to 12"),
        ({"compression": "lz4hc", "compression_level": "13"}, OptionError, "13.*1 to 12"),
        ({"file_len": "3"}, OptionError, "3.*auto, 1, 2, 4, 8, 16, 32, 64"),
        ({"dtype": np.dtype("bool")}, TargetError, "bool"),
        ({"channels": 256}, TargetError, "256"),
        ({"box": Box((0, -1, 0), (10, 10, 10))}, TargetError, "-1"),
    ],
)
def test_a_spec_that_wkw_cannot_fulfil_is_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    values = {"box": ODD, "dtype": np.dtype("uint8"), "channels": 1}
    options = {name: text for name, text in change.items() if name not in values}
    spec = MagSpec("layer", "color", Mag(1, 1, 1), **values | {key: change[key] for key in values if key in change})
    with pytest.raises(error, match=complaint):
        Wkw().sink(tmp_path / "1", spec, options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        (Box((10, 37, 70), (54, 27, 58)), (1, 54, 27, 57)),
        (Box((10, 37, 70), (54, 27, 57)), (1, 54, 27, 57)),
        (Box((0, 0, 64), (64, 64, 64)), (1, 64, 64, 64)),
        (Box((64, 64, 64), (64, 64, 64)), (1, 64, 64, 64)),
    ],
)
def test_voxels_that_are_not_one_shard_are_never_moved_or_cut(tmp_path: Path, box: Box, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="is no shard"):
        sink_in(tmp_path / "1", wanted()).write(box, np.zeros(shape, np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_header_of_another_mag_is_left_alone(written: tuple[WkwSink, Array]) -> None:
    sink, data = written
    other = sink_in(sink.folder, wanted(file_len=4))
    before = files(sink.folder)
    with pytest.raises(TargetExists, match=r"header\.wkw"):
        fill(other, data)
    assert files(sink.folder) == before


# --- when writing fails ----------------------------------------------------------------------------------------------

FAULTS = [
    (errno.ENOSPC, NoSpace),
    (errno.EDQUOT, NoSpace),
    (errno.EACCES, TargetNotWritable),
    (errno.EPERM, TargetNotWritable),
    (errno.EROFS, TargetNotWritable),
    (errno.EIO, TargetError),
    (errno.ENAMETOOLONG, TargetError),
]


@pytest.mark.parametrize(("number", "kind"), FAULTS)
@pytest.mark.parametrize("where", ["mkdir", "open", "replace"])
def test_a_fault_of_the_disk_names_the_file_and_leaves_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int, kind: type[TargetError]
) -> None:
    sink = sink_in(tmp_path / "1", wanted(Box((0, 0, 0), (64, 64, 64))))
    fill(sink, np.zeros((1, 64, 64, 64), np.uint8))
    before = files(tmp_path)

    def fail(path: Path, *args: Any, **more: Any) -> None:
        if not args or "x" in str(args[0]):  # opening for reading works
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *args, **more)

    opened = Path.open
    monkeypatch.setattr(Path, where, fail)
    with pytest.raises(kind) as caught:
        fill(sink, np.ones((1, 64, 64, 64), np.uint8))
    assert type(caught.value) is kind
    assert str(sink.path(sink.spec.box)) in caught.value.what
    assert os.strerror(number) in caught.value.why
    monkeypatch.undo()
    assert files(tmp_path) == before


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError, SystemExit])
def test_an_interrupted_write_leaves_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    sink = sink_in(tmp_path / "1", wanted())
    original = Path.replace

    def interrupt(path: Path, target: Path) -> Path:
        if target.name != "header.wkw":
            assert path.name.startswith(".")
            assert path.name.endswith(".tmp")
            assert path.parent == target.parent
            raise interruption
        return original(path, target)

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(interruption):
        fill(sink, voxels(sink.spec))
    assert set(files(tmp_path)) == {"1/header.wkw"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = sink_in(tmp_path / "1", wanted(compression="none"))
    original = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r": original(Path("/dev/full"), "wb") if mode == "xb" else original(path, mode)
    )
    with pytest.raises(NoSpace):
        fill(sink, voxels(sink.spec))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(TargetNotWritable):
        fill(sink_in(tmp_path / "1", wanted()), voxels(wanted().spec))


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"")
    with pytest.raises(TargetError, match=re.escape(str(tmp_path / "1"))):
        fill(sink_in(tmp_path / "1", wanted()), voxels(wanted().spec))


def test_sync_reaches_every_file_and_the_folders_above(
    written: tuple[WkwSink, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, _ = written
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    paths = [sink.path(box) for box in ODD.tiles(sink.shard_shape)]
    sync(iter(paths))
    expected = {*paths, *(folder for path in paths for folder in (path.parent, path.parents[1], sink.folder))}
    if os.name != "posix":
        expected = set(paths)
    assert {path.stat().st_ino for path in expected} <= set(synced)


def test_sync_of_a_file_that_is_gone_or_fails_is_an_error(
    written: tuple[WkwSink, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, _ = written
    with pytest.raises(TargetError, match="gone"):
        sync([sink.folder / "gone.wkw"])

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TargetError, match=r"header\.wkw.*Input/output"):
        sync([sink.folder / "header.wkw"])


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_missing_shard_is_zero(written: tuple[WkwSink, Array]) -> None:
    sink, data = written
    gone = list(ODD.tiles(sink.shard_shape))[3]
    sink.path(gone).unlink()
    data[:, *gone.slices_in(ODD)] = 0
    np.testing.assert_array_equal(everything(sink.source()), data)


def test_a_box_beyond_the_extent_is_refused(written: tuple[WkwSink, Array]) -> None:
    sink, _ = written
    for box in (Box((-1, 0, 0), (5, 5, 5)), Box((0, 0, 0), (91, 50, 61)), Box(ODD.start, ODD.shape)):
        with pytest.raises(ValueError, match="not within"):
            sink.source().read(box)


def damage_cut(content: bytes) -> bytes:
    return content[:-1]


def damage_empty(content: bytes) -> bytes:
    return b""


def damage_magic(content: bytes) -> bytes:
    return b"wkw" + content[3:]


def damage_zeros(content: bytes) -> bytes:
    return bytes(len(content))


def damage_blocks(content: bytes) -> bytes:
    return content[:80] + b"\xff" * (len(content) - 80)


@pytest.mark.parametrize(
    ("compression", "damage"),
    [
        *[(name, damage) for name in BLOCK_TYPES for damage in (damage_cut, damage_empty, damage_magic, damage_zeros)],
        ("lz4", damage_blocks),
    ],
)
def test_a_damaged_shard_is_named_and_never_black(tmp_path: Path, compression: str, damage: Any) -> None:
    sink = sink_in(tmp_path / "1", wanted(compression=compression))
    data = voxels(sink.spec)
    fill(sink, data)
    box = next(ODD.tiles(sink.shard_shape))
    path = sink.path(box)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedData, match=re.escape(str(path))) as caught:
        everything(sink.source())
    assert caught.value.why
    assert caught.value.fix
    elsewhere = Box((60, 30, 0), (30, 20, 61))
    expected = data[:, *elsewhere.slices_in(Box((0, 0, 0), ODD.shape))]
    np.testing.assert_array_equal(sink.source().read(elsewhere), expected)


def test_a_shard_of_another_mag_is_damage(written: tuple[WkwSink, Array], tmp_path: Path) -> None:
    sink, _ = written
    other = sink_in(tmp_path / "other", wanted(dtype="int8"))
    fill(other, voxels(other.spec))
    box = next(ODD.tiles(sink.shard_shape))
    sink.path(box).write_bytes(other.path(box).read_bytes())
    with pytest.raises(DamagedData, match="dtype int8"):
        everything(sink.source())


def test_what_a_dangling_link_stands_for_is_not_zero(written: tuple[WkwSink, Array]) -> None:
    sink, _ = written
    path = sink.path(ODD)
    path.unlink()
    path.symlink_to(sink.folder / "nowhere")
    with pytest.raises(BrokenSource, match=re.escape(str(path))):
        everything(sink.source())


@pytest.mark.parametrize("above", [0, 1], ids=["row", "layer"])
@pytest.mark.parametrize("instead", ["a lost link", "a file"])
def test_what_is_no_folder_of_shards_is_not_zero(written: tuple[WkwSink, Array], above: int, instead: str) -> None:
    sink, _ = written
    folder = sink.path(ODD).parents[above]
    shutil.rmtree(folder)
    assert not sink.source().occupied(Box((0, 0, 0), (1, 1, 1)))
    folder.symlink_to("nowhere") if instead == "a lost link" else folder.write_text("")
    assert sink.source().occupied(Box((0, 0, 0), (1, 1, 1)))
    for call in (lambda: everything(sink.source()), lambda: list(sink.source().shards())):
        with pytest.raises(BrokenSource, match=re.escape(str(folder))):
            call()


def test_a_mag_whose_folder_is_gone_is_not_zero(written: tuple[WkwSink, Array]) -> None:
    sink, _ = written
    sink.folder.rename(sink.folder.with_name("2"))
    with pytest.raises(BrokenSource, match="gone"):
        everything(sink.source())


def test_a_folder_in_the_place_of_a_shard_is_named(written: tuple[WkwSink, Array]) -> None:
    sink, _ = written
    path = sink.path(ODD)
    path.unlink()
    path.mkdir()
    with pytest.raises(BrokenSource, match=re.escape(str(path))):
        everything(sink.source())


def test_threads_read_at_once_and_no_file_stays_open(written: tuple[WkwSink, Array]) -> None:
    sink, data = written
    source = pickle.loads(pickle.dumps(sink.source()))
    boxes = [Box((i, 0, 0), (40, 50, 61)) for i in range(50)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(source.read, boxes))
    for i, array in enumerate(found):
        np.testing.assert_array_equal(array, data[:, i : i + 40])
    assert [file.path for file in psutil.Process().open_files() if str(sink.folder) in file.path] == []


def test_source_and_sink_are_small_when_pickled(written: tuple[WkwSink, Array]) -> None:
    sink, _ = written
    assert pickle.loads(pickle.dumps(sink)) == sink
    assert pickle.loads(pickle.dumps(sink.source())) == sink.source()
    assert len(pickle.dumps(sink)) < 1000
    assert len(pickle.dumps(sink.source())) < 1000


@pytest.mark.parametrize("content", [b"", b"WKW", b"x" * 16, Header(32, 2, "lz4", np.dtype("u1")).pack() + b"\0"])
def test_a_damaged_header_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "header.wkw").write_bytes(content)
    with pytest.raises(DamagedData, match=r"header\.wkw is damaged"):
        open_mag(tmp_path)


def test_a_header_file_that_speaks_of_blocks_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "header.wkw").write_bytes(Header(32, 2, "lz4", np.dtype("u1")).of_shard().pack())
    with pytest.raises(DamagedData, match="byte 80"):
        open_mag(tmp_path)


def test_a_folder_without_a_header_file_is_no_mag(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=re.escape(str(tmp_path))):
        open_mag(tmp_path)


# --- files that other tools wrote ------------------------------------------------------------------------------------


@paths.needs_samples
@pytest.mark.parametrize("mag", sorted(SAMPLES.glob("wkw/*/*/*/header.wkw")), ids=lambda p: "-".join(p.parts[-4:-1]))
def test_mags_of_other_tools_open(mag: Path) -> None:
    header = open_mag(mag.parent)
    assert header.pack() == mag.read_bytes()
    source = WkwSource(mag.parent, header, Box((0, 0, 0), (8, 8, 8)))
    assert everything(source).shape == (header.channels, 8, 8, 8)


@paths.needs_samples
def test_a_dataset_of_another_tool_reads_as_wkw_reads_it() -> None:
    wkw = pytest.importorskip("wkw")
    folder = SAMPLES / "wkw" / "simple_wkw_dataset"
    layer = json.loads((folder / "datasource-properties.json").read_text())["dataLayers"][0]
    extent = layer["boundingBox"]
    box = Box(tuple(extent["topLeft"]), (extent["width"], extent["height"], extent["depth"]))
    source = WkwSource(folder / "color" / "1", open_mag(folder / "color" / "1"), box)
    with wkw.Dataset.open(str(folder / "color" / "1")) as dataset:
        expected = dataset.read(box.start, box.shape)
    np.testing.assert_array_equal(everything(source), expected)


# --- taking blocks as they are ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("compression", BLOCK_TYPES)
@pytest.mark.parametrize(
    ("dtype", "channels", "of"), [("uint8", 1, 4), ("uint64", 1, 2), ("int16", 3, 2), ("float32", 1, 4)]
)
def test_a_shard_that_is_taken_is_the_one_that_is_written(
    tmp_path: Path, dtype: str, channels: int, of: int, compression: str
) -> None:
    box = Box((64, 0, 64), (140, 128, 64))
    old = sink_in(tmp_path / "old", wanted(box, dtype, channels, file_len=of, compression=compression))
    data = voxels(old.spec)
    data[:, :64, :64, :40] = 3  # whole blocks of one value
    fill(old, data)
    source = old.source()
    for other in BLOCK_TYPES:
        sink = sink_in(tmp_path / other, wanted(box, dtype, channels, compression=other))
        written = sink_in(tmp_path / f"{other} written", sink)
        checksums = fill(written, data)
        for shard, checksum in checksums.items():
            seen: list[Array] = []
            taken = sink.copy_encoded(shard, source, seen.append)
            if shard.shape != (64, 64, 64):
                assert taken is None, "blocks at the edge may hold voxels outside the box"
                assert not seen
                continue
            assert taken == checksum
            assert sink.path(shard).read_bytes() == written.path(shard).read_bytes()
            values = data[:, *shard.slices_in(box)]
            np.testing.assert_array_equal(np.sort(values, None), np.sort(np.concatenate(seen), None))


def test_a_shard_that_is_not_there_is_taken_as_zeros(tmp_path: Path) -> None:
    box = Box((0, 0, 0), (128, 64, 64))
    old = sink_in(tmp_path / "old", wanted(box, compression="none"))
    fill(old, voxels(old.spec))
    first, second = box.tiles((64, 64, 64))
    old.path(second).unlink()
    sink = sink_in(tmp_path / "new", old)
    assert sink.copy_encoded(first, old.source(), lambda part: None)
    assert sink.copy_encoded(second, old.source(), lambda part: None)
    np.testing.assert_array_equal(everything(sink.source()), everything(old.source()))
    assert not everything(sink.source())[:, 64:].any()


def test_only_what_has_the_same_blocks_in_the_same_place_is_taken(tmp_path: Path) -> None:
    box = Box((0, 0, 0), (128, 128, 128))
    sink = sink_in(tmp_path / "new", wanted(box))
    same = WkwSource(tmp_path / "old", Header(32, 2, "raw", np.dtype("uint8")), box)
    with pytest.raises(BrokenSource, match="vanished"):
        sink.copy_encoded(Box((0, 0, 0), (64, 64, 64)), same, lambda part: None)
    others = [
        WkwSource(same.folder, Header(16, 4, "raw", np.dtype("uint8")), box),
        WkwSource(same.folder, Header(32, 1, "raw", np.dtype("uint8")), box),
        WkwSource(same.folder, Header(32, 2, "raw", np.dtype("uint16")), box),
        WkwSource(same.folder, Header(32, 2, "raw", np.dtype("uint8"), 3), box),
        WkwSource(same.folder, same.header, Box((32, 0, 0), box.shape)),
    ]
    for other in others:
        assert sink.copy_encoded(Box((0, 0, 0), (64, 64, 64)), other, lambda part: None) is None


@pytest.mark.parametrize("damage", [damage_cut, damage_empty, damage_magic])
def test_a_damaged_shard_is_not_taken(tmp_path: Path, damage: Any) -> None:
    box = Box((0, 0, 0), (64, 64, 64))
    old = sink_in(tmp_path / "old", wanted(box, compression="none"))
    fill(old, voxels(old.spec))
    path = old.path(box)
    path.write_bytes(damage(path.read_bytes()))
    sink = sink_in(tmp_path / "new", wanted(box))
    with pytest.raises(DamagedData, match=re.escape(str(path))):
        sink.copy_encoded(box, old.source(), lambda part: None)
    assert not sink.path(box).exists()
