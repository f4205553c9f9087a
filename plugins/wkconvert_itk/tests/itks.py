"""Making files with SimpleITK and pydicom, reading them with GDCM (of SimpleITK), and opening them as core does."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

import wkconvert_itk
from wkconvert_core.testing import Reader

sitk = pytest.importorskip("SimpleITK")  # it makes volumes, and reads slices in another way

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


def enhanced(path, voxels, positions, *, shared=None, **elements):
    """A file with a frame for each slice of voxels `[x, y, z]`; `elements` are lists, of each frame its own."""
    slice_file(path, voxels[..., 0], ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    made = pydicom.dcmread(path)
    made.NumberOfFrames = voxels.shape[2]
    made.PixelData = np.ascontiguousarray(voxels.T).tobytes()
    made.SharedFunctionalGroupsSequence = [
        group(
            PlaneOrientationSequence={"ImageOrientationPatient": list(TRANSVERSE)},
            PixelMeasuresSequence={"PixelSpacing": [0.5, 0.25]},
            **(shared or {}),
        )
    ]
    made.PerFrameFunctionalGroupsSequence = [
        group(
            PlanePositionSequence={"ImagePositionPatient": list(position)},
            **{name: each[frame] for name, each in elements.items()},
        )
        for frame, position in enumerate(positions)
    ]
    made.save_as(path, enforce_file_format=True)
    return path


def group(**sequences):
    """A functional group: sequences of one item each."""
    made = pydicom.Dataset()
    for name, elements in sequences.items():
        item = pydicom.Dataset()
        for word, value in elements.items():
            setattr(item, word, value)
        setattr(made, name, [item])
    return made


def by_gdcm(path):
    """The stored values of an image `[y, x]` by GDCM, without the slope and intercept that it applies."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    found = sitk.GetArrayFromImage(sitk.ReadImage(path)).squeeze()
    slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    found = found if (slope, intercept) == (1, 0) else np.rint((found.astype(float) - intercept) / slope)
    is_inverted = header.PhotometricInterpretation == "MONOCHROME1"  # which GDCM turns around
    return 2**header.BitsStored - 1 - found if is_inverted else found
