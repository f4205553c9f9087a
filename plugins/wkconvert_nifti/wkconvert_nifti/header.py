"""NIfTI headers, checked field by field. Of nibabel, only the header classes are used: for fields and affines."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from wkconvert_core import BrokenSource, UnsupportedSource, unit_symbol
from wkconvert_core.toolkit.files import broken
from wkconvert_core.toolkit.volumes.inflated import bytes_of, inflated

from .detection import HDR, has
from .magic import HEAD_BYTES, Kind, analyze_of, kind_of, promised_size

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
DType: TypeAlias = np.dtype[Any]

DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
    128: "u1", 2304: "u1",
}  # fmt: skip
"""Numpy's name for each `datatype` that is read."""

SAMPLES = {128: 3, 2304: 4}
"""Datatypes of colours: how many values each voxel has."""

DECLINED = {
    0: "an unknown datatype",
    1: "one bit per voxel",
    32: "complex numbers (complex64)",
    1792: "complex numbers (complex128)",
    2048: "complex numbers (complex256)",
    1536: "128-bit floats, whose layout depends on the machine that wrote them",
}

LABEL = 1002
"""NIFTI_INTENT_LABEL: the values are indices."""
CIFTI = range(3000, 3100)
"""Intent codes of CIFTI-2."""
CIFTI_EXTENSION = 32

_READ_BYTES = 16 << 10
"""Enough for a compressed header behind the longest gzip header in use."""

SPACES = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI152", 5: "template"}
"""Codes of the spaces that sform and qform lead to."""

UNITS = {1: "m", 2: "mm", 3: "µm"}
"""The three lowest bits of `xyzt_units`."""


@dataclass(frozen=True)
class Header:
    """A header whose numbers were checked."""

    path: Path
    kind: Kind
    fields: Any
    """nibabel's Nifti1Header or Nifti2Header."""
    shape: tuple[int, ...]
    """Along all axes; at least three."""
    axes: int
    """Number of axes that the header gives a length for (dim[0])."""

    @property
    def datatype(self) -> int:
        """The code of the values' type."""
        return int(self.fields["datatype"])

    @property
    def samples(self) -> int:
        """Values of each voxel."""
        return SAMPLES.get(self.datatype, 1)

    @cached_property
    def dtype(self) -> DType:
        """Of the stored values, in the file's byte order."""
        return np.dtype(DTYPES[self.datatype]).newbyteorder(self.kind.order)  # type: ignore[arg-type]

    @property
    def volumes(self) -> int:
        """Number of volumes."""
        return math.prod(self.shape[3:])

    @property
    def volume_bytes(self) -> int:
        """Bytes of one volume."""
        return math.prod(self.shape[:3]) * self.samples * self.dtype.itemsize

    @cached_property
    def start(self) -> int:
        """The first byte of the voxels. Raises BrokenSource."""
        offset = float(self.fields["vox_offset"])
        least = self.kind.size if self.kind.single else 0
        if not (offset >= least and offset.is_integer()):
            raise broken(self.path, f"the voxels begin at byte {offset:g} (vox_offset); legal is {least} or more")
        return int(self.fields["vox_offset"])

    @property
    def is_label(self) -> bool:
        """Whether the header declares the values to be labels."""
        return int(self.fields["intent_code"]) == LABEL

    @cached_property
    def scale(self) -> tuple[float, float] | None:
        """Slope and intercept; None if they change nothing. Raises BrokenSource."""
        slope, intercept = float(self.fields["scl_slope"]), float(self.fields["scl_inter"])
        if not math.isfinite(slope) or slope == 0 or (slope, intercept) == (1, 0):
            return None
        if not math.isfinite(intercept):
            raise broken(self.path, f"scl_inter is {intercept}, with a scl_slope of {slope:g}; it has to be a number")
        return slope, intercept

    @property
    def unit(self) -> str | None:
        """Unit of `pixdim`; None if unknown."""
        return UNITS.get(int(self.fields["xyzt_units"]) & 7)

    @cached_property
    def pixdim(self) -> tuple[float, float, float]:
        """Sizes along i, j, k: stored as float32, read as the shortest decimal number that gives it."""
        i, j, k = (float(str(number)) for number in self.fields["pixdim"][1:4])
        return i, j, k

    @cached_property
    def sform(self) -> Array | None:
        """The affine [4, 4] of i, j, k by the sform; None if that has no code."""
        return np.asarray(self.fields.get_sform()) if int(self.fields["sform_code"]) > 0 else None

    @cached_property
    def qform(self) -> Array | None:
        """The affine [4, 4] of i, j, k by the qform; None if that has no code, or is no rotation."""
        if int(self.fields["qform_code"]) <= 0:
            return None
        sound = self.fields.copy()
        sizes = np.abs(np.where(np.isfinite(sound["pixdim"]), sound["pixdim"], 1))
        sound["pixdim"] = np.where(sizes > 0, sizes, 1)
        sound["pixdim"][0] = -1 if self.fields["pixdim"][0] < 0 else 1
        try:
            return np.asarray(sound.get_qform())
        except Exception:  # nibabel answers an impossible quaternion with errors of several kinds
            return None

    def space(self, form: str) -> str:
        """The space that a form leads to, by its code: `scanner`."""
        return SPACES.get(int(self.fields[f"{form}_code"]), f"code {int(self.fields[f'{form}_code'])}")


def read_header(path: Path) -> Header:
    """Read and check a header. Raises BrokenSource, UnsupportedSource."""
    start = bytes_of(path, _READ_BYTES)
    if not start:
        raise broken(path, "it is empty")
    head = inflated(start, HEAD_BYTES)
    if len(head) < (size := promised_size(head)):
        raise broken(path, f"its header has {len(head)} of {size} bytes", cut=True)
    kind = kind_of(head) or (analyze_of(head) if has(path, HDR) else None)
    if kind is None:
        raise _no_header(path, head)
    header = _checked(path, kind, head)
    if kind.version:
        _refuse_cifti(header, head)
    if header.datatype not in DTYPES:
        what = DECLINED.get(header.datatype, f"the datatype {header.datatype}, which NIfTI does not know")
        raise UnsupportedSource(
            f"{path} holds {what}",
            why="integers of 8 to 64 bits, float32, float64 and RGB are read",
            fix="write it again with one of these (of complex numbers: each part by itself)",
        )
    return header


def _no_header(path: Path, head: bytes) -> BrokenSource:
    if not head:
        return broken(path, "its first bytes cannot be decompressed")
    size = struct.unpack("<i", head[:4].ljust(4, b"\0"))[0]
    return broken(path, f"it has no header of NIfTI: it begins with {size}, not with 348 or 540 and NIfTI's magic")


def _of_analyze(head: bytes, order: str) -> Any:
    """The fields of NIfTI-1 that say the same as a header of Analyze: no form, and SPM's scale where there is one."""
    from nibabel import analyze, nifti1

    kinds: Any = analyze.AnalyzeHeader, nifti1.Nifti1Header  # they are not typed
    old, fields = kinds[0](head[:348], order, check=False), kinds[1](endianness=order)
    for name in ("dim", "datatype", "bitpix", "pixdim", "vox_offset"):
        fields[name] = old[name]
    fields["scl_slope"] = old["funused1"]
    spelled = old["vox_units"].tobytes().strip(b" \0").decode("latin-1")
    fields["xyzt_units"] = next((code for code, unit in UNITS.items() if unit == unit_symbol(spelled)), 0)
    return fields


def _checked(path: Path, kind: Kind, head: bytes) -> Header:
    from nibabel import nifti1, nifti2

    classes: Any = {1: nifti1.Nifti1Header, 2: nifti2.Nifti2Header}  # they are not typed
    if kind.version == 0:
        fields = _of_analyze(head, kind.order)
    else:
        fields = classes[kind.version](head[: kind.size], kind.order, check=False)
    dim = [int(number) for number in fields["dim"]]
    if not 1 <= dim[0] <= 7:
        raise broken(path, f"it counts {dim[0]} axes (dim[0]); legal is 1 to 7")
    shape = dim[1 : dim[0] + 1]
    if min(shape) < 1:
        raise broken(path, f"its axes have the lengths {', '.join(map(str, shape))} (dim); each has to be 1 or more")
    return Header(path, kind, fields, (*shape, *[1] * (3 - len(shape))), dim[0])


def _refuse_cifti(header: Header, head: bytes) -> None:
    """Raise UnsupportedSource for CIFTI, known by its intent or by its extension's code (CIFTI-2 specification)."""
    intent, place = int(header.fields["intent_code"]), header.kind.size
    flag, behind = head[place : place + 4], head[place + 4 : place + 12]
    code = struct.unpack(header.kind.order + "ii", behind)[1] if flag[:1] > b"\0" and len(behind) == 8 else None
    if intent in CIFTI or code == CIFTI_EXTENSION:
        raise UnsupportedSource(
            f"{header.path} is a CIFTI file",
            why="its axes are points of a brain's surface, not x, y, z",
            fix="export a volume from it, for example with wb_command -cifti-separate",
        )
