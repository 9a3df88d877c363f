"""Who made each choice: a field of the plan, whatever the reason says."""

import json

import pytest

from autox_video.planning.choice import BUDGET, RULE, Choice
from autox_video.planning.plan import FIELDS
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
    "freeze": ("freeze", 0),
    "layer_decay": ("layer_decay", 0.5),
    "warmup_epochs": ("warmup_epochs", 2),
    "weight_decay": ("weight_decay", 0.1),
    "label_smoothing": ("label_smoothing", 0.2),
    "augment_strength": ("augment_strength", 0.5),
    "patience": ("patience", 3),
    "class_balance": ("class_balance", True),
    "decoder": ("decoder", "pyav"),
    "flip": ("flip", True),
    "augment": ("augment", "light"),
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
    assert not plan_for(hardware=GPU).is_given(field)
    plan = plan_for(hardware=GPU, **{key: value})
    siblings = {"early_side", "early_share"} if key == "progressive" else {field}
    assert {name for name in FIELDS if plan.is_given(name)} == siblings


def test_every_choice_is_a_rules_where_nothing_is_given():
    for plan in (plan_for(), plan_for(pretrained=SWIN_B), plan_for(STATS, GPU)):
        assert {choice.source for choice in plan.choices.values()} == {RULE}


def test_a_choice_made_later_brings_its_reason_and_its_source():
    plan = plan_for().settle(BUDGET, "so that it fits", epochs=3, flat_epochs=1.5)
    assert (plan.epochs, plan.flat_epochs) == (3, 1.5)
    assert plan.choices["epochs"] == Choice(3, BUDGET, "so that it fits")
    assert plan.choices["lr"].source == RULE and not plan.is_given("epochs")


def test_a_choice_comes_back_from_json_with_its_evidence():
    choice = Choice((8, 7, 7), RULE, "as published", {"alternatives": [{"value": 1}]})
    stored = json.loads(json.dumps(choice.to_json()))
    assert stored["value"] == [8, 7, 7] and stored["alternatives"] == [{"value": 1}]
    assert Choice.from_json(stored) == choice
