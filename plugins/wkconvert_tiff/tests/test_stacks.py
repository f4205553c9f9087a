"""Folders of slices: their order, their gaps, and slices that do not fit together."""

import os
import pickle

import imagecodecs
import numpy as np
import pytest
import tifffile
from helpers.sources import whole
from pictures_of import detect, layers, source, volume, voxels
from PIL import Image

from wkconvert_core import Box, BrokenSource, InconsistentStack, SourceNotFound, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise, read_checked

SLICES = noise(12, 21, 17)


def test_slices_are_in_natural_order(stack):
    folder = stack(SLICES, tifffile.imwrite)
    np.testing.assert_array_equal(voxels(folder), volume(*SLICES))


@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg"])
def test_stacks_of_pictures(stack, suffix):
    folder = stack(SLICES, lambda path, one: Image.fromarray(one).save(path), f"s{{}}.{suffix}")
    expected = [np.asarray(Image.open(folder / f"s{i}.{suffix}")) for i in range(12)]
    np.testing.assert_array_equal(voxels(folder), volume(*expected))


def test_files_in_different_codings_make_one_stack(stack):
    options = [
        {},
        {"compression": "lzw"},
        {"tile": (16, 16)},
        {"byteorder": ">"},
        {"rowsperstrip": 3},
        {"bigtiff": True},
    ]
    kinds = iter(options * 2)
    folder = stack(SLICES, lambda path, one: tifffile.imwrite(path, one, **next(kinds)))
    np.testing.assert_array_equal(voxels(folder), volume(*SLICES))


def test_two_slices_of_one_number_are_refused_unless_taken_as_they_come(stack):
    folder = stack(SLICES[:3], tifffile.imwrite)
    tifffile.imwrite(folder / "s01.tif", SLICES[5])
    for gaps in ("error", "fill"):
        with pytest.raises(InconsistentStack, match=r"have the number 1: s01\.tif and s1\.tif"):
            layers(folder, gaps=gaps)
    assert source(folder, gaps="close").info.shape == (17, 21, 4)


def test_gaps_are_filled_with_zeros_or_closed(stack):
    folder = stack(SLICES[:6], tifffile.imwrite)
    for number in (1, 4):
        (folder / f"s{number}.tif").unlink()
    with pytest.raises(InconsistentStack, match=r"1, 4 \(2 in all\)"):
        layers(folder)
    filled = SLICES[:6].copy()
    filled[[1, 4]] = 0
    np.testing.assert_array_equal(voxels(folder, gaps="fill"), volume(*filled))
    told = "2 missing slices are filled with zeros: z 1, 4, counted from 0"
    assert told in source(folder, gaps="fill").info.notes
    np.testing.assert_array_equal(voxels(folder, gaps="close"), volume(*SLICES[[0, 2, 3, 5]]))
    assert told not in source(folder, gaps="close").info.notes


def test_time_stamps_are_not_filled_up(stack):
    folder = stack([], tifffile.imwrite)
    for stamp in (10, 1699999999):
        tifffile.imwrite(folder / f"s{stamp}.tif", SLICES[0])
    with pytest.raises(InconsistentStack, match="do not seem to count slices"):
        layers(folder, gaps="fill")


def test_slices_of_other_sizes_are_listed_or_padded(stack):
    pictures = [SLICES[0], SLICES[1, :9, :11], SLICES[2], noise(25, 10)]
    folder = stack(pictures, tifffile.imwrite, "s{}.tif")
    with pytest.raises(InconsistentStack, match=r"s1\.tif \(11 x 9\), s3\.tif \(10 x 25\)") as caught:
        layers(folder)
    assert "--pad" in caught.value.fix
    padded = np.zeros((4, 25, 17), "uint8")
    for target, picture in zip(padded, pictures, strict=True):
        target[: picture.shape[0], : picture.shape[1]] = picture
    np.testing.assert_array_equal(voxels(folder, pad="true"), volume(*padded))
    assert "padded with zeros to 17 x 25" in " ".join(source(folder, pad="true").info.notes)


def test_slices_of_other_dtypes_are_listed_or_brought_to_a_common_one(stack):
    pictures = [SLICES[0], SLICES[1], noise(21, 17, dtype="int16")]
    folder = stack(pictures, tifffile.imwrite)
    with pytest.raises(InconsistentStack, match=r"s2\.tif \(int16\)") as caught:
        layers(folder)
    assert "--dtype" in caught.value.fix
    assert source(folder, mix_dtypes=True).info.dtype == np.int16
    np.testing.assert_array_equal(voxels(folder, mix_dtypes=True), volume(*(one.astype("int16") for one in pictures)))


def test_1_bit_slices_among_grey_ones_are_black_and_white(stack):
    bits = noise(21, 17, dtype=bool)
    folder = stack([SLICES[0], SLICES[1]], lambda path, one: Image.fromarray(one).save(path), "s{}.png")
    Image.fromarray(bits).save(folder / "s2.png")
    with pytest.raises(InconsistentStack, match=r"s2\.png \(bool\)"):
        layers(folder)
    expected = volume(SLICES[0], SLICES[1], bits * np.uint8(255))
    np.testing.assert_array_equal(voxels(folder, mix_dtypes=True), expected)


def test_dtypes_without_an_exact_common_one_are_refused(stack):
    folder = stack([noise(8, 8, dtype="uint64"), noise(8, 8, dtype="int8")], tifffile.imwrite)
    with pytest.raises(UnsupportedSource, match="float64 does not hold every value of uint64"):
        layers(folder, mix_dtypes=True)


def test_grey_and_coloured_slices_do_not_mix(stack):
    folder = stack([noise(21, 17, 3), noise(21, 17, 3)], tifffile.imwrite)
    tifffile.imwrite(folder / "s2.tif", SLICES[0])
    with pytest.raises(InconsistentStack, match=r"s2\.tif \(grey\)"):
        layers(folder)


def test_a_slice_with_alpha_fits_those_without(stack):
    pictures = [noise(21, 17, 3), noise(21, 17, 4)]
    folder = stack(pictures, lambda path, one: tifffile.imwrite(path, one, photometric="rgb"))
    np.testing.assert_array_equal(voxels(folder), volume(*(one[..., :3] for one in pictures)))
    assert source(folder).info.notes == ("alpha dropped (1 of 2 slices)",)


def test_a_palette_that_happens_to_be_grey_fits_coloured_ones(stack):
    grey, colors = np.repeat(noise(256)[:, None], 3, 1), noise(256, 3)
    palettes = iter([grey, colors, grey])

    def save(path, one):
        picture = Image.frombytes("P", one.shape[::-1], one.tobytes())
        picture.putpalette(next(palettes).tobytes())
        picture.save(path)

    folder = stack(SLICES[:3], save, "s{}.png")
    expected = volume(*(palette[one] for palette, one in zip([grey, colors, grey], SLICES, strict=False)))
    np.testing.assert_array_equal(voxels(folder), expected)


def test_slices_turned_differently_fit_once_upright(stack):
    tags = iter([[], [(274, "H", 1, 6, True)]])
    folder = stack([SLICES[0], SLICES[1].T], lambda path, one: tifffile.imwrite(path, one, extratags=next(tags)))
    np.testing.assert_array_equal(voxels(folder), volume(SLICES[0], SLICES[1][:, ::-1]))


@pytest.mark.parametrize("name", ["s0.png", "s12.tif"])
def test_pictures_of_several_kinds_are_listed_whatever_their_names(stack, name):
    folder = stack(SLICES, tifffile.imwrite)
    Image.fromarray(SLICES[0]).save(folder / name, format="png")
    with pytest.raises(InconsistentStack, match=rf"TIFF: s0\.tif.* and 7 more; PNG: {name}"):
        layers(folder)


def test_pictures_of_one_kind_can_be_chosen_by_their_suffix(stack):
    folder = stack(SLICES, tifffile.imwrite)
    Image.fromarray(SLICES[0]).save(folder / "a.png")
    assert detect(folder).format == "pictures"
    np.testing.assert_array_equal(voxels(folder, reader="tiff", suffix="tif"), volume(*SLICES))
    np.testing.assert_array_equal(voxels(folder, suffix=".PNG"), volume(SLICES[0]))


def test_other_files_and_folders_are_noted(stack):
    folder = stack(SLICES[:3], tifffile.imwrite)
    (folder / "notes.txt").write_text("exposure 3 µs")
    (folder / "Thumbs.db").write_bytes(b"litter")
    (folder / ".hidden.tif").write_bytes(b"litter")
    (folder / "old").mkdir()
    tifffile.imwrite(folder / "old" / "s7.tif", SLICES[0])
    assert source(folder).info.notes == ("other files ignored: notes.txt", "folders ignored: old")
    assert source(folder).info.shape == (17, 21, 3)


def test_a_file_named_unlike_the_others_is_refused_unless_its_size_tells_a_preview(stack):
    folder = stack(SLICES, tifffile.imwrite)
    tifffile.imwrite(folder / "maximum.tif", SLICES[0])
    with pytest.raises(InconsistentStack, match=r"named unlike the others: maximum\.tif"):
        layers(folder)
    assert source(folder, names="z").info.shape[2] == 13
    tifffile.imwrite(folder / "maximum.tif", noise(30, 40))
    of = source(folder)
    (note,) = of.info.notes
    assert note == "left out, unlike the slices in name and size: maximum.tif"
    assert isinstance(note, WarningNote)
    np.testing.assert_array_equal(read_checked(of), volume(*SLICES))


def test_a_linked_file_is_a_file_and_a_link_to_nothing_is_an_error(stack, tmp_path):
    folder = stack(SLICES[:3], tifffile.imwrite)
    tifffile.imwrite(tmp_path / "elsewhere.tif", SLICES[3])
    (folder / "s3.tif").symlink_to(tmp_path / "elsewhere.tif")
    np.testing.assert_array_equal(voxels(folder), volume(*SLICES[:4]))
    (tmp_path / "elsewhere.tif").unlink()
    with pytest.raises(SourceNotFound, match=r"s3\.tif cannot be read"):
        layers(folder)


def test_a_link_to_its_own_folder_is_not_entered(stack):
    folder = stack(SLICES[:3], tifffile.imwrite)
    (folder / "loop.tif").symlink_to(folder)
    assert source(folder).info.shape == (17, 21, 3)


def test_a_link_in_a_loop_is_a_slice_that_cannot_be_opened(stack):
    folder = stack(SLICES[:3], tifffile.imwrite)
    (folder / "s3.tif").symlink_to("s3.tif")
    assert detect(folder).format == "tiff"
    with pytest.raises(BrokenSource, match=r"s3\.tif cannot be read"):
        layers(folder)


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode elsewhere")
def test_names_that_are_not_utf_8(stack):
    folder = stack([], tifffile.imwrite)
    for number in range(3):
        tifffile.imwrite(os.fsdecode(os.fsencode(folder) + b"/s\xff%d.tif" % number), SLICES[number])
    of = pickle.loads(pickle.dumps(source(folder)))
    np.testing.assert_array_equal(whole(of), volume(*SLICES[:3]))


def test_files_of_many_pages_are_refused_joined_or_layers(stack):
    folder = stack([SLICES[:5], SLICES[5:]], lambda path, one: tifffile.imwrite(path, one, metadata=None), "part{}.tif")
    with pytest.raises(UnsupportedSource, match=r"hold several pages each: part0\.tif, part1\.tif") as caught:
        layers(folder)
    assert "multipage=layers" in caught.value.fix
    np.testing.assert_array_equal(voxels(folder, multipage="join"), volume(*SLICES))
    first, second = layers(folder, multipage="layers")
    assert (first.name, second.name) == ("part0", "part1")
    np.testing.assert_array_equal(read_checked(first.source), volume(*SLICES[:5]))
    np.testing.assert_array_equal(read_checked(second.source), volume(*SLICES[5:]))


def test_a_folder_with_one_file_of_many_pages_is_that_volume(stack):
    folder = stack([SLICES], lambda path, one: tifffile.imwrite(path, one, metadata=None))
    np.testing.assert_array_equal(voxels(folder), volume(*SLICES))


def test_a_stack_of_files_with_a_page_for_each_channel(stack):
    slices = noise(4, 2, 21, 17, dtype="uint16")
    folder = stack(slices, lambda path, one: tifffile.imwrite(path, one, imagej=True, metadata={"axes": "CYX"}))
    found = layers(folder)
    assert [layer.color for layer in found] == [(255, 0, 0), (0, 255, 0)]
    for channel, layer in enumerate(found):
        np.testing.assert_array_equal(read_checked(layer.source), volume(*slices[:, channel]))


def test_files_with_a_thumbnail_each_make_a_stack(stack):
    def save(path, one):
        with tifffile.TiffWriter(path) as writer:
            writer.write(one[::2, ::2], subfiletype=1, metadata=None)
            writer.write(one, metadata=None)

    np.testing.assert_array_equal(voxels(stack(SLICES, save)), volume(*SLICES))


def test_a_source_is_small_when_pickled_however_many_slices_it_has(stack):
    folder = stack(SLICES, tifffile.imwrite, "a_rather_long_name_of_a_slice_{}.tif")
    (folder / "notes.txt").write_text("")
    of = source(folder)
    assert len(pickle.dumps(of)) < 1000
    again = pickle.loads(pickle.dumps(of))
    assert again == of
    np.testing.assert_array_equal(whole(again), whole(of))


def test_a_source_that_changed_is_not_read_as_if_it_had_not(stack):
    folder = stack(SLICES, tifffile.imwrite)
    of = pickle.loads(pickle.dumps(source(folder)))
    tifffile.imwrite(folder / "s12.tif", SLICES[0])
    with pytest.raises(BrokenSource, match="has changed since it was opened"):
        whole(of)
    (folder / "s12.tif").unlink()
    np.testing.assert_array_equal(whole(of), volume(*SLICES))
    tifffile.imwrite(folder / "s5.tif", SLICES[5].T)
    with pytest.raises(BrokenSource, match=r"slice 5: .*s5\.tif has changed"):
        whole(of)


def test_a_file_that_says_something_else_now_is_not_read_as_before(tmp_path):
    path = tmp_path / "a.tif"
    description = "ImageJ=1.53k\nimages=12\nchannels={}\nslices={:02}\n"
    tifffile.imwrite(path, SLICES, description=description.format(1, 12), metadata=None)
    of = pickle.loads(pickle.dumps(source(path)))
    size = path.stat().st_size
    tifffile.imwrite(path, SLICES, description=description.format(2, 6), metadata=None)
    os.utime(path, ns=(1, 1))
    assert path.stat().st_size == size
    with pytest.raises(BrokenSource, match="has changed since it was opened"):
        whole(of)


def test_a_file_written_anew_is_not_read_by_what_was_known_of_it(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", SLICES[0], metadata=None)
    of = source(tmp_path / "a.tif")
    whole(of)
    tifffile.imwrite(
        tmp_path / "b.tif", SLICES[1], byteorder=">", software="another place for the strip", metadata=None
    )
    os.utime(tmp_path / "b.tif", ns=(1, 1))
    (tmp_path / "b.tif").replace(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(SLICES[1]))


def test_no_more_is_read_than_the_box_needs(tmp_path, monkeypatch):
    """Of a tiled page the tiles that the box touches, of rows the rows."""
    from wkconvert_images import tiff_pixels

    read = []

    class Counting(tiff_pixels.FileIO):
        def readinto(self, buffer):
            read.append(len(buffer))
            return super().readinto(buffer)

    monkeypatch.setattr(tiff_pixels, "FileIO", Counting)
    picture = noise(1024, 1024)
    tifffile.imwrite(tmp_path / "tiled.tif", picture, tile=(128, 128))
    tifffile.imwrite(tmp_path / "strips.tif", picture, compression="lzw", rowsperstrip=16)
    tifffile.imwrite(tmp_path / "rows.tif", picture)
    box = Box((130, 130, 0), (100, 10, 1))
    for name, most in (("tiled", 128 * 128), ("strips", 2 * 16 * 1024 * 1.5), ("rows", 10 * 1024)):
        of = source(tmp_path / f"{name}.tif")
        read.clear()
        np.testing.assert_array_equal(of.read(box), volume(picture[130:140, 130:230]))
        assert 0 < sum(read) <= most, name


def test_wide_rows_are_not_read_from_end_to_end(tmp_path, monkeypatch):
    from wkconvert_images import tiff_pixels

    picture = noise(4, 100_000)
    tifffile.imwrite(tmp_path / "a.tif", picture)
    of = source(tmp_path / "a.tif")
    sizes = []

    class Counting(tiff_pixels.FileIO):
        def readinto(self, buffer):
            sizes.append(len(buffer))
            return super().readinto(buffer)

    monkeypatch.setattr(tiff_pixels, "FileIO", Counting)
    np.testing.assert_array_equal(of.read(Box((500, 0, 0), (100, 4, 1))), volume(picture[:, 500:600]))
    assert sum(sizes) == 400


def test_chunks_are_what_one_decode_yields(tmp_path):
    picture = noise(100, 2000)
    for options, chunk in [
        ({}, (1024, 1, 1)),
        ({"rowsperstrip": 8, "compression": "lzw"}, (2000, 8, 1)),
        ({"tile": (32, 64)}, (64, 32, 1)),
        ({"tile": (32, 64), "extratags": [(274, "H", 1, 6, True)]}, (32, 64, 1)),
    ]:
        tifffile.imwrite(tmp_path / "a.tif", picture, **options)
        assert source(tmp_path / "a.tif").info.chunk_shape == chunk
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(picture))
    assert source(tmp_path / "a.png").info.chunk_shape == (2000, 100, 1)


@pytest.mark.parametrize(("is_tiff", "suffix"), [(False, "tif"), (True, "png")])
def test_pictures_that_are_not_what_their_names_say_are_to_be_renamed(tmp_path, is_tiff, suffix):
    pictures = noise(3, 21, 17)
    kind = "tiff" if is_tiff else "png"
    for z, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"s{z}.{suffix}", format=kind)
    with pytest.raises(UnsupportedSource, match=rf"{kind.upper()}.*s0\.{suffix}.*rename them to \.{kind}"):
        layers(tmp_path)
    np.testing.assert_array_equal(voxels(tmp_path, suffix=suffix), volume(*pictures))
