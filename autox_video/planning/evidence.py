"""Figures that support a plan's choices, and alternatives to the choices."""

from typing import Any

from autox_video.config.choices import BACKBONES
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.machine.hardware import Hardware
from autox_video.planning.predicted_time import Measured


def evidence_of(
    backbone: str, stats: DatasetStats, hardware: Hardware, measured: Measured
) -> dict[str, dict[str, Any]]:
    """Return the evidence, `figures` and `alternatives`, for each plan field that has any.

    `measured` contains the times measured for the plan on this machine.
    """
    reading = {
        "read_sec_of_a_clip": round(measured.first_read_sec, 6),
        "step_sec_of_a_clip": round(measured.step_sec, 6),
    }
    fast = {"fast_bfloat16": hardware.fast_bfloat16, "fast_float16": hardware.fast_float16}
    figures = {
        "backbone": {"train_clips": stats.num_train},
        "num_classes": {"clips_per_class_min": stats.clips_per_class_min},
        "clip_len": {"seconds_median": stats.seconds_median},
        "frame_interval_sec": {"seconds_median": stats.seconds_median, "fps": stats.fps_median},
        "resolution": {"short_side_median_px": stats.short_side_median},
        "batch_size": {"train_clips": stats.num_train},
        "accumulation": {"memory_gib": round(hardware.memory_gib, 2)},
        "epochs": {"train_clips": stats.num_train},
        "precision": fast,
        "cache": {**reading, "read_again_sec": round(measured.read_sec, 6)},
        "workers": {**reading, "cores": hardware.cores},
        "evaluation": {"view_sec": round(measured.view_sec, 6), "val_clips": stats.num_val},
        "time_budget_sec": {"measuring_sec": round(measured.took_sec, 3)},
    }
    evidence: dict[str, dict[str, Any]] = {field: {"figures": f} for field, f in figures.items()}
    # The step times of the other backbones are estimated from the measured step time.
    step_sec_of_a_gmac = measured.step_sec / BACKBONES[backbone].gmacs_per_clip
    evidence["backbone"]["alternatives"] = [
        {
            "value": name,
            "parameters_millions": spec.parameters_millions,
            "step_sec_of_a_clip": round(step_sec_of_a_gmac * spec.gmacs_per_clip, 6),
            "measured": name == backbone,
            "clips_to_learn_from_scratch": spec.scratch_clips,
        }
        for name, spec in ((name, BACKBONES[name]) for name in BACKBONES)
    ]
    return evidence
