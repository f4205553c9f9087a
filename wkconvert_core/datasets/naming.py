"""Names of layers and datasets as WEBKNOSSOS accepts them, checked before anything is read or written."""

from __future__ import annotations

import re
import unicodedata

from wkconvert_core.contract.errors import OptionError

LAYER_NAME = re.compile(r"[A-Za-z0-9_$@-][A-Za-z0-9_$@.-]*")
"""Layer names that WEBKNOSSOS accepts. To be used with `fullmatch`: `match` would let `color\\n` pass."""

MAX_LENGTH = 200
"""Characters in a name. A layer is a folder: file systems allow 255 bytes, and temporary names need some of them."""

_SHOWN = 100
"""Characters of others' texts in a message."""

FOLDER = ".wkconvert"
"""The folder in a dataset for the records of runs."""
PROPERTIES_FILE = "datasource-properties.json"
"""The metadata file. It lies beside the layers' folders, so no layer can have its name."""

_LEGAL = "letters A-Z and a-z, digits, and _ $ @ . -, with no dot in front and no two dots in a row"


def layer_name(text: str) -> str:
    """Return `text` if it is a legal layer name. Raises OptionError, which suggests one.

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
    """Why a text is no legal layer name, as the predicate of a sentence about it; "" if it is one.

    >>> layer_name_problem("em raw"), layer_name_problem(".em"), layer_name_problem("em_raw")
    ('holds a space', 'starts with a dot', '')
    """
    if problem := _length_problem(text):
        return problem
    if ".." in text:
        return "holds '..'"
    if text.startswith("."):
        return "starts with a dot"
    if text == PROPERTIES_FILE:
        return "is the name of the metadata file"
    if not LAYER_NAME.fullmatch(text):
        return f"holds {_listed(sorted({char for char in text if not LAYER_NAME.fullmatch('_' + char)}))}"
    return ""


def shown(text: str, *, quoted: bool = True) -> str:
    r"""A text that somebody else has chosen, for a message: on one line, and not too long; plain if that will do.

    >>> shown("em"), shown("em", quoted=False), shown(300 * "m") == repr(100 * "m" + "…")
    ("'em'", 'em', True)
    >>> print(shown("two\nlines", quoted=False))
    'two\nlines'
    """
    is_plain = text.isprintable() and len(text) <= _SHOWN
    return text if is_plain and not quoted else repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def suggest(text: str, default: str = "layer") -> str:
    """Derive a legal layer name from that of a folder or channel; a legal name stays as it is.

    Accents are dropped, other letters and signs become `_`; `default` is returned if nothing is left.

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
    """Return `text` if it is a legal dataset name: one line of text that is no path. Raises OptionError.

    >>> dataset_name("Mouse V1, 4 nm")
    'Mouse V1, 4 nm'
    >>> dataset_name("mouse/v1")
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: 'mouse/v1' is no name for a dataset. it holds '/'. say one ...
    """
    wrong = sorted({char for char in text if char in "/\\" or not char.isprintable()})
    problem = _length_problem(text if text.strip() else "")
    if not problem and text in (".", ".."):
        problem = "is the name of no folder of its own"
    if problem or wrong:
        raise OptionError(
            f"{text!r} is no name for a dataset",
            why=f"it {problem or f'holds {_listed(wrong)}'}",
            fix=f"say one with --name, for example --name {suggest(text, 'dataset')}",
        )
    return text


def _length_problem(text: str) -> str:
    if not text:
        return "is empty"
    return f"is {len(text)} characters long, more than {MAX_LENGTH}" if len(text) > MAX_LENGTH else ""


def _listed(characters: list[str]) -> str:
    return ", ".join("a space" if char == " " else repr(char) for char in characters)
