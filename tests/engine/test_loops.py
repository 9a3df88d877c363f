"""Training and validation loops, on a real runner with a tiny model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autox_video.dataset.clips import ClipDataset
from autox_video.engine import interrupt
from autox_video.engine.checkpoint import read_checkpoint
from autox_video.engine.train import train
from autox_video.errors import ListingError, VideoError
from autox_video.recipe import TrainingData, build_config
from tests.datasets import colour_data
from tests.plan.test_choose import plan_for
from tests.videos import write_text_video


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("loops")
    keys = colour_data(root, train=3, val=1, test=1)
    for split in ("train", "val"):
        lines = Path(keys[f"ann_file_{split}"]).read_text().splitlines()
        rows = [",".join(line.rsplit(" ", 1)) for line in lines]
        (root / f"{split}.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    return root


def tiny_config(clips, work_dir, **keys):
    plan = plan_for(videos_per_gpu=4, resolution=32, clip_len=2, workers=0, **keys)
    data = TrainingData(
        str(clips / "videos"),
        str(clips / "train.csv"),
        str(clips / "val.csv"),
        ("red", "green", "blue"),
        num_train=9,
    )
    return build_config(replace(plan, num_classes=3), data, str(work_dir))


def events(work_dir, kind):
    lines = Path(work_dir, "metrics.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == kind]


def weights(path):
    return read_checkpoint(path)["state_dict"]


def same(one, other):
    return all(torch.equal(one[k], other[k]) for k in one)


def test_evaluation_comes_every_second_epoch_and_after_the_last(clips, tmp_path):
    best = train(tiny_config(clips, tmp_path, epoch=3))
    assert [e["epoch"] for e in events(tmp_path, "val")] == [2, 3]
    assert [e["iter"] for e in events(tmp_path, "val")] == [6, 9]
    assert best["epoch"] in (2, 3)
    assert events(tmp_path, "train")[-1]["iter"] == 9
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"latest.pth", "best.pth", "metrics.jsonl", "train.log"}


def test_a_run_that_was_stopped_in_an_epoch_goes_on_from_there(clips, tmp_path, monkeypatch):
    config = tiny_config(clips, tmp_path, epoch=2)
    calls = iter(range(100))
    monkeypatch.setattr(
        "autox_video.engine.loops.stop_requested", lambda: 15 if next(calls) == 1 else None
    )
    monkeypatch.setattr("autox_video.engine.loops.stop_if_requested", lambda: _stop(calls))
    with pytest.raises(interrupt.Stopped):
        train(config)
    meta = read_checkpoint(tmp_path / "latest.pth")["meta"]
    assert (meta["epoch"], meta["iter"], meta["taken"]) == (0, 2, 8)
    monkeypatch.undo()
    train(config)
    assert [e["iter"] for e in events(tmp_path, "train")] == [1, 2, 3, 4, 5, 6]
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 2


def _stop(calls):
    if next(calls) == 2:
        raise interrupt.Stopped(15)


def test_a_kill_between_an_epoch_and_its_evaluation_loses_no_evaluation(clips, tmp_path):
    config = tiny_config(clips, tmp_path, epoch=2)
    train(config)
    state = read_checkpoint(tmp_path / "latest.pth")
    state["meta"].update(evaluated_epoch=0, best=None)
    torch.save(state, tmp_path / "latest.pth")
    (tmp_path / "best.pth").unlink()
    best = train(config)
    assert best["epoch"] == 2
    assert same(weights(tmp_path / "best.pth"), state["state_dict"])


def test_a_finished_run_stays_as_it_is(clips, tmp_path):
    config = tiny_config(clips, tmp_path, epoch=2)
    first = train(config)
    before = weights(tmp_path / "latest.pth")
    assert train(config) == first
    assert same(before, weights(tmp_path / "latest.pth"))


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


def test_a_run_goes_on_in_order_though_a_clip_is_bad(clips, tmp_path, monkeypatch):
    """The places that a bad clip takes in the order are part of what a checkpoint keeps."""
    seen = []
    read = ClipDataset.read

    def spy(dataset, index, out):
        if len(dataset) == 9:
            seen.append(index)
            if index % 9 == first:
                raise VideoError("gone.")
        read(dataset, index, out)

    config = tiny_config(clips, tmp_path, epoch=1, evaluation=0, max_bad=0.5)
    first = int(np.random.default_rng([0, 0]).permutation(9)[0])
    monkeypatch.setattr(ClipDataset, "read", spy)
    calls = iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr("autox_video.engine.loops.stop_requested", lambda: next(calls) == 0)
        patch.setattr("autox_video.engine.loops.stop_if_requested", lambda: _stop(calls))
        calls = iter([0, 2, 2])
        with pytest.raises(interrupt.Stopped):
            train(config)
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["taken"] == 5
    before = list(seen)
    train(config)
    order = np.random.default_rng([0, 0]).permutation(9).tolist()
    assert before == order[:5]
    # One place was the bad clip's: the order goes round for as many clips as without it.
    assert seen[5:10] == [*order[5:9], order[0]]


def test_the_same_seed_trains_the_same_weights(clips, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny_config(clips, tmp_path / name, epoch=1, seed=seed, evaluation=0))
    a, b, c = (weights(tmp_path / name / "latest.pth") for name in "abc")
    assert same(a, b)
    assert not same(a, c)
