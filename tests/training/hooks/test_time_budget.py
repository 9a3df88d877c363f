"""Training that ends within its time, on a real runner with a tiny model and a made-up clock."""

import re
from types import SimpleNamespace

import pytest
import torch

from autox_video.planning.predicted_time import Prediction
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.config.build_config import Deadline, build_config
from autox_video.training.hooks import time_budget
from autox_video.training.hooks.time_budget import TimeBudget
from autox_video.training.interrupt import Stopped
from autox_video.training.loops import ClipTrainLoop
from autox_video.training.run_training import train
from autox_video.training.schedule import WarmFlatCosine
from tests.training.tiny import (
    events,
    everything,
    same,
    stop_after,
    tiny_config,
    tiny_record,
    weights,
)

STEPS = 3  # in an epoch


class MadeUpTime:
    """A clock that goes on by a fixed time at each training step, by four times it for a while."""

    def __init__(self, budget_sec, step_sec=1.0, slow=(0.0, 0.0)):
        self.budget_sec, self.step_sec, self.slow, self.now = budget_sec, step_sec, slow, 0.0

    def step(self):
        begin, end = self.slow
        self.now += self.step_sec * (4 if begin <= self.now < end else 1)

    @property
    def left_sec(self):
        return self.budget_sec - self.now

    def monotonic(self):
        return self.now


@pytest.fixture
def made_up(monkeypatch):
    def made_up(clock):
        monkeypatch.setattr(time_budget, "running_clock", lambda folder, budget_sec: clock)
        monkeypatch.setattr(time_budget.time, "monotonic", clock.monotonic)
        run_iter = ClipTrainLoop.run_iter

        def step(loop, *args):
            run_iter(loop, *args)
            clock.step()

        monkeypatch.setattr(ClipTrainLoop, "run_iter", step)
        return clock

    return made_up


def timed(clips, work_dir, *, epoch, most=None, budget_sec=1000.0, predicted_sec=STEPS, **keys):
    """A config with a budget, whose prediction is a second a step unless said otherwise."""
    record = tiny_record(clips, epoch=epoch, **keys)
    one = Prediction(0.0, 0.0, 0.0, 0.0, 0.0, predicted_sec, predicted_sec, 0.0, "compute")
    deadline = Deadline(budget_sec, one, most or epoch)
    config = build_config(record, work_dir, deadline=deadline)
    config.custom_hooks[-1]["reserve_sec"] = 0.0
    return config


class Simulated:
    """A run without a model: its hook decides as in training, by the made-up clock."""

    def __init__(self, clock, epochs, *, most=None, steps=STEPS, predicted_sec=STEPS):
        self.clock, self.planned = clock, epochs
        self.epoch, self.iter, self.steps_in_epoch, self.val_interval = 0, 0, steps, 100
        self.end_at(epochs, epochs * steps)
        sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        self.schedule = WarmFlatCosine(sgd, warmup=0, fall=0, end=self.max_iters)
        self.said, self.rates = [], []
        self.runner = SimpleNamespace(
            train_loop=self,
            work_dir="",
            param_schedulers=[self.schedule],
            call_hook=lambda name, sentence: self.said.append(sentence),
        )
        times = predicted_sec, predicted_sec, 0.0
        self.hook = TimeBudget(clock.budget_sec, 0.0, *times, most or epochs)
        self.hook.before_run(self.runner)

    def end_at(self, epochs, last_step):
        self.max_epochs, self.max_iters = epochs, last_step

    def evaluation_is_due(self):
        return False

    def run(self):
        """Give the run, at its end."""
        while self._goes_on():
            self.hook.before_train_epoch(self.runner)
            for left in reversed(range(self.steps_in_epoch)):
                self._step()
                if left and any(end := self.hook.new_end(self)):
                    self.hook.end_at(self, *end)
                if self.iter >= self.max_iters:
                    break
            self.hook.after_train_epoch(self.runner)
            self.epoch += 1
        return self

    def _goes_on(self):
        self.hook.settle(self)
        return self.epoch < self.max_epochs

    def _step(self):
        self.rates.append(self.schedule.optimizer.param_groups[0]["lr"])
        self.clock.step()
        self.iter += 1
        self.schedule.optimizer.step()
        self.schedule.step()


def iterations(work_dir):
    return [e["iter"] for e in events(work_dir, "train")]


def last_rate(work_dir):
    return events(work_dir, "train")[-1]["lr"]


@pytest.mark.slow
def test_a_run_that_is_in_time_is_the_run_without_a_budget(clips, tmp_path, made_up):
    made_up(MadeUpTime(1000.0))
    train(timed(clips, tmp_path / "a", epoch=2))
    train(tiny_config(clips, tmp_path / "b", epoch=2))
    assert same(weights(tmp_path / "a/latest.pth"), weights(tmp_path / "b/latest.pth"))
    assert everything(tmp_path / "a")[1] == everything(tmp_path / "b")[1]


@pytest.mark.slow
def test_a_slow_run_is_cut_at_the_end_of_an_epoch(clips, tmp_path, made_up, capsys):
    made_up(MadeUpTime(13.0, step_sec=2.0))
    best = train(timed(clips, tmp_path, epoch=6, budget_sec=13.0))
    assert iterations(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert [e["epoch"] for e in events(tmp_path, "val")] == [2]
    assert best["epoch"] == 2
    said = "training ends after epoch 2 (6 planned)."
    assert capsys.readouterr().out.count(said) == 1
    assert last_rate(tmp_path) < events(tmp_path, "train")[2]["lr"]


@pytest.mark.slow
def test_where_not_even_an_epoch_fits_it_ends_within_it(clips, tmp_path, made_up, capsys):
    made_up(MadeUpTime(2.5))
    best = train(timed(clips, tmp_path, epoch=1, budget_sec=2.5))
    assert iterations(tmp_path) == [1, 2]
    assert best["epoch"] == 1
    said = "training ended after step 2 of 3 in epoch 1 (1 planned)."
    assert said in capsys.readouterr().out
    before = weights(tmp_path / "latest.pth")
    assert train(timed(clips, tmp_path, epoch=1, budget_sec=2.5)) == best  # it is done
    assert same(before, weights(tmp_path / "latest.pth"))


@pytest.mark.slow
def test_one_step_is_made_whatever_the_time(clips, tmp_path, made_up):
    made_up(MadeUpTime(-5.0))
    best = train(timed(clips, tmp_path, epoch=3, budget_sec=1.0))
    assert iterations(tmp_path)[-1] == 1
    assert best is not None


def test_an_epoch_that_turns_out_too_long_is_ended(made_up):
    run = Simulated(made_up(MadeUpTime(12.0, step_sec=3.0)), 1, steps=9, predicted_sec=9.0).run()
    assert (run.epoch, run.iter) == (1, 4)


def test_a_fast_run_takes_more_of_the_useful_epochs(made_up):
    run = Simulated(made_up(MadeUpTime(20.0, step_sec=0.5)), 4, most=7).run()
    assert run.iter == 7 * STEPS


def test_what_a_slow_while_cost_comes_back(made_up):
    clock = made_up(MadeUpTime(30 * STEPS + 40.0, slow=(48.0, 78.0)))
    run = Simulated(clock, 30).run()
    assert run.iter == 30 * STEPS and clock.left_sec >= 0
    ends = [int(re.search(r"ends after epoch (\d+) \(30 planned", each)[1]) for each in run.said]
    assert min(ends) < 30 and ends[-1] == 30
    assert run.rates[-1] < 0.01 * run.rates[30]


def test_a_moment_that_is_slow_costs_little(made_up):
    # Two steps, six seconds lost: two epochs.
    run = Simulated(made_up(MadeUpTime(90.0, slow=(48.0, 56.0))), 30).run()
    assert run.iter >= 27 * STEPS
    ends = [int(re.search(r"end\w+ after epoch (\d+)", each)[1]) for each in run.said]
    assert ends and min(ends) >= 24  # nor was much given up in between


def test_a_run_that_stays_slow_ends_in_time(made_up):
    clock = made_up(MadeUpTime(90.0, slow=(48.0, 1000.0)))
    run = Simulated(clock, 30).run()
    assert 0 <= clock.left_sec < 2 * STEPS * 4
    assert run.rates[-1] < 0.1 * run.rates[30]


def test_a_single_epoch_that_is_fast_is_followed_by_more(made_up, monkeypatch):
    monkeypatch.setattr(time_budget, "TRUSTED_STEPS", 2)
    clock = made_up(MadeUpTime(60.0))
    run = Simulated(clock, 1, most=4, steps=9, predicted_sec=55.0).run()
    assert run.iter == 4 * 9
    assert run.rates[-1] < 0.1 * run.rates[5]


def told(planned, steps, *changes):
    """What is said of a plan with these epochs and steps in each, whose end changes at a step."""
    run = Simulated(MadeUpTime(60.0), planned, steps=steps)
    run.runner.param_schedulers = []
    for step, end in changes:
        run.iter, run.epoch = step, step // steps
        run.hook.end_at(run, -(-end // steps), end)
    run.iter = run.epoch = run.max_epochs
    run.hook.settle(run)
    return run.said, run.told_epochs


@pytest.mark.parametrize(
    ("planned", "steps", "changes", "said", "shown"),
    [
        (
            1,
            80,
            [(10, 53), (20, 77), (30, 73), (45, 70), (50, 62), (52, 59), (53, 56), (53, 53)],
            [
                "time_budget: training ends after step 62 of 80 in epoch 1 (1 planned).",
                "time_budget: training ended after step 53 of 80 in epoch 1 (1 planned).",
            ],
            1,
        ),
        (
            21,
            10,
            [(20, 220), (30, 280), (60, 220), (80, 150), (82, 140), (130, 135)],
            [
                "time_budget: training ends after epoch 15 (21 planned).",
                "time_budget: training ended after step 5 of 10 in epoch 14 (21 planned).",
            ],
            14,
        ),
        (21, 10, [(150, 190), (160, 210)], [], 21),
    ],
)
def test_an_end_is_told_once_and_again_only_where_it_really_changes(
    planned, steps, changes, said, shown
):
    assert told(planned, steps, *changes) == (said, shown)


@pytest.mark.slow
def test_what_was_decided_is_kept_over_a_stop(clips, tmp_path, made_up, monkeypatch):
    clock = made_up(MadeUpTime(13.0, step_sec=2.0))
    config = timed(clips, tmp_path, epoch=6, budget_sec=13.0)
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(Stopped):
            train(config)
    cut = read_checkpoint(tmp_path / "latest.pth")["hooks"]["TimeBudget"]["cut"]
    assert cut["epochs"] == 2
    clock.now = 0.0  # all the time of the world
    clock.budget_sec = 1000.0
    train(config)
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 2


@pytest.mark.slow
def test_another_budget_undoes_it(clips, tmp_path, made_up):
    clock = made_up(MadeUpTime(2.5))
    train(timed(clips, tmp_path, epoch=1, budget_sec=2.5))
    clock.budget_sec = 1000.0
    train(timed(clips, tmp_path, epoch=3, budget_sec=1000.0))
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 3
