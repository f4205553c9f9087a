"""Numbers in the names of pictures: what the words before them say that they count, and patterns in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = [
    "DYES",
    "FIRM",
    "NO_DEPTH",
    "axes",
    "certain",
    "kinds",
    "numbers",
    "stem",
    "texts",
    "unit_after",
    "with_fields",
    "words",
]

DYES = "cy alexa af atto dylight"
"""Dyes that differ in a number."""
_WORDS = {
    "z": "z slice slc sl section sec plane depth zpos zstack zstep focus schnitt ebene coupe",
    "channel": "c ch chn chan channel kanal canal w wv wave wavelength laser cam camera " + DYES,
    "time": "t tp tm tl time timepoint timelapse frame cycle sk hour minute second day "
    "zeit zeitpunkt stunde tag temps heure jour tiempo hora",
    "position": "p pos position point s site series xy f fld field fov m tile scene b block view angle "
    "feld kachel mosaic mosaik champ campo region roi",
    "well": "well wells puits brunnen napf pozzetto pocillo pozo",
    "y": "y row",
    "x": "x col column",
}
"""The axes that numbers after these words count, where several numbers run."""
_KINDS = {word: kind for kind, known in _WORDS.items() for word in known.split()}
_WELL_SAID = re.compile(rf"(?i:(?<![a-z])(?:{'|'.join(_WORDS['well'].split())})(?:\W|_)?[A-P])$")
"""A word for wells before the letter of a row, as in `Well_A01`."""
FIRM = frozenset(
    "ch chn chan channel kanal canal wv wave wavelength t tp tm tl time timepoint timelapse cycle hour day "
    "zeit zeitpunkt stunde tag temps heure jour tiempo hora feld kachel mosaic mosaik champ campo pos position point "
    f"site xy fld field fov tile scene view angle {DYES}".split()
)
"""Words that mean it even where no other number runs; `s1`, `p1` or `f1` may as well be slices, pages and files."""
_RARELY = "tilt projection proj rot rotation lambda dose level lvl patch crop "
_RARELY += "sub subject patient animal mouse rat fish replicate rep"
NO_DEPTH = frozenset([*_RARELY.split(), "kV", "keV", "eV", "mW"])
"""Words and units of what is rarely a depth, though a number that runs alone is taken for one."""
_SCHEMES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("r", "c", "f", "p", "ch", "sk"): ("well", "well", "position", "z", "channel", "time"),  # Operetta
    ("r", "c", "f", "p", "ch"): ("well", "well", "position", "z", "channel"),
    ("r", "c", "f", "p"): ("well", "well", "position", "z"),
    ("g", "t", "s"): ("position", "position", "z"),  # SBEMimage: grid, tile, slice
    ("f", "l", "a", "z", "c"): ("position", "time", "", "z", "channel"),  # Yokogawa
    ("w", "f", "t", "z", "c"): ("well", "position", "time", "z", "channel"),
    ("w", "p", "z", "t"): ("well", "position", "z", "time"),  # ScanR
    ("point", "zstack", "seq"): ("position", "z", ""),  # NIS Elements; seq counts the files
    ("point", "seq"): ("position", ""),
    ("well letter", "s", "w"): ("well", "position", "channel"),  # ImageXpress: `A01_s1_w1`
    ("thor", "", "", ""): ("well", "position", "z", "time"),  # ThorImage: `ChanA_0001_0001_0001_0001`
}
"""Words in a row that mean something else together, and nothing but that."""
_LOOSE_SCHEMES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("f", "d"): ("position", "channel"),  # field and dye of high-content screens
    ("r", "c"): ("y", "x"),
}
"""The same of words that may as well be others."""
_STANDING = {re.compile(r"(?:^|[_ ])[A-P]$"): "well letter", re.compile(r"^Chan[A-D]_$"): "thor"}
"""Texts before a number that begin a scheme where a word would not do."""
_ZEN = re.compile(r"_ORG\b")
"""ZEN's word behind all letters that count: scene, tile, time, slice, channel."""
_UNITS = {"": "kV keV eV mW", "z": "nm um µm μm mm micron microns", "time": "d h m s ms msec sec min hr hours hpf dpf"}
"""Units right after a number without a word."""
_KINDS_OF_UNITS = {unit: kind for kind, known in _UNITS.items() for unit in known.split()}
_DIGITS = re.compile(r"([0-9]+)")
_LAST_WORD = re.compile(r"(Z[Ss]tep|Time[PpLl][a-z]+|[A-Z]+|[A-Z]?[a-z]+)(?:\W|_){0,3}$")
_UNIT = re.compile(r"([dhm])(?=[0-9])|(kV|k?eV|mW|[a-zµμ]+)(?![A-Za-z0-9])|[ _]([a-zµμ]{2,})(?![A-Za-z0-9])")


def stem(name: str) -> str:
    """A name without its suffix.

    >>> stem("tile_2_3.png"), stem("tile"), stem(".tile")
    ('tile_2_3', 'tile', '.tile')
    """
    base = name.rpartition(".")[0]  # os.path.splitext takes three times as long, and there may be a million names
    return base if base.strip(".") else name


def texts(name: str) -> tuple[str, ...]:
    """The texts around the numbers of a name, its suffix last.

    >>> texts("tile_2_3.png")
    ('tile_', '_', '', '.png')
    """
    base = stem(name)
    return (*_DIGITS.split(base)[::2], name[len(base) :])


def numbers(name: str) -> tuple[int, ...]:
    """The numbers of a name, without those in its suffix.

    >>> numbers("tile_2_03.jp2")
    (2, 3)
    """
    return tuple(map(int, _DIGITS.findall(stem(name))))


def words(around: Sequence[str]) -> list[str]:
    """The word right before each number, in lower case, empty without one; given the texts around the numbers.

    >>> words(["Brain_z", "_stackCH", "-", ".tif"])
    ['z', 'ch', '']
    """
    found = [_LAST_WORD.search(before) for before in around[:-1]]
    return [word[1].lower() if word else "" for word in found]


def kinds(around: Sequence[str]) -> list[str]:
    """The kind of each number by its word or unit: z, channel, time, position, well, y or x, empty without one.

    >>> kinds(["a_t", "_z", "", ""]), kinds(["r", "c", "f", "p", "-ch", ""])
    (['time', 'z', ''], ['well', 'well', 'position', 'z', 'channel'])
    >>> kinds(["slice_", "um"]), kinds(["Well A", ""])
    (['z'], ['well'])
    """
    said = words(around)
    found = [_KINDS.get(word, "") for word in said]
    for at, after in enumerate(around[1:]):
        if said[at] not in (*_KINDS, "exp", "exposure", "dwell"):  # how long an exposure lasts is no time point
            found[at] = _KINDS_OF_UNITS.get(unit_after(after), "")
        if _WELL_SAID.search(around[at]):
            found[at] = "well"
    known = _by_schemes(around, said, {**_SCHEMES, **_LOOSE_SCHEMES})
    return [known.get(at, kind) for at, kind in enumerate(found)]


def certain(around: Sequence[str]) -> list[bool]:
    """Whether each number stands in names of a known program, where it can count nothing but its kind.

    >>> certain(["r", "c", "f", "p", "-ch", ""]), certain(["brain_f", ""]), certain(["Scan_m", "_ORG"])
    ([True, True, True, True, True], [False], [True])
    """
    said = words(around)
    known = _by_schemes(around, said, _SCHEMES)
    return [bool(known.get(at)) or any(map(_ZEN.search, around)) for at in range(len(said))]


def _by_schemes(
    around: Sequence[str], said: Sequence[str], schemes: Mapping[tuple[str, ...], tuple[str, ...]]
) -> dict[int, str]:
    """The kinds that the first scheme that fits gives, by the place of the number; empty if none fits."""
    starts = [next((name for text, name in _STANDING.items() if text.search(before)), "") for before in around[:-1]]
    for scheme, meant in schemes.items():
        for at in range(len(said) - len(scheme) + 1):
            if scheme[0] in (said[at], starts[at]) and tuple(said[at + 1 : at + len(scheme)]) == scheme[1:]:
                return dict(enumerate(meant, at))
    return {}


def unit_after(text: str) -> str:
    """The unit with which the text behind a number begins, empty if there is none.

    >>> unit_after("um_ch"), unit_after("_s1"), unit_after("_max")
    ('um', '', '')
    """
    found = _UNIT.match(text)
    unit = found[found.lastindex or 0] if found else ""
    return unit if unit in _KINDS_OF_UNITS else ""


def axes(text: str) -> list[str]:
    """The axis z, y or x of each number, empty without a word for it.

    >>> axes("z5_Row2_7"), axes("r1_c2")
    (['z', 'y', ''], ['y', 'x'])
    """
    return [kind if kind in ("z", "y", "x") else "" for kind in kinds(_DIGITS.split(text)[::2])]


def with_fields(name: str, fields: Mapping[int, str]) -> str:
    """A name in which some of the numbers are replaced by fields; those with an empty field stay.

    >>> with_fields("tile_2_3.png", {0: "y", 1: "x"})
    'tile_{y}_{x}.png'
    """
    pieces = _DIGITS.split(name)
    for at, field in fields.items():
        pieces[2 * at + 1] = f"{{{field}}}" if field else pieces[2 * at + 1]
    return "".join(pieces)
