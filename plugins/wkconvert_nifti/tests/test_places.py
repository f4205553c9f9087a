"""Several volumes in one dataset lie as their affines say; what these leave open is refused or told."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from helpers.npy_volumes import registered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from niftis import boxes, image, layers, moved, patched, saved, source
from test_orientation import CODES, affine_of

from wkconvert_core import Box, InconsistentStack, WarningNote
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.testing import noise


def folder(tmp_path, image_affine, labels_affine, shape=(10, 12, 14), whole=(40, 44, 48), **more):
    path = tmp_path / "src"
    path.mkdir()
    saved(path / "image.nii.gz", noise(*whole), image_affine, unit="micron", **more)
    saved(path / "labels.nii.gz", noise(*shape, dtype="uint16"), labels_affine, unit="micron", **more)
    return path


IMAGE = np.diag([2.0, 2, 2, 1])
IMAGE[:3, 3] = -40, -44, -48


@pytest.mark.parametrize("by", [(15, 16, 17), (-3, 0, 5)])
@pytest.mark.parametrize("add", [True, False])
def test_labels_lie_where_their_affine_says(tmp_path, by, add):
    src, ds = folder(tmp_path, IMAGE, moved(IMAGE, by)), tmp_path / "ds"
    if not add:
        convert(src, ds, Settings())
        least = np.minimum(by, 0)
        assert boxes(ds) == {
            "image": Box(tuple((-least).tolist()), (40, 44, 48)),
            "labels": Box(tuple((by - least).tolist()), (10, 12, 14)),
        }
        return
    convert(src / "image.nii.gz", ds, Settings(layer_name="image"))
    adding = Settings(layer_name="labels", add=True)
    if min(by) < 0:
        with pytest.raises(InconsistentStack, match="begins at voxel -3, 0, 5 of the dataset"):
            convert(src / "labels.nii.gz", ds, adding)
    else:
        convert(src / "labels.nii.gz", ds, adding)
        assert boxes(ds)["labels"] == Box(by, (10, 12, 14))


@pytest.mark.slow
@given(
    stored=st.sampled_from(CODES),
    other=st.sampled_from(CODES),
    by=st.tuples(*[st.integers(0, 4)] * 3),
    shape=st.tuples(*[st.integers(2, 5)] * 3),
    form=st.sampled_from(["sform", "qform"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_part_in_any_orientation_lies_in_the_whole(tmp_path_factory, stored, other, by, shape, form):
    """Part and whole are saved by nibabel in two orientations: canonical, the part is a part of the whole."""
    tmp_path = tmp_path_factory.mktemp("part")
    whole = nibabel.as_closest_canonical(nibabel.Nifti1Image(noise(9, 9, 9), affine_of(*stored)))
    part = whole.slicer[tuple(slice(start, start + side) for start, side in zip(by, shape, strict=True))]
    (tmp_path / "src").mkdir()
    for name, one, codes in (("image", whole, stored), ("part", part, other)):
        turn = nibabel.orientations.ornt_transform(
            nibabel.io_orientation(one.affine), nibabel.io_orientation(affine_of(*codes))
        )
        made = one.as_reoriented(turn)
        made.set_qform(made.affine, code=int(form == "qform"))
        made.set_sform(made.affine, code=int(form == "sform"))
        made.header.set_xyzt_units("mm")
        made.to_filename(tmp_path / "src" / f"{name}.nii")
    done = convert(tmp_path / "src", tmp_path / "ds", Settings(downsample=False))
    start = boxes(tmp_path / "ds")
    assert start["part"].start - start["image"].start == by
    found = {layer.name: layer.mags[layer.finest] for layer in done.conversion.layers}
    inside = Box(by, found["part"].info.shape)
    np.testing.assert_array_equal(found["image"].read(inside), found["part"].read(found["part"].info.box))


def test_volumes_of_one_shape_are_moved_too(tmp_path):
    src = folder(tmp_path, IMAGE, moved(IMAGE, (2, 0, 0)), shape=(40, 44, 48))
    done = convert(src, tmp_path / "ds", Settings())
    assert boxes(tmp_path / "ds")["labels"].start == (2, 0, 0)
    assert any(note.startswith("labels: begins at voxel 2, 0, 0, as its affine says") for note in done.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda affine: moved(affine, (0.5, 0, 0)), r"labels begins at 0\.5, 0, 0 voxels of image"),
        (lambda affine: np.diag([4.0, 4, 4, 1]), "begins at"),
        (
            lambda affine: affine @ np.array([[0.8, 0.6, 0, 0], [-0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
            "degrees",
        ),
    ],
)
def test_what_is_no_whole_shift_is_refused_until_a_place_is_given(tmp_path, change, words):
    src = folder(tmp_path, IMAGE, change(IMAGE))
    with pytest.raises(InconsistentStack, match=words) as caught:
        convert(src, tmp_path / "ds", Settings())
    assert "--top-left x,y,z" in caught.value.fix
    convert(src, tmp_path / "ds", Settings(top_left=(0, 0, 0)))
    assert boxes(tmp_path / "ds")["labels"].start == (0, 0, 0)


def test_stored_axes_that_run_against_each_other_are_refused(tmp_path):
    las = IMAGE * np.array([-1, 1, 1, 1])[:, None]
    src = folder(tmp_path, IMAGE, las, shape=(40, 44, 48))
    with pytest.raises(InconsistentStack, match="mirrored along x against image") as caught:
        convert(src, tmp_path / "ds", Settings(reader_options={"orientation": "stored"}))
    assert "-o orientation=canonical" in caught.value.fix


def test_a_dataset_of_stored_axes_takes_others_as_they_are_stored(tmp_path):
    las = IMAGE * np.array([-1, 1, 1, 1])[:, None]
    src, ds = folder(tmp_path, las, moved(las, (1, 2, 3))), tmp_path / "ds"
    stored = {"orientation": "stored"}
    convert(src / "image.nii.gz", ds, Settings(layer_name="image", reader_options=stored))
    adding = Settings(layer_name="labels", add=True)
    with pytest.raises(InconsistentStack, match="mirrored along x against the dataset") as caught:
        convert(src / "labels.nii.gz", ds, adding)
    assert "-o orientation=stored" in caught.value.fix
    convert(src / "labels.nii.gz", ds, replace(adding, reader_options=stored))
    assert boxes(ds)["labels"].start == (1, 2, 3)


def test_beside_another_format_nothing_is_turned_unless_it_is_said(tmp_path):
    with registered() as make_folder:
        make_folder(tmp_path / "src" / "em", noise(1, 60, 50, 6))
        (tmp_path / "src" / "labels").mkdir()
        labels = noise(60, 50, 6, dtype="uint16")
        saved(tmp_path / "src" / "labels" / "volume.nii.gz", labels, np.diag([-1.0, -1, 1, 1]))
        for src, how in ((tmp_path / "src", Settings()), (tmp_path / "src" / "labels", Settings(add=True))):
            if how.add:
                convert(tmp_path / "src" / "em", tmp_path / "ds", Settings(voxel_size=source_size(tmp_path)))
            with pytest.raises(InconsistentStack, match="is turned from LPS to RAS") as caught:
                convert(src, tmp_path / "ds", how)
            assert "-o orientation=stored" in caught.value.fix
        for orientation, expected in (("stored", labels), ("canonical", labels[::-1, ::-1])):
            options = {"orientation": orientation}
            done = convert(tmp_path / "src", tmp_path / orientation, Settings(reader_options=options))
            layer = next(layer for layer in done.conversion.layers if layer.name == "labels")
            np.testing.assert_array_equal(layer.mags[layer.finest].read(layer.info.box)[0], expected)
            warning = "em: no voxel size is stated: that of labels is taken, 1 x 1 x 1 mm (pixdim, xyzt_units)"
            assert warning in [note for note in done.notes if isinstance(note, WarningNote)]


def source_size(tmp_path):
    return source(tmp_path / "src" / "labels" / "volume.nii.gz").info.voxel_size


# --- sform and qform -------------------------------------------------------------------------------------------------


def both(path, sform, qform, *, codes=(1, 1), shape=(9, 8, 7)):
    made = image(noise(*shape, dtype="uint16"), qform)
    made.set_qform(qform, code=codes[1])
    made.set_sform(sform, code=codes[0])
    made.header.set_xyzt_units("mm")
    made.to_filename(path)
    return path


LEFT, RIGHT = np.diag([-1.75, 1.75, 2, 1]), np.diag([1.75, 1.75, 2, 1])


def test_forms_that_contradict_each_other_are_told_and_the_mirrored_pair_is_refused(tmp_path):
    (tmp_path / "src").mkdir()
    both(tmp_path / "src" / "image.nii", RIGHT, LEFT)
    both(tmp_path / "src" / "labels.nii", RIGHT, LEFT, codes=(0, 1))
    info = source(tmp_path / "src" / "image.nii").info
    (told,) = [note for note in info.notes if isinstance(note, WarningNote)]
    assert "contradict each other: its axes run RAS by the sform and LAS by the qform" in told
    assert info.affine is None
    with pytest.raises(InconsistentStack, match="image is not turned; labels is turned from LAS to RAS") as caught:
        convert(tmp_path / "src", tmp_path / "ds", Settings())
    assert f"image: {told}" in caught.value.why
    convert(tmp_path / "src", tmp_path / "ds", Settings(reader_options={"form": "qform"}))
    assert [box.start for box in boxes(tmp_path / "ds").values()] == [(0, 0, 0), (0, 0, 0)]
    decided = source(tmp_path / "src" / "image.nii", form="qform").info
    assert not any(isinstance(note, WarningNote) for note in decided.notes)
    assert decided.affine.x == (1.75, 0, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "differ by up to 2.1 voxels"),
        (np.diag([2, 1, 1, 1.0]), "differ by up to"),
        (np.array([[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "differ by up to 3 voxels"),
        (np.eye(4), None),
    ],
)
@pytest.mark.parametrize("codes", [(1, 1), (4, 1)])
def test_forms_that_differ_are_told(tmp_path, change, said, codes):
    path = both(tmp_path / "a.nii", RIGHT @ change, RIGHT, codes=codes)
    told = [note for note in source(path).info.notes if "differ by" in note]
    assert bool(told) == bool(said)
    if said:
        assert said in told[0]
        assert isinstance(told[0], WarningNote) == (codes == (1, 1))
        assert (layers(path, form="qform")[0].source.info.affine.stated) == "qform, scanner"


@pytest.mark.filterwarnings("error")
def test_a_form_that_is_no_number_contradicts_the_other(tmp_path):
    path = both(tmp_path / "a.nii", RIGHT, RIGHT)
    patched(path, 276, np.array(-np.inf, "<f4").tobytes())  # the qform's offset along z
    assert any("differ by up to nan voxels" in note for note in source(path).info.notes)


@pytest.mark.parametrize("value", [0, np.nan, 1e9])
def test_sizes_that_are_none_or_no_microscope_s_are_asked_for(tmp_path, value):
    from wkconvert_core import OptionError

    path = saved(tmp_path / "a.nii", noise(9, 8, 7), sform_code=0, qform_code=0)
    patched(path, 80, np.array([value] * 3, "<f4").tobytes())
    with pytest.raises(OptionError, match="voxel size"):
        convert(path, tmp_path / "ds", Settings())
