"""The dtype in which a layer is stored, and what WEBKNOSSOS makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.errors import OptionError, UnsupportedSource
from wkconvert_core.contract.model import DTYPES, Category, Source
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.sources.casting import Fit, ValueRange
from wkconvert_core.sources.intensity_range import sampled_range

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType


def dtype_to_write(
    own: DType, settings: Settings, category: Category, channels: int = 1
) -> tuple[list[str], str | None, Fit]:
    """Notes for the user, the dtype to convert to (None: keep it), and how values are fitted to it.

    Raises UnsupportedSource for a dtype that no dataset holds.
    """
    notes, dtype, fit = _stored_dtype(own, settings, category)
    stored = np.dtype(dtype or own)
    if category == "color" and stored.itemsize == 8:
        is_float = stored.kind == "f"
        remedy = "--dtype float32" if is_float else "--dtype uint16 or int32 (with --convert clip or scale)"
        labels = "--category segmentation" + (" --dtype uint32" if is_float else "")
        shown = "uint8 to uint32, int8 to int32 and float32"
        notes.append(
            WarningNote(f"WEBKNOSSOS shows no {stored} as color, but {shown}: say {remedy}; for labels, {labels}")
        )
    if channels > 1 and not (channels == 3 and stored == np.uint8):
        told = f"WEBKNOSSOS shows three channels of uint8 together, but not {channels} of {stored}"
        remedy = "--dtype uint8 --convert scale, or " if channels == 3 else ""
        notes.append(WarningNote(f"{told}: say {remedy}--channel N for one of them"))
    return notes, dtype, fit


def _stored_dtype(own: DType, settings: Settings, category: Category) -> tuple[list[str], str | None, Fit]:
    """The same, whether or not WEBKNOSSOS shows it."""
    if settings.dtype is not None and own.kind in "biuf":
        return [], settings.dtype, settings.convert
    if own == np.bool_:
        shown: Fit = "exact" if category == "segmentation" else "scale"
        return [f"1-bit values are stored as uint8, {'0 and 1' if shown == 'exact' else '0 and 255'}"], "uint8", shown
    if own == np.float16:
        return ["float16 is stored as float32, which holds all its values"], "float32", "exact"
    if own.name not in DTYPES:
        raise UnsupportedSource(
            f"voxels of dtype {own} cannot be converted", fix=f"convert them to one of {', '.join(DTYPES)} first"
        )
    return [], None, "exact"


def scaled_values(source: Source, settings: Settings) -> tuple[ValueRange | None, list[str]]:
    """The values that `--range` asks to map to the whole range of `--dtype`, of a sample for `auto`; and a note on it.

    None without `--range`. Raises OptionError if a sample has no two values.
    """
    wanted, own = settings.range, source.info.dtype
    if wanted is None or settings.dtype is None:
        return None, []
    said = "--range"
    if isinstance(wanted, str):
        found = sampled_range(source)
        if found is None:
            why = "all values in the sample are equal, or not finite"
            raise OptionError("--range auto finds no range", why=why, fix="say --range LOW,HIGH")
        wanted, said = found, "--range auto: the 0.1 and 99.9 percentiles of a sample"
    low, high = wanted
    target = np.dtype(settings.dtype)
    bounds = (0, 1) if target.kind == "f" else (np.iinfo(target).min, np.iinfo(target).max)
    nan = "; NaN becomes 0" if own.kind == "f" != target.kind else ""
    becomes = f"{low!r} to {high!r} become {bounds[0]} to {bounds[1]}, values beyond are clipped{nan} ({said})"
    return (low, high), [becomes]


def check_ids(dtype: DType, channels: int = 1) -> None:
    """Raise UnsupportedSource for floats and for colours, which are no ids."""
    if channels > 1:
        raise UnsupportedSource(
            f"a segmentation cannot have {channels} channels",
            why="an id is one whole number a voxel, and these are colours",
            fix="save the ids instead of their colours; of a palette, -o palette=indices takes the numbers; "
            "--channel N takes one of the channels; --category color keeps the colours",
        )
    if dtype.kind == "f":
        raise UnsupportedSource(
            f"a segmentation cannot be {dtype}",
            why="ids are whole numbers: WEBKNOSSOS takes uint8 to uint64 and int8 to int64",
            fix="say --dtype uint32, which stores values that are whole numbers and refuses any other; or "
            "--category color if these are intensities",
        )
