"""Errors whose reasons a user can mend. Everything else is a bug and keeps its traceback.

WkconvertError
├── OptionError               an option or argument is wrong (exit 2)
├── SourceError               the data to be read
│   ├── SourceNotFound            no such file or folder
│   ├── UnknownFormat             no reader claims it
│   ├── AmbiguousFormat           several readers claim it equally
│   ├── BrokenSource              damaged, cut short or not what its header says
│   ├── UnsupportedSource         sound, but holds what cannot be converted as asked
│   └── InconsistentStack         slices that do not fit together
├── TargetError               the dataset to be written
│   ├── TargetExists              something else is there already
│   ├── TargetLocked              another run is writing it
│   ├── TargetNotWritable         the file system says no
│   └── NoSpace                   the disk is, or would be, full
├── ConversionError           values that do not fit the dtype asked for
├── DamagedData               a written dataset does not hold what it should
├── ResourceError             memory or workers do not suffice
├── PluginError               a plugin is broken
├── HeededWarning             a warning, where warnings are to be errors
└── Bug                       reported by the command line for any other exception
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any


class WkconvertError(Exception):
    """The root of the tree: says what is wrong, why, and what to do about it."""

    code = "error"
    """Stable name of the kind of error, for scripts that read `--json`."""
    exit_code = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        """Keep the three parts of the message: what happened, why it is refused, what the user can do."""
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        """One paragraph, for logs and tracebacks."""
        return ". ".join(part.rstrip(".") for part in (self.what, self.why, self.fix) if part)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with all three parts: workers send errors to the main process."""
        return partial(type(self), self.what, why=self.why, fix=self.fix), ()


class OptionError(WkconvertError, ValueError):
    """An option or an argument is wrong."""

    code = "option"
    exit_code = 2


class SourceError(WkconvertError):
    """Something about the data to be read."""

    code = "source"


class SourceNotFound(SourceError, FileNotFoundError):
    """No such file or folder."""

    code = "source.missing"


class UnknownFormat(SourceError):
    """No installed reader claims the source."""

    code = "source.unknown"


class AmbiguousFormat(SourceError):
    """Several readers claim the source with the same confidence."""

    code = "source.ambiguous"


class BrokenSource(SourceError):
    """A file is damaged, cut short or not what its header says."""

    code = "source.broken"


class UnsupportedSource(SourceError):
    """A sound file that holds what cannot be converted as asked."""

    code = "source.unsupported"


class InconsistentStack(SourceError):
    """Slices that differ in size or dtype, or whose numbering has a hole."""

    code = "source.inconsistent"


class TargetError(WkconvertError):
    """Something about the dataset to be written."""

    code = "target"


class TargetExists(TargetError, FileExistsError):
    """The target is there already, and is not this command's own unfinished work."""

    code = "target.exists"


class TargetLocked(TargetError):
    """Another run is writing the target."""

    code = "target.locked"


class TargetNotWritable(TargetError):
    """The file system refuses to write there."""

    code = "target.readonly"


class NoSpace(TargetError):
    """The disk is full, or would be."""

    code = "space"


class ConversionError(WkconvertError, ValueError):
    """Values that do not fit the dtype that was asked for."""

    code = "conversion"


class DamagedData(WkconvertError):
    """A written dataset does not hold what it should."""

    code = "target.damaged"


class ResourceError(WkconvertError):
    """Memory or workers do not suffice."""

    code = "resources"


class PluginError(WkconvertError):
    """A plugin cannot be loaded or breaks the contract."""

    code = "plugin"


class HeededWarning(WkconvertError):
    """A warning, where the user asked for warnings to be errors."""

    code = "warning"


class Bug(WkconvertError):
    """An exception that is none of these, as the command line reports it beside the traceback."""

    code = "bug"


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """The beginning of a remedy that names the known word which was probably meant; empty if none is like it.

    >>> did_you_mean("Lables", ["color", "labels"]), did_you_mean("em", ["color", "labels"])
    ('did you mean labels? ', '')
    """
    from difflib import get_close_matches

    names = {str(one).casefold(): str(one) for one in known}
    like = get_close_matches(str(word).casefold(), [name for name in names if not name[:1].isdecimal()], 1, 0.7)
    return f"did you mean {names[like[0]]}? " if like else ""


def one_of(known: Collection[object], word: object) -> str:
    """The remedy for a word that is none of the known ones.

    >>> one_of(["median", "mode"], "medain")
    'did you mean median? take one of median, mode'
    """
    return f"{did_you_mean(word, known)}take one of {', '.join(map(str, known)) or 'none'}"


def check_known(option: str, wanted: Iterable[object], known: Collection[object], problem: str) -> None:
    """Raise OptionError for the first value of an option that is not in `known`; its message lists the known ones.

    `problem` ends the sentence that begins with the option and the value, such as `is not in the dataset`.

    >>> check_known("layers", ["em", "ids"], ["em", "labels"], "is not in the dataset")
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: --layers ids is not in the dataset. take one of em, labels
    """
    for one in wanted:
        if one not in known:
            raise OptionError(f"--{option} {one} {problem}", fix=one_of(known, one))
