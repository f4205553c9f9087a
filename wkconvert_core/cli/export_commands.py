"""The command-line functions of `export`, its short forms and `upload`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from wkconvert_core.cli import options, values
from wkconvert_core.cli.completion import completion_of, layers, mags
from wkconvert_core.cli.options import in_panel
from wkconvert_core.cli.reporting.output import emit
from wkconvert_core.cli.run import carry_out, listening
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.numbers import whole_number

_PART, _FILES, _SERVER = "Part", "Files", "Server"


Out = Annotated[Path, options.local_folder("What to make: a file, or the folder for TIFF files.", metavar="OUT")]
To = Annotated[str, in_panel("The format: nifti, ome-tiff, ozx, tiff", _FILES, autocompletion=completion_of("exports"))]
LayerName = Annotated[str | None, in_panel("The layer (default: the only one)", _PART, autocompletion=layers)]
MagText = Annotated[str | None, in_panel("The mag: 2 or 2-2-1 (default: the finest)", _PART, autocompletion=mags)]
Bbox = Annotated[str | None, in_panel("x,y,z,width,height,depth in voxels of mag 1 (default: the whole layer)", _PART)]
Downsample = Annotated[
    int, in_panel("Voxels of the mag for a pixel, along x and y: 2, 4, … (default: 1)", _PART, **options.whole())
]
TileSize = Annotated[str | None, in_panel("x,y: write tiles of so many pixels, as z/y/x.tiff (tiff)", _FILES)]
Tiles = Annotated[str | None, in_panel("x,y: write so many tiles for each slice, as z/y/x.tiff (tiff)", _FILES)]
Name = Annotated[
    str | None, in_panel("NAME of NAME_00001.tif, or of the image in a file (default: the layer's)", _FILES)
]
NoCompress = Annotated[
    bool, in_panel("Write raw voxels (default: deflate; for NIfTI, OUT decides)", _FILES, "--no-compress")
]


Url = Annotated[str | None, in_panel("The server (default: $WK_URL, else https://webknossos.org)", _SERVER)]
Named = Annotated[str | None, in_panel("Name of the dataset there (default: its own)", _SERVER, "--name")]
Folder = Annotated[str | None, in_panel("Id of the server's folder for it (default: the server's choice)", _SERVER)]


@options.takes(only=("follow", "to_option", *options.RUN_OPTIONS))
def export(
    dst: options.Dataset,
    out: Out,
    to: To,
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
    """Write a layer in another format, with its voxel size and its place.

    nifti: OUT is a file, .nii or .nii.gz. ome-tiff: .ome.tif, with the mags from --mag
    on that have as many slices as a pyramid. ozx: .ozx, a zipped OME-Zarr image with
    all mags from --mag on. tiff: OUT is a folder of slices NAME_00001.tif, … or of
    tiles z/y/x.tiff. --to-option sets compression and compression_level=N, for ozx also
    chunk=64 and shard=512.
    The same command again continues a run that was interrupted.
    """
    pixels = mag, downsample, tile_size, tiles_per_dimension
    _write(dst, out, to, pixels, given, layer_name=layer_name, bbox=bbox, name=name, no_compress=no_compress)


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

    Short for `export --to tiff`. The files hold the voxel size as ImageJ does. The same command again continues a run
    that was interrupted.
    """
    pixels = mag, downsample, tile_size, tiles_per_dimension
    _write(dst, out, "tiff", pixels, given, layer_name=layer_name, bbox=bbox, name=name, no_compress=no_compress)


@options.takes(only=("follow", *options.RUN_OPTIONS))
def export_nifti(
    dst: options.Dataset,
    out: Out,
    layer_name: LayerName = None,
    mag: MagText = None,
    bbox: Bbox = None,
    downsample: Downsample = 1,
    name: Name = None,
    **given: Any,
) -> None:
    """Write a layer as one NIfTI file, .nii or .nii.gz. Short for `export --to nifti`."""
    _write(dst, out, "nifti", (mag, downsample, None, None), given, layer_name=layer_name, bbox=bbox, name=name)


def _write(
    dst: Path,
    out: Path,
    to: str,
    pixels: tuple[str | None, int, str | None, str | None],
    given: Mapping[str, Any],
    **part: Any,
) -> None:
    """Export what the options ask for; `pixels` are --mag, --downsample, --tile-size and --tiles-per-dimension."""
    from wkconvert_core.commands.export import Pictures, prepare

    mag, downsample, tile_size, tiles = pixels
    pictures = Pictures(
        None if mag is None else values.mag("mag", mag),
        downsample,
        _pair("tile-size", tile_size),
        _pair("tiles-per-dimension", tiles),
    )
    settings = values.settings({**given, **part})
    carry_out(lambda: prepare(dst, out, settings, pictures, to=to), given, dst)


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
