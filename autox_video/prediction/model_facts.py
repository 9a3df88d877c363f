"""The facts about a model file, as `autox-video info` shows them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autox_video.backbones.weights.tensor_file import is_tensor_file
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError
from autox_video.evaluation.calibrated_predictions import read_calibration
from autox_video.evaluation.predict import record_of
from autox_video.metrics.headline import headline, said
from autox_video.metrics.selection_score import main_score, score_label
from autox_video.planning.record import RunRecord
from autox_video.tasks.task import TASKS
from autox_video.training.checkpoints.checkpoint import ALL_CLIPS, RECORD_KEY, read_checkpoint
from autox_video.training.checkpoints.members import Member, members_of
from autox_video.training.checkpoints.model_record import SCHEMA_KEY, read_model_record

TRAINED, PROBE, ENSEMBLE = "trained", "probe", "ensemble"
"""Kinds of models: a network whose weights were trained, a head on fixed features, and several."""
CROPS = 3
"""Crops of each clip in a test."""
UNKNOWN = "unknown"

Facts = dict[str, Any]


def model_facts(path: Path) -> Facts:
    """Return what a model file says about its model, as JSON values.

    The whole file is read, and its checksum is checked.

    Returns:
        A dict with the keys

        - `file`, `format`, `bytes`, `schema`: the file;
        - `kind` (`trained`, `probe` or `ensemble`), `task`, `classes`, `train_clips`, and
          `refit`, whether the model was also trained on the validation clips;
        - `score`: main score with its 95% interval and how it was measured, or None;
        - `metrics`: all metrics of that evaluation;
        - `calibration`: temperature and calibration error before and after, or None;
        - `models`: for each model, the backbone, the pretrained weights with their licence, the
          input, the number of parameters, and the versions of the packages that trained it.

    Raises:
        CheckpointError: the file is missing, damaged, from a newer version or not a model.
    """
    state = read_checkpoint(path)
    records = [record_of(path)]
    members = members_of(state, str(path))
    records += [read_model_record(one.record, path) for one in members[1:]]
    meta, record = state["meta"], records[0]
    figures = _metrics(meta, path)
    return {
        "file": path.name,
        "format": "safetensors" if is_tensor_file(path) else "pth",
        "bytes": path.stat().st_size,
        "schema": _stored(meta).get(SCHEMA_KEY, 0),
        "kind": _kind(members, figures, record),
        "task": record.data.task,
        "classes": list(record.data.classes),
        "train_clips": record.data.num_train,
        "refit": bool(meta.get(ALL_CLIPS)),
        "score": _score(figures, path),
        "metrics": figures,
        "calibration": _calibration(meta, record),
        "models": [_model(*each) for each in zip(members, records, strict=True)],
    }


def _stored(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    stored = meta.get(RECORD_KEY)
    return stored if isinstance(stored, Mapping) else {}


def _kind(members: Sequence[Member], figures: Facts | None, record: RunRecord) -> str:
    if len(members) > 1:
        return ENSEMBLE
    epoch = (figures or {}).get("epoch")
    is_probe = epoch == 0 if epoch is not None else record.plan.mode == "probe"
    return PROBE if is_probe else TRAINED


def _metrics(meta: Mapping[str, Any], path: Path) -> Facts | None:
    """Return the metrics of the evaluation, with None for NaN; None if there was no evaluation."""
    try:
        figures = json.loads(json.dumps(meta.get("metrics")), parse_constant=lambda name: None)
        return figures and dict(figures)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: invalid metrics ({error}).") from error


def _score(figures: Facts | None, path: Path) -> Facts | None:
    """Return the score to report, with its name and interval; None if there is none."""
    name = main_score(figures)
    if name is None:
        return None
    try:
        said(figures)
        return {"metric": name, "label": score_label(name), **headline(figures).as_dict()}
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CheckpointError(f"{path}: invalid metrics ({error}).") from error


def _calibration(meta: Mapping[str, Any], record: RunRecord) -> Facts | None:
    """Return how probabilities are calibrated; None without calibration, as after a refit."""
    found = None if meta.get(ALL_CLIPS) else read_calibration(meta.get("metrics"))
    if found is None or not TASKS[record.data.task].calibrates:
        return None
    return {
        **{"temperature": found.temperature, "clips": found.clips, "on": found.on},
        **{"ece_before": found.ece_before, "ece_after": found.ece_after},
    }


def _model(member: Member, record: RunRecord) -> Facts:
    plan, weights = record.plan, record.plan.weights
    pretrained = weights and {
        **{"name": weights.path, "trained_on": weights.source},
        **{"licence": weights.licence or UNKNOWN, "noncommercial": weights.noncommercial},
    }
    norm = record.normalisation or BACKBONES[plan.backbone]
    return {
        "backbone": plan.backbone,
        "pretrained": pretrained,
        "input": {
            "frames": plan.clip_len,
            "frame_interval_sec": plan.frame_interval_sec,
            "span_sec": plan.clip_len * plan.frame_interval_sec,
            "side": plan.resolution,
            **{"mean": list(norm.mean), "std": list(norm.std)},
            **{"clips": plan.test_clips, "crops": CROPS},
        },
        "parameters": sum(tensor.numel() for tensor in member.state.values()),
        **{"share": member.share, "temperature": member.temperature},
        "versions": versions_of(member.record),
    }


def versions_of(stored: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of the packages that trained a model; empty in files of schema 0."""
    versions = stored.get("versions") if isinstance(stored, Mapping) else None
    known = versions.items() if isinstance(versions, Mapping) else ()
    return {str(name): str(version) for name, version in known if version is not None}
