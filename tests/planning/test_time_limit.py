"""What fits into a budget, as a table of cases."""

from dataclasses import replace

import pytest

from autox_video.planning.choice import BUDGET, RULE, USER
from autox_video.planning.predicted_time import Clips, Measured, predict
from autox_video.planning.time_limit import (
    choose_epochs,
    evidence_of_sizes,
    fitting_epochs,
    smaller_sizes,
    with_progressive_resizing,
)
from tests.backbones.libraries.tiny_transformers import saved
from tests.planning.test_plan import GPU, SWIN_B, plan_for

MEASURED = Measured(0.002, 0.002, 0.010, 0.003, 0.004)
PREPARING_SEC = 4.0


def in_budget(left_sec, **keys):
    """A plan, and its prediction, of which preparing leaves so many seconds."""
    plan = replace(plan_for(time_budget=600, **keys), time_budget_sec=left_sec + PREPARING_SEC)
    return plan, predicted(plan)


def predicted(plan):
    prediction = predict(MEASURED, plan, Clips(150, 50, 50), used_sec=0.0)
    return replace(prediction, preparing_sec=PREPARING_SEC)


def chosen_epochs(plan, prediction):
    return choose_epochs(plan, prediction, plan.choices["epochs"])


@pytest.mark.parametrize(
    ("left_sec", "epochs", "why"),
    [
        (1e6, 120, "would fit into time_budget"),
        (100.0, 47, "120 would be useful"),
        (3.0, 1, "not even one epoch fits"),
        (-5.0, 1, "not even one epoch fits"),
    ],
)
def test_epochs_are_as_many_as_fit_and_no_more_than_are_useful(left_sec, epochs, why):
    plan, prediction = in_budget(left_sec)
    found = chosen_epochs(plan, prediction)
    assert found.value == epochs
    assert why in found.reason
    assert found.source == (RULE if epochs == 120 else BUDGET)
    assert found.evidence["figures"]["asked"] == 120
    total_sec = predicted(replace(plan, epochs=epochs)).total_sec
    assert total_sec <= max(left_sec + PREPARING_SEC, 11.0)


def test_epochs_that_the_user_asks_for_are_called_so():
    found = chosen_epochs(*in_budget(100.0, epoch=500))
    assert found.value == 47 and found.source == BUDGET
    assert "500 given" in found.reason
    assert chosen_epochs(*in_budget(1e6, epoch=500)).source == USER


@pytest.mark.parametrize(
    ("keys", "sizes"),
    [
        ({}, [(84, 16), (56, 16), (56, 8)]),
        ({"resolution": 112}, [(112, 8)]),
        ({"video_length": 1, "resolution": 112}, []),
        ({"video_length": 5}, [(84, 16), (56, 16), (56, 8)]),
        ({"video_length": 5, "resolution": 112}, [(112, 8)]),
        ({"video_length": 5, "clip_len": 16}, [(84, 16), (56, 16)]),
    ],
)
def test_smaller_clips_where_the_user_leaves_their_size_open(keys, sizes):
    found = [(s["resolution"].value, s["clip_len"].value) for s in smaller_sizes(plan_for(**keys))]
    assert found == sizes


def test_a_smaller_size_says_which_part_of_it_the_budget_made_smaller():
    first, *_, last = smaller_sizes(plan_for())
    assert (first["resolution"].source, first["clip_len"].source) == (BUDGET, RULE)
    assert first["clip_len"] == plan_for().choices["clip_len"]
    assert (last["resolution"].source, last["clip_len"].source) == (BUDGET, BUDGET)
    (only,) = smaller_sizes(plan_for(resolution=112))
    assert (only["resolution"].source, only["clip_len"].source) == (USER, BUDGET)


def test_pretrained_models_keep_half_their_side():
    plan = plan_for(hardware=GPU, pretrained=SWIN_B)
    assert [s["resolution"].value for s in smaller_sizes(plan)] == [168, 112]


def test_evidence_has_the_sizes_that_were_tried():
    plan, prediction = in_budget(100.0)
    assert evidence_of_sizes(plan, {(112, 8): prediction}) == {}
    found = evidence_of_sizes(plan, {(112, 8): prediction, (84, 8): prediction})
    assert [a["resolution"] for a in found["resolution"]["alternatives"]] == [112, 84]
    assert found["clip_len"]["alternatives"][0]["epochs_that_fit"] == 47


def test_clips_are_smaller_at_first_where_epochs_would_not_fit():
    plan, prediction = in_budget(100.0)
    assert (plan.early_side, plan.early_share) == (112, 0.0)
    assert with_progressive_resizing(*in_budget(1e6)) == in_budget(1e6)[0]
    found = with_progressive_resizing(plan, prediction)
    assert (found.early_side, found.early_share) == (84, 0.5)
    assert fitting_epochs(found, predicted(found)) > fitting_epochs(plan, prediction)
    for unchanged in (replace(plan, compile=True), replace(plan, resolution=56)):
        assert with_progressive_resizing(unchanged, prediction) == unchanged


@pytest.mark.parametrize(
    ("progressive", "resolution", "early"),
    [
        ("on", 112, (84, 0.5)),
        ("off", 112, (112, 0.0)),
        ("on", 224, (168, 0.5)),
        ("on", 32, (32, 0)),
    ],
)
def test_the_user_may_ask_for_smaller_clips_at_first(progressive, resolution, early):
    plan = plan_for(progressive=progressive, resolution=resolution)
    assert (plan.early_side, plan.early_share) == early


def test_a_backbone_that_is_built_for_one_size_has_no_smaller_clips(tmp_path):
    name = f"hf:{saved(tmp_path, 'videomae')}"
    plan = plan_for(backbone=name, progressive="on", resolution=224)
    assert (plan.early_side, plan.early_share) == (224, 0.0)
    assert "one size" in plan.choices["early_share"].reason
    plan, prediction = in_budget(100.0)
    fixed = replace(plan, backbone=name)
    assert with_progressive_resizing(plan, prediction) != plan
    assert with_progressive_resizing(fixed, prediction) == fixed
