"""Pictures in terminals that can show them.

The escape sequences are those of kitty (https://sw.kovidgoyal.net/kitty/graphics-protocol/) and of iTerm2
(https://iterm2.com/documentation-images.html).
"""

from __future__ import annotations

from base64 import standard_b64encode
from collections.abc import Mapping

from wkconvert_core.contract.errors import OptionError

_KITTY, _ITERM = ("kitty", "ghostty"), ("iTerm.app", "WezTerm", "rio", "mintty", "iTerm2")


def picture_text(png: bytes, environment: Mapping[str, str]) -> str:
    r"""The text that makes the terminal of this environment show a PNG. Raises OptionError if it is not known to.

    >>> picture_text(b"\x89PNG", {"TERM_PROGRAM": "iTerm.app"})
    '\x1b]1337;File=inline=1;size=4:iVBORw==\x07\n'
    >>> picture_text(b"\x89PNG", {"TERM": "xterm-kitty"})
    '\x1b_Ga=T,f=100,m=0;iVBORw==\x1b\\\n'
    """
    text = standard_b64encode(png).decode()
    said = [environment.get(name, "") for name in ("TERM", "TERM_PROGRAM", "LC_TERMINAL")]
    if "KITTY_WINDOW_ID" in environment or any(name in each for name in _KITTY for each in said):
        pieces = [text[at : at + 4096] for at in range(0, len(text), 4096)]  # more than that is not taken at a time
        heads = [f"{'a=T,f=100,' * (n == 0)}m={int(n + 1 < len(pieces))}" for n in range(len(pieces))]
        return "".join(f"\x1b_G{head};{piece}\x1b\\" for head, piece in zip(heads, pieces, strict=True)) + "\n"
    if any(each in _ITERM for each in said):
        return f"\x1b]1337;File=inline=1;size={len(png)}:{text}\a\n"
    raise OptionError(
        "--terminal: this terminal is not known to show pictures",
        why="kitty, Ghostty, iTerm2, WezTerm, rio and mintty are",
        fix="leave --terminal out, and open the file",
    )
