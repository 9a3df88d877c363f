"""A run and its repetition from the record, through the real commands."""

import json
import shutil

import pytest
import torch

from autox_video import AutoXVideo
from autox_video.cli.main import main
from tests.datasets import COLOURS, TINY, colour_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders, and a run on them in work_dirs/clips."""
    folder = tmp_path_factory.mktemp("repeat")
    for colour in COLOURS:
        for i in range(6):
            clip = folder / "clips" / colour / f"{i}.mp4"
            clip.parent.mkdir(parents=True, exist_ok=True)
            colour_clip(clip, colour, seed=i)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        keys = [
            f"{k}={v}" for k, v in {**TINY, "lr": 0.004, "seed": 3, "augment": "medium"}.items()
        ]
        assert main(["train", "clips", *keys]) == 0
    return folder


def choices(work):
    stored = json.loads((work / "record.json").read_text())["choices"]
    return {name: choice["value"] for name, choice in stored.items()}


def weights(work):
    return torch.load(work / "latest.pth", weights_only=True)["state_dict"]


@pytest.mark.parametrize("clips", [[], ["clips"]])
def test_the_repetition_has_the_same_plan_and_weights(folder, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    here = ["workers=0", "device=cpu", "cache=off"]
    words = [*clips, "--from-plan", "work_dirs/clips", f"work_dir={tmp_path}", *here]
    assert main(["train", *words]) == 0
    assert choices(tmp_path) == choices(folder / "work_dirs" / "clips")
    before, now = weights(folder / "work_dirs" / "clips"), weights(tmp_path)
    assert all(torch.equal(before[name], now[name]) for name in before)
    assert main(["train", *words]) == 0  # resumes


def test_the_run_itself_is_not_overwritten(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["train", "clips", "--from-plan", "work_dirs/clips/record.json"]) == 2
    assert "work_dir=work_dirs/clips-2" in capsys.readouterr().err


def test_another_folder_of_the_same_name_is_refused(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder / "clips", tmp_path / "clips")
    monkeypatch.chdir(folder)
    for command in ("train", "test", "check"):
        assert main([command, str(tmp_path / "clips"), "workers=0"]) == 2
        said = capsys.readouterr().err
        assert f"holds a run on {folder / 'clips'}, not on {tmp_path / 'clips'}" in said
        assert "work_dir=work_dirs/clips-2" in said


def test_from_python_without_a_config(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = AutoXVideo()
    best = model.fit(folder / "clips", from_plan=folder / "work_dirs" / "clips", workers=0)
    assert best["headline"]["clips"]
    assert choices(tmp_path / "work_dirs" / "clips")["lr"] == 0.004
    shutil.copytree(folder / "clips" / "red", tmp_path / "new" / "clips")
    records = model.transform(tmp_path / "new" / "clips")
    assert len(records) == 6
    assert (tmp_path / "work_dirs" / "clips" / "results.json").is_file()
