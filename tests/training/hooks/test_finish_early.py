"""An early finish once validation is perfect."""

import pytest

from autox_video.training import interrupt
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.hooks.finish_early import FinishEarly
from autox_video.training.run_training import train
from autox_video.training.validation_metric import ClipMetric
from tests.training.tiny import events, everything, stop_after, tiny_config

PERFECT = {"top1": 1.0, "loss": 0.01, "clips": 50}


class Loop:
    epoch, max_epochs, max_iters, steps_in_epoch, told_epochs = 0, 36, 360, 10, None

    def end_at(self, epochs, last_step):
        self.max_epochs, self.max_iters = epochs, last_step


class Runner:
    def __init__(self):
        self.train_loop, self.param_schedulers, self.notes = Loop(), (), []

    def call_hook(self, name, sentence):
        self.notes.append(sentence)


def finish_after(epoch, *evaluations):
    """The runner after these evaluations, two epochs apart, the first one after `epoch`."""
    runner, hook = Runner(), FinishEarly(0.05)
    hook.before_run(runner)
    for number, metrics in enumerate(evaluations):
        runner.train_loop.epoch = epoch + 2 * number
        hook.after_val_epoch(runner, metrics)
    return runner


@pytest.mark.parametrize(
    ("epoch", "evaluations", "end"),
    [
        (6, [PERFECT], 9),
        (6, [{**PERFECT, "top1": 0.98}, PERFECT], 12),
        (1, [PERFECT], 2),
        # Decided once.
        (6, [PERFECT, PERFECT], 9),
        # Not sure: the calibrated loss counts where there is one.
        (6, [{**PERFECT, "loss": 0.06}], 36),
        (6, [{**PERFECT, "calibrated_loss": 0.06}], 36),
        (6, [{**PERFECT, "loss": 0.06, "calibrated_loss": 0.04}], 9),
        # Not a figure, or no validation clip that could be read.
        (6, [{**PERFECT, "loss": float("nan")}], 36),
        (6, [{"clips": 0}], 36),
        # Later than planned.
        (24, [PERFECT], 36),
        (22, [PERFECT], 33),
    ],
)
def test_when_training_ends(epoch, evaluations, end):
    runner = finish_after(epoch, *evaluations)
    assert runner.train_loop.max_epochs == end
    assert len(runner.notes) == (end < 36)
    if end < 36:
        assert runner.train_loop.max_iters == 10 * end
        assert runner.train_loop.told_epochs == end


def test_training_continues_as_planned_if_it_was_luck():
    imperfect = {**PERFECT, "top1": 0.98}
    runner = finish_after(6, PERFECT, imperfect)
    assert runner.train_loop.max_epochs == 9  # only the evaluation at the end decides
    runner = finish_after(4, PERFECT, imperfect)
    assert (runner.train_loop.max_epochs, runner.train_loop.max_iters) == (36, 360)
    assert runner.train_loop.told_epochs == 36 and len(runner.notes) == 2
    # It may turn out well later.
    assert finish_after(4, PERFECT, imperfect, PERFECT).train_loop.max_epochs == 12


def perfect_from(monkeypatch, evaluation, until=1000):
    """Have every evaluation from this one on be perfect, whatever was predicted."""
    calls = iter(range(1, 1000))
    compute = ClipMetric.compute_metrics

    def perfect(self, results):
        figures = compute(self, results)
        surely = {**figures, **PERFECT, "calibrated_loss": 0.01}
        return surely if evaluation <= next(calls) < until else {**figures, "top1": 0.5}

    monkeypatch.setattr(ClipMetric, "compute_metrics", perfect)


def config_of(clips, work_dir):
    config = tiny_config(clips, work_dir, epoch=20, evaluation=1, videos_per_gpu=2, workers=0)
    config.custom_hooks.insert(0, {"type": "FinishEarly", "loss": 0.05})
    return config


@pytest.mark.slow
@pytest.mark.parametrize(("until", "end", "stops"), [(1000, 6, (9, 23)), (5, 20, (23, 60))])
def test_a_run_anneals_and_ends_or_continues(clips, tmp_path, monkeypatch, until, end, stops):
    with monkeypatch.context() as patch:
        perfect_from(patch, 4, until)
        train(config_of(clips, tmp_path / "whole"))
    assert read_checkpoint(tmp_path / "whole" / "latest.pth")["meta"]["epoch"] == end
    rates = {event["epoch"]: event["lr"] for event in events(tmp_path / "whole", "train")}
    assert rates[4] == max(rates.values()) > rates[5] > rates[6] < 0.2 * rates[4]
    if end == 20:
        assert rates[7] == rates[4] and rates[20] < 0.1 * rates[4]

    # Stopped before the decision or after it, a run ends with the same weights.
    for looks in stops:
        work_dir = tmp_path / f"stopped-{looks}"
        with monkeypatch.context() as patch:
            perfect_from(patch, 4, until)
            stop_after(patch, looks)
            with pytest.raises(interrupt.Stopped):
                train(config_of(clips, work_dir))
        evaluations = len(events(work_dir, "val"))
        with monkeypatch.context() as patch:
            perfect_from(patch, 4 - evaluations, until - evaluations)
            train(config_of(clips, work_dir))
        assert everything(work_dir) == everything(tmp_path / "whole")
