"""The help, the version, and commands that do not exist."""

import subprocess
import sys

import pytest

import autox_video
from autox_video.cli.main import main
from autox_video.cli.parser import COMMANDS, make_parser, parse
from autox_video.config.settings import BASIC_KEYS, KEY_HELP
from autox_video.core.errors import ConfigError
from tests.datasets import REPOSITORY


def help_of(command, monkeypatch):
    """What `--help` of a command prints on a terminal of 80 columns; "" for the whole one."""
    monkeypatch.setenv("COLUMNS", "80")
    parser = make_parser(keys_of=command)
    if not command:
        return parser.format_help()
    (commands,) = (action for action in parser._actions if action.choices)
    return commands.choices[command].format_help()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_fits_into_80_columns(command, monkeypatch):
    text = help_of(command, monkeypatch)
    assert max(map(len, text.splitlines())) <= 80
    assert "usage: autox-video" in text


def test_the_help_of_train_explains_every_key_the_basic_ones_first(monkeypatch):
    basic, _, advanced = help_of("train", monkeypatch).partition("advanced keys:")
    assert all(f"\n  {key} " in basic for key in BASIC_KEYS)
    assert all(f"\n  {key} " in advanced for key in KEY_HELP if key not in BASIC_KEYS)
    assert "--from-plan RECORD" in basic


def test_the_help_of_other_commands_explains_the_basic_keys(monkeypatch):
    text = help_of("test", monkeypatch)
    assert "\n  work_dir " in text and "\n  lr " not in text
    assert "autox-video train --help" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian x", "there is no command `trian`; did you mean `train`?"),
        ("zzz", "there is no command `zzz`; the commands are train, test, "),
        ("tests", "to train: autox-video train tests"),
        ("s3://a/b", "to train: autox-video train s3://a/b"),
        ("epoch=3", "to train: autox-video train epoch=3"),
        ("--fresh train clips", "`--fresh`: give a command first"),
        ("cache", "autox-video cache: the following arguments are required: show|clear"),
        ("cache empty", "autox-video cache: argument show|clear: invalid choice: 'empty'"),
        ("doctor now", "unrecognized arguments: now"),
        ("init", "the following arguments are required: CLIPS_FOLDER"),
    ],
)
def test_what_is_no_command_gets_a_sentence(words, said, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(ConfigError) as caught:
        parse(words.split())
    (problem,) = caught.value.problems
    assert said in problem


def test_the_version_names_what_it_stands_on(capsys):
    assert main(["--version"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"autox-video {autox_video.__version__}, torch ")
    assert ", mmaction2 1.2.0" in line


def test_no_words_show_the_help_and_end_with_2(capsys):
    assert main([]) == 2
    assert "autox-video train my/clips" in capsys.readouterr().out


def test_the_module_is_the_command(tmp_path):
    words = [sys.executable, "-m", "autox_video", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("autox-video ")
