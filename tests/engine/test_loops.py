"""Training and validation loops, on a real runner with a tiny model."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autox_video.dataset.clips import ClipDataset
from autox_video.engine import interrupt
from autox_video.engine.checkpoint import digest, read_checkpoint, write_checkpoint
from autox_video.engine.memory import read_accumulation
from autox_video.engine.train import train
from autox_video.errors import (
    CheckpointError,
    ListingError,
    NumbersError,
    ResourceError,
    VideoError,
)
from autox_video.models.head import ClipHead
from autox_video.models.swin3d import VideoSwin
from autox_video.recipe import TrainingData, build_config
from tests.datasets import colour_data
from tests.plan.test_choose import plan_for
from tests.videos import truncate, write_text_video


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
    defaults = {"videos_per_gpu": 4, "resolution": 32, "clip_len": 2, "workers": 0}
    plan = plan_for(**{**defaults, **keys})
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


def stop_after(monkeypatch, looks):
    """Have a signal come before the look for one with this number: there is one after each step."""
    calls = iter(range(1, 1000))
    monkeypatch.setattr(
        "autox_video.engine.loops.stop_requested", lambda: 15 if next(calls) >= looks else None
    )


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


def everything(work_dir):
    """All of a checkpoint but where the work dir is, and the metrics without times."""
    state = read_checkpoint(work_dir / "latest.pth")
    timeless = [
        {k: v for k, v in e.items() if k not in ("clips_per_sec", "data_wait")}
        for e in events(work_dir, "train") + events(work_dir, "val")
    ]
    return digest(state), timeless


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_stopped_anywhere_is_the_run_that_was_not(clips, tmp_path, monkeypatch, precision):
    """With dropped paths, mixed clips and a summary that is begun before the stop."""
    keys = {"epoch": 2, "videos_per_gpu": 2, "augment": "strong", "precision": precision}

    def config(name):
        made = tiny_config(clips, tmp_path / name, **keys)
        made.model.backbone.drop_path_rate = 0.3
        made.model.cls_head.dropout_ratio = 0.5
        return made

    monkeypatch.setattr("autox_video.engine.progress.SUMMARIES_PER_EPOCH", 2)
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


def test_steps_in_parts_give_what_whole_steps_give(clips, tmp_path):
    for parts in (1, 3, 4):
        config = tiny_config(clips, tmp_path / str(parts), epoch=1)
        config.train_cfg.accumulation = parts
        train(config)
    one, three, four = (events(tmp_path / name, "train") for name in ("1", "3", "4"))
    for other in (three, four):
        assert [e["loss"] for e in other] == pytest.approx([e["loss"] for e in one], rel=1e-4)
        assert [e["top1"] for e in other] == pytest.approx([e["top1"] for e in one], rel=1e-6)


def test_running_out_of_memory_cuts_steps_up_and_is_remembered(
    clips, tmp_path, monkeypatch, capsys
):
    forward = VideoSwin.forward
    sizes = []

    def small(model, clips):
        sizes.append(len(clips))
        if len(clips) > 1 and model.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.")
        return forward(model, clips)

    config = tiny_config(clips, tmp_path / "small", epoch=1)
    with monkeypatch.context() as patch:
        patch.setattr(VideoSwin, "forward", small)
        train(config)
    assert sizes[:6] == [4, 2, 1, 1, 1, 1]
    assert "in 4 parts from now on" in capsys.readouterr().err
    assert read_accumulation(tmp_path / "small") == 4
    whole = tiny_config(clips, tmp_path / "whole", epoch=1)
    train(whole)
    losses = [[e["loss"] for e in events(tmp_path / name, "train")] for name in ("small", "whole")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_one_clip_that_does_not_fit_ends_in_a_sentence(clips, tmp_path, monkeypatch):
    def full(model, clips):
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
        )

    monkeypatch.setattr(VideoSwin, "forward", full)
    with pytest.raises(ResourceError, match="Not even one clip fits"):
        train(tiny_config(clips, tmp_path, epoch=1))


def spoil(monkeypatch, steps):
    """Give the loss of the steps with these numbers, counted over all calls, as NaN."""
    calls = iter(range(1000))
    loss_by_feat = ClipHead.loss_by_feat

    def spoiled(head, *args):
        losses = loss_by_feat(head, *args)
        if next(calls) in steps:
            losses["loss_cls"] = losses["loss_cls"] * float("nan")
        return losses

    monkeypatch.setattr(ClipHead, "loss_by_feat", spoiled)


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


def test_several_in_a_row_go_back_with_a_lower_learning_rate(clips, tmp_path, monkeypatch, capsys):
    config = tiny_config(clips, tmp_path, epoch=4, evaluation=0)
    monkeypatch.setattr("autox_video.engine.keeper.SAVING_SHARE", 1e9)
    spoil(monkeypatch, range(7, 12))  # from the second step of the third epoch on
    train(config)
    shown = capsys.readouterr().err
    assert "before step 13 gave numbers that are not finite: back to step 6, with 0.5" in shown
    meta = read_checkpoint(tmp_path / "latest.pth")["meta"]
    assert (meta["rollbacks"], meta["epoch"]) == (1, 4)
    train_events = events(tmp_path, "train")
    assert [e["iter"] for e in train_events] == list(range(1, 13))
    assert train_events[9]["lr"] == pytest.approx(0.5 * lr_at(config, 10))


def lr_at(config, step):
    schedule = config.param_scheduler[0]
    done = (step - schedule.fall) / (schedule.end - schedule.fall)
    return config.optim_wrapper.optimizer.lr * (1 + np.cos(np.pi * done)) / 2


def test_before_the_first_checkpoint_it_goes_back_to_the_start(clips, tmp_path, monkeypatch):
    spoil(monkeypatch, range(5))
    train(tiny_config(clips, tmp_path, epoch=2, videos_per_gpu=1, evaluation=0))
    assert [e["iter"] for e in events(tmp_path, "train")][-1] == 18
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["rollbacks"] == 1


def test_after_three_times_it_stops_with_a_sentence(clips, tmp_path, monkeypatch):
    spoil(monkeypatch, range(7, 1000))
    with pytest.raises(NumbersError, match="3 times lowering the learning rate"):
        train(tiny_config(clips, tmp_path, epoch=4, evaluation=0))
    state = read_checkpoint(tmp_path / "latest.pth")
    assert all(torch.isfinite(w).all() for w in state["state_dict"].values())


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(clips, tmp_path, capsys):
    config = tiny_config(clips, tmp_path, epoch=3)
    whole = tiny_config(clips, tmp_path / "whole", epoch=3)
    train(whole)
    shutil.copytree(tmp_path / "whole", tmp_path, dirs_exist_ok=True)
    truncate(tmp_path / "latest.pth", 0.7)
    train(config)
    shown = capsys.readouterr().out
    assert "latest.pth: the checkpoint is damaged" in shown
    assert "It is now latest.pth.damaged. Going on from previous.pth." in shown
    assert everything(tmp_path)[0] == everything(tmp_path / "whole")[0]
    assert (tmp_path / "latest.pth.damaged").exists()


def test_where_both_are_damaged_it_says_so_and_touches_nothing(clips, tmp_path):
    config = tiny_config(clips, tmp_path, epoch=2)
    train(config)
    for name in ("latest.pth", "previous.pth"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match="no other checkpoint to go on from"):
        train(config)
    assert {"latest.pth", "previous.pth", "best.pth"} <= {p.name for p in tmp_path.iterdir()}


def test_best_weights_are_mended_from_their_copy(clips, tmp_path):
    config = tiny_config(clips, tmp_path, epoch=2)
    best = train(config)
    before = weights(tmp_path / "best.pth")
    truncate(tmp_path / "best.pth", 0.5)
    assert train(config) == best
    assert same(weights(tmp_path / "best.pth"), before)


def test_a_full_disk_costs_the_save_and_training_goes_on(clips, tmp_path, monkeypatch, capsys):
    config = tiny_config(clips, tmp_path, epoch=3)
    save = torch.save
    calls = iter(range(100))

    def fail(*args, **options):
        if next(calls) in (1, 2):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*args, **options)

    monkeypatch.setattr(torch, "save", fail)
    train(config)
    shown = capsys.readouterr().err
    assert shown.count("No space left on device") == 2
    assert "training goes on" in shown
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 3
    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_comes_in_time_within_an_epoch(clips, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "autox_video.engine.keeper.write_checkpoint",
        lambda path, state, keep: saved.append(state["meta"]["iter"]),
    )
    monkeypatch.setattr("autox_video.engine.keeper.SAVING_SHARE", 0.0)
    config = tiny_config(clips, tmp_path, epoch=2, evaluation=0, checkpoint_minutes=1e-9)
    train(config)
    assert saved == [1, 2, 3, 4, 5, 6]


def test_more_epochs_or_another_batch_go_on_from_the_same_place(clips, tmp_path):
    train(tiny_config(clips, tmp_path, epoch=2, evaluation=0))
    # Nine clips: three steps of four an epoch, now two of eight.
    train(tiny_config(clips, tmp_path, epoch=4, evaluation=0, videos_per_gpu=8))
    assert [e["iter"] for e in events(tmp_path, "train")][-2:] == [7, 8]
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 4
    lrs = [e["lr"] for e in events(tmp_path, "train")]
    assert lrs[-2] > 0
