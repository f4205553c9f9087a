"""Names in which several numbers run: a stack, or the tiles of slices."""

import pytest
import tifffile
from pictures_of import layers, source

from wkconvert_core import UnsupportedSource
from wkconvert_core.testing import noise

SLICE = noise(5, 6)


def stack_named(folder, names):
    folder.mkdir()
    for name in names:
        tifffile.imwrite(folder / name, SLICE)
    return folder


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        ([f"{y}_{x}.tif" for y in range(3) for x in range(4)], "{y}_{x}.tif"),
        (["5_0_0.tif", "5_0_1.tif", "5_0_2.tif", "5_1_0.tif", "5_1_1.tif"], "5_{y}_{x}.tif"),
        ([f"w{w}_s{s}.tif" for w in (1, 2) for s in (1, 2)], "w{y}_s{x}.tif"),
        ([f"{z}_{y}_{x}.tif" for z in (1, 2) for y in (1, 2) for x in (1, 2)], "{z}_{y}_{x}.tif"),
    ],
    ids=["grid", "sparse", "wafers", "volume"],
)
def test_two_running_numbers_are_a_stack_with_a_note_that_they_may_be_tiles(tmp_path, names, pattern):
    folder = stack_named(tmp_path / "a", names)
    assert source(folder).info.shape[2] == len(names)
    (note,) = source(folder).info.notes
    assert "taken as one stack, in natural order" in note
    assert f"-o pattern={pattern} (needs wkconvert[tiles])" in note


@pytest.mark.parametrize(
    "names",
    [
        [f"w{s // 3}_s{s}.tif" for s in range(9)],
        [f"s{s}_{s * 17}ms.tif" for s in range(9)],
        [f"em2019_s{s}.tif" for s in range(9)],
        [f"x7_y7_z{z}.tif" for z in range(3)],
        ["only_1_2.tif"],
    ],
    ids=["counting on", "time", "one runs", "one place", "one file"],
)
def test_names_in_which_one_number_counts_have_no_such_note(tmp_path, names):
    assert not [note for note in source(stack_named(tmp_path / "a", names)).info.notes if "numbers run" in note]


@pytest.mark.parametrize("name", ["z{z}_y{y}_x{x}.tif", "row-{y} col-{x} {z}.tif"])
def test_names_that_say_x_and_y_are_tiles_and_no_stack_unless_taken_as_they_come(tmp_path, name):
    names = [name.format(x=x, y=y, z=z) for x in (1, 2) for y in (1, 2) for z in (1, 2)]
    folder = stack_named(tmp_path / "a", names)
    with pytest.raises(UnsupportedSource, match=r"holds tiles: .* say x and y") as caught:
        layers(folder)
    assert "-o pattern=" + name.replace("{z}.tif", "1.tif" if "row" in name else "{z}.tif") in caught.value.fix
    assert source(folder, gaps="close").info.shape[2] == 8
