"""From a path and options to layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wkconvert_core import Layer, SourceNotFound, UnknownOption, UnsupportedSource, WarningNote
from wkconvert_core.toolkit.files import entries, is_folder
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.volumes.inflated import bytes_of

from .arrays import Choice
from .bigdataviewer import bare_layers, described_layers, is_bigdataviewer, xml_beside
from .detection import is_spim, spim_files
from .electron import berkeley_layers, is_berkeley, is_velox, velox_layers
from .files import check_is_hdf5, opened
from .imaris import imaris_layers, is_imaris
from .plain import plain_layers


def open_hdf5(
    path: Path,
    *,
    dataset: str | None = None,
    axes: str | None = None,
    timepoint: int | None = None,
    channel: int | None = None,
    setup: int | None = None,
) -> list[Layer]:
    """The layers of a file, or of the only dataset of BigDataViewer in a folder. Raises SourceError, OptionError.

    `dataset` names an array in the file and `axes` its axes, the slowest first, whatever else the file tells.
    """
    choice = Choice(dataset, axes, timepoint, channel, setup)
    if is_folder(path):
        xml, left = _only_xml(path)
        first, *others = described_layers(xml, choice)
        return [replace(first, notes=(*left, *first.notes)), *others]
    if is_spim(bytes_of(path, 4096)):
        return described_layers(path, choice)
    check_is_hdf5(path)
    with opened(path) as file:
        is_said = dataset is not None or axes is not None
        if not is_said and is_bigdataviewer(file):
            described = xml_beside(path)
            return described_layers(described, choice) if described else bare_layers(path, file, choice)
        if setup is not None:
            fix = "only files of BigDataViewer have setups"
            raise UnknownOption(f"{path} has no setup {setup}", fix=fix, names=("setup",))
        kinds = {is_imaris: imaris_layers, is_velox: velox_layers, is_berkeley: berkeley_layers}
        layers = next((of for is_one, of in kinds.items() if not is_said and is_one(file)), plain_layers)
        return layers(path, file, choice)


def _only_xml(folder: Path) -> tuple[Path, list[str]]:
    """The XML of BigDataViewer in a folder, and a note on what else lies there. Raises SourceError."""
    found = spim_files(folder)
    if not found:
        raise SourceNotFound(f"{folder} holds no dataset of BigDataViewer", fix="give the .xml or .h5 file")
    if len(found) > 1:
        raise UnsupportedSource(
            f"{folder} holds {len(found)} datasets of BigDataViewer",
            why=f"they are described by {shorten([xml.name for xml in found])}",
            fix="give one of these files",
        )
    (xml,) = found
    left = [entry.name for entry in entries(folder) if not entry.name.startswith(xml.stem)]
    return xml, [WarningNote(f"left out of {folder.name}: {shorten(left)}")] if left else []
