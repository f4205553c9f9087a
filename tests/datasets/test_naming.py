import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.datasets.naming import dataset_name, layer_name, suggest

LEGAL = re.compile(r"\A[A-Za-z0-9_$@-][A-Za-z0-9_$@.-]*\Z")


@pytest.mark.parametrize("name", ["color", "segmentation", "a", "0", "$x@y-z_1.tif", "-dash", "v1.2", "A" * 200])
def test_legal_layer_names_pass_unchanged(name: str) -> None:
    assert layer_name(name) == name


@pytest.mark.parametrize(
    ("name", "culprit"),
    [
        ("", "empty"),
        ("color\n", r"'\\n'"),
        ("\ncolor", r"'\\n'"),
        ("../x", r"'\.\.'"),
        ("..", r"'\.\.'"),
        ("a..b", r"'\.\.'"),
        (".hidden", "dot"),
        (".wkconvert", "dot"),
        ("a/b", "'/'"),
        ("a\\b", r"'\\\\'"),
        ("Alexa 488", "a space"),
        ("µm", "'µ'"),
        ("colo\u0301r", "'\u0301'"),
        ("a\0b", r"\\x00"),
        ("x" * 201, "201"),
        ("datasource-properties.json", "metadata"),
        ("٣", "'٣'"),
    ],
)
def test_an_illegal_layer_name_is_refused_with_the_culprit_and_a_legal_name(name: str, culprit: str) -> None:
    with pytest.raises(OptionError) as caught:
        layer_name(name)
    assert re.search(culprit, caught.value.why)
    offered = re.search(r"take for example '([^']+)'", caught.value.fix)
    assert offered
    assert layer_name(offered[1])


@given(st.text(max_size=30))
@example("color\n")
@example("a..b")
def test_a_layer_name_is_taken_exactly_when_the_format_allows_it(text: str) -> None:
    legal = bool(LEGAL.search(text)) and ".." not in text
    try:
        assert layer_name(text) == text
        assert legal
    except OptionError:
        assert not legal


@given(st.text())
@example("." * 300)
@example("a" * 199 + ". b")
@example("datasource-properties.json")
def test_whatever_is_suggested_is_legal(text: str) -> None:
    assert layer_name(suggest(text)) == suggest(text)


@given(st.from_regex(r"[A-Za-z0-9_$@-][A-Za-z0-9_$@-]{0,20}", fullmatch=True))
def test_a_legal_name_is_suggested_as_it_is(text: str) -> None:
    assert suggest(text) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Alexa 488", "Alexa_488"),
        ("DAPI/nuclei (raw)", "DAPI_nuclei_raw"),
        ("Färbung é", "Farbung_e"),
        ("../../etc", "etc"),
        ("", "layer"),
        ("日本", "layer"),
        ("a....b", "a.b"),
    ],
)
def test_suggested_names_stay_readable(text: str, name: str) -> None:
    assert suggest(text) == name


@pytest.mark.parametrize("name", ["l4_sample", "Mouse brain, 2nd try (é)", "日本", "v1..2"])
def test_a_dataset_may_have_any_name_on_one_line(name: str) -> None:
    assert dataset_name(name) == name


@pytest.mark.parametrize("name", ["", "  ", "..", ".", "a/b", "a\\b", "a\nb", "a\0b", "bad\udcff", "x" * 201])
def test_a_dataset_name_that_is_a_path_or_not_text_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="no name for a dataset"):
        dataset_name(name)
