"""Images as other programs write them: OME-Zarr by zarr-python, N5 and precomputed volumes by tensorstore."""

import json

import numpy as np
import pytest

from wkconvert_core.testing import Reader

zarr = pytest.importorskip("zarr", reason="the arrays of these tests are written by zarr-python")
import tensorstore as ts  # noqa: E402

import wkconvert_zarr  # noqa: E402

READER = Reader(wkconvert_zarr)
UNITS = {"x": "nanometer", "y": "nanometer", "z": "nanometer"}
KINDS = {"c": "channel", "t": "time"}


def put(file, document):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))


def array(path, voxels, *, version=3, chunks=None, **options):
    """An array with the axes of `voxels`."""
    made = zarr.create_array(
        path,
        shape=voxels.shape,
        dtype=voxels.dtype,
        chunks=chunks or tuple(min(16, side) for side in voxels.shape),
        zarr_format=version,
        **options,
    )
    made[...] = voxels
    return path


def coarser(voxels, factor):
    """Every n-th voxel: as many as a coarser level has, rounded up."""
    return voxels[tuple(slice(None, None, step) for step in factor)]


def attributes(group, about, version):
    """Write the attributes of a group: OME-Zarr 0.5 is Zarr 3, 0.4 is Zarr 2."""
    if version == "0.5":
        put(group / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"ome": about}})
    else:
        put(group / ".zgroup", {"zarr_format": 2})
        put(group / ".zattrs", about)


def ome(
    path,
    levels,
    axes="zyx",
    *,
    version="0.5",
    scale=None,
    factor=None,
    translations=None,
    units=UNITS,
    more=None,
    **options,
):
    """An image of OME-Zarr. `scale` is that of level 0, `factor` between levels, both along the axes of the array."""
    scale, factor = scale or [4.0] * len(axes), factor or [2 if axis in "xyz" else 1 for axis in axes]
    datasets = []
    for number, voxels in enumerate(levels):
        stored = 3 if version == "0.5" else 2
        array(path / f"s{number}", voxels, version=stored, **options)
        said = [{"type": "scale", "scale": [side * step**number for side, step in zip(scale, factor, strict=True)]}]
        if translations:
            said.append({"type": "translation", "translation": translations[number]})
        datasets.append({"path": f"s{number}", "coordinateTransformations": said})
    described = [{"name": axis, "type": KINDS.get(axis, "space")} for axis in axes]
    for axis in described:
        if axis["name"] in units:
            axis["unit"] = units[axis["name"]]
    multiscales = {"axes": described, "datasets": datasets, "name": "an image"}
    if version != "0.5":
        multiscales["version"] = version
    attributes(path, {"version": version, "multiscales": [multiscales], **(more or {})}, version)
    return path


def changed_attributes(path, change):
    """Let a function change the attributes of an image of 0.5."""
    document = json.loads((path / "zarr.json").read_text())
    change(document["attributes"]["ome"])
    put(path / "zarr.json", document)
    return path


def by_tensorstore(driver, path, voxels, **spec):
    made = ts.open({"driver": driver, "kvstore": f"file://{path}/", **spec}, create=True, open=True).result()
    made[...] = voxels
    return path


def n5(path, voxels, *, block=16, compression=None, **attributes):
    """An array of N5 with the axes x, y, z of `voxels`, and more attributes."""
    metadata = {
        "dimensions": list(voxels.shape),
        "blockSize": [min(block, side) for side in voxels.shape],
        "dataType": voxels.dtype.name,
        "compression": compression or {"type": "gzip"},
    }
    by_tensorstore("n5", path, voxels, metadata=metadata)
    document = json.loads((path / "attributes.json").read_text())
    put(path / "attributes.json", {**document, **attributes})
    return path


def precomputed(path, levels, *, kind="image", encoding="raw", resolution=(4, 4, 40), offset=(0, 0, 0), **scale):
    """A volume of neuroglancer; each level `[x, y, z, c]` is half as large along x and y as the one before."""
    for number, voxels in enumerate(levels):
        x, y, z = resolution
        about = {
            "size": voxels.shape[:3],
            "resolution": [x * 2**number, y * 2**number, z],
            "voxel_offset": [offset[0] // 2**number, offset[1] // 2**number, offset[2]],
            "chunk_size": [16, 16, 16],
            "encoding": encoding,
            **scale,
        }
        many = {"data_type": voxels.dtype.name, "num_channels": voxels.shape[3], "type": kind}
        by_tensorstore("neuroglancer_precomputed", path, voxels, multiscale_metadata=many, scale_metadata=about)
    return path


def zyx(voxels):
    """Voxels `[x, y, z]` as an array z, y, x."""
    return np.ascontiguousarray(voxels.T)
