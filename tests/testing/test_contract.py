"""The compliance kit: it passes sound readers, and each check catches what it is there for."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import paths
from helpers.broken_plugins import BROKEN, MAGIC, Change, streaming
from helpers.fake_plugins import Forge, forge_in
from helpers.vox_files import save_vox

from wkconvert_core import SourceNotFound, VoxelSize
from wkconvert_core.contract.errors import UnknownFormat
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.testing import CHECKS, ContractViolation, NotApplicable, run_checks

pytest_plugins = ["pytester"]

EXAMPLE = paths.ROOT / "tests" / "example_plugin" / "wkconvert_example.py"
SHAPE = (80, 90, 70)


class Mutants:
    """Makes readers out of the example plugin by changing its text."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge
        self._numbers = itertools.count()

    def install(self, *changes: Change) -> str:
        """The name of a new reader: the example plugin with some of its text exchanged."""
        name = f"mutant{next(self._numbers)}"
        text = (
            EXAMPLE.read_text("utf-8").replace('"vox"', f'"{name}"').replace("Confidence.CONTENT", "Confidence.EXACT")
        )
        for old, new in changes:
            assert old in text, f"the example plugin does not hold {old!r} any more"
            text = text.replace(old, new)
        return self.forge.install(name, text)


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mutants]:
    with forge_in(tmp_path_factory.mktemp("site")) as forge:
        yield Mutants(forge)


@pytest.fixture(scope="module")
def good(mutants: Mutants) -> str:
    return mutants.install(*streaming(), ("Confidence.EXACT", "Confidence.SUFFIX"))


@pytest.fixture(autouse=True)
def _forget_broken_ones(good: str, mutants: Mutants) -> Iterator[None]:
    yield
    mutants.forge.uninstall(but=good)
    for module in [module for name, module in sys.modules.items() if name.startswith("mutant")]:
        for handle in getattr(module, "KEPT", []):
            os.close(handle) if isinstance(handle, int) else handle.close()
        vars(module).pop("KEPT", None)


def voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, SHAPE, dtype="u2")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return save_vox(tmp_path / "volume.vox", voxels())


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_a_sound_reader_passes(name: str, good: str, volume: Path) -> None:
    CHECKS[name](volume, reader=good, options={"zyx": "no"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "flaw"), [pytest.param(check, flaw, id=f"{check}: {flaw}") for check in BROKEN for flaw in BROKEN[check]]
)
def test_a_check_catches(check: str, flaw: str, mutants: Mutants, volume: Path) -> None:
    if flaw in ("reads all", "keeps pipes") and not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells how much was read, and what is open")
    reader = mutants.install(*BROKEN[check][flaw])
    more = {"expected": voxels()[np.newaxis]} if check == "boxes" else {}
    with pytest.raises(ContractViolation, match="The contract: ") as caught:
        CHECKS[check](volume, reader=reader, options={"zyx": "no"}, **more)
    assert caught.value.what


def test_every_check_has_a_flaw_to_catch() -> None:
    assert BROKEN.keys() == CHECKS.keys()


def test_a_reader_without_formats_is_told_so(mutants: Mutants, volume: Path) -> None:
    mutants.install(("FORMATS = ", "_FORMATS = "))
    with pytest.raises(ContractViolation, match="FORMATS"):
        CHECKS["detection"](volume)


def test_a_violation_survives_pickling(mutants: Mutants, volume: Path) -> None:
    with pytest.raises(ContractViolation) as caught:
        CHECKS["detection"](volume, reader=mutants.install((MAGIC, "False")))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.rule) == (str(caught.value), caught.value.rule)


def test_a_volume_that_is_too_small_to_tell_headers_from_voxels_is_skipped(good: str, tmp_path: Path) -> None:
    save_vox(tmp_path / "small.vox", np.zeros((5, 5, 5)))
    with pytest.raises(NotApplicable, match="too few"):
        CHECKS["header-only open"](tmp_path / "small.vox", reader=good)


def test_a_volume_too_large_to_copy_is_skipped_and_read_in_part(good: str, tmp_path: Path) -> None:
    path = tmp_path / "large.vox"
    shape = (400, 300, 200)
    path.write_bytes(b"VOX1" + np.array(shape, ">u4").tobytes())
    np.memmap(path, ">u2", "r+", 16, shape, "F")[:, :, 150] = 7
    for name in ("truncated", "damaged header", "convert twice"):
        with pytest.raises(NotApplicable, match="32 MiB"):
            CHECKS[name](path, reader=good)
    CHECKS["boxes"](path, reader=good)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 2)])
def test_tiny_volumes_pass(shape: tuple[int, int, int], good: str, tmp_path: Path) -> None:
    save_vox(tmp_path / "tiny.vox", np.full(shape, 7))
    outcomes = {result.name: result for result in run_checks(tmp_path / "tiny.vox", good)}
    assert [result for result in outcomes.values() if result.status == "failed"] == []
    assert outcomes["header-only open"].status == "skipped"


@pytest.mark.slow
def test_running_all_checks_reports_each_once_and_goes_on_after_a_failure(mutants: Mutants, volume: Path) -> None:
    reader = mutants.install(("return voxels[", "return 1 / 0 or voxels["))
    results = {result.name: result for result in run_checks(volume, reader)}
    assert list(results) == list(CHECKS)
    assert results["detection"].status == results["pickle"].status == "passed"
    assert (results["boxes"].status, results["stream"].status) == ("failed", "skipped")
    assert "ZeroDivisionError" in results["boxes"].message


@pytest.mark.slow
def test_the_reader_of_written_datasets_passes(good: str, volume: Path, tmp_path: Path) -> None:
    convert(volume, tmp_path / "dataset", Settings(VoxelSize((4, 4, 35), "nm", "test"), reader=good))
    results = {result.name: result.status for result in run_checks(tmp_path / "dataset")}
    assert {name for name, status in results.items() if status != "passed"} == {
        "header-only open",
        "stream",
        "read cost",
        "second opinion",
    }
    assert "failed" not in results.values()


def test_what_cannot_be_opened_is_an_error_before_the_first_check(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        next(run_checks(tmp_path / "missing.vox"))
    (tmp_path / "notes.txt").write_text("a text")
    with pytest.raises(UnknownFormat):
        next(run_checks(tmp_path / "notes.txt"))


def test_a_plugin_is_tested_by_a_class_with_samples_or_a_fixture(
    good: str, mutants: Mutants, volume: Path, pytester: pytest.Pytester
) -> None:
    bad = mutants.install(("[np.newaxis]", ""))
    pytester.makepyfile(
        f"""
        from pathlib import Path
        import pytest
        from wkconvert_core.testing import Sample, SourceContract

        class TestGood(SourceContract):
            samples = [Sample(Path({str(volume)!r}), {good!r}), Sample(Path({str(volume)!r}), {good!r}, {{"zyx": "1"}})]

        class TestBad(SourceContract):
            @pytest.fixture
            def sample(self):
                return Sample(Path({str(volume)!r}), {bad!r})
        """
    )
    result = pytester.runpytest_inprocess("-k", "boxes or stream", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, skipped=1, failed=1)
    result.stdout.fnmatch_lines(["*box*The contract: *"])


def test_the_kit_needs_neither_pytest_nor_any_library_until_it_runs() -> None:
    code = "import sys, wkconvert_core.testing; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pytest", "joblib", "psutil", "scipy", "rich", "typer"} & set(loaded)
