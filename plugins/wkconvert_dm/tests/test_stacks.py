"""Folders of slices: their order, gaps, and slices that differ."""

import pickle

import numpy as np
import pytest
from dm_files import detect, image, layer, source, volume, voxels, write

from wkconvert_core import BrokenSource, InconsistentStack, OptionError, SourceNotFound, UnsupportedSource
from wkconvert_core.testing import noise

SLICES = noise(12, 6, 5, dtype="uint16")


@pytest.fixture
def stack(tmp_path):
    """Writes slices into a folder, each under its name."""

    def write_all(named, folder="stack", **more):
        target = tmp_path / folder
        target.mkdir(exist_ok=True)
        for name, one in named.items():
            write(target / name, one if isinstance(one, dict) else image(one), **more)
        return target

    return write_all


def numbered(numbers, pattern="s{}.dm3"):
    return {pattern.format(number): SLICES[number] for number in numbers}


def test_slices_come_in_the_order_of_their_numbers(stack):
    folder = stack(numbered(range(12)))
    np.testing.assert_array_equal(voxels(folder), volume(SLICES))
    assert source(folder).info.notes == ()


def test_versions_and_byte_orders_may_be_mixed(stack):
    stack(numbered(range(0, 12, 3)))
    stack(numbered(range(1, 12, 3), "s{}.dm4"), version=4)
    folder = stack(numbered(range(2, 12, 3)), order=">")
    np.testing.assert_array_equal(voxels(folder), volume(SLICES))


def test_other_entries_are_ignored_with_a_note(stack):
    folder = stack(numbered(range(12), "s{:03}.DM3"))
    (folder / "notes.txt").write_text("nothing")
    (folder / "old").mkdir()
    (folder / ".s5.dm3").write_text("hidden")
    (folder / "Thumbs.db").write_text("litter")
    assert source(folder).info.notes == ("other files ignored: notes.txt", "folders ignored: old")
    np.testing.assert_array_equal(voxels(folder), volume(SLICES))


def test_a_linked_file_is_a_file(stack, tmp_path):
    stack(numbered(range(12)), "real")
    folder = stack({})
    for path in (tmp_path / "real").iterdir():
        (folder / path.name).symlink_to(path)
    np.testing.assert_array_equal(voxels(folder), volume(SLICES))
    (tmp_path / "real" / "s7.dm3").unlink()
    with pytest.raises(SourceNotFound, match=r"s7\.dm3 cannot be read"):
        source(folder)


def test_a_link_in_a_loop_is_named_where_it_should_be_a_slice(stack):
    folder = stack(numbered(range(11)))
    for name, target in (("a", "b"), ("b", "a")):
        (folder / name).symlink_to(target)
    assert detect(folder).reason == "11 DM files"
    assert source(folder).info.notes == ("other files ignored: a, b",)
    (folder / "s11.dm3").symlink_to("s11.dm3")
    assert detect(folder).reason == "12 DM files"
    with pytest.raises(BrokenSource, match=r"s11\.dm3 cannot be read"):
        source(folder)


def test_the_chunk_of_a_stack_is_its_longest(stack):
    folder = stack({"s0.dm3": noise(2, 5000), "s1.dm3": noise(2, 5000, dtype="uint16")})
    assert source(folder, mix_dtypes=True).info.chunk_shape == (4096, 1, 1)


def test_a_gap_is_an_error_until_it_is_said_what_to_do(stack):
    folder = stack(numbered([0, 1, 4, 6, 11]))
    with pytest.raises(InconsistentStack, match=r"missing in .*stack: 2-3, 5, 7-10 \(7 in all\)"):
        source(folder)
    closed = volume(SLICES[[0, 1, 4, 6, 11]])
    np.testing.assert_array_equal(voxels(folder, gaps="close"), closed)
    filled = SLICES.copy()
    filled[[2, 3, 5, 7, 8, 9, 10]] = 0
    np.testing.assert_array_equal(voxels(folder, gaps="fill"), volume(filled))
    assert source(folder, gaps="fill").info.notes == (
        "7 missing slices are filled with zeros: z 2-3, 5, 7-10, counted from 0",
    )


def test_a_number_that_accompanies_another_does_not_count(stack):
    named = {f"s{number}_t{number * 37}.dm3": one for number, one in enumerate(SLICES)}
    np.testing.assert_array_equal(voxels(stack(named)), volume(SLICES))


def test_a_slice_that_was_taken_twice_does_not_make_its_time_the_number_that_counts(stack):
    folder = stack({f"s{s}_t{t}.dm3": SLICES[s] for s, t in [(1, 10), (2, 20), (3, 30), (3, 31)]})
    with pytest.raises(InconsistentStack, match=r"have the number 3: s3_t30\.dm3 and s3_t31\.dm3"):
        source(folder)


def test_frames_of_a_film_are_slices_only_if_that_is_said(stack):
    folder = stack({f"Second_{n // 4:02}_Frame_{n % 4:04}.dm3": one for n, one in enumerate(SLICES)})
    with pytest.raises(UnsupportedSource, match="count 12 time points") as caught:
        source(folder)
    assert "-o names=z" in caught.value.fix
    np.testing.assert_array_equal(voxels(folder, names="z"), volume(SLICES))
    np.testing.assert_array_equal(voxels(folder, timepoint=6), volume(SLICES[6:7]))
    assert pickle.loads(pickle.dumps(source(folder, timepoint=6))) == source(folder, timepoint=6)


def test_two_slices_with_one_number_are_refused_or_taken_as_they_come(stack):
    folder = stack({"s1.dm3": SLICES[0], "s01.dm3": SLICES[1], "s2.dm3": SLICES[2]})
    with pytest.raises(InconsistentStack, match=r"have the number 1: s01\.dm3 and s1\.dm3"):
        source(folder)
    np.testing.assert_array_equal(voxels(folder, gaps="close"), volume(SLICES[[1, 0, 2]]))


def test_names_that_are_no_numbering_are_not_filled_up(stack):
    folder = stack({"s1.dm3": SLICES[0], "s20000000.dm3": SLICES[1]})
    with pytest.raises(InconsistentStack, match="so many cannot be filled"):
        source(folder, gaps="fill")


def test_slices_that_differ_in_size_are_named_until_padded(stack):
    folder = stack(numbered(range(3)) | {"s3.dm3": SLICES[3, :4, :2]})
    with pytest.raises(InconsistentStack, match=r"differ in size: s3\.dm3 \(2 x 4\).*3 of 4 are 5 x 6.*--pad"):
        source(folder)
    expected = SLICES[:4].copy()
    expected[3, 4:] = expected[3, :, 2:] = 0
    np.testing.assert_array_equal(voxels(folder, pad=True), volume(expected))
    assert source(folder, pad=True).info.notes == ("smaller slices padded with zeros to 5 x 6",)


def test_slices_that_differ_in_dtype_are_named_until_a_common_one_is_asked_for(stack):
    folder = stack(numbered(range(3)) | {"s3.dm3": noise(6, 5, dtype="int16")})
    with pytest.raises(InconsistentStack, match=r"differ in dtype: s3\.dm3 \(int16\).*3 of 4 are uint16.*--dtype"):
        source(folder)
    found = voxels(folder, mix_dtypes=True)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found[..., :3], volume(SLICES[:3]))
    np.testing.assert_array_equal(found[..., 3:], volume(noise(6, 5, dtype="int16")))
    assert source(folder, mix_dtypes=True).info.notes == ("slices of different dtypes become int32",)


def test_truth_values_and_numbers_do_not_mix(stack):
    folder = stack(numbered(range(2)) | {"s2.dm3": noise(6, 5, dtype="bool")})
    with pytest.raises(UnsupportedSource, match=r"no common dtype.*bool, uint16"):
        source(folder, mix_dtypes=True)


def test_grey_and_colour_do_not_mix(stack):
    folder = stack(numbered(range(2)) | {"s2.dm3": image(noise(6, 5, dtype="int32"), 23)})
    with pytest.raises(InconsistentStack, match=r"differ in their channels: s2\.dm3 \(in colour\).*2 of 3 are grey"):
        source(folder, mix_dtypes=True)


def test_colours_make_a_stack(stack):
    stored = noise(3, 6, 5, dtype="int32")
    folder = stack({f"s{number}.dm3": image(one, 23) for number, one in enumerate(stored)})
    found = layer(folder)
    assert found.category == "color"
    expected = np.concatenate([volume(stored >> shift & 255) for shift in (16, 8, 0)])
    np.testing.assert_array_equal(voxels(folder), expected)


def test_components_of_complex_slices_make_a_stack(stack):
    stored = noise(3, 6, 5, dtype="complex64")
    folder = stack({f"s{number}.dm3": one for number, one in enumerate(stored)})
    np.testing.assert_array_equal(voxels(folder, component="real"), volume(stored.real))
    with pytest.raises(UnsupportedSource, match=r"s0\.dm3 holds complex"):
        source(folder)


def test_volumes_in_one_folder_are_declined_and_one_alone_is_read(stack):
    folder = stack({"a1.dm3": SLICES[:3]})
    (folder / "notes.txt").write_text("nothing")
    np.testing.assert_array_equal(voxels(folder), volume(SLICES[:3]))
    assert source(folder).info.notes == ("other files ignored: notes.txt",)
    stack({"a2.dm3": SLICES[:2]})
    with pytest.raises(UnsupportedSource, match=r"several slices each: a1\.dm3 \(5 x 6 x 3, uint16\), a2"):
        source(folder)


def test_an_object_is_chosen_in_every_file(stack, tmp_path):
    folder = stack({})
    for number in range(3):
        write(folder / f"s{number}.dm3", image(SLICES[number]), image(SLICES[number + 3]))
    np.testing.assert_array_equal(voxels(folder, object=1), volume(SLICES[3:6]))
    with pytest.raises(UnsupportedSource, match=r"s0\.dm3 holds 2 data sets"):
        source(folder)
    with pytest.raises(OptionError, match=r"s0\.dm3 has no object 2"):
        source(folder, object=2)


def test_the_first_voxel_size_counts_and_others_are_noted(stack):
    sized = {f"s{n}.dm3": image(SLICES[n], scales=[(4 + (n == 2), "nm"), (4, "nm")]) for n in range(3)}
    info = source(stack(sized)).info
    assert (info.voxel_size.size, info.voxel_size.unit) == ((4, 4, None), "nm")
    assert info.notes == ("1 of 3 files give another voxel size (5 x 4 x ? nm); the first counts",)


def test_a_folder_without_dm_files_is_said_to_be_that(tmp_path):
    with pytest.raises(SourceNotFound, match=r"holds no DM files.*\.dm3 or \.dm4"):
        source(tmp_path)


def test_a_broken_slice_is_named(stack):
    folder = stack(numbered(range(4)))
    content = (folder / "s2.dm3").read_bytes()
    (folder / "s2.dm3").write_bytes(content[: len(content) // 2])
    with pytest.raises(BrokenSource, match=r"s2\.dm3 is cut short"):
        source(folder)


def test_files_that_come_or_change_are_noticed(stack):
    folder = stack(numbered(range(4)))
    of = source(folder)
    of.read(of.info.box)
    write(folder / "s3.dm3", image(SLICES[3].astype("float64")))
    with pytest.raises(BrokenSource, match=r"s3\.dm3 has changed since it was opened"):
        of.read(of.info.box)
    other = source(stack(numbered(range(4)), "other"))
    write(stack({}, "other") / "s4.dm3", image(SLICES[4]))
    with pytest.raises(BrokenSource, match="other has changed since it was opened"):
        other.read(other.info.box)


def test_a_long_stack_is_a_small_value(stack):
    folder = stack(numbered([*range(12)]) | {f"s{n}.dm3": SLICES[0] for n in range(12, 300)})
    assert len(pickle.dumps(source(folder))) < 2000


def test_reading_again_parses_no_header_again(stack, monkeypatch):
    from wkconvert_dm import images

    of = source(stack(numbered(range(12))))
    monkeypatch.setattr(images, "read_tags", None)
    np.testing.assert_array_equal(of.read(of.info.box), volume(SLICES))
