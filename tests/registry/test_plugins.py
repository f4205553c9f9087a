"""Loading plugins: whatever one of them does, the others and core's own go on, and `loaded` says what happened."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from wkconvert_core import Match
from wkconvert_core.contract import hookspecs
from wkconvert_core.registry.plugins import BUILT_IN, Plugins, plugins

SOUND = """
from wkconvert_core import Confidence, Match, hookimpl

FORMATS = {"NAME": "files of NAME"}

@hookimpl
def wkconvert_detect(head):
    return Match("NAME", Confidence.SUFFIX, "always")
"""


def giving(hook: str, result: str) -> str:
    """A sound plugin with one more hook."""
    return (
        f"{SOUND}\nfrom wkconvert_core.formats.wkw import Wkw\n@hookimpl\ndef wkconvert_{hook}():\n    return {result}"
    )


BROKEN = {
    "cannot be imported": ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
    "has a slip": ("def wkconvert_detect(:", "SyntaxError"),
    "ends the program": ("import sys\nsys.exit('bye')", "SystemExit: bye"),
    "raises": ("raise ValueError('of its own')", "ValueError: of its own"),
    "implements no such hook": (SOUND + "\n@hookimpl\ndef wkconvert_detetc(head): ...", "unknown hook"),
    "asks for no such argument": (SOUND.replace("(head)", "(beginning)"), "beginning"),
    "has FORMATS that are no mapping": (SOUND.replace('{"NAME": "files of NAME"}', '"NAME"'), "FORMATS"),
    "names no text in FORMATS": (SOUND.replace('"files of NAME"', "None"), "FORMATS"),
    "has a reader of core's": (SOUND.replace('"NAME": ', '"raw": '), "another plugin has a reader raw already"),
    "has a writer of core's": (SOUND + "\nWRITERS = {'wkw': 'its own'}", "another plugin has a writer wkw already"),
    "has kernels that raise": (giving("downsamplers", "1 / 0"), "ZeroDivisionError"),
    "has kernels that are none": (giving("downsamplers", "{'own': max}"), "wkconvert_downsamplers returns {'own'"),
    "has mag formats that raise": (giving("mag_formats", "1 / 0"), "ZeroDivisionError"),
    "has no list of mag formats": (giving("mag_formats", "None"), "wkconvert_mag_formats returns None"),
    "has mag formats that are none": (giving("mag_formats", "['npy']"), "returns ['npy']"),
    "has a mag format of core's": (giving("mag_formats", "[Wkw()]"), "a mag format wkw already"),
}


class Site:
    """A folder of modules on sys.path, and the entry points that name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def point(self, name: str, text: str, module: str | None = None) -> EntryPoint:
        module = module or f"plugin_{name}"
        (self.folder / f"{module}.py").write_text(text.replace("NAME", name))
        importlib.invalidate_caches()
        return EntryPoint(name, module, "wkconvert")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if name.startswith("plugin_"):
            del sys.modules[name]


def answers(loaded: Plugins) -> set[str]:
    matches: list[Match] = loaded.hook.wkconvert_detect(path=Path("x"), head=b"x", options={})
    return {match.format for match in matches}


@pytest.mark.parametrize("flaw", BROKEN)
def test_a_broken_plugin_is_reported_and_the_others_work(flaw: str, site: Site) -> None:
    text, reason = BROKEN[flaw]
    points = [site.point("before", SOUND), site.point("broken", text), site.point("after", SOUND)]
    loaded = Plugins(iter(points))
    assert [(one.name, bool(one.error)) for one in loaded.loaded] == [
        ("before", False),
        ("broken", True),
        ("after", False),
    ]
    assert reason in loaded.loaded[1].error
    assert "Traceback" in loaded.loaded[1].trace
    assert answers(loaded) == {"before", "after"}
    assert {"before", "after"} <= set(loaded.formats())


def test_of_two_plugins_of_one_name_the_first_stays(site: Site) -> None:
    points = [site.point("twin", SOUND), site.point("twin", SOUND.replace("always", "never"), "plugin_other")]
    loaded = Plugins(iter(points))
    assert [bool(one.error) for one in loaded.loaded] == [False, True]
    assert answers(loaded) == {"twin"}


@pytest.mark.parametrize(("attribute", "what"), [("WRITERS", "writer"), ("EXPORTS", "format to export")])
def test_no_plugin_takes_the_place_of_anothers_writer(site: Site, attribute: str, what: str) -> None:
    text = f"{SOUND}\n{attribute} = {{'slices': 'as NAME writes them'}}"
    loaded = Plugins(iter([site.point("one", text), site.point("two", text)]))
    assert [bool(one.error) for one in loaded.loaded] == [False, True]
    assert f"another plugin has a {what} slices already" in str(loaded.loaded[1].error)


def test_a_plugin_may_implement_one_hook_and_ask_for_fewer_arguments(site: Site) -> None:
    loaded = Plugins(iter([site.point("lean", SOUND)]))
    assert answers(loaded) == {"lean"}
    assert loaded.hook.wkconvert_open(format="lean", path=Path("x"), options={}) is None


def test_formats_tell_readers_by_name(site: Site) -> None:
    loaded = Plugins(iter([site.point("one", SOUND), site.point("two", SOUND)]))
    assert loaded.formats_of("one") == {"one": "files of one"}
    assert {"one": "files of one", "two": "files of two"}.items() <= loaded.formats().items()


def test_a_reader_and_a_mag_format_of_one_name_are_both_told(site: Site) -> None:
    text = giving("mag_formats", "[type('Own', (Wkw,), {'name': 'NAME', 'summary': 'cubes'})()]")
    loaded = Plugins(iter([site.point("both", text)]))
    assert loaded.loaded[0].formats == {"both": "files of both; cubes"}


def test_no_kernel_of_core_can_be_replaced_and_new_ones_are_added(site: Site) -> None:
    text = """
from wkconvert_core import Downsampler, hookimpl

@hookimpl
def wkconvert_downsamplers():
    return {name: Downsampler(name, lambda block, factor: block) for name in ("median", "NAME")}
"""
    plain, more = Plugins(iter([])), Plugins(iter([site.point("own", text)]))
    assert more.downsamplers().keys() - plain.downsamplers().keys() == {"own"}
    assert more.downsamplers()["median"] == plain.downsamplers()["median"]


def test_core_uses_the_same_hooks() -> None:
    loaded = Plugins(iter([]))
    assert loaded.loaded == []
    hooks = (loaded.hook.wkconvert_open, loaded.hook.wkconvert_mag_formats, loaded.hook.wkconvert_downsamplers)
    assert set(BUILT_IN) == {impl.plugin_name for hook in hooks for impl in hook.get_hookimpls()}


def test_installed_plugins_are_found_by_their_entry_points() -> None:
    pytest.importorskip("wkconvert_example")
    assert plugins() is plugins()
    assert {one.name: (one.distribution, one.error) for one in plugins().loaded}["example"] == (
        "wkconvert-example",
        None,
    )


def test_the_contract_has_five_hooks() -> None:
    hooks = sorted(name for name in vars(hookspecs) if name.startswith("wkconvert_"))
    names = ("create", "detect", "downsamplers", "mag_formats", "open")
    assert hooks == [f"wkconvert_{name}" for name in names]
    assert all(getattr(hookspecs, name).__doc__ for name in hooks)
