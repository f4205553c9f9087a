"""What a plugin may import, and nothing else. Importing this costs neither numpy nor any format library."""

from wkconvert_core.contract.errors import (
    BrokenSource,
    ConversionError,
    InconsistentStack,
    OptionError,
    PluginError,
    SourceError,
    SourceNotFound,
    UnsupportedSource,
    WkconvertError,
)
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.model import (
    Category,
    Confidence,
    DatasetSink,
    DatasetSpec,
    Downsampler,
    Layer,
    LayerSpec,
    MagSpec,
    Match,
    Sink,
    Source,
    StreamSource,
    VolumeInfo,
)
from wkconvert_core.contract.reader_options import parse_options
from wkconvert_core.contract.voxel_size import METRES, VoxelSize, unit_symbol

__version__ = "0.1.0"

__all__ = [
    "METRES",
    "Box",
    "BrokenSource",
    "Category",
    "Confidence",
    "ConversionError",
    "DatasetSink",
    "DatasetSpec",
    "Downsampler",
    "InconsistentStack",
    "Layer",
    "LayerSpec",
    "Mag",
    "MagSpec",
    "Match",
    "OptionError",
    "PluginError",
    "Sink",
    "Source",
    "SourceError",
    "SourceNotFound",
    "StreamSource",
    "UnsupportedSource",
    "Vec3",
    "VolumeInfo",
    "VoxelSize",
    "WkconvertError",
    "hookimpl",
    "parse_options",
    "unit_symbol",
]
