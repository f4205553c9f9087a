"""What a folder is does not depend on what is installed: trees of readers that are missing are known by their names."""

import itertools
import re
from importlib.metadata import EntryPoint, entry_points

import numpy as np
import pytest

from wkconvert_core.contract.errors import OptionError, UnknownFormat, UnsupportedSource
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.detection import find
from wkconvert_core.registry.known_shapes import tree_at
from wkconvert_core.registry.plugins import GROUP, Plugins, plugins

N = range


def made(folder, pattern, **fields):
    for values in itertools.product(*fields.values()):
        path = folder / pattern.format(**dict(zip(fields, values, strict=True)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff picture")
    return folder


TREES = {
    "z/y/x": ("tiles", "{z}/{y}/{x}.jpg", {"z": N(3), "y": N(2), "x": N(2)}),
    "padded, PNG": ("tiles", "{z:03}/{y:03}/{x:03}.PNG", {"z": N(3), "y": N(2), "x": N(2)}),
    "CATMAID 1": ("tiles", "{z}/{y}_{x}_{zoom}.jpg", {"z": N(3), "y": N(2), "x": N(2), "zoom": N(2)}),
    "CATMAID 4": ("tiles", "{z}/{zoom}/{y}_{x}.jpg", {"z": N(3), "zoom": N(2), "y": N(2), "x": N(2)}),
    "CATMAID 5": ("tiles", "{zoom}/{z}/{y}/{x}.jpg", {"zoom": N(2), "z": N(3), "y": N(2), "x": N(2)}),
    "without zoom": ("tiles", "{z}/{y}_{x}.jpg", {"z": N(3), "y": N(2), "x": N(2)}),
    "words": ("tiles", "slice_{z}/row{y}_col{x}.png", {"z": N(3), "y": N(2), "x": N(2)}),
    "r and c": ("tiles", "z{z}/r{y:03}_c{x:03}.png", {"z": N(3), "y": N(2), "x": N(2)}),
    "rows": ("tiles", "{y}/{x}.png", {"y": N(4), "x": N(5)}),
    "without zoom, JPG": ("tiles", "{z}/{y}_{x}.JPG", {"z": N(3), "y": N(2), "x": N(2)}),
    "rows, PNG": ("tiles", "{y}/{x}.PNG", {"y": N(4), "x": N(5)}),
    "many rows": ("tiles", "{y}/{x}.png", {"y": N(14), "x": N(15)}),
    "KNOSSOS": ("knossos", "mag1/x{x:04}/y{y:04}/z{z:04}/em_x{x:04}_y{y:04}_z{z:04}.png", {a: N(2) for a in "xyz"}),
    "raw cubes": ("knossos", "em_mag1/x{x:04}/y{y:04}/z{z:04}/c.raw", {a: N(2) for a in "xyz"}),
    "overlay cubes": ("knossos", "mag1/x{x:04}/y{y:04}/z{z:04}/c.seg.sz.zip", {a: N(2) for a in "xyz"}),
    "one mag": ("knossos", "x{x:04}/y{y:04}/z{z:04}/c.jpg", {a: N(2) for a in "xyz"}),
}
LAYERS = {
    "a folder each": ("{layer}/s{z}.jpg", {"layer": ["raw", "labels"], "z": N(3)}),
    "numbered folders": ("{layer}/{z}.jpg", {"layer": N(2), "z": N(20)}),
    "by position": ("exp_x{x}_y{y}/s{z}.jpg", {"x": N(2), "y": N(2), "z": N(3)}),
    "deeper": ("mouse{d}/run{r}/s{z:03}.jpg", {"d": N(2), "r": N(2), "z": N(3)}),
    "by channel": ("{c}/img_{z}.jpg", {"c": ["DAPI", "GFP"], "z": N(3)}),
}


def only(*names):
    points = [point for point in entry_points(group=GROUP) if point.name in names]
    assert len(points) == len(names)
    return Plugins(iter(points))


@pytest.mark.parametrize(("reader", "pattern", "fields"), TREES.values(), ids=TREES)
def test_a_tree_is_no_folder_of_layers_whatever_is_installed(tmp_path, reader, pattern, fields):
    tree = made(tmp_path / "em", pattern, **fields)
    assert [found.match.format for found in find(tree, plugins())] == [reader]
    for src in (tree, tmp_path):  # as the source, and as one of the layers in it
        with pytest.raises(UnknownFormat, match="em looks like") as caught:
            find(src, only("tiff"))
        assert f'pip install "wkconvert[{reader}]"' in caught.value.fix
        assert f"the reader {reader} is not installed" in caught.value.why


@pytest.mark.parametrize(("reader", "extra"), [("nifti", "nifti"), ("pictures", "tiff"), ("tiles", "tiles")])
def test_a_reader_of_ours_that_is_missing_is_asked_for_by_what_brings_it(tmp_path, reader, extra):
    with pytest.raises(OptionError, match=f"--reader {reader} is not there. the reader {extra} is") as caught:
        find(tmp_path, only("dm"), reader)
    assert caught.value.fix.startswith(f'pip install "wkconvert[{extra}]"; or ')
    with pytest.raises(OptionError, match="no reader is called 'dn5'") as caught:
        find(tmp_path, only("dm"), "dn5")
    assert caught.value.fix.startswith("take one of dm")


@pytest.mark.parametrize(("pattern", "fields"), LAYERS.values(), ids=LAYERS)
def test_folders_of_layers_are_layers_whatever_is_installed(tmp_path, pattern, fields):
    made(tmp_path, pattern, **fields)
    assert tree_at(tmp_path) is None
    found = find(tmp_path, only("tiff"))
    assert found == find(tmp_path, plugins())
    assert {one.match.format for one in found} == {"pictures"}


@pytest.mark.parametrize(
    "word",
    [
        "t",
        "time_",
        "Pos",
        "slice",
        "z",
        "ZStep_",
        "TimePoint_",
        "Zeit_",
        "Temps_",
        "Tag",
        "day",
        "Feld_",
        "Kachel_",
        "Ebene",
    ],
)
def test_folders_that_count_slices_times_or_positions_are_no_layers(tmp_path, word):
    made(tmp_path, "{word}{n:03}/img_{z}.jpg", word=[word], n=N(3), z=[0])
    with pytest.raises(UnsupportedSource, match=r"the folders in .* count") as caught:
        find(tmp_path, only("tiff"))
    assert str(tmp_path / f"{word}000") in caught.value.fix
    assert len(find(tmp_path, only("tiff"), reader="pictures")) == 3


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        (["A1", "A2", "B1"], "3 wells (A1, A2, B1)"),
        (["A01", "A02"], "2 wells (A1, A2)"),
        (["Puits_A1", "Puits_B2"], "2 wells (A1, B2)"),
        (["well1", "well2"], "2 wells (1, 2)"),
        (["A1-Site_0", "A1-Site_1", "B1-Site_0"], "2 positions (site 0, 1)"),
        (["1-Pos_000_000", "1-Pos_000_001"], "2 positions (pos 0, 1)"),
        (["0h", "6h"], "2 time points (0, 6)"),
    ],
)
def test_folders_of_wells_and_of_a_stage_s_grid_are_no_layers(tmp_path, names, counted):
    made(tmp_path, "{name}/img_{z}.jpg", name=names, z=N(3))
    with pytest.raises(UnsupportedSource, match=re.escape(counted)):
        find(tmp_path, only("tiff"))


@pytest.mark.parametrize(
    ("names", "warned"),
    [("scan1 scan2", True), ("Region1 Region2", True), ("1 2", True), ("ch0 ch1", False), ("raw labels", False)],
)
def test_numbered_folders_are_layers_with_a_warning(tmp_path, names, warned):
    made(tmp_path, "{name}/img_{z}.jpg", name=names.split(), z=N(3))
    notes = {note for found in find(tmp_path, only("tiff")) for note in found.notes}
    assert [type(note) for note in notes] == [WarningNote] * warned
    assert all(note.endswith("convert one of them") and names.replace(" ", ", ") in note for note in notes)


@pytest.mark.parametrize("names", ["ch0 ch1", "run1 run2", "s1 s2", "1 2", "labels_t1 raw_t1", "t1", "T1 T2"])
def test_folders_that_may_be_layers_are_layers(tmp_path, names):
    made(tmp_path, "{name}/img_{z}.jpg", name=names.split(), z=N(3))
    assert [found.layer for found in find(tmp_path, only("tiff"))] == names.split()


@pytest.mark.parametrize("numbers", [["000", "001", "002"], ["1", "2"]])
def test_numbered_folders_of_one_picture_each_are_asked_about(tmp_path, numbers):
    made(tmp_path, "{n}/image.tif", n=numbers)
    with pytest.raises(UnsupportedSource, match="are numbered and hold one picture each"):
        find(tmp_path, only("tiff"))
    assert [found.layer for found in find(tmp_path, only("tiff"), reader="pictures")] == numbers
    made(tmp_path, "{n}/more.tif", n=numbers)
    assert len(find(tmp_path, only("tiff"))) == len(numbers), "folders of several pictures are layers"


def test_what_a_microscope_writes_beside_its_images_is_no_warning(tmp_path):
    made(tmp_path, "{layer}/s{z}.jpg", layer=["raw", "labels"], z=N(3))
    (tmp_path / "MetaData").mkdir()
    (tmp_path / "MetaData" / "raw.xml").write_text("<Data/>")
    assert [found.notes for found in find(tmp_path, only("tiff"))] == [(), ()]
    (tmp_path / "MetaData").rename(tmp_path / "other")
    assert "other" in find(tmp_path, only("tiff"))[0].notes[0]


def test_folders_are_layers_if_that_is_said(tmp_path):
    tree = made(tmp_path, "{z}/{y}/{x}.jpg", z=N(3), y=N(2), x=N(2))
    assert len(find(tree, only("tiff"), reader="pictures")) == 6


def test_a_reader_that_cannot_be_loaded_is_not_said_to_be_missing(tmp_path):
    tree = made(tmp_path, "{z}/{y}/{x}.jpg", z=N(3), y=N(2), x=N(2))
    points = iter([EntryPoint("tiles", "no_such_module", GROUP)])
    with pytest.raises(UnknownFormat, match=r"the reader tiles failed to load: .*no_such_module"):
        find(tree, Plugins(points))


def test_what_is_left_out_for_want_of_a_reader_is_told_with_what_to_install(tmp_path):
    made(tmp_path, "em/s{z}.jpg", z=N(3))
    (tmp_path / "labels.nii.gz").write_bytes(b"\x1f\x8b rest")
    (found,) = find(tmp_path, only("tiff"))
    (note,) = found.notes
    assert "labels.nii.gz" in note
    assert 'pip install "wkconvert[nifti]"' in note


def test_what_is_installed_is_not_advised(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK rest")
    with pytest.raises(UnknownFormat) as caught:
        find(tmp_path, plugins())
    assert "pip install" not in caught.value.fix
    with pytest.raises(UnknownFormat) as caught:
        find(tmp_path, only("tiff"))
    assert caught.value.fix == 'try pip install "wkconvert[knossos]"'


def test_what_is_empty_is_told(tmp_path):
    made(tmp_path, "em/s{z}.jpg", z=N(3))
    (tmp_path / "labels").mkdir()
    (tmp_path / "more.tif").touch()
    (tmp_path / "notes").touch()
    (found,) = find(tmp_path, only("tiff"))
    assert [type(note) for note in found.notes] == [WarningNote]
    assert found.notes[0].endswith("as there is nothing in it: labels, more.tif")


@pytest.mark.parametrize(
    ("names", "depth", "words"),
    [
        (["s000", "s001", "s002"], 1, "are numbered and hold one slice each: s000, s001, s002"),
        (["em_t0", "em_t1"], 5, r"count 2 time points \(t 0, 1\), not layers"),
        (["em_z0", "em_z1"], 1, "count 2 slices"),
    ],
)
def test_files_of_one_volume_each_that_count_slices_or_times_are_no_layers(tmp_path, names, depth, words):
    for name in names:
        np.save(tmp_path / f"{name}.npy", np.ones((depth, 6, 7), "u1"))
    with pytest.raises(UnsupportedSource, match=words) as refused:
        open_source(tmp_path, Settings(), plugins())
    assert "--reader npy" in refused.value.fix
    found = open_source(tmp_path, Settings(reader="npy", reader_options={"axes": "zyx"}), plugins())
    assert [layer.name for layer in found] == names


@pytest.mark.parametrize("names", [["scan1", "scan2"], ["raw", "labels"], ["em_ch0", "em_ch1"], ["T1", "T2"]])
def test_files_of_one_volume_each_are_layers_with_a_warning_if_they_are_numbered(tmp_path, names):
    for name in names:
        np.save(tmp_path / f"{name}.npy", np.ones((5, 6, 7), "u1"))
    found = open_source(tmp_path, Settings(reader_options={"axes": "zyx"}), plugins())
    assert {layer.name for layer in found} == {*names}
    warned = [note for layer in found for note in layer.notes if "each file of" in note]
    assert len(warned) == (2 if names[0] == "scan1" else 0)


def test_an_option_that_says_layers_is_believed(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for t in N(2):
        tifffile.imwrite(tmp_path / f"em_t{t}.tif", np.ones((3, 6, 7), "u1"), photometric="minisblack")
    found = open_source(tmp_path, Settings(reader_options={"multipage": "layers"}), plugins())
    assert [layer.name for layer in found] == ["em_t0", "em_t1"]
