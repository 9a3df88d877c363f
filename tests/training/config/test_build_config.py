"""Run record → mmaction2 config."""

import subprocess
import sys
from dataclasses import replace

import pytest
from mmengine.config import Config

from autox_video.config.choices import BACKBONES, DECODERS
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.tasks.task import TASKS
from autox_video.training.config.build_config import (
    Deadline,
    build_config,
    model_config,
    write_config,
)
from tests.datasets import REPOSITORY, colour_data
from tests.planning.test_plan import SWIN_B, plan_for

DATA = TrainingData("/d", "/w/train.csv", "/w/val.csv", ("a", "b", "c"), num_train=10)


def built(plan, data=DATA, work_dir="/w", **options):
    return build_config(RunRecord(plan, data), work_dir, **options)


def tiny_plan(**keys):
    return replace(plan_for(videos_per_gpu=4, epoch=6, **keys), num_classes=3)


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_backbone_has_a_config(backbone):
    config = built(tiny_plan(backbone=backbone))
    expected = {"descriptors": "ClipDescriptors", "conv_nano": "VideoConv"}
    assert config.model.backbone.type == expected.get(backbone, "VideoSwin")
    assert config.model.cls_head.num_classes == 3


def test_choices_arrive_where_they_belong():
    plan = replace(plan_for(pretrained=SWIN_B, videos_per_gpu=4, seed=3, epoch=6), num_classes=3)
    config = built(replace(plan, test_clips=2, flip=False))
    assert config.train_dataloader.batch_size == 4
    assert config.train_dataloader.dataset.seed == 3
    assert config.model.backbone.drop_path_rate == 0.2
    assert config.model.cls_head.label_smooth_eps == plan.label_smoothing
    assert config.optim_wrapper.optimizer.lr == plan.lr
    assert config.optim_wrapper.paramwise_cfg.backbone.lr_mult == 0.1
    assert config.optim_wrapper.paramwise_cfg.layer_decay == 0.9
    assert "frozen_stages" not in config.model.backbone
    assert built(replace(plan, freeze=2)).model.backbone.frozen_stages == 2
    assert config.test_pipeline[0].num_clips == 2
    assert config.test_pipeline[0].test_mode is True
    assert config.train_cfg.max_epochs == 6
    assert config.custom_hooks[-1].pretrained == SWIN_B.path
    assert config.model.data_preprocessor.augment.flip == 0.0
    assert config.train_cfg.max_bad == plan.max_bad


@pytest.mark.parametrize("balance", [True, False])
def test_validation_counts_classes_as_the_loss_does(balance):
    config = built(replace(plan_for(), class_balance=balance))
    assert (config.model.cls_head.class_clips is not None) is balance
    assert config.val_evaluator[0].balanced is balance


def test_how_clips_are_read_arrives():
    plan = replace(tiny_plan(), cache="/c", cache_gib=3.0, augment={"mixup": 0.8})
    config = built(replace(plan, clip_len=8, resolution=56, short_side=64))
    read, crop = config.train_dataloader.dataset.pipeline
    assert (read.clip_len, read.num_clips, read.short_side, read.test_mode) == (8, 1, 64, False)
    assert read.cache == {"folder": "/c", "max_gib": 3.0}
    assert (crop.side, crop.crop, crop.area_range) == (56, "random", (plan.smallest_crop, 1.0))
    assert config.train_dataloader.dataset.item_shape == (1, 8, 56, 56, 3)
    assert config.param_scheduler[-1].end == 6 * 3  # 10 clips, 4 in a step
    validation = config.val_dataloader.dataset.pipeline
    assert (validation[0].short_side, validation[0].cache.folder) == (56, "/c")
    assert config.test_pipeline[0].get("cache") is None
    assert config.test_item_shape == (3 * plan.test_clips, 8, 56, 56, 3)
    assert config.model.data_preprocessor.augment == {"flip": 0.5, "mixup": 0.8}
    weak = built(replace(plan, augment_strength=0.5))
    assert weak.model.data_preprocessor.augment == {"flip": 0.5, "mixup": 0.4}
    least = weak.train_dataloader.dataset.pipeline[1].area_range[0]
    assert least == pytest.approx(plan.smallest_crop**0.5)
    whole = built(replace(plan, augment_strength=0.0)).train_dataloader.dataset.pipeline[1]
    assert whole.area_range == (1.0, 1.0)
    assert config.model.data_preprocessor.num_classes == 3


def test_how_the_backbone_computes_arrives():
    plan = tiny_plan(precision="float16", backbone="swin_nano")
    plan = replace(plan, compile=True, window_size=[16, 7, 7])
    config = built(replace(plan, gradient_checkpointing=True))
    backbone = config.model.backbone
    assert (backbone.precision, backbone.compile, backbone.with_cp) == ("float16", True, True)
    assert backbone.window_size == (16, 7, 7)
    assert config.optim_wrapper.loss_scale is True
    assert built(tiny_plan(precision="bfloat16")).optim_wrapper.loss_scale is False


@pytest.mark.parametrize("shifts", [True, False])
def test_the_shift_over_time_arrives(shifts):
    plan = tiny_plan(backbone="timm:test_resnet", time_shift=shifts)
    assert built(plan).model.backbone.get("time_shift", False) is shifts
    assert "time_shift" not in built(plan.for_probe()).model.backbone


def test_a_backbone_without_windows_gets_none():
    plan = replace(tiny_plan(backbone="conv_nano"), drop_path=0.1, gradient_checkpointing=True)
    config = built(plan)
    backbone = config.model.backbone
    assert (backbone.type, backbone.drop_path_rate, backbone.with_cp) == ("VideoConv", 0.1, True)
    assert "window_size" not in backbone
    assert config.model.cls_head.in_channels == 2 * backbone.channels[-1]


def test_schedule_is_a_linear_warm_up_a_flat_part_and_a_cosine_over_the_rest():
    plan = replace(plan_for(videos_per_gpu=4, epoch=6), num_classes=3, warmup_epochs=1.5)
    plan = replace(plan, flat_epochs=2.0)
    (schedule,) = built(plan).param_scheduler
    steps_per_epoch = 3  # 10 clips in batches of 4
    assert schedule.warmup == round(1.5 * steps_per_epoch)
    assert schedule.fall == schedule.warmup + 2 * steps_per_epoch
    assert schedule.end == 6 * steps_per_epoch


def test_without_evaluation_there_is_no_validation():
    config = built(tiny_plan(evaluation=0))
    assert "val_dataloader" not in config


def test_how_a_run_is_done_arrives():
    prediction = Prediction(1.0, 2.0, 3.0, 0.0, 4.0, 0.5, 0.6, 0.1, "decode")
    plan = tiny_plan(backbone="swin_nano")
    deadline = Deadline(1000.0, prediction, 9)
    config = built(plan, deadline=deadline, quiet=True, save_logits=True)
    hooks = {hook["type"]: hook for hook in config.custom_hooks}
    assert hooks["Progress"]["quiet"] is True and "SaveLogits" in hooks
    expected = {"budget_sec": 1000.0, "most_epochs": 9, "epoch_sec": 0.5, "first_epoch_sec": 0.6}
    assert {key: hooks["TimeBudget"][key] for key in expected} == expected
    assert hooks["TimeBudget"]["reserve_sec"] > 4.0
    plain = built(plan).custom_hooks
    assert {hook["type"] for hook in plain}.isdisjoint({"TimeBudget", "SaveLogits"})


def test_testing_needs_a_part_of_it():
    plan = tiny_plan(backbone="swin_nano")
    whole, part = built(plan), model_config(RunRecord(plan, DATA))
    for key in ("model", "classes", "test_pipeline", "test_item_shape"):
        assert whole[key] == part[key]
    assert "train_dataloader" not in part


def test_the_written_config_reads_back_the_same(tmp_path):
    config = built(tiny_plan())
    write_config(config, tmp_path / "config.py")
    assert Config.fromfile(str(tmp_path / "config.py")).to_dict() == config.to_dict()


@pytest.mark.slow
def test_the_stock_runner_builds_and_trains_from_the_written_config(tmp_path):
    keys = colour_data(tmp_path, train=2, val=1, test=1)
    from autox_video.config.load import settings_from_mapping
    from autox_video.data.listing.listing import read_listing
    from autox_video.data.listing.written_list import write_list

    listing = read_listing(settings_from_mapping({**keys, "work_dir": str(tmp_path)}, "test"))
    for name, split in (("train", listing.train), ("val", listing.val)):
        write_list(tmp_path / f"{name}.csv", split)
    data = TrainingData(
        keys["data_root"],
        str(tmp_path / "train.csv"),
        str(tmp_path / "val.csv"),
        ("red", "green", "blue"),
        num_train=6,
    )
    plan = plan_for(videos_per_gpu=3, epoch=1, resolution=32, clip_len=2, workers=0)
    config = built(replace(plan, num_classes=3), data, tmp_path / "work")
    write_config(config, tmp_path / "config.py")
    code = (
        "import autox_video\n"
        "from mmengine.config import Config\n"
        "from mmengine.runner import Runner\n"
        f"Runner.from_cfg(Config.fromfile({str(tmp_path / 'config.py')!r})).train()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert (tmp_path / "work" / "best.pth").is_file()


@pytest.mark.parametrize(("registry", "name"), [(TASKS, "multi_label"), (DECODERS, "decord")])
def test_a_config_imports_what_it_names_by_registry(registry, name):
    """mmengine's own runner knows a user's task or decoder by nothing else."""
    plan, data = tiny_plan(), replace(DATA, task="single_label")
    item = registry[name]
    module = item.__module__ if isinstance(item, type) else type(item).__module__
    assert module not in built(plan, data).custom_imports.imports
    plan = replace(plan, decoder=name) if registry is DECODERS else plan
    data = replace(data, task=name) if registry is TASKS else data
    assert module in built(plan, data).custom_imports.imports
