"""What running numbers count: names as microscopes, scanners and programs give them, and what becomes of them."""

import itertools
import string
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import InconsistentStack, OptionError, UnsupportedSource, WarningNote
from wkconvert_core.toolkit.stacks import Naming, channel_stacks, natural_key


def named(pattern, /, **axes):
    """Every name that a pattern makes of some values for each of its fields, in natural order."""
    made = (pattern.format(**dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values()))
    return sorted(made, key=natural_key)


def stacks(files, gaps="error", preview=(), **naming):
    return channel_stacks("here", files, gaps, Naming(**naming), lambda name: name in preview)


N = range
PLAIN = {
    "slices": named("s{z:03}.png", z=N(9)),
    "CT": named("brain_rec{z:08}.bmp", z=N(120, 129)),
    "Xradia": named("recon_{z:04}.tiff", z=N(1, 12)),
    "VGStudio": named("head {z:03}.tif", z=N(9)),
    "batch rename": named("slice ({z}).tif", z=N(1, 12)),
    "date and run": named("2024_05_17_run3_{z:04}.tif", z=N(9)),
    "FIB-SEM": named("FIB_20240101_{z:04}.tif", z=N(9)),
    "AutoSlice": named("SEM Image - SliceImage - {z:03}.tif", z=N(9)),
    "Atlas": [f"channel0_slice_{z:04}_z={z * 0.01:.3f}um.tif" for z in N(9)],
    "with depth in um": [f"slice_{z:04}_z={z * 12.5}um.tif" for z in N(9)],
    "decimals": [f"z{z * 0.5:.1f}_t1.0.tif" for z in N(9)],
    "wafers counting on": [f"w{z // 3}_s{z:03}.tif" for z in N(9)],
    "series counting on": [f"series{z // 4}_{z:04}.tif" for z in N(9)],
    "time stamps": [f"s{z:03}_{1700000000 + 61 * z + z * z}.tif" for z in N(9)],
    "time in t": [f"s{z}_t{37 * z}.tif" for z in N(9)],
    "stage position": [f"s{z:03}_x{(z * 7919) % 101}_y{(z * 104729) % 97}.tif" for z in N(9)],
    "date and time": [f"2024-05-17_12-{30 + z // 60:02}-{z % 60:02}_{z:05}.tif" for z in N(0, 200, 1)],
    "scan and page": named("00001_{z:05}.tif", z=N(9)),
    "ScanImage": named("mouse_00001_{z:05}.tif", z=N(1, 5)),
    "of so many": named("stack_{z}_of_300.tif", z=N(1, 301)),
    "row constant": named("z{z:02}_y0_x0.png", z=N(5)),
    "many c": named("c{z:04}.tif", z=N(40)),
    "pages": named("p{z:03}.tif", z=N(5)),
    "frames": named("frame{z:03}.tif", z=N(5)),
    "depth in decimals": [f"slice_{z / 4:.2f}.tif" for z in N(9)],
    "Schnitte": named("Schnitt{z}.tif", z=N(4)),
    "files": named("f{z}.tif", z=N(5)),
    "planes": named("plane_{z}.tif", z=N(5)),
    "x alone": named("x{z:03}.tif", z=N(5)),
    "one channel": named("a_z{z:02}_ch00.tif", z=N(5)),
    "one dye": named("DAPI_{z:03}.tif", z=N(5)),
    "one well": named("A01_z{z}.tif", z=N(5)),
    "micro-manager": named("img_000000000_DAPI_{z:03}.tif", z=N(5)),
    "section and repeat": named("mouse12_region3_section{z:03}.tif", z=N(5)),
    "upper case": named("SLICE{z:03}.TIF", z=N(5)),
    "letters": ["a.tif", "b.tif", "c.tif"],
    "one file": ["a_1_2.tif"],
}


@pytest.mark.parametrize("names", PLAIN.values(), ids=PLAIN)
def test_plain_stacks_are_one_stack_in_the_order_of_their_slices_without_a_warning(names):
    found = stacks(names)
    assert found.channels == {"": tuple(names)}
    assert not found.notes


CHANNELS = {
    "Leica": (named("Series012_z{z:02}_ch{c:02}.tif", z=N(4), c=N(3)), ["channel0", "channel1", "channel2"]),
    "Leica 2": (named("a_t0_z{z}_ch{c}_s0.tif", z=N(4), c=N(2)), ["channel0", "channel1"]),
    "ZEISS": (named("a_z{z:02}c{c}.tif", z=N(1, 5), c=N(1, 3)), ["channel1", "channel2"]),
    "ZEN": (named("a_b0t0c{c}z{z}m0x0-1024y0-1024.tif", c=N(2), z=N(4)), ["channel0", "channel1"]),
    "Operetta": (named("r01c01f01p{z:02}-ch{c}sk1fk1fl1.tiff", z=N(1, 5), c=N(1, 3)), ["channel1", "channel2"]),
    "Yokogawa": (
        [f"Plate_C02_T0001F001L01A0{c}Z{z:02}C0{c}.tif" for z in N(1, 5) for c in N(1, 3)],
        ["channel1", "channel2"],
    ),
    "Micro-Manager 1": (named("img_000000000_{c}_{z:03}.tif", c=["DAPI", "GFP"], z=N(4)), ["DAPI", "GFP"]),
    "its own names": (named("img_000000000_{c}_{z:03}.tif", c=["mine", "yours"], z=N(4)), ["mine", "yours"]),
    "Micro-Manager 2": (
        named("img_channel{c:03}_position000_time000000000_z{z:03}.tif", c=N(2), z=N(4)),
        ["channel0", "channel1"],
    ),
    "MetaMorph": (named("exp_{c}_t1_z{z}.TIF", c=["w1DAPI", "w2Confocal 561"], z=N(4)), ["DAPI", "Confocal 561"]),
    "Nikon": (named("xy01z{z}c{c}.tif", z=N(4), c=N(1, 3)), ["channel1", "channel2"]),
    "NIS names": (named("Point01_Channel{c}_Z{z}.tif", c=["DAPI", "FITC"], z=N(4)), ["DAPI", "FITC"]),
    "Olympus": (named("s_C{c:03}Z{z:03}.tif", c=N(1, 3), z=N(4)), ["channel1", "channel2"]),
    "Keyence": (named("Image_00001_Z{z:03}_CH{c}.tif", z=N(1, 5), c=[1, 2]), ["channel1", "channel2"]),
    "UltraMicroscope": (
        named("UltraII[00 x 00]_C{c:02}_xyz-Table Z{z:04}.tif", c=N(2), z=N(4)),
        ["channel0", "channel1"],
    ),
    "dyes": (named("z{z:03}_{c}.tif", z=N(4), c=["DAPI", "GFP", "mCherry"]), ["DAPI", "GFP", "mCherry"]),
    "dyes first": (named("{c}_{z:03}.tif", z=N(4), c=["DAPI", "Cy5", "TexasRed"]), ["Cy5", "DAPI", "TexasRed"]),
    "numbered dyes": (named("z{z:03}_Cy{c}.tif", z=N(4), c=[3, 5]), ["Cy3", "Cy5"]),
    "unknown beside known": (named("z{z:03}_{c}.tif", z=N(4), c=["DAPI", "myosin"]), ["DAPI", "myosin"]),
    "lasers": (named("z{z}_{c}nm.tif", z=N(4), c=[405, 488]), ["channel405", "channel488"]),
    "letters of colours": (named("x_{c}{z:03}.tif", c="rgb", z=N(4)), ["r", "g", "b"]),
    "colours": (named("s{z:03}_{c}.tif", z=N(4), c=["blue", "green", "red"]), ["blue", "green", "red"]),
    "Thor": (named("Chan{c}_0001_0001_{z:04}_0001.tif", c="AB", z=N(4)), ["ChanA", "ChanB"]),
    "sites with identifiers": (
        [f"p_A01_z{z}_s1_w{c}{uuid.uuid5(uuid.NAMESPACE_OID, f'{c}{z}')}.tif".upper() for z in N(4) for c in (1, 2)],
        ["channel1", "channel2"],
    ),
    "numbered and named": (
        [f"z{z}_ch{n}-{c}.tif" for z in N(4) for n, c in enumerate(["DAPI", "GFP"])],
        ["DAPI", "GFP"],
    ),
    "no word for depth": (named("{z:04}_ch{c}.tif", z=N(4), c=N(2)), ["channel0", "channel1"]),
    "all files counted": ([f"img_{n:04}_ch{n % 2}.tif" for n in N(8)], ["channel0", "channel1"]),
    "with a time stamp": (
        [f"a_z{z}_ch{c}_{1700 + 13 * z + 5 * c}.tif" for z in N(4) for c in N(2)],
        ["channel0", "channel1"],
    ),
}


@pytest.mark.parametrize(("names", "expected"), CHANNELS.values(), ids=CHANNELS)
def test_channels_are_stacks_of_their_own(names, expected):
    names = sorted(names, key=natural_key)
    found = stacks(names)
    assert sorted(found.channels) == sorted(expected)
    assert {len(slices) for slices in found.channels.values()} == {4}
    for slices in found.channels.values():
        assert list(slices) == [name for name in names if name in slices]  # each in its order
    assert sorted(name for slices in found.channels.values() for name in slices) == sorted(names)


@pytest.mark.parametrize("word", ["_TL", " BF", "-DIC"])
def test_names_without_the_word_of_a_channel_are_a_channel_beside_it(word):
    names = [f"s{z:03}{end}.tif" for z in N(4) for end in ("", word)]
    assert stacks(sorted(names, key=natural_key)).channels == {
        "unnamed": tuple(names[::2]),
        word[1:]: tuple(names[1::2]),
    }


@pytest.mark.parametrize("word", ["_mask", "_Simple Segmentation", "_copy"])
def test_names_with_and_without_an_unknown_word_are_channels_if_that_is_said(word):
    names = sorted((f"s{z:03}{end}.tif" for z in N(4) for end in ("", word)), key=natural_key)
    with pytest.raises(InconsistentStack, match="-o names=z,channel"):
        stacks(names)
    assert list(stacks(names, names="z,channel").channels) == ["unnamed", word[1:]]
    with pytest.raises(InconsistentStack, match="named in 2 ways") as caught:
        stacks([name for name in names if name != f"s002{word}.tif"])
    assert "channel" not in caught.value.fix


@pytest.mark.parametrize(
    "names",
    [named("ch{c}.tif", c=N(3)), named("img_c{c}.tif", c=N(1, 4)), named("{c}.tif", c=["DAPI", "FITC", "Cy3"])],
    ids=["ch", "c", "dyes"],
)
def test_names_that_count_channels_alone_are_layers_of_one_slice(names):
    assert [len(slices) for slices in stacks(names).channels.values()] == [1, 1, 1]


CHOICES = {
    "times": (named("a_t{t:03}_z{z:02}.tif", t=N(3), z=N(4)), {"timepoint": 1}, ["3 time points (t 0, 1, 2)"]),
    "minutes": (named("{t}min.tif", t=N(3)), {"timepoint": 2}, ["3 time points", "-o names=z"]),
    "a time series": (
        named("TSeries-001_Cycle00001_Ch1_{t:06}.tif", t=N(1, 4)),
        {"timepoint": 2},
        ["3 time points (1, 2, 3)", "-o names=z"],
    ),
    "time lapse": (named("timelapse-{t:03}.tif", t=N(3)), {"timepoint": 2}, ["3 time points"]),
    "times alone": (named("t{t:03}.tif", t=N(5)), {"timepoint": 4}, ["5 time points (t 0, 1, 2, 3, 4)", "-o names=z"]),
    "positions": (named("pos{p}_{z:02}.tif", p=[1, 2], z=N(4)), {"position": 2}, ["2 positions (pos 1, 2)"]),
    "sites": (named("s{p}_z{z:02}.tif", p=[1, 2], z=N(4)), {"position": 2}, ["2 positions (s 1, 2)"]),
    "multipoint": (named("xy{p:02}z{z}c1t001.tif", p=[1, 2], z=N(4)), {"position": 2}, ["2 positions (xy 1, 2)"]),
    "tiles in a row": (named("Tile_{p:03}.tif", p=N(3)), {"position": 0}, ["3 positions (tile 0, 1, 2)"]),
    "scenes": (named("a_scene{p}_z{z}.tif", p=[1, 2], z=N(4)), {"position": 1}, ["2 positions (scene 1, 2)"]),
    "views": (named("spim_TL0_Angle{p}_z{z}.tif", p=[0, 90], z=N(4)), {"position": 90}, ["2 positions (angle 0, 90)"]),
    "Micro-Manager": (
        named("img_channel000_position{p:03}_time{t:09}_z{z:03}.tif", p=N(2), t=N(3), z=N(4)),
        {"position": 1, "timepoint": 2},
        ["2 positions", "3 time points", "-o position=0 -o timepoint=0"],
    ),
    "Micro-Manager 1": (named("img_{t:09}_DAPI_{z:03}.tif", t=N(2), z=N(3)), {"timepoint": 0}, ["2 time points"]),
    "ImageXpress": (named("x_w1_s{s}_t{t}.TIF", s=[1, 2], t=[1, 2]), {"position": 1, "timepoint": 2}, ["2 positions"]),
    "wells": (named("{r}{c:02}_z{z}.tif", r="AB", c=[1, 2], z=N(4)), {"well": "B2"}, ["4 wells (A1, A2, B1, B2)"]),
    "wells by a word": (named("well{p}_z{z}.tif", p=[1, 2], z=N(4)), {"well": "2"}, ["2 wells (1, 2)"]),
    "wells in other languages": (
        named("Puits_{r}{c}_z{z}.tif", r="AB", c=[1, 2], z=N(4)),
        {"well": "B2"},
        ["4 wells (A1, A2, B1, B2)"],
    ),
    "a row of wells": (named("Brunnen A{c:02}.tif", c=[1, 2]), {"well": "A1"}, ["2 wells (A1, A2)"]),
    "a row of Operetta": (named("r01c{c:02}f01p01-ch1.tiff", c=[1, 2]), {"well": "C2"}, ["2 wells (C1, C2)"]),
    "wells alone": (named("P_{r}{c:02}.tif", r="AB", c=[1, 2]), {"well": "a01"}, ["4 wells"]),
    "InCell": (named("{r} - {c}(fld 1 z {z}).tif", r="AB", c=[1, 2], z=N(4)), {"well": "A1"}, ["4 wells"]),
    "Operetta": (
        named("r{r:02}c{c:02}f{f:02}p{z:02}-ch1sk1fk1fl1.tiff", r=[1, 2], c=[1, 2], f=[1, 2], z=N(1, 4)),
        {"well": "r01c02", "position": 2},
        ["4 wells (R1C1, R1C2, R2C1, R2C2)", "2 positions (f 1, 2)"],
    ),
    "fields of Operetta": (named("r01c01f{f:02}p01-ch1sk1fk1fl1.tiff", f=[1, 2]), {"position": 2}, ["2 positions"]),
    "times of Operetta": (named("r01c01f01p01-ch1sk{t}fk1fl1.tiff", t=[1, 2]), {"timepoint": 2}, ["2 time points"]),
    "sites of ImageXpress": (named("Plate_A01_s{s}_w1.TIF", s=[1, 2]), {"position": 2}, ["2 positions (s 1, 2)"]),
    "times of Yokogawa": (named("A01_T0001F001L{t:02}A01Z01C01.tif", t=[1, 2]), {"timepoint": 1}, ["2 time points"]),
    "positions of ScanR": (
        named("a--W00001--P{p:05}--Z00000--T00000--DAPI.tif", p=N(3)),
        {"position": 2},
        ["3 positions (p 0, 1, 2)"],
    ),
    "points of NIS": (
        [f"Point{p:04}_Seq{n:04}.tif" for n, p in enumerate((0, 2, 5))],
        {"position": 2},
        ["3 positions (point 0, 2, 5)"],
    ),
    "times of ThorImage": (named("ChanA_0001_0001_0001_{t:04}.tif", t=[1, 2]), {"timepoint": 2}, ["2 time points"]),
    "tiles of ZEN": (named("Scan_m{m:02}_ORG.tif", m=N(3)), {"position": 1}, ["3 positions (m 0, 1, 2)"]),
    "times and a counter": (
        [f"exp_t{t:03}_{t:04}.tif" for t in N(3)],
        {"timepoint": 1},
        ["3 time points (t 0, 1, 2)", "-o names=z"],
    ),
    "a counter and positions": (
        [f"exp_{p:04}_pos{p + 1}.tif" for p in N(3)],
        {"position": 3},
        ["3 positions (pos 1, 2, 3)"],
    ),
    "SBEMimage": (named("x_g0000_t{t:04}_s{z:05}.tif", t=N(2), z=N(4)), {"position": 1}, ["2 positions (t 0, 1)"]),
    "Incucyte": (named("VID9_A1_1_0{d}d{h:02}h00m.tif", d=N(2), h=[0, 6]), {"timepoint": 3}, ["4 time points (0: 0-0"]),
    "steps of Prairie": (
        named("T-001_Cycle{t:05}_Ch1_{z:06}.tif", t=N(2), z=N(4)),
        {"timepoint": 1},
        ["2 time points"],
    ),
}


@pytest.mark.parametrize(("names", "choice", "said"), CHOICES.values(), ids=CHOICES)
def test_of_times_positions_and_wells_one_is_chosen(names, choice, said):
    with pytest.raises(UnsupportedSource) as caught:
        stacks(names)
    for text in (*said, *(f"-o {option}=" for option in choice)):
        assert text in str(caught.value)
    found = stacks(names, **choice)
    (slices,) = found.channels.values()
    assert found.used == set(choice)
    assert slices
    assert set(slices) < set(names)
    with pytest.raises(OptionError, match="does not exist in here"):
        stacks(names, **choice | {next(iter(choice)): 77})


def test_what_is_chosen_is_what_the_names_say():
    names = named("a_t{t}_z{z}_ch{c}.tif", t=[3, 5], z=N(3), c=N(2))
    assert stacks(names, timepoint=5).channels == {
        f"channel{c}": tuple(f"a_t5_z{z}_ch{c}.tif" for z in N(3)) for c in N(2)
    }
    wells = named("r{r:02}c{c:02}f01p{z:02}-ch1.tiff", r=[1, 2], c=[1, 11], z=N(2))
    assert stacks(wells, well="R1C11").channels == {"": ("r01c11f01p00-ch1.tiff", "r01c11f01p01-ch1.tiff")}


DOUBTS = {
    "run and slice": named("run{r}_s{z:04}.tif", r=[1, 2], z=N(4)),
    "two numbers": named("a_{y}_{x}.tif", y=N(3), x=N(4)),
    "scan and page": named("{a:05}_{b:05}.tif", a=N(3), b=N(3)),
    "unfinished": named("5_{y}_{x}.tif", y=N(3), x=N(4))[:-1],
    "three numbers": named("{a}_{b}_{c}.tif", a=[1, 2], b=[1, 2], c=[1, 2]),
    "DICOM": named("IMG-{a:04}-{b:05}.jpg", a=[1, 2], b=N(9)),
    "z and another": named("z{z}_{c}.tif", z=N(4), c=[405, 488]),
    "slices and planes": named("slice{s:02}_z{z:02}.tif", s=N(3), z=N(4)),
    "tile and a number": named("Tile_{a:03}_{b:03}.tif", a=N(3), b=N(4)),
    "wafers": named("W{w:02}_Sec{s:03}.tif", w=[1, 2], s=N(4)),
    "a hundred channels": named("ch{c:03}.tif", c=N(100)),
    "column alone": named("z{z}_col{c}.tif", z=N(3), c=N(3)),
    "words": named("{a}_{z}.tif", a=["em", "labels"], z=N(3)),
    "words alone": ["em.tif", "labels.tif"],
}


@pytest.mark.parametrize("names", DOUBTS.values(), ids=DOUBTS)
def test_numbers_of_which_nothing_says_what_they_count_are_asked_for(names):
    with pytest.raises(UnsupportedSource, match="is not clear") as caught:
        stacks(names)
    example = caught.value.fix.split("-o names=")[1].split()[0]
    try:  # the remedy is one
        found = stacks(names, "fill", names=example)
    except UnsupportedSource as error:
        assert "choose, for example" in error.fix  # noqa: PT017 - what is left is a choice among what the words said
    else:
        assert sorted(name for slices in found.channels.values() for name in slices if name) == sorted(names)
    assert stacks(names, names="z").channels == {"": tuple(names)}


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("z{z}_y{y}_x{x}.png", "z{z}_y{y}_x{x}.png"),
        ("Tile_r{y:03}_c{x:03}.tif", "Tile_r{y}_c{x}.tif"),
        ("row-{y} col-{x}.tif", "row-{y} col-{x}.tif"),
        ("row-{y} col-{x} {z}.tif", "row-{y} col-{x} {z}.tif"),
    ],
)
def test_rows_and_columns_are_tiles(pattern, shown):
    fields = {field: N(2) for field in "zyx" if f"{{{field}" in pattern}
    with pytest.raises(UnsupportedSource, match="holds tiles") as caught:
        stacks(named(pattern, **fields))
    assert f"-o pattern={shown} (needs wkconvert[tiles])" in caught.value.fix


@pytest.mark.parametrize("count", [8, 300])
@pytest.mark.parametrize(
    "copy",
    [
        "s003 (1)",
        "s003 - Copy",
        "s003 - Copy (2)",
        "s003_old",
        "s003~",
        "copy of s003",
        "s003_backup",
        "s003 Kopie",
        "s003.bak",
        "s003_v2",
        "new_s003",
        "s003 (conflicted copy 2024-01-01)",
        "s003-edited",
        "Copy (2) of s003",
    ],
)
def test_a_copy_of_a_slice_is_named_with_its_original(count, copy):
    names = sorted([*named("s{z:03}.png", z=N(count)), f"{copy}.png"], key=natural_key)
    for gaps in ("error", "fill", "close"):
        with pytest.raises(InconsistentStack, match="twice, it seems") as caught:
            stacks(names, gaps)
        assert "s003.png" in caught.value.what
        assert f"{copy}.png" in caught.value.what
    assert stacks(names, names="z").channels == {"": tuple(names)}


def test_a_copy_of_every_slice_is_not_taken_for_slices_either():
    names = named("s{z:03}{c}.png", z=N(8), c=["", "_old"])
    with pytest.raises(InconsistentStack, match=r"s000\.png.*s000_old\.png"):
        stacks(names)


@pytest.mark.parametrize("preview", ["H 1-4_rec_spr.bmp", "thumb.bmp", "overview.bmp"])
def test_a_preview_is_left_out(preview):
    names = named("H 1-4_rec{z:08}.bmp", z=N(120, 128))
    found = stacks([*names, preview], preview=[preview])
    assert found.channels == {"": tuple(names)}
    assert found.left_out == (preview,)


@pytest.mark.parametrize(("stray", "preview"), [("maximum.tif", []), ("overview1.tif", ["overview1.tif"])])
def test_a_file_named_unlike_the_others_is_an_error_if_it_may_be_a_slice(stray, preview):
    names = named("s{z:03}.tif", z=N(12))
    with pytest.raises(InconsistentStack, match=f"unlike the others: {stray}"):
        stacks([stray, *names], preview=preview)
    assert stacks([stray, *names], names="z").channels[""] == (stray, *names)


def test_a_longer_number_does_not_make_a_copy():
    with pytest.raises(InconsistentStack, match=r"unlike the others: s0031_x\.png"):
        stacks([*named("s{z:03}.png", z=N(8)), "s0031_x.png"])


def test_slices_are_in_the_order_of_their_numbers_whatever_stands_before():
    places = {n: (n * 7919) % 101 for n in N(12)}
    names = sorted((f"at{place}_s{n:03}.tif" for n, place in places.items()), key=natural_key)
    assert stacks(names).channels == {"": tuple(f"at{places[n]}_s{n:03}.tif" for n in N(12))}
    names = sorted((f"at{place}_img{n:03}_ch{n % 2}.tif" for n, place in places.items()), key=natural_key)
    assert stacks(names).channels["channel1"] == tuple(f"at{places[n]}_img{n:03}_ch1.tif" for n in N(1, 12, 2))


def test_a_hole_in_a_count_of_all_files_is_one_although_no_channel_has_more_slices_than_another():
    names = [f"img_{n:04}_ch{n % 2}.tif" for n in N(12) if n not in (4, 5)]
    with pytest.raises(InconsistentStack, match=r"missing in here: 4-5 \(2 in all\)"):
        stacks(names)


def test_series_of_different_names_are_no_stack():
    names = [*named("left{z}.tif", z=N(5)), *named("right{z}_b.tif", z=N(5))]
    with pytest.raises(InconsistentStack, match=r"named in 2 ways: left0\.tif \(5\); right0_b\.tif \(5\)"):
        stacks(names)


@pytest.mark.parametrize(
    ("names", "step"),
    [
        (named("slice_{z:04}um.tif", z=N(0, 200, 25)), None),
        (["slice_0000um.tif", "slice_0025um.tif"], None),
        (named("{z:06}.tif", z=N(0, 90, 10)), 10),
        ([f"z={z}.tif" for z in ("0.00", "0.25", "0.50", "0.75")], None),
    ],
)
def test_a_regular_step_is_no_hole(names, step):
    found = stacks(names)
    assert found.channels == {"": tuple(names)}
    assert [note for note in found.notes if "in steps of" in note] == (
        [f"the numbers in the names rise in steps of {step}: taken as consecutive slices"] if step else []
    )


def test_holes_among_steps_are_holes():
    names = [name for name in named("slice_{z:04}um.tif", z=N(0, 300, 25)) if "0075" not in name and "0200" not in name]
    with pytest.raises(InconsistentStack, match=r"missing in here: 75, 200 \(2 in all\)"):
        stacks(names)
    (filled,) = stacks(names, "fill").channels.values()
    assert [at for at, name in enumerate(filled) if name is None] == [3, 8]
    decimals = [f"z={z}um.tif" for z in ("0.0", "2.5", "5.0", "10.0")]
    with pytest.raises(InconsistentStack, match=r"missing in here: 7\.5 \(1 in all\)"):
        stacks(decimals)


def test_two_files_of_one_slice_among_channels_are_not_taken_as_they_come():
    names = sorted([*named("z{z}_{c}.tif", z=N(3), c=["DAPI", "GFP"]), "z01_GFP.tif"], key=natural_key)
    for gaps in ("error", "close"):
        with pytest.raises(InconsistentStack, match=r"z01_GFP\.tif and z1_GFP\.tif"):
            stacks(names, gaps)


def test_a_channel_that_lacks_a_slice_is_named():
    names = [name for name in named("z{z}_{c}.tif", z=N(6), c=["DAPI", "GFP"]) if name != "z3_GFP.tif"]
    for gaps in ("error", "close"):  # closed up, the channels would no longer fit
        with pytest.raises(InconsistentStack, match="missing in here: GFP lacks 3"):
            stacks(names, gaps)
    found = stacks(names, "fill").channels
    assert found["GFP"][3] is None
    assert found["DAPI"][3] == "z3_DAPI.tif"


def test_times_of_day_are_in_the_order_of_their_days():
    days = {16: [160345, 193001, 235959], 17: [11, 1502, 160346], 18: [20]}
    names = [f"Merlin_15-06-{day}_{time:06}.png" for day, times in days.items() for time in times]
    found = stacks(names)
    assert found.channels == {"": tuple(names)}
    assert found.notes == ("2 numbers run in the names: taken as one stack, in their order",)
    two_days = [name for name in names if "-18_" not in name]
    assert stacks(two_days).channels == {"": tuple(two_days)}
    clock = [f"{hour:02}-{minute:02}-{second:02}.tif" for hour, minute, second in [(9, 58, 7), (9, 59, 1), (10, 0, 33)]]
    assert stacks(clock).channels == {"": tuple(clock)}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("depth", "a number cannot count"),
        ("z,channel,time", "has 3 words, and 2 numbers run"),
        ("channel", "has 1 words, and 2 numbers run"),
    ],
)
def test_what_is_said_about_names_must_fit_them(said, message):
    with pytest.raises(OptionError, match=message):
        stacks(DOUBTS["two numbers"], names=said)


def test_what_is_said_about_names_is_said_from_left_to_right():
    names = named("{a}_{z}.tif", a=["em", "seg"], z=N(3))
    assert stacks(names, names="channel,z").channels == {
        "em": ("em_0.tif", "em_1.tif", "em_2.tif"),
        "seg": ("seg_0.tif", "seg_1.tif", "seg_2.tif"),
    }
    names = named("t{t}_{a}_z{z}.tif", t=N(2), a=["em", "seg"], z=N(3))
    assert stacks(names, names="time,channel,z", timepoint=1).channels["seg"] == (
        "t1_seg_z0.tif",
        "t1_seg_z1.tif",
        "t1_seg_z2.tif",
    )


def test_what_is_said_about_names_counts():
    names = named("a_{y}_{x}.tif", y=N(3), x=N(2))
    assert stacks(names, names="z,channel").channels == {
        f"channel{x}": tuple(f"a_{y}_{x}.tif" for y in N(3)) for x in N(2)
    }
    assert stacks(names, names="time,z", timepoint=1).channels == {"": ("a_1_0.tif", "a_1_1.tif")}
    assert stacks(named("t{t}.tif", t=N(3)), names="z").channels == {"": ("t0.tif", "t1.tif", "t2.tif")}
    with pytest.raises(InconsistentStack, match="missing"):
        stacks(["t0.tif", "t1.tif", "t3.tif"], names="z")
    with pytest.raises(InconsistentStack, match="two slices in here have the number 0"):
        stacks(names, names="z,-")


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(2, 4), st.integers(2, 5), st.integers(2, 6)),
    order=st.permutations(["t", "z", "ch"]),
    widths=st.tuples(*[st.integers(1, 4)] * 3),
    prefix=st.text(string.ascii_lowercase, max_size=5),
    separator=st.sampled_from(["_", "-", " ", "."]),
    start=st.integers(0, 3),
)
def test_words_say_what_numbers_count_whatever_their_order_width_and_separator(
    sizes, order, widths, prefix, separator, start
):
    counts = dict(zip(["t", "z", "ch"], sizes, strict=True))
    width = dict(zip(["t", "z", "ch"], widths, strict=True))

    def name(**at):
        return separator.join([prefix + "x", *(f"{word}{at[word]:0{width[word]}}" for word in order)]) + ".tif"

    numbers = {word: N(start, start + count) for word, count in counts.items()}
    names = sorted(
        (name(t=t, z=z, ch=ch) for t in numbers["t"] for z in numbers["z"] for ch in numbers["ch"]), key=natural_key
    )
    with pytest.raises(UnsupportedSource, match="time points"):
        stacks(names)
    assert stacks(names, timepoint=start + 1).channels == {
        f"channel{ch}": tuple(name(t=start + 1, z=z, ch=ch) for z in numbers["z"]) for ch in numbers["ch"]
    }


PIECES = [
    "z",
    "_ch",
    "t",
    "_",
    "-",
    ".",
    " ",
    "s",
    "A",
    "B",
    "DAPI",
    "GFP",
    "Cy",
    "w",
    "0",
    "1",
    "2",
    "03",
    "12",
    "007",
    "um",
    "nm",
]
PIECES += ["r", "c", "x", "y", "tile", "(1)", " - Copy", "=", "h", "img_", "000000000", "é", "٣"]


@settings(max_examples=100, deadline=None)
@given(
    names=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join), min_size=1, max_size=9),
    gaps=st.sampled_from(["error", "fill", "close"]),
    said=st.sampled_from([None, "z", "z,channel", "time", "channel,-"]),
)
def test_any_names_are_taken_whole_or_refused_in_words(names, gaps, said):
    names = sorted({f"{name}.tif" for name in names}, key=natural_key)
    try:
        found = stacks(names, gaps, preview=names[-1:], names=said)
    except (InconsistentStack, UnsupportedSource, OptionError) as error:
        assert error.fix  # noqa: PT017 - names may as well be taken
        return
    taken = [name for slices in found.channels.values() for name in slices if name is not None]
    assert sorted([*taken, *found.left_out]) == sorted(names)
    assert len({len(slices) for slices in found.channels.values()}) == 1


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(0, 200),
    count=st.integers(3, 40),
    width=st.integers(1, 6),
    before=st.sampled_from(["", "s", "slice_", "2024-05-17 run 3_", "em_4x4x35_", "Image ", "A1_", "c2_t3_", "x0_y0_"]),
    behind=st.sampled_from(["", "_rec", " (1)", "_8bit", "_DAPI", "_inverted"]),
)
def test_one_running_number_is_depth_whatever_stands_around_it(first, count, width, before, behind):
    names = [f"{before}{n:0{width}}{behind}.tif" for n in range(first, first + count)]
    found = stacks(sorted(names, key=natural_key))
    assert found.channels == {"": tuple(names)}
    assert not found.notes


@pytest.mark.parametrize("pattern", ["Exp_w{}.tif", "img_cam{}.tif", "img_camera{}.tif", "a_laser{}.tif"])
def test_few_numbers_of_a_channel_word_alone_are_layers_and_many_are_slices(pattern):
    assert stacks([pattern.format(c) for c in (1, 2)]).channels == {f"channel{c}": (pattern.format(c),) for c in (1, 2)}
    many = [pattern.format(c) for c in N(1, 40)]
    assert stacks(many).channels == {"": tuple(many)}


ALONE = [
    "Zeit0{}",
    "Zeitpunkt_0{}",
    "temps_0{}",
    "tiempo0{}",
    "Stunde_0{}",
    "day0{}",
    "Tag_0{}",
    "0{}hpf",
    "0{}dpf",
    "cycle0{}",
]


@pytest.mark.parametrize(
    ("pattern", "option"), [*((p, "timepoint") for p in ALONE), ("Kachel_0{}", "position"), ("Mosaic_0{}", "position")]
)
def test_times_and_places_alone_are_asked_about_in_other_languages_too(pattern, option):
    names = [f"{pattern.format(n)}.tif" for n in (1, 2, 3)]
    with pytest.raises(UnsupportedSource, match=f"-o {option}=1"):
        stacks(names)
    assert stacks(names, **{option: 2}).channels == {"": (names[1],)}


RARELY = ["tilt_0{}", "projection_0{}", "0{}kV", "sub-0{}", "patient0{}", "rot{}", "lambda_{}", "{}keV", "a_{}mW"]


@pytest.mark.parametrize("pattern", [*RARELY, "mouse{}", "im_level{}", "2024-05-0{}_a", "a2024050{}", "2024.05.0{}"])
def test_what_is_rarely_a_depth_is_taken_for_one_with_a_warning(pattern):
    names = [f"{pattern.format(n)}.tif" for n in (1, 2, 3)]
    found = stacks(names)
    assert found.channels == {"": tuple(names)}
    assert [type(note) for note in found.notes] == [WarningNote]
    assert "taken as depth" in found.notes[0]
    assert not stacks(names, names="z").notes


@pytest.mark.parametrize("word", ["c", "w"])
def test_many_channels_of_one_slice_that_a_letter_says_are_warned_of(word):
    names = [f"a_{word}{number}.tif" for number in range(1, 13)]
    found = stacks(names)
    assert len(found.channels) == 12
    assert [type(note) for note in found.notes] == [WarningNote]
    assert "taken as channels of one slice: if they are slices, say -o names=z" in found.notes[0]
    assert stacks(names, names="z").channels == {"": tuple(names)}
    assert not stacks(names[:5]).notes
    assert not stacks([name.replace(word, "ch") for name in names]).notes


def test_names_of_one_day_or_with_a_running_number_beside_their_days_are_not_warned_of():
    for names in (["2024-05-01_1.tif", "2024-05-01_2.tif"], ["s1_2024-05-01.tif", "s2_2024-05-02.tif"]):
        assert not stacks(names).notes


@pytest.mark.parametrize("pattern", ["s_{}_of_12", "s{}of012", "{} of 12"])
def test_names_that_say_how_many_there_are_are_believed(pattern):
    names = [f"{pattern.format(number)}.tif" for number in range(1, 13)]
    assert not stacks(names).notes
    assert stacks(names[:10]).notes == ("the names say that there are 12 slices, and 10 are here",)


def test_exposures_are_no_time_points():
    with pytest.raises(UnsupportedSource, match="it is not clear what the names in here count"):
        stacks([f"z0{z}_exp{ms}ms.tif" for z in N(3) for ms in (1, 5)])


@pytest.mark.parametrize(("pattern", "words"), [("s00{}_{}.tif", ["BSE", "SE"]), ("a{}-{}.tif", ["ESB", "InLens"])])
def test_detectors_of_electrons_are_channels(pattern, words):
    names = [pattern.format(z, word) for z in N(3) for word in words]
    assert stacks(names).channels == {word: tuple(pattern.format(z, word) for z in N(3)) for word in words}
    front = ["_".join(name.removesuffix(".tif").split("_")[::-1]) + ".tif" for name in names]
    assert set(stacks(sorted(front, key=natural_key)).channels) == set(words)


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("Tile_R{y}-C{x}_S_{z:03}.tif", "-o pattern=Tile_R{y}-C{x}_S_{z}.tif"),
        ("s{z:04}_r{y}-c{x}.tif", "-o pattern=s{z}_r{y}-c{x}.tif"),
        ("z{z}_n7_row{y}_col{x}.tif", "-o pattern=z{z}_n7_row{y}_col{x}.tif"),
    ],
)
def test_the_pattern_that_is_advised_for_tiles_has_their_slices(pattern, advice):
    with pytest.raises(UnsupportedSource) as caught:
        stacks(named(pattern, z=N(3), y=N(2), x=N(2)))
    assert advice in caught.value.fix
