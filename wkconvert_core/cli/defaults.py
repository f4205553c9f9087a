"""Defaults where the command line says nothing: options from environment variables and from files `wkconvert.toml`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import typer

from wkconvert_core.cli.options import ALL, EACH_TIME, RUN, WORKER_OPTIONS
from wkconvert_core.cli.reporting.log_file import command_line
from wkconvert_core.contract.errors import OptionError, WkconvertError, one_of

USERS_OWN = ("scheduler", "job_resources", "log_file")
"""Options that a file beside data, which may come from anywhere, does not say: where else this machine acts."""
SETTLES = {
    "voxel_size": ("unit",),
    "dtype": ("convert", "range"),
    "convert": ("range",),
    "reader": ("option",),
    "max_mag": ("no_downsample",),
    "no_downsample": ("max_mag",),
    "top_left": ("start_z",),
    "start_z": ("top_left",),
    "to": ("to_option", "compression", "compression_level", "no_compress", "file_len"),
    "compression": ("compression_level", "no_compress"),
    "no_compress": ("compression", "compression_level"),
}
"""Options that would mean something else, or contradict, if they came from further away than what they go with."""
OWNERS = {"scheduler": "dask", "job_resources": "slurm"}
"""Options that count with one strategy only, and are no error where they are merely set for it."""

ALSO = {"option": "|-o|reader options?", "to_option": "|writer options?"}
"""How errors speak of options that hold others, beside their names."""


class Defaults:
    """The options that a command takes from elsewhere, and from where.

    The command line counts before the environment, that before the file beside the data, that before the user's own.
    """

    def __init__(self, params: Mapping[str, Any], said: Collection[str], open_options: Collection[str], src: object):
        """`said`: the options on the command line; `open_options`: those that may come from elsewhere."""
        self.values: dict[str, Any] = {}
        self._origins: dict[str, str | Path] = {}
        settled = {name for name in said if params[name]}
        known = set(said)
        sources = _sources(src, open_options, files=not params.get("no_config")) if open_options else ()
        for origin, values in sources:
            closed = known | {hidden for name in settled for hidden in SETTLES.get(name, ())}
            taken = {name: value for name, value in values.items() if name in open_options and name not in closed}
            self.values |= taken
            self._origins |= dict.fromkeys(taken, origin)
            known |= taken.keys()
            settled |= {name for name, value in taken.items() if value}
        strategy = {**params, **self.values}.get("distribution_strategy")
        for name, owner in OWNERS.items():
            if name in self.values and strategy != owner:
                del self.values[name], self._origins[name]

    @property
    def notes(self) -> list[str]:
        """The files that say something that changes what is written, and what they say."""
        deciding = [name for name in self.values if get_args(ALL[name])[1].rich_help_panel != RUN]
        files = dict.fromkeys(self._origins[name] for name in deciding)
        told = {file: [_shown(name) for name in deciding if self._origins[name] == file] for file in files}
        return [f"{file} says {', '.join(names)}" for file, names in told.items()]

    @property
    def command(self) -> str:
        """The command line that does the same whatever variables and files say, as a shell takes it."""
        from_files = any(isinstance(origin, Path) for origin in self._origins.values())
        said = [word for name, value in self.values.items() for word in _words(name, value)]
        return command_line(*said, *["--no-config"] * from_files)

    def explain(self, error: WkconvertError) -> None:
        """Add to an error from where the options come that it speaks of, unless they are on the command line."""
        text = f"{error.what} {error.why} {error.fix}"
        words = {name: _shown(name) + ALSO.get(name, "") for name in self._origins}
        named = [name for name, said in words.items() if re.search(rf"(?<![\w-])({said})(?![\w-])", text)]
        told = [f"{_shown(name)} comes from {self._origins[name]}" for name in named]
        error.why = "; ".join(filter(None, [error.why, *told]))


def _words(name: str, value: object) -> list[str]:
    """The words that give an option on the command line.

    >>> _words("voxel_size", "4,4,35"), _words("pad", True), _words("pad", False)
    (['--voxel-size', '4,4,35'], ['--pad'], [])
    >>> _words("option", ["timepoint=3", "channel=1"])
    ['--option', 'timepoint=3', '--option', 'channel=1']
    """
    if isinstance(value, bool):
        return [_shown(name)] * value
    values = value if isinstance(value, list) else [value]
    return [word for each in values for word in (_shown(name), str(each))]


def _shown(name: str) -> str:
    return f"--{_key(name)}"


def _key(name: str) -> str:
    return name.replace("_", "-")


def _sources(src: object, open_options: Collection[str], *, files: bool) -> Iterator[tuple[str | Path, dict[str, Any]]]:
    """From where options come beside the command line, the nearest first, and what each says."""
    from wkconvert_core.toolkit.files import CONFIG_FILE

    for name in (each for each in WORKER_OPTIONS if each in open_options):
        variable = f"WKCONVERT_{name.upper()}"
        if text := os.environ.get(variable):
            yield variable, {name: _value(variable, name, text)}
    if not files:
        return
    local = Path(src) if isinstance(src, str | Path) else Path()
    places = [local / CONFIG_FILE, local.parent / CONFIG_FILE, Path(CONFIG_FILE)]
    own = Path(typer.get_app_dir("wkconvert"), CONFIG_FILE)
    beside = next((place for place in places if _is_there(place)), None)
    if beside is not None:
        yield beside.absolute(), _read(beside.absolute(), USERS_OWN)
    if _is_there(own):
        yield own, _read(own)


def _is_there(file: Path) -> bool:
    with suppress(OSError, ValueError):
        return file.is_file()
    return False


def _read(file: Path, foreign: Collection[str] = ()) -> dict[str, Any]:
    """The options that a file says. Raises OptionError that names the file, the key and the legal ones."""
    import tomllib

    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        fix = "write a line for each option, such as voxel-size = [4, 4, 35]"
        raise OptionError(f"{file} cannot be read", why=str(error), fix=fix) from None
    names = {_key(name): name for name in ALL}
    legal = [key for key, name in names.items() if name not in (*EACH_TIME, *foreign)]
    for key in document:
        if key not in legal:
            where = "on the command line" if names.get(key) in EACH_TIME else "in the file of your configuration folder"
            why = f"it is taken {where} only" if key in names else "there is no such option"
            raise OptionError(f"{file} says {key}", why=why, fix=one_of(legal, key))
    return {names[key]: _value(f"{file}: {key}", names[key], value) for key, value in document.items()}


def _value(where: str, name: str, said: object) -> Any:
    """An option's value as the command line would give it. Raises OptionError for one of another kind."""
    kind, option = get_args(ALL[name])
    wanted = _wanted(kind, name)
    if kind is bool:
        fits = isinstance(said, bool)
    elif isinstance(said, dict):
        fits = name in ("job_resources", "option", "to_option")
    else:
        parts = said if isinstance(said, list) else [said]
        fits = all(isinstance(part, str | int | float) and not isinstance(part, bool) for part in parts)
    try:
        if not fits:
            raise ValueError(f"it is {json.dumps(said, default=str)}")
        if kind is bool:
            return said
        if name == "job_resources":
            return said if isinstance(said, str) else json.dumps(said)
        if list[str] in get_args(kind):
            return [f"{k}={v}" for k, v in said.items()] if isinstance(said, dict) else list(map(str, parts))
        text = ",".join(map(str, parts))
        return Path(text) if Path in get_args(kind) else option.parser(text) if option.parser else text
    except (ValueError, typer.BadParameter) as error:
        raise OptionError(f"{where} has a value that does not fit", why=str(error), fix=f"write {wanted}") from None


def _wanted(kind: Any, name: str) -> str:
    if kind is bool:
        return "true or false"
    if list[str] in get_args(kind):
        return 'a list of "key=value", or a table of keys and values'
    if name == "job_resources":
        return 'a table, such as { mem = "4G", time = "02:00:00" }'
    return "a whole number" if int in get_args(kind) else "a text, a number, or a list of them"
