"""Runs of a tiny model, and what comes of them."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from autox_video.planning.record import RunRecord, TrainingData
from autox_video.tasks.classification.head import ClipHead
from autox_video.training.checkpoints.checkpoint import digest, read_checkpoint
from autox_video.training.config.build_config import build_config
from autox_video.training.loops import ClipTrainLoop
from tests.planning.test_plan import plan_for


def tiny_config(clips, work_dir, **keys):
    """A config of a tiny model on the coloured clips; `keys` are settings."""
    return build_config(tiny_record(clips, **keys), work_dir)


def tiny_record(clips, **keys):
    """The record of such a run."""
    defaults = {"videos_per_gpu": 4, "resolution": 32, "clip_len": 2, "workers": 0}
    plan = plan_for(**{**defaults, **keys})
    data = TrainingData(
        str(clips / "videos"),
        str(clips / "train.csv"),
        str(clips / "val.csv"),
        ("red", "green", "blue"),
        num_train=9,
    )
    return RunRecord(replace(plan, num_classes=3), data)


def events(work_dir, kind):
    """The events of one kind in a work dir's metrics.jsonl."""
    lines = Path(work_dir, "metrics.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == kind]


def weights(path):
    """The weights in a checkpoint."""
    return read_checkpoint(path)["state_dict"]


def same(one, other):
    """Whether two sets of weights are equal, bit for bit."""
    return all(torch.equal(one[k], other[k]) for k in one)


def stop_after(monkeypatch, looks):
    """Have a signal come before the look for one with this number: there is one after each step."""
    calls = iter(range(1, 1000))
    monkeypatch.setattr(
        ClipTrainLoop, "_stop_signal", lambda loop: 15 if next(calls) >= looks else 0
    )


def everything(work_dir):
    """All of a checkpoint but where the work dir is, and the metrics without times."""
    state = read_checkpoint(work_dir / "latest.pth")
    timeless = [
        {k: v for k, v in e.items() if k not in ("clips_per_sec", "data_wait")}
        for e in events(work_dir, "train") + events(work_dir, "val")
    ]
    return digest(state), timeless


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
