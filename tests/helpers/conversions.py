"""Small volumes, their conversion, and what the dataset then holds."""

import filecmp
import functools
import json
from contextlib import contextmanager

import numpy as np
from typer.testing import CliRunner

from wkconvert_core import Mag, VoxelSize
from wkconvert_core.cli.app import app
from wkconvert_core.conversion.execute import convert, execute
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins

PROPERTIES = "datasource-properties.json"
SIZE = VoxelSize((4.0, 4.0, 35.0), "nm", "the test")
SETTINGS = Settings(voxel_size=SIZE, jobs=2)
JOBS = Settings(jobs=2)
"""For commands on datasets, which know their voxel size."""


# --- making ----------------------------------------------------------------------------------------------------------


def random_voxels(shape=(150, 130, 70), dtype="uint8", channels=1, seed=0):
    """Noise [c, x, y, z] from 0 to 249."""
    return _noise((channels, *shape), dtype, seed).copy()


@functools.lru_cache(8)
def _noise(shape, dtype, seed):
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def em(shape=(70, 60, 40), dtype="uint8", channels=1, seed=0):
    """The same, small: one color layer that is converted in a moment."""
    return random_voxels(shape, dtype, channels, seed)


def dataset_of(path, voxels, **given):
    """A dataset of one layer, `em` unless `given` says otherwise, from voxels `[x, y, z]`, in its finest mag alone."""
    source = path.with_suffix(".npy")
    np.save(source, np.ascontiguousarray(voxels.T))
    wanted = {"category": "color", "layer_name": "em", "voxel_size": SIZE, "downsample": False, **given}
    convert(source, path, Settings(reader_options={"axes": "zyx"}, **wanted))
    return path


def carry_out(conversion):
    """Execute what a command has prepared, with nobody listening."""
    return execute(conversion, lambda progress: None)


def invoke(*args):
    """A command as the command line runs it, in this process; what is no exit is raised."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# --- metadata --------------------------------------------------------------------------------------------------------


def properties(dataset):
    return json.loads((dataset / PROPERTIES).read_text())


@contextmanager
def edited(dataset):
    """The metadata, to be changed as in a text editor."""
    found = properties(dataset)
    yield found
    (dataset / PROPERTIES).write_text(json.dumps(found))


def edit(dataset, change):
    """The same by a function of the metadata and the first layer's entry."""
    with edited(dataset) as found:
        change(found, found["dataLayers"][0])


def layers_of(dataset):
    return {layer["name"]: layer for layer in properties(dataset)["dataLayers"]}


def mags_of(dataset, layer="color"):
    return ["-".join(map(str, mag["mag"])) for mag in layers_of(dataset)[layer]["mags"]]


# --- voxels and files ------------------------------------------------------------------------------------------------


def read(dataset, layer="color", mag="1"):
    """A mag's voxels, as core's own reader of datasets gives them."""
    found = plugins().hook.wkconvert_open(format="webknossos", path=dataset, options={})
    source = next(item for item in found if item.name == layer).mags[Mag.parse(mag)]
    return source.read(source.info.box)


def every_mag(dataset):
    found = plugins().hook.wkconvert_open(format="webknossos", path=dataset, options={})
    return {(layer.name, mag): source.read(source.info.box) for layer in found for mag, source in layer.mags.items()}


def files(folder, pattern="*"):
    return {str(path.relative_to(folder)) for path in folder.rglob(pattern) if path.is_file()}


def different(a, b, pattern="*"):
    """The files that two folders do not have in common, or that differ."""
    ours, theirs = files(a, pattern), files(b, pattern)
    assert ours or theirs, "there is nothing to compare"
    shared = sorted(ours & theirs)
    return sorted(ours ^ theirs) + [name for name in shared if not filecmp.cmp(a / name, b / name, shallow=False)]
