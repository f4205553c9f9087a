"""What Tab completes: names in the dataset that the command line names, and words that options take."""

from typing import get_args, get_type_hints

import pytest
from helpers.conversions import edited, em, invoke
from typer.testing import CliRunner

from wkconvert_core.cli.app import app
from wkconvert_core.cli.completion import WORDS
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.voxel_size import METRES
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins


def completed(*words, shell="bash"):
    """What a shell is told after these words, the last of which is not finished."""
    line = " ".join(map(str, ("wkconvert", *words)))
    asked = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    result = CliRunner().invoke(
        app, [], prog_name="wkconvert", env={"_WKCONVERT_COMPLETE": f"complete_{shell}", **asked}
    )
    assert "Traceback" not in result.output
    return result.stdout.split()


def em_and_labels(folder, reader):
    (folder / "src").mkdir()
    for name in ("em", "labels"):
        reader(folder / "src" / name, em())
    size = ("--voxel-size", "4,4,8")
    invoke("auto", folder / "src", folder / "ds", *size, "--max-mag", "4", "-q")
    with edited(folder / "ds") as found:
        found["dataLayers"][1]["mags"] = found["dataLayers"][1]["mags"][:1]


@pytest.fixture
def dataset(tmp_path, put_copy):
    put_copy(em_and_labels, tmp_path)
    return tmp_path / "ds"


@pytest.mark.parametrize(
    "command", ["verify", "downsample", "compress", "recube", "export-tiff", "preview", "metadata"]
)
def test_layers_of_the_dataset(dataset, command):
    other = [dataset.with_name("new")] if command in ("recube", "export-tiff") else []
    assert completed(command, dataset, *other, "--layer-name", "") == ["em", "labels"]
    assert completed(command, dataset, *other, "--layer-name", "l") == ["labels"]


@pytest.mark.parametrize("option", ["--mag", "--from-mag"])
def test_mags_of_the_dataset_and_of_the_chosen_layer(dataset, option):
    command = "verify" if option == "--mag" else "downsample"
    assert completed(command, dataset, option, "") == ["1", "2-2-1", "4-4-2"]
    assert completed(command, dataset, option, "2") == ["2-2-1"]
    assert completed(command, dataset, "--layer-name", "labels", option, "") == ["1"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"dataLayers": 1}', '{"dataLayers": [1]}', '{"dataLayers": [{"a": 1}]}']
)
def test_where_there_is_no_dataset_there_is_nothing(tmp_path, text):
    (tmp_path / "datasource-properties.json").write_text(text)
    for place in (tmp_path, tmp_path / "nowhere", "s3://bucket/ds", ""):
        assert completed("verify", place, "--layer-name", "") == []
        assert completed("verify", place, "--mag", "") == []


def test_what_plugins_bring():
    assert completed("auto", "a", "b", "--reader", "") == sorted(plugins().formats())
    assert completed("auto", "a", "b", "--interpolation-mode", "me") == ["mean", "median"]
    assert "wkw" in completed("auto", "a", "b", "--to", "")


@pytest.mark.parametrize("name", WORDS)
def test_words_are_those_that_the_option_takes(name):
    option = f"--{name.replace('_', '-')}"
    assert completed("auto", "a", "b", option, "") == WORDS[name].split()
    assert completed("auto", "a", "b", option, WORDS[name].split()[-1][:2])[-1] == WORDS[name].split()[-1]
    hint = get_type_hints(Settings).get({"distribution_strategy": "strategy"}.get(name, name))
    legal = {word for part in (hint, *get_args(hint)) for word in get_args(part) if isinstance(word, str)}
    if name == "unit":
        legal = set(METRES)
    if legal:
        assert set(WORDS[name].split()) == legal


@pytest.mark.slow
def test_words_of_options_that_are_checked_by_name(tmp_path, reader):
    source = reader(tmp_path / "src", em((8, 8, 8)))
    for name in ("compression", "file_len", "progress"):
        option, size = f"--{name.replace('_', '-')}", ("--voxel-size", "4,4,4")
        for word in WORDS[name].split():
            invoke("auto", source, tmp_path / f"{name}{word}", *size, option, word, "-q")
        with pytest.raises(OptionError) as caught:
            invoke("auto", source, tmp_path / "wrong", *size, option, "0")
        assert caught.value.fix


def test_every_shell_is_told_and_can_be_set_up():
    assert "install-completion" in invoke("--help").stdout
    for shell in ("zsh", "fish"):
        assert "lz4hc" in " ".join(completed("auto", "a", "b", "--compression", "lz4h", shell=shell))
