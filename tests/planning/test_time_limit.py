"""What fits into a budget, as a table of cases."""

from dataclasses import replace

import pytest

from autox_video.planning.choice import BUDGET, RULE, USER
from autox_video.planning.predicted_time import Measured, predict
from autox_video.planning.time_limit import (
    amount_of,
    choose_epochs,
    evidence_of_sizes,
    fitting_epochs,
    smaller_sizes,
    with_early_clips,
)
from tests.planning.test_plan import GPU, SWIN_B, plan_for

MEASURED = Measured(0.002, 0.002, 0.010, 0.003, 0.004)


def one_of(plan, amount):
    return predict(MEASURED, amount, 1, used_sec=0.0)


def chosen_epochs(plan, amount, left_sec):
    most = plan.choices["epochs"]
    return choose_epochs(most, one_of(plan, amount), amount, left_sec=left_sec)


@pytest.fixture
def plan():
    return plan_for(time_budget=600)


@pytest.fixture
def amount(plan):
    return amount_of(plan, train=150, val=50, test=50)


def test_the_amount_of_work_is_the_plans(plan, amount):
    assert plan.time_budget_sec == 600
    assert plan_for().time_budget_sec is None
    assert (amount.interval, amount.test_views) == (2, 3)
    assert amount.shares_cores
    other = amount_of(
        replace(plan, repeats=2, evaluation=0, device="cuda:0"), train=150, val=5, test=0
    )
    assert (other.train, other.val, other.shares_cores) == (300, 0, False)


@pytest.mark.parametrize(
    ("left_sec", "epochs", "why"),
    [
        (1e6, 120, "would fit into time_budget"),
        (100.0, 47, "120 would be useful"),
        (3.0, 1, "not even one fits"),
        (-5.0, 1, "not even one fits"),
    ],
)
def test_epochs_are_as_many_as_fit_and_no_more_than_are_useful(plan, amount, left_sec, epochs, why):
    found = chosen_epochs(plan, amount, left_sec)
    assert found.value == epochs
    assert why in found.reason
    assert found.source == (RULE if epochs == 120 else BUDGET)
    assert found.evidence["figures"]["asked"] == 120
    total_sec = predict(MEASURED, amount, epochs, used_sec=0.0).total_sec
    assert total_sec <= max(left_sec, 7.0)


def test_epochs_that_the_user_asks_for_are_called_so(amount):
    plan = plan_for(time_budget=600, epoch=500)
    found = chosen_epochs(plan, amount, 100.0)
    assert found.value == 47 and found.source == BUDGET
    assert "500 are asked for" in found.reason
    assert chosen_epochs(plan, amount, 1e6).source == USER


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


def test_evidence_has_the_sizes_that_were_tried(plan, amount):
    one = one_of(plan, amount)
    assert evidence_of_sizes({(112, 8): one}, amount, 100.0) == {}
    found = evidence_of_sizes({(112, 8): one, (84, 8): one}, amount, 100.0)
    assert [a["resolution"] for a in found["resolution"]["alternatives"]] == [112, 84]
    assert found["clip_len"]["alternatives"][0]["epochs_that_fit"] == 47


def test_clips_are_smaller_at_first_where_epochs_would_not_fit(plan, amount):
    fit = fitting_epochs(one_of(plan, amount), amount, 100.0)
    assert (plan.early_side, plan.early_share) == (112, 0.0)
    assert with_early_clips(plan, plan.epochs) == plan
    found = with_early_clips(plan, fit)
    assert (found.early_side, found.early_share) == (84, 0.5)
    again = amount_of(found, train=150, val=50, test=50)
    assert chosen_epochs(found, again, 100.0).value > chosen_epochs(plan, amount, 100.0).value
    for other in (replace(plan, compile=True), replace(plan, resolution=56)):
        assert with_early_clips(other, fit) == other


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
