"""What a training run tells."""

import json
import re
from types import SimpleNamespace

import pytest
import torch

from autox_video.core.console import SILENCE_SEC, say
from autox_video.training.hooks.progress import (
    QUIET_SEC,
    Progress,
    Window,
    _plain,
    describe,
    drop_events_after,
)
from autox_video.training.run_training import train
from tests.training.tiny import events, tiny_config


def test_a_window_averages_its_steps():
    window = Window()
    for loss in (1.0, 3.0):
        window.data_arrived()
        window.step_done(4, {"loss": torch.tensor(loss), "top1_acc": torch.tensor(0.25)})
    summary = window.summary()
    assert summary["loss"] == 2.0
    assert summary["top1"] == 0.25
    assert summary["clips_per_sec"] > 0
    assert 0 <= summary["data_wait"] <= 1


def test_a_summary_reads_as_a_line():
    event = {"epoch": 2, "step": 3, "loss": 0.5, "lr": 1e-3, "clips_per_sec": 10, "data_wait": 0.1}
    line = describe(event, 5, 7, 61)
    assert line.startswith("epoch 2/5 step 3/7: loss 0.5000, lr 1.00e-03, 10.0 clips/s")
    assert line.endswith("data wait 10%, 1 min 01 s left")


def test_events_of_steps_to_be_taken_again_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    events = [{"event": "train", "epoch": i, "iter": i} for i in (1, 2, 3)]
    events += [{"event": "val", "epoch": i, "iter": i} for i in (1, 2)]
    path.write_text("".join(json.dumps(e) + "\n" for e in events) + '{"event": "tra')
    drop_events_after(path, iteration=2, evaluated_epoch=1)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(e["event"], e["iter"]) for e in kept] == [("train", 1), ("train", 2), ("val", 1)]
    drop_events_after(tmp_path / "none.jsonl", iteration=2, evaluated_epoch=1)


def test_figures_that_are_none_become_null():
    assert _plain({"loss": float("nan"), "top1": 0.5, "n": 3, "x": float("inf")}) == {
        "loss": None,
        "top1": 0.5,
        "n": 3,
        "x": None,
    }


@pytest.mark.parametrize(
    ("metrics", "classes", "told"),
    [
        (
            {"top1": 0.5, "top5": 1.0, "loss": 0.7, "clips": 4},
            6,
            "top-1 0.50, top-5 1.00, loss 0.7000 on 4 clips (best top-1 0.50)",
        ),
        (
            {"top1": 0.5, "top5": 1.0, "loss": 0.7, "clips": 400},
            5,
            "top-1 0.500, loss 0.7000 on 400 clips (best top-1 0.500)",
        ),
        (
            {"mAP": 0.25, "f1": 0.5, "loss": 0.7, "clips": 4},
            3,
            "mAP 0.25, F1 0.50, loss 0.7000 on 4 clips (best mAP 0.25)",
        ),
    ],
)
def test_an_evaluation_is_told_by_its_main_score(tmp_path, capsys, metrics, classes, told):
    loop = SimpleNamespace(epoch=3, iter=12)
    config = {"classes": list(range(classes))}
    runner = SimpleNamespace(train_loop=loop, work_dir=str(tmp_path), cfg=config)
    progress = Progress()
    progress.after_val_epoch(runner, metrics)
    assert f"epoch 3: validation {told}" in capsys.readouterr().out
    assert progress.best == metrics.get("top1", metrics.get("mAP"))


def test_a_line_that_waited_and_was_written_after_the_checkpoint_is_there_once(tmp_path):
    lines = [{"event": "train", "epoch": 1, "iter": step, "loss": 0.5} for step in (1, 2, 3, 4)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines[:2]))
    hook = Progress()
    hook.load_state_dict({"clips": 0, "outputs": [], "waiting": lines[1:3]})
    loop = SimpleNamespace(iter=3, evaluated_epoch=0)
    runner = SimpleNamespace(train_loop=loop, work_dir=str(tmp_path))
    hook.after_roll_back(runner, "back")
    hook._write(runner, lines[3])
    written = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert list(map(json.loads, written)) == lines


def test_the_log_holds_what_the_user_is_told_with_the_time(clips, tmp_path, capsys):
    train(tiny_config(clips, tmp_path, epoch=2))
    shown = capsys.readouterr().out
    text = (tmp_path / "train.log").read_text()
    log = re.findall(
        r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} INFO (epoch .*)$", text, re.MULTILINE
    )
    lines = [line for _, line in log]
    assert sum("epoch 1/2 step 3/3" in line for line in lines) == 1
    assert sum("epoch 2/2 step 3/3" in line for line in lines) == 1
    assert sum("epoch 2: validation top-1" in line for line in lines) == 1
    assert all(line in shown for line in lines)


def test_a_quiet_run_is_in_its_log_too(clips, tmp_path, capsys):
    config = tiny_config(clips, tmp_path, epoch=1)
    config.custom_hooks[0].quiet = True
    say("something")
    train(config)
    assert capsys.readouterr().out == "something\n"
    assert "epoch 1/1 step 3/3" in (tmp_path / "train.log").read_text()


@pytest.mark.parametrize("quiet", [False, True])
def test_a_long_epoch_and_a_long_evaluation_are_not_silent(
    clips, tmp_path, capsys, monkeypatch, quiet
):
    """With the time between two lines so long that none would come, but for the silence."""
    monkeypatch.setattr("autox_video.training.hooks.progress.SUMMARIES_PER_EPOCH", 1)
    heard = []
    monkeypatch.setattr(
        "autox_video.training.hooks.progress.is_quiet", lambda sec: heard.append(sec) or True
    )
    config = tiny_config(clips, tmp_path, epoch=1)
    config.custom_hooks[0].quiet = quiet
    train(config)
    shown = capsys.readouterr().out.splitlines()
    for step in (1, 2, 3):
        assert any(line.startswith(f"epoch 1/1 step {step}/3: loss ") for line in shown)
    assert "epoch 1: evaluating, batch 1 of 1." in shown
    assert {*heard} == {QUIET_SEC if quiet else SILENCE_SEC}
    assert [e["step"] for e in events(tmp_path, "train")] == [3]
