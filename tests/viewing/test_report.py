import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.conversions import random_voxels
from PIL import Image
from typer.testing import CliRunner

from wkconvert_core.cli.app import app

RUN = CliRunner()


class Page(HTMLParser):
    """A page's text, pictures and addresses; `open` are the elements that are not closed."""

    def __init__(self, html):
        super().__init__()
        self.text, self.pictures, self.addresses, self.open, self.bars = "", [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in ("meta", "img", "rect"):
            self.open.append(tag)
        if tag == "img":
            self.pictures.append(given["src"])
        if tag == "rect":
            self.bars.append(float(given["height"]))
        self.addresses += [value for name, value in attributes if name in ("href", "src") and "://" in value]

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + "\n"


def test_the_page_of_a_run_says_what_was_read_and_written(tmp_path, reader, monkeypatch):
    monkeypatch.setattr("sys.argv", ["wkconvert", "auto", "my src", "ds"])
    voxels = random_voxels((70, 60, 40)).astype(np.float32)
    voxels[0, 0, 0, 0] = np.nan
    reader(tmp_path / "<em>", voxels)
    out = tmp_path / "report.html"
    arguments = ["auto", str(tmp_path / "<em>"), str(tmp_path / "ds"), "--voxel-size", "4,4,40", "--report", str(out)]
    assert RUN.invoke(app, arguments).exit_code == 0
    page = Page(out.read_text())
    assert '<meta name="viewport" content="width=device-width">' in out.read_text()  # else phones show it tiny
    assert (page.open, page.addresses) == ([], [])
    for said in (
        "4 x 4 x 40 nm (--voxel-size)",
        "<em>",
        "2-2-1",
        "70 x 60 x 40",
        "1 voxel is not a number",
        "wkconvert auto 'my src' ds",
    ):
        assert said in page.text
    (picture,) = page.pictures
    kind, _, data = picture.partition(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).width > 400
    assert len(page.bars) == 64
    assert max(page.bars) == 100
    assert 'viewBox="0 0 512 120"' in out.read_text(), "a narrow page would cut the histogram off"


def test_the_page_of_a_source_holds_each_layer_and_its_ids(tmp_path, reader):
    ids = np.zeros((1, 40, 30, 20), np.uint32)
    ids[:, 5:], ids[:, 15:] = 7, 9
    reader(tmp_path / "src" / "labels", ids)
    reader(tmp_path / "src" / "em", random_voxels((40, 30, 20)))
    out = tmp_path / "report.html"
    assert RUN.invoke(app, ["info", str(tmp_path / "src"), "--report", str(out)]).exit_code == 0
    page = Page(out.read_text())
    assert (len(page.pictures), len(page.bars)) == (2, 64)
    assert re.search(r"2 ids in these planes, [\d.]+% of the voxels are 0", page.text)


@pytest.mark.parametrize("place", ["missing/report.html", "."])
def test_where_it_cannot_be_written_nothing_is_begun(tmp_path, reader, place):
    reader(tmp_path / "src", random_voxels((9, 9, 9)))
    arguments = [
        "auto",
        str(tmp_path / "src"),
        str(tmp_path / "ds"),
        "--voxel-size",
        "4",
        "--report",
        str(tmp_path / place),
    ]
    assert RUN.invoke(app, arguments).exit_code == 1
    assert not (tmp_path / "ds").exists()
