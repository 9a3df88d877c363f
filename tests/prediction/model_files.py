"""Small model files for the tests."""

from dataclasses import replace
from pathlib import Path

import torch

from autox_video.evaluation.predict import build_model
from autox_video.planning.plan import Plan
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.training.checkpoints.checkpoint import RECORD_KEY, SCHEMA, write_best
from autox_video.training.checkpoints.members import Member, joined
from autox_video.training.checkpoints.model_record import model_record
from autox_video.training.config.build_config import model_config
from tests.planning.test_plan import plan_for

CLASSES = ("red", "green", "blue")
CALIBRATION = {"temperature": 2.0, "clips": 30, "ece": 0.2, "ece_calibrated": 0.1, "top1": 0.5}


def tiny_plan(**changes) -> Plan:
    plan = plan_for(resolution=32, clip_len=4, workers=0, epoch=1, precision="float32")
    return replace(plan, num_classes=3, **{"test_clips": 2, "frame_interval_sec": 0.1, **changes})


def member(plan: Plan, *, task: str = "single_label", seed: int = 0) -> Member:
    """Make a model with random weights."""
    record = RunRecord(plan, TrainingData("", "none.csv", None, CLASSES, num_train=3, task=task))
    torch.manual_seed(seed)
    model = build_model(model_config(record))
    model.init_weights()
    # Outputs that differ between clips by more than rounding.
    model.cls_head.fc_cls.weight.data.normal_(0, 2.0)
    return Member(model_record(record.to_json()), model.state_dict())


def write_model(folder: Path, *members: Member, metrics: dict | None = None) -> Path:
    """Write a model, or an ensemble of equal shares, to best.safetensors and best.pth."""
    shares = [replace(one, share=1 / len(members)) for one in members]
    meta = {"metrics": CALIBRATION if metrics is None else metrics, "identity": {}}
    if len(members) == 1:
        meta[RECORD_KEY] = members[0].record
        state = {"state_dict": members[0].state, "meta": meta}
    else:
        state = joined(shares, meta)
    write_best(folder, {"schema": SCHEMA, **state})
    return folder / "best.safetensors"
