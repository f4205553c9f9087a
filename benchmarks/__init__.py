"""How fast wkconvert is, beside webknossos and beside the machine's own limit, on data made here.

    python3 run.py python -m benchmarks --help

Each work is done by every program in turn, again and again; medians are told. Peak memory is of the whole process tree,
measured in a run of its own, because looking at processes takes time. Nothing here is a test: times are not asserted.
"""
