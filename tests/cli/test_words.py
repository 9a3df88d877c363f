"""What the words of a command mean, and how options of other tools are written here."""

import pytest

from autox_video.cli.main import main
from autox_video.cli.words import DEMO_CONFIG, from_plan_as_key, read_words
from autox_video.config.load import load_settings
from autox_video.core.errors import ConfigError
from tests.datasets import REPOSITORY


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with a config of the user, a folder of clips and a list."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("data_root: mine\n")
    (tmp_path / "clips" / "red").mkdir(parents=True)
    (tmp_path / "a=b").mkdir()
    (tmp_path / "train.csv").write_text("path,label\n")
    return tmp_path


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
        ("clips", {"data_root": "clips"}, []),
        ("clips/ epoch=3", {"data_root": "clips/"}, ["epoch=3"]),
        (". epoch=3", {"data_root": "."}, ["epoch=3"]),
        ("a=b lr=1", {"data_root": "a=b"}, ["lr=1"]),
        ("s3://bucket/clips lr=1", {"data_root": "s3://bucket/clips"}, ["lr=1"]),
        ("demo epoch=1", DEMO_CONFIG, ["epoch=1"]),
        ("from_plan=w", {}, ["from_plan=w"]),
        ("from_plan=w data_root=clips", "config.yaml", ["from_plan=w", "data_root=clips"]),
    ],
)
def test_a_config_and_overrides(words, config, overrides):
    assert read_words(words.split()) == (config, overrides)


def test_a_config_may_have_the_sign_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beta=0.1.yaml").touch()
    assert read_words(["beta=0.1.yaml", "lr=1"]) == ("beta=0.1.yaml", ["lr=1"])


def test_a_folder_called_demo_is_a_folder(folder):
    (folder / "demo").mkdir()
    assert read_words(["demo"]) == ({"data_root": "demo"}, [])


def test_the_built_in_demo_is_that_of_the_source_tree():
    assert load_settings(DEMO_CONFIG) == load_settings(REPOSITORY / "config.yaml")


def test_the_config_of_the_demo_does_not_count_for_other_clips(folder, capsys):
    (folder / "config.yaml").write_text((REPOSITORY / "config.yaml").read_text())
    assert read_words(["data_root=clips", "epoch=3"]) == ({}, ["data_root=clips", "epoch=3"])
    assert "config.yaml is the demo's config and is not used" in capsys.readouterr().out
    assert read_words(["clips"]) == ({"data_root": "clips"}, [])
    assert read_words(["epoch=3"]) == ("config.yaml", ["epoch=3"])
    assert capsys.readouterr().out == ""


def test_without_a_config_the_clips_must_be_named(folder):
    (folder / "config.yaml").unlink()
    assert read_words(["data_root=clips"]) == ({}, ["data_root=clips"])
    (problem,) = problems("epoch=3")
    assert "config.yaml" in problem and "autox-video train demo" in problem


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("clips data_root=other", "both clips and data_root name the clips"),
        ("clips a.yaml", "`a.yaml`: only one config or folder"),
        ("nowhere", "there is no file or folder nowhere"),
        ("red.mp4", "red.mp4 is a video"),
        ("work", "work is the work dir of a run"),
    ],
)
def test_what_cannot_be_trained_on_is_said(folder, words, said):
    (folder / "work").mkdir()
    (folder / "work" / "record.json").touch()
    (problem,) = problems(words)
    assert problem.startswith("command line: ")
    assert said in problem


def test_a_list_is_no_config(folder):
    with pytest.raises(ConfigError, match="train CLIPS_FOLDER ann_file_train=train.csv"):
        load_settings(*read_words(["train.csv"]))


@pytest.mark.parametrize("words", ["a.yaml --from-plan w lr=1", "a.yaml --from-plan=w lr=1"])
def test_from_plan_stands_for_a_key(words):
    assert from_plan_as_key(words.split()) == ["a.yaml", "from_plan=w", "lr=1"]


@pytest.mark.parametrize("words", ["--from-plan", "--from-plan --fresh", "--from-plan="])
def test_from_plan_needs_a_record(words):
    with pytest.raises(ConfigError, match=r"--from-plan needs the work dir of a run"):
        from_plan_as_key(words.split())


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
        ("--from-plan w", "option of the command train only"),
        ("-c my.yaml", "without an option: my.yaml"),
        ("config=my.yaml", "without an option: my.yaml"),
        ("--resume", "the same command resumes the run"),
        ("--resume-from w/latest.pth", "the same command resumes the run"),
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
        ("a.yaml b.yaml", "`b.yaml`: only one config or folder"),
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
        "command line: `--work-dir out` is not an option; write options as key=value: "
        "work_dir=out\n"
    )


def test_an_option_of_training_is_none_of_testing(capsys):
    assert main(["test", "--fresh", "my.yaml"]) == 2
    assert "--fresh is an option of the command train only" in capsys.readouterr().err
