"""Command lines that are proposed next."""

import sys

import pytest

from autox_video.run import command
from autox_video.run.command import other_command, remember_command


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(command, "_words", None)


@pytest.mark.parametrize(
    ("program", "words", "name", "added", "line"),
    [
        (
            "/repo/autotrain.py",
            ["train", "my.yaml", "from_plan=other", "epoch=3", "--fresh"],
            "test",
            [],
            "python autotest.py my.yaml epoch=3",
        ),
        ("autotest.py", ["test"], "train", ["epoch=6"], "python autotrain.py epoch=6"),
        (
            "autotrain.py",
            ["train", "a b.yaml"],
            "leaderboard",
            [],
            "python -m autox_video leaderboard 'a b.yaml'",
        ),
        (
            "/bin/autox-video",
            ["train", "clips", "epoch=3"],
            "train",
            ["epoch=6"],
            "autox-video train clips epoch=6",
        ),
        ("-c", ["train", "from_plan=w", "lr=1"], "test", [], "autox-video test from_plan=w lr=1"),
        ("-c", ["train", "c.yaml"], "test", [], "autox-video test c.yaml"),
    ],
)
def test_the_same_config_is_used(monkeypatch, program, words, name, added, line):
    monkeypatch.setattr(sys, "argv", [program])
    remember_command(words)
    assert other_command(name, *added) == line


def test_a_library_proposes_nothing():
    assert other_command("test") is None
