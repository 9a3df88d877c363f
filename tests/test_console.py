"""What the user sees."""

from autox_video.console import complain, printable, progress, say, table


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


def test_a_cell_of_several_lines(capsys):
    table("Found", ("what",), [(["one\ntwo", "three"],)])
    lines = [line.strip(" │|") for line in capsys.readouterr().out.splitlines()]
    assert lines.index("three") == lines.index("one\\ntwo") + 1
