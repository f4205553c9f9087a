"""Work of pydicom on files: its errors in our words, and frames that it does not decode itself, but imagecodecs does.

Importing this tells pydicom so.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom import uid
from pydicom.encaps import parse_fragments
from pydicom.pixels.decoders.base import get_decoder

from wkconvert_core import UnsupportedSource, WkconvertError
from wkconvert_core.toolkit.files import broken, open_file, reading

_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)

DECODER_DEPENDENCIES = dict.fromkeys((*uid.JPEGLSTransferSyntaxes, *_JPEG, *_JPEG_2000), ())
"""Transfer syntaxes that imagecodecs decodes."""


def is_available(syntax: str) -> bool:
    """Whether a transfer syntax is decoded here, as pydicom asks its plugins."""
    return syntax in DECODER_DEPENDENCIES


def decode(source: bytes, runner: Any) -> bytes:
    """The samples of a frame, side by side in each pixel. Raises errors of imagecodecs."""
    import imagecodecs

    if runner.transfer_syntax in uid.JPEGLSTransferSyntaxes:
        found = imagecodecs.jpegls_decode(source)
    elif runner.transfer_syntax in _JPEG_2000:
        found = imagecodecs.jpeg2k_decode(source)
        if runner.samples_per_pixel > 1:  # which the decoder has made colours of
            runner.set_option("photometric_interpretation", "RGB")
    else:
        # as pydicom has it, colours are transformed only where Adobe's marker says how they were
        is_kept = runner.samples_per_pixel > 1 and b"\xff\xee\x00\x0eAdobe" not in source
        space = "RGB" if is_kept else None
        found = imagecodecs.jpeg_decode(source, colorspace=space, outcolorspace=space)
    runner.set_option("bits_allocated", 8 * found.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return found.tobytes()


for _syntax in DECODER_DEPENDENCIES:
    get_decoder(_syntax).add_plugin("imagecodecs", (__name__, "decode"))


def check_decoded(path: str, syntax: uid.UID) -> None:
    """Raise UnsupportedSource for a transfer syntax that nothing decodes, such as one of films."""
    try:
        get_decoder(syntax)
    except NotImplementedError as error:
        raise UnsupportedSource(
            f"{path} holds pixels as {syntax.name}",
            why="RLE, JPEG, JPEG-LS, JPEG 2000 and pixels without compression are decoded",
            fix="write it without compression",
        ) from error


def check_length(path: str, expected: int, photometric: str, start: int, length: int, size: int) -> None:
    """Raise BrokenSource unless a file holds all pixels: pydicom gives what there is of compressed ones."""
    if length != 0xFFFFFFFF:
        expected = expected * 2 // 3 if photometric == "YBR_FULL_422" else expected
        found = min(length, size - start)
        if found < expected:
            raise broken(path, f"{expected} bytes of pixels expected, {found} found", cut=True)
        return
    with open_file(path) as file:
        file.seek(start)
        _, fragments = parse_fragments(file)
        if not fragments:
            raise broken(path, "it ends before its compressed pixels", cut=True)
        last = fragments[-1]
        file.seek(last + 4)
        end = last + 8 + struct.unpack("<I", file.read(4).ljust(4, b"\xff"))[0]
    if end > size:
        raise broken(path, f"its compressed pixels end at byte {end}, the file at {size}", cut=True)


@contextmanager
def by_pydicom(path: str, what: str) -> Iterator[None]:
    """Turn errors within the block, which are of all kinds where a file is damaged, into BrokenSource; no warnings."""
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except WkconvertError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the system
                raise
            raise broken(path, what, cut=isinstance(error, EOFError)) from error
