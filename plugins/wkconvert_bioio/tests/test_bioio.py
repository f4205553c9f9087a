"""Whatever bioio reads: here OME-TIFF, whose reader needs no Java; scenes, channels, times, sizes with their units."""

from importlib.util import find_spec
from itertools import product

import numpy as np
import pytest

import wkconvert_bioio
from wkconvert_bioio.image import by_bioio
from wkconvert_core import Box, BrokenSource, Confidence, OptionError, UnsupportedSource, WkconvertError
from wkconvert_core.testing import CHECKS, Reader, noise, read_checked

if not find_spec("bioio_ome_tiff"):  # importing it takes a second
    pytest.skip("bioio-ome-tiff is not installed", allow_module_level=True)
tifffile = pytest.importorskip("tifffile")

BIOIO = Reader(wkconvert_bioio, "bioio")
layers, source, voxels = BIOIO.layers, BIOIO.source, BIOIO.voxels
SIZES = {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}


def saved(path, array, axes, **more):
    """An OME-TIFF of an array in the order of its axes."""
    photometric = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(path, array, ome=True, photometric=photometric, metadata={"axes": axes, **SIZES, **more})
    return path


def in_order(array):
    """`[z, y, x]` as `[x, y, z]`."""
    return array.T


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_a_volume_and_its_sizes_with_their_units(tmp_path, dtype):
    given = noise(7, 8, 9, dtype=dtype)
    found = source(saved(tmp_path / "a.ome.tiff", given, "ZYX"))
    assert (found.info.shape, found.info.dtype) == ((9, 8, 7), dtype)
    np.testing.assert_array_equal(read_checked(found)[0], in_order(given))
    size = found.info.voxel_size
    assert (size.size, size.unit, size.origin) == ((250, 500, None), "nm", "OME metadata, by bioio")


@pytest.mark.slow
def test_channels_are_layers_under_their_names(tmp_path):
    given = noise(3, 7, 8, 9)
    path = saved(tmp_path / "a.ome.tiff", given, "CZYX", Channel={"Name": ["DAPI", "GFP", "RFP"]})
    found = layers(path)
    assert [layer.name for layer in found] == ["DAPI", "GFP", "RFP"]
    for layer, each in zip(found, given, strict=True):
        np.testing.assert_array_equal(read_checked(layer.source)[0], in_order(each))
    np.testing.assert_array_equal(voxels(path, channel=1)[0], in_order(given[1]))
    with pytest.raises(OptionError, match="0 to 2"):
        layers(path, channel=3)


@pytest.mark.slow
def test_samples_are_colours(tmp_path):
    given = noise(7, 8, 9, 3)
    found = source(saved(tmp_path / "a.ome.tiff", given, "ZYXS"))
    np.testing.assert_array_equal(read_checked(found), given.transpose(3, 2, 1, 0))


@pytest.mark.slow
def test_one_of_several_times_is_chosen(tmp_path):
    given = noise(2, 7, 8, 9)
    path = saved(tmp_path / "a.ome.tiff", given, "TZYX")
    with pytest.raises(UnsupportedSource, match="holds 2 time points"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, timepoint=1)[0], in_order(given[1]))
    with pytest.raises(OptionError, match="0 to 1"):
        layers(path, timepoint=2)


@pytest.mark.slow
def test_scenes_are_listed_chosen_or_all_made_layers(tmp_path):
    given = [noise(7, 8, 9, seed=seed) for seed in range(2)]
    path = tmp_path / "a.ome.tiff"
    with tifffile.TiffWriter(path, ome=True) as file:
        for each in given:
            file.write(each, photometric="minisblack", metadata={"axes": "ZYX"})
    with pytest.raises(UnsupportedSource, match=r"holds 2 scenes: 0: Image:0; 1: Image:1"):
        layers(path)
    for wanted in ("1", "Image:1"):
        np.testing.assert_array_equal(voxels(path, scene=wanted)[0], in_order(given[1]))
    assert [layer.name for layer in layers(path, scene="all")] == ["Image:0", "Image:1"]
    with pytest.raises(OptionError, match="has no scene 2"):
        layers(path, scene="2")


def test_files_are_claimed_by_suffixes_that_an_installed_reader_knows(tmp_path, monkeypatch):
    (tmp_path / "a.CZI").write_bytes(b"ZISRAWFILE")
    installed = {"bioio-lif"}
    monkeypatch.setattr(wkconvert_bioio, "_is_installed", installed.__contains__)
    assert BIOIO.detect(tmp_path / "a.CZI") is None
    installed.add("bioio-czi")
    found = BIOIO.detect(tmp_path / "a.CZI")
    assert (found.confidence, found.reason) == (Confidence.SUFFIX, "its name ends in .czi, which bioio-czi reads")
    assert BIOIO.detect(saved(tmp_path / "a.ome.tiff", noise(7, 8, 9), "ZYX")) is None, "another reader takes it"


@pytest.mark.slow
def test_a_file_that_the_library_of_zeiss_wrote_is_found_and_read(tmp_path):
    czi = pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip("bioio_czi")
    given, path = noise(2, 7, 80, 90, dtype="uint16"), tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for (c, z), _ in np.ndenumerate(given[..., 0, 0]):
            file.write(data=given[c, z, ..., np.newaxis], plane={"C": c, "Z": z})
        file.write_metadata("a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=2e-7, scale_y=3e-7, scale_z=1e-6)
    assert BIOIO.detect(path).reason == "its name ends in .czi, which bioio-czi reads"
    found = layers(path)
    assert [layer.name for layer in found] == ["DAPI", "GFP"]
    for layer, each in zip(found, given, strict=True):
        np.testing.assert_array_equal(read_checked(layer.source)[0], in_order(each))
        assert layer.source.info.voxel_size.size == (200, 300, 1000)
    assert "is taken as µm" in found[0].source.info.notes[0]
    assert found[0].source.info.chunk_shape == (90, 80, 1), "a slice is decoded by itself"


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_colours_of_czi_are_red_green_and_blue(tmp_path, parts):
    czi = pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip("bioio_czi")
    given, path = noise(4, 80, 90, 3), tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for (z, plane), part in product(enumerate(given), range(parts)):
            tile = np.ascontiguousarray(plane[:, part * 45 : part * 45 + 90 // parts, ::-1])
            file.write(data=tile, plane={"C": 0, "Z": z}, location=(part * 45, 0))  # blue, green, red
        file.write_metadata("a", scale_x=2e-7, scale_y=3e-7, scale_z=1e-6)
    np.testing.assert_array_equal(read_checked(source(path)), given.transpose(3, 2, 1, 0))
    box = Box((5, 10, 1), (20, 30, 2))
    np.testing.assert_array_equal(source(path).read(box), given.transpose(3, 2, 1, 0)[:, 5:25, 10:40, 1:3])


@pytest.mark.slow
def test_scenes_of_czi_that_its_metadata_do_not_list_are_refused(tmp_path):
    czi = pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip("bioio_czi")
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for scene in range(2):
            file.write(data=noise(80, 90, 1), plane={"C": 0}, scene=scene, location=(1000 * scene, 0))
    with pytest.raises(UnsupportedSource, match="2 scenes, of which its metadata list none"):
        layers(path)


@pytest.mark.slow
def test_channels_that_a_reader_counts_without_names_are_numbered(tmp_path):
    mrc = pytest.importorskip("mrc")
    pytest.importorskip("bioio_dv")
    given, path = noise(2, 7, 8, 9, dtype="uint16"), tmp_path / "a.dv"
    mrc.imsave(path, given, resolution=(0.25, 0.25, 1), metadata={"wave": [525, 632, 0, 0, 0]})
    assert BIOIO.detect(path).reason == "its name ends in .dv, which bioio-dv reads"
    found = layers(path)
    assert [layer.name for layer in found] == ["channel_0", "channel_1"]
    for layer, each in zip(found, given, strict=True):
        np.testing.assert_array_equal(read_checked(layer.source)[0], in_order(each))
        assert layer.source.info.voxel_size.size == (250, 250, 1000)


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (
            ModuleNotFoundError("No module named 'xsdata'", name="xsdata.x"),
            UnsupportedSource,
            "lacks a library.*xsdata`",
        ),
        (NotImplementedError("mosaics"), UnsupportedSource, "does not read what .*a.czi holds.*mosaics"),
        (ValueError("JPEG XR is not supported"), UnsupportedSource, "does not read what .*a.czi holds.*JPEG XR"),
        (ValueError("bad magic"), BrokenSource, "a.czi is damaged.*bad magic"),
        (EOFError(), BrokenSource, "a.czi is cut short"),
        (OptionError("of ours, not supported"), OptionError, "of ours"),
    ],
)
def test_a_missing_library_what_is_not_supported_and_damage_are_told_apart(tmp_path, raised, kind, told):
    with pytest.raises(kind, match=told), by_bioio(tmp_path / "a.czi"):
        raise raised


@pytest.mark.slow
def test_what_no_reader_takes_or_is_cut_is_refused(tmp_path):
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(99))
    with pytest.raises(UnsupportedSource, match=r"no installed reader of bioio takes .*a\.czi"):
        layers(tmp_path / "a.czi")
    path = saved(tmp_path / "a.ome.tiff", noise(7, 80, 90), "ZYX")
    content = path.read_bytes()
    for part in range(1, 20):
        path.write_bytes(content[: len(content) * part // 20])
        with pytest.raises(WkconvertError, match=r"a\.ome\.tiff"):
            voxels(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "check", ["imports", "unknown option", "info", "boxes", "pickle", "threads", "loky", "no open handles", "untouched"]
)
def test_the_contract_holds(tmp_path, check):
    path = saved(tmp_path / "a.ome.tiff", noise(3, 7, 80, 90, dtype="uint16"), "CZYX")
    CHECKS[check](path, reader="bioio")
