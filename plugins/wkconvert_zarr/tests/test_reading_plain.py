"""Arrays of Zarr 2 and 3 without a standard of images: how they are stored, what their axes are, groups of them."""

import json
import zipfile

import numpy as np
import pytest
from helpers.conversions import layers_of
from hypothesis import given, settings
from hypothesis import strategies as st
from images import READER, array, coarser, n5, ome, put, zarr, zyx

import wkconvert_zarr
from wkconvert_core import BrokenSource, Mag, OptionError, UnsupportedSource, VoxelSize
from wkconvert_core.api import Settings, convert
from wkconvert_core.testing import noise, read_checked

VOXELS = noise(21, 18, 17, dtype="uint16", zeros=False)  # x, y, z


def seen(path, **options):
    """All voxels of the only layer, at once."""
    source = READER.source(path, **options)
    return source.read(source.info.box)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("separator", [".", "/"])
def test_unnamed_axes_are_z_y_x_in_either_version_and_naming_of_chunks(tmp_path, version, separator):
    encoding = {"name": "v2" if version == 2 else "default", "separator": separator}
    path = array(tmp_path / "a", zyx(VOXELS), version=version, chunk_key_encoding=encoding)
    assert np.array_equal(READER.voxels(path)[0], VOXELS)
    assert np.array_equal(seen(path, axes="xyz")[0], VOXELS.T)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("version", [2, 3])
def test_every_dtype_and_byte_order_is_read(tmp_path, dtype, endian, version):
    voxels = noise(9, 8, 7, dtype=dtype)
    stored = zyx(voxels)
    options = {}
    if version == 2:
        stored = stored.astype(stored.dtype.newbyteorder(endian))
    elif stored.itemsize > 1:
        options["serializer"] = zarr.codecs.BytesCodec(endian=endian)
    found = seen(array(tmp_path / "a", stored, version=version, chunks=(4, 4, 4), **options))
    assert found.dtype == voxels.dtype
    assert np.array_equal(found[0], voxels)


@pytest.mark.parametrize("dtype", ["complex64", "M8[s]", "S4", [("a", "u1"), ("b", "u2")]])
def test_other_dtypes_are_refused(tmp_path, dtype):
    voxels = np.zeros((4, 4, 4), dtype)
    zarr.create_array(tmp_path / "a", shape=voxels.shape, dtype=voxels.dtype, zarr_format=2)
    with pytest.raises((UnsupportedSource, BrokenSource), match=r"holds complex64|cannot be read"):
        READER.layers(tmp_path / "a")


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    chunks=st.tuples(*[st.integers(1, 9)] * 3),
    shard=st.sampled_from([None, 1, 2, 3]),
    version=st.sampled_from([2, 3]),
    order=st.sampled_from("CF"),
    axes=st.permutations("xyz"),
    compressed=st.booleans(),
)
def test_any_shape_chunks_order_and_axes_are_read(
    tmp_path_factory, shape, chunks, shard, version, order, axes, compressed
):
    path = tmp_path_factory.mktemp("any") / "a"
    stored = noise(*shape, dtype="int16")
    options = {"order": order} if version == 2 else {}
    if version == 3 and shard:
        options["shards"] = tuple(shard * side for side in chunks)
    if not compressed:
        options["compressors"] = None
    array(path, stored, version=version, chunks=chunks, **options)
    assert np.array_equal(seen(path, axes="".join(axes))[0], stored.transpose([axes.index(axis) for axis in "xyz"]))


@pytest.mark.parametrize("fill", [0, 7, 65535, None])
@pytest.mark.parametrize("version", [2, 3])
def test_missing_chunks_have_the_fill_value(tmp_path, fill, version):
    made = zarr.create_array(
        tmp_path / "a", shape=(17, 18, 21), chunks=(16, 16, 16), dtype="uint16", fill_value=fill, zarr_format=version
    )
    made[:16, :16, :16] = 3
    expected = np.full((21, 18, 17), fill or 0, "uint16")
    expected[:16, :16, :16] = 3
    assert np.array_equal(READER.voxels(tmp_path / "a")[0], expected)


def test_an_array_without_any_chunk_is_told(tmp_path):
    zarr.create_array(tmp_path / "a", shape=(4, 4, 4), chunks=(4, 4, 4), dtype="uint8", fill_value=9)
    assert "stores no chunk" in READER.source(tmp_path / "a").info.notes[0]
    assert (seen(tmp_path / "a") == 9).all()


def test_chunks_whose_separator_is_not_stated_are_found(tmp_path):
    path = array(tmp_path / "a", zyx(VOXELS), version=2, chunk_key_encoding={"name": "v2", "separator": "/"})
    about = json.loads((path / ".zarray").read_text())
    del about["dimension_separator"]
    put(path / ".zarray", about)
    assert np.array_equal(READER.voxels(path)[0], VOXELS)


@pytest.mark.parametrize("kind", ["plain", "image"])
def test_files_that_are_no_chunks_by_the_metadata_are_refused_instead_of_read_as_zeros(tmp_path, kind):
    path = tmp_path / "a"
    encoding = {"name": "v2", "separator": "/"}
    if kind == "plain":
        array(path, zyx(VOXELS), version=2, chunk_key_encoding=encoding)
    else:
        ome(path, [zyx(VOXELS)], version="0.4", chunk_key_encoding=encoding)
    file = path / ("s0" if kind == "image" else "") / ".zarray"
    put(file, {**json.loads(file.read_text()), "dimension_separator": "."})
    with pytest.raises(BrokenSource, match="none that its metadata name as a chunk") as caught:
        READER.layers(path)
    assert "separator" in caught.value.fix


# --- axes and attributes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "about"),
    [
        ({"dimension_names": ["x", "z", "y"]}, {}),
        ({"dimension_names": ["X", "Depth", "height"]}, {}),
        ({}, {"_ARRAY_DIMENSIONS": ["x", "z", "y"]}),
        ({}, {"axes": ["x", "z", "y"]}),
    ],
)
def test_named_axes_count(tmp_path, options, about):
    path = array(tmp_path / "a", np.ascontiguousarray(VOXELS.transpose(0, 2, 1)), attributes=about, **options)
    assert np.array_equal(READER.voxels(path)[0], VOXELS)


def test_axes_of_length_one_need_no_name_and_others_do(tmp_path):
    path = array(tmp_path / "a", zyx(VOXELS)[None, None])
    assert np.array_equal(READER.voxels(path)[0], VOXELS)
    both = np.stack([zyx(VOXELS), zyx(VOXELS) + 1])
    path = array(tmp_path / "b", both)
    with pytest.raises(UnsupportedSource, match="has 4 axes without names, of 2 x 17 x 18 x 21") as caught:
        READER.layers(path)
    assert "-o axes=czyx" in caught.value.fix
    assert np.array_equal(read_checked(READER.layers(path, axes="czyx")[1].source)[0], VOXELS + 1)
    assert np.array_equal(READER.voxels(path, axes="t,z,y,x", timepoint=1)[0], VOXELS + 1)
    with pytest.raises(OptionError, match="-o axes=zyx does not fit") as caught:
        READER.layers(path, axes="zyx")
    assert caught.value.why == "it has 4 axes, of 2 x 17 x 18 x 21"
    with pytest.raises(UnsupportedSource, match=r"the axes of .* are c, z, y, y"):
        READER.layers(path, axes="czyy")
    with pytest.raises(UnsupportedSource, match="has an axis angle of 2"):
        READER.layers(path, axes="angle,z,y,x")
    with pytest.raises(UnsupportedSource, match=r"the axes of .* are x, lat, lon"):
        READER.layers(array(tmp_path / "c", zyx(VOXELS), dimension_names=["x", "lat", "lon"]))


def test_a_single_slice_is_y_x(tmp_path):
    path = array(tmp_path / "a", np.ascontiguousarray(VOXELS[..., 0].T))
    assert np.array_equal(READER.voxels(path)[0], VOXELS[..., :1])


@pytest.mark.parametrize(
    "about",
    [
        {"voxel_size": [40, 4, 4], "units": ["nm"] * 3, "offset": [80, 0, 12]},
        {"resolution": [40, 4, 4], "unit": "nm", "offset": [80, 0, 12]},
    ],
)
def test_sizes_and_places_of_attributes_are_those_of_the_voxel_axes(tmp_path, about):
    path = array(tmp_path / "a", np.stack([zyx(VOXELS)] * 2), attributes=about, dimension_names=list("czyx"))
    info = READER.layers(path)[0].source.info
    assert (str(info.voxel_size), info.offset) == ("4 x 4 x 40 nm", (3, 0, 2))


# --- groups and zip files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_a_group_is_a_layer_for_each_volume_in_it(tmp_path, version):
    path = tmp_path / "all.zarr"
    zarr.create_group(path, zarr_format=version).create_group("volumes")
    array(path / "volumes" / "raw", zyx(VOXELS), version=version)
    array(path / "volumes" / "ids", zyx(VOXELS) + 1, version=version)
    array(path / "x", np.arange(21.0), version=version, chunks=(21,))
    layers = {layer.name: layer for layer in READER.layers(path)}
    assert set(layers) == {"volumes_raw", "volumes_ids"}
    assert np.array_equal(read_checked(layers["volumes_ids"].source)[0], VOXELS + 1)
    assert READER.layer(path, image="volumes/raw").name is None
    zarr.create_group(tmp_path / "empty.zarr", zarr_format=version)
    with pytest.raises(UnsupportedSource, match="is a group without an image"):
        READER.layers(tmp_path / "empty.zarr")
    with pytest.raises(UnsupportedSource, match="outside of itself"):
        READER.layers(path, image="../all.zarr")


def test_a_group_of_numbered_arrays_is_a_pyramid_if_their_shapes_are(tmp_path):
    for number in range(3):
        array(tmp_path / "a.zarr" / str(number), coarser(zyx(VOXELS), (1, 2**number, 2**number)))
    zarr.open_group(tmp_path / "a.zarr", mode="a")
    assert list(READER.layer(tmp_path / "a.zarr").mags) == [Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 1)]


@pytest.mark.parametrize("stored", [VOXELS, VOXELS[:, :9], np.concatenate([VOXELS[:, :9]] * 2)])
def test_numbered_arrays_that_do_not_get_smaller_are_layers(tmp_path, stored):
    zarr.create_group(tmp_path / "a.zarr")
    for number, voxels in enumerate((VOXELS, stored, VOXELS + 2)):
        array(tmp_path / "a.zarr" / str(number), zyx(voxels))
    layers = READER.layers(tmp_path / "a.zarr")
    assert [layer.name for layer in layers] == ["0", "1", "2"]
    assert np.array_equal(layers[2].source.read(layers[2].source.info.box)[0], VOXELS + 2)


def zipped(folder, to, prefix="", how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(to, "w", how) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, prefix + str(path.relative_to(folder)))
    return to


@pytest.mark.parametrize("name", ["a.ozx", "a.zarr.zip", "a.zip"])
@pytest.mark.parametrize("prefix", ["", "a.zarr/"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zipped_images_are_read(tmp_path, name, prefix, version):
    levels = [zyx(VOXELS), coarser(zyx(VOXELS), (2, 2, 2))]
    path = zipped(ome(tmp_path / "folder", levels, version=version), tmp_path / name, prefix)
    assert READER.detect(path).format == "zarr"
    layer = READER.layer(path)
    assert list(layer.mags) == [Mag(1, 1, 1), Mag(2, 2, 2)]
    assert np.array_equal(layer.source.read(layer.source.info.box)[0], VOXELS)
    assert np.array_equal(seen(path, image="s1")[0], VOXELS[::2, ::2, ::2])


def test_other_zip_files_are_not_claimed_and_damaged_ones_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("x/y/z.raw", b"1")
    assert READER.detect(tmp_path / "a.zip") is None
    path = zipped(array(tmp_path / "folder", zyx(VOXELS)), tmp_path / "a.ozx", how=zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:cut])
        with pytest.raises(BrokenSource, match=r"a\.ozx"):
            READER.layers(path)


@pytest.mark.parametrize(
    ("url", "confidence"),
    [
        ("s3://bucket/em.zarr", 2),
        ("https://example.org/em.zarr/0?key=1", 2),
        ("gs://bucket/em.ozx", 2),
        ("precomputed://gs://bucket/em", 2),
        ("s3://bucket/em", 1),
        ("https://example.org/v1.2", 1),
        ("s3://bucket/em.tif", None),
        ("ftp://example.org/em.zarr", None),
    ],
)
def test_urls_are_claimed_by_their_text(url, confidence):
    match = wkconvert_zarr.wkconvert_detect(url, b"")
    assert (match and match.confidence) == confidence


def test_memory_is_priced_by_whole_chunks(tmp_path):
    source = READER.source(array(tmp_path / "a", zyx(VOXELS), chunks=(34, 36, 42)))
    assert (source.info.chunk_shape, source.read_cost) == ((21, 18, 17), 9.0)
    assert np.array_equal(source.read(source.info.box)[0], VOXELS)


def test_folders_of_a_folder_are_layers_without_their_suffix(tmp_path):
    array(tmp_path / "src" / "raw.zarr", zyx(VOXELS))
    n5(tmp_path / "src" / "labels.n5", VOXELS)
    convert(tmp_path / "src", tmp_path / "ds", Settings(VoxelSize((4, 4, 40)), jobs=2))
    assert {name: layer["category"] for name, layer in layers_of(tmp_path / "ds").items()} == {
        "raw": "color",
        "labels": "segmentation",
    }
