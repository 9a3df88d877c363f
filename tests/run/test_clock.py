"""The time of a run, over all of its starts."""

import json
import math
import time

import pytest

from autox_video.run import clock as budget
from autox_video.run.clock import (
    BudgetClock,
    command_begins,
    command_clock,
    counting,
    read_used_sec,
    running_clock,
)


@pytest.fixture(autouse=True)
def no_command(monkeypatch):
    """As in a process that runs no command of ours; other tests do."""
    monkeypatch.setattr(budget, "_began", None)


def test_what_is_used_and_left():
    clock = BudgetClock(100.0, before_sec=30.0, started=time.monotonic() - 5)
    assert clock.used_sec == pytest.approx(35, abs=0.5)
    assert clock.left_sec == pytest.approx(65, abs=0.5)
    assert BudgetClock(None).left_sec == math.inf


def test_time_counts_over_all_starts_and_not_between_them(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "BEAT_SEC", 0.02)
    with counting(tmp_path, 60.0):
        give_up = time.monotonic() + 10
        while (used_sec := read_used_sec(tmp_path)) <= 0.05 and time.monotonic() < give_up:
            time.sleep(0.01)
        assert 0.05 < used_sec < 10  # known before the block ends, if it never does
    first = read_used_sec(tmp_path)
    time.sleep(0.2)
    with counting(tmp_path, 60.0) as clock:
        assert clock.before_sec == first
        assert clock.used_sec < first + 0.2
    content = json.loads((tmp_path / "budget.json").read_text())
    assert content["budget_sec"] == 60.0
    assert content["used_sec"] >= first


def test_without_a_budget_nothing_is_written(tmp_path):
    with counting(tmp_path, None) as clock:
        assert clock.left_sec == math.inf
    assert list(tmp_path.iterdir()) == []


def test_what_the_command_did_before_counts(tmp_path):
    command_begins()
    time.sleep(0.1)
    assert command_clock(tmp_path, 9.0).used_sec >= 0.1
    with counting(tmp_path, 9.0) as clock:
        assert clock.used_sec >= 0.1
    with counting(tmp_path, None) as clock:
        assert clock.used_sec < 0.1  # another run of the same process


def test_the_clock_of_the_run_is_found(tmp_path):
    with counting(tmp_path, 60.0) as clock:
        assert running_clock(tmp_path, 60.0) is clock
    other = running_clock(tmp_path, 60.0)
    assert other is not clock
    assert other.before_sec == read_used_sec(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"used_sec": "x"}', '{"used_sec": NaN}'])
def test_a_damaged_file_counts_as_nothing(tmp_path, text):
    (tmp_path / "budget.json").write_text(text)
    assert read_used_sec(tmp_path) == 0.0
