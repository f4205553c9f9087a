"""Optional members of Sources and Sinks: who has them, and what core takes for granted where they are missing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from wkconvert_core import BeginningSink, CopyingSink, CostlySource, SparseSink, SparseSource, StreamSource
from wkconvert_core.contract import abilities

SOURCE, SINK = ("info", "read"), ("spec", "shard_shape", "has", "write", "source")
ALL = [
    (StreamSource, "stream", SOURCE),
    (SparseSource, "occupied", SOURCE),
    (CostlySource, "read_cost", SOURCE),
    (BeginningSink, "begin", SINK),
    (SparseSink, "omits", SINK),
    (CopyingSink, "copy_encoded", SINK),
]


@pytest.mark.parametrize(("protocol", "name", "members"), ALL, ids=lambda value: getattr(value, "__name__", None))
def test_an_ability_is_a_member_beside_those_that_each_must_have(protocol, name, members) -> None:
    plain = SimpleNamespace(**dict.fromkeys(members, 1))
    able = SimpleNamespace(**dict.fromkeys(members, 1), **{name: 3})
    ask = getattr(abilities, f"{name}_of")
    assert not isinstance(plain, protocol)
    assert isinstance(able, protocol)
    assert not isinstance(SimpleNamespace(**{name: 3}), protocol)
    assert ask(able) == 3
    assert ask(plain) == (1.0 if name == "read_cost" else None)


@pytest.mark.parametrize(("protocol", "name", "members"), ALL, ids=lambda value: getattr(value, "__name__", None))
def test_a_member_that_is_none_is_as_good_as_none(protocol, name, members) -> None:
    class Wrapper:
        pass

    for member in (*members, name):
        setattr(Wrapper, member, property(lambda self, member=member: None if member == name else 1))
    ask = getattr(abilities, f"{name}_of")
    assert ask(Wrapper()) == (1.0 if name == "read_cost" else None)
