"""The command-line functions of `export-tiff` and `upload`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wkconvert_core.cli import options, values
from wkconvert_core.cli.completion import layers, mags
from wkconvert_core.cli.reporting.output import emit
from wkconvert_core.cli.run import carry_out, listening
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.numbers import whole_number

_PART, _FILES, _SERVER = "Part", "Files", "Server"


def _option(help: str, panel: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


Out = Annotated[Path, options.local_folder("The folder for the TIFF files, to be made.", metavar="OUT")]
LayerName = Annotated[str | None, _option("The layer (default: the only one)", _PART, autocompletion=layers)]
MagText = Annotated[str | None, _option("The mag: 2 or 2-2-1 (default: the finest)", _PART, autocompletion=mags)]
Bbox = Annotated[str | None, _option("x,y,z,width,height,depth in voxels of mag 1 (default: the whole layer)", _PART)]
Downsample = Annotated[
    int, _option("Voxels of the mag for a pixel, along x and y: 2, 4, … (default: 1)", _PART, **options.whole())
]
TileSize = Annotated[str | None, _option("x,y: write tiles of so many pixels, as z/y/x.tiff", _FILES)]
Tiles = Annotated[str | None, _option("x,y: write so many tiles for each slice, as z/y/x.tiff", _FILES)]
Name = Annotated[str | None, _option("NAME of NAME_00001.tif (default: the layer's)", _FILES)]
NoCompress = Annotated[bool, _option("Write raw pixels (default: deflate)", _FILES, "--no-compress")]


Url = Annotated[str | None, _option("The server (default: $WK_URL, else https://webknossos.org)", _SERVER)]
Named = Annotated[str | None, _option("Name of the dataset there (default: its own)", _SERVER, "--name")]
Folder = Annotated[str | None, _option("Id of the server's folder for it (default: the server's choice)", _SERVER)]


@options.takes(only=("follow", *options.RUN_OPTIONS))
def export_tiff(
    dst: options.Dataset,
    out: Out,
    layer_name: LayerName = None,
    mag: MagText = None,
    bbox: Bbox = None,
    downsample: Downsample = 1,
    tile_size: TileSize = None,
    tiles_per_dimension: Tiles = None,
    name: Name = None,
    no_compress: NoCompress = False,
    **given: Any,
) -> None:
    """Write a layer's slices as TIFF files: a stack NAME_00001.tif, …, or tiles z/y/x.tiff.

    The files hold the voxel size as ImageJ does. The same command again continues a run that was interrupted.
    """
    from wkconvert_core.commands.export_tiff import Pictures, prepare

    pictures = Pictures(
        None if mag is None else values.mag("mag", mag),
        downsample,
        _pair("tile-size", tile_size),
        _pair("tiles-per-dimension", tiles_per_dimension),
    )
    wanted = {"layer_name": layer_name, "bbox": bbox, "name": name, "no_compress": no_compress}
    settings = values.settings({**given, **wanted})
    carry_out(lambda: prepare(dst, out, settings, pictures), given, dst)


@options.takes(only=("json", "quiet", "progress"))
def upload(dst: options.Dataset, url: Url = None, name: Named = None, folder: Folder = None, **given: Any) -> None:
    """Send a finished dataset to a WEBKNOSSOS server, with the token in $WK_TOKEN; the same command again goes on."""
    send(dst, given, url=url, name=name, folder=folder)


def send(dst: Path, given: Mapping[str, Any], **where: str | None) -> None:
    """Upload a dataset and print its address."""
    from wkconvert_core.cli.reporting.reports import show_uploaded
    from wkconvert_core.publishing.upload import upload

    with listening(given) as listen:
        emit(upload(dst, **where, listen=listen), given, show_uploaded)


def _pair(option: str, text: str | None) -> tuple[int, int] | None:
    """Two whole numbers. Raises OptionError."""
    if text is None:
        return None
    try:
        x, y = (whole_number(part.strip()) for part in text.split(","))
    except ValueError:
        raise OptionError(f"--{option} {text} is not x,y", fix=f"write for example --{option} 2048,2048") from None
    return x, y
