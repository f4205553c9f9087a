"""Writing HDF5 files as the programs do whose kinds are read, and opening them as core does."""

import json

import h5py
import numpy as np

import wkconvert_hdf5
from wkconvert_core.testing import Reader

HDF5 = Reader(wkconvert_hdf5, "hdf5")
detect, layers, source, voxels = HDF5.detect, HDF5.layers, HDF5.source, HDF5.voxels


def seen(stored):
    """What is stored as `[z, y, x]`, as `[c, x, y, z]`."""
    return stored.T[np.newaxis]


def plain(path, stored, name="volume", attributes=(), **more):
    """A file with an array, and perhaps others already."""
    with h5py.File(path, "a") as file:
        data = file.create_dataset(name, data=stored, **more)
        data.attrs.update(attributes)
    return path


def ilastik(path, stored, axes, name="exported_data", **more):
    tags = json.dumps({"axes": [{"key": axis, "typeFlags": 2, "resolution": 0.0, "description": ""} for axis in axes]})
    return plain(path, stored, name, {"axistags": tags}, **more)


def matlab(path, array, name="A"):
    """What `save -v7.3` writes of an array: column by column, behind 512 bytes of its own."""
    with h5py.File(path, "w", userblock_size=512) as file:
        data = file.create_dataset(name, data=np.ascontiguousarray(array.T))
        data.attrs["MATLAB_class"] = np.bytes_(
            array.dtype.name.replace("float64", "double").replace("float32", "single")
        )
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b" "))
    return path


def letters(text):
    """An attribute as Imaris stores it."""
    return np.array([letter.encode() for letter in str(text)], "S1")


def imaris(path, channels, *, low=(10.0, 20.0, 30.0), size=(0.5, 0.5, 2.0), chunk=(8, 16, 16), colors=(), **image):
    """Channels `[z, y, x]` with two levels, filled up to whole chunks."""
    depth, height, width = channels[0].shape
    high = [start + side * count for start, side, count in zip(low, size, (width, height, depth), strict=True)]
    with h5py.File(path, "w") as file:
        file.attrs["ImarisVersion"] = letters("5.5.0")
        about = file.create_group("DataSetInfo/Image")
        told = {"X": width, "Y": height, "Z": depth, "Unit": "um", "Name": "a", **image}
        told |= {f"ExtMin{n}": start for n, start in enumerate(low)} | {f"ExtMax{n}": end for n, end in enumerate(high)}
        told |= image
        about.attrs.update({key: letters(value) for key, value in told.items()})
        for number, channel in enumerate(channels):
            named = file.create_group(f"DataSetInfo/Channel {number}")
            named.attrs["Name"] = letters(["GFP", "", "weird channel"][number])
            named.attrs["Color"] = letters(dict(enumerate(colors)).get(number, "1.000 0.500 0.000"))
            for level, data in enumerate((channel, halved(channel))):
                group = file.create_group(f"DataSet/ResolutionLevel {level}/TimePoint 0/Channel {number}")
                for axis, count in zip("ZYX", data.shape, strict=True):
                    group.attrs[f"ImageSize{axis}"] = letters(count)
                padded = np.pad(data, [(0, -count % side) for count, side in zip(data.shape, chunk, strict=True)])
                group.create_dataset("Data", data=padded, chunks=chunk, compression="gzip")
    return path


def halved(data):
    """Every second voxel: another level."""
    return data[::2, ::2, ::2]


def spim(path, setups, *, times=1, size=(0.5, 0.5, 2.0), unit="micrometer", affines=None, levels=2, names=None):
    """`path.h5` with setups `[z, y, x]` of uint16, and `path.xml`."""
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        factors = np.array([[1, 1, 1], [2, 2, 2]][:levels], float)
        for number, stored in enumerate(setups):
            file[f"s{number:02}/resolutions"] = factors
            file[f"s{number:02}/subdivisions"] = np.full((levels, 3), 16, "i4")
            for time in range(times):
                moved = stored + stored.dtype.type(time)
                for level, data in enumerate([moved, halved(moved)][:levels]):
                    cells = data.view("i2") if data.dtype == np.uint16 else data
                    file.create_dataset(
                        f"t{time:05}/s{number:02}/{level}/cells",
                        data=cells,
                        chunks=tuple(min(16, side) for side in cells.shape),
                    )
    names = names or [f"channel {number}" for number in range(len(setups))]
    described = "".join(
        f"<ViewSetup><id>{number}</id><name>{names[number]}</name><size>{' '.join(map(str, stored.shape[::-1]))}</size>"
        f"<voxelSize><unit>{unit}</unit><size>{' '.join(map(str, size))}</size></voxelSize></ViewSetup>"
        for number, stored in enumerate(setups)
    )
    identity = ["1 0 0 0 0 1 0 0 0 0 4 0"]
    registered = "".join(
        f'<ViewRegistration timepoint="{time}" setup="{number}">'
        + "".join(
            f'<ViewTransform type="affine"><affine>{numbers}</affine></ViewTransform>'
            for numbers in (affines[number] if affines else identity)
        )
        + "</ViewRegistration>"
        for number in range(len(setups))
        for time in range(times)
    )
    path.with_suffix(".xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><SpimData version="0.2"><BasePath type="relative">.</BasePath>'
        f'<SequenceDescription><ImageLoader format="bdv.hdf5"><hdf5 type="relative">{path.name}.h5</hdf5>'
        f'</ImageLoader><ViewSetups>{described}</ViewSetups><Timepoints type="range"><first>0</first>'
        f"<last>{times - 1}</last></Timepoints></SequenceDescription>"
        f"<ViewRegistrations>{registered}</ViewRegistrations>"
        "</SpimData>"
    )
    return path.with_suffix(".xml")


def velox(path, images, *, width="2e-09", height="3e-09", unit="m", short=None):
    """Images `[y, x, frame]` of Velox, by the name of their detector, which has also a short one."""
    with h5py.File(path, "w") as file:
        for number, (detector, stored) in enumerate(images.items()):
            about = {
                "BinaryResult": {
                    "Detector": short or detector,
                    "DetectorIndex": str(number),
                    "PixelSize": {"width": width, "height": height},
                    "PixelUnitX": unit,
                    "PixelUnitY": unit,
                },
                "Detectors": {f"Detector-{number}": {"DetectorName": detector}},
            }
            text = np.frombuffer(json.dumps(about).encode().ljust(2000, b"\0"), "u1")
            group = file.create_group(f"Data/Image/{number:032x}")
            group["Data"] = stored
            group["Metadata"] = np.repeat(text[:, np.newaxis], stored.shape[2], axis=1)
    return path


def berkeley(path, stored, dims, name="data/volume"):
    """An array with axes `(name, units, step)`, the slowest first."""
    with h5py.File(path, "a") as file:
        file.attrs.update(version_major=0, version_minor=2)
        group = file.create_group(name)
        group.attrs["emd_group_type"] = 1
        group["data"] = stored
        for number, ((label, units, step), count) in enumerate(zip(dims, stored.shape, strict=True), 1):
            group[f"dim{number}"] = step * np.arange(count)
            group[f"dim{number}"].attrs.update(name=label, units=units)
    return path
