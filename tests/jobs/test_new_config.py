"""The config that `autox-video init` writes."""

import pytest

from autox_video.cli.main import main
from autox_video.config.load import load_settings
from autox_video.config.settings import BASIC_KEYS
from autox_video.core.errors import ConfigError, ListingError, ResourceError
from autox_video.jobs.new_config import write_new_config


@pytest.fixture
def clips(tree, tmp_path, monkeypatch):
    """A folder of six clips of two classes; nothing in them can be decoded."""
    monkeypatch.chdir(tmp_path)
    tree(*(f"my clips/{name}/{i}.mp4" for name in ("red", "green") for i in range(3)))
    return "my clips"


def test_a_config_of_class_folders(clips, tmp_path, capsys):
    assert main(["init", clips]) == 0
    said = capsys.readouterr().out
    assert "Wrote my clips.yaml: 6 clips of 2 classes." in said
    assert "autox-video train 'my clips.yaml'" in said
    text = (tmp_path / "my clips.yaml").read_text()
    assert "green 3, red 3" in text
    assert max(map(len, text.splitlines())) <= 80
    settings = load_settings(tmp_path / "my clips.yaml")
    assert (settings.data_root, settings.work_dir) == ("my clips", "work_dirs/my clips")
    keys = [line.partition(":")[0] for line in text.splitlines() if line and line[0] != "#"]
    assert keys == list(BASIC_KEYS)


def test_splits_are_counted(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree(*(f"d/{split}/{c}/{i}.mp4" for split in ("train", "val") for c in "ab" for i in range(2)))
    text = write_new_config("d", "c.yaml").read_text()
    assert "8 clips (4 train, 4 val) of 2 classes" in text
    assert "# Found: 4 clips.\nann_file_val: auto" in text


def test_lists_beside_the_clips_are_used_where_there_are_no_classes(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree(*(f"d/videos/{i}.mp4" for i in range(4)))
    (tmp_path / "d" / "annotations").mkdir()
    (tmp_path / "d" / "annotations" / "train_list.txt").write_text("0.mp4 a\n1.mp4 b\n")
    (tmp_path / "d" / "annotations" / "val_list.txt").write_text("2.mp4 a\n3.mp4 b\n")
    settings = load_settings(write_new_config("d/videos"))
    assert settings.ann_file_train == "d/annotations/train_list.txt"
    assert settings.ann_file_val == "d/annotations/val_list.txt"
    assert settings.ann_file_test == "auto"


def test_lists_that_are_not_needed_are_named(clips, tmp_path):
    (tmp_path / "train.csv").write_text("path,label\n")
    text = write_new_config(clips).read_text()
    assert "not used: ann_file_train: train.csv" in text.replace("\n# ", " ")
    assert "\nann_file_train: auto\n" in text


def test_a_file_is_never_overwritten(clips, tmp_path):
    (tmp_path / "mine.yaml").write_text("data_root: x\n")
    with pytest.raises(ConfigError, match=r"mine.yaml exists and is not overwritten"):
        write_new_config(clips, "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "data_root: x\n"


def test_a_folder_without_clips_or_classes_gets_no_config(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree("empty/notes.txt", "flat/1.mp4", "flat/2.mp4")
    for folder, said in (("empty", "no video"), ("flat", "class folders"), ("none", "not exist")):
        with pytest.raises(ListingError, match=said):
            write_new_config(folder)
        assert not (tmp_path / f"{folder}.yaml").exists()


def test_a_folder_that_cannot_be_written_is_named(clips):
    with pytest.raises(ResourceError, match=r"no/such/c.yaml cannot be written"):
        write_new_config(clips, "no/such/c.yaml")


def test_names_cannot_end_a_comment(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree("d/a\nepoch: 7/1.mp4", "d/a\nepoch: 7/2.mp4", "d/b: #/1.mp4", "d/b: #/2.mp4")
    assert load_settings(write_new_config("d")).epoch == "auto"
