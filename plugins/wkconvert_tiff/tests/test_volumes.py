"""Which page is which slice: plain files, ImageJ's, tifffile's, OME's."""

import itertools
import logging

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures_of import layers, source, volume, voxels

from wkconvert_core import BrokenSource, InconsistentStack, OptionError, SourceError, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise, read_checked

PLANES = noise(6, 5, 2, 21, 17, dtype="uint16")  # T, Z, C, Y, X


def write_pages(path, pages, **options):
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, **{"contiguous": False, "metadata": None, **options})


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"tile": (16, 16)}, {"metadata": {}}], ids=str)
def test_every_page_is_a_slice(tmp_path, options):
    pages = PLANES[:, 0, 0]
    write_pages(tmp_path / "a.tif", pages, **options)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*pages))


def test_thumbnails_and_masks_are_no_slices(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in PLANES[0, :, 0]:
            writer.write(page, metadata=None)
            writer.write(page[::2, ::2], metadata=None, subfiletype=1)
            writer.write(page > 100, metadata=None, subfiletype=4, photometric="mask")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*PLANES[0, :, 0]))


def test_a_pyramid_in_sub_directories_is_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANES[0, :, 0], subifds=1)
        writer.write(PLANES[0, :, 0, ::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*PLANES[0, :, 0]))


def test_a_pyramid_among_the_pages_is_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANES[0, :, 0])
        writer.write(PLANES[0, :, 0, ::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*PLANES[0, :, 0]))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"truncate": True}, {"byteorder": "<"}], ids=str)
def test_a_stack_that_tifffile_wrote_at_once(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", PLANES[:, 0, 0], **options)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*PLANES[:, 0, 0]))


@pytest.mark.parametrize("axes", ["XYZ", "ZXY", "YXZ"])
def test_pages_that_hold_other_axes_than_y_and_x_are_refused(tmp_path, axes):
    tifffile.imwrite(tmp_path / "a.tif", PLANES[:, 0, 0], metadata={"axes": axes})
    with pytest.raises(UnsupportedSource, match=f"its axes are {axes}"):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", axes="ZYX"), volume(*PLANES[:, 0, 0]))


def test_ome_xml_that_counts_fewer_planes_than_it_refers_to_drops_none(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANES[:, 0, 0], metadata={"axes": "ZYX"})
    text = tifffile.tiffcomment(tmp_path / "a.ome.tif")
    tifffile.tiffcomment(tmp_path / "a.ome.tif", text.replace('SizeZ="6"', 'SizeZ="5"').encode())
    with pytest.raises(UnsupportedSource, match="holds more than it says") as refused:
        layers(tmp_path / "a.ome.tif")
    assert "counts 5 pictures, the file has 6" in refused.value.why


def test_ome_xml_that_says_another_type_than_the_pages_is_warned_of(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANES[:, 0, 0], metadata={"axes": "ZYX"})
    assert not any("OME-XML says" in note for note in source(tmp_path / "a.ome.tif").info.notes)
    text = tifffile.tiffcomment(tmp_path / "a.ome.tif")
    tifffile.tiffcomment(tmp_path / "a.ome.tif", text.replace('Type="uint16"', 'Type="int16"').encode())
    told = [note for note in source(tmp_path / "a.ome.tif").info.notes if isinstance(note, WarningNote)]
    assert told == ["its OME-XML says int16, and the pages hold uint16, which is taken"]


def test_colours_of_several_pages(tmp_path):
    pages = noise(5, 21, 17, 3)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*pages))


def test_more_axes_than_a_volume_has_must_be_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANES[:, :, 0])
    with pytest.raises(UnsupportedSource, match=r"unnamed 6, unnamed 5"):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", axes="TZYX", timepoint=2), volume(*PLANES[2, :, 0]))
    by_channel = layers(tmp_path / "a.tif", axes="zcyx")
    np.testing.assert_array_equal(read_checked(by_channel[1].source), volume(*PLANES[:, 1, 0]))
    with pytest.raises(OptionError, match="6 x 5"):
        layers(tmp_path / "a.tif", axes="ZYX")


def test_several_series_must_be_chosen_from(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANES[0, :, 0])
        writer.write(PLANES[:, 0, 0])
    with pytest.raises(UnsupportedSource, match="0: 5 planes, 1: 6 planes"):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", series=1), volume(*PLANES[:, 0, 0]))
    with pytest.raises(OptionError, match="its series are 0 to 1"):
        layers(tmp_path / "a.tif", series=2)


IMAGEJ = {"imagej": True, "metadata": {"axes": "TZCYX"}}


@pytest.mark.parametrize("options", [{}, {"truncate": True}], ids=["a page each", "one page for all"])
def test_an_imagej_hyperstack(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", PLANES, **IMAGEJ, **options)
    with pytest.raises(UnsupportedSource, match="6 time points"):
        layers(tmp_path / "a.tif")
    for time in range(6):
        found = layers(tmp_path / "a.tif", timepoint=time)
        assert [layer.name for layer in found] == ["channel0", "channel1"]
        for channel, layer in enumerate(found):
            np.testing.assert_array_equal(read_checked(layer.source), volume(*PLANES[time, :, channel]))
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", timepoint=1, channel=1), volume(*PLANES[1, :, 1]))
    with pytest.raises(OptionError, match="its time points are 0 to 5"):
        layers(tmp_path / "a.tif", timepoint=6)
    with pytest.raises(OptionError, match="its series are 0 to 0"):
        layers(tmp_path / "a.tif", timepoint=0, series=1)
    with pytest.raises(OptionError, match="its channels are 0 to 1"):
        layers(tmp_path / "a.tif", timepoint=0, channel=2)


def test_frames_that_are_really_depth(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANES[:, 0, 0], imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(UnsupportedSource, match="axes=ZYX"):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", axes="ZYX"), volume(*PLANES[:, 0, 0]))
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", plain="yes"), volume(*PLANES[:, 0, 0]))


def test_colours_of_imagej(tmp_path):
    pages = noise(5, 21, 17, 3)
    tifffile.imwrite(tmp_path / "a.tif", pages, imagej=True, metadata={"axes": "ZYXS"})
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*pages))


@pytest.mark.parametrize("order", "<>")
def test_view_colours_of_imagej_are_its_lookup_tables(tmp_path, order):
    ramp = np.arange(256, dtype="uint8")
    tables = [np.stack([ramp * a, ramp * b, ramp * c]) for a, b, c in ((1, 0, 1), (0, 1, 1))]
    metadata = {"axes": "ZCYX", "LUTs": tables, "mode": "composite", "Labels": ["a", "section 2"], "Info": "µ"}
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0], imagej=True, byteorder=order, metadata=metadata)
    assert [layer.color for layer in layers(tmp_path / "a.tif")] == [(255, 0, 255), (0, 255, 255)]


@pytest.mark.parametrize(("tag", "value"), [(50838, 5), (50838, 10**6), (50839, 3), (50839, 2**31)])
def test_a_damaged_lookup_table_is_no_reason_to_refuse_a_picture(tmp_path, tag, value):
    metadata = {"axes": "ZCYX", "LUTs": [np.zeros((3, 256), "uint8")] * 2}
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0], imagej=True, byteorder="<", metadata=metadata)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        at = tiff.pages[0].tags[tag].valueoffset
    with (tmp_path / "a.tif").open("r+b") as file:
        file.seek(at)
        file.write(value.to_bytes(4, "little") * 2)
    assert [layer.color for layer in layers(tmp_path / "a.tif")] == [(255, 0, 0), (0, 255, 0)]


def test_an_imagej_stack_that_lost_its_end_is_not_a_shorter_one(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0, :, 0], imagej=True, truncate=True)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-100])
    with pytest.raises(BrokenSource, match=f"reach to byte .*, the file has {len(content) - 100} bytes.*-o plain=true"):
        layers(tmp_path / "a.tif")


def test_pages_added_to_an_imagej_stack_are_noticed(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANES[0, :, 0], description="ImageJ=1.53k\nslices=5\n", metadata=None, photometric="minisblack")
        writer.write(PLANES[0, :2, 1], metadata=None)
    with pytest.raises(UnsupportedSource, match=r"counts 5 pictures, the file has 7.*-o plain=true"):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", plain="true"), volume(*PLANES[0, :, 0], *PLANES[0, :2, 1]))


def test_pages_taken_from_an_imagej_stack_are_noticed(tmp_path):
    description = "ImageJ=1.53k\nimages=8\nslices=8\n"
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0, :, 0], description=description, metadata=None)
    with pytest.raises(BrokenSource, match=r"counts 8 pictures, the file has 5.*-o plain=true"):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", plain="true"), volume(*PLANES[0, :, 0]))


def test_colours_that_are_counted_as_channels_are_still_colours(tmp_path):
    pages = noise(5, 21, 17, 3)
    description = "ImageJ=\nimages=15\nchannels=3\nslices=5\n"  # as Bio-Formats writes it
    tifffile.imwrite(tmp_path / "a.tif", pages, description=description, metadata=None, photometric="rgb")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*pages))


OME_ORDERS = ["".join(order) for order in itertools.permutations("TZC")]


@pytest.mark.parametrize("order", OME_ORDERS)
def test_an_ome_tiff_in_every_order_of_its_planes(tmp_path, order):
    moved = PLANES.transpose(*("TZC".index(axis) for axis in order), 3, 4)
    channels = {"Name": ["DAPI", "GFP 488/µ"], "Color": [0x0000FFFF, 0x00FF00FF]}
    tifffile.imwrite(tmp_path / "a.ome.tif", moved, ome=True, metadata={"axes": f"{order}YX", "Channel": channels})
    with pytest.raises(UnsupportedSource, match="6 time points"):
        layers(tmp_path / "a.ome.tif")
    found = layers(tmp_path / "a.ome.tif", timepoint=3)
    assert [(layer.name, layer.color) for layer in found] == [("DAPI", (0, 0, 255)), ("GFP_488", (0, 255, 0))]
    for channel, layer in enumerate(found):
        np.testing.assert_array_equal(read_checked(layer.source), volume(*PLANES[3, :, channel]))


def test_colours_of_ome(tmp_path):
    pages = noise(3, 21, 17, 3)
    tifffile.imwrite(tmp_path / "a.ome.tif", pages, ome=True, photometric="rgb", metadata={"axes": "ZYXS"})
    np.testing.assert_array_equal(voxels(tmp_path / "a.ome.tif"), volume(*pages))


def test_several_images_of_ome_must_be_chosen_from(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(PLANES[0, :, 0], metadata={"axes": "ZYX", "Name": "overview"})
        writer.write(PLANES[0, 0, 0], metadata={"axes": "YX", "Name": "label"})
    with pytest.raises(UnsupportedSource, match="0: overview, 17 x 21 x 5; 1: label"):
        layers(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.ome.tif", series=1), volume(PLANES[0, 0, 0]))


SET = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="17" SizeY="21" SizeZ="5"
SizeC="2" SizeT="1"><Channel ID="Channel:0:0"/><Channel ID="Channel:0:1"/>{planes}</Pixels></Image></OME>"""
PART = '<TiffData FirstC="{c}" IFD="0" PlaneCount="5"><UUID FileName="{name}">urn:uuid:{c}</UUID></TiffData>'


@pytest.fixture
def ome_set(tmp_path):
    """Two files, a channel each, that describe one another."""
    names = ["c0.ome.tif", "c1.ome.tif"]
    planes = "".join(PART.format(c=c, name=name) for c, name in enumerate(names))
    for c, name in enumerate(names):
        description = SET.format(uuid=c, planes=planes)
        tifffile.imwrite(tmp_path / name, PLANES[0, :, c], description=description, metadata=None)
    return tmp_path


@pytest.mark.parametrize("start", ["c0.ome.tif", "c1.ome.tif", "."])
def test_a_set_of_ome_files_is_one_image_wherever_one_begins(ome_set, start):
    found = layers(ome_set / start)
    assert len(found) == 2
    for channel, layer in enumerate(found):
        np.testing.assert_array_equal(read_checked(layer.source), volume(*PLANES[0, :, channel]))


def test_a_file_that_is_missing_from_a_set_is_named(ome_set):
    (ome_set / "c1.ome.tif").unlink()
    with pytest.raises(InconsistentStack, match=r"slices are missing.*c1\.ome\.tif"):
        layers(ome_set / "c0.ome.tif")
    first, second = layers(ome_set / "c0.ome.tif", gaps="fill")
    np.testing.assert_array_equal(read_checked(first.source), volume(*PLANES[0, :, 0]))
    assert not read_checked(second.source).any()
    is_told = ["missing slices are filled with zeros: z 0-" in "".join(it.source.info.notes) for it in (first, second)]
    assert is_told == [False, True]


def test_a_file_that_is_no_part_of_the_set_is_named(ome_set):
    tifffile.imwrite(ome_set / "other.tif", PLANES[0, 0, 0])
    with pytest.raises(InconsistentStack, match=r"other\.tif"):
        layers(ome_set)


def test_ome_refers_to_nothing_outside_of_its_folder(tmp_path):
    planes = PART.format(c=0, name="a.tif") + PART.format(c=1, name="../../etc/secret.tif")
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0, :, 0], description=SET.format(uuid=0, planes=planes), metadata=None)
    with pytest.raises(UnsupportedSource, match="only files in the same folder"):
        layers(tmp_path / "a.tif")


def test_a_renamed_ome_file_still_holds_its_own_planes(tmp_path):
    tifffile.imwrite(tmp_path / "old.ome.tif", PLANES[0], ome=True, metadata={"axes": "ZCYX"})
    (tmp_path / "old.ome.tif").rename(tmp_path / "new.ome.tif")
    found = layers(tmp_path / "new.ome.tif")
    np.testing.assert_array_equal(read_checked(found[1].source), volume(*PLANES[0, :, 1]))


@pytest.mark.parametrize(
    ("description", "error"),
    [
        ("<OME><Image><Pixels></Image></OME>", "OME-XML is damaged"),
        ('<OME><BinaryOnly MetadataFile="all.companion.ome"/></OME>', r"all\.companion\.ome"),
        ('<OME><Image><Pixels DimensionOrder="XYZ"/></Image></OME>', "axes as 'XYZ'"),
        ('<OME><Image><Pixels SizeZ="0"/></Image></OME>', "sizes"),
        ('<OME><Image><Pixels SizeZ="many"/></Image></OME>', "many"),
        ("<OME></OME>", "describes no image"),
        ('<OME><Image><Pixels SizeZ="99999999999"/></Image></OME>', "99999999999 planes"),
    ],
)
def test_ome_xml_that_makes_no_sense_is_refused_and_can_be_passed_over(tmp_path, description, error):
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0, :, 0], description=description, metadata=None)
    with pytest.raises((UnsupportedSource, BrokenSource), match=error):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", plain="1"), volume(*PLANES[0, :, 0]))


def test_a_chain_of_pages_that_leads_back_is_damage(tmp_path):
    write_pages(tmp_path / "a.tif", PLANES[0, :, 0])
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        last = tiff.pages[4].offset
        at = last + 2 + 12 * len(tiff.pages[4].tags)
        first = tiff.pages[0].offset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[at : at + 4] = first.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(BrokenSource, match="leads back"):
        layers(tmp_path / "a.tif")


@pytest.mark.parametrize("keep", [0.1, 0.4, 0.9])
def test_a_stack_cut_short_is_not_a_shorter_stack(tmp_path, keep):
    write_pages(tmp_path / "a.tif", PLANES[0, :, 0], compression="lzw")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BrokenSource, match=r"cut short.*the file has \d+ bytes"):
        layers(tmp_path / "a.tif")


def test_a_metamorph_stack_is_refused_rather_than_read_as_one_slice(tmp_path):
    tifffile.imwrite(tmp_path / "a.stk", PLANES[0, 0, 0], metadata=None, extratags=[(33629, "I", 12, (0,) * 12, True)])
    with pytest.raises(UnsupportedSource, match="MetaMorph stack of 12 planes"):
        layers(tmp_path / "a.stk")


def test_an_lsm_that_counts_other_times_than_it_has_pages_is_not_read_as_depth(tmp_path):
    header = np.array([0x00400494C, 28, 17, 21, 1, 1, 3], "<i4").tobytes()
    write_pages(tmp_path / "a.lsm", PLANES[0, :, 0], extratags=[(34412, "B", 28, header, True)])
    with pytest.raises(UnsupportedSource, match=r"Zeiss LSM counts 3 pictures, the file has 5.*-o planes="):
        layers(tmp_path / "a.lsm")


NUMBERS = ["1e400", "-1e400", "Infinity", "NaN", "1.5", "true", "null", '"21"', "{}", "[[]]", "-5", "0"]


@pytest.mark.parametrize("number", [*NUMBERS, "[" * 100_000, "9" * 5000], ids=lambda text: text[:9])
@pytest.mark.parametrize("place", ["first", "last", "shape", "axes"])
def test_a_shape_that_makes_no_sense_is_passed_over(tmp_path, number, place):
    shapes = {"first": f"[{number}, 21, 17]", "last": f"[5, 21, {number}]", "shape": number, "axes": "[5, 21, 17]"}
    axes = f', "axes": {number}' if place == "axes" else ""
    description = f'{{"shape": {shapes[place]}{axes}}}'
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0, :, 0], description=description, metadata=None)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*PLANES[0, :, 0]))


def test_series_that_announce_more_pages_than_there_are_are_cut_short(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANES[0, :, 0], metadata={})
        writer.write(PLANES[0, :2, 0], description='{"shape": [1000000000000, 21, 17]}', metadata=None)
    with pytest.raises(BrokenSource, match=r"series 1 counts 1000000000000 pictures, 2 are there.*-o plain=true"):
        layers(tmp_path / "a.tif", series=1)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", series=0), volume(*PLANES[0, :, 0]))


IMAGEJ_LINES = st.dictionaries(
    st.sampled_from(["images", "slices", "frames", "channels", "order", "unit", "spacing", "hyperstack", "yunit"]),
    st.sampled_from(
        ["", "0", "-3", "5", "1e400", "nan", "inf", "9" * 400, "9" * 5000, "zct", "\u0663", "um", "\\u00B5m"]
    ),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(IMAGEJ_LINES)
def test_odd_lines_of_imagej_raise_nothing_but_errors_of_ours(tmp_path, lines):
    text = "ImageJ=1.53t\n" + "".join(f"{key}={value}\n" for key, value in lines.items())
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0, :, 0], description=text.encode(), metadata=None, resolution=(4, 4))
    try:
        found = layers(tmp_path / "a.tif")
    except (SourceError, OptionError):
        return
    assert {layer.source.info.shape[:2] for layer in found} == {(17, 21)}


def test_tifffile_does_not_print_what_it_thinks_of_a_file(tmp_path, capsys):
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("tifffile").handlers)
    tifffile.imwrite(tmp_path / "a.tif", PLANES[0, 0, 0], compression="lzw", extratags=[(42113, "s", 0, "x", True)])
    source(tmp_path / "a.tif")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("images", [1, 6])
@pytest.mark.parametrize(
    ("cf", "numbers", "told"),
    [
        (0, {"c0": -1024, "c1": 0.5, "vunit": "HU"}, "value in HU = a + b*x, x the stored number, a = -1024, b = 0.5"),
        (0, {"c0": -32768, "c1": 1}, "value = a + b*x, x the stored number, a = -32768, b = 1"),
        (1, {"c0": 1, "c1": 2, "c2": 3}, "c = 3"),
        (7, {"c0": 1, "c1": 2}, "its function 7 of x"),
        (0, {"c0": 0, "c1": 1}, None),
        (20, {"c0": 5, "c1": 1}, None),
    ],
)
def test_the_calibration_of_imagej_is_told_as_it_is_left_out(tmp_path, images, cf, numbers, told):
    stack = noise(images, 21, 17, dtype="uint16")
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX", "cf": cf, **numbers})
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*stack))
    found = [note for note in source(tmp_path / "a.tif").info.notes if "calibration" in note]
    assert len(found) == (told is not None)
    for note in found:
        assert isinstance(note, WarningNote)
        assert told in note


def test_many_channels_of_one_slice_are_asked_about(tmp_path):
    stack = noise(60, 21, 17)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(UnsupportedSource, match=r"60 channels of one slice.*-o axes=ZYX for slices"):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", axes="ZYX"), volume(*stack))
    assert len(layers(tmp_path / "a.tif", axes="CYX")) == 60
    tifffile.imwrite(tmp_path / "b.tif", stack[:10], imagej=True, metadata={"axes": "CYX"})
    assert len(layers(tmp_path / "b.tif")) == 10


@pytest.mark.parametrize("further", [1, 3])
def test_pages_that_ome_does_not_announce_are_refused(tmp_path, further):
    stack = noise(6 + further, 21, 17)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(stack[:6], metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(voxels(tmp_path / "a.ome.tif"), volume(*stack[:6]))
    text = tifffile.tiffcomment(tmp_path / "a.ome.tif")
    with tifffile.TiffWriter(tmp_path / "b.ome.tif") as writer:
        for number, page in enumerate(stack):
            writer.write(page, contiguous=False, metadata=None, description=text if not number else None)
    with pytest.raises(UnsupportedSource, match=rf"counts 6 pictures, the file has {6 + further}.*-o plain=true"):
        layers(tmp_path / "b.ome.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "b.ome.tif", plain="true"), volume(*stack))


def test_axes_without_a_name_are_called_so(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(2, 6, 21, 17), photometric="minisblack")
    with pytest.raises(UnsupportedSource, match="more axes than a volume: unnamed 2, unnamed 6"):
        layers(tmp_path / "a.tif")
