"""What a training run tells."""

import logging
import re
from types import SimpleNamespace

import pytest
import torch

from autox_video.core.console import Activity
from autox_video.training.hooks.progress import Progress, Window, describe
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
    event = {"loss": 0.5, "clips_per_sec": 10, "data_wait": 0.1}
    assert describe(event, 61) == ", 1 min 01 s left, loss 0.500, 10 clips/s"
    slow = describe({**event, "data_wait": 0.456}, 61)
    assert slow.endswith("10 clips/s, data wait 46%")


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
    loop = SimpleNamespace(epoch=3, iter=12, max_epochs=9)
    config = {"classes": list(range(classes))}
    log = logging.getLogger("test")
    runner = SimpleNamespace(train_loop=loop, work_dir=str(tmp_path), cfg=config, logger=log)
    progress = Progress()
    progress.before_run(runner)
    progress.after_val_epoch(runner, metrics)
    assert f"epoch 3: validation {told}" in capsys.readouterr().out
    assert progress.best == metrics
    # One that is no better, soon after, is in the log alone; the last one is shown.
    progress.after_val_epoch(runner, metrics)
    assert capsys.readouterr().out == ""
    loop.epoch = 9
    progress.after_val_epoch(runner, metrics)
    assert f"epoch 9: validation {told}" in capsys.readouterr().out


@pytest.mark.slow
def test_the_log_holds_every_line_once_with_its_time(clips, tmp_path, capsys):
    train(tiny_config(clips, tmp_path, epoch=2))
    shown = [x for x in capsys.readouterr().out.splitlines() if x.startswith("epoch ")]
    text = (tmp_path / "train.log").read_text()
    log = re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \w+ (epoch .*)$", text, re.MULTILINE)
    for start in ("epoch 1/2, step 3/3", "epoch 2/2, step 3/3", "epoch 2: validation top-1"):
        assert sum(line.startswith(start) for line in log) == 1
    # The first line of training and the evaluations; more come after ten seconds only.
    assert set(shown) < set(log)
    assert [line.startswith("epoch 1/2, step ") for line in shown] == [True, False]


@pytest.mark.slow
def test_a_quiet_run_is_in_its_log_alone(clips, tmp_path, capsys):
    config = tiny_config(clips, tmp_path, epoch=1)
    config.custom_hooks[0].quiet = True
    train(config)
    assert capsys.readouterr().out == ""
    assert "epoch 1/1, step 3/3" in (tmp_path / "train.log").read_text()


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.slow
def test_what_is_going_on_is_known_at_any_moment(clips, tmp_path, monkeypatch, quiet):
    told = []

    class Recorded(Activity):
        def show(self, text=None, done=None):
            told.append(text)
            super().show(text, done)

    monkeypatch.setattr("autox_video.training.hooks.progress.Activity", Recorded)
    config = tiny_config(clips, tmp_path / "trials" / "7", epoch=1)
    config.custom_hooks[0].quiet = quiet
    train(config)
    prefix = "trials/7: " if quiet else ""
    for step in (1, 2, 3):
        assert any(text.startswith(f"{prefix}epoch 1/1, step {step}/3, ") for text in told)
    assert f"{prefix}epoch 1: evaluating, batch 1 of 1" in told
    assert len(events(tmp_path / "trials" / "7", "train")) == 3
