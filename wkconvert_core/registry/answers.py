"""The answers of all plugins to a path: what each makes of its first bytes and its name, and which is the surest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import AmbiguousFormat, BrokenSource, SourceNotFound
from wkconvert_core.contract.model import Confidence, Match
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


@dataclass(frozen=True)
class Found:
    """A path and the reader for it; `layer` is the folder's name where core descended to find it."""

    path: Path | str
    match: Match
    layer: str | None = None
    notes: tuple[str, ...] = ()
    """Notes for the user: entries beside it that no reader claims."""
    source: str = ""
    """The name of the folder that was given, where core descended from it."""
    layers: int = 1
    """The number of layers' files and folders that were found with it."""


def read_head(path: Path | str) -> bytes:
    """The first bytes of a file; none for a folder or a URL. Raises SourceNotFound, BrokenSource."""
    if isinstance(path, str) or is_folder(path):
        return b""
    try:
        with open_file(path) as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise SourceNotFound(f"{path} does not exist", fix="check how it is spelled") from None
    except OSError as error:
        raise cannot_open(path, error) from error
    if not head:
        raise BrokenSource(
            f"{path} is empty", why="the file has 0 bytes", fix="write or copy the file again, then repeat this"
        )
    return head


def ask(
    path: Path | str, plugins: Plugins, options: Mapping[str, str] | None = None, head: bytes | None = None
) -> list[Answer]:
    """Every plugin's answer to a path, in the order of registration; an error of a plugin is an answer, too.

    `head` is what plugins see of the file; by default it is read. Raises SourceNotFound, BrokenSource where the system
    fails: what a plugin could not look at may be its own.
    """
    arguments = {"path": path, "head": read_head(path) if head is None else head, "options": options or {}}
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
        if match and match.format == "webknossos" and match.confidence is Confidence.EXACT:
            break  # a dataset is nothing else: nobody looks at what its links, which a stranger may have made, lead to
    return answers


def surest(
    path: Path | str, plugins: Plugins, options: Mapping[str, str] | None = None, reader: str | None = None
) -> tuple[Found | None, list[str]]:
    """The reader that claims a path most confidently, and the errors of plugins, which might read it if they worked.

    With `reader`, no other counts. Raises AmbiguousFormat where several are equally sure, SourceNotFound, BrokenSource.
    """
    answers = ask(path, plugins, options)
    if reader is not None:
        names = {answer.plugin: plugins.formats_of(answer.plugin) for answer in answers}
        answers = [it for it in answers if reader in ([it.match.format] if it.match else names[it.plugin])]
    matches = sorted((answer.match for answer in answers if answer.match), key=lambda match: -match.confidence)
    rivals = [match for match in matches if match.confidence == matches[0].confidence]
    if len({match.format for match in rivals}) > 1:
        claims = "; ".join(f"{match.format} ({match.reason})" for match in rivals)
        raise AmbiguousFormat(
            f"several readers claim {path}: {claims}",
            why="none is surer than the others",
            fix=f"choose with --reader {' or --reader '.join(sorted(match.format for match in rivals))}",
        )
    errors = [f"{answer.plugin} {answer.error}" for answer in answers if answer.error]
    return Found(path, matches[0]) if matches else None, errors
