"""What becomes of a dataset: extent, voxel size, mags, missing cubes, kinds of cubes."""

import zipfile

import numpy as np
import pytest
from cubes_of import (
    EDGE,
    conf_text,
    dataset,
    folder_of,
    layer,
    layers,
    noise,
    save_cube,
    save_overlay,
    save_picture,
    save_volume,
    source,
    voxels,
    whole,
)
from PIL import Image

from wkconvert_core import InconsistentStack, Mag, OptionError, UnsupportedSource
from wkconvert_images.facts import lossy_labels

SHAPE = (70, 40, 50)


def test_the_boundary_is_the_extent_and_the_scale_the_voxel_size(tmp_path):
    expected = dataset(tmp_path)
    found = layer(tmp_path)
    info = found.source.info
    assert found.category == "color"
    assert (info.shape, info.offset, info.chunk_shape, info.notes) == (SHAPE, (0, 0, 0), (32, 32, 32), ())
    assert (info.voxel_size.size, info.voxel_size.unit) == ((9.0, 9.0, 20.0), "nm")
    assert info.voxel_size.origin == "knossos.conf"
    np.testing.assert_array_equal(voxels(tmp_path), expected)


@pytest.mark.parametrize("place", ["mag1/knossos.conf", "knossos.conf", "mag1/ex.k.conf", "../knossos.conf"])
def test_the_conf_is_found_in_the_mag_and_above(tmp_path, place):
    root = tmp_path / "ds"
    dataset(root)
    content = (root / "mag1" / "knossos.conf").read_text()
    (root / "mag1" / "knossos.conf").unlink()
    (root / place).write_text(content)
    for path in (root, root / "mag1", root / "mag1/x0001/y0000/z0001"):
        info = source(path).info
        assert info.voxel_size.size == (9.0, 9.0, 20.0)
        assert info.shape in (SHAPE, (32, 32, 18))


def test_a_conf_far_above_counts_only_for_its_experiment(tmp_path):
    save_cube(tmp_path / "ds" / "mag1", (0, 0, 0), noise((128, 128, 128)))
    (tmp_path / "knossos.conf").write_text(conf_text((50, 50, 50), name="other", edge=128))
    assert source(tmp_path / "ds").info.voxel_size is None
    (tmp_path / "knossos.conf").write_text(conf_text((50, 50, 50), name="ex_mag1", edge=128))
    assert source(tmp_path / "ds").info.shape == (50, 50, 50)


def test_the_mags_own_conf_goes_before_the_roots(tmp_path):
    dataset(tmp_path)
    (tmp_path / "knossos.conf").write_text(conf_text((10, 10, 10), (1, 1, 1)))
    assert source(tmp_path).info.shape == SHAPE


def test_two_confs_that_differ_are_refused_unless_one_has_the_experiments_name(tmp_path):
    dataset(tmp_path)
    (tmp_path / "mag1" / "b.k.conf").write_text(conf_text((70, 40, 51)))
    with pytest.raises(InconsistentStack, match=r"b\.k\.conf, knossos\.conf"):
        source(tmp_path)
    (tmp_path / "mag1" / "b.k.conf").write_text(conf_text((70, 40, 51), name="other"))
    assert source(tmp_path).info.shape == SHAPE
    (tmp_path / "mag1" / "b.k.conf").write_text(conf_text(SHAPE))
    assert source(tmp_path).info.shape == SHAPE


def test_without_a_conf_nothing_is_guessed_and_the_cubes_make_the_extent(tmp_path):
    first, second = noise((128, 128, 128)), noise((128, 128, 128))[::-1]
    save_cube(tmp_path / "mag1", (1, 0, 2), first)
    save_cube(tmp_path / "mag1", (2, 1, 2), second)
    info = source(tmp_path).info
    assert (info.shape, info.offset, info.voxel_size) == ((256, 256, 128), (128, 0, 256), None)
    assert any("no configuration says the boundary" in note for note in info.notes)
    assert "2 of 4 cubes are missing and read as zeros" in info.notes
    expected = np.zeros(info.shape, "uint8")
    expected[:128, :128], expected[128:, 128:] = first, second
    np.testing.assert_array_equal(voxels(tmp_path), expected)


@pytest.mark.parametrize(
    ("scale", "known"),
    [(("9", "0", "20"), (9, None, 20)), (("9", "-1", "nan"), (9, None, None)), (("a", "b", "inf"), None), ((), None)],
)
def test_a_scale_that_is_no_length_is_no_scale(tmp_path, scale, known):
    dataset(tmp_path, scale=scale)
    size = source(tmp_path).info.voxel_size
    assert (size and size.size) == known


def test_a_scale_that_is_not_taken_is_noted_with_its_line(tmp_path):
    dataset(tmp_path, scale=("9", "9", "25,5"))
    (note,) = source(tmp_path).info.notes
    assert note.startswith(f"{tmp_path / 'mag1' / 'knossos.conf'}, line 7: scale z 25,5 is no size")


def test_missing_cubes_are_zero_and_counted(tmp_path):
    expected = noise(SHAPE)
    save_volume(tmp_path / "mag1", expected, skip=[(0, 0, 0), (2, 1, 1)])
    folder_of(tmp_path / "mag1", (0, 0, 0)).mkdir(parents=True)
    (tmp_path / "knossos.conf").write_text(conf_text(SHAPE))
    expected[:32, :32, :32] = expected[64:, 32:, 32:] = 0
    np.testing.assert_array_equal(voxels(tmp_path), expected)
    assert source(tmp_path).info.notes == ("2 of 12 cubes are missing and read as zeros",)


def test_cubes_beyond_the_boundary_are_an_error_until_the_user_decides(tmp_path):
    expected = dataset(tmp_path)
    (tmp_path / "mag1" / "knossos.conf").write_text(conf_text((64, 40, 50)))
    with pytest.raises(InconsistentStack, match=r"4 of 12 cubes in .*mag1 lie beyond the boundary") as caught:
        source(tmp_path)
    assert "-o extent=cubes" in caught.value.fix
    np.testing.assert_array_equal(voxels(tmp_path, extent="conf"), expected[:64])
    assert source(tmp_path, extent="conf").info.notes == ("4 of 12 cubes lie beyond the boundary and are left out",)
    by_cubes = voxels(tmp_path, extent="cubes")
    assert by_cubes.shape == (96, 64, 64)
    np.testing.assert_array_equal(by_cubes[:70, :40, :50], expected)
    assert source(tmp_path, extent="cubes").info.notes == ("the extent is that of the cubes, in whole cubes",)


def test_an_extent_by_conf_needs_one(tmp_path):
    save_cube(tmp_path / "mag1", (0, 0, 0), noise((128, 128, 128)))
    with pytest.raises(OptionError, match="needs a boundary"):
        source(tmp_path, extent="conf")


def test_a_part_of_a_dataset_keeps_its_place(tmp_path):
    expected = dataset(tmp_path)
    places = {
        "x0002": np.s_[64:, :, :],
        "x0001/y0001": np.s_[32:64, 32:, :],
        "x0001/y0001/z0001": np.s_[32:64, 32:, 32:],
    }
    for name, where in places.items():
        of = source(tmp_path / "mag1" / name)
        np.testing.assert_array_equal(whole(of), expected[where])
        assert of.info.offset == tuple(part.start or 0 for part in where)
        assert of.info.notes == (f"only {name.rpartition('/')[2]} is read",)


def test_a_part_beyond_the_boundary_is_refused(tmp_path):
    dataset(tmp_path)
    (tmp_path / "mag1" / "knossos.conf").write_text(conf_text((64, 40, 50)))
    with pytest.raises(InconsistentStack, match="4 of 4 cubes"):
        source(tmp_path / "mag1" / "x0002", extent="conf")


def pyramid(root, shape=(71, 40, 50), numbers=(1, 2, 4)):
    volumes = {number: noise([-(-n // number) for n in shape]) for number in numbers}
    for number, volume in volumes.items():
        save_volume(root / f"mag{number}", volume, name=f"ex_mag{number}")
        scale = [number * n for n in (9, 9, 20)]
        (root / f"mag{number}" / "knossos.conf").write_text(
            conf_text([n // number for n in shape], scale, number, name=f"ex_mag{number}")
        )
    return volumes


def test_coarser_mags_are_taken_and_cover_the_same_extent_rounded_up(tmp_path):
    volumes = pyramid(tmp_path)
    found = layer(tmp_path)
    assert list(found.mags) == [Mag(1, 1, 1), Mag(2, 2, 2), Mag(4, 4, 4)]
    for mag, of in found.mags.items():
        np.testing.assert_array_equal(whole(of), volumes[mag.x])
        assert of.info.voxel_size.size == (9 * mag.x, 9 * mag.y, 20 * mag.z)
    assert list(layer(tmp_path, mags="first").mags) == [Mag(1, 1, 1)]
    assert list(layer(tmp_path / "mag1").mags) == [Mag(1, 1, 1)]


def cube_at(mag, index):
    return next(folder_of(mag, index).glob("*.raw"))


def test_a_coarser_mag_that_lacks_cubes_which_the_finest_has_is_left_out_with_a_note(tmp_path):
    volumes = pyramid(tmp_path)
    cube_at(tmp_path / "mag2", (1, 0, 0)).unlink()
    found = layer(tmp_path)
    assert list(found.mags) == [Mag(1, 1, 1), Mag(4, 4, 4)]
    np.testing.assert_array_equal(whole(found.mags[Mag(4, 4, 4)]), volumes[4])
    (note,) = found.source.info.notes
    assert note == "mag 2 left out, as it lacks cubes where mag 1 has some (1 in all)"


def test_a_coarser_mag_that_lacks_what_the_finest_lacks_is_taken(tmp_path):
    pyramid(tmp_path)
    for y, z in np.ndindex(2, 2):
        cube_at(tmp_path / "mag1", (2, y, z)).unlink()
    cube_at(tmp_path / "mag2", (1, 0, 0)).unlink()
    assert list(layer(tmp_path).mags) == [Mag(1, 1, 1), Mag(2, 2, 2), Mag(4, 4, 4)]
    assert "mag 2: 1 of 2 cubes are missing and read as zeros" in source(tmp_path).info.notes


def test_cubes_beyond_the_extent_need_no_coarser_ones(tmp_path):
    pyramid(tmp_path)
    save_cube(tmp_path / "mag1", (9, 0, 0), noise((EDGE,) * 3))
    assert list(layer(tmp_path, extent="conf").mags) == [Mag(1, 1, 1), Mag(2, 2, 2), Mag(4, 4, 4)]
    assert list(layer(tmp_path, extent="cubes").mags) == [Mag(1, 1, 1)]


def test_a_dataset_of_coarser_mags_only_has_those_by_the_units_of_their_conf(tmp_path):
    volumes = pyramid(tmp_path, (72, 40, 52), (2, 4))
    found = layer(tmp_path)
    assert list(found.mags) == [Mag(2, 2, 2), Mag(4, 4, 4)]
    assert found.source.info.voxel_size.size == (18, 18, 40)
    for mag, of in found.mags.items():
        np.testing.assert_array_equal(whole(of), volumes[mag.x])
    assert list(layer(tmp_path / "mag4").mags) == [Mag(4, 4, 4)]


def test_a_conf_for_mag_1_serves_a_coarser_mag(tmp_path):
    volume = noise((36, 20, 25))
    save_volume(tmp_path / "mag2", volume)
    (tmp_path / "knossos.conf").write_text(conf_text((72, 40, 49)))
    of = source(tmp_path)
    assert of.info.voxel_size.size == (18, 18, 40)
    np.testing.assert_array_equal(whole(of), volume)


def test_a_magnification_makes_the_mag_where_no_folder_does(tmp_path):
    volume = noise((36, 20, 25))
    root = save_volume(tmp_path / "ds", volume)
    (root / "knossos.conf").write_text(conf_text((36, 20, 25), (18, 18, 40), 2))
    found = layer(root)
    assert list(found.mags) == [Mag(2, 2, 2)]
    assert found.source.info.voxel_size.size == (18, 18, 40)
    np.testing.assert_array_equal(whole(found.source), volume)
    (root / "knossos.conf").write_text(conf_text((36, 20, 25), magnification=None))
    assert list(layer(root).mags) == [Mag(1, 1, 1)]


def test_a_magnification_that_contradicts_its_folder_is_refused(tmp_path):
    dataset(tmp_path, magnification=4)
    with pytest.raises(InconsistentStack, match="says magnification 4"):
        source(tmp_path)


def test_mags_that_are_no_powers_of_two_are_left_out_with_a_note(tmp_path):
    dataset(tmp_path)
    save_cube(tmp_path / "mag3", (0, 0, 0), noise((EDGE,) * 3))
    found = layer(tmp_path)
    assert list(found.mags) == [Mag(1, 1, 1)]
    assert "mag3 left out" in found.source.info.notes[0]
    (tmp_path / "mag3" / "knossos.conf").write_text(conf_text((24, 24, 24), magnification=3))
    with pytest.raises(UnsupportedSource, match=r"mag3 cannot be converted.*powers of two, and 3 is none"):
        layer(tmp_path / "mag3")


def test_two_folders_for_one_mag_are_refused(tmp_path):
    dataset(tmp_path)
    save_cube(tmp_path / "1", (0, 0, 0), noise((EDGE,) * 3))
    with pytest.raises(InconsistentStack, match="two folders for mag 1: 1 and mag1"):
        source(tmp_path)


def test_cubes_of_a_coarser_mag_beyond_the_extent_are_noted(tmp_path):
    pyramid(tmp_path)
    save_cube(tmp_path / "mag2", (5, 0, 0), noise((EDGE,) * 3))
    assert "mag 2: 1 of 3 cubes lie beyond the extent and are left out" in source(tmp_path).info.notes


TOML = """
[[Layer]]
Name = "ex"
FileExtension = [".raw"]
Extent_px = [72, 40, 52]
VoxelSize_nm = [[10, 10, 25.5], [20, 20, 25.5], [40, 40, 51]]
CubeShape_px = [32, 32, 16]
Description = "test"
SERVER
[[Layer]]
Name = "labels"
FileExtension = [".seg.sz.zip"]
Extent_px = [64, 40, 52]
VoxelSize_nm = [[10, 10, 25.5]]
CubeShape_px = [32, 32, 16]
"""


def slabs(mag, volume, suffix=".raw"):
    """Cubes of 32 x 32 x 16."""
    for x, y, z in np.ndindex(*(-(-n // edge) for n, edge in zip(volume.shape, (32, 32, 16), strict=True))):
        part = volume[32 * x : 32 * x + 32, 32 * y : 32 * y + 32, 16 * z : 16 * z + 16]
        padded = np.zeros((32, 32, 16), volume.dtype)
        padded[tuple(slice(n) for n in part.shape)] = part
        save_cube(mag, (x, y, z), padded, suffix)


def test_a_toml_numbers_folders_by_the_place_of_their_mag(tmp_path):
    shapes = {1: (72, 40, 52), 2: (36, 20, 52), 3: (18, 10, 26)}
    volumes = {number: noise(shape) for number, shape in shapes.items()}
    for number, volume in volumes.items():
        slabs(tmp_path / f"mag{number}", volume)
    (tmp_path / "ex.k.toml").write_text(TOML.replace("SERVER", ""))
    found = layer(tmp_path)
    assert list(found.mags) == [Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 2)]
    for of, volume in zip(found.mags.values(), volumes.values(), strict=True):
        np.testing.assert_array_equal(whole(of), volume)
    assert [of.info.voxel_size.size for of in found.mags.values()] == [(10, 10, 25.5), (20, 20, 25.5), (40, 40, 51)]


def test_a_toml_for_knossos_itself_numbers_folders_by_mag(tmp_path):
    for number in (1, 2, 4):
        slabs(tmp_path / f"mag{number}", noise((32, 32, 16)))
    text = TOML.replace("SERVER", 'ServerFormat = "knossos"').replace("72, 40, 52", "32, 32, 16")
    text = text.replace("[40, 40, 51]]", "[40, 40, 51], [80, 80, 102]]")
    (tmp_path / "ex.k.toml").write_text(text)
    assert list(layer(tmp_path).mags) == [Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 2)]


def test_a_toml_says_each_layers_extent(tmp_path):
    slabs(tmp_path / "mag1", noise((72, 40, 52)))
    labels = noise((64, 40, 52), "uint64")
    slabs(tmp_path / "mag1", labels, ".seg.sz.zip")
    (tmp_path / "ex.k.toml").write_text(TOML.replace("SERVER", ""))
    image, overlay = layers(tmp_path)
    assert (image.source.info.shape, overlay.source.info.shape) == ((72, 40, 52), (64, 40, 52))
    np.testing.assert_array_equal(whole(overlay.source), labels)


def test_overlays_are_a_layer_of_labels_beside_the_image(tmp_path):
    image = dataset(tmp_path)
    labels = noise(SHAPE, "uint64")
    labels[0, 0, 0] = 2**64 - 1
    save_volume(tmp_path / "mag1", labels, ".seg.sz.zip", skip=[(1, 1, 1)])
    labels[32:64, 32:, 32:] = 0
    color, segmentation = layers(tmp_path)
    assert [(each.name, each.category) for each in (color, segmentation)] == [
        ("color", "color"),
        ("segmentation", "segmentation"),
    ]
    np.testing.assert_array_equal(whole(color.source), image)
    np.testing.assert_array_equal(whole(segmentation.source), labels)
    assert segmentation.source.info.notes == ("1 of 12 cubes are missing and read as zeros",)
    assert color.source.info.notes == ()


def test_one_cube_is_read_without_its_neighbour_of_another_kind(tmp_path):
    dataset(tmp_path)
    path = save_cube(tmp_path / "mag1", (0, 0, 0), noise((EDGE,) * 3, "uint64"), ".seg.sz.zip")
    (only,) = layers(path)
    assert only.category == "segmentation"
    np.testing.assert_array_equal(whole(only.source), noise((EDGE,) * 3, "uint64"))


def test_jpeg_cubes_are_what_pillow_decodes(tmp_path):
    for index in np.ndindex(2, 1, 1):
        save_cube(tmp_path / "mag1", index, noise((EDGE,) * 3), ".jpg")
    (tmp_path / "knossos.conf").write_text(conf_text((64, 32, 32)))
    path = next((tmp_path / "mag1/x0000/y0000/z0000").iterdir())
    decoded = np.asarray(Image.open(path)).reshape(EDGE, EDGE, EDGE).T
    np.testing.assert_array_equal(voxels(tmp_path), np.concatenate([decoded, decoded]))


def test_raw_goes_before_png_before_the_others_cube_by_cube_with_a_note(tmp_path):
    first, second = noise((EDGE,) * 3), noise((EDGE,) * 3)[::-1]
    mag = tmp_path / "mag1"
    save_cube(mag, (0, 0, 0), first)
    save_picture(folder_of(mag, (0, 0, 0)) / "a.jpg", second)
    save_cube(mag, (1, 0, 0), second, ".png")
    (folder_of(mag, (1, 0, 0)) / "ex_mag1_x0001_y0000_z0000.6.jp2").touch()
    (tmp_path / "knossos.conf").write_text(conf_text((64, 32, 32)))
    np.testing.assert_array_equal(voxels(tmp_path), np.concatenate([first, second]))
    assert source(tmp_path).info.notes == ("other files in mag1 left out (2 in all): 1 .jpg, 1 .6.jp2",)


@pytest.mark.slow
def test_many_other_files_are_one_note(tmp_path):
    expected = dataset(tmp_path)
    for number in range(300):
        (folder_of(tmp_path / "mag1", (0, 0, 0)) / f"stray{number}").touch()
        (folder_of(tmp_path / "mag1", (0, 0, 0)) / f"stray.{number}").touch()
    np.testing.assert_array_equal(voxels(tmp_path), expected)
    (note,) = source(tmp_path).info.notes
    assert note.startswith("other files in mag1 left out (600 in all): 300 without a suffix, 1 .")
    assert note.endswith("and 296 more")


def test_the_one_cube_of_a_folder_counts_whatever_its_name(tmp_path):
    expected = dataset(tmp_path)
    for path in (tmp_path / "mag1").glob("x*/y*/z*/*.raw"):
        path.rename(path.with_name("cube.RAW"))
    np.testing.assert_array_equal(voxels(tmp_path), expected)


def test_more_than_9999_cubes_along_an_axis(tmp_path):
    save_cube(tmp_path / "mag1", (12345, 0, 0), noise((128, 128, 128)))
    of = source(tmp_path)
    assert of.info.offset == (12345 * 128, 0, 0)
    np.testing.assert_array_equal(whole(of), noise((128, 128, 128)))


def test_linked_files_are_files_and_linked_folders_are_left_out_with_a_note(tmp_path):
    expected = dataset(tmp_path / "ds")
    cube = next((tmp_path / "ds/mag1/x0000/y0000/z0000").iterdir())
    cube.rename(tmp_path / "elsewhere.raw")
    cube.symlink_to(tmp_path / "elsewhere.raw")
    (tmp_path / "ds/mag1/x0002").rename(tmp_path / "x0002")
    (tmp_path / "ds/mag1/x0002").symlink_to(tmp_path / "x0002", target_is_directory=True)
    expected[64:] = 0
    np.testing.assert_array_equal(voxels(tmp_path / "ds"), expected)
    assert any("mag1/x0002 (a link)" in note for note in source(tmp_path / "ds").info.notes)
    of = source(tmp_path / "ds/mag1/x0002")
    assert whole(of).any(), "what the user names is read, link or not"


def test_links_in_a_loop_hide_no_cubes(tmp_path):
    expected = dataset(tmp_path)
    places = [tmp_path, tmp_path / "mag1", folder_of(tmp_path / "mag1", (1, 0, 0))]
    for folder in places:
        (folder / "loop").symlink_to("loop")
    for name in ("x0007", "x0008"):
        (tmp_path / "mag1" / name).symlink_to("x0007")
    np.testing.assert_array_equal(voxels(tmp_path), expected)
    assert source(tmp_path).info.notes == (
        "other files in mag1 left out (1 in all): 1 without a suffix",
        "left out, as no cubes belong there: mag1/x0007 (a link), mag1/x0008 (a link)",
    )


def test_overlays_are_what_another_snappy_packs(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    labels = noise((EDGE,) * 3, "uint64")
    path = save_cube(tmp_path / "mag1", (0, 0, 0), labels, ".seg.sz.zip")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("ex.seg.sz", imagecodecs.snappy_encode(labels.tobytes(order="F")))
    (tmp_path / "knossos.conf").write_text(conf_text((32, 32, 32)))
    np.testing.assert_array_equal(voxels(tmp_path), labels)


def test_a_zip_may_name_its_member_as_it_likes(tmp_path):
    labels = noise((EDGE,) * 3, "uint64")
    path = save_cube(tmp_path / "mag1", (0, 0, 0), labels, ".seg.sz.zip")
    path.unlink()
    save_overlay(path.with_name("a.seg.sz.zip"), labels)
    (tmp_path / "knossos.conf").write_text(conf_text((32, 32, 32)))
    np.testing.assert_array_equal(voxels(tmp_path), labels)


@pytest.mark.parametrize(
    ("suffix", "coding"),
    [(".jpg", "JPEG"), (".6.jp2", "JPEG 2000"), (".jp2", ""), (".j2k", ""), (".png", ""), (".raw", "")],
)
def test_labels_in_cubes_that_change_numbers_are_warned_of(tmp_path, suffix, coding):
    save_cube(tmp_path / "mag1", (0, 0, 0), noise((EDGE,) * 3), suffix)
    (tmp_path / "knossos.conf").write_text(conf_text((EDGE,) * 3))
    said = source(tmp_path, category="segmentation").info.notes
    assert [note for note in said if "JPEG" in note] == lossy_labels([coding])
    assert not any("JPEG" in note for note in source(tmp_path).info.notes)


@pytest.mark.parametrize("suffix", [".6.jp2", ".j2k"])
def test_cubes_of_jpeg_2000_are_one_picture_with_the_planes_one_below_the_other(tmp_path, suffix):
    imagecodecs = pytest.importorskip("imagecodecs")
    save_cube(tmp_path / "mag1", (0, 0, 0), noise((EDGE,) * 3), suffix)
    (tmp_path / "ex.k.toml").write_text(
        f'[[Layer]]\nName = "ex"\nServerFormat = "knossos"\nFileExtension = "{suffix}"\n'
        f"Extent_px = [{EDGE}, {EDGE}, 20]\nCubeShape_px = [{EDGE}, {EDGE}, {EDGE}]\n"
        "VoxelSize_nm = [[9.0, 9.0, 20.0]]\n"
    )
    path = next((tmp_path / "mag1/x0000/y0000/z0000").iterdir())
    decoded = imagecodecs.jpeg2k_decode(path.read_bytes()).reshape(EDGE, EDGE, EDGE).T
    np.testing.assert_array_equal(voxels(tmp_path), decoded[..., :20])
    assert (suffix == ".6.jp2") is (not np.array_equal(decoded, noise((EDGE,) * 3)))


# --- doubts -----------------------------------------------------------------------------------------------------------


def notes_of(root):
    return " ".join(source(root).info.notes)


def test_a_cube_whose_name_says_another_place_is_refused(tmp_path):
    dataset(tmp_path)
    path = folder_of(tmp_path / "mag1", (0, 0, 0)) / "ex_mag1_x0000_y0000_z0000.raw"
    path.rename(path.with_name("ex_mag1_x0001_y0000_z0000.raw"))
    with pytest.raises(InconsistentStack, match=r"lies where another cube belongs\. its name says x 0001, y 0000"):
        source(tmp_path)


@pytest.mark.parametrize("mag", ["mag1", "mag2"])
def test_cubes_of_several_experiments_are_warned_of(tmp_path, mag):
    dataset(tmp_path, (64, 64, 64))
    save_volume(tmp_path / "mag2", noise((32, 32, 32)), name="ex_mag2")
    assert "experiments" not in notes_of(tmp_path)
    path = folder_of(tmp_path / mag, (0, 0, 0)) / f"ex_{mag}_x0000_y0000_z0000.raw"
    path.rename(path.with_name(path.name.replace("ex", "other")))
    assert "cubes are of 2 experiments by their names: ex, other" in notes_of(tmp_path)


@pytest.mark.parametrize(("scale", "is_taken"), [((18, 18, 40.1), True), ((18, 18, 20), False)])
def test_a_coarser_mag_whose_conf_says_another_size_is_left_out(tmp_path, scale, is_taken):
    dataset(tmp_path, (64, 64, 64))
    save_volume(tmp_path / "mag2", noise((32, 32, 32)), name="ex_mag2")
    (tmp_path / "mag2" / "knossos.conf").write_text(conf_text((32, 32, 32), scale, 2, name="ex_mag2"))
    assert (Mag(2, 2, 2) in layer(tmp_path).mags) == is_taken
    told = "mag2 left out: its knossos.conf says 18 x 18 x 20 nm, where the finest mag's makes 18 x 18 x 40 nm of it"
    assert (told in notes_of(tmp_path)) != is_taken


def test_a_statement_that_is_made_twice_or_in_another_unit_is_warned_of(tmp_path):
    dataset(tmp_path, scale=(0.009, 9, 20))
    path = tmp_path / "mag1" / "knossos.conf"
    path.write_text(path.read_text() + "scale y 11;\nscale z 20;\n")
    told = notes_of(tmp_path)
    assert "scale x 0.009 is taken as nm, and is less than an atom measures" in told
    assert "scale y 11 takes the place of 9" in told
    assert "scale z" not in told
