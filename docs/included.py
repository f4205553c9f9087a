"""A hook of mkdocs: puts other files of the repository into pages, and makes links between files links between pages.

`{{ FILE }}` is replaced by a file, `{{ FILE, HEADING }}` by the text below one of its headings.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SHOWN_AT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "packages/napari_wkconvert/README.md": "napari.md",
    **{
        f"plugins/wkconvert_{name}/README.md": f"formats/{name}.md"
        for name in ("dm", "hdf5", "knossos", "mrc", "nifti", "tiff", "tiles")
    },
}
"""The page that shows a file of the repository, beside those in `docs`."""


def on_page_markdown(markdown: str, page: Any, **mkdocs: Any) -> str:
    """Put the files in, each with its links as seen from the page."""
    here = page.file.src_uri

    def text(match: re.Match[str]) -> str:
        file, heading = match["file"], match["heading"]
        content = (ROOT / file).read_text("utf-8")
        if heading:
            content = content.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0].strip()
        return _linked(content, file, here)

    return re.sub(
        r"\{\{ (?P<file>[^,} ]+)(?:, (?P<heading>[^}]+))? \}\}", text, _linked(markdown, f"docs/{here}", here)
    )


def _linked(markdown: str, file: str, page: str) -> str:
    """The text of a file, its links as seen from a page; what is no page stays as it is, for mkdocs to complain."""

    def link(match: re.Match[str]) -> str:
        target, mark, anchor = match["target"].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), target))
        path = SHOWN_AT.get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(path, posixpath.dirname(page) or '.')}{mark}{anchor})"

    return re.sub(r"\]\((?P<target>[^)\s]+)\)", link, markdown)
