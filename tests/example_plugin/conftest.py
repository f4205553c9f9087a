"""The example is a distribution of its own: where it is not installed, its tests are not collected."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("wkconvert_example") else ["test_wkconvert_example.py"]
