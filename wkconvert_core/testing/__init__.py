"""The compliance kit for plugin authors: whether a reader does what the contract says.

A plugin's whole test is a subclass of `SourceContract`; `run_checks` is what `wkconvert check` prints; the `check_*`
functions are its parts. Each takes a path and, where they are needed, a reader's name and options, and raises
`ContractViolation` (an AssertionError that says what was seen, what the contract says, and where) or `NotApplicable`
(the sample cannot tell). Errors of the reader itself on the healthy sample pass through. pytest is not needed.

For a plugin's other tests, `Reader` calls its hooks directly, `read_checked` reads a source and compares its parts, and
`noise` makes voxels.
"""

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
    check_stream,
    check_threads,
    check_untouched,
    read_checked,
)
from wkconvert_core.testing.contract import CHECKS, CheckResult, SourceContract, run_checks
from wkconvert_core.testing.fresh_interpreter import check_header_only_open, check_imports
from wkconvert_core.testing.reader import Reader, noise
from wkconvert_core.testing.samples import ContractViolation, NotApplicable, Rule, Sample

__all__ = [
    "CHECKS",
    "CheckResult",
    "ContractViolation",
    "NotApplicable",
    "Reader",
    "Rule",
    "Sample",
    "SourceContract",
    "check_boxes",
    "check_convert_twice",
    "check_damaged_header",
    "check_detection",
    "check_header_only_open",
    "check_imports",
    "check_info",
    "check_junk",
    "check_loky",
    "check_no_open_handles",
    "check_pickle",
    "check_stream",
    "check_threads",
    "check_truncated",
    "check_unknown_option",
    "check_untouched",
    "noise",
    "read_checked",
    "run_checks",
]
