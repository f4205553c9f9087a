"""Ids that are saved as pictures, with a palette or with white as 0, keep their numbers in whatever reader's hands."""

import numpy as np
import pytest
import tifffile
from helpers.conversions import invoke, properties
from PIL import Image

import wkconvert

IDS = np.kron(np.random.default_rng(7).integers(0, 6, (4, 4)), np.ones((8, 8), int)).astype("uint8")
COLORS = np.random.default_rng(8).integers(0, 255, (256, 3)).astype("uint8")


def palette(path, colors=COLORS):
    picture = Image.fromarray(IDS, "P")
    picture.putpalette(colors.tobytes())
    picture.save(path)


def grey_palette(path):
    palette(path, np.repeat(255 - np.arange(256, dtype="uint8")[:, None], 3, axis=1))


def tiff_palette(path):
    tifffile.imwrite(path, IDS, photometric="palette", colormap=COLORS.T.astype("uint16") * 257)


def white_is_0(path):
    tifffile.imwrite(path, IDS.astype("uint16"), photometric="miniswhite")


KINDS = {"palette": palette, "palette of greys": grey_palette, "TIFF with a palette": tiff_palette, "white": white_is_0}
LAYOUTS = {
    "stack": ["s0", "s1"],
    "tiles": [f"{z}/{y}/{x}" for z in range(2) for y in range(2) for x in range(2)],
    "picture": [""],
}


def planted(folder, names, save):
    suffix = ".tif" if save in (tiff_palette, white_is_0) else ".png"
    for name in names:
        path = folder / f"{name}{suffix}" if name else folder.with_suffix(suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path)
    return folder if names[0] else folder.with_suffix(suffix)


def converted(src, dst, *options):
    result = invoke("auto", src, dst, "--voxel-size", "4,4,4", "--max-mag", "1", *options)
    ((name, layer),) = wkconvert.open(dst).items()
    return name, properties(dst)["dataLayers"][0]["category"], np.asarray(layer.finest), result.output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("said", ["labels", "--category"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_ids_in_pictures_are_their_numbers(tmp_path, kind, layout, said):
    name = "labels" if said == "labels" else "em"
    options = [] if said == "labels" else ["--category", "segmentation"]
    src = planted(tmp_path / name, LAYOUTS[layout], KINDS[kind])
    _, category, voxels, told = converted(src, tmp_path / "dst", *options)
    assert category == "segmentation"
    np.testing.assert_array_equal(voxels[..., :32, :32, 0].squeeze().T, IDS)
    assert "not inverted" in told if kind == "white" else "palette not applied (-o palette=colors" in told
    asked = ["-o", "white=invert" if kind == "white" else "palette=colors", "--category", "color"]
    assert not np.array_equal(converted(src, tmp_path / "color", *asked)[2][..., :32, :32, 0].squeeze().T, IDS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("kind", "layouts"), [("palette of greys", LAYOUTS), ("white", LAYOUTS)])
def test_what_turns_out_to_be_labels_keeps_its_numbers(tmp_path, kind, layouts):
    for layout, names in layouts.items():
        _, category, voxels, _ = converted(planted(tmp_path / layout, names, KINDS[kind]), tmp_path / f"{layout}.wkw")
        assert category == "segmentation"
        np.testing.assert_array_equal(voxels[..., :32, :32, 0].squeeze().T, IDS)


@pytest.mark.parametrize("names", [["s0", "s1"], ["0/0/0", "1/0/0"]])
def test_labels_in_jpeg_are_warned_of(tmp_path, names):
    for name in names:
        path = tmp_path / "labels" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IDS).save(path)
    assert "warning: the pictures are JPEG, which changes numbers" in converted(tmp_path / "labels", tmp_path / "a")[3]
    told = converted(tmp_path / "labels", tmp_path / "b", "--category", "color")[3]
    assert "JPEG" not in told.replace("JPEG picture", "")
