"""Axes along which the pages of a file count, as programs of microscopes state them in tags and texts of their own.

Sources: ScanImage's header (MBF Bioscience), the structures of FluoView and SIS (Olympus), LSM (Zeiss), MetaMorph
(Molecular Devices), and Micro-Manager's index map.
"""

from __future__ import annotations

import itertools
import re
import struct
from dataclasses import dataclass

import numpy as np

from wkconvert_core import BrokenSource, UnsupportedSource

from .axes import Axes, by_hand, planes_help
from .pages import RGB, Opened

Counted = tuple[Axes, str]
"""The axes along which pages count, and who says so."""


def counted_pages(file: Opened) -> Counted | None:
    """The axes of the pages; None if no program states any. Raises UnsupportedSource where they are no slices."""
    if file.choice.plain:
        return None
    if len(file.slices) > 1 and len(file.pages) > 1 and (slide := _slide(file)):
        raise UnsupportedSource(
            f"{file.path} holds {len(file.pages)} pages of {slide}, which are no slices of one volume",
            why="they may be magnifications, channels, frames, a label",
            fix=f"take the pages of one size with -o series=0 (1, 2, …); where several are left, {planes_help()}",
        )
    readers = (_scanimage, _fluoview, _sis)
    return next((found for read in readers if (found := read(file))), None)


# --- ScanImage -------------------------------------------------------------------------------------------------------

_SCANIMAGE = {
    "channels": "SI.hChannels.channelSave SI5.channelsSave SI4.channelsSave",
    "slices": "SI.hStackManager.actualNumSlices SI.hStackManager.numSlices SI5.stackNumSlices SI4.stackNumSlices "
    "state.acq.numberOfZSlices",
    "frames": "SI.hStackManager.framesPerSlice SI.hStackManager.numFramesPerSlice SI5.acqNumFrames SI4.acqNumFrames "
    "state.acq.numberOfFrames",
    "averaged": "SI.hScan2D.logAverageFactor SI5.acqNumAveragedFrames SI4.acqNumAveragedFrames "
    "state.acq.numAvgFramesSave",
    "volumes": "SI.hStackManager.actualNumVolumes SI.hStackManager.numVolumes SI.hFastZ.numVolumes SI5.fastZNumVolumes "
    "SI4.fastZNumVolumes",
    "with flyback": "SI.hStackManager.numFramesPerVolumeWithFlyback SI.hFastZ.numFramesPerVolumeWithFlyback",
    "flyback": "SI.hFastZ.numDiscardFlybackFrames SI5.fastZNumDiscardFrames SI4.fastZNumDiscardFrames",
}
"""The keys of each number, of newer programs first."""


def _scanimage(file: Opened) -> Counted | None:
    """ScanImage: the channel is fastest, then frames of a slice, slices, volumes."""
    pages = len(file.slices)
    text = f"{file.first.text(305)}\n{file.description}\n{file.first.text(315)}".replace("\r", "\n")
    if pages < 2 or not re.search(r"^(scanimage\.)?SI\d?\.\w|^state\.acq\.", text, re.M):
        return None
    saved = _values(text, _SCANIMAGE["channels"])
    channels = (_counts(text, "state.acq.numberOfChannelsSave") or 1) if saved is None else len(saved)
    slices, averaged = _counts(text, _SCANIMAGE["slices"]) or 1, _counts(text, _SCANIMAGE["averaged"]) or 1
    volumes, frames = _counts(text, _SCANIMAGE["volumes"]), _counts(text, _SCANIMAGE["frames"])
    frames = frames and max(frames // averaged, 1)
    rest, over = divmod(pages, max(channels, 1))
    if channels and not over:
        if slices == 1:
            return Axes("TC", [rest, channels]), "ScanImage's header"
        with_flyback = _counts(text, _SCANIMAGE["with flyback"]) or slices + (_counts(text, _SCANIMAGE["flyback"]) or 0)
        if with_flyback > slices and (frames or 1) == 1 and rest == (volumes or rest // with_flyback) * with_flyback:
            _drop_flyback(file, slices * channels, with_flyback * channels)
            return Axes("VZC", [rest // with_flyback, slices, channels]), "ScanImage's header"
        several = frames or (1 if volumes != 1 else max(rest // slices, 1))  # as many as there are: no number is stated
        volumes_here = volumes or max(rest // (slices * several), 1)
        if volumes_here * slices * several == rest:
            return Axes("VZTC", [volumes_here, slices, several, channels]), "ScanImage's header"
    numbers = f"{channels} channels, {slices} slices, {frames or '?'} frames of each slice, {volumes or '?'} volumes"
    guess = (
        "" if over or not channels or rest % slices else f"-o planes={Axes('VZC', [rest // slices, slices, channels])}"
    )
    raise UnsupportedSource(
        f"{file.path} holds {pages} pages, which are not the planes that ScanImage announces",
        why=f"its header counts {numbers}",
        fix=f"{guess} if the stack was ended early; else {by_hand(len(file.slices))}"
        if guess
        else by_hand(len(file.slices)),
    )


def _drop_flyback(file: Opened, kept: int, of: int) -> None:
    """Leave out the pages that were taken while the focus flew back: of each `of` pages, those after the first `kept`.

    ScanImage stores them as it stores slices, and its header says how many there are.
    """
    links = [link for number, link in enumerate(file.slices) if number % of < kept]
    file.notes = (f"{len(file.slices) - len(links)} pages of ScanImage's flyback are left out",)
    file.links = links


def _values(text: str, keys: str) -> list[int] | None:
    """The whole numbers that the first of some keys states; None if there is no such key.

    >>> _values("SI.hChannels.channelSave = [1;2]", "SI5.channelsSave SI.hChannels.channelSave")
    [1, 2]
    """
    for key in keys.split():
        if match := re.search(rf"^(?:scanimage\.)?{re.escape(key)}[ \t]*=[ \t]*([^\n]*)", text, re.M):
            if span := re.match(r"\[?(\d{1,4}):(\d{1,4})\]?", match[1]):
                return list(range(int(span[1]), int(span[2]) + 1))
            return [int(float(number)) for number in re.findall(r"\d{1,9}(?:\.\d+)?", match[1])]
    return None


def _counts(text: str, keys: str) -> int | None:
    """The count that the first of some keys states; None if it is missing, infinite or 0."""
    return (_values(text, keys) or [0])[0] or None


# --- binary structures -----------------------------------------------------------------------------------------------

_FLUOVIEW_AXES = {b"Z": "Z", b"T": "T", b"CH": "C", b"WAVELENGTH": "C", b"TIME": "T", b"XY": "P", b"EVENT": "E"}


def _fluoview(file: Opened) -> Counted | None:
    """Olympus FluoView: ten dimensions, the fastest first, in the tag MM_Header."""
    header = file.first.raw(34361) if 34361 in file.first else b""
    if len(file.slices) < 2 or len(header) < 1284:
        return None
    found = [
        (_FLUOVIEW_AXES.get(name.strip(b"\0 ").upper(), "Q"), max(size, 1))
        for name, size in struct.iter_unpack(file.tiff.order + "16si80x", header[284:1284])
    ]
    axes = [(letter, size) for letter, size in found[:1:-1] if size > 1]
    return Axes("".join(letter for letter, _ in axes), [size for _, size in axes]), "FluoView's header"


@dataclass(frozen=True)
class Lsm:
    """Read the header of Zeiss LSM: its channels are the samples of a page, never colours."""

    axes: Axes
    samples: int
    names: tuple[str, ...]
    colors: tuple[RGB, ...]


def lsm(file: Opened) -> Lsm | None:
    """Zeiss LSM: channels are samples of a page, then come slices, then times; lines and points have a page alone.

    Raises UnsupportedSource for a file from 4 GiB on: its offsets count in 32 bits, and begin at 0 again.
    """
    header = file.first.raw(34412) if 34412 in file.first else b""
    if len(header) < 28:
        return None
    if file.tiff.size > 1 << 32:
        raise UnsupportedSource(
            f"{file.path} is a Zeiss LSM of {file.tiff.size} bytes",
            why="its offsets have 32 bits, so that those beyond 4 GiB lead to other planes",
            fix="save it as OME-TIFF, or as CZI, with ZEN or Bio-Formats",
        )
    slices, _, times = struct.unpack_from(file.tiff.order + "3i", header, 16)
    scan = struct.unpack_from(file.tiff.order + "H", header, 88)[0] if len(header) >= 90 else 0
    sizes, samples = [max(times, 1), max(slices, 1)], file.first.number(277, 1)
    if file.choice.plain or scan not in (0, 3, 6, 7) or (sizes == [1, 1] and len(file.slices) > 1):
        return None
    axes = Axes("TZC", [*sizes, samples]) if samples > 1 else Axes("TZ", sizes)
    return Lsm(axes, samples, *_lsm_channels(file, header))


def _lsm_channels(file: Opened, header: bytes) -> tuple[tuple[str, ...], tuple[RGB, ...]]:
    """Names and colours of the channels, from the structure at the offset in byte 108; empty if missing or damaged."""
    try:
        (at,) = struct.unpack_from(file.tiff.order + "I", header, 108)
        head = file.tiff.read(at, 24, "LSM's channels")
        size, colors, names, first_color, first_name = struct.unpack(file.tiff.order + "5I4x", head)
        content = file.tiff.read(at, size, "LSM's channels")
        found: list[str] = []
        rest = content[first_name:]
        while len(rest) > 4 and len(found) < names:
            (length,) = struct.unpack_from(file.tiff.order + "I", rest)
            found.append(rest[4 : 4 + length].split(b"\0")[0].decode("latin-1"))
            rest = rest[4 + length :]
        table = content[first_color : first_color + 4 * colors]
        return tuple(found), tuple((r, g, b) for r, g, b, _ in struct.iter_unpack("4B", table))
    except (BrokenSource, struct.error):  # no reason to refuse a picture
        return (), ()


def micro_manager(file: Opened) -> Counted | None:
    """Micro-Manager: an index with the channel, slice, time and position of each page, whose order gives the axes."""
    if file.choice.plain or 51123 not in file.first or file.tiff.size < 40:
        return None
    order = file.tiff.order
    mark, at = struct.unpack(order + "2I", file.tiff.read(8, 8, "the header of Micro-Manager"))
    if mark != 54773648:
        return None
    mark, count = struct.unpack(order + "2I", file.tiff.read(at, 8, "the index of Micro-Manager"))
    if mark != 3453623 or count != len(file.slices):
        return None
    table = np.frombuffer(file.tiff.read(at + 8, 20 * count, "the index of Micro-Manager"), order + "u4").reshape(-1, 5)
    by_page = {at: place for *place, at in table.astype(np.int64).tolist()}
    if by_page.keys() != {link.offset for link in file.slices}:
        return None
    places = np.array([by_page[link.offset] for link in file.slices])
    places -= places.min(axis=0)
    sizes = places.max(axis=0) + 1
    for axes in itertools.permutations(range(4)):
        if int(sizes.prod()) != count:
            break
        if (np.ravel_multi_index(places.T[list(axes)], sizes[list(axes)]) == np.arange(count)).all():
            return Axes("".join("CZTP"[axis] for axis in axes), sizes[list(axes)].tolist()), "Micro-Manager's index"
    raise UnsupportedSource(
        f"{file.path} holds planes of Micro-Manager in no regular order",
        why=f"{count} pages are stored, for {' x '.join(map(str, sizes))} channels, slices, times and positions",
        fix=by_hand(len(file.slices)),
    )


def metamorph_axis(file: Opened, count: int) -> Axes:
    """MetaMorph's stack: a distance along z, a date and a time of each plane, and its wavelength.

    Raises UnsupportedSource where they do not say what the planes count.
    """
    if file.choice.plain:
        return Axes("Z", [count])
    inline, order = file.first.entries[33629].inline, file.tiff.order
    (at,) = struct.unpack(order + ("Q" if len(inline) == 8 else "I"), inline)
    if at + 24 * count <= file.tiff.size:
        table = np.frombuffer(file.tiff.read(at, 24 * count, "MetaMorph's table of planes"), order + "u4")
        table = table.reshape(count, 6)
        if len(set(file.first.floats(33630))) < 2:
            if table[:, 0].all():
                return Axes("Z", [count])
            if len(np.unique(table[:, 2:4], axis=0)) == count:
                return Axes("T", [count])
    raise UnsupportedSource(
        f"{file.path} holds a MetaMorph stack of {count} planes",
        why="not all have a distance along z, and not all a time of their own: they may be slices, times or channels",
        fix=by_hand(count),
    )


def _sis(file: Opened) -> Counted | None:
    """Olympus SIS: the section Dimension of a text, the slowest axis first. Raises UnsupportedSource without one."""
    if len(file.slices) < 2 or not {33560, 33471} & file.first.entries.keys():
        return None
    text = file.first.text(33471).replace("\r", "\n")
    section = re.search(r"^\[Dimension\][ \t]*\n([^\[]*)", text, re.MULTILINE)
    stated = re.findall(r"^(Band|Z|Time)[ \t]*=[ \t]*(\d{1,9})[ \t]*$", section[1] if section else "", re.MULTILINE)
    axes = [({"Band": "C"}.get(name, name[0]), int(size)) for name, size in stated if int(size) > 1]
    if not axes:
        raise UnsupportedSource(
            f"{file.path} holds {len(file.slices)} pages of Olympus SIS",
            why="nothing in it says what they count",
            fix=by_hand(len(file.slices)),
        )
    return Axes("".join(letter for letter, _ in axes), [size for _, size in axes]), "Olympus SIS"


# --- slides and movies -----------------------------------------------------------------------------------------------


def _slide(file: Opened) -> str:
    """The kind of slide or movie that the file is; empty for others."""
    first, text, software = file.first, file.description, file.first.text(305)
    known = {
        "a Hamamatsu slide (NDPI)": 65420 in first,
        "a Leica slide (SCN)": text.rstrip().endswith("</scn>"),
        "an Aperio slide (SVS)": text.startswith("Aperio "),
        "a PerkinElmer or Akoya slide (QPTIFF)": software.startswith("PerkinElmer-QPI")
        or "<PerkinElmer-QPI-ImageDescription" in text[:1000],
        "a Philips slide": software.startswith("Philips DP"),
        "a Ventana slide (BIF)": software.startswith(("ScanOutputManager", "Ventana")),
        "an Indica Labs image": software.startswith("IndicaLabsImageWriter"),
        "an Argos slide (AVS)": first.text(65000).startswith("<Argos"),
        "an electron-counting movie (EER)": first.text(65001).startswith("<metadata>"),
    }
    return next((name for name, is_it in known.items() if is_it), "")
