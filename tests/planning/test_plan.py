"""Every automatic choice, as a table of cases."""

import json
from dataclasses import replace

import pytest

from autox_video.backbones.weights.known_weights import Pretrained
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import ConfigError
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.machine.hardware import Hardware
from autox_video.planning.augmentation import tells_direction
from autox_video.planning.choice import GIVEN
from autox_video.planning.draft import Basis
from autox_video.planning.plan import FIELDS, Plan, choose

CPU = Hardware("cpu", "some CPU", 2, 24.0, None, False)
GPU = Hardware("cuda:0", "some GPU", 16, 128.0, 80.0, True)
COMPILING_GPU = replace(GPU, compiler=True)
SWIN_B = Pretrained("checkpoints/b.pth", "swin_base", "Kinetics-600")
STATS = DatasetStats(
    num_train=150,
    num_val=50,
    num_test=50,
    num_classes=25,
    class_names=tuple(f"class {i}" for i in range(25)),
    named=False,
    clips_per_class_min=6,
    clips_per_class_max=6,
    seconds_median=2.0,
    fps_median=30.0,
    width_median=340,
    height_median=256,
    short_side_median=256,
    unreadable=0,
)


def plan_for(stats=STATS, hardware=CPU, pretrained=None, **keys):
    settings = settings_from_mapping({"data_root": "d", **keys}, "test")
    return choose(Basis(settings, stats, hardware, pretrained))


def test_every_choice_has_a_reason():
    plan = plan_for()
    assert plan.as_dict().keys() == {*FIELDS, "reasons"}
    assert plan.choices.keys() == FIELDS.keys()
    assert all(choice.reason for choice in plan.choices.values())


@pytest.mark.parametrize(
    ("hardware", "clips", "pretrained", "backbone"),
    [
        (CPU, 150, None, "conv_nano"),
        (CPU, 500_000, None, "conv_nano"),
        (GPU, 150, None, "conv_nano"),
        (GPU, 30_000, None, "swin_tiny"),
        (GPU, 300_000, None, "swin_base"),
        (CPU, 150, SWIN_B, "swin_base"),
    ],
)
def test_backbone(hardware, clips, pretrained, backbone):
    plan = plan_for(replace(STATS, num_train=clips), hardware, pretrained)
    assert plan.backbone == backbone


def test_pretrained_weights_bring_the_seed_systems_recipe():
    plan = plan_for(pretrained=SWIN_B, videos_per_gpu=8)
    assert plan.pretrained == "checkpoints/b.pth"
    assert (plan.backbone_lr_mult, plan.layer_decay) == (0.1, 0.9)
    assert plan.drop_path == 0.2
    assert plan.warmup_epochs == 2.5
    assert plan.resolution == 224
    assert plan.lr == pytest.approx(1e-3 * (8 / 64) ** 0.5)


def test_drop_path_is_as_published_unless_given():
    assert plan_for().drop_path == 0.0
    given = plan_for(pretrained=SWIN_B, drop_path=0.35)
    assert (given.drop_path, given.choices["drop_path"].reason) == (0.35, "given in the config")


@pytest.mark.parametrize(
    ("keys", "shifts"),
    [
        ({"backbone": "timm:test_resnet"}, True),
        ({"backbone": "timm:test_resnet", "time_shift": False}, False),
        ({"backbone": "timm:test_resnet", "mode": "probe"}, False),
        ({"backbone": "timm:test_resnet", "mode": "probe", "time_shift": True}, False),
        ({"backbone": "timm:test_vit"}, False),
        ({"backbone": "conv_nano"}, False),
    ],
)
def test_only_convolutional_image_models_that_are_trained_shift_channels(keys, shifts):
    plan = plan_for(**keys)
    assert plan.time_shift is shifts
    assert plan.for_probe().choices["time_shift"].value is False


def test_a_backbone_that_cannot_shift_channels_is_refused():
    with pytest.raises(ConfigError, match="time_shift: timm:test_vit has no convolutions"):
        plan_for(backbone="timm:test_vit", time_shift=True)


def test_few_clips_are_recoloured_and_many_are_not():
    assert plan_for(replace(STATS, num_train=9_999)).augment == {"recolour": 0.4}
    assert plan_for(replace(STATS, num_train=10_000)).augment == {}
    assert plan_for(pretrained=SWIN_B).augment == {}


@pytest.mark.parametrize(
    ("seconds", "hardware", "clip_len", "span_sec", "test_clips"),
    [
        (2.0, CPU, 16, 2.0, 1),
        (0.5, CPU, 8, 0.5, 1),
        (3.0, GPU, 24, 3.0, 1),
        (10.0, CPU, 16, 8.0, 2),
        (10.0, GPU, 32, 8.0, 2),
        (600.0, GPU, 32, 8.0, 4),
    ],
)
def test_clip_covers_seconds_whatever_the_frame_rate(
    seconds, hardware, clip_len, span_sec, test_clips
):
    slow = plan_for(replace(STATS, seconds_median=seconds, fps_median=15.0), hardware)
    fast = plan_for(replace(STATS, seconds_median=seconds, fps_median=60.0), hardware)
    assert slow == fast
    assert slow.clip_len == clip_len
    assert slow.clip_len * slow.frame_interval_sec == pytest.approx(span_sec)
    assert slow.test_clips == test_clips


def test_the_seed_systems_video_length_gives_its_frames():
    plan = plan_for(replace(STATS, seconds_median=9.0), video_length=2, backbone="swin_nano")
    assert (plan.clip_len, plan.frame_interval_sec) == (8, 0.25)


@pytest.mark.parametrize(
    ("seconds", "video_length", "said", "test_clips"),
    [
        (60.0, 30, "30 s at any frame rate, given in the config", 2),
        (60.0, 8, "8 s at any frame rate, given in the config", 4),
        (60.0, 60, "60 s", 1),
        (2.0, 86400, "half of the videos last 2 s or less and are repeated", 1),
    ],
)
def test_a_span_that_the_user_gives_is_taken_whole(seconds, video_length, said, test_clips):
    plan = plan_for(replace(STATS, seconds_median=seconds), video_length=video_length)
    assert plan.clip_len * plan.frame_interval_sec == pytest.approx(video_length)
    assert said in plan.choices["frame_interval_sec"].reason and plan.is_given("frame_interval_sec")
    assert ("repeated" in plan.choices["frame_interval_sec"].reason) == (video_length > seconds)
    assert plan.test_clips == test_clips


@pytest.mark.parametrize(
    ("hardware", "clips", "pretrained"),
    [(CPU, 150, None), (CPU, 150, SWIN_B), (GPU, 100_000, SWIN_B), (GPU, 9, None), (CPU, 2, None)],
)
def test_batch_fits_memory_and_leaves_steps(hardware, clips, pretrained):
    plan = plan_for(replace(STATS, num_train=clips), hardware, pretrained)
    assert 1 <= plan.batch_size <= 64
    assert plan.batch_size <= max(1, clips / 8)
    assert plan.batch_size & (plan.batch_size - 1) == 0


def test_a_small_gpu_computes_the_same_batch_in_parts():
    small = plan_for(replace(STATS, num_train=100_000), replace(GPU, gpu_memory_gib=8.0), SWIN_B)
    large = plan_for(replace(STATS, num_train=100_000), GPU, SWIN_B)
    assert small.batch_size == large.batch_size
    assert small.accumulation > large.accumulation


def test_the_batch_is_that_of_all_processes():
    four = replace(GPU, processes=4, local_processes=4)
    stats = replace(STATS, num_train=100_000)
    assert plan_for(stats, four, SWIN_B).batch_size == plan_for(stats, GPU, SWIN_B).batch_size
    assert plan_for(stats, four, SWIN_B, videos_per_gpu=8).batch_size == 32
    assert plan_for(stats, replace(GPU, processes=3), SWIN_B).batch_size == 66
    assert plan_for(stats, four).workers == 3


def test_learning_rate_follows_the_batch():
    for pretrained in (None, SWIN_B):
        small, large = (plan_for(pretrained=pretrained, videos_per_gpu=b) for b in (4, 16))
        assert large.lr == pytest.approx(2 * small.lr)
    assert plan_for(pretrained=SWIN_B, videos_per_gpu=64).lr == pytest.approx(1e-3)


def test_the_convolution_network_learns_at_a_higher_rate_and_at_a_size_of_the_clips():
    plan = plan_for(replace(STATS, short_side_median=96), backbone="conv_nano", videos_per_gpu=16)
    assert (plan.lr, plan.resolution) == (1e-3, 56)


@pytest.mark.parametrize(
    ("fast", "precision"),
    [
        ({}, "float32"),
        ({"fast_bfloat16": True, "fast_float16": True}, "bfloat16"),
        ({"fast_float16": True}, "float16"),
    ],
)
def test_precision_is_what_the_hardware_is_fast_at(fast, precision):
    assert plan_for(hardware=replace(CPU, **fast)).precision == precision


LONG_RUN = replace(STATS, num_train=200_000)


@pytest.mark.parametrize(
    ("stats", "hardware", "compiled", "reason"),
    [
        (LONG_RUN, COMPILING_GPU, True, "s saved over the run"),
        (STATS, COMPILING_GPU, False, "s saved over the run"),
        (LONG_RUN, GPU, False, "no C compiler"),
        (LONG_RUN, replace(CPU, compiler=True), False, "on a CPU"),
    ],
)
def test_compiles_only_where_it_pays(stats, hardware, compiled, reason):
    plan = plan_for(stats, hardware, SWIN_B)
    assert plan.compile is compiled
    assert reason in plan.choices["compile"].reason
    assert plan_for(stats, hardware, SWIN_B, compile=not compiled).compile is not compiled


def test_gradient_checkpointing_where_few_clips_fit():
    stats, small = replace(STATS, num_train=100_000), replace(GPU, gpu_memory_gib=8.0)
    tight = plan_for(stats, small, SWIN_B, clip_len=32)
    kept = plan_for(stats, small, SWIN_B, clip_len=32, gradient_checkpointing=False)
    assert tight.gradient_checkpointing and not kept.gradient_checkpointing
    assert tight.accumulation < kept.accumulation
    assert not plan_for(stats, GPU, SWIN_B).gradient_checkpointing


def test_a_sixteen_bit_type_makes_room_for_more_clips():
    stats, small = replace(STATS, num_train=100_000), replace(GPU, gpu_memory_gib=12.0)
    keys = {"gradient_checkpointing": False}
    half, full = (
        plan_for(stats, small, SWIN_B, precision=p, **keys) for p in ("bfloat16", "float32")
    )
    assert half.accumulation < full.accumulation


def test_the_window_is_that_of_the_weights():
    assert plan_for().window_size == (8, 7, 7)
    wide = replace(SWIN_B, window_size=(16, 7, 7))
    assert plan_for(pretrained=wide).window_size == (16, 7, 7)


def test_fewer_clips_are_seen_more_often():
    few, many = (plan_for(replace(STATS, num_train=n)).epochs for n in (50, 5_000))
    assert few > many >= 20


@pytest.mark.parametrize(
    ("name", "telling"),
    [
        ("turning left", True),
        ("swipe_right", True),
        ("RightHand", True),
        ("anticlockwise", True),
        ("leftwards", True),
        ("Bright light", False),
        ("cleft lip", False),
        ("jump", False),
    ],
)
def test_a_class_that_a_mirror_would_change_is_recognised(name, telling):
    assert tells_direction(name) is telling


def test_flip_is_off_where_a_class_tells_a_direction():
    names = ("walk", "turn left", "turn right")
    stats = replace(STATS, class_names=names, named=True, num_classes=3)
    assert plan_for(stats).flip is False
    assert "turn left" in plan_for(stats).choices["flip"].reason
    assert plan_for(replace(stats, class_names=("walk", "run", "sit"))).flip is True
    assert plan_for(stats, flip=True).flip is True


@pytest.mark.parametrize(
    ("keys", "loss"),
    [
        ({}, 0.05),
        ({"stats": replace(STATS, num_val=35)}, 0.05),
        ({"stats": replace(STATS, num_val=34)}, 0.0),
        ({"stats": replace(STATS, task="multi_label")}, 0.0),
        ({"pretrained": SWIN_B}, 0.0),
        ({"epoch": 30}, 0.0),
        ({"patience": 0}, 0.0),
        ({"evaluation": 0}, 0.0),
        ({"time_budget": "1h"}, 0.0),
    ],
)
def test_training_from_scratch_ends_early_where_validation_can_be_perfect(keys, loss):
    assert plan_for(**keys).finish_loss == loss


def test_what_the_user_gives_is_taken():
    given = {
        "backbone": "swin_small",
        "clip_len": 4,
        "resolution": 64,
        "videos_per_gpu": 3,
        "epoch": 7,
        "lr": 0.5,
        "precision": "bfloat16",
        "workers": 0,
        "seed": 11,
        "evaluation": 5,
    }
    plan = plan_for(**given)
    assert plan.batch_size == 3
    assert plan.epochs == 7
    assert plan.workers == 0
    same = ("backbone", "clip_len", "resolution", "lr", "precision", "seed", "evaluation")
    assert all(getattr(plan, key) == given[key] for key in same)
    assert plan.choices["lr"].reason == "given in the config"


@pytest.mark.parametrize(
    ("fewest", "most", "task", "balanced"),
    [
        (10, 10, "single_label", False),
        (10, 39, "single_label", False),
        (10, 40, "single_label", True),
        (0, 4, "single_label", True),
    ]
    + [(1, 90, "multi_label", False)],
)
def test_rare_classes_are_made_up_for_where_they_are_rare(fewest, most, task, balanced):
    clips = {"clips_per_class_min": fewest, "clips_per_class_max": most}
    assert plan_for(replace(STATS, **clips, task=task)).class_balance is balanced


def test_balance_of_clips_with_several_classes_is_refused():
    with pytest.raises(ConfigError, match="class_balance: on"):
        plan_for(replace(STATS, task="multi_label"), class_balance="on")
    assert plan_for(replace(STATS, task="multi_label"), class_balance="off").class_balance is False


def test_compiling_that_does_nothing_is_said():
    assert "no C compiler" in plan_for(hardware=GPU, compile=True).choices["compile"].reason
    assert plan_for(hardware=COMPILING_GPU, compile=True).choices["compile"].reason == GIVEN


def test_values_can_be_replaced_and_the_choices_follow():
    plan = replace(plan_for(lr=0.5), lr=0.25, flip=False)
    assert (plan.lr, plan.choices["lr"].value, plan.choices["flip"].value) == (0.25, 0.25, False)
    assert plan.is_given("lr")


def test_a_plan_comes_back_from_json_as_it_was():
    for plan in (plan_for(augment="strong"), plan_for(hardware=GPU, pretrained=SWIN_B)):
        plan = plan.with_evidence({"lr": {"figures": {"tried": 3}}})
        assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.to_json()["lr"]["figures"] == {"tried": 3}
    assert plan_for().weights is None and plan_for(pretrained=SWIN_B).weights == SWIN_B
    small = Pretrained("w.pth", "swin_tiny", "mine", (16, 7, 7))
    assert plan_for(pretrained=small).weights == small


def test_the_licence_of_the_weights_is_in_the_plan():
    weights = replace(SWIN_B, licence="CC-BY-NC-4.0", noncommercial=True)
    plan = plan_for(pretrained=weights)
    choice = plan.choices["pretrained"]
    assert choice.reason == "Kinetics-600, licence CC-BY-NC-4.0"
    assert plan.to_json()["pretrained"]["figures"] == {
        "trained_on": "Kinetics-600",
        "licence": "CC-BY-NC-4.0",
        "noncommercial": True,
    }
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))).weights == weights
    stored = plan.to_json()
    for figures in (None, [1], {"licence": 3}):
        stored["pretrained"]["figures"] = figures
        assert Plan.from_json(stored).weights.backbone == "swin_base"
