"""The check that converting a source gives the same dataset every time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from wkconvert_core.testing.samples import (
    READ_LIMIT,
    NotApplicable,
    Rule,
    files_of,
    opened,
    reader_of,
    require,
    volume_bytes,
)


def check_convert_twice(path: Path, *, reader: str | None = None, options: Mapping[str, str] | None = None) -> None:
    """Two conversions, one with threads and one without, write the same files, byte for byte.

    The voxels count as cubes of 1 nm, whatever the source says, and nothing is downsampled.
    """
    path = Path(path)
    volume = sum(volume_bytes(source.info) for _, source in opened(path, reader, options))
    name = reader_of(path, reader)
    if volume > READ_LIMIT:
        raise NotApplicable(f"{path} holds more than {READ_LIMIT >> 20} MiB; the check converts a smaller sample")
    with TemporaryDirectory() as scratch:
        ways: tuple[Literal["threads"], Literal["sequential"]] = ("threads", "sequential")
        first, second = (_convert(path, Path(scratch) / way / "dataset", name, options, way) for way in ways)
    require(first, f"converting {path} writes nothing", Rule.SAME_BYTES)
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    require(not different, f"two conversions of {path} differ in {', '.join(different[:3])}", Rule.SAME_BYTES)


def _convert(
    path: Path, target: Path, reader: str, options: Mapping[str, str] | None, way: Literal["threads", "sequential"]
) -> dict[str, str]:
    """A digest of each file that a conversion writes, except its journal."""
    from wkconvert_core.contract.voxel_size import VoxelSize
    from wkconvert_core.conversion.execute import convert
    from wkconvert_core.conversion.settings import Settings
    from wkconvert_core.datasets.naming import FOLDER

    target.parent.mkdir()
    cubes = VoxelSize((1.0, 1.0, 1.0), origin="check")
    settings = Settings(cubes, reader=reader, reader_options=dict(options or {}), downsample=False, strategy=way)
    convert(path, target, settings)
    names = {file.relative_to(target): file for file in files_of(target) if FOLDER not in file.parts}
    return {str(name): hashlib.sha256(file.read_bytes()).hexdigest() for name, file in names.items()}
