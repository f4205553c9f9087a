"""The compliance kit for plugin authors: checks that a reader does what the contract says.

A plugin's whole test is a subclass of `SourceContract`; `wkconvert check` prints the results of `run_checks`; the
`check_*` functions are the single checks. Each takes a path and, if needed, a reader's name and options, and raises
`ContractViolation` (an AssertionError with what was seen and the rule that it breaks) or `NotApplicable` (the sample
does not allow the check). Errors of the reader on the healthy sample pass through. pytest is not needed.

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
    check_occupied,
    check_read_cost,
    check_stream,
    check_threads,
    check_untouched,
    read_checked,
)
from wkconvert_core.testing.check_second_opinion import check_second_opinion
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
    "check_occupied",
    "check_pickle",
    "check_read_cost",
    "check_second_opinion",
    "check_stream",
    "check_threads",
    "check_truncated",
    "check_unknown_option",
    "check_untouched",
    "noise",
    "read_checked",
    "run_checks",
]
