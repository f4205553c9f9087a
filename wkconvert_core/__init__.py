"""The names for plugins, beside those in `toolkit` and `testing`.

Importing them costs neither numpy nor a format library.
"""

from wkconvert_core.contract.abilities import (
    BeginningSink,
    CompressingSink,
    CopyingSink,
    CostlySource,
    RecheckedSink,
    SparseSink,
    SparseSource,
    StreamSource,
)
from wkconvert_core.contract.affine import Affine, Turn
from wkconvert_core.contract.errors import (
    BrokenSource,
    ConversionError,
    DamagedData,
    InconsistentStack,
    OptionError,
    PluginError,
    SourceError,
    SourceNotFound,
    TargetError,
    UnsupportedSource,
    WkconvertError,
)
from wkconvert_core.contract.geometry import Box, Mag, Vec3, Vec3Like
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.mag_format import (
    ComparableMag,
    ComparedMag,
    MagFormat,
    Recorded,
    ShardCheck,
    ShardFile,
    StoredMag,
)
from wkconvert_core.contract.model import (
    DTYPES,
    Category,
    Checksum,
    Confidence,
    DatasetSink,
    DatasetSpec,
    Downsampler,
    DtypeName,
    Layer,
    LayerSpec,
    MagSpec,
    Match,
    Sink,
    Source,
    VolumeInfo,
)
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.reader_options import UnknownOption, parse_options
from wkconvert_core.contract.voxel_size import METRES, VoxelSize, unit_symbol

__version__ = "0.1.0"

__all__ = [
    "DTYPES",
    "METRES",
    "Affine",
    "BeginningSink",
    "Box",
    "BrokenSource",
    "Category",
    "Checksum",
    "ComparableMag",
    "ComparedMag",
    "CompressingSink",
    "Confidence",
    "ConversionError",
    "CopyingSink",
    "CostlySource",
    "DamagedData",
    "DatasetSink",
    "DatasetSpec",
    "Downsampler",
    "DtypeName",
    "InconsistentStack",
    "Layer",
    "LayerSpec",
    "Mag",
    "MagFormat",
    "MagSpec",
    "Match",
    "OptionError",
    "PluginError",
    "RecheckedSink",
    "Recorded",
    "ShardCheck",
    "ShardFile",
    "Sink",
    "Source",
    "SourceError",
    "SourceNotFound",
    "SparseSink",
    "SparseSource",
    "StoredMag",
    "StreamSource",
    "TargetError",
    "Turn",
    "UnknownOption",
    "UnsupportedSource",
    "Vec3",
    "Vec3Like",
    "VolumeInfo",
    "VoxelSize",
    "WarningNote",
    "WkconvertError",
    "hookimpl",
    "parse_options",
    "unit_symbol",
]
