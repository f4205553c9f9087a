"""The coarser source: edges, cutting, and what it promises about memory and imports."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest
from helpers.sources import whole
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from wkconvert_core import Box, Downsampler, OptionError, Source, VolumeInfo, VoxelSize, hookimpl
from wkconvert_core.contract.errors import PluginError
from wkconvert_core.kernels import KERNELS
from wkconvert_core.registry.plugins import downsampler, plugins
from wkconvert_core.sources import downsampled as downsample
from wkconvert_core.sources.downsampled import Downsampled

NAMES = [kernel.name for kernel in KERNELS]
DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]


@dataclass(frozen=True, eq=False)
class Held:
    """A volume in memory that remembers which boxes were read."""

    voxels: np.ndarray
    chunk_shape: tuple[int, int, int] | None = None
    asked: list = field(default_factory=list)

    @property
    def info(self):
        voxels = self.voxels
        size = VoxelSize((4, 4, 40))
        return VolumeInfo(voxels.shape[1:], voxels.dtype, len(voxels), size, self.chunk_shape, notes=("alpha dropped",))

    def read(self, box):
        assert box in self.info.box
        self.asked.append(box)
        return self.voxels[:, *box.slices_in(self.info.box)]


def coarser(voxels, kernel, factor=(2, 2, 2), start=(0, 0, 0)):
    return Downsampled(Held(voxels), Box(start, voxels.shape[1:]), factor, kernel)


def some_voxels(dtype, shape, seed, special=True):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        full = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        return rng.choice(full.ravel()[:3], shape) if seed % 2 else full
    voxels = rng.normal(0, 100, shape).astype(dtype)
    if special and seed % 2:
        voxels[rng.random(shape) < 0.02] = np.nan
        voxels[rng.random(shape) < 0.01] = np.inf
    return np.asfortranarray(voxels)


factors = st.tuples(*[st.sampled_from([1, 2, 2, 4])] * 3)
starts = st.tuples(*[st.integers(0, 9)] * 3)
shapes = st.tuples(st.integers(1, 2), *[st.integers(1, 23)] * 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=shapes,
    factor=factors,
    start=starts,
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_a_voxel_has_the_same_bits_however_the_volume_is_cut(name, dtype, shape, factor, start, seed, data):
    source = coarser(some_voxels(dtype, shape, seed), name, factor, start)
    expected = whole(source)
    tile = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    offset = data.draw(st.tuples(*[st.integers(0, 8)] * 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downsample, "PIECE_BYTES", data.draw(st.sampled_from([1, 500, downsample.PIECE_BYTES])))
        patch.setattr(downsample, "PIECE_EDGE", data.draw(st.sampled_from([1, 128])))
        for box in source.info.box.shifted(offset).tiles(tile):
            placed = box.shifted(tuple(-n for n in offset))
            part = source.read(placed)
            assert part.dtype == dtype
            assert part.tobytes() == expected[:, *placed.slices_in(source.info.box)].tobytes()


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(dtype=st.sampled_from(DTYPES), shape=shapes, factor=factors, start=starts, seed=st.integers(0, 2**32))
def test_what_lies_outside_of_the_extent_is_its_mirror_image(name, dtype, shape, factor, start, seed):
    voxels = some_voxels(dtype, shape, seed)
    source, kernel = coarser(voxels, name, factor, start), downsampler(name)
    fine = Box(start, shape[1:])
    aligned = fine.aligned(factor)
    sides = [
        (first - low + halo, high - last + halo)
        for first, last, low, high, halo in zip(
            fine.start, fine.stop, aligned.start, aligned.stop, kernel.halo, strict=True
        )
    ]
    expected = kernel.kernel(np.pad(voxels, [(0, 0), *sides], mode="symmetric"), factor)
    assert whole(source).tobytes() == expected.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "order"), [("bilinear", 1), ("bicubic", 3)])
@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i4", "u4", "f4", "f8"]),
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    factor=factors,
    start=starts,
    seed=st.integers(0, 2**32),
)
def test_splines_are_those_of_scipy(name, order, dtype, shape, factor, start, seed):
    voxels = some_voxels(dtype, shape, seed, special=False)
    source = coarser(voxels[None], name, factor, start)
    around = 40  # mirrored by numpy: scipy's own mirror is imprecise on an axis of few voxels
    centres = [
        (np.arange(n) + first) * f + (f - 1) / 2 - begin + around
        for n, first, f, begin in zip(source.info.shape, source.box.start, factor, start, strict=True)
    ]
    volume = np.pad(voxels.astype(float), around, mode="symmetric")
    expected = ndimage.map_coordinates(volume, np.meshgrid(*centres, indexing="ij"), order=order, mode="reflect")
    scale = np.abs(voxels.astype(float)).max()
    if voxels.dtype.kind == "f":
        error = 1e-8 if dtype == "f8" else 1e-6
    else:
        limits = np.iinfo(dtype)
        expected = expected.clip(limits.min, limits.max)
        error = 0.5 / max(scale, 1) + 1e-8
    np.testing.assert_allclose(whole(source)[0].astype(float), expected, rtol=0, atol=error * max(scale, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_volume_stays_constant_up_to_every_edge(name, dtype):
    limits = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
    for value in (limits.max, limits.max - 1, limits.min, 1, 0, 0.1 if dtype[0] == "f" else 77):
        for shape, start in [((21, 40, 3), (1, 0, 7)), ((7, 1, 1), (0, 5, 2))]:
            for factor in [(2, 2, 1), (2, 2, 2), (4, 1, 2)]:
                voxels = np.full((1, *shape), value, dtype)
                np.testing.assert_array_equal(whole(coarser(voxels, name, factor, start)), voxels.flat[0])


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_the_cubic_spline_is_clipped_at_the_ends_of_64_bits(dtype):
    limits = np.iinfo(dtype)
    voxels = np.full((1, 40, 2, 2), limits.min, dtype)
    voxels[:, 20:] = limits.max
    seen = whole(coarser(voxels, "bicubic", (2, 1, 1)))[0, :, 0, 0]
    assert (seen[:10] < limits.max // 2).all()
    assert (seen[10:] > limits.max // 2).all()
    assert limits.min in seen
    assert limits.max in seen


def test_a_hole_does_not_spread_through_the_cubic_spline():
    voxels = some_voxels("f4", (1, 60, 60, 20), seed=2)
    voxels[0, 30, 30, 10] = np.nan
    voxels[0, 31, 30, 10] = np.inf
    seen = whole(coarser(voxels, "bicubic"))
    smooth = whole(coarser(voxels, "bilinear"))
    assert not np.isnan(seen).any()
    np.testing.assert_array_equal(np.argwhere(np.isinf(seen)), [[0, 15, 15, 5]])
    assert (seen[0, 14:17, 14:17, 4:7] == smooth[0, 14:17, 14:17, 4:7]).all()
    assert (seen[0, :5, :5] != smooth[0, :5, :5]).any()


def test_info_describes_the_coarse_extent():
    source = Downsampled(
        Held(np.zeros((3, 101, 50, 7), "u2"), (101, 50, 1)), Box((3, 4, 5), (101, 50, 7)), (2, 2, 2), "mean"
    )
    assert isinstance(source, Source)
    assert source.box == Box((1, 2, 2), (51, 25, 4))
    info = source.info
    assert (info.shape, info.offset, info.dtype, info.channels) == ((51, 25, 4), (1, 2, 2), np.uint16, 3)
    assert info.chunk_shape == (51, 25, 1)
    assert info.voxel_size is None
    assert info.notes == ("alpha dropped",)


@pytest.mark.parametrize("name", NAMES)
def test_a_box_reads_the_finer_source_once_and_no_more_than_it_needs(name):
    source = coarser(np.zeros((1, 200, 200, 200), "u1"), name, (2, 2, 1), (0, 1, 0))
    halo = downsampler(name).halo[0]
    source.read(Box((40, 0, 50), (8, 3, 5)))
    assert source.source.asked == [
        Box.between((80 - halo, 0, 50 - halo), (96 + halo, 5 + halo, 55 + halo)).intersection(source.source.info.box)
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize(("name", "allowed"), [*((n, 12) for n in NAMES if n != "bicubic"), ("hungry", 80)])
def test_reading_takes_little_memory_beyond_input_and_output(name, allowed):
    source = coarser(some_voxels("u1", (1, 510, 512, 128), seed=4), name, start=(1, 0, 0))
    tracemalloc.start()
    result = whole(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - result.nbytes < allowed * 1024 * 1024


def test_the_result_has_x_contiguous():
    assert whole(coarser(np.zeros((2, 8, 6, 4), "u1"), "median")).strides == (4 * 3 * 2, 1, 4, 4 * 3)


def test_a_box_outside_is_refused():
    source = coarser(np.zeros((1, 8, 8, 8), "u1"), "median")
    with pytest.raises(ValueError, match="not within"):
        source.read(Box((2, 0, 0), (3, 4, 4)))


@dataclass(frozen=True)
class Named:
    path: str

    @property
    def info(self):
        return VolumeInfo((9, 9, 9), np.dtype("u1"))

    def read(self, box):
        return np.full((1, *box.shape), 5, np.uint8)


def test_it_pickles_to_a_few_hundred_bytes():
    source = Downsampled(Named("/data/color/1"), Box((0, 0, 0), (9, 9, 9)), (2, 2, 2), "bicubic")
    data = pickle.dumps(source)
    assert len(data) < 600
    assert pickle.loads(data) == source
    assert (whole(pickle.loads(data)) == 5).all()


def test_an_unknown_kernel_is_refused_with_the_legal_names():
    with pytest.raises(OptionError, match="bogus") as error:
        downsampler("bogus")
    assert all(name in error.value.fix for name in NAMES)


class Careless:
    @hookimpl
    def wkconvert_downsamplers(self):
        return {
            "hungry": Downsampler("hungry", lambda block, factor: block.astype(float)[:, ::2, ::2, ::2].astype("u1")),
            "truncating": Downsampler("truncating", lambda block, factor: block[:, ::2, ::2, 1::2]),
            "widening": Downsampler("widening", lambda block, factor: block[:, ::2, ::2, ::2] + 0.5),
            "corner": Downsampler("corner", lambda block, factor: block[:, 1:-1:2, 2:-2:2, ::2], (1, 2, 0)),
        }


@pytest.fixture
def careless():
    with plugins().register(Careless(), "careless"):
        yield


@pytest.mark.usefixtures("careless")
def test_a_plugins_kernel_is_used_by_name_and_checked():
    voxels = np.arange(4 * 6 * 2, dtype=np.uint8).reshape(1, 4, 6, 2)
    np.testing.assert_array_equal(whole(coarser(voxels, "corner")), voxels[:, ::2, ::2, ::2])
    with pytest.raises(PluginError, match="truncating"):
        whole(coarser(voxels[..., :1], "truncating", (2, 2, 1)))
    with pytest.raises(PluginError, match="float64"):
        whole(coarser(voxels, "widening"))


def test_importing_the_kernels_imports_no_scipy():
    code = "import sys, wkconvert_core.sources.downsampled; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
