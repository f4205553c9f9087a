"""Voxels equal what nibabel reads: every dtype, byte order, version, slope, volume."""

import gzip

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from niftis import LAS, RAS, layers, patched, saved, source, voxels

from wkconvert_core import Box, BrokenSource, OptionError, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise, read_checked
from wkconvert_core.toolkit import raw_rows

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


def scaled(path):
    """As nibabel applies slope and intercept, in float64."""
    return nibabel.load(path).get_fdata()[np.newaxis]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("version", "suffix"), [(1, "nii"), (2, "nii"), (1, "nii.gz"), (2, "nii.gz")])
def test_every_dtype_keeps_every_bit(tmp_path, dtype, order, version, suffix):
    given = noise(13, 7, 5, dtype=dtype)
    path = saved(tmp_path / f"a.{suffix}", given, version=version, order=order)
    found = voxels(path)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found[0], given)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("names", [("a.hdr", "a.img"), ("a.hdr.gz", "a.img.gz"), ("A.HDR", "A.IMG")])
def test_pairs(tmp_path, kind, names):
    given = noise(13, 7, 5, dtype="int16")
    kind(given, RAS).to_filename(tmp_path / ("a.img.gz" if names[0].endswith("gz") else "a.img"))
    for name in names:
        if not (tmp_path / name).exists():
            (tmp_path / name.lower()).rename(tmp_path / name)
    for name in names:
        np.testing.assert_array_equal(voxels(tmp_path / name)[0], given)


def test_a_header_without_a_suffix_keeps_its_whole_name(tmp_path):
    given = noise(13, 7, 5, dtype="int16")
    nibabel.Nifti1Pair(given, RAS).to_filename(tmp_path / "a.img")
    (tmp_path / "a.hdr").rename(tmp_path / "sub.01")
    (tmp_path / "a.img").rename(tmp_path / "sub.01.img")
    np.testing.assert_array_equal(voxels(tmp_path / "sub.01")[0], given)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("slope", "inter"), [(0.1, -3.5), (2, 0), (1, -1024), (-1e-3, 7)])
def test_slope_and_intercept_are_applied(tmp_path, dtype, slope, inter):
    path = saved(tmp_path / "a.nii", noise(9, 8, 7, dtype=dtype), scl_slope=slope, scl_inter=inter)
    patched(path, 112, np.array([slope, inter], "<f4").tobytes())
    of = source(path)
    small = np.dtype(dtype).itemsize <= 2 or dtype == "float32"
    assert of.info.dtype == ("float32" if small else "float64")
    np.testing.assert_array_equal(read_checked(of), scaled(path).astype(of.info.dtype))
    assert any("slope" in note and "applied" in note for note in of.info.notes)


@pytest.mark.parametrize(("slope", "inter"), [(0, 0), (0, 5), (1, 0), (np.nan, np.nan), (np.nan, 3), (np.inf, 1)])
def test_slopes_that_mean_nothing_leave_the_dtype(tmp_path, slope, inter):
    given = noise(9, 8, 7, dtype="uint16")
    path = patched(saved(tmp_path / "a.nii", given), 112, np.array([slope, inter], "<f4").tobytes())
    np.testing.assert_array_equal(voxels(path)[0], given)


def test_a_slope_without_an_intercept_is_refused(tmp_path):
    path = patched(saved(tmp_path / "a.nii", noise(3, 3, 3)), 112, np.array([2, np.nan], "<f4").tobytes())
    with pytest.raises(BrokenSource, match="scl_inter is nan"):
        layers(path)


def test_values_that_grow_beyond_float32_are_refused(tmp_path):
    given = np.full((3, 3, 3), 1e38, "float32")
    path = patched(saved(tmp_path / "a.nii", given), 112, np.array([10, 0], "<f4").tobytes())
    with pytest.raises(UnsupportedSource, match="float32 cannot hold"):
        voxels(path)


def labels_with(tmp_path, stored, slope, inter, **options):
    """The layer of labels with this slope and intercept in the header."""
    path = patched(saved(tmp_path / "a.nii", stored, intent_code=1002), 112, np.array([slope, inter], "<f4").tobytes())
    return layers(path, **options)[0]


@pytest.mark.parametrize("kept", ["int16", "uint8", "uint16", "int8", "int32"])
@pytest.mark.parametrize("most", [1, 4, 57, 200])
@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_labels_that_were_saved_through_a_slope_are_the_scaled_ones(tmp_path, kept, most, suffix):
    ids = np.random.default_rng(most).integers(0, most + 1, (9, 8, 7))
    ids.flat[:2] = 0, most
    made = nibabel.Nifti1Image(ids.astype("float64"), RAS)
    made.set_data_dtype(kept)
    path = tmp_path / f"a_seg.{suffix}"
    nibabel.save(made, path)
    steps = nibabel.load(path).dataobj.slope
    (layer,) = layers(path, category="segmentation")
    if 0.1 < steps < 1:
        with pytest.raises(UnsupportedSource, match="make no whole numbers"):
            layer.source.read(layer.source.info.box)
        return
    found = read_checked(layer.source)[0]
    assert found.dtype.kind in "iu"
    np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize("category", ["color", "segmentation"])
@given(
    dtype=st.sampled_from(DTYPES),
    slope=st.one_of(st.integers(-3, 3).map(float), st.floats(-4, 4, width=32), st.sampled_from([4 / 65535, 1e-9, 1e9])),
    inter=st.one_of(st.integers(-200, 200).map(float), st.floats(-100, 100, width=32)),
    seed=st.integers(0, 3),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_a_slope_makes_is_what_nibabel_makes_or_refused(tmp_path, category, dtype, slope, inter, seed):
    stored = noise(4, 3, 2, dtype=dtype, seed=seed)
    path = saved(tmp_path / "a.nii", stored)
    patched(path, 112, np.array([slope, inter], "<f4").tobytes())
    expected = scaled(path)
    try:
        of = layers(path, category=category)[0].source
        found = of.read(of.info.box)
    except UnsupportedSource:
        off = np.abs(expected - np.rint(expected)).max() + 2.0**-22 * (np.abs(expected).max() + abs(inter))
        large = np.abs(expected).max() > (1e15 if category == "segmentation" else 1e38)
        assert large or (category == "segmentation" and off > min(1e-6, abs(slope) / 2))
        return
    if slope == 0 or (slope, inter) == (1, 0):
        np.testing.assert_array_equal(found[0], stored)
    elif category == "color":
        np.testing.assert_array_equal(found, expected.astype(found.dtype))
    else:
        near = np.abs(expected) < 2**52  # beyond, float64 holds no whole numbers exactly, and nibabel's are rounded
        np.testing.assert_allclose(found[near], expected[near], rtol=1e-6, atol=0.05)
        assert found.dtype.kind == "f" or (found[near] == np.rint(expected[near])).all()


@pytest.mark.parametrize("told", ["header", "option"])
def test_labels_that_a_slope_makes_no_ids_of_are_refused_with_both_ways_out(tmp_path, told):
    given = noise(9, 8, 7, dtype="uint64")
    path = saved(tmp_path / "a.nii", given, intent_code=1002 if told == "header" else 0)
    patched(path, 112, np.array([0.5, 1], "<f4").tobytes())
    how = {} if told == "header" else {"category": "segmentation"}
    (layer,) = layers(path, **how)
    assert any("refused where that makes no whole numbers" in note for note in layer.source.info.notes)
    with pytest.raises(UnsupportedSource, match=r"slope 0\.5 and intercept 1 make no whole numbers") as caught:
        layer.source.read(layer.source.info.box)
    assert "-o slope=ignore" in caught.value.fix
    (layer,) = layers(path, **how, slope="ignore")
    assert layer.category == "segmentation"
    np.testing.assert_array_equal(read_checked(layer.source)[0], given)
    assert any("slope 0.5 and intercept 1 are left out" in note for note in layer.source.info.notes)


@pytest.mark.parametrize(
    ("dtype", "slope", "inter"), [("int64", 1, 0), ("int64", -1, -1), ("uint64", 1, 0), ("int8", 3, 1), ("int32", 9, 7)]
)
def test_whole_slopes_are_exact_to_the_last_bit(tmp_path, dtype, slope, inter):
    given = noise(9, 8, 7, dtype=dtype)
    given.flat[:2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    found = read_checked(labels_with(tmp_path, given, slope, inter).source)
    assert found[0].ravel().tolist() == [slope * int(n) + inter for n in given.ravel().tolist()]


@pytest.mark.parametrize(("dtype", "slope"), [("int64", 2), ("uint64", -1)])
def test_ids_that_may_take_more_than_64_bits_are_refused(tmp_path, dtype, slope):
    with pytest.raises(UnsupportedSource, match="ids have 64 bits"):
        labels_with(tmp_path, noise(3, 3, 3, dtype=dtype), slope, 0)


def test_slopes_of_colours_are_left_out_with_a_warning(tmp_path):
    given = noise(9, 8, 7, 3).view([(name, "u1") for name in "RGB"])[..., 0]
    nibabel.Nifti1Image(given, RAS).to_filename(tmp_path / "a.nii")
    of = source(patched(tmp_path / "a.nii", 112, np.array([2, 1], "<f4").tobytes()))
    assert [note for note in of.info.notes if isinstance(note, WarningNote)] == [
        "slope 2 and intercept 1 are left out: colours are no measurements"
    ]


def test_the_user_may_call_labels_intensities(tmp_path):
    path = saved(tmp_path / "a.nii", noise(9, 8, 7), intent_code=1002)
    assert [layer.category for layer in layers(path, category="color")] == ["color"]
    assert [layer.category for layer in layers(saved(tmp_path / "b.nii", noise(9, 8, 7)))] == [None]


def test_labels_stored_as_floats_stay_floats_with_a_note(tmp_path):
    path = saved(tmp_path / "a.nii", noise(9, 8, 7, dtype="float32"), intent_code=1002)
    of = source(path)
    assert of.info.dtype == "float32"
    assert any("--dtype uint32" in note for note in of.info.notes)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("code", [128, 2304])
def test_rgb_is_three_channels_and_alpha_is_dropped(tmp_path, suffix, code):
    kind = [(name, "u1") for name in "RGBA"[: 3 if code == 128 else 4]]
    given = noise(9, 8, 7, len(kind)).view(kind)[..., 0]
    path = tmp_path / f"a.{suffix}"
    nibabel.Nifti1Image(given, LAS).to_filename(path)
    of = source(path)
    expected = np.stack([given[name][::-1] for name in "RGB"])
    np.testing.assert_array_equal(read_checked(of), expected)
    assert ("alpha dropped" in of.info.notes) == (code == 2304)


def test_two_dimensions_are_one_slice_of_unknown_depth(tmp_path):
    given = noise(9, 8)
    of = source(saved(tmp_path / "a.nii", given))
    np.testing.assert_array_equal(read_checked(of)[0, :, :, 0], given)
    assert of.info.voxel_size.size == (2, 3, None)


def test_one_dimension_is_one_row(tmp_path):
    np.testing.assert_array_equal(voxels(saved(tmp_path / "a.nii", noise(9)))[0, :, 0, 0], noise(9))


@pytest.mark.parametrize("extra", [(1,), (1, 1), (1, 1, 1, 1)])
def test_axes_of_one_are_no_volumes(tmp_path, extra):
    given = noise(9, 8, 7, *extra)
    path = saved(tmp_path / "a.nii", given)
    np.testing.assert_array_equal(voxels(path)[0], given.reshape(9, 8, 7))
    np.testing.assert_array_equal(voxels(path, volume=0)[0], given.reshape(9, 8, 7))


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("extra", [(5,), (1, 5), (2, 3)])
def test_one_of_several_volumes(tmp_path, suffix, extra):
    given = noise(9, 8, 7, *extra, dtype="int16")
    path = saved(tmp_path / f"a.{suffix}", given, LAS)
    expected = given.reshape(9, 8, 7, -1, order="F")[::-1]
    for number in range(expected.shape[3]):
        np.testing.assert_array_equal(voxels(path, volume=number)[0], expected[..., number])
    with pytest.raises(OptionError, match=f"-o volume takes 0 to {expected.shape[3] - 1}"):
        layers(path, volume=expected.shape[3])
    with pytest.raises(OptionError, match="no volume -1"):
        layers(path, volume=-1)


def test_several_volumes_need_a_choice(tmp_path):
    path = saved(tmp_path / "a.nii", noise(9, 8, 7, 5))
    with pytest.raises(UnsupportedSource, match="9 x 8 x 7 x 5") as caught:
        layers(path)
    assert "-o volume=N (0 to 4)" in caught.value.fix
    assert "-o volumes=channels" in caught.value.fix


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_volumes_become_layers(tmp_path, suffix):
    given = noise(9, 8, 7, 3, dtype="int16")
    found = layers(saved(tmp_path / f"a.{suffix}", given), volumes="channels")
    assert [layer.name for layer in found] == ["volume_0", "volume_1", "volume_2"]
    for number, layer in enumerate(found):
        np.testing.assert_array_equal(read_checked(layer.source)[0], given[..., number])


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_three_volumes_of_uint8_are_colours(tmp_path, suffix):
    given = noise(9, 8, 7, 3)
    found = voxels(saved(tmp_path / f"a.{suffix}", given), volumes="channels")
    np.testing.assert_array_equal(found, given.transpose(3, 0, 1, 2))


def test_too_many_layers_are_refused(tmp_path):
    path = saved(tmp_path / "a.nii", noise(2, 2, 2, 101))
    with pytest.raises(UnsupportedSource, match="makes more than 100 layers"):
        layers(path, volumes="channels")


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_what_is_no_real_number_is_declined(tmp_path, dtype):
    path = saved(tmp_path / "a.nii", np.ones((3, 3, 3), dtype))
    with pytest.raises(UnsupportedSource, match="complex numbers"):
        layers(path)


@pytest.mark.parametrize(("code", "words"), [(0, "unknown"), (1, "one bit"), (1536, "128-bit"), (77, "datatype 77")])
def test_other_datatypes_are_declined(tmp_path, code, words):
    path = patched(saved(tmp_path / "a.nii", noise(3, 3, 3)), 70, np.int16(code).tobytes())
    with pytest.raises(UnsupportedSource, match=words):
        layers(path)


@pytest.mark.parametrize("told", ["intent", "extension"])
@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_cifti_is_declined_with_a_reason(tmp_path, told, suffix):
    from nibabel.nifti1 import Nifti1Extension

    made = nibabel.Nifti2Image(noise(1, 1, 1, 1, 9, 8), RAS)
    if told == "intent":
        made.header["intent_code"] = 3006
    else:
        made.header.extensions.append(Nifti1Extension("comment", b"<CIFTI/>"))
    path = tmp_path / "a.dscalar.nii"
    made.to_filename(path)
    if told == "extension":
        patched(path, 548, np.int32(32).tobytes())
    if suffix == "nii.gz":
        path = path.rename(tmp_path / "a.dscalar.nii.gz")
        path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UnsupportedSource, match="CIFTI") as caught:
        layers(path)
    assert "surface" in caught.value.why


def test_other_extensions_are_passed_over(tmp_path):
    from nibabel.nifti1 import Nifti1Extension

    made = nibabel.Nifti1Image(noise(9, 8, 7), RAS)
    made.header.extensions.append(Nifti1Extension("comment", b"a comment " * 1000))
    made.to_filename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(voxels(tmp_path / "a.nii.gz")[0], noise(9, 8, 7))


@pytest.mark.slow
def test_voxels_are_read_in_order_also_where_rows_and_planes_are_large(tmp_path, monkeypatch):
    from wkconvert_core.toolkit.volumes import stored as module

    given = noise(40, 30, 20, dtype="int16")
    for limit in (10, 100, 3000, 10_000):
        monkeypatch.setattr(module, "PIECE_BYTES", limit)
        for suffix in ("nii", "nii.gz"):
            found = voxels(saved(tmp_path / f"a.{suffix}", given, LAS))
            np.testing.assert_array_equal(found[0], given[::-1])


@pytest.mark.parametrize("across", [100, 5000])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_box_costs_the_chunks_that_it_touches(tmp_path, monkeypatch, across, order):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order]
    of = source(saved(tmp_path / "a.nii", noise(across, 6, 5, dtype="int16"), affine))
    x = of.axes.order.index(0)
    assert of.info.chunk_shape == tuple(min(across, 2048) if axis == x else 1 for axis in range(3))
    read, fill = [], raw_rows.fill
    monkeypatch.setattr(raw_rows, "fill", lambda file, out, start: read.append(out.nbytes) or fill(file, out, start))
    for start, length in ((0, 1), (40, 60), (across - 7, 7), (0, across)):
        read.clear()
        at, shape = [1, 1, 1], [2, 3, 2]
        at[x], shape[x] = start, length
        box = Box(tuple(at), tuple(shape))
        assert of.read(box).shape == (1, *shape)
        chunk = of.info.chunk_shape[x]
        cost = min(-(-(start + length) // chunk) * chunk, across) - start // chunk * chunk
        assert sum(read) <= box.volume // length * cost * 2
