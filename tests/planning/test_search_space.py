"""What a search may change about a plan."""

from dataclasses import replace

import pytest

from autox_video.planning.choice import RULE
from autox_video.planning.search_space import (
    Options,
    Range,
    applied,
    neighbours,
    relative_cost,
    space_of,
    start_of,
)
from autox_video.planning.time_limit import smaller_sizes
from tests.planning.test_plan import STATS, SWIN_B, plan_for

PLAN = plan_for(clip_len="auto")


def test_the_start_is_the_plan_itself():
    space = space_of(PLAN)
    again = applied(PLAN, start_of(PLAN, space))
    assert again.as_dict() | {"reasons": {}} == PLAN.as_dict() | {"reasons": {}}
    assert relative_cost(PLAN, start_of(PLAN, space)) == 1.0


def test_the_start_lies_within_the_space():
    for plan in (PLAN, plan_for(pretrained=SWIN_B)):
        space = space_of(plan)
        for name, value in start_of(plan, space).items():
            values = space[name]
            if isinstance(values, Range):
                assert values.low <= value <= values.high
            else:
                assert value in values.choices


@pytest.mark.parametrize(
    ("key", "given"),
    [
        *(("lr", 0.1), ("flip", True), ("clip_len", 8), ("resolution", 112), ("augment", "light")),
        *(("weight_decay", 0.2), ("label_smoothing", 0.3), ("layer_decay", 0.75)),
    ],
)
def test_what_the_user_gives_is_not_searched(key, given):
    assert key in space_of(plan_for(pretrained=SWIN_B))
    plan = plan_for(pretrained=SWIN_B, **{key: given})
    space = space_of(plan)
    assert key not in space
    assert all(key not in point for point in neighbours(plan, space))


def test_nothing_about_a_frozen_backbone_is_searched():
    of_backbone = {"backbone_lr_mult", "layer_decay", "drop_path"}
    assert of_backbone <= set(space_of(plan_for(pretrained=SWIN_B, freeze=3)))
    assert of_backbone.isdisjoint(space_of(plan_for(pretrained=SWIN_B, freeze="all")))


def test_what_a_budget_made_smaller_is_searched_and_so_is_what_it_left():
    smaller = PLAN.with_choices(next(smaller_sizes(PLAN)))
    assert smaller.resolution < PLAN.resolution
    assert {"resolution", "clip_len"} <= set(space_of(smaller))
    misleading = smaller.settle(RULE, "given in the config, one may think", lr=0.5)
    assert "lr" in space_of(misleading)


def test_smaller_clips_at_first_follow_the_resolution():
    early = replace(PLAN, early_share=0.5, early_side=84)
    assert applied(early, {"resolution": 224}).early_side == 168
    assert applied(PLAN, {"resolution": 224}).early_side == 224


def test_mirror_images_are_no_choice_where_classes_tell_a_direction():
    assert "flip" not in space_of(replace(PLAN, flip=False))
    assert "span" not in space_of(plan_for(video_length=2.0))
    of_layers = {"backbone_lr_mult", "layer_decay"}
    assert of_layers.isdisjoint(space_of(PLAN))
    assert of_layers <= set(space_of(plan_for(pretrained=SWIN_B)))


def test_a_point_becomes_a_plan():
    plan = replace(PLAN, clip_len=16, frame_interval_sec=0.25, resolution=112, test_clips=1)
    point = {"clip_len": 8, "resolution": 140, "span": 0.5, "augment": "strong", "lr": 0.01}
    found = applied(plan, point)
    assert found.clip_len * found.frame_interval_sec == pytest.approx(2.0)
    assert (found.lr, found.test_clips, found.short_side) == (0.01, 2, 160)
    assert found.augment["mixup"] == 0.8
    assert relative_cost(plan, point) == pytest.approx(0.5 * (140 / 112) ** 2)


@pytest.mark.parametrize(
    ("clip_len", "side", "lengths", "sides"),
    [(16, 112, (8, 16, 32), (84, 112, 140)), (4, 56, (4, 8), (56, 84)), (64, 224, (32, 64), None)],
)
def test_sizes_to_try(clip_len, side, lengths, sides):
    space = space_of(replace(PLAN, clip_len=clip_len, resolution=side))
    assert space["clip_len"] == Options(lengths)
    assert sides is None or space["resolution"] == Options(sides)


def test_the_names_of_the_space_are_fields_of_the_plan():
    assert set(space_of(plan_for(pretrained=SWIN_B))) - {"span"} <= set(PLAN.as_dict())
    assert STATS.num_train  # the plan is of real figures


def test_neighbours_differ_in_one_choice_and_lie_within_the_space():
    space = space_of(PLAN)
    start, points = start_of(PLAN, space), neighbours(PLAN, space)
    differ = [tuple(name for name in start if point[name] != start[name]) for point in points]
    assert differ[0] == ("flip",)
    assert set(differ) >= {("lr",), ("clip_len",), ("resolution",), ("span",), ("augment",)}
    assert all(len(names) == 1 or names == ("weight_decay", "drop_path") for names in differ)
    for point in points:
        for name, value in point.items():
            values = space[name]
            inside = values.low <= value <= values.high if isinstance(values, Range) else True
            assert inside if isinstance(values, Range) else value in values.choices
    given = plan_for(flip=True, lr=0.001, clip_len=8)
    names = {name for point in neighbours(given, space_of(given)) for name in point}
    assert names.isdisjoint({"flip", "lr", "clip_len"})


def test_pretrained_weights_are_first_tried_at_a_higher_rate():
    for plan, first in ((PLAN, 0.5), (plan_for(pretrained=SWIN_B), 2.0)):
        rates = [point["lr"] for point in neighbours(plan, space_of(plan))]
        assert next(lr for lr in rates if lr != plan.lr) == first * plan.lr
