"""train.log: every line once, with its time."""

import logging
import re
import warnings

import pytest

from autox_video.core.console import complain, say, say_detail, showing, table
from autox_video.core.errors import ConfigError, ResourceError
from autox_video.core.run_log import log_file

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"


def test_every_line_is_in_the_file_with_its_time(tmp_path, capsys):
    path = tmp_path / "new" / "train.log"
    with showing(False), log_file(path):
        say("a line\nof a name")
        say_detail("a detail")
        complain("a warning")
        table("Plan", ("choice",), [("lr",)], detail=True)
    say("later")
    text = path.read_text()
    lines = re.findall(rf"^{TIME} (\w+) (.*)$", text, re.MULTILINE)
    assert lines[:3] == [
        ("INFO", "a line\\nof a name"),
        ("DEBUG", "a detail"),
        ("WARNING", "a warning"),
    ]
    assert "lr" in text and "later" not in text
    assert capsys.readouterr().err == "a warning\n"


def test_a_log_within_a_log_of_the_same_file_writes_once(tmp_path):
    path, other = tmp_path / "train.log", tmp_path / "trial.log"
    with log_file(path) as outer:
        with log_file(path) as inner:
            assert inner is outer
            say("once")
        with log_file(other) as inner:
            say("to the outer one")
            inner.handle(logging.LogRecord("mmengine", 20, "", 0, "of mmengine", (), None))
        say("still open")
    assert [line.partition(" INFO ")[2] for line in path.read_text().splitlines()] == [
        "once",
        "to the outer one",
        "still open",
    ]
    assert other.read_text().endswith("INFO of mmengine\n")


def test_warnings_of_python_go_there(tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with log_file(tmp_path / "train.log"):
            warnings.warn("of torch", stacklevel=1)
    assert "of torch" in (tmp_path / "train.log").read_text()
    assert capsys.readouterr().err == ""


def test_what_ends_a_run_is_there_too(tmp_path):
    with pytest.raises(ConfigError), log_file(tmp_path / "a.log"):
        raise ConfigError("epoch: too few.", "lr: too large.")
    assert (tmp_path / "a.log").read_text().endswith("ERROR epoch: too few. lr: too large.\n")
    with pytest.raises(KeyError), log_file(tmp_path / "b.log"):
        raise KeyError("defect")
    assert "Traceback" in (tmp_path / "b.log").read_text()


def test_a_file_that_cannot_be_opened_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="cannot be written"), log_file(tmp_path / "file" / "l"):
        pass
