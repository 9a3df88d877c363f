"""Figures behind the choices."""

import json

from autox_video.planning.evidence import evidence_of
from autox_video.planning.plan import FIELDS
from tests.planning.test_plan import CPU, STATS, plan_for
from tests.planning.test_time_limit import MEASURED


def test_evidence_is_of_fields_that_exist_and_plain():
    plan = plan_for()
    found = evidence_of(plan.backbone, STATS, CPU, MEASURED)
    assert set(found) <= FIELDS.keys()
    assert json.loads(json.dumps(found)) == found
    assert found["cache"]["figures"]["step_sec_of_a_clip"] == 0.01


def test_other_backbones_are_reckoned_from_the_measured_one():
    plan = plan_for(backbone="swin_nano")
    found = evidence_of(plan.backbone, STATS, CPU, MEASURED)["backbone"]["alternatives"]
    by_name = {each["value"]: each for each in found}
    assert by_name["swin_nano"]["measured"] and not by_name["swin_tiny"]["measured"]
    ratio = by_name["swin_tiny"]["step_sec_of_a_clip"] / by_name["swin_nano"]["step_sec_of_a_clip"]
    assert round(ratio, 3) == round(22 / 3, 3)
