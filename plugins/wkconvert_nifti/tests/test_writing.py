"""`wkconvert export --to nifti`: what nibabel finds in the files, and what reading them back with `auto` gives."""

import signal
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from helpers.conversions import carry_out, dataset_of, invoke
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from niftis import LAS, RAS, boxes, moved, saved

from wkconvert_core import DTYPES, Box, Mag, OptionError, UnsupportedSource, VoxelSize
from wkconvert_core.commands.export import Pictures, prepare
from wkconvert_core.contract.errors import TargetExists
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.reader import open_layers
from wkconvert_core.testing import noise
from wkconvert_nifti import writing

SIZE = VoxelSize((11.24, 11.25, 28.0), "nm")


def values(dtype, shape, seed=0):
    """Random voxels `[x, y, z]` of the whole range of a dtype."""
    kind, rng = np.dtype(dtype), np.random.default_rng(seed)
    if kind.kind == "f":
        return rng.normal(size=shape).astype(kind)
    return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, kind, endpoint=True)


def dataset(path, voxels, **given):
    """A dataset of the layer `em` from voxels `[x, y, z]`."""
    return dataset_of(path, voxels, **{"voxel_size": SIZE, **given})


def exported(src, out, pictures=None, **given):
    return carry_out(prepare(src, out, Settings(**given), pictures, to="nifti"))


def voxels_of(path, mag=Mag(1, 1, 1)):  # noqa: B008
    (layer,) = open_layers(path)
    return layer.mags[mag].read(layer.mags[mag].info.box)


def raw(path):
    return np.asanyarray(nibabel.load(path).dataobj)


# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_has_the_voxels_by_nibabel_and_comes_back_the_same(tmp_path, dtype):
    voxels = values(dtype, (75, 40, 12))
    done = exported(dataset(tmp_path / "ds", voxels), tmp_path / "em.nii", verify=True)
    image = nibabel.load(tmp_path / "em.nii")
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(raw(tmp_path / "em.nii"), voxels)
    np.testing.assert_allclose(image.affine, np.diag([0.01124, 0.01125, 0.028, 1]), rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "micron"
    assert any("many viewers" in note for note in done.notes) == (dtype in ("int64", "uint64"))
    back = convert(tmp_path / "em.nii", tmp_path / "back", Settings(downsample=False, category="color"))
    assert back.conversion.voxel_size.to("nm").size == SIZE.size
    np.testing.assert_array_equal(voxels_of(tmp_path / "back")[0], voxels)


def test_ids_keep_every_bit_and_stay_a_segmentation(tmp_path):
    voxels = np.array([2**64 - 1, 2**63 + 1, 2**53 + 1, 0], "uint64").reshape(2, 2, 1)
    src = dataset(tmp_path / "ds", voxels, category="segmentation")
    exported(src, tmp_path / "ids.nii.gz")
    back = convert(tmp_path / "ids.nii.gz", tmp_path / "back", Settings(downsample=False))
    assert back.layers[0].category == "segmentation"
    np.testing.assert_array_equal(voxels_of(tmp_path / "back")[0], voxels)


def test_colours_come_back_as_one_layer_and_other_channels_are_refused(tmp_path):
    voxels = values("uint8", (20, 30, 4, 3))
    structured = np.ascontiguousarray(voxels).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    convert(saved(tmp_path / "rgb.nii", structured), tmp_path / "ds", Settings(downsample=False))
    exported(tmp_path / "ds", tmp_path / "again.nii")
    np.testing.assert_array_equal(raw(tmp_path / "again.nii"), structured)
    convert(tmp_path / "again.nii", tmp_path / "back", Settings(downsample=False))
    np.testing.assert_array_equal(voxels_of(tmp_path / "back"), voxels.transpose(3, 0, 1, 2))
    two = tmp_path / "two.npy"
    np.save(two, np.zeros((2, 3, 4, 5), "uint16"))
    convert(two, tmp_path / "two", Settings(voxel_size=SIZE, reader_options={"axes": "czyx"}, downsample=False))
    if len(open_layers(tmp_path / "two")) == 1:
        with pytest.raises(UnsupportedSource, match="2 channels of uint16"):
            exported(tmp_path / "two", tmp_path / "two.nii")


@pytest.mark.slow
def test_a_side_beyond_nifti_1_makes_nifti_2(tmp_path):
    voxels = values("uint8", (40_000, 2, 1))
    done = exported(dataset(tmp_path / "ds", voxels), tmp_path / "long.nii.gz")
    assert isinstance(nibabel.load(tmp_path / "long.nii.gz"), nibabel.Nifti2Image)
    np.testing.assert_array_equal(raw(tmp_path / "long.nii.gz"), voxels)
    assert any("NIfTI-2" in note for note in done.notes)
    convert(tmp_path / "long.nii.gz", tmp_path / "back", Settings(downsample=False, category="color"))
    np.testing.assert_array_equal(voxels_of(tmp_path / "back")[0], voxels)


# --- place -----------------------------------------------------------------------------------------------------------


def test_layers_of_a_dataset_come_back_where_they_lay(tmp_path):
    src = dataset(tmp_path / "ds", values("uint8", (50, 40, 30)))
    np.save(tmp_path / "labels.npy", values("uint16", (14, 12, 10)))
    labels = Settings(
        add=True, layer_name="labels", category="segmentation", downsample=False, top_left=(7, 5, 3), voxel_size=SIZE
    )
    convert(tmp_path / "labels.npy", src, labels)
    (tmp_path / "out").mkdir()
    for name in ("em", "labels"):
        exported(src, tmp_path / "out" / f"{name}.nii.gz", layer_name=name)
    convert(tmp_path / "out", tmp_path / "back", Settings(downsample=False))
    assert boxes(tmp_path / "back") == {"em": Box((0, 0, 0), (50, 40, 30)), "labels": Box((7, 5, 3), (10, 12, 14))}


TURNED = np.array([[1.9, 0.2, 0, 7], [-0.2, 2.9, 0, -9], [0, 0, 4, 1], [0, 0, 0, 1]])
SKEWED = np.array([[2, 0.5, 0, 7], [0, 3, 0, -9], [0, 0, -4, 1], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [moved(LAS, (-3, 4, 5.5)), RAS[[1, 2, 0, 3]], TURNED, SKEWED])
def test_what_came_from_nifti_goes_back_to_its_place(tmp_path, affine):
    voxels = values("int16", (9, 10, 11))
    source = saved(tmp_path / "a.nii", voxels, affine, sform_code=1, qform_code=1)
    convert(source, tmp_path / "ds", Settings(downsample=False, category="color"))
    exported(tmp_path / "ds", tmp_path / "b.nii")
    there, back = (nibabel.as_closest_canonical(nibabel.load(tmp_path / name)) for name in ("a.nii", "b.nii"))
    np.testing.assert_allclose(back.affine, there.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asanyarray(back.dataobj), np.asanyarray(there.dataobj))
    assert int(nibabel.load(tmp_path / "b.nii").header["sform_code"]) == 1


@pytest.mark.parametrize(("mag", "downsample", "size"), [(Mag(2, 2, 1), 1, (2, 2, 1)), (None, 4, (4, 4, 1))])
def test_voxels_of_a_coarser_mag_fill_the_place_of_the_finer_ones(tmp_path, mag, downsample, size):
    src = dataset(
        tmp_path / "ds", values("uint8", (64, 64, 8)), downsample=True, max_mag=2, top_left=(8, 4, 3),
        voxel_size=VoxelSize((4.0, 4.0, 8.0), "µm"),
    )  # fmt: skip
    exported(src, tmp_path / "out.nii", Pictures(mag, downsample))
    image = nibabel.load(tmp_path / "out.nii")
    corner = image.affine @ [-0.5, -0.5, -0.5, 1]  # of the first voxel, where that of mag 1 begins, too
    np.testing.assert_allclose(corner[:3], [(8 - 0.5) * 4, (4 - 0.5) * 4, (3 - 0.5) * 8])
    np.testing.assert_allclose(image.header.get_zooms(), [4 * size[0], 4 * size[1], 8 * size[2]])


def test_a_place_in_voxels_of_another_size_is_left_out(tmp_path):
    source = saved(tmp_path / "a.nii", noise(20, 20, 20), moved(RAS, (5, 5, 5)))
    convert(source, tmp_path / "ds", Settings(downsample=False, voxel_size=VoxelSize((2.0, 3.0, 5.0), "mm")))
    done = exported(tmp_path / "ds", tmp_path / "b.nii")
    np.testing.assert_allclose(nibabel.load(tmp_path / "b.nii").affine, np.diag([2, 3, 5, 1]))
    assert any("is left out" in note for note in done.notes)


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_part_from_any_place_in_any_pieces_is_that_part(tmp_path_factory, data):
    tmp_path, voxels = tmp_path_factory.mktemp("part"), values("uint16", (40, 37, 35))
    offset = data.draw(st.tuples(*3 * [st.integers(0, 70)]))
    start = data.draw(st.tuples(*(st.integers(0, side - 1) for side in voxels.shape)))
    shape = tuple(data.draw(st.integers(1, side - first)) for side, first in zip(voxels.shape, start, strict=True))
    part = Box(start, shape)
    src = dataset(tmp_path / "ds", voxels, top_left=offset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "SHARD", data.draw(st.tuples(*3 * [st.integers(13, 50)])))
        exported(src, tmp_path / "part.nii", bbox=part.shifted(offset), verify=True)
    np.testing.assert_array_equal(raw(tmp_path / "part.nii"), voxels[part.slices_in(Box((0, 0, 0), voxels.shape))])


# --- the file --------------------------------------------------------------------------------------------------------


def test_nothing_lies_beside_the_file_and_deflating_gives_the_same_voxels_and_bytes(tmp_path):
    src = dataset(tmp_path / "ds", values("uint8", (50, 40, 30)) // 16)
    (tmp_path / "out").mkdir()
    for name in ("a.nii", "b.nii.gz", "c.nii.gz"):
        exported(src, tmp_path / "out" / name)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii", "b.nii.gz", "c.nii.gz"]
    np.testing.assert_array_equal(raw(tmp_path / "out/a.nii"), raw(tmp_path / "out/b.nii.gz"))
    assert (tmp_path / "out/b.nii.gz").read_bytes() == (tmp_path / "out/c.nii.gz").read_bytes()
    assert (tmp_path / "out/b.nii.gz").stat().st_size < 0.8 * (tmp_path / "out/a.nii").stat().st_size


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    src = dataset(tmp_path / "ds", values("uint8", (20, 20, 20)))
    (tmp_path / "a.nii").write_text("mine")
    with pytest.raises(TargetExists, match=r"a\.nii is there already"):
        exported(src, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_text() == "mine"


def test_what_contradicts_the_format_is_refused_before_anything_is_written(tmp_path):
    src = dataset(tmp_path / "ds", values("uint8", (20, 20, 20)))
    with pytest.raises(OptionError, match="no name of a NIfTI file"):
        exported(src, tmp_path / "a.tif")
    with pytest.raises(OptionError, match="contradict each other"):
        exported(src, tmp_path / "a.nii.gz", compression="none")
    with pytest.raises(OptionError, match="one file, not tiles"):
        exported(src, tmp_path / "a.nii", Pictures(tile_size=(8, 8)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ds", "ds.npy"]


@pytest.mark.slow
def test_a_killed_export_is_nowhere_and_goes_on_from_what_is_sound(tmp_path):
    src = dataset(tmp_path / "ds", values("uint8", (64, 64, 64)))
    exported(src, tmp_path / "clean.nii.gz")
    code = f"""
import os, signal
from pathlib import Path
from wkconvert_nifti import writing
from wkconvert_core.commands.export import prepare
from wkconvert_core.conversion.execute import execute
from wkconvert_core.conversion.settings import Settings
writing.SHARD = 64, 64, 16
write, calls = writing.NiftiSink.write, []
def dies(self, box, data):
    calls.append(box)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, box, data)
writing.NiftiSink.write = dies
settings = Settings(jobs=1, strategy="sequential")
execute(prepare(Path({str(src)!r}), Path({str(tmp_path / "out.nii.gz")!r}), settings, to="nifti"))
"""
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (tmp_path / "out.nii.gz").exists()
    part = tmp_path / ".out.nii.gz.wkconvert-new" / "out.nii"
    content = bytearray(part.read_bytes())
    content[400] ^= 1
    part.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "SHARD", (64, 64, 16))
        done = exported(src, tmp_path / "out.nii.gz", jobs=1, strategy="sequential")
    assert done.resumed == 1
    assert any("1 shard of an earlier run was" in note for note in done.notes)
    assert (tmp_path / "out.nii.gz").read_bytes() == (tmp_path / "clean.nii.gz").read_bytes()
    assert not part.parent.exists()


def test_a_conversion_does_not_write_it_and_says_what_does(tmp_path):
    np.save(tmp_path / "a.npy", values("uint8", (20, 20, 20)))
    wanted = Settings(to="nifti", voxel_size=SIZE, reader_options={"axes": "zyx"}, category="color")
    with pytest.raises(OptionError, match="wkconvert export DST OUT --to nifti"):
        convert(tmp_path / "a.npy", tmp_path / "ds", wanted)
    assert not (tmp_path / "ds").exists()


def test_the_command_line_has_a_short_form(tmp_path):
    src = dataset(tmp_path / "ds", values("uint8", (20, 20, 20)))
    assert invoke("export-nifti", src, tmp_path / "a.nii").exit_code == 0
    assert invoke("export", src, tmp_path / "b.nii", "--to", "nifti", "--layer-name", "em").exit_code == 0
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()
    with pytest.raises(OptionError, match="did you mean nifti"):
        invoke("export", src, tmp_path / "c.nii", "--to", "nifty")
