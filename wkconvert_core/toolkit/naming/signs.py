"""Minus and plus before the numbers of names: signs of depths below zero, or hyphens."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from wkconvert_core.contract.errors import UnsupportedSource
from wkconvert_core.toolkit.naming.words import kinds, unit_after

__all__ = ["Groups", "with_signs"]

Groups = Mapping[tuple[str, ...], Mapping[str, Sequence[str]]]
"""Names by the texts around their fields, each with its fields."""


def with_signs(folder: str, groups: Groups, said: str | None = None) -> Groups:
    """Groups of names in which signs belong to the numbers, so that `z-4`, `z0` and `z+4` are alike.

    Minus and plus are signs where they differ from name to name before a depth, and where all numbers of measured
    depths have a minus; what stands before counted slices, `stack-1`, is a hyphen. Raises UnsupportedSource where both
    may be meant, unless `said`, the option `names`, decides: signs if it has `-z` in it, hyphens for anything else.

    >>> with_signs("", {("z", ""): {"z4": ["4"]}, ("z-", ""): {"z-4": ["4"]}})
    {('z', ''): {'z4': ['4'], 'z-4': ['-4']}}
    """
    if not any(text.endswith(("-", "+")) for key in groups for text in key[:-1]):
        return groups
    merged: dict[tuple[str, ...], dict[str, Sequence[str]]] = {}
    alike: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for key in groups:
        bare = (*(text[:-1] if text[-1:] in ("-", "+") else text for text in key[:-1]), key[-1])
        alike.setdefault(bare, []).append(key)
    for bare, keys in alike.items():
        rows = {key: list(zip(*groups[key].values(), strict=True)) for key in keys}
        signed = [at for at in range(len(bare) - 1) if _is_sign(folder, bare, at, rows, said)]
        for key in keys:
            fields = groups[key]
            if minus := [at for at in signed if key[at].endswith("-")]:
                fields = {
                    name: ["-" * (at in minus) + text for at, text in enumerate(row)] for name, row in fields.items()
                }
            about = tuple(bare[at] if at in signed else text for at, text in enumerate(key))
            merged.setdefault(about, {}).update(fields)
    return merged


def _is_sign(
    folder: str,
    bare: tuple[str, ...],
    at: int,
    rows: Mapping[tuple[str, ...], Sequence[Sequence[str]]],
    said: str | None,
) -> bool:
    """Whether what stands before a number in some or all names is its sign, given all columns by pattern."""
    before, after = bare[at], bare[at + 1]
    signs = {key[at][len(before) :] for key in rows}
    texts = list(itertools.chain(*(columns[at] for columns in rows.values())))
    if "-" not in signs or not all(map(str.isdecimal, texts)) or (at and not before):  # the last: 2024-05
        return len(signs) > 1 and "-" not in signs
    is_decimal = after == "." and len(bare) > at + 2
    unit = unit_after(bare[at + 2] if is_decimal else after)
    is_measured = is_decimal or (bool(unit) and kinds(["", unit])[0] == "z")
    is_depth = kinds([before, ""])[0] == "z"
    is_apart = before[-1:] in ("", "_", "=", "(")
    if len(signs) > 1:
        return is_depth or is_measured or is_apart or "+" in signs
    numbers = set(map(int, texts))
    varies = any(len(set(column)) > 1 for columns in rows.values() for column in columns[at : at + 1 + is_decimal])
    if not varies or (0 in numbers and not is_decimal):
        return False
    if said:
        return "-z" in said.replace(" ", "").split(",")
    if is_apart or (is_measured and is_depth):
        return True
    is_padded = any(text[0] == "0" for text in texts)
    if is_measured or (before.lower().endswith(("z", "depth", "zpos")) and not is_padded):
        ends = [columns[at + 1] if is_decimal else [""] * len(columns[at]) for columns in rows.values()]
        shown = [f"{before}-{a}{after}{b}" for a, b in zip(texts, itertools.chain(*ends), strict=True)]
        raise UnsupportedSource(
            f"it is not clear whether the numbers in {folder} are below zero: {shown[0]} to {shown[-1]}",
            why="the minus before them may be a sign or a hyphen, and the order of the slices depends on it",
            fix="say -o names=-z if it is a sign, -o names=z if it is a hyphen",
        )
    return False
