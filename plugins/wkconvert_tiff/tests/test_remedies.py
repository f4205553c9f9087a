"""Each way out that a refusal names leads to voxels, if need be by one question more."""

import re

import numpy as np
import pytest
import tifffile
from pictures_of import layers
from PIL import Image

from wkconvert_core import WkconvertError
from wkconvert_core.testing import noise, read_checked


def pages(*shape, dtype="uint8", **how):
    """A file of random planes `[…, y, x]`."""

    def write(path):
        values = noise(*shape, dtype=dtype) if len(shape) == 3 else np.resize(noise(64, 64, 4, dtype=dtype), shape)
        tifffile.imwrite(path, values, **{"photometric": "minisblack", **how})

    return write


def several(*each):
    """A file of pages that are written one by one."""

    def write(path):
        with tifffile.TiffWriter(path) as file:
            for shape, how in each:
                file.write(np.resize(noise(64, 64, 4, dtype="uint8"), shape), metadata=None, **how)

    return write


def two_kinds(path):
    path.mkdir()
    tifffile.imwrite(path / "s0.tif", noise(24, 20, 1, dtype="uint8")[..., 0])
    Image.fromarray(noise(24, 20, 1, dtype="uint8")[..., 0]).save(path / "s1.png")


def folder_of(write, numbers=(0, 1, 2)):
    def fill(path):
        path.mkdir()
        for number in numbers:
            write(path / f"s{number}.tif")

    return fill


RGB = {"photometric": "rgb"}
APART = {**RGB, "planarconfig": "separate"}
IMAGEJ = "ImageJ=1.53\nimages=6\nslices=3\nchannels=2\nhyperstack=true\n"
SCANIMAGE = "\n".join(
    (
        "SI.hChannels.channelSave = [1;2]",
        "SI.hStackManager.actualNumSlices = 3",
        "SI.hStackManager.actualNumVolumes = 5",
    )
)
REFUSED = {
    "pages of three planes": pages(2, 3, 20, 24, dtype="uint16", **APART),
    "pages of four planes": pages(2, 4, 20, 24, dtype="float32", **APART),
    "pages of three planes along two axes": pages(2, 3, 4, 20, 24, dtype="uint16", **APART),
    "one page of three planes": pages(3, 20, 24, dtype="float32", **APART),
    "pages of planes of ids": pages(2, 20, 24, 3, dtype="uint64", **RGB, metadata=None),
    "two unnamed axes of RGB": pages(2, 3, 20, 24, 3, **RGB, metadata={"axes": "QIYXS"}),
    "three unnamed axes": pages(2, 3, 4, 20, 24, dtype="uint64"),
    "times of RGB": pages(3, 20, 24, 3, **RGB, metadata={"axes": "TYXS"}),
    "times and channels": pages(4, 2, 20, 24, metadata={"axes": "TCYX"}),
    "an ImageJ count that does not fit": pages(5, 20, 24, metadata=None, description=IMAGEJ),
    "a shape that does not fit": pages(5, 20, 24, 3, **RGB, metadata=None, description='{"shape": [6, 20, 24, 3]}'),
    "an ended acquisition": pages(24, 20, 24, metadata=None, software=SCANIMAGE),
    "pages of two sizes": several(((20, 24), {}), ((20, 24), {}), ((10, 12), {})),
    "files of several pages": folder_of(pages(3, 20, 24, 3, **RGB, metadata=None)),
    "files of times": folder_of(pages(3, 20, 24, metadata={"axes": "TYX"})),
    "a hole": folder_of(several(((20, 24), {})), (0, 1, 3)),
    "two kinds": two_kinds,
}
WAYS = re.compile(r"-o (\w+)=((?:[A-Z]\d+,?)*[A-Z]\d+|\w+)(?: --reader (\w+))?|--(gaps) (\w+)|--(pad)\b")


@pytest.mark.parametrize("name", REFUSED)
def test_every_way_that_a_refusal_names_leads_on(tmp_path, name):
    path = tmp_path / "a.tif"
    REFUSED[name](path)
    said = {"category": "segmentation"} if name.endswith("of ids") else {}
    with pytest.raises(WkconvertError) as caught:
        layers(path, "tiff", **said)
    follow(path, "tiff", said, caught.value)


def follow(path, reader, options, error, depth=3):
    """Go each way that an error names to its end."""
    assert depth, f"{options} asks and asks: {error}"
    ways = WAYS.findall(error.fix)
    assert ways, f"no way out: {error}"
    for key, value, other, gaps, how, pad in ways:
        way = {key: "0" if value == "N" else value} if key else {gaps: how} if gaps else {pad: "true"}
        assert not way.items() <= options.items(), f"it asks for what was said: {error}"
        kept = {} if key in ("planes", "plain") else options  # which stand for others
        taken = other or reader
        try:
            for layer in layers(path, taken, **kept, **way):
                assert read_checked(layer.source).size
        except WkconvertError as again:
            follow(path, taken, kept | way, again, depth - 1)
