"""The command line: what it prints, in which form, and its exit codes."""

import json
import math
import re

import numpy as np
import pytest
import typer
from helpers import paths
from helpers.conversions import invoke
from helpers.processes import wkconvert
from typer.testing import CliRunner

from wkconvert_core import Confidence, Mag
from wkconvert_core.cli.app import app
from wkconvert_core.cli.options import ALL
from wkconvert_core.cli.reporting.output import KEYS, as_document
from wkconvert_core.commands.check_equality import Equality, MagCompared
from wkconvert_core.commands.info import Described
from wkconvert_core.commands.verify import Soundness
from wkconvert_core.contract import errors
from wkconvert_core.contract.model import LayerSpec
from wkconvert_core.conversion.execute import Done
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.conversion.steps import PlannedStep
from wkconvert_core.datasets.inventory import MagStorage
from wkconvert_core.engine.progress import Progress
from wkconvert_core.inspection.compare import Difference
from wkconvert_core.registry.answers import Answer
from wkconvert_core.registry.plugins import Loaded
from wkconvert_core.viewing.picture import LayerPreview
from wkconvert_core.viewing.preview import Preview

ROOT = paths.ROOT
SIZE = ["--voxel-size", "4,4,35"]


def document(*args):
    return json.loads(invoke(*args, "--json").stdout)


@pytest.fixture
def volume(tmp_path, reader):
    return reader(tmp_path / "src", np.arange(64**3, dtype="uint32").reshape(1, 64, 64, 64) % 251)


def test_auto_says_what_it_made(tmp_path, volume):
    told = document("auto", volume, tmp_path / "ds", *SIZE, "--category", "segmentation")
    assert told["written"] == [
        {
            "name": "segmentation",
            "mags": ["1", "2-2-1", "4-4-1"],
            "top_left": [0, 0, 0],
            "shape": [64, 64, 64],
            "largest_segment_id": 250,
        }
    ]
    assert told["voxel_size"] == {"size": [4.0, 4.0, 35.0], "unit": "nm", "origin": "--voxel-size"}
    assert told["shards"] == 3


def test_a_dry_run_writes_nothing(tmp_path, volume):
    told = document("auto", volume, tmp_path / "ds", *SIZE, "--dry-run")
    assert [step["title"] for step in told["steps"]] == ["segmentation mags 1, 2-2-1, 4-4-1"]
    assert [step["mags"] for step in told["steps"]] == [["1", "2-2-1", "4-4-1"]]
    assert told["memory_bytes"] > 0
    assert not (tmp_path / "ds").exists()
    assert "nothing was written" in invoke("auto", volume, tmp_path / "ds", *SIZE, "--dry-run").stdout


def test_options_reach_the_conversion(tmp_path, volume):
    options = [
        "--bbox",
        "8,8,8,40,30,20",
        "--start-z",
        "5",
        "--max-mag",
        "2",
        "--layer-name",
        "part",
        "--dtype",
        "uint8",
    ]
    told = document("auto", volume, tmp_path / "ds", *SIZE, *options, "--flip", "x,y", "--memory", "8GiB")
    assert told["written"][0] | {"largest_segment_id": None} == {
        "name": "part",
        "mags": ["1", "2-2-1"],
        "top_left": [8, 8, 13],
        "shape": [40, 30, 20],
        "largest_segment_id": None,
    }
    assert told["layers"][0]["dtype"] == "uint8"


def compressions(dataset):
    return {mag["mag"]: (mag["compression"], mag["shard_side"]) for mag in document("info", dataset)["stored"]}


def test_options_of_the_writer(tmp_path, volume):
    given = ["--to-option", "compression=lz4hc", "--to-option", "file_len=1", "--max-mag", "1"]
    document("auto", volume, tmp_path / "ds", *SIZE, *given)
    assert compressions(tmp_path / "ds") == {"1": ("lz4hc", 32)}
    short = ["--compression", "lz4hc", "--file-len", "1", "--max-mag", "1"]
    assert document("auto", volume, tmp_path / "ds", *SIZE, *short)["shards_from_earlier_run"] == 8


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ([], "none"),
        (["--compression", "lz4"], "lz4"),
        (["--to-option", "compression=lz4"], "lz4"),
        (["--compression", "auto"], "lz4hc"),
        (["--no-compress"], "none"),
    ],
)
def test_cube_is_raw_unless_asked_otherwise(tmp_path, volume, given, stored):
    document("cube", volume, tmp_path / "ds", "--category", "segmentation", *given)
    invoke("metadata", tmp_path / "ds", *SIZE)
    assert {kind for kind, _ in compressions(tmp_path / "ds").values()} == {stored}


def test_cube_needs_no_voxel_size(tmp_path, volume):
    assert document("cube", volume, tmp_path / "ds")["written"][0]["mags"] == ["1"]
    assert not (tmp_path / "ds" / "datasource-properties.json").exists()


def test_info_gives_reasons(volume):
    told = document("info", volume)
    assert {"plugin": "volumes", "format": "volumes", "confidence": "EXACT", "reason": "volume.npy"} in told["answers"]
    assert told["layers"][0]["category"] == "segmentation"
    assert "voxel size: not in the source" in invoke("info", volume).stdout


def test_plugins_lists_formats_and_kernels(volume):
    told = document("plugins")
    assert "wkw" in told["formats"]
    assert "median" in told["interpolation_modes"]


@pytest.mark.parametrize(
    ("args", "code", "exit_code"),
    [
        (["--max-mag", "3"], "option", 2),
        (["--voxel-size", "a"], "option", 2),
        (["--voxel-size", "-4,4,4"], "option", 2),
        (["--voxel-size", "nan,4,4"], "option", 2),
        (["--memory", "lots"], "option", 2),
        (["--bogus"], "option", 2),
        (["--jobs", "x"], "option", 2),
        (["-o", "x"], "option", 2),
        (["--to-option", "x"], "option", 2),
        (["--to-option", "no_such=1"], "option", 2),
        (["--to-option", "file_len=x"], "option", 2),
        (["--to-option", "compression=zip"], "option", 2),
        (["--to-option", "compression=lz4", "--compression", "lz4hc"], "option", 2),
        (["--to-option", "compression=lz4", "--no-compress"], "option", 2),
        (["--file-len", "x"], "option", 2),
        (["--file-len", "1_6"], "option", 2),
        (["--to-option", "file_len=٨"], "option", 2),
        (["--bbox", "0,0,0,8,8,٨"], "option", 2),
        (["--range", "٠,5", "--dtype", "uint8", "--convert", "scale"], "option", 2),
        (["--memory", "1MiB"], "resources", 1),
    ],
)
def test_an_error_is_a_document_with_a_code(tmp_path, args, code, exit_code):
    np.save(tmp_path / "a.npy", np.zeros((40, 40, 40), "uint8"))
    result = wkconvert("auto", tmp_path / "a.npy", tmp_path / "ds", *SIZE, *args, "-o", "axes=zyx", "--json")
    assert json.loads(result.stdout)["error"]["code"] == code
    assert result.returncode == exit_code
    assert result.stderr == ""
    assert not (tmp_path / "ds").exists()


@pytest.mark.parametrize("text", ["1_0", "٣", "3.0", "9" * 21])
def test_no_option_of_any_command_takes_another_number_than_a_person_sees(text):
    commands = typer.main.get_command(app).commands
    counted = {
        (name, each.opts[0]) for name, it in commands.items() for each in it.params if each.type.name.startswith("int")
    }
    known = {("auto", "--jobs"), ("cube", "--channel"), ("metadata", "--max-id"), ("export-tiff", "--downsample")}
    assert known <= counted
    for command, option in counted:
        told = CliRunner().invoke(app, [command, option, text], env={"COLUMNS": "200"})
        assert told.exit_code == 2, (command, option)
        assert "is no whole number" in told.stderr, (command, option)


@pytest.mark.parametrize("text", ["1_0,0,0", "٣,0,0", "3.0,0,0"])
def test_no_place_is_another_than_a_person_sees(tmp_path, text):
    refused = CliRunner().invoke(app, ["auto", str(tmp_path), str(tmp_path / "ds"), "--top-left", text]).exception
    assert isinstance(refused, errors.OptionError)
    assert "is no whole number" in refused.why


def test_a_message_keeps_paths_in_one_piece(tmp_path):
    long = tmp_path / ("x" * 120) / "nothing"
    result = wkconvert("auto", long, tmp_path / "ds")
    assert result.returncode == 1
    assert str(long) in result.stderr
    assert "Traceback" not in result.stderr


def test_version():
    assert re.fullmatch(r"wkconvert \d+\.\d+\.\d+\n", invoke("--version").stdout)


def test_every_error_code_is_documented():
    page = (ROOT / "docs" / "json-output.md").read_text("utf-8")
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.WkconvertError)
    ]
    assert [kind.code for kind in kinds if kind is not errors.WkconvertError and f"`{kind.code}`" not in page] == []


DOCUMENTS = [
    *(
        errors.WkconvertError,
        Done,
        Conversion,
        SourceLayer,
        PlannedStep,
        LayerSpec,
        Described,
        Answer,
        MagStorage,
        Loaded,
    ),
    *(Soundness, Equality, MagCompared, Difference, Preview, LayerPreview, Progress),
]


def test_every_class_with_keys_of_its_own_exists():
    assert KEYS.keys() == {kind.__name__ for kind in DOCUMENTS}


def test_a_document_has_no_number_that_json_lacks():
    values = [math.nan, math.inf, -math.inf, np.dtype("<u2"), Confidence.EXACT, Mag(2, 2, 1), None, True, "a", 1.5]
    assert as_document(iter(values)) == ["nan", "inf", "-inf", "uint16", "EXACT", "2-2-1", None, True, "a", 1.5]


def test_every_option_has_help_that_fits_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = invoke("auto", "--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    shown = " ".join(lines)
    names = {"option": "-o", "no_downsample": "--no-downsample"}
    missing = [n for n in ALL if names.get(n, "--" + n.replace("_", "-")) not in shown]
    assert missing == []


@pytest.mark.parametrize(
    "command",
    [
        ("auto", "SRC", "s3://bucket/ds"),
        ("recube", "SRC", "https://example.org/ds"),
        ("compress", "SRC", "gs://bucket/ds"),
        ("export-tiff", "SRC", "s3://bucket/ds"),
        ("demo", "s3://bucket/ds"),
        ("verify", "s3://bucket/ds"),
        ("check-equality", "SRC", "s3://bucket/ds"),
    ],
)
def test_a_url_where_a_local_path_belongs_makes_no_folder(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = invoke(*command)
    assert result.exit_code == 2
    assert "looks like a URL; take a local path" in " ".join(result.output.replace("│", "").split())
    assert list(tmp_path.iterdir()) == []
