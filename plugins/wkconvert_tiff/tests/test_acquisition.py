"""What pages count by the texts and tags of acquisition programs, and by `-o planes=`."""

import struct
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures_of import layers, volume, voxels

from wkconvert_core import BrokenSource, OptionError, SourceError, UnsupportedSource
from wkconvert_core.testing import noise, read_checked
from wkconvert_tiff.planes.axes import Choice, parse_planes, pick

VOXELS = noise(4, 3, 2, 21, 17, dtype="int16")  # volume or time, z, channel, y, x


def write_pages(path, pages, **options):
    how = {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
    with tifffile.TiffWriter(path, **how) as writer:
        for page in pages.reshape(-1, *pages.shape[-2:]):
            writer.write(page, contiguous=False, metadata=None, **options)


def check(path, expected, **options):
    """That the layers are the channels of `expected[z, c, y, x]`."""
    found = layers(path, **options)
    assert len(found) == expected.shape[1]
    for channel, layer in enumerate(found):
        np.testing.assert_array_equal(read_checked(layer.source), volume(*expected[:, channel]))


HEADER = """SI.VERSION_MAJOR = '2020'
SI.hChannels.channelSave = {channels}
SI.hStackManager.actualNumSlices = {slices}
SI.hStackManager.numSlices = 77
SI.hStackManager.framesPerSlice = {frames}
SI.hStackManager.actualNumVolumes = {volumes}
SI.hScan2D.logAverageFactor = 1
"""


def scan_image(channels="[1;2]", slices=3, frames=1, volumes=4):
    return HEADER.format(channels=channels, slices=slices, frames=frames, volumes=volumes)


@pytest.mark.parametrize("bigtiff", [True, False])
@pytest.mark.parametrize("tag", ["software", "description", "extratags"])
def test_volumes_of_scanimage_are_chosen_from(tmp_path, bigtiff, tag):
    text = scan_image()
    where = {tag: [(315, "s", 0, text, True)] if tag == "extratags" else text}
    write_pages(tmp_path / "a.tif", VOXELS, bigtiff=bigtiff, **where)
    with pytest.raises(UnsupportedSource, match=r"holds 4 volumes.*-o volume=N, N from 0 to 3"):
        layers(tmp_path / "a.tif")
    for number in range(4):
        check(tmp_path / "a.tif", VOXELS[number], volume=number)
    with pytest.raises(OptionError, match=r"volume=4 does not exist.*0 to 3"):
        layers(tmp_path / "a.tif", volume=4)


SI5 = "scanimage.SI5.channelsSave = [1 2]\nscanimage.SI5.stackNumSlices = 3\nscanimage.SI5.fastZNumVolumes = 4\n"
SI4 = "scanimage.SI4.channelsSave = [1;3]\nscanimage.SI4.stackNumSlices = 3\nscanimage.SI4.fastZNumVolumes = 4\n"
SI2015 = "scanimage.SI.hChannels.channelSave = 1:2\nscanimage.SI.hFastZ.numVolumes = 4\n"
SI2015 += "scanimage.SI.hStackManager.numSlices = 3\n"


@pytest.mark.parametrize("text", [SI5, SI4, SI2015], ids=["5", "4", "2015"])
def test_older_texts_of_scanimage(tmp_path, text):
    write_pages(tmp_path / "a.tif", VOXELS, description=text)
    check(tmp_path / "a.tif", VOXELS[2], volume=2)


def test_a_stack_of_the_oldest_scanimage(tmp_path):
    text = "state.acq.numberOfChannelsSave=2\rstate.acq.numberOfZSlices=12\rstate.acq.numberOfFrames=1\r"
    write_pages(tmp_path / "a.tif", VOXELS, description=text)
    check(tmp_path / "a.tif", VOXELS.reshape(12, 2, 21, 17))


def test_one_volume_of_scanimage_needs_no_choice(tmp_path):
    write_pages(tmp_path / "a.tif", VOXELS[0], software=scan_image(volumes=1))
    check(tmp_path / "a.tif", VOXELS[0])


def test_one_channel_of_scanimage(tmp_path):
    write_pages(tmp_path / "a.tif", VOXELS[0, :, :1], software=scan_image(channels="2", volumes=1))
    check(tmp_path / "a.tif", VOXELS[0, :, :1])


def test_frames_of_one_slice_are_times(tmp_path):
    write_pages(tmp_path / "a.tif", VOXELS[:, 0], software=scan_image(slices=1, frames=100, volumes=1))  # ended early
    with pytest.raises(UnsupportedSource, match="4 time points"):
        layers(tmp_path / "a.tif")
    check(tmp_path / "a.tif", VOXELS[3, :1], timepoint=3)


@pytest.mark.parametrize("frames", ["4", "Inf"])
def test_frames_of_each_slice_lie_within_it(tmp_path, frames):
    of_slices = VOXELS.transpose(1, 0, 2, 3, 4)  # slice, frame, channel
    write_pages(tmp_path / "a.tif", of_slices, software=scan_image(frames=frames, volumes=1))
    check(tmp_path / "a.tif", of_slices[:, 1], timepoint=1)


def test_averaged_frames_are_stored_once(tmp_path):
    text = scan_image(frames=8, volumes=1).replace("logAverageFactor = 1", "logAverageFactor = 8")
    write_pages(tmp_path / "a.tif", VOXELS[0], software=text)
    check(tmp_path / "a.tif", VOXELS[0])


@pytest.mark.parametrize(
    ("pages", "told"),
    [(18, "if the stack was ended early"), (23, "such as"), (20, "such as")],
    ids=["whole volumes", "an odd page", "no whole volume"],
)
def test_pages_that_scanimage_did_not_announce_are_asked_about(tmp_path, pages, told):
    write_pages(tmp_path / "a.tif", VOXELS.reshape(24, 21, 17)[:pages], software=scan_image())
    with pytest.raises(UnsupportedSource, match=f"2 channels, 3 slices, 1 frames of each slice, 4 volumes.*{told}"):
        layers(tmp_path / "a.tif")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", plain="true"), volume(*VOXELS.reshape(24, 21, 17)[:pages]))
    if pages == 18:
        check(tmp_path / "a.tif", VOXELS[2], planes="V3,Z3,C2", volume=2)


@pytest.mark.parametrize("value", ["[]", "{}", "NaN", "[1;2;3;4;5;6;7]", "-1", "1e400", "'x'", "99999999999999999999"])
@pytest.mark.parametrize("key", ["channelSave", "actualNumSlices", "framesPerSlice", "actualNumVolumes"])
def test_odd_numbers_in_the_header_are_never_taken_for_depth(tmp_path, key, value):
    lines = [f"SI.{key} = {value}" if f".{key} " in line else line for line in scan_image().splitlines()]
    text = "\n".join(line.replace(f"SI.{key}", _full(key)) for line in lines)
    write_pages(tmp_path / "a.tif", VOXELS, software=text)
    try:
        found = layers(tmp_path / "a.tif", volume=1)
    except (UnsupportedSource, OptionError):
        return
    assert {layer.source.info.shape for layer in found} == {(17, 21, 3)}
    assert len(found) == 2


def _full(key):
    return next(line.split(" =")[0] for line in HEADER.splitlines() if f".{key} " in line)


def test_planes_are_what_the_user_says(tmp_path):
    write_pages(tmp_path / "a.tif", VOXELS)
    check(tmp_path / "a.tif", VOXELS[1], planes="T4,Z3,C2", timepoint=1)
    check(tmp_path / "a.tif", VOXELS[1], planes=" v4, z3 ,c2", volume=1)
    check(tmp_path / "a.tif", VOXELS.reshape(12, 2, 21, 17), planes="Z12,C2")
    with pytest.raises(UnsupportedSource, match="4 time points"):
        layers(tmp_path / "a.tif", planes="T4,Z3,C2")
    with pytest.raises(OptionError, match=r"counts 12 planes, the file holds 24.*make 24 together"):
        layers(tmp_path / "a.tif", planes="Z12")


@pytest.mark.parametrize("text", ["", "4,3,2", "Z", "Z0", "Z3,Z8", "X3,Z8", "Z-3", "Z3;C2", "Z99999999999999999999"])
def test_planes_that_make_no_sense_are_refused(tmp_path, text):
    write_pages(tmp_path / "a.tif", VOXELS)
    with pytest.raises(OptionError, match="write it like -o planes=T4,Z3,C2"):
        layers(tmp_path / "a.tif", planes=text)


def test_planes_go_before_every_description(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", VOXELS.reshape(24, 21, 17), imagej=True, metadata={"axes": "ZYX"})
    check(tmp_path / "a.tif", VOXELS[1], planes="V4,Z3,C2", volume=1)


@given(st.permutations("TVZC"), st.data())
def test_planes_are_counted_in_any_order(order, data):
    sizes = {axis: data.draw(st.integers(1, 4)) for axis in order}
    places = {axis: data.draw(st.integers(0, sizes[axis] - 1)) for axis in "TV"}
    axes = parse_planes(",".join(f"{axis}{sizes[axis]}" for axis in order))
    numbers = np.arange(axes.total).reshape(axes.sizes).transpose([axes.letters.index(axis) for axis in "TVCZ"])
    found = pick("a.tif", Choice(timepoint=places["T"], volume=places["V"]), *axes)
    np.testing.assert_array_equal(found, numbers[places["T"], places["V"]])


@pytest.mark.parametrize("order", ["tzcyx", "czt", "ctz", "zct", "ztc", "tcz", "tzc"])
def test_the_order_of_an_imagej_stack_is_what_it_says(tmp_path, order):
    description = f"ImageJ=1.53t\nimages=24\nchannels=2\nslices=3\nframes=4\norder={order}\nhyperstack=true\n"
    if order == "tzcyx":
        write_pages(tmp_path / "a.tif", VOXELS, description=description)
        with pytest.raises(UnsupportedSource, match="gives the order of its planes as 'tzcyx'"):
            layers(tmp_path / "a.tif")
        return
    stored = VOXELS.transpose(*("TZC".index(axis) for axis in order.upper()[::-1]), 3, 4)
    write_pages(tmp_path / "a.tif", stored, description=description)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").reshape(stored.shape), stored)
    check(tmp_path / "a.tif", VOXELS[1], timepoint=1)


def dimensions(order, *named):
    """FluoView's header: ten dimensions from byte 284 on."""
    parts = [struct.pack(order + "16sidd64s", name, size, 0.0, step, unit) for name, size, step, unit in named]
    return bytes(284) + b"".join(parts) + bytes(100 * (10 - len(parts)) + 100)


@pytest.mark.parametrize("order", "<>")
def test_fluoview_says_channels_and_times(tmp_path, order):
    stored = VOXELS.transpose(2, 0, 1, 3, 4)  # channel, time, z
    named = (b"x", 17, 0.2, b"\xb5m"), (b"y", 21, 0.2, b"\xb5m"), (b"Z", 3, 0.5, b"\xb5m"), (b"T", 4, 1.0, b"s")
    header = dimensions(order, *named, (b"Ch", 2, 1.0, b"Ch"))
    tags = [(34361, "B", len(header), header, True), (34362, "B", 8, bytes(8), True)]
    write_pages(tmp_path / "a.tif", stored, byteorder=order, extratags=tags)
    check(tmp_path / "a.tif", VOXELS[2], timepoint=2)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.series[0].axes == "CTZYX"
    found = layers(tmp_path / "a.tif", timepoint=2)[0].source.info.voxel_size
    assert (found.size, found.unit, found.origin) == ((0.2, 0.2, 0.5), "µm", "FluoView's header")


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_olympus_sis_says_bands_and_times(tmp_path, end):
    lines = [
        "[Name]",
        "a=b",
        "[Dimension]",
        "Time=4",
        "Z=3",
        "Band=2",
        "[Z]",
        "ZPos1=0",
        "[Time]",
        "TimePos1=0",
        "[Band]",
        "BandName1=DAPI",
    ]
    text = end.join([*lines, ""])
    write_pages(tmp_path / "a.tif", VOXELS, extratags=[(33471, "s", 0, text, True)])
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.series[0].axes == "TZCYX"
    check(tmp_path / "a.tif", VOXELS[3], timepoint=3)


@pytest.mark.parametrize("text", ["[Name]\na=b\n", "[Dimension]\n", "[Dimension]\nZ=1\n[Z]\nZ=24\n"])
def test_olympus_sis_that_does_not_say_what_pages_count_is_asked_about(tmp_path, text):
    write_pages(tmp_path / "a.tif", VOXELS, extratags=[(33471, "s", 0, text, True)])
    with pytest.raises(UnsupportedSource, match=r"24 pages of Olympus SIS.*-o planes="):
        layers(tmp_path / "a.tif")
    check(tmp_path / "a.tif", VOXELS[1], planes="T4,Z3,C2", timepoint=1)


def lsm_header(slices, times, scan=0):
    sizes = struct.pack("<8i", 0x0400494C, 412, 17, 21, slices, 1, times, 2)
    return sizes + bytes(8) + struct.pack("<6dH", 1e-7, 2e-7, 5e-7, 0, 0, 0, scan) + bytes(412 - 90)


@pytest.mark.parametrize("scan", [0, 6])
def test_times_of_an_lsm_are_chosen_from(tmp_path, scan):
    header = lsm_header(3, 4, scan)
    write_pages(tmp_path / "a.lsm", VOXELS[:, :, 0], extratags=[(34412, "B", len(header), header, True)])
    with pytest.raises(UnsupportedSource, match="4 time points"):
        layers(tmp_path / "a.lsm")
    check(tmp_path / "a.lsm", VOXELS[1, :, :1], timepoint=1)
    found = layers(tmp_path / "a.lsm", timepoint=1)[0].source.info.voxel_size
    assert (found.to("nm").size, found.origin) == ((100, 200, 500), "the header of Zeiss LSM")


NAMES, DYES = ("DAPI", "GFP", "Cy 5"), ((0, 0, 255), (0, 255, 0), (255, 0, 255))


def lsm_channels(path, pages, times, **how):
    """An LSM of three channels a page, a smaller copy behind each, and the names and colours of the channels."""
    slices = len(pages) // times
    header = lsm_header(slices, times)
    with tifffile.TiffWriter(path) as file:
        for number, page in enumerate(pages):
            tags = [(34412, "B", len(header), header, True)] if number == 0 else []
            file.write(page, metadata=None, extratags=tags, contiguous=False, **how)
            file.write(page[..., ::4, ::4].copy(), metadata=None, subfiletype=1, contiguous=False, **how)
    colors = b"".join(bytes([*dye, 0]) for dye in DYES)
    names = b"".join(struct.pack("<I", len(name) + 1) + name.encode() + b"\0" for name in NAMES)
    described = struct.pack("<6I", 24 + len(colors) + len(names), 3, 3, 24, 24 + len(colors), 0) + colors + names
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags[34412].valueoffset
    content = bytearray(path.read_bytes())
    content[at + 108 : at + 112] = struct.pack("<I", len(content))
    path.write_bytes(content + described)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("times", [1, 2])
def test_channels_of_an_lsm_are_layers_with_its_names_and_colours(tmp_path, dtype, times):
    """Three channels of bytes are marked as red, green and blue: they are dyes."""
    pages, path = noise(4, 3, 24, 20, dtype=dtype), tmp_path / "a.lsm"
    lsm_channels(path, pages, times, photometric="rgb", planarconfig="separate")
    with tifffile.TiffFile(path) as tiff:
        told = tiff.lsm_metadata["ChannelColors"]
        assert (told["ColorNames"], [color[:3] for color in told["Colors"]]) == ([*NAMES], list(map(list, DYES)))
    found = layers(path, **({"timepoint": 1} if times > 1 else {}))
    assert [(layer.name, layer.color) for layer in found] == list(zip(("DAPI", "GFP", "Cy_5"), DYES, strict=True))
    for number, layer in enumerate(found):
        np.testing.assert_array_equal(
            layer.source.read(layer.source.info.box), volume(*pages[len(pages) - len(pages) // times :, number])
        )
    assert found[0].source.info.voxel_size.to("nm").size == (100, 200, 500)


def test_damaged_names_of_channels_are_left_out(tmp_path):
    path = tmp_path / "a.lsm"
    lsm_channels(path, noise(2, 3, 24, 20), 1, photometric="rgb", planarconfig="separate")
    path.write_bytes(path.read_bytes()[:-30])
    assert [layer.name for layer in layers(path)] == ["channel0", "channel1", "channel2"]


def test_an_lsm_whose_offsets_begin_again_is_refused(tmp_path):
    path = tmp_path / "a.lsm"
    lsm_channels(path, noise(2, 3, 24, 20), 1, photometric="rgb", planarconfig="separate")
    with path.open("r+b") as file:
        file.truncate((1 << 32) + 1)
    with pytest.raises(UnsupportedSource, match=r"Zeiss LSM of 4294967297 bytes.*32 bits"):
        layers(path)


def micro_manager(path, places, stored):
    """Write pages with Micro-Manager's index, of which `places` are the channel, slice, time and position of each."""
    description = f"ImageJ=1.53t\nimages={len(places)}\nchannels=2\nslices=3\nframes=4\nhyperstack=true\n"
    tags = [(51123, "s", 0, '{"Frame": 0}', True)]
    write_pages(path, stored, description=description, extratags=tags, byteorder="<")
    with tifffile.TiffFile(path) as tiff:
        offsets, length = [page.offset for page in tiff.pages], 2 + 12 * len(tiff.pages[0].tags) + 4
    content = path.read_bytes()
    first, offsets[0] = content[offsets[0] : offsets[0] + length], len(content)  # Micro-Manager's own is no earlier
    index = struct.pack("<2I", 3453623, len(places))
    index += b"".join(struct.pack("<5I", *place, at) for place, at in zip(places, offsets, strict=True))
    head = content[:4] + struct.pack("<3I", offsets[0], 54773648, len(content) + length)
    path.write_bytes(head + content[16:] + first + index)


@pytest.mark.parametrize("order", ["TZC", "TCZ", "ZTC"])
def test_micro_managers_index_goes_before_the_order_of_imagej(tmp_path, order):
    stored = VOXELS.transpose(*("TZC".index(axis) for axis in order), 3, 4)
    places = [
        (place[order.index("C")], place[order.index("Z")], place[order.index("T")], 5)
        for place in np.ndindex(stored.shape[:3])
    ]
    micro_manager(tmp_path / "a.tif", places, stored)
    check(tmp_path / "a.tif", VOXELS[1], timepoint=1)


def test_an_index_of_micro_manager_without_an_order_is_asked_about(tmp_path):
    places = [(c, z, t, 0) for t in range(4) for z in range(3) for c in range(2)]
    places[3], places[7] = places[7], places[3]
    micro_manager(tmp_path / "a.tif", places, VOXELS)
    with pytest.raises(UnsupportedSource, match=r"no regular order.*-o planes="):
        layers(tmp_path / "a.tif")


def metamorph(path, planes, *, distances, times, wavelengths=None, **options):
    """Write MetaMorph's stack: a page of the first plane, the others behind it, and a table of six numbers for each."""
    table = b"".join(struct.pack("<6I", z, 1, 2451545, time, 0, 0) for z, time in zip(distances, times, strict=True))
    waves = b"".join(struct.pack("<2I", wave, 1) for wave in wavelengths or [488] * len(planes))
    tags = [(code, 7, len(value), value, True) for code, value in ((33629, table), (33630, waves))]
    tags += [(33628, "I", 2, (4, 1), True)]  # of tags for which the table has no place; here one, that nobody reads
    tifffile.imwrite(path, planes[0], metadata=None, byteorder="<", extratags=tags, **options)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        at = {code: tiff.pages[0].tags[code].offset for code in (33629, 33630)}
    for code in at:  # one fraction for each plane is announced, of a table that is longer
        content[at[code] + 2 : at[code] + 8] = struct.pack("<HI", 5, len(planes))
    path.write_bytes(bytes(content))
    with path.open("ab") as file:
        file.write(planes[1:].tobytes())


PLANES = noise(5, 21, 17, dtype="uint16")


def test_slices_and_times_of_metamorph_are_told_apart(tmp_path):
    metamorph(tmp_path / "z.stk", PLANES, distances=[3] * 5, times=[1, 1, 2, 2, 3])
    np.testing.assert_array_equal(voxels(tmp_path / "z.stk"), volume(*PLANES))
    with tifffile.TiffFile(tmp_path / "z.stk") as tiff:
        np.testing.assert_array_equal(tiff.series[0].asarray(), PLANES)
        assert tiff.series[0].axes == "ZYX"
    metamorph(tmp_path / "t.stk", PLANES, distances=[0] * 5, times=range(5))
    with pytest.raises(UnsupportedSource, match="5 time points"):
        layers(tmp_path / "t.stk")
    np.testing.assert_array_equal(voxels(tmp_path / "t.stk", timepoint=3), volume(PLANES[3]))


def calibrated(path, unit, is_calibrated=1):
    """Give a stack of MetaMorph the size of its pixels, 1/8 and 1/4 of a unit, in the table of tag UIC1."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages[0].tags[33628].offset
    at = len(content) + 4 * 8
    table = struct.pack("<8I", 3, is_calibrated, 4, at, 5, at + 8, 6, at + 16)
    content[entry + 4 : entry + 12] = struct.pack("<2I", 4, len(content))
    values = struct.pack("<5I", 1, 8, 1, 4, len(unit) + 1) + unit.encode() + b"\0"
    path.write_bytes(content + table + values)


@pytest.mark.parametrize(
    ("unit", "is_calibrated", "distances", "expected"),
    [
        ("um", 1, [3] * 5, (125, 250, 3000)),
        ("nm", 1, [3] * 5, (0.125, 0.25, 3000)),
        ("um", 0, [3] * 5, (None, None, 3000)),
        ("pixel", 1, [3] * 5, (None, None, 3000)),
        ("um", 1, [3, 3, 4, 3, 3], (125, 250, None)),
    ],
)
def test_the_voxel_size_of_metamorph(tmp_path, unit, is_calibrated, distances, expected):
    metamorph(tmp_path / "z.stk", PLANES, distances=distances, times=range(5))
    calibrated(tmp_path / "z.stk", unit, is_calibrated)
    with tifffile.TiffFile(tmp_path / "z.stk") as tiff:
        told = tiff.stk_metadata
        assert (told["XCalibration"], told["YCalibration"], told["CalibrationUnits"]) == (0.125, 0.25, unit)
    found = layers(tmp_path / "z.stk")[0].source.info.voxel_size
    assert (found.to("nm").size, found.origin) == (expected, "MetaMorph's tags")
    np.testing.assert_array_equal(voxels(tmp_path / "z.stk"), volume(*PLANES))


def test_a_stack_of_metamorph_without_its_pixels_size_has_that_of_tiff(tmp_path):
    metamorph(
        tmp_path / "z.stk", PLANES, distances=[3] * 5, times=range(5), resolution=(25400, 12700), resolutionunit=2
    )
    found = layers(tmp_path / "z.stk")[0].source.info.voxel_size
    assert (found.to("nm").size, found.origin) == ((1000, 2000, 3000), "TIFF resolution, z: MetaMorph's tags")


def test_folders_of_lsm_and_stk_are_stacks(tmp_path):
    for number in range(2):
        pages = PLANES[number][None, None].repeat(3, 1)
        lsm_channels(tmp_path / f"s{number}.lsm", pages, 1, photometric="rgb", planarconfig="separate")
    found = layers(tmp_path)
    assert len(found) == 3
    np.testing.assert_array_equal(found[1].source.read(found[1].source.info.box), volume(*PLANES[:2]))


@pytest.mark.parametrize(
    "told",
    [{"distances": [0] * 5, "times": [1] * 5}, {"distances": [3] * 5, "times": [1] * 5, "wavelengths": range(5)}],
)
def test_planes_of_metamorph_that_may_be_anything_are_asked_about(tmp_path, told):
    metamorph(tmp_path / "a.stk", PLANES, **told)
    with pytest.raises(UnsupportedSource, match=r"MetaMorph stack of 5 planes.*-o planes="):
        layers(tmp_path / "a.stk")
    check(tmp_path / "a.stk", PLANES[np.newaxis], planes="C5")
    np.testing.assert_array_equal(voxels(tmp_path / "a.stk", plain="true"), volume(*PLANES))
    with pytest.raises(OptionError, match="counts 4 planes, the file holds 5"):
        layers(tmp_path / "a.stk", planes="C4")


def test_a_stack_of_metamorph_cut_short_is_no_shorter_one(tmp_path):
    metamorph(tmp_path / "a.stk", PLANES, distances=[3] * 5, times=range(5))
    content = (tmp_path / "a.stk").read_bytes()
    (tmp_path / "a.stk").write_bytes(content[:-1])
    with pytest.raises(BrokenSource, match="its 5 pictures reach to byte"):
        layers(tmp_path / "a.stk")


@pytest.mark.parametrize(
    ("maker", "options"),
    [
        ("NDPI", {"extratags": [(65420, "I", 1, 1, True)]}),
        ("SCN", {"description": '<scn xmlns="x"></scn>'}),
        ("SVS", {"description": "Aperio Image Library v10"}),
        ("QPTIFF", {"software": "PerkinElmer-QPI"}),
        ("QPTIFF", {"description": '<?xml version="1.0"?>\r\n<PerkinElmer-QPI-ImageDescription>'}),
        ("Philips", {"software": "Philips DP v1.0"}),
        ("Ventana", {"software": "ScanOutputManager 1.1"}),
        ("Indica", {"software": "IndicaLabsImageWriter v1.2"}),
        ("AVS", {"extratags": [(65000, "s", 0, "<Argos/>", True)]}),
        ("EER", {"extratags": [(65001, 7, 12, b"<metadata>  ", True)]}),
    ],
)
def test_pages_of_slides_and_movies_are_never_taken_for_depth(tmp_path, maker, options):
    write_pages(tmp_path / "a.tif", VOXELS[0, 0], **options)
    with pytest.raises(UnsupportedSource, match=rf"2 pages of .*{maker}.*-o series=0.*-o planes="):
        layers(tmp_path / "a.tif")
    check(tmp_path / "a.tif", VOXELS[0, :1], planes="C2", series=0)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", plain="true"), volume(*VOXELS[0, 0]))
    write_pages(tmp_path / "one.tif", VOXELS[0, 0, :1], **options)
    np.testing.assert_array_equal(voxels(tmp_path / "one.tif"), volume(VOXELS[0, 0, 0]))


TAGS = {34361: 1284, 34412: 90, 33629: 8, 33630: 8, 33560: 64, 33471: 64, 65420: 4, 50431: 64, 34683: 64, 51123: 16}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(st.sampled_from(list(TAGS)), st.randoms(use_true_random=False), st.sampled_from([1, 3]), st.booleans())
def test_random_headers_raise_nothing_but_errors_of_ours(tmp_path, tag, random, pages, filled):
    content = random.randbytes(TAGS[tag]) if filled else bytes(TAGS[tag])
    tags = [(tag, 7, len(content), content, True)]
    write_pages(tmp_path / "a.tif", VOXELS[0, :pages, 0], extratags=tags, description=random.randbytes(9).hex())
    with suppress(SourceError, OptionError):
        assert all(layer.source.info.shape[:2] == (17, 21) for layer in layers(tmp_path / "a.tif", plain="false"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(
    st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=60),
    st.sampled_from(["", "SI.", "ImageJ="]),
)
def test_random_texts_raise_nothing_but_errors_of_ours(tmp_path, text, start):
    tags = [(code, "s", 0, (start + text).encode("latin-1"), True) for code in (305, 315, 34680, 34118)]
    pages = VOXELS[0, :, 0]
    options = {"software": False, "extratags": tags, "description": (start + text).encode("latin-1")}
    write_pages(tmp_path / "a.tif", pages, **options)
    with suppress(SourceError, OptionError):
        np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(*pages))


@pytest.mark.parametrize("volumes", [4, "Inf"])
@pytest.mark.parametrize("flyback", [1, 2])
@pytest.mark.parametrize("key", ["SI.hStackManager.numFramesPerVolumeWithFlyback", "SI.hFastZ.numDiscardFlybackFrames"])
def test_flyback_of_scanimage_is_left_out(tmp_path, key, flyback, volumes):
    stack = noise(4, 3 + flyback, 2, 21, 17, dtype="int16")
    stated = flyback if "Discard" in key else 3 + flyback
    write_pages(tmp_path / "a.tif", stack, software=f"{scan_image(volumes=volumes)}{key} = {stated}\n")
    with pytest.raises(UnsupportedSource, match="holds 4 volumes"):
        layers(tmp_path / "a.tif")
    for number in range(4):
        check(tmp_path / "a.tif", stack[number, :3], volume=number)
    found = layers(tmp_path / "a.tif", volume=0)
    assert f"{8 * flyback} pages of ScanImage's flyback are left out" in found[0].source.info.notes
    # where they were not stored, nothing is left out
    write_pages(tmp_path / "b.tif", VOXELS, software=f"{scan_image()}{key} = {stated}\n")
    check(tmp_path / "b.tif", VOXELS[3], volume=3)
