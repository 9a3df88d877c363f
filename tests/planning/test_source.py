"""Who made each choice: a field of the plan, whatever the reason says."""

import pytest

from autox_video.planning.source import BUDGET, PROBE, RULE, SEARCH, USER
from tests.planning.test_plan import GPU, STATS, SWIN_B, plan_for

GIVEN_KEYS = {
    "clip_len": ("clip_len", 8),
    "resolution": ("resolution", 112),
    "frame_interval_sec": ("video_length", 3.0),
    "batch_size": ("videos_per_gpu", 4),
    "epochs": ("epoch", 7),
    "lr": ("lr", 0.1),
    "ema": ("ema", 0.5),
    "drop_path": ("drop_path", 0.2),
    "patience": ("patience", 3),
    "class_balance": ("class_balance", True),
    "decoder": ("decoder", "pyav"),
    "flip": ("flip", True),
    "augment": ("augment", "light"),
    "repeats": ("repeats", 2),
    "precision": ("precision", "float32"),
    "compile": ("compile", False),
    "workers": ("workers", 1),
    "evaluation": ("evaluation", 3),
    "max_bad": ("max_bad", 0.2),
    "checkpoint_minutes": ("checkpoint_minutes", 2),
    "deterministic": ("deterministic", True),
    "strategy": ("strategy", "fsdp"),
    "seed": ("seed", 3),
    "time_budget_sec": ("time_budget", 60),
    "num_classes": ("num_class", 25),
    "early_side": ("progressive", True),
    "early_share": ("progressive", False),
}


@pytest.mark.parametrize("field", GIVEN_KEYS)
def test_what_the_user_gives_and_nothing_else_is_the_users(field):
    key, value = GIVEN_KEYS[field]
    for hardware in (GPU,):
        assert plan_for(hardware=hardware).sources[field] == RULE
        plan = plan_for(hardware=hardware, **{key: value})
        mine = {name for name, source in plan.sources.items() if source == USER}
        siblings = {"early_side", "early_share"} if key == "progressive" else {field}
        assert mine == siblings
        assert plan.is_given(field)


def test_every_choice_has_a_source():
    for plan in (plan_for(), plan_for(pretrained=SWIN_B), plan_for(STATS, GPU)):
        assert plan.sources.keys() == plan.reasons.keys()
        assert set(plan.sources.values()) == {RULE}


def test_a_choice_made_later_brings_its_reason_and_its_source():
    plan = plan_for().settle(BUDGET, "so that it fits", epochs=3, flat_epochs=1.5)
    assert (plan.epochs, plan.flat_epochs) == (3, 1.5)
    assert plan.choice("epochs") == (3, "so that it fits", BUDGET)
    assert plan.sources["lr"] == RULE and not plan.is_given("epochs")
    assert {PROBE, SEARCH}.isdisjoint(plan.sources.values())
