"""Conversions of small volumes, and what a dataset then holds."""

import filecmp
import json

import numpy as np

from wkconvert_core import Mag, VoxelSize
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins

SIZE = VoxelSize((4.0, 4.0, 35.0), "nm", "the test")
SETTINGS = Settings(voxel_size=SIZE, jobs=2)


def voxels(shape=(150, 130, 70), dtype="uint8", channels=1):
    return np.random.default_rng(0).integers(0, 250, (channels, *shape)).astype(dtype)


def layers_of(dataset):
    properties = json.loads((dataset / "datasource-properties.json").read_text())
    return {layer["name"]: layer for layer in properties["dataLayers"]}


def read(dataset, layer="color", mag="1"):
    """A mag's voxels, as core's own reader of datasets gives them."""
    found = plugins().hook.wkconvert_open(format="webknossos", path=dataset, options={})
    source = next(item for item in found if item.name == layer).mags[Mag.parse(mag)]
    return source.read(source.info.box)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def assert_same_tree(a, b):
    assert files(a) == files(b)
    different = [name for name in files(a) if not filecmp.cmp(a / name, b / name, shallow=False)]
    assert different == []


def every_mag(dataset):
    found = plugins().hook.wkconvert_open(format="webknossos", path=dataset, options={})
    return {(layer.name, mag): source.read(source.info.box) for layer in found for mag, source in layer.mags.items()}
