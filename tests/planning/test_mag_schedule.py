from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.planning.mag_schedule import default_max_mag, schedule

THICK = (1000, 1000, 1000)


def named(mags):
    return [str(mag) for mag in mags]


def mags_of(*texts):
    return [Mag.parse(text) for text in texts]


def in_order(a, b):
    return all(i <= j for i, j in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("size", "mag"),
    [(1, 4), (100, 4), (265, 4), (400, 4), (401, 8), (800, 8), (801, 16), (1024, 16), (10_000, 128), (12_801, 256)],
)
def test_default_max_mag_leaves_at_most_a_hundred_voxels(size, mag):
    assert default_max_mag((size, 1, 5)) == mag
    assert default_max_mag((1, size, 100_000)) == mag


@pytest.mark.parametrize(
    ("voxel_size", "expected"),
    [
        ((11.24, 11.24, 28), ["2-2-1", "4-4-2", "8-8-4"]),
        ((4, 4, 40), ["2-2-1", "4-4-1", "8-8-1", "16-16-2", "32-32-4"]),
        ((6, 6, 30), ["2-2-1", "4-4-1", "8-8-2"]),
        ((16, 16, 8), ["1-1-2", "2-2-4"]),
        ((10, 20, 30), ["2-1-1", "4-2-1", "8-4-2"]),
        ((1, 1, 1), ["2", "4", "8"]),
        # nearly equal sizes: the last mag of each largest factor, else x and y would stay apart for ever
        ((4, 4.1, 40), ["2-2-1", "4-4-1", "8-8-1", "16-16-2"]),
        ((4, 4.1, 8), ["2-2-1", "4-4-2", "8-8-4"]),
        # what a change of units leaves behind does not count
        ((4, 4.0000001, 6), ["2-2-1", "4-4-2"]),
        # where both ways are equally close to cubes, fewer axes double
        ((10, 12.5, 16), ["2-2-1", "4-4-2"]),
    ],
)
def test_anisotropic_mags_bring_voxels_closest_to_cubes(voxel_size, expected):
    coarsest = max(Mag.parse(expected[-1]))
    assert named(schedule(voxel_size, THICK, max_mag=coarsest, sampling_mode="anisotropic")) == expected


def test_isotropic_mags_double_every_axis():
    assert named(schedule((4, 4, 40), THICK, max_mag=8, sampling_mode="isotropic")) == ["2", "4", "8"]


def test_constant_z_mags_leave_z_alone():
    assert named(schedule((8, 8, 1), THICK, max_mag=8, sampling_mode="constant-z")) == ["2-2-1", "4-4-1", "8-8-1"]
    start = Mag(1, 1, 4)
    assert named(schedule((8, 8, 1), THICK, max_mag=8, sampling_mode="constant-z", start=start)) == ["8-8-4"]


@pytest.mark.parametrize("mode", ["anisotropic", "isotropic", "constant-z"])
def test_a_single_slice_is_always_constant_z(mode):
    assert named(schedule((4, 4, 1), (500, 500, 1), max_mag=None, sampling_mode=mode)) == ["2-2-1", "4-4-1", "8-8-1"]


def test_without_a_max_mag_the_default_ends_the_pyramid():
    assert named(schedule((1, 1, 1), (1024, 3, 9), max_mag=None, sampling_mode="anisotropic"))[-1] == "16"


def test_nothing_is_coarser_than_max_mag():
    assert schedule((1, 1, 1), THICK, max_mag=1, sampling_mode="anisotropic") == []
    assert schedule((1, 1, 1), THICK, max_mag=4, sampling_mode="isotropic", start=Mag(4, 4, 4)) == []
    assert schedule((1, 1, 1), THICK, max_mag=2, sampling_mode="isotropic", start=Mag(8, 8, 8)) == []


def test_a_pyramid_continues_from_the_mag_it_starts_at():
    size, modes = (11.24, 11.24, 28), {"max_mag": 16, "sampling_mode": "anisotropic"}
    assert named(schedule(size, THICK, start=Mag(4, 4, 2), **modes)) == ["8-8-4", "16-16-8"]
    # z lags behind and may only double, as x and y do
    assert named(schedule((1, 1, 1), THICK, start=Mag(4, 4, 2), **modes)) == ["8-8-4", "16-16-8"]
    assert named(schedule((1, 1, 1), THICK, start=Mag(1, 1, 4), **modes)) == ["2-2-8", "4-4-16"]


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ((), ["2", "4", "8", "16"]),
        (("1", "2-2-1", "4-4-2"), ["2-2-1", "4-4-2", "8-8-4", "16-16-8"]),
        (("4-4-1",), ["2-2-1", "4-4-1", "8-8-2", "16-16-4"]),
        (("2-2-1", "8-8-2"), ["2-2-1", "4-4-2", "8-8-2", "16-16-4"]),
        (("32-32-4",), ["2", "4", "8-8-4", "16-16-4"]),
    ],
)
def test_mags_line_up_with_those_of_other_layers(existing, expected):
    mags = schedule((1, 1, 1), THICK, max_mag=16, sampling_mode="isotropic", existing=mags_of(*existing))
    assert named(mags) == expected


def test_mags_are_no_finer_than_the_finer_ones_of_other_layers():
    start, existing = Mag(4, 4, 1), mags_of("2-2-4")
    mags = schedule((1, 1, 1), THICK, max_mag=8, sampling_mode="isotropic", start=start, existing=existing)
    assert named(mags) == ["8-8-4"]


def test_mags_lead_up_to_a_coarser_one_of_another_layer():
    mags = schedule((4, 4, 40), THICK, max_mag=8, sampling_mode="anisotropic", existing=mags_of("8"))
    assert named(mags) == ["2", "4", "8"]


@pytest.mark.parametrize(
    ("start", "existing", "culprits"), [("1", ["2-2-1", "2"], ["2-2-1", "2"]), ("4-4-2", ["8-8-1"], ["8-8-1", "4-4-2"])]
)
def test_mags_without_a_common_order_are_refused(start, existing, culprits):
    with pytest.raises(OptionError) as error:
        schedule(
            (1, 1, 1),
            THICK,
            max_mag=16,
            sampling_mode="isotropic",
            start=Mag.parse(start),
            existing=mags_of(*existing),
        )
    assert all(culprit in str(error.value) for culprit in culprits)
    assert "--max-mag" in error.value.fix


def test_an_unknown_sampling_mode_is_refused_with_the_legal_ones():
    with pytest.raises(OptionError, match="constant_z") as error:
        schedule((1, 1, 1), THICK, max_mag=4, sampling_mode="constant_z")
    assert error.value.fix.endswith("anisotropic, isotropic, constant-z")


@pytest.mark.parametrize("max_mag", [0, -4, 3, 12])
def test_a_max_mag_that_is_no_power_of_two_is_refused(max_mag):
    with pytest.raises(OptionError, match=f"--max-mag {max_mag} .*power of two"):
        schedule((1, 1, 1), THICK, max_mag=max_mag, sampling_mode="anisotropic")


sizes = st.one_of(st.floats(0.1, 1000), st.sampled_from([1.0, 2.0, 4.0, 4.1, 8.0, 30.0, 40.0]))
factors = st.sampled_from([1, 2, 4, 8])


@given(
    voxel_size=st.tuples(sizes, sizes, sizes),
    start=st.tuples(factors, factors, factors),
    mode=st.sampled_from(["anisotropic", "isotropic"]),
)
def test_the_largest_factor_doubles_and_every_axis_doubles_or_stays(voxel_size, start, mode):
    mags = schedule(voxel_size, THICK, max_mag=256, sampling_mode=mode, start=Mag(*start))
    assert max((Mag(*start), *mags)[-1]) == 256
    for finer, coarser in pairwise([Mag(*start), *mags]):
        assert max(coarser) == 2 * max(finer)
        assert all(b in (a, 2 * a) for a, b in zip(finer, coarser, strict=True))


@given(
    voxel_size=st.tuples(sizes, sizes, sizes),
    other_size=st.tuples(sizes, sizes, sizes),
    mode=st.sampled_from(["anisotropic", "isotropic", "constant-z"]),
    kept=st.sets(st.integers(0, 5)),
)
def test_layers_of_any_schedules_share_their_mags(voxel_size, other_size, mode, kept):
    """Whatever is left of another layer's pyramid, the new one has one order with it and one mag per largest factor."""
    other = schedule(other_size, THICK, max_mag=64, sampling_mode="anisotropic")
    existing = [mag for number, mag in enumerate(other) if number in kept]
    mags = schedule(voxel_size, THICK, max_mag=64, sampling_mode=mode, existing=existing)
    together = sorted({*mags, *existing}, key=max)
    assert len({max(mag) for mag in together}) == len(together)
    assert all(in_order(a, b) for a, b in pairwise(together))
    for finer, coarser in pairwise([Mag(1, 1, 1), *mags]):
        steps = all(b in (a, 2 * a) for a, b in zip(finer, coarser, strict=True))
        assert steps or mode == "constant-z"  # where another layer's z has grown, x and y must catch up
