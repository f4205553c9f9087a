"""Sets of OME-TIFF: which planes of which files belong to one image, wherever the XML lies."""

from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pictures_of import detect, layers, volume, voxels

from wkconvert_core import BrokenSource, InconsistentStack, SourceError, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise, read_checked
from wkconvert_tiff import wkconvert_detect

IMAGES = noise(3, 4, 2, 21, 17, dtype="uint16")  # image, time, channel, y, x
NAMES = {
    (image, time, channel): f"TSeries-001_Cycle{image + 1:05}_Ch{channel + 1}_{time + 1:06}.ome.tif"
    for image, time, channel in np.ndindex(IMAGES.shape[:3])
}


def xml(uuid="", names=NAMES):
    """OME-XML of all images; each file holds one plane."""
    images = []
    for image in range(3):
        data = "".join(
            f'<TiffData FirstC="{channel}" FirstT="{time}" FirstZ="0" IFD="0" PlaneCount="1">'
            f'<UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
            for (of, time, channel), name in names.items()
            if of == image
        )
        images.append(
            f'<Image ID="Image:{image}" Name="TSeries-001_Cycle{image + 1:05}"><Pixels ID="Pixels:{image}" '
            f'DimensionOrder="XYCZT" Type="uint16" SizeX="17" SizeY="21" SizeZ="1" SizeC="2" SizeT="4" '
            f'PhysicalSizeX="0.2" PhysicalSizeY="0.2"><Channel ID="a" Name="DAPI"/><Channel ID="b" Name="GFP"/>'
            f"{data}</Pixels></Image>"
        )
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0"?><OME xmlns="{schema}" UUID="urn:uuid:{uuid}">{"".join(images)}</OME>'


def binary_only(name):
    return f'<?xml version="1.0"?><OME><BinaryOnly MetadataFile="{name}" UUID="urn:uuid:0"/></OME>'


def in_each(folder):
    return {name: xml(name) for name in NAMES.values()}


def in_the_first(folder):
    first = NAMES[0, 0, 0]
    return {name: xml(name) if name == first else binary_only(first) for name in NAMES.values()}


def in_a_companion(folder):
    (folder / "all.companion.ome").write_text(xml())
    return {name: binary_only("all.companion.ome") for name in NAMES.values()}


def in_a_companion_alone(folder):
    (folder / "all.companion.ome").write_text(xml())
    return dict.fromkeys(NAMES.values())


def write_set(folder, described=in_each):
    descriptions = described(folder)
    for place, name in NAMES.items():
        tifffile.imwrite(folder / name, IMAGES[place], description=descriptions[name], metadata=None)
    return folder


GIVEN = [".", NAMES[0, 0, 0], NAMES[2, 3, 1]]


@pytest.mark.parametrize(
    ("described", "given"),
    [
        *((described, given) for described in (in_each, in_the_first, in_a_companion) for given in GIVEN),
        (in_a_companion, "all.companion.ome"),
        (in_a_companion_alone, "."),
        (in_a_companion_alone, "all.companion.ome"),
    ],
)
def test_images_times_and_channels_in_a_file_each(tmp_path, described, given):
    source = write_set(tmp_path, described) / given
    with pytest.raises(UnsupportedSource, match=r"0: TSeries-001_Cycle00001, 17 x 21 x 1, 2 channels, 4 time points;"):
        layers(source)
    with pytest.raises(UnsupportedSource, match="holds 4 time points"):
        layers(source, series=0)
    for series, timepoint in ((0, 1), (2, 3)):
        found = layers(source, series=series, timepoint=timepoint)
        assert [(layer.name, layer.color) for layer in found] == [("DAPI", (0, 0, 255)), ("GFP", (0, 255, 0))]
        for channel, layer in enumerate(found):
            np.testing.assert_array_equal(read_checked(layer.source), volume(IMAGES[series, timepoint, channel]))
            assert layer.source.info.voxel_size.size == (0.2, 0.2, None)


@pytest.mark.parametrize("described", [in_each, in_a_companion])
def test_files_of_other_images_belong_to_the_set_and_strangers_do_not(tmp_path, described):
    write_set(tmp_path, described)
    tifffile.imwrite(tmp_path / "overview.tif", IMAGES[0, 0, 0])
    with pytest.raises(InconsistentStack, match=r"more than one image: overview\.tif.*a set of 24 OME-TIFF files"):
        layers(tmp_path, series=0, timepoint=0)


def test_two_companions_are_asked_about(tmp_path):
    write_set(tmp_path, in_a_companion)
    (tmp_path / "other.companion.ome").write_text(xml())
    with pytest.raises(InconsistentStack, match=r"other\.companion\.ome"):
        layers(tmp_path, series=0, timepoint=0)


def test_the_companion_is_recognised_with_what_it_holds(tmp_path):
    write_set(tmp_path, in_a_companion)
    match = detect(tmp_path / "all.companion.ome")
    assert (match.format, match.reason) == ("tiff", "OME-XML of TIFF files beside it")
    (tmp_path / "text.companion.ome").write_text("notes")
    assert wkconvert_detect(tmp_path / "text.companion.ome", b"notes") is None


@pytest.mark.parametrize("described", [in_each, in_a_companion, in_a_companion_alone])
def test_a_plane_that_is_gone_is_named(tmp_path, described):
    write_set(tmp_path, described)
    gone = NAMES[0, 1, 1]
    (tmp_path / gone).unlink()
    with pytest.raises(InconsistentStack, match=f"slices are missing.*{gone}"):
        layers(tmp_path, series=0, timepoint=1)
    found = layers(tmp_path, series=0, timepoint=1, gaps="fill")
    assert not read_checked(found[1].source).any()
    assert any(isinstance(note, WarningNote) and gone in note for note in found[0].source.info.notes)


def test_a_companion_without_its_files_says_so(tmp_path):
    (tmp_path / "all.companion.ome").write_text(xml())
    with pytest.raises(UnsupportedSource, match=r"describes TIFF files that are not there: TSeries"):
        layers(tmp_path / "all.companion.ome")


def test_an_image_that_lies_in_one_other_file_is_read_from_there(tmp_path):
    names = {(image, time, channel): f"{image}.ome.tif" for image, time, channel in NAMES}
    described = xml("0.ome.tif", names).replace('IFD="0" PlaneCount="1"', 'PlaneCount="1"')
    described = described.replace("<TiffData ", '<TiffData IFD="{}" ').format(*(number % 8 for number in range(24)))
    for image in range(3):
        pages = IMAGES[image].reshape(8, 21, 17)
        tifffile.imwrite(tmp_path / f"{image}.ome.tif", pages, description=described, metadata=None)
    for place in (".", "0.ome.tif", "1.ome.tif"):
        found = layers(tmp_path / place, series=2, timepoint=1)
        np.testing.assert_array_equal(read_checked(found[1].source), volume(IMAGES[2, 1, 1]))


@pytest.mark.parametrize("name", ["", ".", "..", "../a.tif", "/etc/passwd", "a\\b.tif", "x" * 300, " "])
@pytest.mark.parametrize("is_companion", [True, False])
def test_names_that_lead_nowhere_are_errors_of_ours(tmp_path, name, is_companion):
    data = f'<TiffData FirstZ="0"><UUID FileName="{name}">u</UUID></TiffData>'
    data += '<TiffData FirstZ="1" IFD="0"><UUID FileName="a.ome.tif">v</UUID></TiffData>'
    text = f'<OME><Image><Pixels SizeX="17" SizeY="21" SizeZ="2">{data}</Pixels></Image></OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", IMAGES[0, 0, 0], description=text, metadata=None)
    (tmp_path / "a.companion.ome").write_text(text)
    with pytest.raises(SourceError):
        layers(tmp_path / ("a.companion.ome" if is_companion else "a.ome.tif"))


@pytest.mark.parametrize("name", ["", "..", "../up.companion.ome", "gone.companion.ome", "self.ome.tif"])
def test_xml_that_is_nowhere_is_said_with_its_place(tmp_path, name):
    tifffile.imwrite(tmp_path / "self.ome.tif", IMAGES[0, 0, 0], description=binary_only(name), metadata=None)
    with pytest.raises((UnsupportedSource, BrokenSource)) as caught:
        layers(tmp_path / "self.ome.tif")
    assert name in str(caught.value)
    np.testing.assert_array_equal(voxels(tmp_path / "self.ome.tif", plain="true"), volume(IMAGES[0, 0, 0]))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"<OME>", b"<OME/>", b"\xef\xbb\xbf<OME></OME>"])
def test_a_damaged_companion_is_an_error_of_ours(tmp_path, content):
    write_set(tmp_path, in_a_companion)
    (tmp_path / "all.companion.ome").write_bytes(content)
    for place in (".", "all.companion.ome", NAMES[0, 0, 0]):
        with pytest.raises(SourceError):
            layers(tmp_path / place, "tiff")


PLATE = (
    '<Plate ID="Plate:0"><Well ID="W:0" Row="0" Column="0"><WellSample ID="S:0"><ImageRef ID="Image:0"/></WellSample>'
    '<WellSample ID="S:1"><ImageRef ID="Image:1"/></WellSample></Well><Well ID="W:1" Row="1" Column="11">'
    '<WellSample ID="S:2"><ImageRef ID="Image:2"/></WellSample></Well></Plate>'
)


def test_images_of_a_plate_are_listed_with_their_wells(tmp_path):
    description = xml().replace("</OME>", f"{PLATE}</OME>")
    for place, name in NAMES.items():
        tifffile.imwrite(tmp_path / name, IMAGES[place], description=description, metadata=None)
    wells = "0: well A1, field 1, .*; 1: well A1, field 2, .*; 2: well B12, field 1, .*series=N"
    with pytest.raises(UnsupportedSource, match=wells):
        layers(tmp_path)
    found = layers(tmp_path, series=2, timepoint=0)
    np.testing.assert_array_equal(read_checked(found[0].source), volume(IMAGES[2, 0, 0]))


ODD = st.sampled_from(["", "-1", "0", "1e400", "9" * 400, "nan", "Z", "1.5", " 2", "\u0663", "true", "0x1"])
ATTRIBUTES = ["SizeZ", "SizeC", "SizeT", "FirstZ", "IFD", "PlaneCount", "SamplesPerPixel", "Color", "PhysicalSizeX"]
ATTRIBUTES += ["DimensionOrder", "FileName", "MetadataFile", "Row", "PhysicalSizeXUnit", "ID"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@example({"PlaneCount": "-1"})
@given(st.dictionaries(st.sampled_from(ATTRIBUTES), ODD, min_size=1, max_size=3))
def test_odd_values_in_ome_xml_raise_nothing_but_errors_of_ours(tmp_path, values):
    elements = {"Pixels": "Size DimensionOrder Physical", "TiffData": "First IFD PlaneCount", "UUID": "FileName"}
    elements |= {"Channel": "Color Samples", "Well": "Row", "Image": "ID"}

    def given_to(element):
        wanted = tuple(elements[element].split())
        return "".join(f' {name}="{value}"' for name, value in values.items() if name.startswith(wanted))

    text = (
        f'<OME><Image{given_to("Image")}><Pixels SizeX="17" SizeY="21"{given_to("Pixels")}>'
        f"<Channel{given_to('Channel')}/><TiffData{given_to('TiffData')}><UUID{given_to('UUID')}>u</UUID></TiffData>"
        f"<TiffData/></Pixels></Image><Plate><Well{given_to('Well')}/></Plate></OME>"
    )
    pages = IMAGES[0, :, 0]
    tifffile.imwrite(tmp_path / "a.ome.tif", pages, description=text.encode(), metadata=None, photometric="minisblack")
    with suppress(SourceError):
        assert all(layer.source.info.shape[:2] == (17, 21) for layer in layers(tmp_path / "a.ome.tif"))


def test_slices_that_each_hold_the_xml_of_the_whole_are_a_plain_stack(tmp_path):
    stack = noise(6, 21, 17)
    xml = (
        '<OME><Image><Pixels DimensionOrder="XYZCT" SizeX="17" SizeY="21" SizeZ="6" SizeC="1" SizeT="1"/></Image></OME>'
    )
    for z, picture in enumerate(stack):
        tifffile.imwrite(tmp_path / f"im_Z{z:03}.ome.tif", picture, description=xml, metadata=None)
    with pytest.raises(UnsupportedSource, match=r"fewer pages than their OME-XML counts.*-o plain=true"):
        layers(tmp_path)
    np.testing.assert_array_equal(voxels(tmp_path, plain="true"), volume(*stack))


def test_a_set_whose_files_were_renamed_is_told_how_to_be_read(tmp_path):
    stack = noise(3, 21, 17)
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="old_{z}.ome.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(3)
    )
    pixels = f'<Pixels DimensionOrder="XYZCT" SizeX="17" SizeY="21" SizeZ="3" SizeC="1" SizeT="1">{data}</Pixels>'
    for z, picture in enumerate(stack):
        text = f'<OME UUID="urn:uuid:{z}"><Image>{pixels}</Image></OME>'
        tifffile.imwrite(tmp_path / f"new_{z}.ome.tif", picture, description=text, metadata=None)
    with pytest.raises(InconsistentStack, match=r"if the files were renamed.*-o plain=true"):
        layers(tmp_path)
    np.testing.assert_array_equal(voxels(tmp_path, plain="true"), volume(*stack))


def test_files_of_a_set_whose_names_were_exchanged_are_refused(tmp_path):
    write_set(tmp_path)
    first, one, other = NAMES[0, 0, 0], NAMES[0, 1, 0], NAMES[0, 2, 0]
    (tmp_path / one).rename(tmp_path / "kept")
    (tmp_path / other).rename(tmp_path / one)
    (tmp_path / "kept").rename(tmp_path / other)
    with pytest.raises(UnsupportedSource, match=f"{one} was renamed: by its UUID, it is {other}") as caught:
        layers(tmp_path / first, series=0, timepoint=1)
    assert "-o plain=true" in caught.value.fix


def test_a_file_of_a_set_that_was_renamed_names_the_option(tmp_path):
    write_set(tmp_path)
    first = (tmp_path / NAMES[0, 1, 0]).rename(tmp_path / "mine.tif")
    with pytest.raises(InconsistentStack, match=r"if the files were renamed, .* -o plain=true"):
        layers(tmp_path / NAMES[0, 0, 0], series=0, timepoint=1)
    np.testing.assert_array_equal(voxels(first, plain=True), volume(IMAGES[0, 1, 0]))
