"""What all reports are made of: lines, JSON documents, and the texts of shapes and sizes in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.contract.voxel_size import VoxelSize

Document = dict[str, Any]


def print_document(document: Document) -> None:
    """Print one JSON document to standard output."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_lines(console: Console, *lines: str) -> None:
    """Print lines as they are: a path must stay in one piece, so that it can be copied."""
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def size_document(size: VoxelSize | None) -> Document | None:
    """A voxel size in a document."""
    return {"size": list(size.size), "unit": size.unit, "origin": size.origin} if size else None


def shape_text(shape: Iterable[int]) -> str:
    """`100 x 200 x 30`."""
    return " x ".join(map(str, shape))


def shard_text(shape: Sequence[int]) -> str:
    """The same; `128^3` for a cube."""
    return f"{shape[0]}^{len(shape)}" if len(set(shape)) == 1 else shape_text(shape)
