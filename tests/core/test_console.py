"""What the user sees."""

import subprocess
import sys
import time

import pytest

from autox_video.core import console
from autox_video.core.console import complain, printable, progress, say, still_at_it, table
from tests.datasets import REPOSITORY


def test_control_characters_cannot_steer_the_terminal():
    assert printable("a\x1b[31mb\rc\x07.mp4") == "a\\x1b[31mb\\rc\\x07.mp4"
    assert printable("naïve 視頻.mp4\nnext") == "naïve 視頻.mp4\\nnext"
    assert printable("a\u202eb\x85\u2028\x9b\udcff") == "a\\u202eb\\x85\\u2028\\x9b\\udcff"


def test_sentences_go_to_their_stream(capsys):
    say("done")
    complain("bad\x1b name")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("done\n", "bad\\x1b name\n")


def test_a_table_shows_cells_as_they_are(capsys):
    table("Plan", ("choice", "value"), [("lr", 0.001), ("clip", "[bold]x[/bold].mp4")])
    shown = capsys.readouterr().out
    assert "Plan" in shown
    assert "0.001" in shown
    assert "[bold]x[/bold].mp4" in shown


def test_progress_is_one_line_where_there_is_no_terminal(capsys):
    with progress("Opening", 3) as advance:
        advance(2)
        advance(3)
    assert capsys.readouterr().out == "Opening: 3 done.\n"


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
        wait_for(capsys, "Opening: 0 s so far.")
        advance(200)
        wait_for(capsys, "Opening: 200 of 300, 0 s so far.")


def test_nothing_is_added_to_what_others_say(capsys, monkeypatch, hurried):
    monkeypatch.undo()
    monkeypatch.setattr(console, "_LOOK_EVERY_SEC", 0.01)
    say("something")
    assert not console.is_quiet() and console.is_quiet(0.0)
    with still_at_it("Fitting"):
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


def test_a_cell_of_several_lines(capsys):
    table("Found", ("what",), [(["one\ntwo", "three"],)])
    lines = [line.strip(" │|") for line in capsys.readouterr().out.splitlines()]
    assert lines.index("three") == lines.index("one\\ntwo") + 1
