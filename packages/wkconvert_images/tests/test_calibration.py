"""Voxel sizes: what the tags of each maker say, and what is no size at all."""

import pytest
from helpers.paths import SAMPLES, needs_samples

from wkconvert_core.testing import noise
from wkconvert_images.calibration import beside, ome_voxel_size, voxel_size
from wkconvert_images.ome import read_ome
from wkconvert_images.tags import TiffFile

tifffile = pytest.importorskip("tifffile")  # an extra, which not every plugin asks for
PICTURE = noise(8, 10)


def size_of(path):
    with TiffFile(str(path)) as file:
        found = voxel_size(file.ifd(file.first))
    return found and (tuple(size and round(size, 9) for size in found.size), found.unit, found.origin)


def written(path, picture=PICTURE, **options):
    tifffile.imwrite(path / "a.tif", picture, **options)
    return size_of(path / "a.tif")


@needs_samples
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DM", ((0.168674693, 0.168674693, None), "µm", "DigitalMicrograph tags")),
        ("imageJ", ((0.168674711, 0.168674711, None), "µm", "ImageJ tags")),
        ("imageJ_stack", ((0.168674711, 0.168674711, 2.5), "µm", "ImageJ tags")),
    ],
)
def test_real_files(name, expected):
    assert size_of(SAMPLES / "tiff" / "calibrated" / f"test_loading_image_saved_with_{name}.tif") == expected


@pytest.mark.parametrize(
    ("unit", "symbol"),
    [
        *((unit, "µm") for unit in ("um", "micron", "microns", "\\u00B5m", "\\u00b5m", "micrometer")),
        *((unit, unit) for unit in ("nm", "Å", "mm", "cm", "inch", "pm", "m")),
    ],
)
def test_imagej_says_pixels_per_unit_and_the_spacing(tmp_path, unit, symbol):
    # tifffile writes ASCII; ImageJ itself escapes what is not
    text = unit.encode("unicode_escape").decode() if unit == "Å" else unit
    found = written(tmp_path, noise(5, 8, 10), imagej=True, resolution=(4, 5), metadata={"unit": text, "spacing": 35})
    if unit == "Å":
        assert found is None or found[1] == "Å"
    else:
        assert found == ((0.25, 0.2, 35), symbol, "ImageJ tags")


def test_imagej_without_spacing_leaves_z_open(tmp_path):
    assert written(tmp_path, imagej=True, resolution=(4, 5), metadata={"unit": "nm"})[0] == (0.25, 0.2, None)


@pytest.mark.parametrize("unit", ["pixel", "", "inch"])
def test_imagej_pixels_and_dpi_are_no_size(tmp_path, unit):
    assert written(tmp_path, imagej=True, resolution=(72, 72), metadata={"unit": unit}) is None


OME = {"PhysicalSizeX": 4, "PhysicalSizeY": 5, "PhysicalSizeZ": 0.035}


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({}, ((4, 5, 0.035), "µm")),
        ({"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm", "PhysicalSizeZUnit": "µm"}, ((4, 5, 35), "nm")),
        (dict.fromkeys(("PhysicalSizeXUnit", "PhysicalSizeYUnit", "PhysicalSizeZUnit"), "Å"), ((4, 5, 0.035), "Å")),
        (dict.fromkeys(("PhysicalSizeXUnit", "PhysicalSizeYUnit", "PhysicalSizeZUnit"), "pixel"), None),
        ({"PhysicalSizeZUnit": "reference frame"}, ((4, 5, None), "µm")),
    ],
)
def test_ome_says_sizes_with_units(tmp_path, units, expected):
    found = written(tmp_path, noise(5, 8, 10), ome=True, metadata={"axes": "ZYX", **OME, **units})
    assert (found and found[:2]) == expected
    assert found is None or found[2].startswith("OME-XML")


def test_units_that_only_some_sides_have_are_told(tmp_path):
    found = written(tmp_path, ome=True, metadata={"axes": "YX", **OME, "PhysicalSizeXUnit": "nm"})
    assert found == ((4, 5000, 35), "nm", "OME-XML (y, z without a unit, hence in µm)")


# of OME's schema of June 2016, in metres
SCHEMA = {f"{prefix}m": 10.0**power for prefix, power in zip("YZEPTGMk", range(24, 0, -3), strict=True)}
SCHEMA |= {f"{prefix}m": 10.0**power for prefix, power in zip("mµnpfazy", range(-3, -27, -3), strict=True)}
SCHEMA |= {"hm": 1e2, "dam": 1e1, "m": 1, "dm": 1e-1, "cm": 1e-2, "Å": 1e-10, "thou": 2.54e-5, "li": 2.1166666666666e-3}
SCHEMA |= {"in": 0.0254, "ft": 0.3048, "yd": 0.9144, "mi.": 1609.344, "mi": 1609.344, "pt": 0.0254 / 72}
SCHEMA |= {"ua": 1.495978707e11, "ly": 9.4607304725808e15, "pc": 3.0856775814913673e16}


@pytest.mark.parametrize("unit", SCHEMA)
def test_every_unit_of_the_schema_is_read(unit):
    text = f'<OME><Image><Pixels SizeX="9" SizeY="7" PhysicalSizeX="3" PhysicalSizeXUnit="{unit}"/></Image></OME>'
    found = ome_voxel_size(read_ome(text)[0])
    assert found.to("m").size[0] == pytest.approx(3 * SCHEMA[unit], rel=1e-9)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "", "MM", "parsecs", "1/nm"])
def test_what_is_no_unit_of_length_is_no_size(unit):
    text = f'<OME><Image><Pixels SizeX="9" SizeY="7" PhysicalSizeX="3" PhysicalSizeXUnit="{unit}"/></Image></OME>'
    assert (ome_voxel_size(read_ome(text)[0]) is None) == bool(unit)


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((1e6, 5e5), "CENTIMETER", (10, 20, None)),
        ((254000, 254000), "INCH", (100, 100, None)),
        ((25400, 25400), "INCH", (1000, 1000, None)),
        ((72, 72), "INCH", None),
        ((96, 96), "INCH", None),
        ((150, 150), "INCH", None),
        ((300, 300), "INCH", None),
        ((254000, 300), "INCH", None),
        ((300, 254000), "INCH", None),
        ((600, 600), "INCH", None),
        ((28.3465, 28.3465), "CENTIMETER", None),
        ((118.11, 118.11), "CENTIMETER", None),
        ((1, 1), "CENTIMETER", None),
        ((1, 1), "INCH", None),
        ((1e6, 1e6), "NONE", None),
        ((0, 0), "CENTIMETER", None),
    ],
)
def test_pixels_per_inch_or_cm_count_unless_a_screen_has_them(tmp_path, resolution, unit, expected):
    found = written(tmp_path, resolution=resolution, resolutionunit=unit)
    assert found == (expected and (expected, "nm", "TIFF resolution"))


def text_tag(code, text):
    return {"extratags": [(code, "s", 0, text, True)], "metadata": None}


FEI = "[User]\r\nDate=01/01/2020\r\n[Scan]\r\nInternalScan=true\r\nPixelWidth=5e-009\r\nPixelHeight=6e-009\r\n"


@pytest.mark.parametrize("tag", [34680, 34682])
def test_fei_says_metres(tmp_path, tag):
    assert written(tmp_path, **text_tag(tag, FEI)) == ((5, 6, None), "nm", "FEI metadata")


HELIOS = "[Beam]\r\nBeam=IBeam\r\nScan=IScan\r\n[EScan]\r\nPixelWidth=1e-9\r\nPixelHeight=1e-9\r\n[IScan]\r\n{}"


def test_of_two_beams_the_one_that_took_the_picture_counts(tmp_path):
    text = HELIOS.format("PixelWidth=5e-9\r\nPixelHeight=6e-9\r\n")
    assert written(tmp_path, **text_tag(34682, text)) == ((5, 6, None), "nm", "FEI metadata")
    assert written(tmp_path, **text_tag(34682, HELIOS.format(""))) == ((1, 1, None), "nm", "FEI metadata")


FEI_XML = """<?xml version="1.0"?><Metadata xmlns:nil="http://schemas.fei.com/Metadata/v1/2013/07"><BinaryResult><PixelSize>
<X unit="{unit}" unitPrefixPower="{power}">{x}</X><Y unit="{unit}" unitPrefixPower="{power}">4.5E-09</Y>
</PixelSize></BinaryResult></Metadata>"""


@pytest.mark.parametrize(
    ("unit", "power", "x", "expected"),
    [
        ("m", "1", "4.0E-09", ((4, 4.5, None), "nm", "FEI metadata")),
        ("m", "1", "many", ((None, 4.5, None), "nm", "FEI metadata")),
        ("s", "1", "4.0E-09", None),
        ("m", "-9", "4.0", None),
    ],
)
def test_fei_says_metres_in_xml(tmp_path, unit, power, x, expected):
    assert written(tmp_path, **text_tag(34683, FEI_XML.format(unit=unit, power=power, x=x))) == expected


def test_fei_says_metres_in_xml_of_any_namespace(tmp_path):
    text = FEI_XML.format(unit="m", power="1", x="4.0E-09")
    for name in ("PixelSize", "X", "Y"):
        text = text.replace(f"<{name}", f"<fei:{name}").replace(f"</{name}", f"</fei:{name}")
    assert written(tmp_path, **text_tag(34683, text)) == ((4, 4.5, None), "nm", "FEI metadata")


TESCAN = "[MAIN]\r\nDevice=MIRA3\r\nPixelSizeX=4.0e-009\r\nPixelSizeY=5.0e-009\r\n[SEM]\r\nWD=0.005\r\n"


def test_tescan_says_metres(tmp_path):
    assert written(tmp_path, **text_tag(50431, TESCAN)) == ((4, 5, None), "nm", "TESCAN metadata")


HITACHI = "[SemImageFile]\r\nInstructName=SU8000\r\nPixelSize=4.9609\r\nMagnification=20000\r\n"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.hdr", TESCAN.encode(), (4, 5, None)),
        ("a-tif.hdr", TESCAN.encode(), (4, 5, None)),
        ("a.txt", HITACHI.encode(), (4.9609, 4.9609, None)),
        ("a.txt", HITACHI.encode("utf-16"), (4.9609, 4.9609, None)),
        ("a.txt", b"PixelSize=4\n", None),
        ("a.txt", b"\xff\xfe\x00", None),
        ("b.txt", HITACHI.encode(), None),
    ],
)
def test_some_microscopes_say_the_size_in_a_file_beside_the_picture(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    found = beside(str(tmp_path / "a.tif"))
    assert (found and found.size) == expected
    assert found is None or (found.unit, found.origin) == ("nm", name)


ZEISS = "0\r\n0\r\n5e-9\r\nAP_MAG\r\nMag =  20.00 K X\r\nAP_PIXEL_SIZE\r\nPixel Size = 11 nm\r\n"
IMAGE = "AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 5.582 nm\r\nDP_X\r\nX = 1\r\n"


@pytest.mark.parametrize(
    ("columns", "width", "size"),
    [(1024, 11.26, 11), (512, 11.26, 22), (3072, 11.26, 11 / 3), (800, 11.26, 11), (512, 0, 11)],
)
def test_zeiss_says_the_size_of_a_column_on_the_display(tmp_path, columns, width, size):
    text = f"{ZEISS}AP_WIDTH\r\nWidth = {width} um\r\n"
    found, unit, _ = written(tmp_path, noise(3, columns), **text_tag(34118, text))
    assert (found, unit) == (pytest.approx((size, size, None)), "nm")


@pytest.mark.parametrize(("text", "size"), [(ZEISS, 11), (ZEISS + IMAGE, 5.582)])
def test_zeiss_says_the_size_of_the_stored_picture(tmp_path, text, size):
    assert written(tmp_path, **text_tag(34118, text)) == ((size, size, None), "nm", "Zeiss SEM metadata")


def test_digital_micrograph_says_scales_and_units(tmp_path):
    tags = [
        *((code, "s", 0, unit, True) for code, unit in ((65003, "nm"), (65004, "nm"), (65005, "um"))),
        *((code, "d", 1, size, True) for code, size in ((65009, 4.0), (65010, 5.0), (65011, 0.035))),
    ]
    found = written(tmp_path, extratags=tags, metadata=None)
    assert found == ((4, 5, 35), "nm", "DigitalMicrograph tags")


def test_units_that_are_no_lengths_are_no_voxel_size(tmp_path):
    tags = [(65003, "s", 0, "1/nm", True), (65004, "s", 0, "1/nm", True), (65009, "d", 1, 4.0, True)]
    assert written(tmp_path, extratags=tags, metadata=None) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -4.0, 0.0])
def test_sizes_that_cannot_be_are_left_open(tmp_path, value):
    tags = [(65003, "s", 0, "nm", True), (65009, "d", 1, value, True)]
    assert written(tmp_path, extratags=tags, metadata=None) is None


@pytest.mark.parametrize(
    ("stated", "size"),
    [("0,5", 0.5), (" 12,25 ", 12.25), ("0,325", 0.325), ("1,000", None), ("1,5,2", None), ("-0,5", None), ("0", None)],
)
def test_a_decimal_comma_is_read_where_it_can_be_nothing_else(stated, size):
    text = f'<OME><Image><Pixels SizeX="9" SizeY="7" PhysicalSizeX="{stated}"/></Image></OME>'
    (found,) = read_ome(text)
    assert (found.physical[0] and found.physical[0].value) == size
