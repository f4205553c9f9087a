"""Datasets that somebody hostile, or a bug, has made: nothing outside is read, written or removed, and no traceback."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import npy_volumes
from helpers.conversions import JOBS, PROPERTIES, SETTINGS, carry_out, edited, em, layers_of, properties

from wkconvert_core import OptionError
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.commands.compress import finish
from wkconvert_core.commands.compress import prepare as compress
from wkconvert_core.commands.downsample import prepare as downsample
from wkconvert_core.commands.export import prepare as export
from wkconvert_core.commands.info import describe
from wkconvert_core.commands.metadata import Wanted, update
from wkconvert_core.commands.recube import prepare as recube
from wkconvert_core.commands.upsample import prepare as upsample
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.errors import BrokenSource, TargetError, WkconvertError
from wkconvert_core.conversion.execute import convert
from wkconvert_core.datasets.dataset import COMPRESSED, Dataset
from wkconvert_core.datasets.naming import FOLDER

ALONE = replace(JOBS, strategy="sequential")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A small dataset of ours: a color layer, raw, with mags 1 and 2-2-1, and a segmentation."""
    folder = tmp_path_factory.mktemp("original")
    with npy_volumes.registered() as make:
        make(folder / "src" / "em", em((40, 36, 20)))
        make(folder / "src" / "labels", em((40, 36, 20), dtype="uint32"))
        convert(folder / "src", folder / "ds", replace(SETTINGS, compression="none", max_mag=2))
    return folder / "ds"


@pytest.fixture
def dataset(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "ds"))


def every_command(dataset, out):
    """Each command on the dataset, as a function of no arguments."""
    return {
        "info": lambda: describe(dataset),
        "verify": lambda: verify(dataset, ALONE, write_checksums=True),
        "metadata": lambda: update(dataset, Wanted(refresh=True), ALONE),
        "compute": lambda: update(dataset, Wanted(compute_max_id=True, extent=True), ALONE),
        "equality": lambda: check_equality(dataset, dataset, ALONE),
        "downsample": lambda: carry_out(downsample(dataset, replace(ALONE, max_mag=4))),
        "upsample": lambda: carry_out(upsample(dataset, ALONE)),
        "recube": lambda: carry_out(recube(dataset, out / "recube", ALONE)),
        "auto": lambda: convert(dataset, out / "auto", ALONE),
        "export": lambda: carry_out(export(dataset, out / "export", replace(ALONE, layer_name="em"))),
        "compress": lambda: (finish(dataset), carry_out(compress(dataset, None, ALONE))),
    }


def listing(folder):
    """Every file and link below a folder, with its size and place on disk."""
    found = {}
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in (*names, ".")):
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_size if path.name != "." else 0)
    return found


# --- what the metadata say -------------------------------------------------------------------------------------------

DEEP = "DEEP"
ODD = [
    *(None, True, -1, 0, 1.5, 2**53, 10**400, "text", "", "\ud800", "\0", "../x", "/etc", "a" * 5000, "a\nb"),
    *([], [[]], {}, {"a": []}, [None] * 3, ["a"] * 3, [1e308] * 3, [True] * 3, [10**30] * 3, DEEP),
]


def places(document, at=()):
    """The path of every value in a JSON document."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inside:
        yield (*at, key)
        yield from places(value, (*at, key))


def put(document, at, value):
    *outer, last = at
    for key in outer:
        document = document[key]
    document[last] = value


def text_with(document, at, value):
    document = json.loads(json.dumps(document))
    put(document, at, value)
    return json.dumps(document).replace(f'"{DEEP}"', "[" * 500 + "]" * 500)


def refusal(dataset):
    """Why a dataset cannot be opened; None if it can."""
    try:
        Dataset.open(dataset).left_alone_in()
    except BrokenSource as error:
        return str(error)
    return None


@pytest.mark.slow
def test_odd_values_anywhere_in_the_metadata_are_an_error_that_names_the_file_or_harmless(dataset):
    known, refused = properties(dataset), 0
    for at in places(known):
        for value in ODD:
            (dataset / PROPERTIES).write_text(text_with(known, at, value))
            why = refusal(dataset)
            assert why is None or PROPERTIES in why
            refused += why is not None
    assert refused > 500


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(3))
def test_no_command_falls_over_odd_metadata_or_touches_what_lies_outside(original, tmp_path, turn):
    known = properties(original)
    cases = [(at, value) for at in places(known) for value in ODD]
    for number, (at, value) in enumerate(cases):
        if number % 120 != turn * 41:
            continue
        folder = tmp_path / str(number)
        shutil.copytree(original, folder / "ds")
        (folder / "ds" / PROPERTIES).write_text(text_with(known, at, value))
        for name, command in every_command(folder / "ds", folder).items():
            with suppress(WkconvertError):
                command()
            assert {path.name for path in folder.iterdir()} <= {"ds", "recube", "auto", "export"}, (name, at, value)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name", ["/abs/victim", "../../victim", "..", "em/1", "em\n", "", "a" * 300, "con:", "\ud800", ".em"]
)
def test_a_layer_with_a_name_that_none_may_have_is_left_alone_and_told(dataset, tmp_path, name):
    with edited(dataset) as found:
        found["dataLayers"][0]["name"] = name
    before = listing(tmp_path)
    found = verify(dataset, ALONE, write_checksums=True)
    assert [mag.layer for mag in found.mags] == ["labels", "labels"]
    assert len([note for note in found.notes if "left alone" in note and "\n" not in note and len(note) < 300]) == 1
    assert set(listing(tmp_path)) == set(before)
    conversion = recube(dataset, tmp_path / "copy", ALONE)
    carry_out(conversion)
    assert list(layers_of(tmp_path / "copy")) == ["labels"]
    with pytest.raises(WkconvertError):
        recube(dataset, tmp_path / "other", ALONE, names=[name])


def test_two_layers_of_one_name_are_refused(dataset):
    with edited(dataset) as found:
        found["dataLayers"][1]["name"] = "em"
    for name, command in every_command(dataset, dataset.parent).items():
        with pytest.raises(WkconvertError) as caught:
            command()
        assert "two layers have the name 'em'" in str(caught.value), name


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path):
    """Somebody's folder outside the dataset."""
    folder = tmp_path / "victim"
    for path in ("scratch/work.txt", ".profile", "sub/.draft.tmp", "logs/a.log", "em/.letter.tmp", "lock"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("mine")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        FOLDER,
        *(f"{FOLDER}/{name}" for name in ("lock", "scratch", "logs", "compressed", "em.downsample-4-4-2.journal")),
        *(f"{FOLDER}/{name}" for name in ("em.downsample-4-4-1.plan", "em.verify.shards", "new.shards", "compressed")),
    ],
)
@pytest.mark.parametrize(
    "to", ["victim", *(pytest.param(to, marks=pytest.mark.slow) for to in ("victim/.profile", "victim/new"))]
)
def test_a_link_in_the_place_of_a_record_is_never_written_through(dataset, victim, place, to):
    link, before = dataset / place, listing(victim)
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(dataset.parent / to)
    for name, command in every_command(dataset, dataset.parent).items():
        with suppress(WkconvertError):
            command()
        assert listing(victim) == before, name
    with pytest.raises(WkconvertError, match=r"is a link|Is a directory"):
        carry_out(downsample(dataset, replace(ALONE, max_mag=8)))
    with pytest.raises(TargetError, match="is a link"):
        update(dataset, Wanted(name="other"))


def test_a_link_in_the_place_where_a_dataset_is_built_is_not_emptied(dataset, victim):
    (dataset.parent / ".copy.wkconvert-new").symlink_to(victim)
    (victim / FOLDER).mkdir()
    (victim / FOLDER / "em.other.plan").write_text("{}")
    before = listing(victim)
    convert(dataset, dataset.parent / "copy", ALONE)
    with pytest.raises(TargetError, match="is a link"):
        convert(dataset, dataset.parent / "copy", replace(ALONE, overwrite=True))
    assert listing(victim) == before


@pytest.mark.parametrize("command", ["downsample", "compress", "metadata", "verify", "recube", "auto"])
def test_a_layers_folder_that_is_a_link_is_not_swept(dataset, victim, command):
    """Its mags lie in the dataset: the metadata say so."""
    (dataset / "em").rename(dataset / "kept")
    (dataset / "em").symlink_to(victim / "em")
    with edited(dataset) as found:
        for mag in found["dataLayers"][0]["mags"]:
            mag["path"] = mag["path"].replace("em/", "kept/")
    before = listing(victim)
    with suppress(WkconvertError):
        every_command(dataset, dataset.parent)[command]()
    assert listing(victim) == before


# --- compress, killed before it was done ------------------------------------------------------------------------------


def half_compressed(dataset, places):
    """What an attacker, or `compress`, leaves in `.wkconvert`: compressed mags of `em`, to be moved to these places."""
    built = dataset / COMPRESSED
    (built / FOLDER).mkdir(parents=True)
    entry = {**layers_of(dataset)["em"], "mags": []}
    for mag in places:
        shutil.copytree(dataset / "em" / "1", built / "em" / mag)
        entry["mags"].append({"mag": [int(side) for side in (mag.split("-") * 3)[:3]], "path": f"./em/{mag}"})
    (built / PROPERTIES).write_text(json.dumps({**properties(dataset), "dataLayers": [entry]}))
    (built / FOLDER / "em.compress.plan").write_text(json.dumps({"places": {"em": places}, "settings": {}}))
    (built / FOLDER / "em.compress.shards").write_text("")
    return built


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "place",
    [
        *("{victim}", "../victim", "../new", "em/../../victim", "labels/1", "labels", ".", "", FOLDER, "link"),
        *("em/1/../2", 7, None, ["em/1"], "em/1\0", "a" * 5000, "\ud800"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_compress_moves_mags_to_places_of_these_mags_only(dataset, victim, place, there):
    (dataset / "link").symlink_to(victim)
    for path in victim.rglob("*.txt"):
        path.unlink()
    where = place.format(victim=victim) if isinstance(place, str) else place
    half_compressed(dataset, {"1": [where, EMPTY]})
    if not there:
        shutil.rmtree(dataset / "em" / "1")
    before, inside = listing(victim), listing(dataset / "labels")
    with pytest.raises(WkconvertError) as caught:
        finish(dataset)
    assert str(COMPRESSED) in str(caught.value)
    assert listing(victim) == before
    assert listing(dataset / "labels") == inside
    assert not (dataset.parent / "new").exists()


@pytest.mark.parametrize(
    "plan", [b"", b"[" * 100_000, b"[]", b'{"settings": {}}', b'{"settings": {}, "places": []}', b"\xff"]
)
def test_a_plan_of_compress_that_is_none_is_an_error(dataset, plan):
    built = half_compressed(dataset, {"1": ["em/1", EMPTY]})
    (built / FOLDER / "em.compress.plan").write_bytes(plan)
    with pytest.raises(WkconvertError, match="compressed"):
        finish(dataset)
    (built / FOLDER / "em.compress.plan").unlink()
    with pytest.raises(WkconvertError, match="compressed"):
        finish(dataset)


def test_a_mag_that_the_dataset_does_not_list_is_not_moved(dataset):
    half_compressed(dataset, {"4": ["em/4", EMPTY]})
    with pytest.raises(WkconvertError, match="compressed"):
        finish(dataset)
    assert not (dataset / "em" / "4").exists()


@pytest.mark.parametrize("part", ["", "em", "em/1", FOLDER, PROPERTIES])
def test_nothing_is_taken_from_behind_a_link(dataset, victim, part):
    built = half_compressed(dataset, {"1": ["em/1", EMPTY]})
    (built / part).rename(victim / "moved")
    (built / part).symlink_to(victim / "moved")
    shutil.rmtree(dataset / "em" / "1")
    before = listing(victim)
    with pytest.raises(WkconvertError, match="is a link"):
        finish(dataset)
    assert listing(victim) == before


def test_a_wrong_option_of_a_hostile_dataset_is_the_users_and_not_ours(dataset):
    """Values of the metadata that no option may have are no usage error."""
    with edited(dataset) as found:
        found["scale"]["factor"] = [-4, 4, 4]
    with pytest.raises(WkconvertError) as caught:
        Dataset.open(dataset)
    assert not isinstance(caught.value, OptionError)


def test_a_number_beyond_all_is_found_before_the_work_and_not_when_the_copy_is_written(dataset, tmp_path):
    text = json.dumps({**properties(dataset), "defaultViewConfiguration": {"zoom": "HERE"}}).replace('"HERE"', "1e999")
    (dataset / PROPERTIES).write_text(text)
    with pytest.raises(BrokenSource, match="1e999"):
        recube(dataset, tmp_path / "copy", ALONE)


@pytest.mark.parametrize("kind", ["folder", "file", "inner folder", "broken", "pipe", "layer", "loop"])
def test_what_mappings_link_to_is_not_copied(dataset, victim, tmp_path, kind):
    mappings = dataset / "labels" / "mappings"
    mappings.mkdir()
    (mappings / "own.json").write_text("{}")
    match kind:
        case "folder":
            shutil.rmtree(mappings)
            mappings.symlink_to(victim)
        case "file":
            (mappings / "x.json").symlink_to(victim / ".profile")
        case "inner folder":
            (mappings / "x").symlink_to(victim)
        case "broken":
            (mappings / "x.json").symlink_to(victim / "nowhere")
        case "loop":
            (mappings / "x").symlink_to(mappings)
        case "pipe":
            os.mkfifo(mappings / "x.json")
        case "layer":
            (dataset / "labels").rename(dataset / "kept")
            (victim / "mappings").mkdir()
            (victim / "mappings" / "secret.json").write_text("mine")
            (dataset / "labels").symlink_to(victim)
            with edited(dataset) as found:
                for mag in found["dataLayers"][1]["mags"]:
                    mag["path"] = mag["path"].replace("labels/", "kept/")
    done = carry_out(recube(dataset, tmp_path / "copy", ALONE))
    assert len([note for note in done.notes if "is not copied: it is a link, or no file" in note]) == 1
    copied = [path for path in (tmp_path / "copy" / "labels").rglob("*") if path.suffix == ".json" or path.is_symlink()]
    assert [path.name for path in copied] == ([] if kind in ("folder", "layer") else ["own.json"])
    assert not [path for path in (tmp_path / "copy").rglob("*") if path.is_file() and b"mine" in path.read_bytes()]


def test_a_link_in_a_folder_that_is_emptied_is_removed_and_not_followed(dataset, victim):
    building = dataset.parent / ".ds.wkconvert-new"
    (building / FOLDER).mkdir(parents=True)
    (building / FOLDER / "em.other.plan").write_text("{}")
    (building / "others").symlink_to(victim)
    before = listing(victim)
    convert(dataset, dataset.parent / "copy", ALONE)
    shutil.rmtree(dataset / "labels")
    convert(dataset.parent / "copy", dataset, replace(ALONE, overwrite=True))
    assert listing(victim) == before
    assert not (dataset / "others").is_symlink()
