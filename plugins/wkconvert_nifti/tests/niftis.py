"""Making NIfTI files with nibabel, and opening them as core does."""

import json
from pathlib import Path

import nibabel
import numpy as np
from helpers import paths

import wkconvert_nifti
from wkconvert_core import Box
from wkconvert_core.testing import Reader

SAMPLES = paths.SAMPLES / "nifti"

NIFTI = Reader(wkconvert_nifti, "nifti")
detect, layers, source, voxels = NIFTI.detect, NIFTI.layers, NIFTI.source, NIFTI.voxels

RAS = np.diag([2.0, 3.0, 4.0, 1.0])
LAS = np.diag([-2.0, 3.0, 4.0, 1.0])


def image(voxels, affine=RAS, *, version=1, order="<", unit="mm", **fields):
    """An image of nibabel's with these fields in its header."""
    kind = {1: nibabel.Nifti1Image, 2: nibabel.Nifti2Image}[version]
    header = kind.header_class(endianness=order)
    header.set_data_dtype(voxels.dtype)
    made = kind(voxels, affine, header)
    made.header.set_xyzt_units(unit)
    for name, value in fields.items():
        made.header[name] = value
    return made


def saved(path, voxels, affine=RAS, **more):
    image(voxels, affine, **more).to_filename(path)
    return Path(path)


def patched(path, place, content):
    """Write bytes into a file, for what nibabel does not let out of its hands."""
    data = bytearray(path.read_bytes())
    data[place : place + len(content)] = content
    path.write_bytes(data)
    return path


def boxes(dataset):
    """The boxes of a dataset's layers."""
    metadata = json.loads((dataset / "datasource-properties.json").read_text())
    found = {layer["name"]: layer["boundingBox"] for layer in metadata["dataLayers"]}
    return {
        name: Box(tuple(box["topLeft"]), (box["width"], box["height"], box["depth"])) for name, box in found.items()
    }


def moved(affine, by):
    """The affine of voxels that begin `by` voxels further."""
    result = affine.copy()
    result[:3, 3] += affine[:3, :3] @ by
    return result
