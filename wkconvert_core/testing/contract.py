"""All checks in a row: for `wkconvert check`, and as a test class for a plugin's own tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal
from unittest import SkipTest

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.testing.check_conversion import check_convert_twice
from wkconvert_core.testing.check_detection import (
    check_damaged_header,
    check_detection,
    check_junk,
    check_truncated,
    check_unknown_option,
)
from wkconvert_core.testing.check_info import check_info, check_pickle
from wkconvert_core.testing.check_reading import (
    check_boxes,
    check_loky,
    check_no_open_handles,
    check_occupied,
    check_read_cost,
    check_stream,
    check_threads,
    check_untouched,
)
from wkconvert_core.testing.fresh_interpreter import check_header_only_open, check_imports
from wkconvert_core.testing.samples import Sample, opened

CHECKS: dict[str, Callable[..., None]] = {
    "detection": check_detection,
    "junk": check_junk,
    "imports": check_imports,
    "unknown option": check_unknown_option,
    "header-only open": check_header_only_open,
    "info": check_info,
    "boxes": check_boxes,
    "stream": check_stream,
    "occupied": check_occupied,
    "read cost": check_read_cost,
    "pickle": check_pickle,
    "threads": check_threads,
    "loky": check_loky,
    "no open handles": check_no_open_handles,
    "untouched": check_untouched,
    "truncated": check_truncated,
    "damaged header": check_damaged_header,
    "convert twice": check_convert_twice,
}
"""Every check by its name, in the order in which they run."""


@dataclass(frozen=True)
class CheckResult:
    """What became of one check."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    message: str = ""
    """Why it failed or was skipped."""


def run_checks(
    path: Path, reader: str | None = None, options: Mapping[str, str] | None = None
) -> Iterator[CheckResult]:
    """Run every check on a file or folder, one by one.

    Raises SourceNotFound, UnknownFormat, AmbiguousFormat, OptionError and the reader's own errors where the path cannot
    be opened at all; everything later is a result.
    """
    opened(path, reader, options)
    for name, check in CHECKS.items():
        yield _result(name, check, path, reader, options)


def _result(name: str, check: Callable[..., None], path: Path, reader: str | None, options: Any) -> CheckResult:
    try:
        check(path, reader=reader, options=options)
    except SkipTest as reason:
        return CheckResult(name, "skipped", str(reason))
    except (AssertionError, WkconvertError) as error:
        return CheckResult(name, "failed", str(error))
    except Exception as error:  # the reader under test is a stranger's code; the other checks go on
        return CheckResult(name, "failed", f"the reader raised {type(error).__name__}: {error}")
    return CheckResult(name, "passed")


class SourceContract:
    """A plugin's whole test: a subclass named `Test…` with `samples`, or with a pytest fixture called `sample`."""

    samples: ClassVar[Sequence[Sample | Path]] = ()
    """What to check the reader on; a plain path is found by detection and opened without options."""

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run each test once per sample; pytest calls this."""
        if self.samples and "sample" in metafunc.fixturenames:
            metafunc.parametrize("sample", self.samples, ids=lambda sample: _sample(sample).path.name)

    def test_detection(self, sample: Sample | Path) -> None:
        """The plugin claims the sample."""
        _check(check_detection, sample)

    def test_junk(self, sample: Sample | Path) -> None:
        """Files that only have the sample's name are not taken for a volume."""
        _check(check_junk, sample)

    def test_imports(self, sample: Sample | Path) -> None:
        """Detecting imports no format library."""
        _check(check_imports, sample)

    def test_unknown_option(self, sample: Sample | Path) -> None:
        """An unknown option is an error that lists the known ones."""
        _check(check_unknown_option, sample)

    def test_header_only_open(self, sample: Sample | Path) -> None:
        """Opening reads headers only."""
        _check(check_header_only_open, sample)

    def test_info(self, sample: Sample | Path) -> None:
        """What the reader says about the volume is in order."""
        _check(check_info, sample)

    def test_boxes(self, sample: Sample | Path) -> None:
        """Every box equals that part of the whole, and the whole what is expected."""
        _check(check_boxes, sample, expected=_sample(sample).expected)

    def test_stream(self, sample: Sample | Path) -> None:
        """A stream yields every voxel once."""
        _check(check_stream, sample)

    def test_occupied(self, sample: Sample | Path) -> None:
        """Where nothing is said to be, zeros are read."""
        _check(check_occupied, sample)

    def test_read_cost(self, sample: Sample | Path) -> None:
        """The stated cost of reading makes sense."""
        _check(check_read_cost, sample)

    def test_pickle(self, sample: Sample | Path) -> None:
        """The Source is a small value."""
        _check(check_pickle, sample)

    def test_threads(self, sample: Sample | Path) -> None:
        """Threads read the same."""
        _check(check_threads, sample)

    def test_loky(self, sample: Sample | Path) -> None:
        """Other processes read the same."""
        _check(check_loky, sample)

    def test_no_open_handles(self, sample: Sample | Path) -> None:
        """Nothing stays open."""
        _check(check_no_open_handles, sample)

    def test_untouched(self, sample: Sample | Path) -> None:
        """The source stays as it was."""
        _check(check_untouched, sample)

    def test_truncated(self, sample: Sample | Path) -> None:
        """A file cut in half is refused."""
        _check(check_truncated, sample)

    def test_damaged_header(self, sample: Sample | Path) -> None:
        """Wrong bytes in a header raise nothing but errors of ours."""
        _check(check_damaged_header, sample)

    def test_convert_twice(self, sample: Sample | Path) -> None:
        """Two conversions write the same bytes."""
        _check(check_convert_twice, sample)


def _sample(sample: Sample | Path) -> Sample:
    return sample if isinstance(sample, Sample) else Sample(Path(sample))


def _check(check: Callable[..., None], sample: Sample | Path, **more: Any) -> None:
    taken = _sample(sample)
    check(taken.path, reader=taken.reader, options=taken.options, **more)
