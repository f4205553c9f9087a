"""Making files with SimpleITK and pydicom, and opening them as core does."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own name for itself

import wkconvert_itk
from wkconvert_core.testing import Reader

pydicom = pytest.importorskip("pydicom")  # it makes slices, and brings real ones

ITK, DICOM = Reader(wkconvert_itk, "itk"), Reader(wkconvert_itk, "dicom")
ANY = Reader(wkconvert_itk)

REAL = Path(pydicom.data.get_testdata_file("CT_small.dcm")).parent
"""Files of pydicom's own tests, of many scanners and programs."""

IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0, 1)
RAS = (-1, 0, 0, 0, -1, 0, 0, 0, 1)
"""Directions of axes that run to the right, the front and the top, in ITK's LPS."""


def image(voxels, direction=RAS, spacing=(2.0, 3.0, 4.0), origin=(5.0, -6.0, 7.0), *, is_vector=False):
    """SimpleITK's image of voxels `[x, y, z]`, or `[c, x, y, z]` if they are vectors."""
    made = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T), isVector=is_vector)
    made.SetDirection([float(number) for number in direction])
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    return made


def saved(path, voxels, direction=RAS, *, packed=False, is_vector=False, **more):
    sitk.WriteImage(image(voxels, direction, is_vector=is_vector, **more), path, packed)
    return Path(path)


TRANSVERSE = (1, 0, 0, 0, 1, 0)


def slice_file(path, values, position=(0, 0, 0), *, series="1.2.3", number=1, directions=TRANSVERSE, **elements):
    """A CT slice `[x, y]`, as pydicom writes it."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made = pydicom.dataset.FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.SeriesInstanceUID, made.Modality, made.SeriesDescription = series, "CT", "head"
    made.InstanceNumber, made.ImagePositionPatient, made.ImageOrientationPatient = (
        number,
        list(position),
        list(directions),
    )
    made.PixelSpacing, made.SliceThickness = [0.5, 0.25], 9
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = values.shape[::-1]
    made.BitsAllocated = made.BitsStored = 8 * values.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(values.dtype.kind == "i")
    made.PixelData = np.ascontiguousarray(values.T).tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    made.save_as(path, enforce_file_format=True)
    return Path(path)


def series(folder, voxels, step=2.0, *, names="{:03}", order=None, **elements):
    """A folder of slices of voxels `[x, y, z]` along z, `step` mm apart; `order` is in which they are numbered."""
    folder.mkdir(exist_ok=True)
    depth = voxels.shape[2]
    for name, z in enumerate(order or range(depth)):
        slice_file(folder / names.format(name), voxels[..., z], (10, 20, 30 + step * z), number=name + 1, **elements)
    return folder
