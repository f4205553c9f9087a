"""Convert volume images for WEBKNOSSOS, and read them, in scripts and notebooks.

Each command is a function whose options are keyword arguments:

    wkconvert.convert("em/", "dataset", voxel_size=(4, 4, 35), category="color")

`open` reads a dataset, or anything that an installed reader knows, as arrays:

    layer = wkconvert.open("dataset")["em"]
    box = layer["2-2-1"][100:228, 100:228, 10]

Plugins import from `wkconvert_core` instead.
"""

from wkconvert_core import Box, Mag, VoxelSize, WkconvertError, __version__, api
from wkconvert_core.api.arrays import LayerArrays, Layers, MagArray, open  # noqa: A004  # `wkconvert.open`, like `tifffile.imread`, is said with its module
from wkconvert_core.api.keywords import with_keywords

_STORAGE = ("to_options", "compression", "compression_level", "file_len")

convert = with_keywords(api.convert)
downsample = with_keywords(api.downsample, "follow", "max_mag", "interpolation_mode", "sampling_mode", *_STORAGE)
upsample = with_keywords(api.upsample, "follow", "target_mag", "sampling_mode", *_STORAGE)
compress = with_keywords(api.compress, *_STORAGE)
recube = with_keywords(api.recube, "follow", "name", "dtype", "convert", "range", "overwrite", *_STORAGE)
export = with_keywords(api.export, "follow", "layer_name", "bbox", "name", "compression")
export_tiff = with_keywords(api.export_tiff, "follow", "layer_name", "bbox", "name", "compression")
check_equality = with_keywords(api.check_equality)
verify = with_keywords(api.verify)

__all__ = [
    "Box",
    "LayerArrays",
    "Layers",
    "Mag",
    "MagArray",
    "VoxelSize",
    "WkconvertError",
    "__version__",
    "check_equality",
    "compress",
    "convert",
    "downsample",
    "export",
    "export_tiff",
    "open",
    "recube",
    "upsample",
    "verify",
]
