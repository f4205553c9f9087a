"""CRC-32 as in zip and gzip, by ISA-L where there is a wheel of it: four times as fast as zlib's, and equal."""

from contextlib import suppress
from zlib import crc32

with suppress(ImportError):
    from isal.isal_zlib import crc32

__all__ = ["crc32"]
