"""Commands that are proposed after a job."""

import sys

import pytest

from autox_video.jobs.next_steps import say_next_steps
from autox_video.run import command
from tests.planning.test_plan import plan_for


@pytest.fixture
def words(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["autox-video"])
    monkeypatch.setattr(command, "_words", ["train", "clips", "time_budget=60"])


@pytest.mark.parametrize(
    ("keys", "longer"),
    [
        ({"epoch": 3}, "autox-video train clips time_budget=60 epoch=6"),
        ({"time_budget": 60}, "autox-video train clips time_budget=120s"),
    ],
)
def test_every_step_is_a_command(words, capsys, keys, longer):
    say_next_steps("test", "clips", "longer", plan=plan_for(**keys))
    lines = [line.partition(": ")[2].strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "autox-video test clips time_budget=60",
        "autox-video test clips time_budget=60 ann_file_test=LIST",
        longer,
    ]


def test_a_library_proposes_nothing(monkeypatch, capsys):
    monkeypatch.setattr(command, "_words", None)
    say_next_steps("test")
    assert capsys.readouterr().out == ""
