"""Images as bioio gives them, opened once in each process, and their Source."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import Box, UnsupportedSource, VolumeInfo, WkconvertError
from wkconvert_core.toolkit.files import State, changed, reading, reason, state_of

Array = np.ndarray[Any, np.dtype[Any]]

_UNSUPPORTED = re.compile("(un|not (yet )?)supported", re.IGNORECASE)


@dataclass(frozen=True)
class BioioVolume:
    """A channel of a scene at a time, or the three samples of a colour image."""

    path: Path
    state: State
    """Of the file when it was opened."""
    scene: int
    timepoint: int
    channel: int
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises SourceNotFound, BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        if state_of(self.path) != self.state:
            raise changed(self.path, "it was written again")
        x, y, z = box.slices_in(self.info.box)
        image = opened(self.path, self.state, self.scene)
        with by_bioio(self.path):
            part = image.dask_data[self.timepoint, self.channel, z, y, x]
            is_reversed = self.info.channels > 1 and is_czi(image)
            found: Array
            if is_reversed and len(part.chunks[3]) > 1:  # then each sample of its lazy array is the first one
                found = image.reader.get_image_data("ZYXS", T=self.timepoint, C=self.channel, Z=z, Y=y, X=x)
            else:
                found = np.asarray(part.compute(scheduler="synchronous"))
            if is_reversed:  # CZI stores blue, green, red (Bgr24), and bioio-czi gives them so
                found = found[..., ::-1]
        if found.ndim == 3:
            found = found[..., np.newaxis]
        found = found[..., : self.info.channels].T
        return found.astype(self.info.dtype, copy=False)


@contextmanager
def by_bioio(path: Path) -> Iterator[None]:
    """Tell what a reader of bioio raises as what it is: a missing library, something that it does not do, or damage.

    Raises UnsupportedSource, SourceNotFound, BrokenSource.
    """
    with reading(path, Exception):  # whatever the reader of a format answers to a damaged file
        from bioio_base.exceptions import UnsupportedFileFormatError

        try:
            yield
        except WkconvertError:
            raise
        except UnsupportedFileFormatError as error:
            fix = "install one, such as `pip install bioio-czi`, bioio-lif or bioio-nd2; or copy a damaged file again"
            what, why = f"no installed reader of bioio takes {path}", reason(error).split(". ")[0]
            raise UnsupportedSource(what, why=why, fix=fix) from error
        except ImportError as error:
            library = f"`pip install {error.name.split('.')[0]}`" if error.name else "the one that is named"
            fix = f"install it beside wkconvert: {library}, or as the reader's page says"
            raise UnsupportedSource(f"bioio's reader of {path} lacks a library", why=reason(error), fix=fix) from error
        except Exception as error:
            is_damage = not isinstance(error, NotImplementedError) and not _UNSUPPORTED.search(str(error))
            if is_damage or getattr(error, "errno", None) is not None:
                raise
            fix = (
                "save it as OME-TIFF with the program that wrote it, try bioio-bioformats, or copy a damaged file again"
            )
            what = f"bioio's reader does not read what {path} holds"
            raise UnsupportedSource(what, why=reason(error), fix=fix) from error


def is_czi(image: Any) -> bool:
    """Whether bioio-czi reads an image."""
    return type(image.reader).__module__.startswith("bioio_czi")


@lru_cache(maxsize=8)
def opened(path: Path, state: State, scene: int) -> Any:
    """A BioImage at a scene, kept as long as the file is in that `state`. Raises SourceNotFound, BrokenSource.

    Raises UnsupportedSource if no installed reader of bioio takes it.
    """
    for name in ("bioio", "tifffile"):  # what they log of a damaged file stands in the error
        logging.getLogger(name).addHandler(logging.NullHandler())
    warnings.filterwarnings(
        "ignore", "As of version 0.4.0, the parser argument"
    )  # bioio's readers give it to ome-types
    from bioio import BioImage
    from bioio_base.exceptions import UnsupportedFileFormatError

    with by_bioio(path):
        try:  # else most readers decode all slices for each box
            image = BioImage(path, chunk_dims=["Y", "X"])
        except (TypeError, UnsupportedFileFormatError):  # as of those of DV and ND2, which do not know this option
            image = BioImage(path)
        image.set_scene(scene)
        stored = image.reader.xarray_dask_data
        if "C" in stored.dims and "C" not in stored.coords:  # BioImage takes what names no channels for one
            stored.coords["C"] = [f"channel_{number}" for number in range(stored.sizes["C"])]
        _ = image.dask_data  # which reads the headers
    return image
