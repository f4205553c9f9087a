"""The answers of all plugins to a path: what each makes of its first bytes and its name, and which is the surest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import AmbiguousFormat, BrokenSource, SourceNotFound
from wkconvert_core.contract.model import Match
from wkconvert_core.registry.plugins import Plugins
from wkconvert_core.toolkit.files import cannot_open, is_folder, open_file

HEAD_BYTES = 4096
"""Bytes of a file that plugins see when they detect."""


@dataclass(frozen=True)
class Answer:
    """One plugin's answer to a path: a match, an error, or neither if it declines."""

    plugin: str
    match: Match | None
    error: str = ""

    @property
    def reason(self) -> str:
        """Why the plugin claims the path, or its error; empty if it declines."""
        return self.match.reason if self.match else self.error


def read_head(path: Path | str) -> bytes:
    """The first bytes of a file; none for a folder or a URL. Raises SourceNotFound, BrokenSource."""
    if isinstance(path, str):
        return b""
    try:
        if is_folder(path):
            os.scandir(path).close()
            return b""
        with open_file(path) as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise SourceNotFound(f"{path} does not exist", fix="check how it is spelled") from None
    except OSError as error:
        raise cannot_open(path, error) from error
    if not head:
        raise BrokenSource(f"{path} is empty", why="the file has 0 bytes")
    return head


def ask(path: Path | str, head: bytes, plugins: Plugins, options: Mapping[str, str] | None = None) -> list[Answer]:
    """Every plugin's answer to a path, in the order of registration; an error of a plugin is an answer, too.

    Raises SourceNotFound, BrokenSource where the system fails: what a plugin could not look at may be its own.
    """
    arguments = {"path": path, "head": head, "options": options or {}}
    answers = []
    for impl in plugins.hook.wkconvert_detect.get_hookimpls():
        error = ""
        try:
            match = impl.function(*(arguments[name] for name in impl.argnames))
            if match is not None and not isinstance(match, Match):
                match, error = None, f"failed: it answered {match!r}, which is no Match"
        except (BrokenSource, SourceNotFound):
            raise
        except OSError as failure:
            raise cannot_open(failure.filename or path, failure) from failure
        except Exception as failure:  # a stranger's code: the other plugins are still asked
            match, error = None, f"failed: {type(failure).__name__}: {failure}"
        answers.append(Answer(impl.plugin_name, match, error))
    return answers


def best(path: Path | str, answers: list[Answer]) -> Match | None:
    """The most confident match. Raises AmbiguousFormat where several are equally sure."""
    matches = sorted((answer.match for answer in answers if answer.match), key=lambda match: -match.confidence)
    if not matches:
        return None
    rivals = [match for match in matches if match.confidence == matches[0].confidence]
    if len({match.format for match in rivals}) > 1:
        claims = "; ".join(f"{match.format} ({match.reason})" for match in rivals)
        raise AmbiguousFormat(
            f"several readers claim {path}: {claims}",
            why="none is surer than the others",
            fix=f"choose with --reader {' or --reader '.join(sorted(match.format for match in rivals))}",
        )
    return matches[0]


def of_reader(answers: list[Answer], reader: str, plugins: Plugins) -> list[Answer]:
    """The answers that count where a reader was chosen: its own claim, or that its plugin failed."""
    return [
        answer
        for answer in answers
        if (answer.match.format == reader if answer.match else reader in plugins.formats_of(answer.plugin))
    ]


def failures(answers: list[Answer]) -> list[str]:
    """The errors of plugins: they may read the path, so nobody may look for layers below it instead."""
    return [f"{answer.plugin} {answer.error}" for answer in answers if answer.error]
