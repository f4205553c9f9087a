"""The cache in which each process keeps what it knows of files."""

from functools import partial

from wkconvert_images.cache import Cache


def test_values_are_made_once_until_they_weigh_too_much():
    made = []

    def make(value):
        made.append(value)
        return value

    cache = Cache(10, weigh=len)
    for value in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa"):
        assert cache.get(value, partial(make, value)) == value
    assert made == ["aaaa", "bbbb", "cccc"], "the one used longest ago made way"
    cache.get("bbbb", lambda: make("bbbb"))
    assert made[-1] == "bbbb"


def test_one_value_heavier_than_the_limit_is_kept_alone():
    cache = Cache(3, weigh=len)
    assert cache.get(1, lambda: "heavier") == "heavier"
    assert cache.get(1, lambda: "again") == "heavier"
    assert cache.get(2, lambda: "x") == "x"
    assert cache.get(1, lambda: "again") == "again"
