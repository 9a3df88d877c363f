"""The plan of a run that goes on."""

from dataclasses import replace

from autox_video.plan.resume import continue_plan
from autox_video.settings import settings_from_mapping
from tests.plan.test_choose import GPU, STATS, SWIN_B, plan_for


def stored(plan):
    values = plan.as_dict()
    reasons = values.pop("reasons")
    return {field: {"value": value, "reason": reasons[field]} for field, value in values.items()}


def test_a_run_that_goes_on_keeps_its_choices():
    before = plan_for()
    later = plan_for(replace(STATS, num_train=149), replace(GPU, device="cuda:0"), SWIN_B)
    settings = settings_from_mapping({"data_root": "d"}, "test")
    plan = continue_plan(later, stored(before), settings)
    assert plan.backbone == before.backbone
    assert plan.batch_size == before.batch_size
    assert plan.lr == before.lr
    assert plan.device == "cuda:0"


def test_a_run_that_goes_on_takes_what_is_asked_for_now():
    before = plan_for(epoch=10)
    settings = settings_from_mapping({"data_root": "d", "epoch": 20}, "test")
    plan = continue_plan(plan_for(epoch=20), stored(before), settings)
    assert plan.epochs == 20
