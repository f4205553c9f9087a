"""Real files, converted: what the reference library, and the peer where it is named, read from the dataset."""

import json
import subprocess

import numpy as np
import pytest
from helpers import paths
from helpers.datasets import PEER, needs_peer

from wkconvert_core import VoxelSize, WkconvertError
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.prepare import prepare_conversion as prepare
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.sources.views import Cast

SAMPLES = paths.SAMPLES
FILES = sorted(path for folder in ("tiff", "images") for path in (SAMPLES / folder).rglob("*.*") if path.is_file())
BROKEN = [path for path in FILES if "broken" in path.parts]
OPTIONS = {"multipage.tiff": {"series": "0"}}

pytest.importorskip("wkconvert_tiff")
wkw = pytest.importorskip("wkw")

READ = """
import hashlib, json, sys, webknossos
dataset = webknossos.Dataset.open(sys.argv[1])
print(json.dumps({name: [hashlib.sha256(mag.read().tobytes("F")).hexdigest() for mag in layer.mags.values()]
                  for name, layer in dataset.layers.items()}))
"""


def settings(path):
    return Settings(VoxelSize((4.0, 4.0, 35.0)), reader_options=OPTIONS.get(path.name, {}), name="ds")


@pytest.mark.slow
@paths.needs_samples
@pytest.mark.parametrize("path", [p for p in FILES if p not in BROKEN], ids=lambda p: p.name)
def test_every_voxel_of_a_real_file_is_in_the_dataset(tmp_path, path):
    conversion = prepare(path, tmp_path / "ds", settings(path))
    convert(path, tmp_path / "ds", settings(path))
    for layer in conversion.layers:
        source = layer.mags[min(layer.mags)]
        expected = source.read(source.info.box)
        if isinstance(source, Cast):  # 1-bit pictures: the values that the source has, as the notes say
            assert set(np.unique(expected)) <= ({0, 1} if layer.category == "segmentation" else {0, 255})
        with wkw.Dataset.open(str(tmp_path / "ds" / layer.name / "1")) as dataset:
            np.testing.assert_array_equal(dataset.read((0, 0, 0), layer.info.shape), expected)


@paths.needs_samples
@needs_peer
@pytest.mark.parametrize("path", [p for p in FILES if p not in BROKEN], ids=lambda p: p.name)
def test_the_peer_reads_every_mag_as_we_do(tmp_path, path):
    import hashlib

    done = convert(path, tmp_path / "ds", settings(path))
    command = [PEER, "-W", "ignore", "-c", READ, str(tmp_path / "ds")]
    seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for layer in done.layers:
        ours = []
        for spec in layer.mags:
            with wkw.Dataset.open(str(tmp_path / "ds" / layer.name / str(spec.mag))) as dataset:
                voxels = dataset.read(spec.box.start, spec.box.shape)
            ours.append(hashlib.sha256(voxels.tobytes("F")).hexdigest())
        assert seen[layer.name] == ours


@paths.needs_samples
@pytest.mark.parametrize("path", BROKEN, ids=lambda p: p.name[:20])
def test_a_broken_file_is_one_clear_error(tmp_path, path):
    with pytest.raises(WkconvertError, match=path.name[:20]) as caught:
        convert(path, tmp_path / "ds", settings(path))
    assert caught.value.why
    assert not (tmp_path / "ds").exists()


@paths.needs_samples
def test_a_folder_of_layers_becomes_one_dataset(tmp_path):
    for name, file in (("raw", "tiff/imagej_zyx_30x32x32.tif"), ("labels", "tiff/labels_uint32_multipage.tif")):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "volume.tif").symlink_to((SAMPLES / file).resolve())
    done = convert(tmp_path / "src", tmp_path / "ds", Settings(VoxelSize((4.0, 4.0, 4.0))))
    assert [(layer.name, layer.category) for layer in done.layers] == [("labels", "segmentation"), ("raw", "color")]
