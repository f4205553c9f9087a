"""Fail if a plugin's environment holds a format library that the plugin does not need: `check_installed.py nifti`."""

import sys
from importlib.metadata import distributions

LIBRARIES = {
    "bioio": {"bioio"},
    "dm": set(),
    "hdf5": {"h5py"},
    "itk": {"imagecodecs", "pydicom"},
    "knossos": {"cramjam", "imageio", "wkconvert-images"},
    "mrc": set(),
    "ncem": {"h5py", "hdf5plugin", "ncempy"},
    "nifti": {"nibabel"},
    "tiff": {"imagecodecs", "imageio", "tifffile", "wkconvert-images"},
    "tiles": {"imagecodecs", "imageio", "tifffile", "wkconvert-images"},
    "zarr": {"tensorstore"},
}
"""What each plugin brings."""

installed = {dist.metadata["Name"].lower() for dist in distributions()}
plugins = {f"wkconvert-{name}" for name in LIBRARIES}
known = plugins | {
    "hdf5plugin",
    "mrcfile",
    "webknossos",
    "wkw",
    *(name for names in LIBRARIES.values() for name in names),
}
expected = {f"wkconvert-{sys.argv[1]}", *LIBRARIES[sys.argv[1]]}
if installed & known != expected:
    sys.exit(f"{sorted(installed & known)} are installed, {sorted(expected)} expected")
