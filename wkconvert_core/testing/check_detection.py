"""Checks of detection, opening, options and the handling of damaged files."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import Confidence, Source
from wkconvert_core.contract.reader_options import UnknownOption
from wkconvert_core.registry.answers import HEAD_BYTES, ask
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing.samples import (
    READ_LIMIT,
    ContractViolation,
    NotApplicable,
    Rule,
    files_of,
    open_as,
    plugin_of,
    quiet,
    reader_of,
    region,
    require,
    volume_bytes,
)

Options = Mapping[str, str] | None


def check_detection(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """The reader's plugin claims the path, with a reason, under a name that `FORMATS` lists.

    Without `reader`, one plugin must claim it more surely than all others.
    """
    path = Path(path)
    name = reader_of(path, reader)
    answers = ask(path, plugins())
    for answer in answers:
        require(not answer.error, f"wkconvert_detect of {answer.plugin} {answer.error} on {path}", Rule.JUNK)
    matches = {answer.match.format: (answer.plugin, answer.match) for answer in answers if answer.match}
    require(name in matches, f"no plugin's wkconvert_detect claims {path} as {name!r}", Rule.CLAIM)
    plugin, match = matches[name]
    require(isinstance(match.confidence, Confidence), f"{match} has no Confidence", Rule.CLAIM)
    require(match.reason.strip(), f"{match} gives no reason", Rule.CLAIM)
    listed = plugins().formats_of(plugin)
    require(name in listed, f"{plugin} claims {path} as {name!r}, but its FORMATS has {sorted(listed)}", Rule.FORMATS)


def check_junk(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """Empty, random, text and truncated files with the sample's name, and empty folders, are not taken for a volume."""
    path = Path(path)
    name = reader_of(path, reader)
    with TemporaryDirectory() as scratch, quiet():
        for label, junk in _junk(path, Path(scratch)):
            _check_not_recognised(label, junk, name)
            _check_refused(f"{label} named {path.name}", junk, name, options)


def _junk(path: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Folders and files that are no volume, each with the sample's own name."""
    contents = {
        "an empty file": b"",
        "random bytes": random.Random(0).randbytes(5000),
        "a text": b"This is a text, not a volume.\n" * 100,
        "zero bytes": bytes(5000),
    }
    if path.is_file():
        with path.open("rb") as file:
            contents["the first byte of the sample"] = file.read(1)
        for label, content in contents.items():
            (scratch / path.name).write_bytes(content)
            yield label, scratch / path.name
        (scratch / path.name).unlink()
    folder = scratch / path.name
    folder.mkdir()
    yield "an empty folder", folder
    (folder / "notes.txt").write_bytes(contents["a text"])
    yield "a folder with a text file", folder


def _check_not_recognised(label: str, junk: Path, reader: str) -> None:
    head = b"" if junk.is_dir() else junk.read_bytes()[:HEAD_BYTES]
    plugin = plugin_of(reader)
    for answer in ask(junk, plugins(), head=head):
        if answer.plugin == plugin:
            require(not answer.error, f"wkconvert_detect {answer.error} on {label} named {junk.name}", Rule.JUNK)
            sure = answer.match is not None and answer.match.confidence > Confidence.SUFFIX
            require(not sure, f"wkconvert_detect answers {answer.match} to {label} named {junk.name}", Rule.JUNK)


def _check_refused(label: str, path: Path, reader: str, options: Options) -> None:
    """Opening, or at the latest reading, raises an error of ours."""
    try:
        for layer in open_as(reader, path, options):
            for source in layer.mags.values():
                source.read(region(source.info))
    except WkconvertError as error:
        require(error.what.strip(), f"{label} is refused with an empty message", Rule.BROKEN)
    except ContractViolation:
        raise
    except Exception as error:
        raise _foreign(error, label) from error
    else:
        require(False, f"{reader!r} read {label} without an error", Rule.BROKEN)


def _foreign(error: Exception, label: str) -> ContractViolation:
    return ContractViolation(f"{label} makes the reader raise {type(error).__name__}: {error}", Rule.BROKEN)


def _opened_first(reader: str, path: Path, options: Options) -> Source:
    return next(iter(open_as(reader, path, options)[0].mags.values()))


def check_unknown_option(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """An option that the reader does not have raises UnknownOption, which names it and lists the known ones."""
    path, unknown = Path(path), "no_such_option"
    name = reader_of(path, reader)
    try:
        open_as(name, path, {**(options or {}), unknown: "1"})
    except UnknownOption as error:
        missing = sorted(option for option in {unknown, *(options or {})} if option not in str(error))
        require(not missing, f"the error for an unknown option does not list {', '.join(missing)}", Rule.OPTIONS)
    except Exception as error:
        require(False, f"-o {unknown}=1 raises {type(error).__name__}, not UnknownOption: {error}", Rule.OPTIONS)
    else:
        require(False, f"{name!r} accepts -o {unknown}=1; parse_options refuses it", Rule.OPTIONS)


def check_truncated(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """A file that was cut in half is refused when it is opened or read, never padded."""
    path = Path(path)
    name = reader_of(path, reader)
    with _copy(path) as copy, quiet():
        largest = max(files_of(copy), key=lambda file: file.stat().st_size)
        content = largest.read_bytes()
        largest.write_bytes(content[: len(content) // 2])
        _check_refused(f"{largest.name}, cut in half,", copy, name, options)


def check_damaged_header(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """Wrong bytes near the beginning of a file raise an error of wkconvert, or are read as what they now mean."""
    path = Path(path)
    name = reader_of(path, reader)
    healthy = volume_bytes(_opened_first(name, path, options).info)
    rng = random.Random(0)
    with _copy(path) as copy, quiet():
        largest = max(files_of(copy), key=lambda file: file.stat().st_size)
        with largest.open("rb") as file:
            head = file.read(256)
        for _ in range(40):
            damaged = bytearray(head)
            offsets = [rng.randrange(len(head)) for _ in range(rng.randint(1, 4))]
            for offset in offsets:
                damaged[offset] = rng.randrange(256)
            with largest.open("r+b") as overwritten:
                overwritten.write(damaged)
            try:
                source = _opened_first(name, copy, options)
                if volume_bytes(source.info) <= 4 * healthy:  # the damage may have made the volume absurdly large
                    for corner in (source.info.box.start, source.info.box.stop - (1, 1, 1)):
                        source.read(Box(corner, (1, 1, 1)))
            except (WkconvertError, ContractViolation):
                pass
            except Exception as error:
                label = f"{largest.name} with other bytes at {', '.join(map(str, sorted(offsets)))}"
                raise _foreign(error, label) from error


@contextmanager
def _copy(path: Path) -> Iterator[Path]:
    """A copy of the sample, to be damaged. Raises NotApplicable if the sample is too large to be copied."""
    if sum(file.stat().st_size for file in files_of(path)) > READ_LIMIT:
        raise NotApplicable(
            f"{path} has more than {READ_LIMIT >> 20} MiB; the check damages a copy of a smaller sample"
        )
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / path.name
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copyfile(path, copy)
        yield copy
