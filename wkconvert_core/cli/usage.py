"""Usage errors of typer in the form of our own errors, with what to write instead."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import OptionError

WKCUBER = {
    "--scale": "--voxel-size",
    "--wkw-file-len": "--file-len",
    "--bounding-box": "--bbox",
    "--max": "--max-mag",
    "--layer": "--layer-name",
    "--num-workers": "--jobs",
    "--buffer-cube-size": "--memory",
    "--isotropic": "--sampling-mode isotropic",
    "--anisotropic-target-mag": "--target-mag",
    "--channel-index": "--channel",
    "--flip-axes": "--flip",
    "--shape": "-o shape=x,y,z",
    "--order": "-o order=F",
    "--input-dtype": "-o dtype=uint8",
    "--input-path-pattern": "-o pattern=",
}
"""wkcuber's options that have another name here; others have kept theirs, with hyphens."""


def explained(error: Any) -> OptionError:
    """A usage error of typer with its remedy."""
    command = error.ctx.command_path if error.ctx else Path(sys.argv[0]).name
    remedy = f"`{command} --help` lists what it takes"
    known = {name for param in error.ctx.command.params for name in param.opts} if error.ctx else set()
    if option := getattr(error, "option_name", ""):
        hyphened = option.replace("_", "-")
        ours = WKCUBER.get(hyphened, hyphened)
        if ours != option and ours.split()[0] in known:
            remedy = f"say {ours}"
        elif near := getattr(error, "possibilities", None):
            remedy = f"say {' or '.join(sorted(near))}; {remedy}"
        return OptionError(f"{command} has no option {option}", fix=remedy)
    message = error.format_message().rstrip(".")
    if message.startswith("Got unexpected extra argument"):
        return _surplus(message, command, remedy)
    return OptionError(message, fix=remedy)


def _surplus(message: str, command: str, remedy: str) -> OptionError:
    """An error for words that no argument takes: numbers after an option that takes one word, or paths."""
    extra = re.sub(r".*?argument(\(s\)|s)? \((.*)\)", r"\2", message).split()
    words = sys.argv[1:]
    numbers = [word for word in extra if word.strip(",x").replace(".", "").isdigit()]
    split = [option for option, word in pairwise(words) if option in ("--voxel-size", "--bbox")]
    if numbers == extra and split:
        first = words[words.index(split[0]) + 1].strip(",")
        together = ",".join([first, *(number.strip(",") for number in numbers)])
        return OptionError(
            f"{split[0]} takes one word, and {' '.join([first, *numbers])} are {len(numbers) + 1}",
            fix=f"write it with commas and without spaces: {split[0]} {together}",
        )
    why = f"{' '.join(extra[:3])}{' …' * (len(extra) > 3)} {'is' if len(extra) == 1 else 'are'} more than it takes"
    if any(Path(word).exists() for word in words[1:] if word in extra) or len(extra) > 3:
        remedy = "give the folder that holds the files, not each of them (the shell replaces * by all names)"
    return OptionError(f"{command} takes one path for each of its arguments", why=why, fix=remedy)
