"""Recognising tiles by the words in their names: `z5_y0_x0.png`, `slice_5/row2_col3.png`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from wkconvert_core import OptionError
from wkconvert_core.toolkit.naming.words import axes, numbers, stem, texts, with_fields

from .numbered_layout import DEPTH, Doubt, Layout, first_entries, is_grid, split_picture
from .pattern import parse


def by_words(root: Path) -> Layout | Doubt | None:
    """The layout of tiles whose names have words for axes, in folders of a common pattern; None for other names."""
    path, above = str(root), list[str]()
    for _ in range(DEPTH + 1):
        visible = first_entries(path)
        folders = [entry.name for entry in visible if entry.is_dir(follow_symlinks=False)]
        names = [entry.name for entry in visible if entry.name not in folders and split_picture(entry.name)]
        if len(names) >= len(folders):
            return _worded(above, names) if names else None
        alike = [name for name in folders if texts(name) == texts(folders[0])]
        if 2 * len(alike) < len(folders) + len(names) or len(texts(folders[0])) < 3:
            return None
        path, above = f"{path}/{folders[0]}", [*above, folders[0]]
    return None


def _worded(above: list[str], names: list[str]) -> Layout | Doubt | None:
    if pattern := pattern_of(above, names):
        return Layout(pattern, "")
    if not (places := said_to_be_tiles(names)) or any(len(texts(name)) != 3 for name in above):
        return None
    folder = "".join(with_fields(name, {0: "z"}) + "/" for name in above[:1])
    tiles = [folder + with_fields(names[0], dict(zip(places, fields, strict=True))) for fields in ("yx", "xy")]
    if len(above) > 1:
        tiles = ["{z}/tile_{y}_{x}.png"]
    return Doubt(
        f"{names[0]} says that it is a tile, but not which of its numbers is the row",
        f"say -o pattern={' or -o pattern='.join(tiles)}",
        is_flat=not above,
    )


def pattern_of(folders: Sequence[str], names: Sequence[str]) -> str | None:
    """The pattern of pictures whose names, or those of the folders above, say x and y; None if they do not.

    A number without a word in the name of a folder is z, unless another one is. In the names of pictures, numbers
    without a word must be the same in all.

    >>> pattern_of(["slice_5"], ["row0_col0.png", "row0_col1.png"])
    'slice_{z}/row{y}_col{x}.png'
    """
    above, tile = [axes(name) for name in folders], axes(stem(names[0]))
    said = {field for fields in [*above, tile] for field in fields}
    unsaid = sum(fields.count("") for fields in above)
    if not {"x", "y"} <= said or not all(above) or unsaid > (0 if "z" in said else 1):
        return None
    fields = [*([field or "z" for field in fields] for fields in above), tile]
    parts = zip([*folders, names[0]], fields, strict=True)
    pattern = "/".join(with_fields(name, dict(enumerate(part))) for name, part in parts)
    return pattern if _suits(pattern, names, flat=not folders) else None


def _suits(pattern: str, names: Sequence[str], *, flat: bool) -> bool:
    """Whether most names match a pattern; in a `flat` folder, the position of a tile must vary, too.

    Where each slice has a picture and a place of its own, that is where the stage stood.
    """
    try:
        part = parse(pattern)[-1]
    except OptionError:  # names may have braces in them, or numbers that follow one another
        return False
    alike = [name for name in names if texts(name) == texts(names[0])]
    found = [digits for name in alike if (digits := part.digits(name))]
    if len(found) < len(alike) or 2 * len(alike) < len(names):
        return False
    places = {tuple(text for text, field in zip(digits, part.fields, strict=True) if field != "z") for digits in found}
    slices = {tuple(text for text, field in zip(digits, part.fields, strict=True) if field == "z") for digits in found}
    is_stage = len(found) > 2 and len(slices) == len(places) == len(found)
    return not flat or (len(places) > 1 and not is_stage)


def said_to_be_tiles(names: Sequence[str]) -> tuple[int, int] | None:
    """Positions of the two numbers that vary like rows and columns in names with the word `tile`, or None."""
    alike = [name for name in names if texts(name) == texts(names[0])]
    if not {"tile", "tiles"} & {word.lower() for word in re.findall("[A-Za-z]+", names[0])}:
        return None
    found = [numbers(name) for name in alike]
    varying = [at for at in range(len(found[0])) if len({each[at] for each in found}) > 1]
    if len(varying) != 2 or not is_grid([(each[varying[0]], each[varying[1]]) for each in found]):
        return None
    return varying[0], varying[1]
