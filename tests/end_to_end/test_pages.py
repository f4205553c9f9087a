"""Every command line on the pages of the site is run, or has its reason here; so are the lines of Python."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from helpers import paths
from helpers.conversions import invoke

from wkconvert_core.cli.app import app
from wkconvert_core.registry.plugins import plugins

DOCS = paths.ROOT / "docs"
PAGES = sorted(
    path.relative_to(paths.ROOT).as_posix()
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "plugins/*/README.md", "packages/*/README.md")
    for path in paths.ROOT.glob(pattern)
)
"""The pages of the site, and the files of which it is made."""
PROGRAMS = ("wkconvert", "napari", "dask", "docker", "mkdocs", "pip", "pipx", "python", "python3", "uv", ".ci/run")
"""The words with which code within a sentence begins that is a command."""
ELSEWHERE = {
    ("README.md", "Coming from wkcuber"): "test_wkcuber_table.py runs them, with what wkcuber's users have",
    ("docs/writing-a-plugin.md", "Try it"): "test_example_plugin.py runs them, with the page's own plugin",
}
"""Sections of pages whose commands another test runs."""
REASONS = {
    "pip install": "tests/installations.sh installs",
    "pipx install": "tests/installations.sh installs",
    "uv tool install": "tests/installations.sh installs",
    "uv run": "tests/installations.sh does, by way of run.py",
    "python3 run.py": "tests/installations.sh does",
    ".ci/run": "runs all tests, this one among them",
    "python tests/attack": "runs for as long as one likes; tests/attack/test_attack.py runs a little of each",
    "python -m build": "tests/testing/test_new_plugin.py builds",
    "docker": "needs a daemon; tests/dockerfile.py does what the Dockerfile says",
    "napari": "opens a window; packages/napari_wkconvert/tests see what it is given",
    "dask": "needs several machines; tests/end_to_end/test_dask_commands.py has a cluster on one",
    "wkconvert auto /data/stack": "needs a cluster; tests/cluster and test_dask_commands.py have small ones",
    "wkconvert auto brain.czi": "needs a file of ZEN; plugins/wkconvert_bioio/tests have files that other readers take",
    "wkconvert auto s3://": "needs a server that holds it",
    "wkconvert auto precomputed://": "needs a server that holds it",
    "wkconvert upload": "needs a server; tests/publishing/test_upload.py has a double of one",
    "wkconvert view": "serves until Ctrl-C; tests/viewing/test_view.py looks at it and ends it",
    "wkconvert --install-completion": "changes the start file of a shell; tests/cli/test_completion.py completes",
}
"""Why a line is not run here, by how it begins."""
PLACEHOLDER = re.compile(r"\[?[A-Z]+\]?")
"""A word that stands for the reader's own: such a line is no command yet, but has to name one, and real options."""
CODE = re.compile(r"^ *```(?P<kind>\w*)\n(?P<block>.*?)^ *```|`(?P<inline>[^`]+)`", re.S | re.M)
TARGETS = ("auto", "cube", "recube", "export-tiff")
"""Commands whose second argument is to be made."""


# --- what the pages say ----------------------------------------------------------------------------------------------


def text_of(page):
    """A page, without the sections that another test runs."""
    text = (paths.ROOT / page).read_text("utf-8")
    for name, heading in ELSEWHERE:
        if name == page:
            before, _, behind = text.partition(f"## {heading}\n")
            assert behind, f"{page} has no section {heading} any more"
            text = before + "\n## ".join(["", *behind.split("\n## ")[1:]])
    return text


def lines_of(page):
    """The words of each command line of a page: those of blocks for a shell, and code within a sentence."""
    for match in CODE.finditer(text_of(page)):
        if match["inline"]:
            line = " ".join(match["inline"].split())
            lines = [line] if line.split(" ")[0] in PROGRAMS and " " in line else []
        else:
            lines = match["block"].replace("\\\n", " ").splitlines() * (match["kind"] in ("sh", "console"))
        yield from filter(None, (shlex.split(line, comments=True) for line in lines))


def reason_of(words):
    """The beginning of a line by which it has its reason not to be run; None if it has none."""
    return next((begin for begin in REASONS if " ".join(words).startswith(begin)), None)


def is_form(words):
    """Whether a line stands for commands with other arguments, as in a table of commands."""
    return any(map(PLACEHOLDER.fullmatch, words)) or len(words) < 3 or words[2].startswith("-")


def is_right(words):
    """Whether a form names a command, and options that it has."""
    group = typer.main.get_command(app)
    command = group.commands.get(words[1], group)
    named = command is not group or words[1].startswith("-") or PLACEHOLDER.fullmatch(words[1])
    known = {name for each in command.params for name in each.opts} | {"-h", "--help"}
    return named and {word for word in words[1:] if word.startswith("-")} <= known


# --- what the commands read ------------------------------------------------------------------------------------------


def noise(*shape, dtype="uint8"):
    return np.random.default_rng(0).integers(1, 250, shape).astype(dtype)


def make_stack(path, words, shape=(8, 64, 64)):
    tifffile = pytest.importorskip("tifffile")
    path.mkdir()
    for z, pixels in enumerate(noise(*shape)):
        calibrated = {"spacing": 35, "unit": "nm"}
        tifffile.imwrite(path / f"s{z}.tif", pixels, imagej=True, resolution=(1 / 4, 1 / 4), metadata=calibrated)


def make_tiles(path, words):
    image = pytest.importorskip("PIL.Image")
    (pattern,) = [word.partition("=")[2] for word in words if word.startswith("pattern=")] or ["{z}/{y}/{x}.jpg"]
    for z, y, x in np.ndindex(2, 2, 2):
        tile = path / pattern.format(z=z, y=y, x=x)
        tile.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(noise(32, 32)).save(tile)


def make_raw(path, words):
    said = dict(word.split("=") for word in words if "=" in word)
    x, y, z = map(int, said["shape"].split(","))
    noise(z, y, x, dtype=said["dtype"]).tofile(path)


def make_dm(path, words):
    from dm_files import image, write

    write(path, image(noise(4, 32, 32), scales=[(4, "nm"), (4, "nm"), (35, "nm")]), version=4)


def make_mrc(path, words):
    from mrc_files import write

    write(path, noise(4, 32, 32, dtype="int16"))


def make_hdf5(path, words):
    from hdf5_files import plain

    plain(path, noise(4, 32, 32), attributes={"element_size_um": (0.035, 0.004, 0.004)})


def make_nrrd(path, words):
    header = "NRRD0005\ntype: uint8\ndimension: 3\nsizes: 32 32 4\nencoding: raw\nspace: left-posterior-superior"
    directions = 'space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\nspace units: "mm" "mm" "mm"'
    path.write_bytes(f"{header}\n{directions}\n\n".encode() + noise(4, 32, 32).tobytes())


def make_nifti(path, words):
    nibabel = pytest.importorskip("nibabel")
    volume = nibabel.Nifti1Image(noise(32, 32, 8), np.diag([0.1, 0.1, 0.2, 1]))
    volume.header.set_xyzt_units("mm")
    nibabel.save(volume, path)


def make_knossos(path, words):
    from cubes_of import dataset

    dataset(path)


def make_dataset(path, words, *options):
    stack = path.with_name(f"stack-of-{path.name}")
    make_stack(stack, words)
    invoke("auto", stack, path, "-q", *options)


def make_ome_zarr(path, words):
    make_dataset(dataset := path.with_name("in-zarr"), words, "--to", "zarr3")
    (dataset / "color").rename(path)


MAKERS = {
    "my_stack": make_stack,
    "my_tiles": make_tiles,
    "my_dataset": make_dataset,
    "scan.raw": make_raw,
    "image.dm4": make_dm,
    "tomogram.rec": make_mrc,
    "brain.nii.gz": make_nifti,
    "em.zarr": make_ome_zarr,
    "volume.npy": lambda path, words: np.save(path, noise(4, 32, 32)),
    "cells.h5": make_hdf5,
    "scan.nrrd": make_nrrd,
}
"""What makes a source of which a page speaks, given its path and the words of the line."""
OF_PAGE = {("plugins/wkconvert_knossos/README.md", "my_dataset"): make_knossos}
"""The same, where a page means something else by a name."""


def run(page, words):
    """Carry out a line in the current folder: its source is made, if it is not there, its target if it is."""
    src, *others = [Path(word) for word in words[2:] if "=" not in word and not word.startswith("-")]
    if words[1] in TARGETS:
        shutil.rmtree(others[0], ignore_errors=True)
    make = OF_PAGE.get((page, src.name)) or MAKERS.get(src.name)
    if src.name == "my_tiles":  # of another pattern in each line
        shutil.rmtree(src, ignore_errors=True)
    if make and not src.exists():
        make(src, words)
    assert src.exists() or words[1] == "demo", f"{page} speaks of {src}, which MAKERS cannot make"
    assert invoke(*words[1:]).exit_code == 0, shlex.join(words)


# --- the tests -------------------------------------------------------------------------------------------------------

SLOW = ("docs/first-dataset.md",)


@pytest.mark.slow
@pytest.mark.parametrize("page", [pytest.param(page, marks=pytest.mark.slow if page in SLOW else ()) for page in PAGES])
def test_every_command_line_of_a_page_is_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = re.match(r"plugins/wkconvert_(\w+)", page)
    if not {"tiff", wanted[1] if wanted else "tiff"} <= {plugin.name for plugin in plugins().loaded}:
        pytest.skip("not all plugins of which the page speaks are installed")
    for words in lines_of(page):
        if words[0] == "wkconvert" and is_form(words):
            assert is_right(words), f"{page}: {shlex.join(words)}"
        elif not reason_of(words):
            assert words[0] == "wkconvert", f"{page}: {shlex.join(words)} has no reason in REASONS not to be run"
            run(page, words)
    if page == "docs/first-dataset.md":
        made = {path.name for path in tmp_path.iterdir()}
        assert made == {"demo", "demo-stack", "demo-stack-preview.png", "my_dataset", "picture.png", "other", "slices"}


def test_each_reason_is_that_of_a_line():
    given = {reason_of(words) for page in PAGES for words in lines_of(page)}
    assert set(REASONS) - given == set()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_lines_of_python_run_as_their_page_says(page, tmp_path, monkeypatch, capsys):
    pytest.importorskip("xarray")
    monkeypatch.chdir(tmp_path)
    make_stack(Path("my_stack"), (), shape=(32, 160, 160))
    if page == "docs/python.md":
        invoke("auto", "my_stack", "my_dataset")
    blocks = re.findall(r"```python\n(.*?)```", (paths.ROOT / page).read_text("utf-8"), re.S)
    exec("\n".join(blocks), {})
    assert "80, 80, 32" in re.sub("[xyz] ", "", capsys.readouterr().out)


def test_every_page_is_in_the_site_and_every_page_of_the_site_is_there():
    listed = set(re.findall(r"[\w/-]+\.md", (paths.ROOT / "mkdocs.yml").read_text("utf-8")))
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
