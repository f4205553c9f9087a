"""Notes and warnings: before the work, in every command, under --dry-run, -q, --strict and --json alike."""

import json
import time

import numpy as np
import pytest
from helpers.conversions import edited, files, invoke
from helpers.processes import wkconvert

from wkconvert_core import WarningNote
from wkconvert_core.cli import run
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.viewing.view import viewing

SIZE = ["--voxel-size", "4,4,35"]
SPACING = "spacing [1, 1, 1] in em.json has no unit and is not taken"
READ_AS = "read as uint8, x fastest (em.json)"
FOREIGN = "layer n5 is left alone: its format is n5, which no installed plugin stores"


def raw_volume(folder):
    """A raw volume whose opening makes a note and a warning."""
    voxels = np.random.default_rng(0).integers(0, 250, (20, 40, 50), "uint8")
    voxels.tofile(folder / "em.raw")
    (folder / "em.json").write_text(json.dumps({"size": [50, 40, 20], "type": "uint8", "spacing": [1, 1, 1]}))
    return folder / "em.raw"


@pytest.fixture
def source(tmp_path):
    return raw_volume(tmp_path)


def layer_of_nobody(folder, reader):
    """A dataset with a layer that no plugin reads."""
    invoke("auto", raw_volume(folder), folder / "ds", *SIZE, "--max-mag", "2", "--no-compress", "-q")
    with edited(folder / "ds") as found:
        found["dataLayers"].append({**found["dataLayers"][0], "name": "n5", "dataFormat": "n5"})


@pytest.fixture
def dataset(tmp_path, put_copy):
    put_copy(layer_of_nobody, tmp_path)
    return tmp_path / "ds"


def test_warnings_and_notes_stand_before_the_first_shard(tmp_path, source):
    lines = invoke("auto", source, tmp_path / "ds", *SIZE).stderr.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("1/1 "))
    assert {f"warning: {SPACING}", f"note: {READ_AS}"} <= set(lines[:first])
    assert not [line for line in lines[first:] if line.startswith(("note:", "warning:"))]


def test_a_dry_run_tells_the_same(tmp_path, source):
    lines = invoke("auto", source, tmp_path / "ds", *SIZE, "--dry-run").stdout.splitlines()
    assert lines.index(f"warning: {SPACING}") < lines.index("nothing was written")
    assert f"note: {READ_AS}" in lines


def test_a_picture_comes_with_what_info_tells(tmp_path, source):
    told = [line for line in invoke("info", source).stdout.splitlines() if line.startswith(("note:", "warning:"))]
    assert told == [f"warning: {SPACING}", f"note: {READ_AS}"]
    preview = ("preview", source, "-o", tmp_path / "em.png")
    assert invoke(*preview).stdout.splitlines()[:2] == told
    assert (quiet := invoke(*preview, "-q")).stdout == ""
    assert quiet.stderr == f"warning: {SPACING}\n"
    assert json.loads(invoke(*preview, "--json").stdout)["warnings"] == [SPACING]
    assert invoke(*preview, "--strict").exit_code == 1


def test_a_page_to_move_in_comes_with_what_info_tells(source):
    pytest.importorskip("neuroglancer")
    with viewing(source) as shown:
        assert [str(note) for note in shown.notes] == [READ_AS, SPACING]
    assert isinstance(shown.notes[1], WarningNote)


def test_quiet_keeps_warnings(tmp_path, source):
    result = invoke("auto", source, tmp_path / "ds", *SIZE, "-q")
    assert (result.stdout, result.stderr) == ("", f"warning: {SPACING}\n")


def test_what_only_the_work_can_know_comes_after_it(tmp_path, reader):
    voxels = np.zeros((1, 40, 40, 40), "float32")
    voxels[0, :3, 0, 0] = np.nan
    src = reader(tmp_path / "src", voxels)
    nan = "3 voxels are not a number (NaN)"
    lines = invoke("auto", src, tmp_path / "ds", *SIZE, "--no-downsample").stderr.splitlines()
    assert lines.index(f"warning: {nan}") > next(n for n, line in enumerate(lines) if line.startswith("1/1 "))
    strict = invoke("auto", src, tmp_path / "strict", *SIZE, "--no-downsample", "--strict", "--json")
    assert (json.loads(strict.stdout)["warnings"], strict.exit_code) == ([nan], 1)
    assert files(tmp_path / "strict", "*.wkw"), "what is written stays"


COMMANDS = {
    "auto": ("auto", "DS", "OUT"),
    "cube": ("cube", "DS", "OUT"),
    "downsample": ("downsample", "DS"),
    "upsample": ("upsample", "DS"),
    "compress": ("compress", "DS", "OUT"),
    "compress in place": ("compress", "DS"),
    "recube": ("recube", "DS", "OUT"),
    "export-tiff": ("export-tiff", "DS", "OUT"),
    "verify": ("verify", "DS"),
    "metadata": ("metadata", "DS"),
    "info": ("info", "DS"),
}
READING = ("verify", "metadata", "info")


@pytest.fixture(params=COMMANDS)
def command(request, dataset, tmp_path):
    if request.param == "export-tiff":
        pytest.importorskip("wkconvert_tiff")
    places = {"DS": dataset, "OUT": tmp_path / "out"}
    return [places.get(word, word) for word in COMMANDS[request.param]]


def test_every_command_warns_of_what_is_left_alone(command):
    quiet = [] if command[0] == "info" else ["-q"]
    warned = FOREIGN in invoke(*command, *quiet).output
    assert warned == (command[0] != "export-tiff"), "export-tiff writes one layer, and lacks none"


def test_every_command_parts_notes_and_warnings_in_its_document(command):
    told = json.loads(invoke(*command, "--json").stdout)
    told = told["layers"][0] if command[0] == "info" else told
    assert FOREIGN not in told["notes"]
    assert (FOREIGN in told["warnings"]) == (command[0] != "export-tiff")


def test_strict_refuses_before_the_work(command, dataset):
    before = files(dataset.parent)
    result = wkconvert(*command, "--strict", "--json")
    if command[0] == "export-tiff":
        assert result.returncode == 0
        return
    assert result.returncode == 1
    document = json.loads(result.stdout)
    if command[0] not in READING:
        assert document["error"]["code"] == "warning"
        assert FOREIGN in document["error"]["what"]
        assert files(dataset.parent) == before


def test_a_comparison_that_leaves_out_voxels_is_none_if_strict(tmp_path, reader):
    for name, dtype in (("a", "uint8"), ("b", "uint16")):
        src = reader(tmp_path / f"{name}-src", np.zeros((1, 20, 20, 20), dtype))
        invoke("auto", src, tmp_path / name, *SIZE, "--category", "color")
    compare = "check-equality", tmp_path / "a", tmp_path / "b"
    assert invoke(*compare).exit_code == 1
    assert invoke(*compare, "--strict").exit_code == 2
    assert "warning: color: voxels are not compared" in invoke(*compare, "-q").stderr


def test_info_tells_a_note_on_the_whole_source_once(tmp_path, reader):
    for name in ("em_a", "em_b", "em_c"):
        reader(tmp_path / "src" / name, np.zeros((1, 8, 8, 8), "uint8"))
    (tmp_path / "src" / "stray.xyz").write_text("?")
    lines = invoke("info", tmp_path / "src").stdout.splitlines()
    assert [line for line in lines if "stray" in line] == [
        "warning: left out of src, as no reader knows them: stray.xyz"
    ]


def conversion(**notes):
    layers = [SourceLayer(name, None, {}, None, notes=tuple(said)) for name, said in notes.items()]
    inputs = type("Inputs", (), {"layers": layers, "notes": ()})
    return Conversion(inputs, None, type("Request", (), {"extents": dict.fromkeys(notes)}), None, [])


def test_a_note_of_all_layers_is_about_the_source_and_stands_once():
    whole, part = WarningNote("left out: x"), "alpha dropped"
    told = conversion(em=[whole, part], ids=[whole]).notes
    assert told == [whole, f"em: {part}"]
    assert [isinstance(note, WarningNote) for note in told] == [True, False]
    assert conversion(em=[part]).notes == [part]
    assert conversion(**{f"c{n}": [part] for n in range(9)}, last=[]).notes == [
        "c0, c1, c2, c3, c4 and 4 more: alpha dropped"
    ]


@pytest.mark.slow
def test_what_takes_long_before_the_first_line_is_told(capsys, monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 0.01)
    for given, told in (({}, ["reading em …"]), ({"quiet": True}, []), ({"json": True}, [])):
        with run.explained("reading em …", given):
            time.sleep(0.2)
        assert capsys.readouterr().err.splitlines() == told
    with run.explained("reading em …", {}):
        pass
    time.sleep(0.05)
    assert capsys.readouterr().err == ""
