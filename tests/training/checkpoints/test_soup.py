"""The average of the best weights."""

from types import SimpleNamespace

import pytest
import torch

from autox_video.core.errors import ResourceError
from autox_video.training import interrupt
from autox_video.training.checkpoints import checkpoint_hook
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.checkpoints.checkpoint_hook import ClipCheckpointHook
from autox_video.training.checkpoints.soup import ModelSoup
from autox_video.training.run_training import train
from tests.training.tiny import events, same, stop_after, tiny_config, weights

TARGET = 2.0


def runner_in(folder, most=3, identity=None):
    """A runner around one weight, whose loss is its distance to TARGET; and its soup."""
    model, soup = torch.nn.Linear(1, 1, bias=False), ModelSoup(most)
    keep, notes = ClipCheckpointHook(identity=identity), []
    loss = lambda: float((model.weight - TARGET).abs())  # noqa: E731
    metrics = lambda: {"top1": 0.5, "top5": 1.0, "loss": loss(), "clips": 4}  # noqa: E731
    runner = SimpleNamespace(
        model=model,
        work_dir=str(folder),
        hooks=[soup, keep],
        cfg={},
        train_loop=SimpleNamespace(
            epoch=0, evaluated_epoch=0, may_evaluate=lambda: True, stop_if_asked=lambda: None
        ),
        val_loop=SimpleNamespace(measure=lambda between_batches: metrics()),
        call_hook=lambda name, sentence: notes.append(sentence),
    )

    def evaluate(weight):
        runner.train_loop.epoch += 1
        runner.train_loop.evaluated_epoch = runner.train_loop.epoch
        model.weight.data.fill_(weight)
        for hook in runner.hooks:
            hook.after_val_epoch(runner, metrics=metrics())

    return runner, soup, evaluate, notes


def best_weight(folder):
    return float(read_checkpoint(folder / "best.pth")["state_dict"]["weight"])


@pytest.mark.parametrize(
    ("evaluated", "best", "named"),
    [
        ([3.5, 1.0], 2.25, "1 and 2"),
        ([2.5, 1.0, 3.1], 2.2, "1, 2 and 3"),
        ([3.3, 1.0, 1.5], 2.4, "1 and 3"),  # 1.0, the second best, makes it worse
        ([2.0, 3.0, 4.0], 2.0, None),
        ([9.0, 1.0, 2.6, 8.0], 1.8, "2 and 3"),  # 8.0, the third best, makes it worse
        ([1.0], 1.0, None),
    ],
)
def test_what_makes_the_average_better_is_taken(tmp_path, evaluated, best, named):
    runner, soup, evaluate, notes = runner_in(tmp_path)
    for weight in evaluated:
        evaluate(weight)
    soup.average_weights(runner)
    assert best_weight(tmp_path) == pytest.approx(best)
    assert [named in note for note in notes] == [True] if named else not notes
    assert not (tmp_path / "soup").exists()


def test_as_few_stay_on_disk_as_are_wanted(tmp_path):
    _, soup, evaluate, _ = runner_in(tmp_path, most=2)
    for weight in (9.0, 3.0, 8.0, 1.5, 7.0):
        evaluate(weight)
    assert [path.name for path in sorted((tmp_path / "soup").iterdir())] == [
        "00002.pth",
        "00004.pth",
    ]
    assert sorted(soup.metrics) == [2, 4]


def test_a_run_that_goes_on_finds_what_is_its_own(tmp_path):
    _, soup, evaluate, _ = runner_in(tmp_path, identity={"seed": 1})
    for weight in (9.0, 3.0, 8.0):
        evaluate(weight)
    (tmp_path / "soup/00002.pth").write_bytes(b"damaged")
    (tmp_path / "soup/.00009.pth.x.part").write_bytes(b"cut short")
    (tmp_path / "soup/notes.txt").write_text("somebody's")
    runner, again, _, _ = runner_in(tmp_path, identity={"seed": 1})
    runner.train_loop.evaluated_epoch = 2
    again.after_resume(runner, None)
    assert again.metrics == {1: soup.metrics[1]}
    assert sorted(path.name for path in (tmp_path / "soup").iterdir()) == ["00001.pth", "notes.txt"]
    runner, other, _, _ = runner_in(tmp_path, identity={"seed": 2})
    runner.train_loop.evaluated_epoch = 3
    other.after_resume(runner, None)
    assert not other.metrics
    other.average_weights(runner)
    assert [path.name for path in (tmp_path / "soup").iterdir()] == ["notes.txt"]


def test_without_time_nothing_is_tried(tmp_path):
    runner, soup, evaluate, notes = runner_in(tmp_path)
    evaluate(3.5)
    evaluate(1.0)
    runner.train_loop.may_evaluate = lambda: False
    soup.average_weights(runner)
    assert best_weight(tmp_path) == 1.0
    assert not notes


def test_weights_that_cannot_be_read_are_left_out(tmp_path):
    runner, soup, evaluate, notes = runner_in(tmp_path)
    for weight in (1.0, 3.5, 3.2):
        evaluate(weight)
    (tmp_path / "soup/00003.pth").write_bytes(b"damaged")
    soup.average_weights(runner)
    assert best_weight(tmp_path) == 2.25
    assert "left out of the model soup" in notes[0]


def test_weights_for_which_there_is_no_room_are_in_no_average(tmp_path):
    runner, soup, evaluate, notes = runner_in(tmp_path)
    (tmp_path / "soup").write_text("in the way")
    evaluate(1.0)
    (tmp_path / "soup").unlink()
    evaluate(3.5)
    assert len(notes) == 1 and sorted(soup.metrics) == [2]
    soup.average_weights(runner)
    assert best_weight(tmp_path) == 1.0


def test_what_an_average_is_made_of_stays_until_it_is_written(tmp_path, monkeypatch):
    runner, soup, evaluate, _ = runner_in(tmp_path)
    evaluate(1.0)
    evaluate(3.5)
    with monkeypatch.context() as patch:

        def full(*args, **kwargs):
            raise ResourceError("no room")

        patch.setattr(checkpoint_hook, "write_best", full)
        soup.average_weights(runner)
    assert best_weight(tmp_path) == 1.0
    runner, again, _, _ = runner_in(tmp_path)
    runner.train_loop.epoch = runner.train_loop.evaluated_epoch = 2
    keep = next(hook for hook in runner.hooks if hook is not again)
    keep.best = {"top1": 0.5, "loss": 1.0, "clips": 4, "epoch": 1}
    again.after_resume(runner, None)
    again.average_weights(runner)
    assert best_weight(tmp_path) == 2.25
    assert not (tmp_path / "soup").exists()


@pytest.mark.slow
def test_a_run_ends_with_it_and_goes_on_in_it(clips, tmp_path, monkeypatch):
    keys = {"epoch": 4, "evaluation": 1, "seed": 2, "lr": 0.003}
    best = train(tiny_config(clips, tmp_path / "whole", **keys))
    assert not (tmp_path / "whole/soup").exists()
    evaluated = [event["loss"] for event in events(tmp_path / "whole", "val")]
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 4)
            try:
                again = train(tiny_config(clips, tmp_path / "stopped", **keys))
                break
            except interrupt.Stopped:
                stops += 1
    assert stops > 2
    assert again == best
    assert same(weights(tmp_path / "stopped/best.pth"), weights(tmp_path / "whole/best.pth"))
    assert not (tmp_path / "stopped/soup").exists()
    assert best["loss"] < min(evaluated)  # it was kept: the test is of something
