"""Compressed frames of DICOM: what pydicom does not decode itself, imagecodecs does. Importing it tells pydicom so."""

from __future__ import annotations

from typing import Any

from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder

_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
__all__ = ["DECODER_DEPENDENCIES", "decode", "get_decoder", "is_available"]

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
