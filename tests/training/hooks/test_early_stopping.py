"""An end before the last epoch."""

import pytest

from autox_video.training import interrupt
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.hooks.early_stopping import EarlyStopping
from autox_video.training.run_training import train
from autox_video.training.validation_metric import ClipMetric
from tests.training.tiny import everything, stop_after, tiny_config


class Runner:
    def __init__(self):
        self.train_loop = type("Loop", (), {"epoch": 1, "max_epochs": 100, "stop_training": False})
        self.notes = []

    def call_hook(self, name, sentence):
        self.notes.append(sentence)


def ends_after(scores, patience):
    """Which evaluation ends the run; None where none does."""
    runner, hook = Runner(), EarlyStopping(patience)
    for number, score in enumerate(scores, start=1):
        hook.after_val_epoch(runner, {"top1": score, "loss": 1.0})
        if runner.train_loop.stop_training:
            assert len(runner.notes) == 1
            return number
    assert not runner.notes
    return None


@pytest.mark.parametrize(
    ("scores", "patience", "end"),
    [
        ([0.1, 0.2, 0.3, 0.4], 1, None),
        ([0.5, 0.4, 0.3], 2, 3),
        ([0.5, 0.4, 0.45, 0.6], 3, None),
        ([0.5, 0.4, 0.4, 0.4, 0.4], 3, 4),
        # Smoothed: 0.1, 0.5, 0.3, 0.4, 0.35; one lucky evaluation is hard to beat, not for ever.
        ([0.1, 0.9, 0.1, 0.5, 0.3], 3, 5),
        ([0.1, 0.9, 0.5, 0.7, 0.7], 3, None),
    ],
)
def test_when_a_run_ends(scores, patience, end):
    assert ends_after(scores, patience) == end


def worse_each_time(monkeypatch):
    calls = iter(range(1000))
    compute = ClipMetric.compute_metrics

    def worse(self, results):
        return {**compute(self, results), "top1": 0.5 - 0.1 * next(calls)}

    monkeypatch.setattr(ClipMetric, "compute_metrics", worse)


@pytest.mark.slow
def test_a_run_ends_early_and_stays_ended(clips, tmp_path, monkeypatch, capsys):
    config = tiny_config(clips, tmp_path, epoch=9, evaluation=1, patience=2)
    worse_each_time(monkeypatch)
    assert train(config)["epoch"] == 1
    assert (
        "no improvement in 2 evaluations. Training ends after epoch 3 of 9."
        in capsys.readouterr().out
    )
    before = everything(tmp_path)
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 3
    train(config)
    assert everything(tmp_path) == before


@pytest.mark.slow
def test_a_stopped_run_keeps_its_patience(clips, tmp_path, monkeypatch):
    keys = {"epoch": 6, "evaluation": 1, "patience": 2, "videos_per_gpu": 2}
    train(tiny_config(clips, tmp_path / "whole", **keys))
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 7)
            try:
                train(tiny_config(clips, tmp_path / "stopped", **keys))
                break
            except interrupt.Stopped:
                pass
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")
