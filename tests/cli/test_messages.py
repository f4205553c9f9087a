"""What is said where something is wrong: with the command line, the data, a plugin, or a library."""

import json

import numpy as np
import pytest
from helpers.conversions import em, invoke
from helpers.fake_plugins import forge_in
from helpers.processes import FRESH, wkconvert

from wkconvert_core import BrokenSource, OptionError, UnsupportedSource, WkconvertError
from wkconvert_core.contract.errors import TargetExists
from wkconvert_core.contract.voxel_size import VoxelSize

SIZE = ["--voxel-size", "4,4,35"]


@pytest.fixture
def source(tmp_path):
    np.zeros((8, 8, 8), "uint8").tofile(tmp_path / "em.raw")
    (tmp_path / "em.json").write_text('{"size": [8, 8, 8], "type": "uint8"}')
    return tmp_path / "em.raw"


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "what", "fix"),
    [
        (["SRC", "ds", "--scale", "4,4,35"], "wkconvert auto has no option --scale", "say --voxel-size"),
        (["SRC", "ds", "--wkw_file_len", "8"], "wkconvert auto has no option --wkw_file_len", "say --file-len"),
        (["SRC", "ds", "--max_mag", "8"], "wkconvert auto has no option --max_mag", "say --max-mag"),
        (["SRC", "ds", "--layer_name", "a"], "wkconvert auto has no option --layer_name", "say --layer-name"),
        (["SRC", "ds", "--nonsense"], "wkconvert auto has no option --nonsense", "`wkconvert auto --help` lists"),
        (
            ["SRC", "ds", "--voxel-size", "4", "4", "35"],
            "--voxel-size takes one word, and 4 4 35 are 3",
            "write it with commas and without spaces: --voxel-size 4,4,35",
        ),
        (
            ["SRC", "ds", "--voxel-size", "4,", "4,", "35"],
            "--voxel-size takes one word",
            "write it with commas and without spaces: --voxel-size 4,4,35",
        ),
        (["SRC", "ds", "SRC"], "wkconvert auto takes one path for each of its arguments", "give the folder"),
        (["SRC", "ds", "a", "b", "c", "d"], "wkconvert auto takes one path", "give the folder that holds the files"),
        (["SRC"], "Missing argument 'DST'", "`wkconvert auto --help` lists what it takes"),
        (["SRC", "ds", "--jobs", "x"], "'x' is no whole number", "`wkconvert auto --help` lists what it takes"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(tmp_path, source, monkeypatch, args, what, fix):
    monkeypatch.chdir(tmp_path)
    words = [source.name if arg == "SRC" else arg for arg in args]
    result = wkconvert("auto", *words)
    assert result.returncode == 2
    assert what in result.stderr
    assert f"fix: {fix}" in result.stderr
    document = json.loads(wkconvert("auto", *words, "--json").stdout)
    assert document["error"]["code"] == "option"
    assert document["error"]["fix"].startswith(fix)


MISSPELT = [
    ("auto", "--interpolation-mode", "Medain", "median"),
    ("auto", "--sampling-mode", "isotropc", "isotropic"),
    ("auto", "--distribution-strategy", "thread", "threads"),
    ("auto", "--dtype", "unit16", "uint16"),
    ("auto", "--category", "segmentaton", "segmentation"),
    ("auto", "--unit", "inhc", "inch"),
    ("auto", "--reader", "rwa", ""),
    ("auto", "--reader", "webknosos", "webknossos"),
    ("auto", "--to", "tif", "tiff"),
    ("auto", "--compression", "lz4hd", "lz4hc"),
    ("auto", "--to-option", "compresion=none", "compression"),
    ("auto", "-o", "shap=8,8,8", "shape"),
    ("downsample", "--layer-name", "colour", "color"),
    ("downsample", "--interpolation-mode", "nearst", "nearest"),
    ("recube", "--to", "wkww", "wkw"),
    ("preview", "--layer-name", "colour", "color"),
]


@pytest.mark.parametrize(("command", "option", "word", "meant"), MISSPELT, ids=lambda value: str(value))
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(tmp_path, source, command, option, word, meant):
    size = SIZE if command == "auto" else ()
    if command != "auto":
        invoke("auto", source, tmp_path / "ds", *SIZE, "-q")
    paths = {"auto": [source, tmp_path / "ds"], "recube": [tmp_path / "ds", tmp_path / "out"]}
    with pytest.raises(OptionError) as caught:
        invoke(command, *paths.get(command, [tmp_path / "ds"]), *size, option, word)
    said = f"{caught.value.what}: {caught.value.fix}"
    assert word.partition("=")[0] in said
    assert (f"did you mean {meant}? " in said) if meant else ("did you mean" not in said)


def test_a_command_that_is_not_there_and_none_at_all():
    assert "No such command 'atuo'. Did you mean 'auto'?" in wkconvert("atuo").stderr
    nothing = wkconvert()
    assert nothing.returncode == 2
    assert "Usage: wkconvert" in nothing.stdout + nothing.stderr


@pytest.mark.slow
def test_usage_names_arguments_as_people_do():
    for command, words in (("auto", "SRC DST"), ("compress", "DST [TARGET]"), ("info", "PATH"), ("recube", "SRC DST")):
        assert f"Usage: wkconvert {command} [OPTIONS] {words} " in wkconvert(command, "--help").stdout


def test_info_of_nothing_names_no_argument_that_it_lacks(tmp_path):
    with pytest.raises(WkconvertError) as caught:
        invoke("info", tmp_path / "nothere")
    assert (caught.value.what, caught.value.fix) == (
        f"{tmp_path / 'nothere'} does not exist",
        "check how it is spelled",
    )


def test_a_target_inside_the_source_and_the_other_way_round_have_a_remedy(tmp_path, source):
    for src, dst, fix in ((tmp_path, tmp_path / "ds", "choose a DST beside it"), (source, tmp_path, "choose another")):
        with pytest.raises(WkconvertError) as caught:
            invoke("auto", src, dst, *SIZE)
        assert caught.value.fix.startswith(fix)


def test_info_lists_who_claims_and_names_the_others_in_a_line(source):
    lines = invoke("info", source).stdout.splitlines()
    assert lines[1].startswith("  raw (")
    assert lines[2].startswith("  not for webknossos")
    assert not [line for line in lines if "not mine" in line]


def test_info_of_a_folder_of_layers_says_so_instead_of_naming_readers_that_do_not_take_it(tmp_path, reader):
    reader(tmp_path / "both/em", em())
    reader(tmp_path / "both/cells", em())
    lines = invoke("info", tmp_path / "both").stdout.splitlines()
    assert lines[1:3] == ["  a folder of layers, each of which is read on its own", ""]
    assert {line.partition(":")[0] for line in lines} >= {"em", "cells"}
    assert "not for" not in "".join(lines)


# --- datasets without metadata ---------------------------------------------------------------------------------------

ON_DATASETS = {
    "auto": ("auto", "DS", "OUT", *SIZE),
    "downsample": ("downsample", "DS"),
    "upsample": ("upsample", "DS"),
    "compress": ("compress", "DS"),
    "compress to a copy": ("compress", "DS", "OUT"),
    "recube": ("recube", "DS", "OUT"),
    "export-tiff": ("export-tiff", "DS", "OUT"),
    "check-equality": ("check-equality", "DS", "DS"),
    "info": ("info", "DS"),
}


@pytest.fixture(params=ON_DATASETS)
def on_dataset(request, tmp_path, source):
    """A command on what `cube` has written."""
    invoke("cube", source, tmp_path / "ds", "-q")
    places = {"DS": tmp_path / "ds", "OUT": tmp_path / "out"}
    return [places.get(word, word) for word in ON_DATASETS[request.param]]


def test_mags_without_metadata_are_told_from_other_folders(tmp_path, on_dataset):
    with pytest.raises(UnsupportedSource, match=r"holds mags of wkw without metadata.*`wkconvert metadata "):
        invoke(*on_dataset)


def test_an_unfinished_dataset_is_to_be_finished_not_described(tmp_path, on_dataset):
    next((tmp_path / "ds" / ".wkconvert").glob("*.shards")).unlink()
    with pytest.raises(BrokenSource, match=r"ds is not finished: cube of layer color.*run the command that began it"):
        invoke(*on_dataset)


@pytest.mark.parametrize("command", [*ON_DATASETS, "verify"])
def test_shards_whose_run_was_stopped_before_its_metadata_are_no_finished_dataset(tmp_path, source, command):
    convert = ("auto", source, tmp_path / "ds", *SIZE, "-q")
    invoke(*convert)
    (tmp_path / "ds" / "datasource-properties.json").unlink()
    places = {"DS": tmp_path / "ds", "OUT": tmp_path / "out"}
    with pytest.raises(BrokenSource, match=r"datasource-properties\.json is missing.*auto of layer .* writes it last"):
        invoke(*(places.get(word, word) for word in ON_DATASETS.get(command, ("verify", "DS"))))


def test_metadata_that_are_missing_after_their_run_come_by_each_remedy(tmp_path, source):
    convert = ("auto", source, tmp_path / "ds", *SIZE, "-q")
    invoke(*convert)
    written = (tmp_path / "ds" / "datasource-properties.json").read_bytes()
    for remedy in (convert, ("metadata", tmp_path / "ds", *SIZE, "-q")):
        (tmp_path / "ds" / "datasource-properties.json").unlink()
        with pytest.raises(TargetExists, match=r"only begun, or lost its metadata"):
            invoke(*convert, "--add", "--layer-name", "more")
        invoke(*remedy)
        assert (tmp_path / "ds" / "datasource-properties.json").read_bytes() == written
        invoke("verify", tmp_path / "ds")


@pytest.mark.parametrize("unit", ["mm", "µm", "nm", "inch"])
def test_metadata_after_cube_keep_the_unit_of_the_source(tmp_path, reader, unit):
    size = VoxelSize((0.5, 0.5, 2), unit, "the source")
    invoke("cube", reader(tmp_path / "src", np.ones((1, 8, 8, 8), "uint8"), voxel_size=size), tmp_path / "ds", "-q")
    assert f"voxel size added: 0.5 x 0.5 x 2 {unit}" in invoke("metadata", tmp_path / "ds").output


# --- plugins and libraries -------------------------------------------------------------------------------------------

PLUGIN = """
import numpy as np
import warnings
from wkconvert_core import Confidence, Downsampler, Layer, Mag, Match, VolumeInfo, hookimpl

FORMATS = {"odd": "files that end in .odd"}
WRITERS = {"odd-files": "odd files"}

class Source:
    info = VolumeInfo((8, 8, 8), np.dtype("uint8"), 1)
    def __reduce__(self):
        return Source, ()
    def read(self, box):
        READ
        return np.zeros((1, *box.shape), "uint8")

@hookimpl
def wkconvert_detect(path, head):
    return Match("odd", Confidence.EXACT, "its name") if str(path).endswith(".odd") else None

@hookimpl
def wkconvert_open(format, path, options):
    if format == "odd":
        OPEN
        return [Layer({Mag(1, 1, 1): Source()}, category="color")]

@hookimpl
def wkconvert_downsamplers():
    return {"odd-kernel": Downsampler("odd-kernel", lambda block, factor: block)}
"""


@pytest.fixture
def forge(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "x.odd").write_text("x")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with forge_in(tmp_path / "site") as forge:
        yield forge


def fresh(*args):
    import subprocess

    return subprocess.run([*FRESH, *map(str, args)], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["READ", "OPEN"])
@pytest.mark.parametrize("strategy", ["threads", "multiprocessing"])
def test_a_bug_of_a_plugin_is_a_document_and_names_it(tmp_path, forge, where, strategy):
    forge.install("oddities", PLUGIN.replace(where, "[][1]").replace("READ", "").replace("OPEN", "pass"))
    args = ("auto", tmp_path / "x.odd", tmp_path / "ds", *SIZE, "--distribution-strategy", strategy)
    said = "the plugin oddities (oddities 1) has failed: IndexError: list index out of range"
    document = fresh(*args, "--json")
    assert json.loads(document.stdout)["error"]["code"] == "bug"
    assert json.loads(document.stdout)["error"]["what"] == said
    plain = fresh(*args)
    for result in (document, plain):
        assert result.returncode == 1
        assert "Traceback" in result.stderr
    assert said in plain.stderr


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["threads", "multiprocessing"])
def test_what_a_library_warns_of_is_told_without_its_place(tmp_path, forge, strategy):
    warn = "warnings.warn('odd \\x1b[2J data', stacklevel=1)"
    forge.install("oddities", PLUGIN.replace("READ", warn).replace("OPEN", warn))
    args = ("auto", tmp_path / "x.odd", tmp_path / "ds", *SIZE, "--distribution-strategy", strategy)
    result = fresh(*args)
    assert result.returncode == 0
    assert "warning: odd \\x1b[2J data" in result.stderr
    assert not [word for word in ("\x1b", "site", ".py", "UserWarning", "warnings.warn") if word in result.stderr]
    assert fresh(*args, "--overwrite", "-q").stderr == ""


@pytest.mark.slow
def test_plugins_lists_writers_and_kernels(forge):
    forge.install("oddities", PLUGIN.replace("READ", "").replace("OPEN", "pass"))
    lines = fresh("plugins").stdout.splitlines()
    at = lines.index("oddities (oddities 1)")
    kernel = "  interpolation modes: odd-kernel"
    assert lines[at + 1 : at + 4] == ["  odd: files that end in .odd", "  --to odd-files: odd files", kernel]
    told = json.loads(fresh("plugins", "--json").stdout)
    assert told["writers"].keys() >= {"odd-files", "wkw"}
    own = next(each for each in told["plugins"] if each["name"] == "oddities")
    assert (own["writers"], own["interpolation_modes"]) == ({"odd-files": "odd files"}, ["odd-kernel"])


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["a\x1b[2Jb", "a\nb", "a\u202eb", "a\x9bb"])
def test_odd_names_of_files_never_reach_the_terminal(tmp_path, odd):
    folder = tmp_path / odd
    folder.mkdir()
    np.zeros((8, 8, 8), "uint8").tofile(folder / "em_8x8x8_uint8.raw")
    (folder / "x.txt").write_text("x")
    for args in (["info", folder], ["auto", folder, tmp_path / "ds", *SIZE], ["auto", folder / "x.txt", "ds", "-v"]):
        result = wkconvert(*args)
        shown = result.stdout + result.stderr
        assert odd not in shown
        assert odd.encode("unicode_escape").decode() in shown
    document = wkconvert("auto", folder, tmp_path / "ds", *SIZE, "--json").stdout
    assert json.loads(document)
    assert odd not in document
