"""All checks together: for `wkconvert check`, and as a test class for a plugin's own tests."""

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
from wkconvert_core.testing.check_second_opinion import check_second_opinion
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
    "second opinion": check_second_opinion,
    "pickle": check_pickle,
    "threads": check_threads,
    "loky": check_loky,
    "no open handles": check_no_open_handles,
    "untouched": check_untouched,
    "truncated": check_truncated,
    "damaged header": check_damaged_header,
    "convert twice": check_convert_twice,
}
"""Every check by name, in the order in which they run."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    message: str = ""
    """Why it failed or was skipped."""


def run_checks(
    path: Path, reader: str | None = None, options: Mapping[str, str] | None = None
) -> Iterator[CheckResult]:
    """Run every check on a file or folder, one by one.

    Raises SourceNotFound, UnknownFormat, AmbiguousFormat, OptionError and the reader's own errors if the path cannot be
    opened at all; every later error is a result.
    """
    opened(path, reader, options)
    for name, check in CHECKS.items():
        try:
            check(path, reader=reader, options=options)
            result = CheckResult(name, "passed")
        except SkipTest as reason:
            result = CheckResult(name, "skipped", str(reason))
        except (AssertionError, WkconvertError) as error:
            result = CheckResult(name, "failed", str(error))
        except Exception as error:  # the reader under test is a stranger's code; the other checks go on
            result = CheckResult(name, "failed", f"the reader raised {type(error).__name__}: {error}")
        yield result


class SourceContract:
    """A plugin's whole test: a subclass named `Test…` with `samples`, or with a pytest fixture called `sample`.

    It has a test for each of `CHECKS`: `test_detection`, `test_unknown_option` and so on. A subclass may override them.
    """

    samples: ClassVar[Sequence[Sample | Path]] = ()
    """The samples to check the reader on; the reader of a plain path is found by detection and gets no options."""

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run each test once per sample; pytest calls this."""
        if self.samples and "sample" in metafunc.fixturenames:
            metafunc.parametrize("sample", self.samples, ids=lambda sample: _sample(sample).path.name)


def _test_of(check: Callable[..., None]) -> Callable[[SourceContract, Sample | Path], None]:
    def test(self: SourceContract, sample: Sample | Path) -> None:
        taken = _sample(sample)
        more = {"expected": taken.expected} if check is check_boxes else {}
        check(taken.path, reader=taken.reader, options=taken.options, **more)

    test.__doc__ = check.__doc__
    return test


for _name, _check in CHECKS.items():
    setattr(SourceContract, f"test_{_name.replace(' ', '_').replace('-', '_')}", _test_of(_check))


def _sample(sample: Sample | Path) -> Sample:
    return sample if isinstance(sample, Sample) else Sample(Path(sample))
