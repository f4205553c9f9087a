"""Names of layers and datasets: what WEBKNOSSOS accepts, matched in full and before anything is read or written."""

from __future__ import annotations

import re
import unicodedata

from wkconvert_core.contract.errors import OptionError

LAYER_NAME = re.compile(r"[A-Za-z0-9_$@-][A-Za-z0-9_$@.-]*")
"""What WEBKNOSSOS accepts as the name of a layer, for `fullmatch` alone: `match` would let `color\\n` pass."""

MAX_LENGTH = 200
"""A layer is a folder: file systems take 255 bytes, and temporary names need some of them."""

FOLDER = ".wkconvert"
"""Where a dataset keeps what our runs noted of it."""
PROPERTIES_FILE = "datasource-properties.json"
"""The metadata, beside the layers' folders: no layer can have its name."""

_LEGAL = "letters A-Z and a-z, digits, and _ $ @ . -, with no dot in front and no two dots in a row"


def layer_name(text: str) -> str:
    """Return `text` if it is a legal name of a layer. Raises OptionError, which suggests one.

    >>> layer_name("em_raw")
    'em_raw'
    >>> layer_name("em raw")
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: 'em raw' is no name for a layer. it holds a space. take ...
    """
    if problem := layer_name_problem(text):
        raise OptionError(
            f"{text!r} is no name for a layer",
            why=f"it {problem}",
            fix=f"take for example {suggest(text)!r}; a layer's name has {_LEGAL}",
        )
    return text


def layer_name_problem(text: str) -> str:
    """What keeps a text from being a layer's name, as the end of a sentence that begins with `it`; else nothing."""
    if not text:
        return "is empty"
    if len(text) > MAX_LENGTH:
        return f"is {len(text)} characters long, more than {MAX_LENGTH}"
    if ".." in text:
        return "holds '..'"
    if text.startswith("."):
        return "starts with a dot"
    if text == PROPERTIES_FILE:
        return "is the name of the metadata file"
    if not LAYER_NAME.fullmatch(text):
        return f"holds {_listed(sorted({char for char in text if not LAYER_NAME.fullmatch('_' + char)}))}"
    return ""


def suggest(text: str, default: str = "layer") -> str:
    """A legal layer name made of a folder's or a channel's: `Alexa 488` becomes `Alexa_488`.

    A legal name stays as it is. Accents are dropped, other letters and signs become `_`; `default` is returned if
    nothing is left.

    >>> suggest("Alexa 488"), suggest("Zürich (raw)"), suggest("日本")
    ('Alexa_488', 'Zurich_raw', 'layer')
    """
    if not layer_name_problem(text):
        return text
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    joined = re.sub(r"[^A-Za-z0-9_$@.-]+", "_", plain)
    name = re.sub(r"\.{2,}", ".", joined).strip("_.")[:MAX_LENGTH].rstrip("_.")
    return default if layer_name_problem(name) else name


def dataset_name(text: str) -> str:
    """Return `text` if a dataset may be called so: any one line that is no path. Raises OptionError."""
    if problem := _dataset_name_problem(text):
        raise OptionError(
            f"{text!r} is no name for a dataset",
            why=f"it {problem}",
            fix=f"say one with --name, for example --name {suggest(text, 'dataset')}",
        )
    return text


def _dataset_name_problem(text: str) -> str:
    if not text.strip():
        return "is empty"
    if len(text) > MAX_LENGTH:
        return f"is {len(text)} characters long, more than {MAX_LENGTH}"
    if text in (".", ".."):
        return "is the name of no folder of its own"
    wrong = sorted({char for char in text if char in "/\\" or not char.isprintable()})
    return f"holds {_listed(wrong)}" if wrong else ""


def _listed(characters: list[str]) -> str:
    return ", ".join("a space" if char == " " else repr(char) for char in characters)
