"""`autox-video check`: all that is wrong, in tables and check.json, and nothing is trained."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from autox_video import AutoXVideo
from autox_video.automl.prepare import prepare
from autox_video.cli.main import main
from autox_video.config.load import settings_from_mapping
from autox_video.data.listing.written_list import read_list
from tests.datasets import TINY, colour_data, write_config
from tests.videos import numbered_frames, real_clips, write_empty_video, write_video


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """The keys of a config; of its clips one is empty, one is in two splits, two look the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = colour_data(tmp_path / "data", train=3, val=2, test=1)
    videos = Path(data["data_root"])
    write_empty_video(videos / "train red 0.mp4")
    shutil.copy(videos / "val green 0.mp4", videos / "train green 0.mp4")
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(20, 200, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    for name, by in (("train blue 0.mp4", 0), ("test blue 0.mp4", 15)):
        write_video(videos / name, np.repeat(texture[None] + np.uint8(by), 8, axis=0))
    work = {"work_dir": str(tmp_path / "work"), "test_results_path": str(tmp_path / "r.json")}
    return {**data, **TINY, **work}


def run_check(tmp_path, keys, *words):
    """Run the command; gives its exit code."""
    return main(["check", str(write_config(tmp_path / "c.yaml", **keys)), *words])


def test_what_is_wrong_is_shown_and_written(tmp_path, keys, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run_check(tmp_path, keys, "verbose=true") == 0
    folder = tmp_path / "work" / "check"
    found = json.loads((folder / "check.json").read_text())
    assert [clip["video"] for clip in found["unreadable"]] == ["train red 0.mp4"]
    assert found["unreadable"][0]["reason"] == "the file is empty (0 bytes)."
    leaks = [group["clips"] for group in found["exact_duplicates"]]
    assert leaks == [{"train": ["train green 0.mp4"], "val": ["val green 0.mp4"]}]
    near = [group["clips"] for group in found["near_duplicates"]]
    assert near == [{"train": ["train blue 0.mp4"], "test": ["test blue 0.mp4"]}]
    assert found["left_out"] == {"train": 3, "val": 0, "test": 0}
    shown = capsys.readouterr().out
    for text in ("the file is empty (0 bytes).", "groups of identical clips across splits (LEAK)"):
        assert text in " ".join(shown.split())
    assert "train green 0.mp4 (train)" in shown


def test_the_short_form_has_a_line_for_each_split_and_finding(tmp_path, keys, capsys):
    assert run_check(tmp_path, keys) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("train: 8 clips (1 more cannot be read) from ") for line in lines)
    assert "Unreadable clips: train red 0.mp4: the file is empty (0 bytes)." in lines
    assert any(line.startswith("Groups of identical clips across splits") for line in lines)
    assert not any("│" in line for line in lines)
    assert run_check(tmp_path, keys, "verbose=false") == 0
    assert capsys.readouterr().out == ""


def test_the_lists_come_without_the_bad_clips(tmp_path, keys):
    run_check(tmp_path, keys)
    lists = {
        name: read_list(tmp_path / f"work/check/{name}.csv") for name in ("train", "val", "test")
    }
    bad = {"train red 0.mp4", "train green 0.mp4", "train blue 0.mp4"}
    assert len(lists["train"]) == 6 and not bad & set(lists["train"].paths)
    assert (len(lists["val"]), len(lists["test"])) == (6, 3)
    given = {f"ann_file_{name}": str(tmp_path / f"work/check/{name}.csv") for name in lists}
    again = AutoXVideo().check(**{**keys, **given, "work_dir": str(tmp_path / "again")})
    assert again["unreadable"] == again["exact_duplicates"] == again["near_duplicates"] == []
    assert again["left_out"] == {"train": 0, "val": 0, "test": 0}


def test_nothing_else_is_written(tmp_path, keys):
    keys = {key: value for key, value in keys.items() if key != "ann_file_val"}
    found = AutoXVideo().check(**keys)
    assert list(found["splits"]) == ["train", "test"]
    assert os.listdir(tmp_path / "work") == ["check"]
    assert sorted(os.listdir(tmp_path / "work" / "check")) == [
        "check.json",
        "test.csv",
        "train.csv",
    ]


def test_good_clips_are_called_good(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = colour_data(tmp_path / "data", train=2, val=1, test=1)
    (tmp_path / "data" / "classes.txt").write_text("red\ngreen\nblue\n")
    found = AutoXVideo().check(**data, work_dir=str(tmp_path / "work"))
    assert "Nothing is wrong with the clips." in capsys.readouterr().out
    assert found["splits"]["train"]["per_class"] == {"red": 2, "green": 2, "blue": 2}


def test_a_mistake_ends_with_2(tmp_path, keys, capsys):
    assert run_check(tmp_path, keys, "ann_file_val=nowhere.txt") == 2
    assert "nowhere.txt" in capsys.readouterr().err
    assert run_check(tmp_path, keys, "epochs=3") == 2


def test_help_says_how_it_ends(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "exit code is 0 whatever the check finds" in shown and "ann_file_train" in shown


def test_a_name_cannot_steer_the_terminal(tmp_path, keys, capsys):
    odd = "train \x1b[31mred 9.mp4"
    write_empty_video(Path(keys["data_root"], odd))
    with open(keys["ann_file_train"], "a") as file:
        file.write(f"{odd}\t0\n")
    assert run_check(tmp_path, keys) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_many_classes_are_cut_short(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clip = write_video(tmp_path / "a.mp4", numbered_frames(2))
    for label in range(40):
        folder = tmp_path / "videos" / f"class {label:02}"
        folder.mkdir(parents=True)
        shutil.copy(clip, folder / "a.mp4")
    keys = {"data_root": str(tmp_path / "videos"), "work_dir": str(tmp_path / "work")}
    found = AutoXVideo().check(**keys, verbose=True)
    shown = capsys.readouterr().out
    assert "class 09" in shown and "class 39" in shown and "class 20" not in shown
    (group,) = found["exact_duplicates"]
    assert not group["agree"] and len(group["clips"]["train"]) == 40
    assert found["left_out"]["train"] == 40


def test_real_clips(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = real_clips()
    lists = {
        f"ann_file_{name}": str(folder / "annotations" / f"{name}_list.txt")
        for name in ("train", "val", "test")
    }
    found = AutoXVideo().check(
        data_root=str(folder / "videos"), work_dir=str(tmp_path / "work"), **lists
    )
    assert found["unreadable"] == found["near_duplicates"] == found["sources_over_splits"] == []
    assert sum(figures["readable"] for figures in found["splits"].values()) == 250
    # Its validation and test lists name the same clips.
    assert {tuple(group["clips"]) for group in found["exact_duplicates"]} == {("val", "test")}
    assert found["left_out"] == {"train": 0, "val": 0, "test": 0}


def test_what_check_says_of_names_and_times_training_says_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("videos").mkdir()
    for i in range(8):
        write_video(f"videos/{i}.mp4", numbered_frames(12)[i : i + 4], fps=4)
    rows = [f"{i}.mp4,{('fight', 'fihgt')[i % 2]},0,{(1, 24)[i > 2]}" for i in range(6)]
    Path("train.csv").write_text("\n".join(["path,label,start,end,apex_frame", *rows]))
    rows = ["6.mp4,fight", "7.mp4,fihgt"]
    Path("val.csv").write_text("\n".join(["path,label", *rows]))
    lists = {"data_root": "videos", "ann_file_train": "train.csv", "ann_file_val": "val.csv"}
    found = AutoXVideo().check(**lists, work_dir="work")
    shown = " ".join(capsys.readouterr().out.split())
    assert "Nothing is wrong" not in shown
    assert len(found["near_names"]) == 1 and "`fihgt`" in found["near_names"][0]
    for words in ("typo", "not used: `apex_frame`", "3 of 6 segments in the train list end"):
        assert words in shown
        assert any(words in note for note in found["notes"])
    prepare(settings_from_mapping({**TINY, **lists, "work_dir": "run"}, "test"), resuming=False)
    shown = " ".join(capsys.readouterr().err.split())
    for note in found["notes"]:
        assert " ".join(note.split())[:60] in shown


def test_equal_files_of_other_classes_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for folder in "ab":
        Path("videos", folder).mkdir(parents=True)
    for i in range(6):
        write_video(f"videos/{'ab'[i % 2]}/{i}.mp4", numbered_frames(12)[i : i + 4], fps=4)
    shutil.copy("videos/a/0.mp4", "videos/b/equal.mp4")
    found = AutoXVideo().check(data_root="videos", work_dir="work")
    (group,) = found["exact_duplicates"]
    assert group["clips"] == {"train": ["a/0.mp4", "b/equal.mp4"]} and not group["agree"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "identical clips with different labels" in shown and "Nothing" not in shown
