"""The whole job through the real commands: train, kill, go on, best weights, results.json."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from autox_video.metrics.calibration import expected_calibration_error
from tests.cli.test_main import refused
from tests.datasets import REPOSITORY, TINY, colour_data, command, write_config

pytestmark = pytest.mark.slow

EPOCHS = 6


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory):
    """A folder in which a run was killed after its second epoch, and then came to its end."""
    folder = tmp_path_factory.mktemp("whole")
    data = colour_data(folder / "data", train=8, val=2, test=3)
    keys = {**data, **TINY, "epoch": EPOCHS, "videos_per_gpu": 6, "workers": 1, "lr": 0.002}
    keys["cache"] = str(folder / "frames")
    keys["checkpoint_minutes"] = 0.001
    work = {"work_dir": str(folder / "work"), "test_results_path": str(folder / "results.json")}
    write_config(folder / "config.yaml", **keys, **work)
    process = start(folder)
    wait_for_epoch(folder, process, 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = command("autotrain.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return folder, done.stdout


def start(folder):
    with open(folder / "first.log", "w") as log:
        return subprocess.Popen(
            [sys.executable, str(REPOSITORY / "autotrain.py")], cwd=folder, stdout=log, stderr=log
        )


def events(folder):
    path = folder / "work" / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def wait_for_epoch(folder, process, epoch):
    end = time.monotonic() + 120
    while not any(e["epoch"] > epoch for e in events(folder)):
        assert process.poll() is None, (folder / "first.log").read_text()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_second_start_goes_on_where_the_first_was_killed(killed_run):
    folder, shown = killed_run
    assert re.search(r"Resuming after epoch [23] of 6", shown)
    steps = [e["iter"] for e in events(folder) if e["event"] == "train"]
    assert steps == list(range(1, 4 * EPOCHS + 1))


def test_every_clip_was_decoded_once_and_kept(killed_run):
    folder, _ = killed_run
    assert len(list((folder / "frames").rglob("*.frames"))) == 3 * (8 + 2)
    plan = json.loads((folder / "work" / "record.json").read_text())["choices"]
    assert plan["cache"]["value"] == str(folder / "frames")


def test_evaluations_and_best_weights(killed_run):
    folder, _ = killed_run
    evaluations = [e for e in events(folder) if e["event"] == "val"]
    assert [e["epoch"] for e in evaluations] == [2, 4, 6]
    best = torch.load(folder / "work" / "best.pth", weights_only=True)["meta"]["metrics"]
    best_one = min(evaluations, key=lambda e: (-e["top1"], e["loss"], e["epoch"]))
    if "Model soup: the average" in killed_run[1]:
        assert (-best["top1"], best["loss"]) < (-best_one["top1"], best_one["loss"])
    else:
        assert (best["epoch"], best["top1"]) == (best_one["epoch"], best_one["top1"])


def test_the_work_dir_holds_the_contracts_files(killed_run):
    folder, _ = killed_run
    files = {path.name for path in (folder / "work").iterdir()}
    assert files == {
        "config.py",
        "record.json",
        "latest.pth",
        "previous.pth",
        "best.pth",
        "best.safetensors",
        "metrics.jsonl",
        "leaderboard.csv",
        "train.log",
        "train.csv",
        "val.csv",
        "clips.json",
    }
    plan = json.loads((folder / "work" / "record.json").read_text())["choices"]
    epochs = {key: plan["epochs"][key] for key in ("value", "source")}
    assert epochs == {"value": EPOCHS, "source": "user"}
    assert plan["num_classes"]["value"] == 3


def test_results_tell_the_colours_apart(killed_run):
    folder, _ = killed_run
    done = command("autotest.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    content = json.loads((folder / "results.json").read_text())
    listed = [line.rsplit(" ", 1) for line in open(folder / "data" / "test.txt")]
    assert [p["video"] for p in content["predictions"]] == [path for path, _ in listed]
    assert [p["label"] for p in content["predictions"]] == [int(label) for _, label in listed]
    assert content["metrics"]["clips"] == 9
    assert content["metrics"]["top1"] >= 0.8
    assert content["checkpoint"].endswith("best.pth")
    assert "top-1" in done.stdout
    kept = torch.load(folder / "work" / "best.pth", weights_only=True)["meta"]["metrics"]
    assert content["calibration"]["temperature"] == kept["temperature"]
    scores = np.array([p["scores"] for p in content["predictions"]])
    error = expected_calibration_error(scores, np.array([int(label) for _, label in listed]))
    assert content["calibration"]["test"]["ece_after"] == pytest.approx(error, abs=1e-4)
    test = content["calibration"]["test"]
    assert (test["ece_after"] == test["ece_before"]) == (kept["temperature"] == 1.0)
    low, high = content["metrics"]["intervals"]["top1"]
    assert low < content["metrics"]["top1"] <= high


def test_a_finished_run_says_so_and_changes_nothing(killed_run, command_here):
    folder, _ = killed_run
    before = (folder / "work" / "best.pth").read_bytes()
    done = command_here("autotrain.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout
    assert (folder / "work" / "best.pth").read_bytes() == before


def test_other_data_or_another_model_is_refused_and_nothing_is_lost(
    killed_run, tmp_path, command_here
):
    folder, _ = killed_run
    before = (folder / "work" / "latest.pth").read_bytes()
    short = tmp_path / "short.txt"
    lines = (folder / "data" / "train.txt").read_text().splitlines(keepends=True)
    short.write_text("".join(lines[1:]))
    sentence = refused(command_here("autotrain.py", f"ann_file_train={short}", cwd=folder))
    assert "other clips: 1 clip is gone (train red 0.mp4). To train on" in sentence
    assert "--fresh" in sentence
    sentence = refused(command_here("autotrain.py", "backbone=swin_tiny", cwd=folder))
    assert "backbone: conv_nano -> swin_tiny" in sentence
    assert (folder / "work" / "latest.pth").read_bytes() == before


def test_more_epochs_go_on_from_the_end(killed_run, command_here):
    folder, _ = killed_run
    done = command_here("autotrain.py", f"epoch={EPOCHS + 1}", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert [e["epoch"] for e in events(folder) if e["event"] == "val"][-1] == EPOCHS + 1


def test_fresh_moves_the_run_aside_and_trains_anew(killed_run, command_here):
    folder, _ = killed_run
    work = folder / "work"
    before = {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()}
    done = command_here("autotrain.py", "config.yaml", "--fresh", "epoch=1", cwd=folder)
    assert done.returncode == 0, done.stderr
    (place,) = (work / "earlier").iterdir()
    assert str(place) in done.stdout
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert "Resuming" not in done.stdout
    assert [e["epoch"] for e in events(folder) if e["event"] == "val"] == [1]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(killed_run, tmp_path, signum):
    folder, _ = killed_run
    text = (folder / "config.yaml").read_text().replace(str(folder / "work"), str(tmp_path / "w"))
    (tmp_path / "config.yaml").write_text(text)
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "autotrain.py"), "epoch=500"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while "clips/s" not in process.stdout.readline():
        assert process.poll() is None, process.stderr.read()
    os.killpg(process.pid, signum)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert "Run the same command again" in complaints
    assert "Traceback" not in complaints
    assert torch.load(tmp_path / "w" / "latest.pth", weights_only=True)["meta"]["iter"] > 0
