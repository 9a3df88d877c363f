"""Rules for training: what the user gives, frozen stages and the warm-up."""

from dataclasses import replace

import pytest

from autox_video.backbones.weights.known_weights import Pretrained
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import ConfigError
from autox_video.planning.choice import BUDGET, Choice
from autox_video.planning.draft import Basis
from autox_video.planning.optimization import TRAINING_KEYS
from autox_video.planning.plan import FIELDS, choose
from tests.planning.test_plan import CPU, STATS, SWIN_B, plan_for


def test_what_the_user_gives_is_taken():
    given = {"weight_decay": 0.1, "label_smoothing": 0.2, "layer_decay": 0.7, "freeze": 2}
    given |= {"warmup_epochs": 1.5, "augment_strength": 0.5}
    plan = plan_for(pretrained=SWIN_B, **given)
    assert {key: getattr(plan, key) for key in given} == given
    assert all(plan.is_given(key) for key in given)
    several = replace(STATS, task="multi_label")
    assert plan_for(several, label_smoothing=0.2).label_smoothing == 0.2


@pytest.mark.parametrize(
    ("freeze", "pretrained", "value"),
    [
        ("auto", SWIN_B, 0),
        (0, None, 0),
        (4, SWIN_B, 4),
        ("all", SWIN_B, 4),
        ("all", Pretrained("w.pth", "swin_nano", "mine"), 3),
        (5, SWIN_B, "out of range; swin_base has 4 stages, so give 0 to 4, or all"),
        (1, None, "needs pretrained weights, and none were found"),
    ],
)
def test_frozen_stages(freeze, pretrained, value):
    if isinstance(value, str):
        with pytest.raises(ConfigError, match=f"freeze: .*{value}"):
            plan_for(pretrained=pretrained, freeze=freeze)
    else:
        assert plan_for(pretrained=pretrained, freeze=freeze).freeze == value
    assert plan_for(pretrained=pretrained, freeze=freeze, mode="probe").freeze == 0


@pytest.mark.parametrize(
    ("keys", "warmup", "flat"),
    [
        ({"epoch": 40}, 1.0, 20.0),
        ({"epoch": 2}, 0.5, 1.0),
        ({"epoch": 40, "warmup_epochs": 0}, 0.0, 20.0),
        ({"epoch": 40, "warmup_epochs": 20}, 20.0, 10.0),
        ({"epoch": 40, "warmup_epochs": 35}, 35.0, 0.0),
        ({"epoch": 1, "warmup_epochs": 0.25}, 0.25, 0.5),
    ],
)
def test_warm_up_and_full_rate_leave_room_for_the_cosine(keys, warmup, flat):
    plan = plan_for(**keys)
    assert (plan.warmup_epochs, plan.flat_epochs) == (warmup, flat)


def test_a_warm_up_as_long_as_the_run_is_refused_unless_a_budget_cut_the_run():
    with pytest.raises(ConfigError, match="warmup_epochs: 150 must be less than the 120 epochs"):
        plan_for(warmup_epochs=150)
    settings = settings_from_mapping({"data_root": "d", "warmup_epochs": 50}, "test")
    cut = {"epochs": Choice(40, BUDGET, "")}
    assert choose(Basis(settings, STATS, CPU), cut).warmup_epochs == 10


def test_keys_of_training_are_keys():
    assert set(TRAINING_KEYS) <= {field.key for field in FIELDS.values()}
