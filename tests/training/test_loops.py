"""Training and validation loops, on a real runner with a tiny model."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from autox_video.core.errors import (
    ListingError,
    VideoError,
)
from autox_video.data.loading.clip_dataset import ClipDataset
from autox_video.data.loading.loader import Unreadable
from autox_video.distributed.processes import Processes
from autox_video.training import interrupt
from autox_video.training.checkpoints.checkpoint import read_checkpoint, write_checkpoint
from autox_video.training.run_training import train
from tests.training.tiny import events, everything, same, spoil, stop_after, tiny_config, weights
from tests.videos import write_text_video

pytestmark = pytest.mark.slow


def test_evaluation_comes_every_second_epoch_and_after_the_last(clips, tmp_path):
    best = train(tiny_config(clips, tmp_path, epoch=3))
    assert [e["epoch"] for e in events(tmp_path, "val")] == [2, 3]
    assert [e["iter"] for e in events(tmp_path, "val")] == [6, 9]
    assert best["epoch"] in (2, 3)
    assert events(tmp_path, "train")[-1]["iter"] == 9
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {
        *("latest.pth", "previous.pth", "best.pth", "best.safetensors"),
        *("metrics.jsonl", "train.log"),
    }


def test_a_run_that_was_stopped_in_an_epoch_goes_on_from_there(clips, tmp_path, monkeypatch):
    config = tiny_config(clips, tmp_path, epoch=2)
    stop_after(monkeypatch, 2)
    with pytest.raises(interrupt.Stopped):
        train(config)
    meta = read_checkpoint(tmp_path / "latest.pth")["meta"]
    assert (meta["epoch"], meta["iter"], meta["taken"]) == (0, 2, 8)
    monkeypatch.undo()
    train(config)
    assert [e["iter"] for e in events(tmp_path, "train")] == [1, 2, 3, 4, 5, 6]
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 2


def test_a_kill_between_an_epoch_and_its_evaluation_loses_no_evaluation(clips, tmp_path):
    config = tiny_config(clips, tmp_path, epoch=2)
    train(config)
    state = read_checkpoint(tmp_path / "latest.pth")
    state["meta"].update(evaluated_epoch=0, best=None)
    write_checkpoint(tmp_path / "latest.pth", state)
    (tmp_path / "best.pth").unlink()
    (tmp_path / "best.safetensors").unlink()
    best = train(config)
    assert best["epoch"] == 2
    assert same(weights(tmp_path / "best.pth"), state["state_dict"])


def test_a_finished_run_stays_as_it_is(clips, tmp_path, capsys):
    config = tiny_config(clips, tmp_path, epoch=2)
    first = train(config)
    before = weights(tmp_path / "latest.pth")
    capsys.readouterr()
    assert train(config) == first
    assert same(before, weights(tmp_path / "latest.pth"))
    assert capsys.readouterr().out == "Training was already finished after 2 epochs.\n"


def test_clips_that_fail_during_training_are_named_once_and_left_out(clips, tmp_path, capsys):
    config = tiny_config(clips, tmp_path, epoch=2, seed=1)
    kept = (clips / "videos" / "train red 1.mp4").read_bytes()
    write_text_video(clips / "videos" / "train red 1.mp4")
    try:
        train(config)
    finally:
        (clips / "videos" / "train red 1.mp4").write_bytes(kept)
    assert capsys.readouterr().err.count("train red 1.mp4") == 1
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["iter"] == 6
    assert [e["clips"] for e in events(tmp_path, "val")] == [3]
    # Two batches of four and one of one in each epoch: others stand in for the clip that is bad.
    assert [e["step"] for e in events(tmp_path, "train")] == [1, 2, 3] * 2


def test_too_many_bad_clips_end_the_run_with_a_sentence(clips, tmp_path, monkeypatch):
    config = tiny_config(clips, tmp_path, epoch=2, max_bad=0.2)
    read = ClipDataset.read

    def fail(dataset, index, out):
        if index % len(dataset) in (1, 4, 6) and len(dataset) == 9:
            raise VideoError(f"{dataset.name(index)}: gone.")
        read(dataset, index, out)

    monkeypatch.setattr(ClipDataset, "read", fail)
    with pytest.raises(ListingError, match="max_bad: . of 9 training clips .* more than 20%"):
        train(config)


def gone(monkeypatch, positions):
    """Have these of the nine training clips be gone; gives the list of what is read."""
    read, tried = ClipDataset.read, []

    def fail(dataset, index, out):
        position = index % len(dataset)
        if len(dataset) == 9:
            tried.append(position)
        if len(dataset) == 9 and position in positions:
            raise VideoError(f"{dataset.name(index)}: gone.")
        read(dataset, index, out)

    monkeypatch.setattr(ClipDataset, "read", fail)
    return tried


def test_with_the_disk_gone_few_clips_are_tried(clips, tmp_path, monkeypatch):
    tried = gone(monkeypatch, range(9))
    with pytest.raises(ListingError, match="max_bad: 3 of 9 training clips .* more than 30%"):
        train(tiny_config(clips, tmp_path, epoch=2, max_bad=0.3))
    assert len(tried) == 3


def test_none_is_tolerated_where_none_is_to_be(clips, tmp_path, monkeypatch):
    gone(monkeypatch, [4])
    with pytest.raises(ListingError, match="max_bad: 1 of 9 training clips .* more than 0%"):
        train(tiny_config(clips, tmp_path, epoch=2, max_bad=0))


@pytest.mark.parametrize(("others", "ends"), [([4, 6], True), ([2], False)])
def test_the_clips_of_all_processes_count_each_once(clips, tmp_path, monkeypatch, others, ends):
    """The other process, of which this test plays the part, finds some that cannot be read."""
    tried = gone(monkeypatch, [2])
    theirs = [Unreadable(number, f"clip {number}", "gone.") for number in others]
    second = SimpleNamespace(
        current=lambda: Processes(),
        run_on_rank_zero=lambda make: make(),
        all_reduce_max=list,
        all_gather=lambda mine: [mine, theirs] if mine and isinstance(mine, list) else [mine],
    )
    monkeypatch.setattr("autox_video.training.loops.processes", second)
    config = tiny_config(clips, tmp_path, epoch=3, max_bad=0.25, evaluation=0)
    if not ends:
        train(config)
        assert tried.count(2) == 1
        return
    with pytest.raises(ListingError, match="max_bad: 3 of 9 training clips"):
        train(config)


def test_a_run_goes_on_in_order_though_a_clip_is_bad(clips, tmp_path, monkeypatch):
    seen = []
    read = ClipDataset.read

    def spy(dataset, index, out):
        if len(dataset) == 9:
            seen.append(index)
            if index % 9 == first:
                raise VideoError("gone.")
        read(dataset, index, out)

    config = tiny_config(clips, tmp_path, epoch=1, evaluation=0, max_bad=0.5)
    order = np.random.default_rng([0, 0]).permutation(9).tolist()
    first = order[0]
    monkeypatch.setattr(ClipDataset, "read", spy)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(interrupt.Stopped):
            train(config)
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["taken"] == 4
    before = list(seen)
    train(config)
    # The clip of the place half an epoch away stands in.
    assert before == [order[0], order[4], *order[1:4]]
    assert seen[5:] == order[4:]


def test_the_same_seed_trains_the_same_weights(clips, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny_config(clips, tmp_path / name, epoch=1, seed=seed, evaluation=0))
    a, b, c = (weights(tmp_path / name / "latest.pth") for name in "abc")
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_stopped_anywhere_is_the_run_that_was_not(clips, tmp_path, monkeypatch, precision):
    """With dropped paths, mixed clips and a summary that is begun before the stop."""
    keys = {"epoch": 2, "videos_per_gpu": 2, "augment": "strong", "precision": precision}
    keys["ema"] = 0.9

    def config(name):
        made = tiny_config(clips, tmp_path / name, **keys)
        made.model.backbone.drop_path_rate = 0.3
        made.model.cls_head.dropout_ratio = 0.5
        return made

    monkeypatch.setattr("autox_video.training.hooks.progress.SUMMARIES_PER_EPOCH", 2)
    train(config("whole"))
    for looks in range(40):
        torch.manual_seed(looks)  # whatever happened to be drawn before
        with monkeypatch.context() as patch:
            stop_after(patch, 2 + looks % 3)
            try:
                train(config("stopped"))
                break
            except interrupt.Stopped as stop:
                assert stop.saved
    assert looks > 3
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")
    assert same(weights(tmp_path / "stopped/best.pth"), weights(tmp_path / "whole/best.pth"))


def test_a_loss_that_is_not_finite_never_reaches_the_weights(clips, tmp_path, monkeypatch, capsys):
    spoil(monkeypatch, {1, 2})
    train(tiny_config(clips, tmp_path, epoch=1))
    state = read_checkpoint(tmp_path / "latest.pth")
    assert all(torch.isfinite(w).all() for w in state["state_dict"].values())
    assert state["optimizer"]["bad_steps"] == [2, 2]
    steps = {int(values["step"]) for values in state["optimizer"]["state"].values()}
    assert steps == {1}  # of three
    assert capsys.readouterr().err.count("not finite") == 2
    assert [e["loss"] is None for e in events(tmp_path, "train")] == [False, True, True]
