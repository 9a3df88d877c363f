"""The plan of a run that goes on."""

from typing import Any

from autox_video.plan.choose import Plan
from autox_video.settings import AUTO, Settings

# Which key of the config settles which choice; what no key settles is kept when a run goes on.
SETTLED_BY = {
    "backbone": "backbone",
    "pretrained": "load_from",
    "num_classes": "num_class",
    "clip_len": "clip_len",
    "frame_interval_sec": "video_length",
    "test_clips": "video_length",
    "resolution": "resolution",
    "batch_size": "videos_per_gpu",
    "epochs": "epoch",
    "lr": "lr",
    "decoder": "decoder",
    "flip": "flip",
    "augment": "augment",
    "repeats": "repeats",
    "cache": "cache",
    "cache_gib": "cache",
    "precision": "precision",
    "gradient_checkpointing": "gradient_checkpointing",
    "seed": "seed",
}
DECIDED_ANEW = (
    *("device", "workers", "evaluation", "compile", "max_bad"),
    *("processes", "strategy", "deterministic", "checkpoint_minutes", "disk_gib", "accumulation"),
)


def continue_plan(plan: Plan, stored: dict[str, dict[str, Any]], settings: Settings) -> Plan:
    """The plan of a run that goes on: its own choices, except where the user asks otherwise now.

    Args:
        plan: what would be chosen for a new run.
        stored: the choices of the run, `{field: {"value": ..., "reason": ...}}`.
        settings: what the user asks for now.
    """
    values, reasons = plan.as_dict(), dict(plan.reasons)
    values.pop("reasons")
    for field, choice in stored.items():
        asked = getattr(settings, SETTLED_BY[field]) if field in SETTLED_BY else AUTO
        if field in values and field not in DECIDED_ANEW and asked == AUTO:
            values[field], reasons[field] = choice["value"], choice["reason"]
    return Plan(**values, reasons=reasons)
