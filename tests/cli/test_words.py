"""What the words of a command mean, and how options of other tools are written here."""

import pytest

from autox_video.cli.main import main
from autox_video.cli.words import read_words
from autox_video.core.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "config", "overrides"),
    [
        ("", "config.yaml", []),
        ("my.yaml", "my.yaml", []),
        ("epoch=3", "config.yaml", ["epoch=3"]),
        ("my.yaml epoch=3 lr=1", "my.yaml", ["epoch=3", "lr=1"]),
        ("epoch=3 my.yaml", "my.yaml", ["epoch=3"]),
        ("epoch= lr=1", "config.yaml", ["epoch=", "lr=1"]),
        ("data_root=s3://a/b", "config.yaml", ["data_root=s3://a/b"]),
    ],
)
def test_a_config_and_overrides(words, config, overrides):
    assert read_words(words.split()) == (config, overrides)


def test_a_config_may_have_the_sign_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beta=0.1.yaml").touch()
    assert read_words(["beta=0.1.yaml", "lr=1"]) == ("beta=0.1.yaml", ["lr=1"])


def problems(words):
    with pytest.raises(ConfigError) as caught:
        read_words(words.split())
    return caught.value.problems


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("--work-dir out", "work_dir=out"),
        ("--work_dir=out", "work_dir=out"),
        ("--epoch 2", "epoch=2"),
        ("--epochs=2", "epoch=2"),
        ("-e 2", "epoch=2"),
        ("--cfg-options epoch=2", "key=value: epoch=2"),
        ("--config my.yaml", "without an option: my.yaml"),
        ("-c my.yaml", "without an option: my.yaml"),
        ("config=my.yaml", "without an option: my.yaml"),
        ("--resume", "is resumed by the same command"),
        ("--resume-from w/latest.pth", "is resumed by the same command"),
        ("--amp", "precision=bfloat16"),
        ("--launcher pytorch", "gpus=N"),
        ("--seed 0", "seed=0"),
        ("--gpu-ids 0", "device=cuda:N"),
        ("--data my/clips", "data_root=my/clips"),
        ("--batch-size 8", "videos_per_gpu=8"),
        ("--lr", "lr=VALUE"),
        ("--unheard-of 3", "key=value, as in epoch=10"),
        ("epoch 10", "epoch=10"),
        ("epoch= 10", "epoch=10"),
        ("epoch =10", "epoch=10"),
        ("epoch = 10", "epoch=10"),
        ("epoch:10", "epoch=10"),
        ("epoch: 10", "epoch=10"),
        ("work-dir out", "work_dir=out"),
        ("a.yaml b.yaml", "`b.yaml` is not key=value"),
        ("--fresh=yes", "--fresh takes no value"),
    ],
)
def test_each_is_told_as_it_is_written_here(words, written):
    (problem,) = problems(words)
    assert problem.startswith(f"command line: `{words.split()[0]}") or "b.yaml" in problem
    assert written in problem


def test_all_are_told_at_once():
    found = problems("my.yaml --work-dir out --epoch 2 lr = 1")
    assert [problem.rpartition(" ")[2] for problem in found] == ["work_dir=out", "epoch=2", "lr=1"]


@pytest.mark.parametrize("command", ["train", "test", "check", "leaderboard"])
def test_the_commands_end_with_2(command, capsys):
    assert main([command, "my.yaml", "--work-dir", "out"]) == 2
    assert capsys.readouterr().err == (
        "command line: `--work-dir out` is not an option; options are written key=value: "
        "work_dir=out\n"
    )


def test_an_option_of_training_is_none_of_testing(capsys):
    assert main(["test", "--fresh", "my.yaml"]) == 2
    assert "--fresh is an option of the command train alone" in capsys.readouterr().err
