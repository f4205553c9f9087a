"""The commands as Python functions.

Paths are Path or text. Each takes `Settings`, of which those count that the command has as options; functions that only
read take `Resources`. Each reports its progress to `listen`, continues an interrupted run of the same request, and
raises errors of `wkconvert_core.contract.errors`, which name parameters and fields instead of options.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from wkconvert_core.commands import check_equality as check_equality_command
from wkconvert_core.commands import compress as compress_command
from wkconvert_core.commands import downsample as downsample_command
from wkconvert_core.commands import export as export_command
from wkconvert_core.commands import metadata as metadata_command
from wkconvert_core.commands import recube as recube_command
from wkconvert_core.commands import upsample as upsample_command
from wkconvert_core.commands import verify as verify_command
from wkconvert_core.commands.export import Pictures
from wkconvert_core.commands.metadata import Wanted
from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.conversion import execute as conversion
from wkconvert_core.conversion.execute import Done, execute
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets import inventory as inventory_module
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.resources import Resources

__all__ = [
    "Pictures",
    "Resources",
    "Settings",
    "Wanted",
    "check_equality",
    "compress",
    "convert",
    "downsample",
    "export",
    "export_tiff",
    "inventory",
    "recube",
    "update",
    "upsample",
    "verify",
]


P = ParamSpec("P")
R = TypeVar("R")

_FIELDS = {
    "-o": "reader_options",
    "--distribution-strategy": "strategy",
    "--no-downsample": "downsample=False",
    "--no-compress": 'compression="none"',
}
"""The names of options in `Settings` where they differ from those of the command line, with underscores."""


def _named_for_python(text: str, parameters: Collection[str]) -> str:
    """A message in which options are called as in Python.

    >>> _named_for_python("--interpolation-mode fast is unknown; --layer-name takes one", ["dst", "layers"])
    'interpolation_mode fast is unknown; layers takes one'
    """

    def name(match: re.Match[str]) -> str:
        several = {"--layer-name": "layers", "--mag": "mags"}.get(match[0], "")
        return several if several in parameters else _FIELDS.get(match[0], match[0].strip("-").replace("-", "_"))

    return re.sub(r"(?<![\w-])(--[a-z][a-z-]+[a-z]|-o)(?![\w-])", name, text)


def _in_python(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, whose errors speak of its parameters and of fields of `Settings`."""
    parameters = inspect.signature(function).parameters

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except WkconvertError as error:
            error.what, error.why, error.fix = (
                _named_for_python(text, parameters) for text in (error.what, error.why, error.fix)
            )
            raise

    return call


check_equality = _in_python(check_equality_command.check_equality)
convert = _in_python(conversion.convert)
inventory = _in_python(inventory_module.inventory)
update = _in_python(metadata_command.update)
verify = _in_python(verify_command.verify)


@_in_python
def downsample(
    dst: Path | str,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    from_mag: Mag | None = None,
    listen: Listener | None = None,
) -> Done:
    """Make coarser mags for a dataset's layers (none: all), beginning with `from_mag` (None: each layer's finest)."""
    return execute(downsample_command.prepare(Path(dst), settings or Settings(), names=layers, start=from_mag), listen)


@_in_python
def upsample(
    dst: Path | str,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    from_mag: Mag | None = None,
    listen: Listener | None = None,
) -> Done:
    """Make finer mags, down to `settings.target_mag`, from `from_mag` (None: each layer's finest)."""
    return execute(upsample_command.prepare(Path(dst), settings or Settings(), names=layers, start=from_mag), listen)


@_in_python
def compress(
    src: Path | str,
    dst: Path | str | None = None,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Collection[Mag] = (),
    listen: Listener | None = None,
) -> Done:
    """Compress uncompressed mags in place, with a note of the bytes saved; or write a compressed copy to `dst`."""
    place, copy = Path(src), None if dst is None else Path(dst)
    if copy is None:
        compress_command.finish(place)
    return execute(compress_command.prepare(place, copy, settings or Settings(), names=layers, mags=mags), listen)


@_in_python
def recube(
    src: Path | str,
    dst: Path | str,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Collection[Mag] = (),
    to: str | None = None,
    listen: Listener | None = None,
) -> Done:
    """Copy a dataset, or some layers and mags, with other shards, another compression, dtype or mag format.

    `to` names the format (None: each layer keeps its own); that of the other settings does not count.
    """
    settings = settings or Settings()
    return execute(recube_command.prepare(Path(src), Path(dst), settings, names=layers, mags=mags, to=to), listen)


@_in_python
def export(
    src: Path | str,
    out: Path | str,
    settings: Settings | None = None,
    pictures: Pictures | None = None,
    *,
    to: str,
    listen: Listener | None = None,
) -> Done:
    """Write a layer (`settings.layer_name`) in another format: `nifti`, `tiff` or what plugins write beside them."""
    settings, pictures = settings or Settings(), pictures or Pictures()
    return execute(export_command.prepare(Path(src), Path(out), settings, pictures, to=to), listen)


@_in_python
def export_tiff(
    src: Path | str,
    out: Path | str,
    settings: Settings | None = None,
    pictures: Pictures | None = None,
    *,
    listen: Listener | None = None,
) -> Done:
    """Write a layer (`settings.layer_name`) as TIFF: whole slices, or tiles as `pictures` describes them."""
    settings, pictures = settings or Settings(), pictures or Pictures()
    return execute(export_command.prepare(Path(src), Path(out), settings, pictures), listen)
