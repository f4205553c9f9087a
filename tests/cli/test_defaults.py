"""Options from the environment and from `wkconvert.toml`: which counts, what is refused, and what is told."""

import json
import re

import numpy as np
import pytest
from helpers.conversions import different, em, invoke, layers_of, mags_of, properties
from helpers.paths import ROOT

from wkconvert_core import OptionError, WkconvertError

FILE = "wkconvert.toml"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The file in the user's configuration folder, to be written."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg/wkconvert").mkdir(parents=True)
    return tmp_path / "xdg/wkconvert" / FILE


@pytest.fixture
def data(tmp_path, reader, monkeypatch, own):
    """A source in a folder of its own, and another folder as the current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "data").mkdir()
    return reader(tmp_path / "data/em", em())


@pytest.fixture
def settings(monkeypatch, data, tmp_path):
    """The settings with which a command would be carried out."""

    def given(*args):
        seen = []
        with monkeypatch.context() as patch:
            patch.setattr("wkconvert_core.conversion.prepare.prepare_conversion", lambda *a, **k: seen.append(a[2]))
            patch.setattr("wkconvert_core.cli.app.carry_out", lambda prepare, given, src: prepare())
            invoke("auto", data, tmp_path / "ds", *args)
        return seen[0]

    return given


def test_the_nearer_source_of_an_option_counts(settings, data, own, monkeypatch, tmp_path):
    assert settings().jobs is None
    own.write_text("jobs = 1\nvoxel-size = [1, 1, 1]\ngaps = 'fill'")
    assert (settings().jobs, settings().voxel_size.size) == (1, (1, 1, 1))
    (tmp_path / "here" / FILE).write_text("jobs = 2")
    assert (settings().jobs, settings().voxel_size.size, settings().gaps) == (2, (1, 1, 1), "fill")
    (tmp_path / "data" / FILE).write_text("jobs = 3")
    assert settings().jobs == 3
    (data / FILE).write_text("jobs = 4\nvoxel-size = ',,8'")
    assert (settings().jobs, settings().voxel_size.size) == (4, (None, None, 8))
    monkeypatch.setenv("WKCONVERT_JOBS", "5")
    assert settings().jobs == 5
    assert (settings("--jobs", "6").jobs, settings("--voxel-size", "2").voxel_size.size) == (6, (2, 2, 2))


VARIABLES = {
    "MEMORY": ("2GiB", "memory", 2 << 30),
    "JOBS": ("3", "jobs", 3),
    "DISTRIBUTION_STRATEGY": ("sequential", "strategy", "sequential"),
}


@pytest.mark.parametrize(("name", "text", "field", "value"), [(k, *v) for k, v in VARIABLES.items()])
def test_a_variable_stands_for_its_option(settings, monkeypatch, name, text, field, value):
    monkeypatch.setenv(f"WKCONVERT_{name}", text)
    assert getattr(settings(), field) == value
    monkeypatch.setenv(f"WKCONVERT_{name}", "")
    assert getattr(settings(), field) != value


def test_what_is_set_for_a_strategy_waits_for_it(settings, monkeypatch):
    monkeypatch.setenv("WKCONVERT_SCHEDULER", "tcp://host:8786")
    monkeypatch.setenv("WKCONVERT_JOB_RESOURCES", '{"mem": "4G", "time": "1:00:00"}')
    assert (settings().scheduler, settings().job_resources) == (None, None)
    assert settings("--distribution-strategy", "dask").scheduler == "tcp://host:8786"
    assert settings("--distribution-strategy", "slurm").job_resources["mem"] == "4G"
    monkeypatch.setenv("WKCONVERT_DISTRIBUTION_STRATEGY", "dask")
    assert (settings().strategy, settings().scheduler) == ("dask", "tcp://host:8786")


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("channel = 1", "channel", 1),
        ("pad = true", "pad", True),
        ("no-downsample = true", "downsample", False),
        ("to-option = {compression = 'none', file_len = 2}", "to_options", {"compression": "none", "file_len": "2"}),
        ("option = ['a=b', 'c=1']", "reader_options", {"a": "b", "c": "1"}),
        ("bbox = [0, 0, 0, 8, 8, 8]\nflip = ['x', 'y']", "flip", "xy"),
        ("dtype = 'uint8'\nconvert = 'scale'\nrange = [-4, 4.5]", "range", (-4, 4.5)),
        ("memory = 4294967296", "memory", 4 << 30),
        ("unit = 'mm'\nvoxel-size = 0.5", "voxel_size", "0.5 x 0.5 x 0.5 mm"),
    ],
)
def test_values_are_those_of_the_command_line(settings, data, text, field, value):
    (data / FILE).write_text(text)
    found = getattr(settings(), field)
    assert (str(found) if field == "voxel_size" else found) == value


@pytest.mark.parametrize(
    ("text", "args", "field", "value"),
    [
        ("unit = 'mm'\nvoxel-size = 7", ["--voxel-size", "4,4,35"], "voxel_size", "4 x 4 x 35 nm"),
        ("dtype = 'uint8'\nconvert = 'clip'", ["--dtype", "uint16"], "convert", "exact"),
        ("convert = 'scale'\nrange = 'auto'\ndtype = 'uint8'", ["--convert", "clip"], "range", None),
        ("no-compress = true", ["--compression", "lz4hc"], "compression", "lz4hc"),
        ("compression-level = 9\ncompression = 'lz4hc'", ["--compression", "lz4"], "compression_level", None),
        ("compression = 'lz4hc'", ["--no-compress"], "compression", "none"),
        ("no-downsample = true", ["--max-mag", "4"], "downsample", True),
        ("file-len = 8", ["--to", "other"], "file_len", None),
        ("start-z = 8", ["--top-left", "1,2,3"], "start_z", 0),
        ("option = ['shape=1,2,3']", ["--reader", "raw"], "reader_options", {}),
    ],
)
def test_what_goes_with_an_option_does_not_come_from_further_away(settings, data, text, args, field, value):
    (data / FILE).write_text(text)
    found = getattr(settings(*args), field)
    assert (str(found) if field == "voxel_size" else found) == value


WRONG = {
    "compresion = 'lz4'": ["says compresion", "there is no such option", "did you mean compression? take one of voxel"],
    "voxel_size = 4": ["says voxel_size", "did you mean voxel-size?"],
    "overwrite = true": ["says overwrite", "on the command line only"],
    "json = true": ["says json", "on the command line only"],
    "scheduler = 'tcp://a:1'": ["says scheduler", "your configuration folder only"],
    "job-resources = {mem = '1G'}": ["says job-resources", "your configuration folder only"],
    "pad = 1": [": pad has a value that does not fit", "it is 1", "write true or false"],
    "jobs = true": [": jobs has a value", "write a whole number"],
    "jobs = 'x'": [": jobs has a value", "no whole number", "write a whole number"],
    "jobs = 1.5": [": jobs has a value", "write a whole number"],
    "jobs = 0": ["--jobs 0 is too small", "--jobs comes from ", "take 1 or more"],
    "unit = {a = 1}": [": unit has a value"],
    "voxel-size = 2026-11-30": [": voxel-size has a value", "2026-11-30"],
    "compression = 'lz5'": ["--compression lz5 does not fit", "--compression comes from ", "none, lz4, lz4hc"],
    "interpolation-mode = 'medain'": ["--interpolation-mode comes from ", "did you mean median?"],
    "distribution-strategy = 'thread'": ["--distribution-strategy comes from ", "did you mean threads?"],
    "option = {shap = 1}": ["unknown reader option shap", "--option comes from "],
    "to-option = {compresion = 1}": ["unknown writer option compresion", "--to-option comes from "],
    "jobs": ["cannot be read", "such as voxel-size"],
    "jobs = 1\njobs = 2": ["cannot be read"],
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_in_a_file_is_named_with_file_key_and_what_is_legal(data, tmp_path, text):
    (data / FILE).write_text(text)
    with pytest.raises(OptionError) as caught:
        invoke("auto", data, tmp_path / "ds", "--voxel-size", "4,4,35")
    said = str(caught.value)
    assert [word for word in WRONG[text] if word not in said] == []
    assert str(data / FILE) in said
    assert not (tmp_path / "ds").exists()


def test_a_wrong_variable_is_named(data, tmp_path, monkeypatch):
    for text, said in (("x", "WKCONVERT_JOBS has a value that does not fit"), ("0", "comes from WKCONVERT_JOBS")):
        monkeypatch.setenv("WKCONVERT_JOBS", text)
        with pytest.raises(OptionError, match=said):
            invoke("auto", data, tmp_path / "ds", "--voxel-size", "4,4,35")
    assert invoke("info", data).exit_code == 0  # takes no workers


def test_only_the_users_own_file_says_where_else_the_machine_acts(settings, own):
    own.write_text("scheduler = 'tcp://host:1'\ndistribution-strategy = 'dask'")
    assert settings().scheduler == "tcp://host:1"
    assert settings("--distribution-strategy", "threads").scheduler is None
    own.write_text("job-resources = {mem = '4G', cpus-per-task = 4}\ndistribution-strategy = 'slurm'")
    assert settings().job_resources == {"mem": "4G", "cpus-per-task": 4}


@pytest.mark.parametrize("page", ["README.md", "docs/clusters.md"])
def test_the_examples_of_the_documentation_hold(settings, own, page):
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    own.write_text(example)
    found = settings()
    assert found.memory == 8 << 30
    assert (found.compression == "lz4hc") == (page == "README.md")
    assert (found.strategy == "slurm") == (page != "README.md")


def test_the_same_options_write_the_same_bytes_and_a_note_names_the_file(data, tmp_path):
    invoke("auto", data, tmp_path / "said", "--voxel-size", "4,4,35", "--compression", "none", "--max-mag", "2")
    (data / FILE).write_text("voxel-size = [4, 4, 35]\ncompression = 'none'\nmax-mag = 2\nmemory = '1GiB'")
    told = json.loads(invoke("auto", data, tmp_path / "set", "--name", "said", "--json").stdout)
    assert f"{data / FILE} says --voxel-size, --compression, --max-mag" in told["notes"]
    changed = different(tmp_path / "said", tmp_path / "set")
    assert [name for name in changed if not name.startswith(".wkconvert")] == []
    assert mags_of(tmp_path / "set") == ["1-1-1", "2-2-1"]
    assert not [f for f in (tmp_path / "set").rglob("*") if f.is_file() and FILE.encode() in f.read_bytes()]
    assert "note: " not in invoke("verify", tmp_path / "set").stdout


def test_a_file_that_changes_nothing_that_is_written_is_not_told(data, tmp_path):
    (data / FILE).write_text("jobs = 1\nverify = true")
    plain = json.loads(invoke("auto", data, tmp_path / "ds", "--voxel-size", "4", "--json").stdout)
    assert [note for note in plain["notes"] if FILE in note] == []


def test_the_reports_command_makes_the_same_without_the_file(data, tmp_path, monkeypatch):
    monkeypatch.setenv("WKCONVERT_JOBS", "1")
    arguments = ("auto", data, tmp_path / "set", "--max-mag", "2", "--report", tmp_path / "r.html")
    (data / FILE).write_text("voxel-size = [4, 4, 35]\nflip = 'x'\nno-compress = true\npad = false\nmax-mag = 8")
    monkeypatch.setattr("sys.argv", ["wkconvert", *map(str, arguments)])
    invoke(*arguments)
    (told,) = re.findall(r"<code>(.*?)</code>", (tmp_path / "r.html").read_text())
    assert re.search(r"^wkconvert auto --jobs 1 .*--voxel-size 4,4,35 .*--no-config ", told)
    assert "--pad" not in told
    monkeypatch.setenv("WKCONVERT_JOBS", "")
    (data / FILE).write_text("voxel-size = [1, 2, 3]")  # another file, which the command does not heed
    invoke(*told.replace(str(tmp_path / "set"), str(tmp_path / "again")).split()[1:])
    assert different(tmp_path / "set/color", tmp_path / "again/color") == []


def test_files_can_be_left_aside(settings, data, own, monkeypatch):
    own.write_text("jobs = 1")
    (data / FILE).write_text("no-config = true")
    with pytest.raises(OptionError, match="no-config"):
        settings()
    assert settings("--no-config").jobs is None
    monkeypatch.setenv("WKCONVERT_JOBS", "3")
    assert settings("--no-config").jobs == 3
    assert "--no-config" not in invoke("plugins", "--help").stdout


def test_a_file_in_the_source_is_no_part_of_it(data, tmp_path):
    (tmp_path / "slices").mkdir()
    tifffile = pytest.importorskip("tifffile")
    for z in range(3):
        tifffile.imwrite(tmp_path / f"slices/s{z}.tif", np.full((16, 16), z, "uint8"))
    invoke("auto", tmp_path / "slices", tmp_path / "ds", "--voxel-size", "4,4,35", "-q")
    (tmp_path / "slices" / FILE).write_text("voxel-size = [4, 4, 35]")
    again = json.loads(invoke("auto", tmp_path / "slices", tmp_path / "ds", "--json").stdout)
    assert again["shards_from_earlier_run"] > 0  # the same source, as its fingerprint says
    assert again["warnings"] == []
    tifffile.imwrite(tmp_path / "slices" / f"{FILE}.tif", np.full((16, 16), 3, "uint8"))  # a slice of an odd name
    with pytest.raises(WkconvertError):
        invoke("auto", tmp_path / "slices", tmp_path / "ds")
    (tmp_path / "data" / FILE).write_text("layer-name = 'em'")
    (tmp_path / "data/em").rename(tmp_path / "data/raw")
    found = json.loads(invoke("info", tmp_path / "data", "--json").stdout)
    assert [layer["notes"] + layer["warnings"] for layer in found["layers"]] == [[]]


def test_metadata_are_edited_by_the_command_line_only(data, tmp_path):
    invoke("auto", data, tmp_path / "ds", "--voxel-size", "4,4,35", "-q")
    before = properties(tmp_path / "ds")
    (tmp_path / "ds" / FILE).write_text("voxel-size = 1\nname = 'other'\ncategory = 'segmentation'")
    invoke("metadata", tmp_path / "ds")
    assert properties(tmp_path / "ds") == before


def test_a_commands_own_options_are_not_those_of_the_same_name(data, tmp_path):
    invoke("auto", data, tmp_path / "ds", "--voxel-size", "4,4,35", "-q")
    (tmp_path / FILE).write_text("layer-name = 'nowhere'\nbbox = [0, 0, 0, 1, 1, 1]\nname = 'x'\nno-compress = true")
    invoke("downsample", tmp_path / "ds")
    invoke("export-tiff", tmp_path / "ds", tmp_path / "out", "-q")
    assert (
        len(list((tmp_path / "out").glob("color_*.tif"))) == layers_of(tmp_path / "ds")["color"]["boundingBox"]["depth"]
    )


def test_a_broken_file_is_in_nobodys_way_who_takes_nothing_from_it(data, tmp_path):
    (tmp_path / "here" / FILE).write_text("nonsense")
    assert invoke("plugins").exit_code == 0
    with pytest.raises(WkconvertError):
        invoke("info", data)


def test_help_names_the_variables_once():
    text = " ".join(invoke("--help").stdout.split())
    for name in ("MEMORY", "JOBS", "DISTRIBUTION_STRATEGY", "SCHEDULER", "JOB_RESOURCES"):
        assert text.count(f"WKCONVERT_{name} ") + text.count(f"WKCONVERT_{name},") == 1
    assert "WKCONVERT" not in invoke("auto", "--help").stdout
    assert "wkconvert.toml" in text
