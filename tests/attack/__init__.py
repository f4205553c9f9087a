"""Attacks on the program: mutants of its inputs, kills and faults at any moment, hostile datasets.

`python tests/attack --help` tells how to run them; docs/reliability.md, what they have to show.
"""
