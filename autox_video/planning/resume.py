"""The plan of a run that goes on, and what may differ from the plan that it began with."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from autox_video.backbones.specs import Pretrained
from autox_video.config.settings import AUTO, Settings
from autox_video.planning.plan import Plan
from autox_video.planning.source import RULE, USER, Choice, Source

# Which key of the config settles which choice; what no key settles is kept when a run goes on.
SETTLED_BY = {
    "mode": "mode",
    "backbone": "backbone",
    "pretrained": "load_from",
    "num_classes": "num_class",
    "clip_len": "clip_len",
    "frame_interval_sec": "video_length",
    "resolution": "resolution",
    "early_side": "progressive",
    "early_share": "progressive",
    "batch_size": "videos_per_gpu",
    "epochs": "epoch",
    "lr": "lr",
    "ema": "ema",
    "drop_path": "drop_path",
    "patience": "patience",
    "class_balance": "class_balance",
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
    *("device", "workers", "evaluation", "compile", "max_bad", "time_budget_sec"),
    *("processes", "strategy", "deterministic", "checkpoint_minutes", "disk_gib", "accumulation"),
)

# Keys that other choices follow from: a run that goes on makes those with its own values of these.
_FOLLOWED = (
    *("backbone", "clip_len", "resolution", "precision", "gradient_checkpointing", "epochs", "lr"),
    *("decoder", "seed", "repeats"),
)

CUT_TO_SEC = 8.0
"""Longer spans were cut to it, in runs of before there were sources."""

_LAST_DIGITS = "results may differ in their last digits from here on"
_TIME_ONLY = "only time and memory change"
MAY_CHANGE: Mapping[str, str | None] = {
    "epochs": "the learning rate falls over {now} epochs from here on, so the result is not that "
    "of a run which began with {now}; where as many are over, training ends at once",
    "batch_size": "lr stays {lr:g}; steps have other clips from here on",
    "processes": "the batch of all together is {batch}, lr stays {lr:g}; {digits}",
    "accumulation": None,
    "precision": "the weights themselves are float32 as before; {digits}",
    "device": "{digits}",
    "gradient_checkpointing": _TIME_ONLY,
    "compile": "{digits}",
    "workers": None,
    "patience": "it counts from here on",
    "ema": "other averages are evaluated from here on",
    "evaluation": "the best weights are looked for at other epochs from here on",
    "cache": None,
    "cache_gib": None,
    "max_bad": "it counts from here on",
    "checkpoint_minutes": "at most that much can be lost",
    "strategy": "{digits}",
    "deterministic": "{digits}",
    "disk_gib": None,
    "test_clips": "only testing changes",
    "time_budget_sec": "what is left of it is planned anew; what was used counts",
}
"""Choices that may change while a run goes on, and what that means; None: nothing to speak of."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What is other than when the run began."""

    refused: tuple[str, ...]
    """`field: before -> now` of each choice without which it would not be the same run."""
    notes: tuple[str, ...]
    """A sentence for each other choice that changed."""


def differences(stored: Mapping[str, Mapping[str, Any]], plan: Plan) -> Differences:
    """Compare the plan of a run that goes on with the one that it began with; a pure function.

    Args:
        stored: the choices of the run, `{field: {"value": ..., "reason": ...}}`.
        plan: what `continue_plan` gives.
    """
    refused, notes = [], []
    words = {"lr": plan.lr, "batch": plan.batch_size, "digits": _LAST_DIGITS}
    for field, now in _plain(plan.as_dict()).items():
        if field == "reasons" or field not in stored:
            continue
        before = stored[field]["value"]
        if before == now:
            continue
        if field not in MAY_CHANGE:
            refused += _spelled_out(field, before, now)
        elif (meaning := MAY_CHANGE[field]) is not None:
            means = meaning.format(now=now, **words)
            notes.append(f"Going on with {field}: {before} -> {now} ({means}).")
    return Differences(tuple(refused), tuple(notes))


def _spelled_out(field: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                yield f"{field}.{key}: {before.get(key)} -> {now.get(key)}"
    else:
        yield f"{field}: {before} -> {now}"


def continue_plan(plan: Plan, stored: Mapping[str, Mapping[str, Any]], settings: Settings) -> Plan:
    """The plan of a run that goes on: its own choices, except where the user asks otherwise now.

    Args:
        plan: what is chosen now with `settings_to_go_on`.
        stored: the choices of the run, `{field: {"value": ..., "reason": ...}}`.
        settings: what the user asks for now.
    """
    kept, evidence = {}, {}
    for field, choice in stored.items():
        if (
            field in plan.reasons
            and field not in DECIDED_ANEW
            and not _asks(settings, field, stored)
        ):
            source = choice.get("source") or _unrecorded_source(field, settings)
            kept[field] = Choice(choice["value"], choice["reason"], source)
            evidence[field] = {k: choice[k] for k in ("figures", "alternatives") if k in choice}
    evidence = {field: found for field, found in evidence.items() if found}
    return replace(plan.with_choices(kept), evidence=evidence)


def _unrecorded_source(field: str, settings: Settings) -> Source:
    """The source of a choice in a plan.json of before there were sources: by the config of now."""
    asked = getattr(settings, SETTLED_BY[field]) if field in SETTLED_BY else AUTO
    return RULE if asked == AUTO else USER


def _asks(settings: Settings, field: str, stored: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the user asks for this choice now, other than when the run began."""
    asked = getattr(settings, SETTLED_BY[field]) if field in SETTLED_BY else AUTO
    if field == "frame_interval_sec" and asked != AUTO and _was_cut(asked, stored):
        return False
    if field == "epochs" and asked != AUTO and same_budget(settings, stored):
        # Of the epochs asked for, those that fit into the budget were chosen.
        return asked != stored["epochs"].get("figures", {}).get("asked", asked)
    return asked != AUTO


def _was_cut(video_length: float, stored: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a run of before there were sources began with this span, cut as it was then."""
    interval = stored["frame_interval_sec"]
    span_sec = interval["value"] * stored["clip_len"]["value"]
    return "source" not in interval and video_length > span_sec and _is_near(span_sec, CUT_TO_SEC)


def same_budget(settings: Settings, stored: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the user gives a budget, and it is the one that the run was planned with."""
    before = stored.get("time_budget_sec", {}).get("value")
    return settings.time_budget != AUTO and settings.time_budget == before


def settings_to_go_on(
    settings: Settings, stored: Mapping[str, Mapping[str, Any]], *, processes: int
) -> Settings:
    """What the user asks for now, with the run's own values where that is left open.

    Choices that are made anew then fit the run, whatever else would be chosen for it today.

    Args:
        settings: what the user asks for now.
        stored: the choices of the run.
        processes: that train together now; the batch of all of them stays what it was.
    """
    own: dict[str, Any] = {SETTLED_BY[field]: stored[field]["value"] for field in _FOLLOWED}
    own["videos_per_gpu"] = -(-stored["batch_size"]["value"] // processes)
    kept = {key: value for key, value in own.items() if getattr(settings, key) == AUTO}
    return settings.model_copy(update=kept)


def weights_of_run(stored: Mapping[str, Mapping[str, Any]]) -> Pretrained | None:
    """What a run started from; it is not read again."""
    path = stored["pretrained"]["value"]
    if path is None:
        return None
    window = tuple(stored["window_size"]["value"])
    return Pretrained(path, stored["backbone"]["value"], stored["pretrained"]["reason"], window)


def start_of_plan(plan: Plan) -> Pretrained | None:
    """The weights that a plan starts from, None where it starts from scratch."""
    if plan.pretrained is None:
        return None
    return Pretrained(
        plan.pretrained, plan.backbone, plan.reasons["pretrained"], tuple(plan.window_size)
    )


def _is_near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The values as JSON gives them back."""
    return json.loads(json.dumps(values))
