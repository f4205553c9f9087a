"""The settings that a journal keeps, and the options of the writer among them."""

import pytest

from wkconvert_core.conversion.settings import Settings

PLAIN = Settings().plan()


@pytest.mark.parametrize(
    "options",
    [{"compression": "lz4hc"}, {"compression_level": 9}, {"file_len": 8}, {"to_options": {"chunk": "64"}}, {"to": "x"}],
)
def test_an_option_of_the_writer_makes_another_run(options):
    assert Settings(**options).plan() != PLAIN


def test_an_option_of_the_writer_is_the_same_however_it_is_given():
    given = {"compression": "lz4hc", "compression_level": "9", "file_len": "8"}
    short = Settings(compression="lz4hc", compression_level=9, file_len=8)
    assert short.writer_options == Settings(to_options=given).writer_options == given
    assert short.plan() == Settings(to_options=given).plan()
    assert Settings(compression="auto").plan() == PLAIN


@pytest.mark.parametrize(
    "options", [{"jobs": 3}, {"memory": 1}, {"strategy": "dask"}, {"scheduler": "x"}, {"force": True}, {"verify": True}]
)
def test_how_a_run_goes_makes_no_other_run(options):
    assert Settings(**options).plan() == PLAIN
