"""Rows of models that were tried: none lost, none twice."""

import csv
from dataclasses import replace

import pytest

from autox_video.automl import leaderboard
from autox_video.automl.leaderboard import Row, best_first, open_row, put_row, read_rows
from autox_video.core.errors import ResourceError
from autox_video.training.interrupt import Stopped

ROW = Row("a", "probe", "swin_nano", 8, 112, {"lr": 0.1}, 0.5, 0.4, 0.6, "validation", 2.0)


def test_rows_come_back_as_they_were(tmp_path):
    odd = replace(ROW, id='two, "words"', config={"name": "ä\n,"}, score=None, low=None, high=None)
    put_row(tmp_path, ROW)
    put_row(tmp_path, odd)
    assert read_rows(tmp_path) == [ROW, odd]
    with open(tmp_path / "leaderboard.csv", newline="") as file:
        assert [cells[0] for cells in csv.reader(file)] == ["id", "a", 'two, "words"']


def test_the_same_id_takes_the_place(tmp_path):
    other = replace(ROW, id="b")
    for row in (ROW, other, replace(ROW, score=0.9)):
        put_row(tmp_path, row)
    assert read_rows(tmp_path) == [replace(ROW, score=0.9), other]


def test_no_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path) == []


@pytest.mark.parametrize(
    "harm", ["x,y\n", "b,probe,swin_nano,8,112,{},nan,,,,1.0,done\n", "b,pro", '"\0\n']
)
def test_what_is_no_row_is_kept_aside_and_said(tmp_path, harm, capsys):
    put_row(tmp_path, ROW)
    path = tmp_path / "leaderboard.csv"
    path.write_text(path.read_text() + harm)
    damaged = path.read_bytes()
    assert read_rows(tmp_path) == [ROW]
    put_row(tmp_path, replace(ROW, id="c"))
    assert [row.id for row in read_rows(tmp_path)] == ["a", "c"]
    assert (tmp_path / "leaderboard.csv.damaged").read_bytes() == damaged
    assert "1 damaged line" in capsys.readouterr().err


def test_the_best_come_first(tmp_path):
    rows = [replace(ROW, id=str(s), score=s) for s in (0.2, None, 0.9)]
    dear = replace(rows[2], id="dear", cost_sec=9.0)
    assert [row.id for row in best_first([dear, *rows])] == ["0.9", "dear", "0.2", "None"]


def test_a_row_is_running_and_then_done(tmp_path):
    with open_row(tmp_path, replace(ROW, score=None, cost_sec=0.0)) as under_way:
        assert read_rows(tmp_path)[0].state == "running"
        under_way.note(score=0.7)
    found = read_rows(tmp_path)[0]
    assert (found.state, found.score) == ("done", 0.7) and 0 <= found.cost_sec < 5


def test_a_row_that_is_stopped_goes_on_with_its_cost(tmp_path):
    with pytest.raises(Stopped), open_row(tmp_path, ROW):
        raise Stopped(15)
    stopped = read_rows(tmp_path)[0]
    assert stopped.state == "stopped"
    put_row(tmp_path, replace(stopped, cost_sec=100.0))
    with pytest.raises(ValueError, match="x"), open_row(tmp_path, ROW):
        raise ValueError("x")
    assert read_rows(tmp_path)[0].state == "failed"
    with open_row(tmp_path, ROW):
        pass
    found = read_rows(tmp_path)
    assert len(found) == 1 and found[0].state == "done" and found[0].cost_sec >= 100


def test_what_was_done_stays_unless_it_is_scored_anew(tmp_path):
    put_row(tmp_path, ROW)
    before = (tmp_path / "leaderboard.csv").read_bytes()
    for score in (None, ROW.score):
        with open_row(tmp_path, replace(ROW, score=score)):
            pass
        assert (tmp_path / "leaderboard.csv").read_bytes() == before
    with open_row(tmp_path, replace(ROW, score=0.8)):
        pass
    found = read_rows(tmp_path)[0]
    assert found.score == 0.8 and found.cost_sec >= ROW.cost_sec


def test_a_row_goes_on_where_its_row_cannot_be_written(tmp_path, monkeypatch, capsys):
    def refuse(path, text):
        raise ResourceError(f"{path}: cannot be written (No space left on device).")

    monkeypatch.setattr(leaderboard, "write_text", refuse)
    with open_row(tmp_path, ROW) as under_way:
        under_way.note(score=0.1)
    assert "continues without that row" in capsys.readouterr().err


def test_a_row_of_something_else_counts_for_nothing(tmp_path):
    put_row(tmp_path, replace(ROW, cost_sec=100.0))
    with open_row(tmp_path, ROW, anew=True):
        assert read_rows(tmp_path)[0].state == "running"
    assert read_rows(tmp_path)[0].cost_sec < 5
