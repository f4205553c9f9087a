"""What a terminal of 60 or 80 columns shows: bars, wrapped lines, tables, boxes, names with control characters."""

import io
import re
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.conversions import SETTINGS, em
from rich.console import Console

from wkconvert_core.cli.reporting import progress_bar
from wkconvert_core.cli.reporting.output import print_lines, print_notes, print_table
from wkconvert_core.cli.reporting.progress_bar import shown
from wkconvert_core.cli.reporting.reports import show_error, show_layers, show_plugins
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.errors import BrokenSource
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.prepare import prepare_conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.engine.progress import Meter
from wkconvert_core.registry.plugins import plugins

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
WORDS = "a sentence of several words, each of which has to stay in one piece wherever the line ends"
PATH = "/data/projects/2024/zebrafish/stacks/aligned/fine/em_volume_of_the_whole_brain/slice_00001.tif"


class Screen:
    """A terminal of a width; `lines` are those printed, without colours."""

    def __init__(self, width, *, is_terminal=True):
        self.console = Console(file=io.StringIO(), width=width, force_terminal=is_terminal, color_system="standard")

    @property
    def lines(self):
        return SEQUENCE.sub("", self.console.file.getvalue()).splitlines()


@pytest.fixture(params=[60, 80])
def screen(request):
    return Screen(request.param)


def test_wrapped_lines_are_indented_and_no_word_is_cut(screen):
    print_lines(screen.console, WORDS, f"  {WORDS}")
    assert max(map(len, screen.lines)) <= screen.console.width
    assert " ".join(line.strip() for line in screen.lines) == f"{WORDS} {WORDS}"
    first, second, third, fourth = screen.lines
    assert [len(line) - len(line.lstrip()) for line in (first, second, third, fourth)] == [0, 2, 2, 4]


def test_a_path_stays_in_one_piece(screen):
    print_lines(screen.console, f"no reader knows what {PATH} is")
    assert PATH in "".join(screen.lines)
    assert any(PATH in line for line in screen.lines)


def test_nothing_is_wrapped_where_there_is_no_terminal():
    screen = Screen(60, is_terminal=False)
    print_lines(screen.console, WORDS * 3)
    assert screen.lines == [WORDS * 3]


def test_a_table_that_is_too_wide_becomes_paragraphs():
    titles, rows = ("mag", "shape", "on disk"), [("1", "1024 x 1024 x 300", "317MiB"), ("2-2-1", "512 x 512", "79MiB")]
    wide, narrow = Screen(80), Screen(24)
    print_table(wide.console, titles, rows)
    assert wide.lines == [
        "mag   shape             on disk",
        "1     1024 x 1024 x 300 317MiB",
        "2-2-1 512 x 512         79MiB",
    ]
    print_table(narrow.console, titles, rows)
    assert narrow.lines[:2] == ["1: shape 1024 x 1024 x", "  300, on disk 317MiB"]


def test_an_error_is_a_box_whose_lines_hang(screen):
    show_error(BrokenSource("it is damaged", why=WORDS, fix=WORDS), screen.console)
    inside = [line.strip("│╭╮╰╯─ ") for line in screen.lines[1:-1]]
    assert " ".join(inside) == f"it is damaged why: {WORDS} fix: {WORDS}"
    hanging = [line for line in screen.lines[1:-1] if not line.startswith(("│ it is", "│ why:", "│ fix:"))]
    assert hanging
    assert all(line.startswith("│      ") for line in hanging)


@pytest.mark.parametrize("odd", ["\x1b[2J", "\x9b31m", "\r", "\n", "\x07", "\u202e", "\x7f", "\x00", "\t", "\u2028"])
def test_control_characters_are_escaped_wherever_a_name_is_printed(odd, tmp_path, reader):
    screen, name = Screen(200), f"a{odd}b"
    print_lines(screen.console, name)
    print_table(screen.console, ("name", "size"), [(name, name)])
    print_notes([name, WarningNote(name)], screen.console)
    show_error(BrokenSource(name, why=name, fix=name), screen.console)
    with shown(screen.console) as listen:
        Meter(listen, name, (1, 2), 10, 1).advance(10)
    with shown(Screen(80, is_terminal=False).console) as listen:
        Meter(listen, name, (1, 1), 10, 1).advance(10)
    printed = SEQUENCE.sub("", screen.console.file.getvalue().replace("\r", "") if odd != "\r" else "")
    assert odd not in printed.replace("\n", "") or odd == "\n"
    assert odd == "\r" or f"a{odd.encode('unicode_escape').decode()}b" in printed


def events(titles, screen, *, voxels=100, already=()):
    """What a terminal shows after steps of these titles."""
    with shown(screen.console) as listen:
        for number, title in enumerate(titles, 1):
            done = voxels if number in already else 0
            meter = Meter(listen, title, (number, len(titles)), voxels, 1, done=done)
            if not done:
                meter.advance(voxels)
    return screen.lines


def test_one_bar_over_all_steps_and_one_for_each(screen):
    lines = events(["em mag 1", "em mag 2-2-1"], screen)[-3:]
    assert [line.split("━")[0].strip() for line in lines] == ["all 2 steps", "1/2 em mag 1", "2/2 em mag 2-2-1"]
    assert all("100%" in line for line in lines)
    assert all(line.count("━") >= 10 for line in lines), "a bar that shows something"


def test_of_many_steps_only_the_current_one_is_shown(screen):
    lines = events([f"layer_{n} mag 1" for n in range(30)], screen)
    assert lines[-2].startswith("all 30 steps")
    assert lines[-1].startswith("30/30 layer_29 mag 1")
    assert "29/30" not in "".join(lines[-3:])


def test_what_was_there_already_has_no_speed(screen):
    assert "there already" in events(["em mag 1"], screen, already=(1,))[-1]
    plain = Screen(80, is_terminal=False)
    assert events(["em mag 1"], plain, already=(1,)) == ["1/1 em mag 1: 100%, there already"]


def test_the_time_that_is_left_is_told_for_the_step_and_in_all(monkeypatch):
    screen, now = Screen(80, is_terminal=False), [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    with shown(screen.console) as listen:
        meter = Meter(listen, "em mag 1", (1, 2), 100_000_000, 2, share=(0, 0.8))
        now[0] = 20.0
        meter.advance(50_000_000)
        now[0] = 40.0
        meter.advance(50_000_000)
        meter = Meter(listen, "em mag 2", (2, 2), 100, 1, share=(0.8, 1))
        now[0] = 50.0
        meter.advance(50)
    assert screen.lines == [
        "1/2 em mag 1: 50%, 5 MB/s 2.5 Mvx/s, 0:20 left, 0:30 left in all",
        "1/2 em mag 1: 100%, 5 MB/s 2.5 Mvx/s, 0:10 left in all",
        "2/2 em mag 2: 50%, 0:10 left, 0:06 left in all",
    ]


def test_steps_are_counted_on_through_verifying(tmp_path, reader):
    heard = []
    reader(tmp_path / "src", em())
    settings = Settings(SETTINGS.voxel_size, verify=True, file_len=1)
    convert(tmp_path / "src", tmp_path / "ds", settings, listen=heard.append)
    verify(tmp_path / "ds", listen=heard.append)
    inspects = [now for now in heard if "reading" in now.step or " of mag " in now.step]
    for run in ([now for now in heard if now not in inspects], inspects):
        assert sorted({now.number for now in run}) == list(range(1, run[0].steps + 1))
        shares = [now.done for now in run]
        assert all(later - sooner > -1e-9 for sooner, later in pairwise(shares))
        assert shares[-1] == pytest.approx(1)


@pytest.mark.parametrize(("count", "told"), [(12, "and 7 layers more: 7 color"), (6, "and 1 layer more: 1 color")])
def test_many_layers_are_summed_up(tmp_path, reader, screen, count, told):
    for number in range(count):
        reader(tmp_path / "src" / f"em{number:02}", np.zeros((1, 8, 8, 8), "uint8"))
    show_layers(prepare_conversion(tmp_path / "src", tmp_path / "ds", SETTINGS), screen.console)
    assert f"{told}; `wkconvert info` lists all" in screen.lines
    assert len([line for line in screen.lines if line.startswith("em")]) == 5


def test_plugins_of_a_narrow_terminal_are_no_headings(screen):
    show_plugins(plugins(), screen.console)
    names = {"built in", *(f"{each.name} ({each.distribution} {each.version})" for each in plugins().loaded)}
    heads = [line for line in screen.lines if not line.startswith(" ")]
    lists = ("interpolation modes", "--to takes", "export --to takes", "no readers")
    assert {line for line in heads if not line.startswith(lists)} <= names


def test_a_notebook_shows_one_bar_and_keeps_its_last_state(monkeypatch):
    """What is sent to the notebook is what IPython's `display` and the handle that it gives are called with."""
    sent, now = [], [0.0]
    handle = SimpleNamespace(update=lambda state, raw: sent.append(("update", state)))
    display = SimpleNamespace(display=lambda state, raw, display_id: sent.append(("display", state)) or handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    with shown(Console(file=io.StringIO(), force_jupyter=True)) as listen:
        meter = Meter(listen, "<em> mag 1", (1, 2), 100, 1)
        for seconds in (0.1, 0.3, 0.4, 1):
            now[0] = seconds
            meter.advance(25)
        Meter(listen, "em mag 2", (2, 2), 100, 1).advance(100)
    assert [how for how, _ in sent] == ["display", "update", "update"]  # not more often than eyes can follow
    assert [re.search(r'value="(.*?)"', state["text/html"])[1] for _, state in sent] == ["0.250", "0.500", "1.000"]
    assert "&lt;em&gt; mag 1: 50%" in sent[0][1]["text/html"]
    assert sent[-1][1]["text/plain"].startswith("2/2 em mag 2: 100%")
