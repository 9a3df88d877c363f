"""What a person sees."""

import logging
import subprocess
import sys
import time

import pytest

from autox_video.core import console
from autox_video.core.console import (
    Activity,
    Detail,
    complain,
    printable,
    progress,
    say,
    say_detail,
    short_path,
    showing,
    table,
    warn_of,
    working_on,
)
from tests.datasets import REPOSITORY
from tests.terminal import lines_of, on_terminal


@pytest.fixture(autouse=True)
def no_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


def test_control_characters_cannot_steer_the_terminal():
    assert printable("a\x1b[31mb\rc\x07.mp4") == "a\\x1b[31mb\\rc\\x07.mp4"
    assert printable("naïve 視頻.mp4\nnext") == "naïve 視頻.mp4\\nnext"
    assert printable("a\u202eb\x85\u2028\x9b\udcff") == "a\\u202eb\\x85\\u2028\\x9b\\udcff"


def test_sentences_go_to_their_stream(capsys):
    say("done 100%s")
    complain("bad\x1b name")
    say_detail("why")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("done 100%s\n", "bad\\x1b name\n")


@pytest.mark.parametrize(
    ("verbose", "out"), [(True, "line\ndetail\n"), ("auto", "line\n"), (False, "")]
)
def test_verbose_decides_what_is_printed(capsys, verbose, out):
    with showing(verbose):
        say("line")
        say_detail("detail")
        complain("warning")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (out, "warning\n")
    say("as before")
    assert capsys.readouterr().out == "as before\n"


def test_handlers_of_a_user_get_everything():
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("autox_video").addHandler(handler)
    with showing(False):
        say("line")
        say_detail("detail")
    logging.getLogger("autox_video").removeHandler(handler)
    assert [r.getMessage() for r in records] == ["line", "detail"]


def test_lines_are_wrapped_at_words_where_there_is_a_width(capsys, monkeypatch):
    path = "/" + "long" * 10
    say(f"one two three {path}")
    monkeypatch.setenv("COLUMNS", "20")
    say(f"Clips  one two three four {path}", indent=7)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"one two three {path}"
    # A path stays whole, so that it can be copied.
    assert lines[1:] == ["Clips  one two three", "       four", f"       {path}"]


def test_warnings_of_one_kind_are_joined(capsys):
    alike = [f"Classes `{a}` and `{a}s` differ by {n} letter." for n, a in enumerate("abc")]
    warn_of([Detail("The clips are split."), *alike, "train.csv lists 3 clips again.", "Odd."])
    shown = capsys.readouterr()
    first, again, odd = shown.err.splitlines()
    assert first.startswith(f"{alike[0]} (and 2 more like this")
    assert (again, odd, shown.out) == ("train.csv lists 3 clips again.", "Odd.", "")


def test_many_kinds_of_warnings_are_counted(capsys):
    warn_of(f"{'very ' * n}odd" for n in range(8))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == console.MOST_WARNINGS + 1 and lines[-1].startswith("3 more warnings")


def test_paths_in_the_current_folder_are_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "work" / "best.pth") == "work/best.pth"
    assert short_path("/elsewhere/best.pth") == "/elsewhere/best.pth"


def test_a_table_shows_cells_as_they_are(capsys):
    table("Plan", ("choice", "value"), [("lr", 0.001), ("clip", "[bold]x[/bold].mp4")])
    shown = capsys.readouterr().out
    assert "Plan" in shown
    assert "0.001" in shown
    assert "[bold]x[/bold].mp4" in shown


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize(("columns", "width"), [("", 80), ("50", 50), ("100", 100)])
def test_a_table_is_as_wide_as_the_terminal_at_most(capsys, monkeypatch, lines, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    table("T" * 200, ("a", "b"), [("word " * 40, "x" * 90)], lines=lines)
    shown = capsys.readouterr().out.splitlines()
    assert width - 10 < max(map(len, shown)) <= width


def test_a_table_of_details_is_for_the_log(capsys):
    table("Plan", ("choice",), [("lr",)], detail=True)
    assert capsys.readouterr().out == ""
    with showing(True):
        table("Plan", ("choice",), [("lr",)], detail=True)
    assert "lr" in capsys.readouterr().out


def test_a_cell_of_several_lines(capsys):
    table("Found", ("what",), [(["one\ntwo", "three"],)])
    lines = [line.strip(" │|") for line in capsys.readouterr().out.splitlines()]
    assert lines.index("three") == lines.index("one\\ntwo") + 1


def test_a_short_job_says_nothing_without_a_terminal(capsys):
    with progress("Opening", 3) as advance:
        advance(2)
        advance(3)
    assert capsys.readouterr().out == ""


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(console, "SILENCE_SEC", 0.05)
    monkeypatch.setattr(console, "_LOOK_EVERY_SEC", 0.01)
    monkeypatch.setattr(console, "is_quiet", lambda: True)


def wait_for(capsys, line):
    end, shown = time.monotonic() + 5, ""
    while line not in shown:
        assert time.monotonic() < end, shown
        time.sleep(0.01)
        shown += capsys.readouterr().out


def test_where_there_is_no_terminal_lines_come_now_and_then(capsys, hurried):
    with progress("Opening", 300) as advance:
        wait_for(capsys, "Opening, 0 s so far")
        advance(200)
        wait_for(capsys, "Opening: 200 of 300, 0 s so far")
        advance(201.5)
        wait_for(capsys, "Opening: 67.2%, 0 s so far")
    with working_on("Fitting") as far:
        far("3 heads")
        wait_for(capsys, "Fitting: 3 heads, 0 s so far")
    with showing(False), working_on("Fitting"):
        time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_nothing_is_added_to_what_others_say(capsys, monkeypatch, hurried):
    monkeypatch.undo()
    monkeypatch.setattr(console, "_LOOK_EVERY_SEC", 0.01)
    say("something")
    assert not console.is_quiet() and console.is_quiet(0.0)
    with working_on("Fitting"):
        time.sleep(0.1)
    assert capsys.readouterr().out == "something\n"


READER_LEFT = """
import sys, time
from autox_video.core.console import complain, say, table
sys.stdin.readline()
for number in range(3):
    say(f"line {number}")
    table("Plan", ("choice",), [("lr",)])
complain("done")
"""


def test_a_reader_that_has_left_ends_nothing():
    process = subprocess.Popen(
        [sys.executable, "-c", READER_LEFT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    process.stdout.close()
    process.stdin.write("go\n")
    process.stdin.flush()
    assert (process.stderr.read(), process.wait(20)) == ("done\n", 0)


ON_TERMINAL = """
from autox_video.core.console import Activity, complain, progress, say
with progress("Inspecting " + "clips " * 20, 640) as show:
    show(320)
    say("a line " * 15)
    complain("a warning")
    Activity("another").close()
say("done")
"""


def test_a_terminal_has_one_live_line_that_goes():
    code, text = on_terminal([sys.executable, "-c", ON_TERMINAL], cwd=REPOSITORY)
    assert code == 0, text
    assert "Inspecting clips" in text and "320 of 640" not in text.splitlines()[-1]
    shown = lines_of(text)
    assert shown[-1] == "done" and "a warning" in shown
    assert all(len(line) <= 80 for line in shown)


def test_an_activity_ends_once(capsys):
    activity = Activity("Training", 3)
    activity.show("Training: 2", 2)
    activity.close()
    activity.close()
    assert capsys.readouterr().out == ""
