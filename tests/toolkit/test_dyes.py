"""The colours of dyes: what the makers of dyes and microscopes call channels."""

import re

import pytest

from wkconvert_core.toolkit.dyes import CHANNEL_WORD, dye_color, view_colors

BLUE, CYAN, GREEN, YELLOW = (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0)
ORANGE, RED, MAGENTA, WHITE = (255, 128, 0), (255, 0, 0), (255, 0, 255), (255, 255, 255)


@pytest.mark.parametrize(
    ("name", "color"),
    [
        ("DAPI", BLUE),
        ("Hoechst 33342", BLUE),
        ("CFP", CYAN),
        ("EGFP", GREEN),
        ("Alexa Fluor 488", GREEN),
        ("AF488", GREEN),
        ("FITC_wide", GREEN),
        ("mCitrine", YELLOW),
        ("Cy3", ORANGE),
        ("mCherry", RED),
        ("tdTomato", RED),
        ("Texas Red", RED),
        ("AlexaFluor-594", RED),
        ("Cy5", MAGENTA),
        ("Alexa 647", MAGENTA),
        ("far-red", MAGENTA),
        ("Brightfield", WHITE),
        ("phase contrast", WHITE),
        ("anti-GFP (488 nm)", GREEN),
    ],
)
def test_known_dyes_have_their_colour(name, color):
    assert dye_color(name) == color


@pytest.mark.parametrize("name", ["", "channel 1", "credit", "shredded", "Cy50", "dapizone", "myprotein", "bluefin"])
def test_other_names_have_none(name):
    assert dye_color(name) is None


def test_no_two_channels_are_given_one_colour_while_others_are_free():
    assert view_colors(["GFP", "FITC", "x", "y"]) == [GREEN, RED, BLUE, CYAN]
    assert len(set(view_colors([""] * 7))) == 7
    assert len(view_colors([""] * 20)) == 20


@pytest.mark.parametrize(
    ("name", "word"),
    [("a_w1DAPI_s1", "DAPI"), ("Point1_ChannelGFP_Seq1", "GFP"), ("img_Cy5_000", "Cy5"), ("s_red", "red")],
)
def test_a_dye_is_found_where_it_stands_as_a_word(name, word):
    assert re.search(CHANNEL_WORD, name)[0] == word


def test_a_dye_within_a_word_is_none():
    assert not re.search(CHANNEL_WORD, "scattered_reddish_hundred_0001")
