"""What a training run tells."""

import logging
import re
from types import SimpleNamespace

import pytest
import torch

from autox_video.core.console import SILENCE_SEC, say
from autox_video.training.hooks.progress import (
    QUIET_SEC,
    Progress,
    Window,
    describe,
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
            "mAP 0.25, F1@0.5 0.50, loss 0.7000 on 4 clips (best mAP 0.25)",
        ),
    ],
)
def test_an_evaluation_is_told_by_its_main_score(tmp_path, capsys, metrics, classes, told):
    loop = SimpleNamespace(epoch=3, iter=12)
    config = {"classes": list(range(classes))}
    log = logging.getLogger("test")
    runner = SimpleNamespace(train_loop=loop, work_dir=str(tmp_path), cfg=config, logger=log)
    progress = Progress()
    progress.before_run(runner)
    progress.after_val_epoch(runner, metrics)
    assert f"epoch 3: validation {told}" in capsys.readouterr().out
    assert progress.best == metrics


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_quiet_run_is_in_its_log_too(clips, tmp_path, capsys):
    config = tiny_config(clips, tmp_path, epoch=1)
    config.custom_hooks[0].quiet = True
    say("something")
    train(config)
    assert capsys.readouterr().out == "something\n"
    assert "epoch 1/1 step 3/3" in (tmp_path / "train.log").read_text()


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.slow
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
