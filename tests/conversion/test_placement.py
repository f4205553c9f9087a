"""Where layers lie, and how large their voxels are, against each other and those that a dataset has."""

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from helpers.conversions import carry_out, different, invoke, layers_of, mags_of, properties, random_voxels, read
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from wkconvert_core import (
    Affine,
    Box,
    BrokenSource,
    InconsistentStack,
    Mag,
    OptionError,
    Turn,
    Vec3,
    VoxelSize,
    WarningNote,
)
from wkconvert_core.commands import recube
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.prepare import prepare_conversion as prepare
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.voxel_sizes import fitting_mag
from wkconvert_core.datasets.properties import voxel_size
from wkconvert_core.datasets.records.existing_layers import existing_layers

PLAIN = Settings(jobs=2)
ADD = Settings(jobs=2, add=True)


def size(*sides, unit="nm", origin="its tags"):
    return VoxelSize(tuple(map(float, sides)), unit, origin)


def affine(*origin, steps=((2, 0, 0), (0, 2, 0), (0, 0, 2)), unit="µm", stated="header"):
    return Affine(*steps, origin, unit, stated)


def box_of(dataset, layer):
    box = layers_of(dataset)[layer]["boundingBox"]
    return Box(tuple(box["topLeft"]), (box["width"], box["height"], box["depth"]))


def warnings(done):
    return [note for note in done.notes if isinstance(note, WarningNote)]


# --- sizes -----------------------------------------------------------------------------------------------------------

EM, LABELS = random_voxels((80, 64, 6)), random_voxels((40, 32, 6), seed=1)


@pytest.fixture
def em_and_labels(tmp_path, reader):
    reader(tmp_path / "src" / "em", EM, voxel_size=size(4, 4, 40))
    reader(tmp_path / "src" / "labels", LABELS, voxel_size=size(0.008, 0.008, 0.04, unit="µm"))
    return tmp_path / "src"


def check_labels_at_mag_2(ds):
    assert voxel_size(properties(ds)).to("nm").size == (4, 4, 40)
    assert (box_of(ds, "em"), box_of(ds, "labels")) == (Box((0, 0, 0), (80, 64, 6)), Box((0, 0, 0), (80, 64, 6)))
    assert mags_of(ds, "em") == ["1-1-1", "2-2-1", "4-4-1"]
    assert mags_of(ds, "labels") == ["2-2-1", "4-4-1"]
    np.testing.assert_array_equal(read(ds, "em"), EM)
    np.testing.assert_array_equal(read(ds, "labels", "2-2-1"), LABELS)


@pytest.mark.parametrize("wanted", [None, "4,4,40", ",,40"])
def test_a_ratio_of_powers_of_two_is_a_mag(tmp_path, em_and_labels, wanted):
    done = convert(em_and_labels, tmp_path / "ds", Settings(jobs=2, voxel_size=wanted and VoxelSize.parse(wanted)))
    check_labels_at_mag_2(tmp_path / "ds")
    assert any(
        note.startswith("labels: stored at mag 2-2-1, because its voxels measure 0.008 x 0.008 x 0.04 µm;")
        for note in done.notes
    )
    assert invoke("verify", tmp_path / "ds", "--deep").exit_code == 0


@pytest.mark.parametrize(
    "part", [{"bbox": Box((0, 0, 0), (20, 20, 2))}, {"skip_first_z_slices": 1}, {"start_z": 2}], ids=str
)
def test_numbers_of_voxels_are_not_given_to_layers_of_several_sizes(tmp_path, em_and_labels, part):
    with pytest.raises(OptionError, match="counts each layer's own voxels, and the layers lie at the mags 1, 2-2-1"):
        prepare(em_and_labels, tmp_path / "ds", Settings(jobs=2, **part))


def test_it_is_a_mag_in_two_steps_too_and_the_same_command_again_changes_nothing(tmp_path, em_and_labels):
    ds = tmp_path / "ds"
    convert(em_and_labels / "em", ds, Settings(jobs=2, layer_name="em"))
    for name in ("labels", "again"):
        done = convert(em_and_labels / "labels", ds, Settings(jobs=2, add=True, layer_name="labels"))
        check_labels_at_mag_2(ds)
        assert any("stored at mag 2-2-1" in note for note in done.notes), name
    assert done.resumed == done.shards


def test_a_layer_is_not_compared_with_what_it_wrote_itself(tmp_path, em_and_labels):
    adding = Settings(jobs=2, add=True, layer_name="labels", voxel_size=size(4, 4, 40))  # against what its source says
    for _ in range(2):
        convert(em_and_labels / "labels", tmp_path / "ds", adding)
        assert box_of(tmp_path / "ds", "labels").shape == (40, 32, 6)


def test_cube_compares_as_auto_does_also_with_what_it_wrote_before(tmp_path, em_and_labels):
    assert invoke("cube", em_and_labels, tmp_path / "a").exit_code == 0
    for name in ("em", "labels", "labels"):
        assert invoke("cube", em_and_labels / name, tmp_path / "b", "--layer-name", name).exit_code == 0
    convert(em_and_labels / "em", tmp_path / "c", Settings(jobs=2, layer_name="em"))
    assert invoke("cube", em_and_labels / "labels", tmp_path / "c", "--layer-name", "labels").exit_code == 0
    for ds in (tmp_path / "a", tmp_path / "b", tmp_path / "c"):
        invoke("metadata", ds)
        assert (box_of(ds, "labels"), mags_of(ds, "labels")) == (Box((0, 0, 0), (80, 64, 6)), ["2-2-1"])
        np.testing.assert_array_equal(read(ds, "labels", "2-2-1"), LABELS)
        assert properties(ds)["scale"]["factor"] == [4, 4, 40]


@pytest.mark.parametrize("shape", [(41, 33, 6), (40, 32, 6), (1, 1, 1)])
def test_extents_that_do_not_fit_stay_what_the_voxels_cover(tmp_path, reader, shape):
    reader(tmp_path / "src" / "em", random_voxels((81, 65, 6)), voxel_size=size(4, 4, 40))
    reader(tmp_path / "src" / "labels", random_voxels(shape), voxel_size=size(8, 8, 40))
    done = convert(tmp_path / "src", tmp_path / "ds", PLAIN)
    assert box_of(tmp_path / "ds", "labels") == Box((0, 0, 0), Vec3(*shape) * (2, 2, 1))
    assert any("differ in extent" in note for note in done.notes)


@pytest.mark.parametrize("add", [True, False])
def test_ratios_that_are_no_mag_are_refused_with_both_sizes_and_the_options(tmp_path, reader, add):
    src, ds = tmp_path / "src", tmp_path / "ds"
    reader(src / "em", EM, voxel_size=size(4, 4, 40))
    reader(src / "labels", random_voxels((53, 43, 6)), voxel_size=size(6, 6, 40))
    if add:
        convert(src / "em", ds, Settings(jobs=2, layer_name="em"))
    with pytest.raises(InconsistentStack, match=r"4 x 4 x 40 nm.*6 x 6 x 40 nm|6 x 6.*4 x 4") as caught:
        prepare(src / "labels" if add else src, ds, ADD if add else PLAIN)
    assert "1.5 x 1.5 x 1 times" in caught.value.why
    assert "to such a mag, or say --at-mag, with --add," in caught.value.fix
    assert "--voxel-size 4,4,40" in caught.value.fix
    decided = Settings(jobs=2, add=add, voxel_size=size(4, 4, 40, origin="--voxel-size"), layer_name="labels" * add)
    decided = decided if add else Settings(jobs=2, voxel_size=decided.voxel_size)
    done = convert(src / "labels" if add else src, ds, decided)
    assert box_of(ds, "labels").shape == (53, 43, 6)
    assert any("its source says 6 x 6 x 40 nm (its tags)" in note for note in done.notes)


@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize(("one", "other"), [(0.48828125, 0.4883), (0.4883, 0.48828125), (11.24, 11.25)])
def test_sizes_of_one_shape_that_differ_by_rounding_are_one(tmp_path, reader, one, other, add):
    src, ds = tmp_path / "src", tmp_path / "ds"
    reader(src / "em", EM, voxel_size=size(one, one, 2))
    reader(src / "labels", EM, voxel_size=size(other, other, 2))
    if add:
        convert(src / "em", ds, Settings(jobs=2, layer_name="em"))
    done = convert(src / "labels" if add else src, ds, replace(ADD, layer_name="labels") if add else PLAIN)
    assert mags_of(ds, "labels") == mags_of(ds, "em")
    assert voxel_size(properties(ds)).size == (one, one, 2)
    assert any(f"its source says {other:g}"[:22] in note for note in warnings(done))


@pytest.mark.parametrize(
    ("side", "named"),
    [
        (4.0144, "4.0144,4.0144,40"),
        (12, "resample labels"),
        (7.8, "--at-mag 2-2-1 if it is that"),
        (4.001, "4.001,4.001,40"),
    ],
)
def test_sizes_that_do_not_go_together_are_in_the_advice(tmp_path, reader, side, named):
    """Also nearly the same ones, where the shapes differ; a mag is named only if the size is near it."""
    reader(tmp_path / "src" / "em", EM, voxel_size=size(4, 4, 40))
    reader(tmp_path / "src" / "labels", LABELS, voxel_size=size(side, side, 40))
    with pytest.raises(InconsistentStack, match="differ in voxel size") as refused:
        prepare(tmp_path / "src", tmp_path / "ds", PLAIN)
    assert "--voxel-size 4,4,40" in refused.value.fix
    assert named in refused.value.fix
    assert ("--at-mag 2-2-1" in refused.value.fix) == (side == 7.8)


@pytest.mark.parametrize("side", [7.8, 8.0001, 4.001, 3.9])
def test_sizes_that_are_nearly_a_mag_are_none(tmp_path, reader, side):
    convert(reader(tmp_path / "em", EM, voxel_size=size(4, 4, 40)), tmp_path / "ds", PLAIN)
    labels = reader(tmp_path / "labels", LABELS, voxel_size=size(side, side, 40))
    with pytest.raises(InconsistentStack, match="differ in voxel size"):
        prepare(labels, tmp_path / "ds", Settings(jobs=2, add=True, layer_name="labels"))


def test_at_mag_says_it_outright(tmp_path, reader):
    ds = tmp_path / "ds"
    convert(reader(tmp_path / "em", EM, voxel_size=size(4, 4, 40)), ds, Settings(jobs=2, layer_name="em"))
    labels = reader(tmp_path / "labels", LABELS)
    invoked = invoke("auto", labels, ds, "--add", "--layer-name", "labels", "--at-mag", "2-2-1")
    assert invoked.exit_code == 0, invoked.output
    check_labels_at_mag_2(ds)
    with pytest.raises(OptionError, match="--at-mag 3 cannot be read"):
        invoke("auto", labels, ds, "--add", "--at-mag", "3")


@pytest.mark.parametrize("stated", [None, size(8, 8, 40)])
@pytest.mark.parametrize(
    ("said", "advice"),
    [("8,8,40", "say --at-mag 2-2-1 in place of --voxel-size; if"), ("8,8,30", None), ("12,12,40", None)],
)
def test_a_size_that_is_said_of_added_layers_and_makes_a_mag_names_that(tmp_path, reader, said, advice, stated):
    em = reader(tmp_path / "em", EM, voxel_size=size(4, 4, 40))
    labels = reader(tmp_path / "labels", LABELS, **({"voxel_size": stated} if stated else {}))
    convert(em, tmp_path / "ds", replace(PLAIN, layer_name="em"))
    named = replace(ADD, layer_name="labels")
    with pytest.raises(
        InconsistentStack, match=r"if the dataset is right, say --voxel-size 4\.0,4\.0,40\.0"
    ) as refused:
        prepare(labels, tmp_path / "ds", replace(named, voxel_size=VoxelSize.parse(said)))
    assert ("--at-mag" in str(refused.value)) == bool(advice)
    if advice:
        assert advice in str(refused.value)
        convert(labels, tmp_path / "ds", replace(named, at_mag=Mag(2, 2, 1)))
        check_labels_at_mag_2(tmp_path / "ds")


def test_at_mag_counts_against_what_sizes_say(tmp_path, reader):
    src, ds = tmp_path / "src", tmp_path / "ds"
    reader(src / "em", EM, voxel_size=size(4, 4, 40))
    reader(src / "labels", random_voxels((80, 64, 6)), voxel_size=size(8, 8, 40))
    with pytest.raises(InconsistentStack, match="both have 80 x 64 x 6 voxels") as caught:
        prepare(src, ds, PLAIN)
    assert "--at-mag 1" in caught.value.fix
    with pytest.raises(InconsistentStack, match="differ in voxel size"):  # which of both is the dataset's?
        prepare(src, ds, Settings(jobs=2, at_mag=Mag(1, 1, 1)))
    done = convert(src, ds, Settings(jobs=2, at_mag=Mag(1, 1, 1), voxel_size=size(4, 4, 40)))
    assert box_of(ds, "labels").shape == (80, 64, 6)
    assert any("its source says 8 x 8 x 40 nm" in note for note in done.notes)


def test_finer_voxels_that_come_second_are_refused_with_the_way_out(tmp_path, em_and_labels):
    ds = tmp_path / "ds"
    convert(em_and_labels / "labels", ds, Settings(jobs=2, layer_name="labels"))
    em = Settings(jobs=2, add=True, layer_name="em")
    with pytest.raises(InconsistentStack, match=r"em: 4 x 4 x 40 nm") as caught:
        prepare(em_and_labels / "em", ds, em)
    assert "finer than the dataset's mag 1" in caught.value.why
    assert "convert em into a new dataset, and add the other layers" in caught.value.fix
    # or the coarser ones are put where they belong at once
    coarse = Settings(jobs=2, layer_name="labels", at_mag=Mag(2, 2, 1), overwrite=True)
    convert(em_and_labels / "labels", ds, coarse)
    convert(em_and_labels / "em", ds, em)
    check_labels_at_mag_2(ds)


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ((4, 4, 40), (8, 8, 20), "beside mag"),  # coarser along x, finer along z
        ((4, 4, 4), (2, 2, 4), None),
        ((4, 4, 4), (4, 4, 4.000001), None),
        ((4, 4, 4), (4, 4, 4.1), "differ in voxel size"),
        ((4, 4, 4), (12, 12, 12), "differ in voxel size"),
    ],
)
def test_mags_that_make_no_pyramid_are_refused(tmp_path, reader, one, other, words):
    reader(tmp_path / "src" / "a", random_voxels((40, 40, 40)), voxel_size=size(*one))
    reader(tmp_path / "src" / "b", random_voxels((20, 20, 20)), voxel_size=size(*other))
    if words:
        with pytest.raises(InconsistentStack, match=words):
            prepare(tmp_path / "src", tmp_path / "ds", PLAIN)
    else:
        convert(tmp_path / "src", tmp_path / "ds", PLAIN)


def test_a_mag_beside_another_of_the_same_factor_is_refused(tmp_path, reader):
    ds = tmp_path / "ds"
    isotropic = Settings(jobs=2, sampling_mode="isotropic", layer_name="em")
    convert(reader(tmp_path / "em", EM, voxel_size=size(4, 4, 40)), ds, isotropic)
    with pytest.raises(InconsistentStack, match="mag 2-2-1 beside mag 2") as caught:
        prepare(reader(tmp_path / "labels", LABELS, voxel_size=size(8, 8, 40)), ds, ADD)
    assert "--at-mag" in caught.value.fix


def test_coarser_mags_of_a_layer_follow_those_that_others_have_by_their_size(tmp_path, reader):
    reader(tmp_path / "src" / "em", random_voxels((80, 64, 12)), voxel_size=size(4, 4, 40))
    reader(tmp_path / "src" / "labels", random_voxels((40, 32, 6)), voxel_size=size(8, 8, 80))
    convert(tmp_path / "src", tmp_path / "ds", PLAIN)
    assert mags_of(tmp_path / "ds", "em")[:2] == ["1-1-1", "2-2-2"]  # not 2-2-1, which would lie beside 2
    assert mags_of(tmp_path / "ds", "labels")[0] == "2-2-2"


def test_two_datasets_as_layers_are_compared_and_all_mags_move_along(tmp_path, reader):
    src, ds = tmp_path / "src", tmp_path / "ds"
    convert(reader(tmp_path / "a", EM, voxel_size=size(4, 4, 40)), src / "em", PLAIN)
    convert(reader(tmp_path / "b", LABELS, voxel_size=size(8, 8, 40)), src / "coarse", Settings(jobs=2, start_z=2))
    convert(src, ds, PLAIN)
    with pytest.raises(OptionError, match="fits layers of one mag, and these have 1, 2-2-1"):
        prepare(ds, tmp_path / "copy", Settings(jobs=2, at_mag=Mag(2, 2, 1)))
    assert box_of(ds, "coarse_color") == Box((0, 0, 2), (80, 64, 6))
    assert mags_of(ds, "coarse_color") == ["2-2-1", "4-4-1"]
    np.testing.assert_array_equal(read(ds, "coarse_color", "2-2-1"), LABELS)
    np.testing.assert_array_equal(read(ds, "coarse_color", "4-4-1"), read(src / "coarse", "color", "2-2-1"))


def test_a_size_that_is_anothers_is_a_warning_and_whose_is_told(tmp_path, reader):
    reader(tmp_path / "src" / "em", EM)
    reader(tmp_path / "src" / "labels", EM, voxel_size=size(1, 1, 1, unit="mm", origin="pixdim"))
    reader(tmp_path / "src" / "prob", EM, voxel_size=VoxelSize((1e6, 1e6, None), "nm", "tags"))
    done = convert(tmp_path / "src", tmp_path / "ds", PLAIN)
    assert [note for note in warnings(done) if "voxel size" in note] == [
        "em: no voxel size is stated: that of labels is taken, 1 x 1 x 1 mm (pixdim)",
        "prob: no voxel size along z is stated: that of labels is taken, 1 x 1 x 1 mm (pixdim)",
    ]
    assert "labels: its source says 1 x 1 x 1 mm (pixdim)" in done.notes
    added = convert(reader(tmp_path / "more", EM), tmp_path / "ds", Settings(jobs=2, add=True, layer_name="more"))
    assert warnings(added) == [
        "no voxel size is stated: that of the dataset is taken, 1 x 1 x 1 mm (the dataset's own)"
    ]
    said = convert(tmp_path / "src", tmp_path / "said", Settings(jobs=2, voxel_size=size(1, 1, 1, unit="mm")))
    assert warnings(said) == []


@pytest.mark.parametrize("add", [True, False])
def test_a_layer_of_unknown_size_with_the_shape_of_a_coarser_mag_is_warned_of(tmp_path, reader, add):
    src, ds, known = tmp_path / "src", tmp_path / "ds", size(4, 4, 40)
    for name, shape in (("em", (81, 64, 6)), ("labels", (41, 32, 6)), ("other", (41, 32, 5))):
        reader(src / name, random_voxels(shape))
    done = convert(src / "em" if add else src, ds, Settings(jobs=2, voxel_size=known, layer_name="em" if add else None))
    if add:
        done = convert(src / "labels", ds, Settings(jobs=2, layer_name="labels", add=True))
    told = [note for note in warnings(done) if "has the shape of" in note]
    hint = "has the shape of mag 2-2-1 of em: if it is that, say --at-mag 2-2-1, with --add after em"
    assert told == [hint if add else f"labels: {hint}"]


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path, reader):
    """A function that makes an image and labels whose affine is the image's moved by so many voxels."""

    def make(by, factor=1, steps=((2, 0, 0), (0, 2, 0), (0, 0, 2)), shape=(10, 12, 14), **more):
        image = affine(-40.0, -44.0, -48.0, steps=steps)
        at = np.array(by) + (factor - 1) / 2  # the centre of the first, larger voxel
        labels = affine(*image.at(at), steps=tuple(tuple(factor * n for n in step) for step in steps), **more)
        reader(tmp_path / "src" / "image", random_voxels((40, 44, 48)), voxel_size=size(2, 2, 2), affine=image)
        side = 2 * factor
        reader(tmp_path / "src" / "labels", random_voxels(shape), voxel_size=size(side, side, side), affine=labels)
        return tmp_path / "src"

    return make


@pytest.mark.parametrize("by", [(15, 16, 17), (0, 0, 0), (-3, 5, -1), (-3, 0, 2), (1, 0, 0)])
@pytest.mark.parametrize(
    "steps",
    [
        ((2, 0, 0), (0, 2, 0), (0, 0, 2)),
        ((-2, 0, 0), (0, 0, 2), (0, 2, 0)),
        ((1.2, 1.6, 0), (-1.6, 1.2, 0), (0, 0, 2)),
    ],
)
def test_a_shift_in_whole_voxels_is_a_place(tmp_path, pair, by, steps):
    src = pair(by, steps=steps)
    least = [min(0, n) for n in by]
    done = convert(src, tmp_path / "ds", PLAIN)
    assert warnings(done) == []
    assert any("differ in extent" in note for note in done.notes)
    assert box_of(tmp_path / "ds", "image") == Box(tuple(-n for n in least), (40, 44, 48))
    assert box_of(tmp_path / "ds", "labels") == Box(tuple(n - m for n, m in zip(by, least, strict=True)), (10, 12, 14))
    np.testing.assert_array_equal(read(tmp_path / "ds", "labels"), random_voxels((10, 12, 14)))


@pytest.mark.parametrize(
    ("first", "image", "labels"),
    [((100, 50, 10), (100, 50, 10), (115, 66, 27)), ((0, 0, 0), (0, 0, 0), (15, 16, 17))],
)
def test_the_first_layer_begins_where_its_source_says_and_the_others_beside_it(tmp_path, reader, first, image, labels):
    own = affine(200.0, 100.0, 20.0)
    reader(tmp_path / "src" / "em", EM, voxel_size=size(2, 2, 2), affine=own, offset=first)
    reader(tmp_path / "src" / "labels", EM, voxel_size=size(2, 2, 2), affine=own.moved((15, 16, 17)), offset=(1, 2, 3))
    convert(tmp_path / "src", tmp_path / "ds", PLAIN)
    assert box_of(tmp_path / "ds", "em").start == image
    assert box_of(tmp_path / "ds", "labels").start == labels


@pytest.mark.parametrize(
    ("by", "labels", "image"), [((4, 6, 8), (4, 6, 8), (0, 0, 0)), ((3, -1, 1), (4, 0, 2), (1, 1, 1))]
)
def test_labels_at_a_mag_lie_on_its_grid(tmp_path, pair, by, labels, image):
    src = pair(by, factor=2)
    convert(src, tmp_path / "ds", PLAIN)
    assert box_of(tmp_path / "ds", "labels") == Box(labels, (20, 24, 28))
    assert box_of(tmp_path / "ds", "image").start == image
    assert mags_of(tmp_path / "ds", "labels")[0] == "2-2-2"


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1e-3), ("nm", 1e3), (None, 1)])
def test_affines_may_be_in_different_units(tmp_path, reader, unit, scale):
    image, at = affine(-40.0, -44.0, -48.0), np.array((-10.0, -12.0, -14.0))
    steps = ((2 * scale, 0, 0), (0, 2 * scale, 0), (0, 0, 2 * scale))
    labels = affine(*(at * scale).tolist(), unit=unit, steps=steps)
    reader(tmp_path / "src" / "image", random_voxels((40, 44, 48)), voxel_size=size(2, 2, 2, unit="µm"), affine=image)
    reader(tmp_path / "src" / "labels", LABELS, voxel_size=size(2, 2, 2, unit="µm"), affine=labels)
    convert(tmp_path / "src", tmp_path / "ds", PLAIN)
    assert box_of(tmp_path / "ds", "labels").start == (15, 16, 17)


@pytest.mark.parametrize("command", ["auto", "cube"])
def test_places_count_where_layers_are_added(tmp_path, pair, command):
    src, ds = pair((15, 16, 17)), tmp_path / "ds"
    add = ["--add"] if command == "auto" else []
    assert invoke(command, src / "image", ds, "--layer-name", "image").exit_code == 0
    for _ in range(2):
        assert invoke(command, src / "labels", ds, "--layer-name", "labels", *add).exit_code == 0
    assert existing_layers(ds, ["labels"]).affine == affine(-40.0, -44.0, -48.0)
    invoke("metadata", ds)
    assert box_of(ds, "labels") == Box((15, 16, 17), (10, 12, 14))


def test_a_plan_that_cannot_be_read_is_not_taken_for_none(tmp_path, pair, monkeypatch):
    src, ds = pair((15, 16, 17)), tmp_path / "ds"
    assert invoke("auto", src / "image", ds, "--layer-name", "image").exit_code == 0
    really = os.open

    def failing(path, *rest, **more):
        if str(path).endswith(".plan"):
            raise OSError(errno.EIO, "Input/output error", path)
        return really(path, *rest, **more)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(BrokenSource, match=r"image\.auto\.plan cannot be read"):
        existing_layers(ds, [])


def test_a_part_of_a_layer_lies_where_it_lies_in_the_whole(tmp_path, pair):
    src, ds = pair((15, 16, 17)), tmp_path / "ds"
    convert(src / "image", ds, Settings(jobs=2, layer_name="image"))
    part = Settings(jobs=2, layer_name="part", add=True, bbox=Box((2, 3, 4), (5, 6, 7)), skip_first_z_slices=1)
    convert(src / "labels", ds, part)
    assert box_of(ds, "part") == Box((17, 19, 22), (5, 6, 7))


def test_a_copy_knows_where_its_layers_lie(tmp_path, pair):
    src = pair((15, 16, 17))
    convert(src / "image", tmp_path / "ds", Settings(jobs=2, layer_name="image"))
    assert invoke("recube", tmp_path / "ds", tmp_path / "copy").exit_code == 0
    convert(src / "labels", tmp_path / "copy", Settings(jobs=2, add=True, layer_name="labels"))
    assert box_of(tmp_path / "copy", "labels") == Box((15, 16, 17), (10, 12, 14))


@pytest.mark.parametrize(("flip", "box"), [("", None), ("x", None), ("yz", None), ("", Box((3, 2, 1), (30, 40, 45)))])
def test_a_dataset_that_is_converted_again_knows_where_its_layers_lie(tmp_path, pair, flip, box):
    src, how = pair((15, 16, 17)), Settings(jobs=2, flip=flip, bbox=box, layer_name="image", downsample=False)
    convert(src / "image", tmp_path / "direct", how)
    convert(src / "image", tmp_path / "ds", replace(how, flip="", bbox=None))
    convert(tmp_path / "ds", tmp_path / "again", how)
    places = []
    for name in ("direct", "again"):
        convert(src / "labels", tmp_path / name, replace(ADD, flip=flip, layer_name="labels", downsample=False))
        places.append(box_of(tmp_path / name, "labels"))
    assert places[0] == places[1] != Box((0, 0, 0), (10, 12, 14))


@pytest.mark.parametrize("flip", ["", "xz"])
@pytest.mark.parametrize("box", [None, Box((3, 4, 5), (7, 8, 9))])
@pytest.mark.parametrize(("skip", "mag"), [(0, None), (2, None), (2, Mag(2, 2, 1))])
def test_a_part_of_a_dataset_lies_where_that_part_of_its_source_does(tmp_path, pair, flip, box, skip, mag):
    src, plain = pair((15, 16, 17)) / "image", Settings(jobs=1, downsample=False)
    part = replace(plain, flip=flip, bbox=box, skip_first_z_slices=skip)
    convert(src, tmp_path / "ds", replace(plain, at_mag=mag))
    convert(tmp_path / "ds", tmp_path / "again", part)
    convert(src, tmp_path / "direct", replace(part, at_mag=mag))
    direct, again = (existing_layers(tmp_path / name, []) for name in ("direct", "again"))
    assert direct.affine == again.affine
    assert direct.affine is not None
    assert [grid.flip for grid in again.grids.values()] == [flip]


def test_a_dataset_whose_records_lay_it_elsewhere_stays_with_a_warning(tmp_path, pair):
    src = pair((15, 16, 17))
    for name in ("image", "labels"):
        convert(src / name, tmp_path / name, Settings(jobs=2, layer_name=name, downsample=False))
    added = prepare(tmp_path / "labels", tmp_path / "image", ADD)
    (told,) = [note for note in added.notes if "recorded" in note]
    assert isinstance(told, WarningNote)
    assert "stays at 0, 0, 0" in told
    assert "belongs at 15, 16, 17: --top-left lays it there" in told
    placed = prepare(tmp_path / "labels", tmp_path / "image", replace(ADD, top_left=(15, 16, 17)))
    assert not any("recorded" in note for note in placed.notes)
    convert(tmp_path / "image", tmp_path / "copy", Settings(jobs=2, downsample=False))
    same = prepare(tmp_path / "copy", tmp_path / "image", replace(ADD, layer_name="again"))
    assert not any("recorded" in note for note in same.notes)


def test_a_place_before_the_dataset_is_refused_with_the_numbers(tmp_path, pair):
    src, ds = pair((15, 16, 17)), tmp_path / "ds"
    convert(src / "labels", ds, Settings(jobs=2, layer_name="labels"))
    with pytest.raises(InconsistentStack, match="image begins at voxel -15, -16, -17 of the dataset") as caught:
        prepare(src / "image", ds, Settings(jobs=2, add=True, layer_name="image"))
    assert "--top-left" in caught.value.fix
    assert "(-40, -44, -48) µm" in caught.value.why


@pytest.mark.parametrize(
    ("by", "more", "words"),
    [
        ((0.5, 0, 0), {}, r"labels begins at 0\.5, 0, 0 voxels of image"),
        ((0, 0, 7.1), {}, r"0, 0, 7\.1 voxels of image"),
        ((1, 1, 1), {"turn": ((-2, 0, 0), (0, 2, 0), (0, 0, 2))}, "mirrored along x against image"),
        ((1, 1, 1), {"turn": ((0, 2, 0), (2, 0, 0), (0, 0, 2))}, "with x, y exchanged against image"),
        ((1, 1, 1), {"turn": ((1.6, 1.2, 0), (-1.2, 1.6, 0), (0, 0, 2))}, "turned by 36.9 degrees against image"),
        ((1, 1, 1), {"turn": ((2.2, 0, 0), (0, 2, 0), (0, 0, 2))}, "with voxels of 1.1 x 1 x 1"),
    ],
)
def test_what_is_no_whole_shift_is_refused_with_both_and_placed_by_hand(tmp_path, reader, pair, by, more, words):
    src = pair(by)
    if "turn" in more:
        first, second = affine(-40.0, -44.0, -48.0), affine(-38.0, -42.0, -46.0, steps=more["turn"])
        for name, shape, lies in (("image", (40, 44, 48), first), ("labels", (10, 12, 14), second)):
            folder = tmp_path / "turned" / name
            reader(folder, random_voxels(shape), voxel_size=size(2, 2, 2), affine=lies)
        src = tmp_path / "turned"
    for source, settings in ((src, PLAIN), (src / "labels", ADD)):
        ds = tmp_path / f"ds{settings.add}"
        if settings.add:
            convert(src / "image", ds, Settings(jobs=2, layer_name="image"))
        said = words.replace("image", "(image|the dataset)").replace("labels ", "")
        with pytest.raises(InconsistentStack, match=said) as caught:
            prepare(source, ds, settings)
        assert caught.value.why.count(" from (") == 2, "both affines are told"
        assert "--top-left x,y,z" in caught.value.fix
    convert(src, tmp_path / "by_hand", Settings(jobs=2, top_left=(0, 0, 0)))
    assert box_of(tmp_path / "by_hand", "labels") == Box((0, 0, 0), (10, 12, 14))


def test_what_was_placed_by_hand_against_its_affine_does_not_count_for_later_layers(tmp_path, pair):
    src, ds = pair((15, 16.5, 17)), tmp_path / "ds"
    convert(src / "image", ds, Settings(jobs=2, layer_name="image"))
    convert(src / "labels", ds, Settings(jobs=2, layer_name="before", add=True, top_left=(1, 2, 3)))
    assert existing_layers(ds, []).affine == affine(-40.0, -44.0, -48.0)
    alone = tmp_path / "alone"
    convert(src / "image", alone, Settings(jobs=2, layer_name="image", top_left=(4, 5, 6)))
    assert existing_layers(alone, []).affine == affine(-48.0, -54.0, -60.0)


def test_the_nearest_place_is_told_and_can_be_had(tmp_path, pair):
    src, ds = pair((3.5, -0.5, 6.9), factor=2), tmp_path / "ds"
    with pytest.raises(InconsistentStack, match=r"labels begins at 3\.5, -0\.5, 6\.9 voxels of image") as caught:
        prepare(src, ds, PLAIN)
    assert caught.value.fix.endswith("the nearest place beside image, with --add, is 4,0,6")
    convert(src / "image", ds, Settings(jobs=2, layer_name="image"))
    convert(src / "labels", ds, Settings(jobs=2, layer_name="labels", add=True, top_left=(4, 0, 6)))
    assert box_of(ds, "labels") == Box((4, 0, 6), (20, 24, 28))


def test_top_left_puts_the_first_voxel(tmp_path, reader):
    source = reader(tmp_path / "src", LABELS, voxel_size=size(4, 4, 40), offset=(1, 2, 3))
    for more, box in (
        ((), Box((10, 20, 30), (40, 32, 6))),
        (("--bbox", "5,6,1,10,10,2"), Box((15, 26, 31), (10, 10, 2))),
        (("--at-mag", "2-2-1"), Box((10, 20, 30), (80, 64, 6))),
        (("--target-mag", "2-2-1"), Box((10, 20, 30), (40, 32, 6))),
    ):
        result = invoke("auto", source, tmp_path / "ds", "--top-left", "10,20,30", "--overwrite", *more)
        assert result.exit_code == 0, result.output
        assert box_of(tmp_path / "ds", "color") == box
        assert invoke("verify", tmp_path / "ds").exit_code == 0


def test_coarser_mags_of_a_layer_that_is_moved_are_made_anew(tmp_path, reader):
    voxels = random_voxels((79, 64, 6))
    convert(reader(tmp_path / "src", voxels, voxel_size=size(4, 4, 40)), tmp_path / "there", PLAIN)
    convert(tmp_path / "there", tmp_path / "moved", Settings(jobs=2, top_left=(1, 0, 0)))
    convert(reader(tmp_path / "at_1", voxels, voxel_size=size(4, 4, 40), offset=(1, 0, 0)), tmp_path / "ds", PLAIN)
    np.testing.assert_array_equal(read(tmp_path / "moved", mag="2-2-1"), read(tmp_path / "ds", mag="2-2-1"))


def test_a_part_of_the_voxel_size_may_be_said_where_layers_are_added(tmp_path, reader):
    convert(reader(tmp_path / "em", EM, voxel_size=size(4, 4, 40)), tmp_path / "ds", PLAIN)
    more = reader(tmp_path / "more", EM)
    adding = Settings(jobs=2, add=True, layer_name="more", voxel_size=VoxelSize.parse(",,40"))
    assert prepare(more, tmp_path / "ds", adding).voxel_size.size == (4, 4, 40)
    with pytest.raises(InconsistentStack):
        prepare(more, tmp_path / "ds", replace(adding, voxel_size=VoxelSize.parse(",,50")))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--top-left", "1,2"), "is no place"),
        (("--top-left=-1,0,0",), "is no place"),
        (("--top-left", "a,0,0"), "cannot be read"),
        (("--top-left", "1,0,0", "--start-z", "3"), "both say where"),
        (("--top-left", "1,0,0", "--at-mag", "2"), "multiples of 2, 2, 2"),
    ],
)
def test_places_that_are_none_are_refused(tmp_path, reader, options, words):
    with pytest.raises(OptionError, match=words) as caught:
        invoke("auto", reader(tmp_path / "src", LABELS, voxel_size=size(4, 4, 4)), tmp_path / "ds", *options)
    assert caught.value.exit_code == 2


def test_a_part_that_was_chosen_keeps_its_place(tmp_path, pair):
    src = pair((15, 16, 17))
    convert(src, tmp_path / "part", Settings(jobs=2, bbox=Box((2, 3, 4), (5, 6, 7))))
    assert box_of(tmp_path / "part", "image").start == (2, 3, 4)
    assert box_of(tmp_path / "part", "labels").start == (17, 19, 21)


def test_mirrored_layers_lie_mirrored_in_the_whole(tmp_path, pair):
    convert(pair((3, 16, 5)), tmp_path / "flipped", Settings(jobs=2, flip="xz"))
    whole = np.zeros((1, 40, 44, 48), "uint8")
    whole[:, 3:13, 16:28, 5:19] = random_voxels((10, 12, 14))
    mirrored = whole[:, ::-1, :, ::-1]
    found, box = read(tmp_path / "flipped", "labels"), box_of(tmp_path / "flipped", "labels")
    np.testing.assert_array_equal(mirrored[:, *box.slices_in(Box((0, 0, 0), (40, 44, 48)))], found)
    assert box_of(tmp_path / "flipped", "image").start == (0, 0, 0)


@pytest.mark.parametrize("flip", ["x", "y", "z", "xyz"])
def test_layers_of_unlike_extents_are_mirrored_in_the_box_around_them(tmp_path, reader, flip):
    reader(tmp_path / "src" / "em", random_voxels((65, 81, 6)), voxel_size=size(4, 4, 40))
    reader(tmp_path / "src" / "labels", random_voxels((33, 41, 6)), voxel_size=size(8, 8, 40))
    reader(tmp_path / "src" / "part", random_voxels((20, 10, 4)), voxel_size=size(4, 4, 40))
    for name, axes in (("ds", ""), ("flipped", flip)):
        convert(tmp_path / "src", tmp_path / name, Settings(jobs=2, flip=axes, downsample=False))
    mirrored = [slice(None, None, -1 if axis in flip else 1) for axis in "xyz"]
    for layer, mag in (("em", "1"), ("labels", "2-2-1"), ("part", "1")):
        wholes = []
        for name in ("ds", "flipped"):
            box = box_of(tmp_path / name, layer)
            whole = np.zeros((1, 66, 82, 6), "uint8")
            refined = read(tmp_path / name, layer, mag)
            for axis, factor in enumerate(Mag.parse(mag), start=1):
                refined = refined.repeat(factor, axis)
            whole[:, *box.slices_in(Box((0, 0, 0), (66, 82, 6)))] = refined
            wholes.append(whole)
        np.testing.assert_array_equal(wholes[0][:, *mirrored], wholes[1])


def test_a_mirrored_layer_whose_place_beside_others_is_unknown_is_refused(tmp_path, reader):
    em = reader(tmp_path / "src" / "em", random_voxels((64, 80, 6)), voxel_size=size(4, 4, 40))
    labels = reader(tmp_path / "src" / "labels", random_voxels((20, 80, 6)), voxel_size=size(4, 4, 40))
    box = Box((0, 0, 0), (10, 10, 4))
    with pytest.raises(OptionError, match="--bbox counts voxels of each mirrored layer"):
        prepare(tmp_path / "src", tmp_path / "ds", Settings(jobs=2, flip="x", bbox=box))
    convert(em, tmp_path / "ds", Settings(jobs=2, flip="x", layer_name="em"))
    add = replace(ADD, flip="x", layer_name="labels")
    with pytest.raises(InconsistentStack, match="--flip x does not tell where labels lies: em x 0:64") as refused:
        prepare(labels, tmp_path / "ds", add)
    assert "--top-left x,y,z" in str(refused.value)
    convert(labels, tmp_path / "ds", replace(add, top_left=(44, 0, 0)))
    assert box_of(tmp_path / "ds", "labels").start == (44, 0, 0)
    convert(labels, tmp_path / "ds", replace(add, flip="y", layer_name="alike"))
    assert box_of(tmp_path / "ds", "alike").start == (0, 0, 0)
    reader(tmp_path / "odd" / "em", random_voxels((64, 80, 6)), voxel_size=size(4, 4, 40))
    reader(tmp_path / "odd" / "labels", random_voxels((10, 40, 6)), voxel_size=size(8, 8, 40))
    reader(tmp_path / "odd" / "more", random_voxels((65, 80, 6)), voxel_size=size(4, 4, 40))
    with pytest.raises(InconsistentStack, match="--flip x does not tell where labels lies"):
        prepare(tmp_path / "odd", tmp_path / "odd_ds", Settings(jobs=2, flip="x"))


@pytest.mark.parametrize(("first", "second"), [("x", ""), ("", "x"), ("xy", "y"), ("xz", "zx"), ("", "")])
def test_layers_that_are_added_mirrored_otherwise_are_warned_of_also_to_a_copy(tmp_path, reader, first, second):
    em = reader(tmp_path / "src" / "em", random_voxels((20, 16, 6)), voxel_size=size(4, 4, 40))
    labels = reader(tmp_path / "src" / "labels", random_voxels((20, 16, 6)), voxel_size=size(4, 4, 40))
    convert(em, tmp_path / "ds", Settings(jobs=2, flip=first, layer_name="em", downsample=False))
    carry_out(recube.prepare(tmp_path / "ds", tmp_path / "copy", Settings(jobs=2)))
    for name in ("ds", "copy"):
        for place in (None, (0, 0, 0)):
            added = replace(ADD, flip=second, layer_name="labels", top_left=place)
            told = [note for note in prepare(labels, tmp_path / name, added).notes if "mirrored against" in note]
            assert [type(note) for note in told] == [WarningNote] * ({*first} != {*second})
            assert all(f"--flip {first}" in note or "em none" in note for note in told)


def test_layers_that_do_not_say_where_they_lie_are_told(tmp_path, pair, reader):
    src = pair((15, 16, 17))
    reader(tmp_path / "src" / "em", random_voxels((40, 44, 50)))
    done = convert(src, tmp_path / "ds", PLAIN)
    assert box_of(tmp_path / "ds", "em").start == (0, 0, 0)
    assert box_of(tmp_path / "ds", "labels").start == (15, 16, 17)
    assert sum("is not used where em states none and the extents differ" in note for note in warnings(done)) == 2
    other = tmp_path / "other"
    convert(src / "em", other, Settings(jobs=2, layer_name="em", voxel_size=size(2, 2, 2)))
    added = convert(src / "labels", other, Settings(jobs=2, add=True, layer_name="labels"))
    assert any("is not used where em states none and the extents differ" in note for note in warnings(added))
    reader(tmp_path / "same" / "em", random_voxels((10, 12, 14)))
    convert(tmp_path / "same" / "em", tmp_path / "ds", Settings(jobs=2, overwrite=True, voxel_size=size(2, 2, 2)))
    same = convert(src / "labels", tmp_path / "ds", Settings(jobs=2, add=True, layer_name="labels"))
    (told,) = [note for note in same.notes if "where color states none" in note]
    assert not isinstance(told, WarningNote)


def test_a_place_that_cannot_be_is_refused(tmp_path, reader):
    for name, far in (("a", 0.0), ("b", 1e300), ("c", 1e12)):
        lies = affine(far, 0.0, 0.0, steps=((1e-9, 0, 0), (0, 1e-9, 0), (0, 0, 1e-9)))
        reader(tmp_path / name / "image", LABELS, voxel_size=size(2, 2, 2), affine=replace(lies, origin=(0.0, 0, 0)))
        reader(tmp_path / name / "labels", LABELS, voxel_size=size(2, 2, 2), affine=lies)
        if far:
            with pytest.raises(InconsistentStack, match="labels lies too far from image"):
                prepare(tmp_path / name, tmp_path / "ds", PLAIN)
        else:
            prepare(tmp_path / name, tmp_path / "ds", PLAIN)


def test_a_layer_where_no_other_is_and_another_space_are_warned_of(tmp_path, pair):
    done = convert(pair((100, 0, 0), stated="other header"), tmp_path / "ds", PLAIN)
    assert box_of(tmp_path / "ds", "labels").start == (100, 0, 0)
    assert any("where no other layer is" in note for note in warnings(done))
    assert any("the space may be another (header)" in note for note in warnings(done))


def test_layers_that_lie_apart_are_warned_of_however_they_came_there(tmp_path, reader):
    reader(tmp_path / "src" / "tiles", EM, offset=(1000, 0, 3))
    reader(tmp_path / "src" / "em", EM)
    sized = Settings(jobs=2, voxel_size=size(4, 4, 40))
    assert warnings(convert(tmp_path / "src", tmp_path / "ds", sized))[1:] == [
        "em: lies at x 0:80, y 0:64, z 0:6, where no other layer is; --top-left decides otherwise",
        "tiles: lies at x 1000:1080, y 0:64, z 3:9, where no other layer is; --top-left decides otherwise",
    ]
    more = reader(tmp_path / "more", EM)
    adding = Settings(jobs=2, add=True, layer_name="more", voxel_size=size(4, 4, 40))
    assert warnings(convert(more, tmp_path / "ds", adding)) == []
    (told,) = warnings(convert(more, tmp_path / "ds", replace(adding, layer_name="far", top_left=(80, 64, 0))))
    assert told.startswith("lies at x 80:160, y 64:128, z 0:6, where no other layer is")


def test_a_single_layer_stays_where_it_was(tmp_path, pair, reader):
    src = pair((15, 16, 17))
    convert(src / "labels", tmp_path / "a" / "ds", PLAIN)
    same = reader(tmp_path / "plain", random_voxels((10, 12, 14)), voxel_size=size(2, 2, 2))
    convert(same, tmp_path / "b" / "ds", Settings(jobs=2, layer_name="segmentation", category="segmentation"))
    assert [name for name in different(tmp_path / "a", tmp_path / "b") if ".wkconvert" not in name] == []


# --- turned axes -----------------------------------------------------------------------------------------------------

TURN = Turn("from LPS to RAS", "say -o orientation=stored")


@pytest.mark.parametrize("add", [True, False])
def test_layers_that_would_be_turned_differently_are_refused(tmp_path, reader, add):
    src, ds = tmp_path / "src", tmp_path / "ds"
    reader(src / "em", EM, voxel_size=size(2, 2, 2))
    reader(src / "labels", EM, voxel_size=size(2, 2, 2), affine=affine(0.0, 0.0, 0.0), turned=TURN)
    if add:
        convert(src / "em", ds, Settings(jobs=2, layer_name="em"))
    with pytest.raises(InconsistentStack, match="em is not turned; labels is turned from LPS to RAS") as caught:
        prepare(src / "labels" if add else src, ds, Settings(jobs=2, add=True, layer_name="labels") if add else PLAIN)
    assert caught.value.fix == "say -o orientation=stored"


def test_turned_layers_that_are_there_can_be_converted_again_as_others_lie(tmp_path, reader):
    labels = reader(tmp_path / "labels", EM, voxel_size=size(2, 2, 2), affine=affine(0.0, 0.0, 0.0), turned=TURN)
    em = reader(tmp_path / "em", EM, voxel_size=size(2, 2, 2))
    convert(labels, tmp_path / "ds", replace(PLAIN, layer_name="labels"))
    with pytest.raises(InconsistentStack, match="labels is turned from LPS to RAS; em is not turned") as caught:
        prepare(em, tmp_path / "ds", replace(ADD, layer_name="em"))
    assert "-o orientation=stored" in caught.value.fix


def test_a_part_that_one_of_several_layers_lacks_names_that_layer(tmp_path, reader):
    reader(tmp_path / "src" / "em", EM, voxel_size=size(4, 4, 40))
    reader(tmp_path / "src" / "part", random_voxels((5, 64, 6)), voxel_size=size(4, 4, 40))
    with pytest.raises(OptionError, match="part: --bbox asks for x 2:12") as caught:
        prepare(tmp_path / "src", tmp_path / "ds", replace(PLAIN, bbox=Box((2, 2, 2), (10, 10, 4))))
    assert "x 0:5" in caught.value.why
    assert "one by one" in caught.value.fix
    with pytest.raises(OptionError, match=r"^--bbox asks for x 2:12") as alone:
        prepare(tmp_path / "src" / "part", tmp_path / "ds", replace(PLAIN, bbox=Box((2, 2, 2), (10, 10, 4))))
    assert alone.value.fix == "ask for a part of that"


def test_layers_that_are_turned_alike_or_all_say_where_they_lie_go_together(tmp_path, reader):
    src = tmp_path / "src"
    reader(src / "a", EM, voxel_size=size(2, 2, 2), turned=TURN)
    reader(src / "b", EM, voxel_size=size(2, 2, 2), affine=affine(0.0, 0.0, 0.0), turned=TURN)
    convert(src, tmp_path / "ds", PLAIN)
    assert existing_layers(tmp_path / "ds", []).turned == "from LPS to RAS"
    convert(src / "a", tmp_path / "ds", Settings(jobs=2, add=True, layer_name="more"))
    reader(tmp_path / "other" / "a", EM, voxel_size=size(2, 2, 2), affine=affine(0.0, 0.0, 0.0))
    reader(tmp_path / "other" / "b", EM, voxel_size=size(2, 2, 2), affine=affine(0.0, 0.0, 0.0), turned=TURN)
    convert(tmp_path / "other", tmp_path / "stating", PLAIN)


# --- info, records ---------------------------------------------------------------------------------------------------


def test_info_tells_where_layers_would_lie_and_what_does_not_go_together(tmp_path, pair, reader):
    src = pair((15, 16, 17))
    told = invoke("info", src).stdout
    assert "lies at x 15:25, y 16:28, z 17:31" in told
    assert "voxel size: 2 x 2 x 2 nm (its tags)" in told
    document = json.loads(invoke("info", src, "--json").stdout)
    assert [layer["top_left"] for layer in document["layers"]] == [[0, 0, 0], [15, 16, 17]]
    assert "problem" not in document
    reader(src / "odd", EM, voxel_size=size(3, 3, 3))
    assert "not in one dataset: the layers differ in voxel size" in invoke("info", src).stdout
    assert json.loads(invoke("info", src, "--json").stdout)["problem"]["code"] == "source.inconsistent"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"extents": 3, "grids": []}',
        b'{"settings": {}, "extents": {"em": [1]}, "grids": {"em": {"x": [1, 0, 0], "y": [1, 0, 0], "z": [1, 0, 0],'
        b' "origin": [0, 0, 0], "unit": "nm", "stated": "a"}}}',
        b'{"settings": {}, "extents": {"em": [1]}, "grids": {"em": {"x": [1e400, 0, 0]}}}',
        b"\xff",
    ],
)
def test_records_that_cannot_be_read_tell_nothing(tmp_path, reader, content):
    ds = tmp_path / "ds"
    convert(reader(tmp_path / "em", EM, voxel_size=size(4, 4, 40)), ds, Settings(jobs=2, layer_name="em"))
    (ds / ".wkconvert" / "em.auto.plan").write_bytes(content)
    found = existing_layers(ds, [])
    assert (found.affine, found.turned, found.voxel_size.size) == (None, "", (4, 4, 40))
    (ds / "datasource-properties.json").unlink()
    assert existing_layers(ds, []).voxel_size is None


numbers = st.floats(-100, 100).map(lambda number: round(number, 3))
points = st.tuples(numbers, numbers, numbers)


@given(st.tuples(points, points, points, points), points, st.tuples(*[st.sampled_from([1, 2, 4])] * 3))
@how(suppress_health_check=[HealthCheck.too_slow])
def test_affines_are_what_matrices_are(rows, place, factor):
    one = Affine(*rows[:3], rows[3], "nm", "test")
    matrix = np.array(rows[:3]).T
    np.testing.assert_allclose(one.at(place), matrix @ place + rows[3], atol=1e-6)
    np.testing.assert_allclose(one.moved(place).origin, one.at(place))
    fine = one.refined(factor)
    # a voxel's corner is the corner of its first finer one, and centres lie half a voxel further
    np.testing.assert_allclose(fine.at((-0.5, -0.5, -0.5)), one.at((-0.5, -0.5, -0.5)), atol=1e-6)
    np.testing.assert_allclose(fine.at(np.array(factor) - 0.5), one.at((0.5, 0.5, 0.5)), atol=1e-6)
    mirrored = one.mirrored((5, 6, 7), "xz")
    np.testing.assert_allclose(mirrored.at((0, 2, 1)), one.at((4, 2, 5)), atol=1e-6)
    assert Affine.parse(json.loads(json.dumps(one.document))) == one


def test_nothing_has_the_shape_of_a_mag_of_an_empty_box():
    assert fitting_mag((4, 4, 4), (0, 4, 4)) is None
