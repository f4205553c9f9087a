"""The hooks: what is claimed and what is not, and core's compliance kit on datasets of several kinds."""

import subprocess
import sys
from pathlib import Path

import pytest
from cubes_of import SAMPLE, dataset, detect, layers, noise, save_cube, save_volume
from helpers.paths import needs_samples

from wkconvert_core import Confidence, OptionError, UnsupportedSource
from wkconvert_core.testing import Sample, SourceContract, check_header_only_open


def raw(to):
    return Sample(to, expected=dataset(to)[None])


def missing(to):
    voxels = noise((70, 40, 50))
    save_volume(to / "mag1", voxels, skip=[(1, 0, 1)])
    (to / "ex.k.conf").write_text("boundary x 70; boundary y 40; boundary z 50;cube_edge_length 32")
    voxels[32:64, :32, 32:] = 0
    return Sample(to, expected=voxels[None])


def png(to):
    return Sample(to, expected=dataset(to, suffix=".png")[None])


def overlay(to):
    return Sample(to, expected=dataset(to, suffix=".seg.sz.zip", dtype="uint64")[None])


def part(to):
    return Sample(to / "mag1" / "x0001", expected=dataset(to)[None, 32:64])


def cube(to):
    voxels = dataset(to)
    return Sample(next((to / "mag1").glob("x0001/y0000/z0001/*.raw")), expected=voxels[None, 32:64, :32, 32:])


def j2k(to):
    return Sample(to, expected=dataset(to, suffix=".j2k")[None])


SAMPLES = [raw, missing, png, j2k, overlay, part, cube]


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLES, ids=lambda make: make.__name__)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return request.param(tmp_path_factory.mktemp("sample") / "dataset")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".raw", ".png", ".seg.sz.zip"])
def test_opening_reads_headers_only(tmp_path, suffix):
    voxels = noise((128, 128, 128), "uint64" if "seg" in suffix else "uint8")
    for x in range(4):
        save_cube(tmp_path / "mag1", (x, 0, 0), voxels, suffix)
    check_header_only_open(tmp_path)


@pytest.mark.slow
def test_opening_does_not_keep_the_names_of_all_files_beside_a_dataset(tmp_path):
    for x in range(4):
        save_cube(tmp_path / "ds" / "mag1", (x, 0, 0), noise((128, 128, 128)))
    for number in range(20_000):
        (tmp_path / f"a file of somebody else, {number}").touch()
    check_header_only_open(tmp_path / "ds")


@pytest.mark.parametrize(
    "place", ["", "mag1", "mag1/x0000", "mag1/x0000/y0001", "mag1/x0000/y0001/z0000", "the cube", "a level above"]
)
def test_a_dataset_is_claimed_from_every_level(tmp_path, place):
    dataset(tmp_path / "ds")
    path = tmp_path / "ds" / place
    if place == "the cube":
        path = next((tmp_path / "ds/mag1/x0000/y0001/z0000").iterdir())
    if place == "a level above":
        assert detect(tmp_path) is None, "core looks below"
        return
    found = detect(path)
    assert (found.format, found.confidence, found.reason) == ("knossos", Confidence.EXACT, "cubes of KNOSSOS in mag1")


@pytest.mark.parametrize("name", ["mag1", "1", "ex_mag1", "mag16", "64"])
def test_folders_of_mags_are_known_by_several_names(tmp_path, name):
    save_cube(tmp_path / "ds" / name, (0, 2, 1), noise((4, 4, 4)))
    assert name in detect(tmp_path / "ds").reason


@pytest.mark.parametrize(
    "cube",
    [
        "mag1/x0000/y0000/z0000/a.txt",
        "mag1/x0000/y0000/z0000/.a.raw",
        "mag1/x0000/y0000/a.raw",
        "mag1/x0/y0/z0/a.raw",
        "mag1/x٠٠٠٠/y٠٠٠٠/z٠٠٠٠/a.raw",
        "a.raw",
        "00/01/02.png",
        "mag1/knossos.conf",
    ],
)
def test_other_folders_are_left_alone(tmp_path, cube):
    path = tmp_path / cube
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1")
    assert detect(tmp_path) is None
    assert detect(path) is None
    with pytest.raises(UnsupportedSource, match="holds no cubes of KNOSSOS"):
        layers(tmp_path)


@pytest.mark.parametrize("name", ["2024", "magic", "cubes", "mag١", "²"])
def test_a_folder_of_cubes_without_a_mag_in_its_name_is_claimed_itself(tmp_path, name):
    cube = save_cube(tmp_path / name, (0, 0, 0), noise((128, 128, 128)))
    assert detect(tmp_path) is None
    assert detect(tmp_path / name).confidence == detect(cube).confidence == Confidence.EXACT


def test_the_current_folder_has_a_name_too(tmp_path, monkeypatch):
    dataset(tmp_path / "ds")
    monkeypatch.chdir(tmp_path / "ds" / "mag1" / "x0001")
    assert detect(Path()).confidence == Confidence.EXACT
    assert layers(Path())[0].source.info.offset == (32, 0, 0)


def test_options_are_known_by_name_and_value(tmp_path):
    dataset(tmp_path)
    with pytest.raises(OptionError, match="extent, mags"):
        layers(tmp_path, mag=1)
    with pytest.raises(OptionError, match="all, first"):
        layers(tmp_path, mags="second")


@needs_samples
def test_the_real_cube_is_read_from_every_level():
    cube = SAMPLE / "mag1/x0001/y0000/z0000/test_mag1_x0001_y0000_z0000.raw"
    for path in (SAMPLE, *cube.relative_to(SAMPLE).parents):
        (layer,) = layers(SAMPLE / path)
        info = layer.source.info
        assert (info.shape, info.offset, info.voxel_size) == ((128, 128, 128), (128, 0, 0), None)
        assert layer.source.read(info.box)[0].tobytes(order="F") == cube.read_bytes()


def test_importing_and_detecting_import_no_library(tmp_path):
    dataset(tmp_path)
    code = f"""
import sys
from pathlib import Path
import wkconvert_knossos
assert wkconvert_knossos.wkconvert_detect(Path({str(tmp_path)!r}))
heavy = {{"numpy", "cramjam", "imageio", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
