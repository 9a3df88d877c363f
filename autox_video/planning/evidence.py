"""The figures that choices rest on, and what else there was to choose; a pure function."""

from typing import Any

from autox_video.backbones.specs import BACKBONES
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.machine.hardware import Hardware
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Measured


def evidence_of(
    plan: Plan, stats: DatasetStats, hardware: Hardware, measured: Measured
) -> dict[str, dict[str, Any]]:
    """Give for each field that has them its `figures`, and the `alternatives` with theirs.

    Args:
        plan: every choice.
        stats: the clips.
        hardware: the machine.
        measured: speeds on it, of this plan.
    """
    reading = {
        "read_sec_of_a_clip": round(measured.first_read_sec, 6),
        "step_sec_of_a_clip": round(measured.step_sec, 6),
    }
    figures = {
        "num_classes": {"clips_per_class_min": stats.clips_per_class_min},
        "clip_len": {"seconds_median": stats.seconds_median},
        "frame_interval_sec": {"seconds_median": stats.seconds_median, "fps": stats.fps_median},
        "resolution": {"short_side_median_px": stats.short_side_median},
        "batch_size": {"train_clips": stats.num_train},
        "accumulation": {"memory_gib": round(hardware.memory_gib, 2)},
        "epochs": {"train_clips": stats.num_train},
        "precision": {
            "fast_bfloat16": hardware.fast_bfloat16,
            "fast_float16": hardware.fast_float16,
        },
        "cache": {**reading, "read_again_sec": round(measured.read_sec, 6)},
        "workers": {**reading, "cores": hardware.cores},
        "evaluation": {"view_sec": round(measured.view_sec, 6), "val_clips": stats.num_val},
        "time_budget_sec": {"measuring_sec": round(measured.took_sec, 3)},
    }
    found: dict[str, dict[str, Any]] = {field: {"figures": f} for field, f in figures.items()}
    found["backbone"] = _backbones(plan, stats, measured)
    return found


def _backbones(plan: Plan, stats: DatasetStats, measured: Measured) -> dict[str, Any]:
    """Each backbone, with what it would take beside the one that was measured."""
    mine = BACKBONES[plan.backbone]
    others = [
        {
            "value": name,
            "parameters_millions": facts.parameters_millions,
            "step_sec_of_a_clip": round(
                measured.step_sec * facts.gmacs_per_clip / mine.gmacs_per_clip, 6
            ),
            "measured": name == plan.backbone,
            "clips_to_learn_from_scratch": facts.scratch_clips,
        }
        for name, facts in BACKBONES.items()
    ]
    return {"figures": {"train_clips": stats.num_train}, "alternatives": others}
