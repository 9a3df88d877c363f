"""Plan → a genuine mmaction2 config, on the bases in `configs/`, checked before it is used.

Nothing is decided here: every value comes from the plan or is the only one that works.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from autox_video.core.errors import ConfigError
from autox_video.core.files import write_text
from autox_video.distributed.processes import local_device
from autox_video.machine.installation import source_tree
from autox_video.planning.plan import Plan
from autox_video.tasks.task import TASKS
from autox_video.training.config.config_check import PARTS, check_config
from autox_video.training.config.stored_config import config_text

LARGEST_VAL_BATCH = 16


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The clips of a run as the config names them."""

    data_root: str
    train_list: str
    """CSV of the readable training clips."""
    val_list: str | None
    classes: tuple[str, ...]
    num_train: int
    task: str = "single_label"
    """What the model is trained for, by its name in TASKS."""
    class_clips: tuple[int, ...] = ()
    """Training clips of each class, where a clip has one."""
    fingerprint: str = ""
    """Of the listed clips and classes."""
    remote_cache: str = "auto"
    """Where clips that are not on this machine are kept."""


def build_config(plan: Plan, data: TrainingData, work_dir: str) -> Config:
    """Write down a plan as an mmaction2 1.x config, which mmengine's Runner can build from.

    Raises:
        ConfigError: a base config asks for something that the registered classes do not know.
    """
    config = Config.fromfile(str(base_config(plan.backbone)))
    config.merge_from_dict(_model_choices(plan, data))
    if config.model.backbone.type == "VideoSwin":
        config.merge_from_dict({"model.backbone.window_size": tuple(plan.window_size)})
    identity = _identity(plan, data)
    steps_per_epoch = math.ceil(data.num_train / math.ceil(plan.batch_size / plan.repeats))
    config.merge_from_dict(
        {
            "custom_imports": {"imports": list(PARTS), "allow_failed_imports": False},
            "default_scope": "mmaction",
            "work_dir": work_dir,
            "experiment_name": plan.backbone,
            "device": local_device(plan.device),
            "classes": list(data.classes),
            "train_dataloader": _train_loader(plan, data),
            "train_cfg": {
                "type": "ClipTrainLoop",
                "max_epochs": plan.epochs,
                "val_interval": max(plan.evaluation, 1),
                "max_bad": plan.max_bad,
                "accumulation": plan.accumulation,
            },
            **_test(plan),
            "optim_wrapper": _optimizer(plan),
            "param_scheduler": _schedule(plan, steps_per_epoch),
            # The first two would wait for the GPU in each step; the others are ours.
            "default_hooks": dict.fromkeys(
                ("runtime_info", "timer", "logger", "checkpoint", "sampler_seed")
            ),
            "custom_hooks": [
                {"type": "Progress"},
                *_early_clips(plan),
                *([{"type": "WeightEMA", "decay": plan.ema}] if plan.ema else []),
                *([{"type": "EarlyStopping", "patience": plan.patience}] if plan.patience else []),
                *(
                    [{"type": "ModelSoup", "most": plan.soup, "identity": identity}]
                    if plan.soup
                    else []
                ),
                {
                    "type": "ClipCheckpointHook",
                    "pretrained": plan.pretrained,
                    "identity": identity,
                    "decoder": plan.decoder,
                    "minutes": plan.checkpoint_minutes,
                },
            ],
            "visualizer": {"type": "Visualizer", "vis_backends": []},
            "env_cfg": {"mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0}},
            "randomness": {"seed": plan.seed, "deterministic": plan.deterministic},
            "strategy": plan.strategy,
            "log_level": "INFO",
        }
    )
    if data.val_list is not None and plan.evaluation > 0:
        config.merge_from_dict(_validation(plan, data))
    check_config(config)
    return config


def base_config(backbone: str) -> Path:
    """The base config of a backbone: in the source tree, or beside the installed package.

    Raises:
        ConfigError: there is none of that name.
    """
    folder = (source_tree() or Path(__file__).parents[2]) / "configs"
    if not (folder / f"{backbone}.py").is_file():
        raise ConfigError(f"backbone: there is no config {backbone}.py in {folder}.")
    return folder / f"{backbone}.py"


def write_config(config: Config, path: Path) -> None:
    """Write the config as Python text that Config.fromfile reads."""
    write_text(path, config_text(config))


def _early_clips(plan: Plan) -> list[dict[str, Any]]:
    if not plan.early_share or plan.early_side >= plan.resolution:
        return []
    return [{"type": "ProgressiveResizing", "side": plan.early_side, "share": plan.early_share}]


def _identity(plan: Plan, data: TrainingData) -> dict[str, Any]:
    """What a checkpoint must have been trained for to go on from it."""
    return {
        "backbone": plan.backbone,
        "num_classes": plan.num_classes,
        "data": data.fingerprint[:16],
        "seed": plan.seed,
    }


def _model_choices(plan: Plan, data: TrainingData) -> dict[str, Any]:
    head = {"model.cls_head.type": "AttentiveClipHead", "model.cls_head.grid": plan.head_grid}
    return {
        **(head if plan.head_grid else {}),
        "model.backbone.drop_path_rate": plan.drop_path,
        "model.backbone.precision": plan.precision,
        "model.backbone.with_cp": plan.gradient_checkpointing,
        "model.backbone.compile": plan.compile,
        "model.cls_head.num_classes": plan.num_classes,
        "model.cls_head.label_smooth_eps": plan.label_smoothing,
        "model.cls_head.task": data.task,
        **{f"model.cls_head.{key}": value for key, value in TASKS[data.task].head().items()},
        "model.cls_head.class_clips": list(data.class_clips) if plan.class_balance else None,
        "model.cls_head.average_clips": "prob",
        "model.data_preprocessor.augment": {"flip": 0.5 if plan.flip else 0.0, **plan.augment},
        "model.data_preprocessor.num_classes": plan.num_classes,
    }


def _train_loader(plan: Plan, data: TrainingData) -> dict[str, Any]:
    crop = {
        "type": "CropClips",
        "side": plan.resolution,
        "crop": "random",
        "area_range": (plan.smallest_crop, 1.0),
    }
    read = _read(plan, num_clips=plan.repeats, test_mode=False, short_side=plan.short_side)
    read |= {"jitter": plan.jitter, **_caches(plan, data)}
    dataset = {
        **_dataset(plan, data, data.train_list, [read, crop]),
        "item_shape": (plan.repeats, *_view(plan)),
        "views_are_clips": plan.repeats > 1,
    }
    return {**_loader(plan, dataset), "shuffle": True}


def _validation(plan: Plan, data: TrainingData) -> dict[str, Any]:
    read = _read(plan, num_clips=1, test_mode=True, short_side=plan.resolution)
    crop = {"type": "CropClips", "side": plan.resolution, "crop": "centre"}
    most = min(plan.batch_size, LARGEST_VAL_BATCH)
    dataset = {
        **_dataset(plan, data, data.val_list, [{**read, **_caches(plan, data)}, crop]),
        "item_shape": (1, *_view(plan)),
    }
    return {
        # Of a size that does not depend on how many processes there are, so that scores do not.
        "val_dataloader": {**_loader(plan, dataset), "batch_size": most, "shuffle": False},
        "val_cfg": {"type": "ClipValLoop"},
        "val_evaluator": [
            {
                "type": "ClipMetric",
                "task": data.task,
                "balanced": plan.class_balance,
            }
        ],
    }


def _test(plan: Plan) -> dict[str, Any]:
    """What `predict` needs beside the clips: how they are read, and what comes of one."""
    read = _read(plan, num_clips=plan.test_clips, test_mode=True, short_side=plan.resolution)
    return {
        "test_pipeline": [read, {"type": "CropClips", "side": plan.resolution, "crop": "three"}],
        "test_item_shape": (plan.test_clips * 3, *_view(plan)),
    }


def _read(plan: Plan, *, num_clips: int, test_mode: bool, short_side: int) -> dict[str, Any]:
    return {
        "type": "ReadClips",
        "clip_len": plan.clip_len,
        "frame_interval_sec": plan.frame_interval_sec,
        "num_clips": num_clips,
        "test_mode": test_mode,
        "short_side": short_side,
        "decoder": plan.decoder,
    }


def _view(plan: Plan) -> tuple[int, ...]:
    return plan.clip_len, plan.resolution, plan.resolution, 3


def _caches(plan: Plan, data: TrainingData) -> dict[str, Any]:
    frames = {"folder": plan.cache, "max_gib": plan.cache_gib}
    return {"cache": frames if plan.cache else None, "remote_cache": data.remote_cache}


def _dataset(plan: Plan, data: TrainingData, clips: str, pipeline: list[dict]) -> dict[str, Any]:
    return {
        "type": "ClipDataset",
        "clips": clips,
        "data_root": data.data_root,
        "classes": list(data.classes),
        "seed": plan.seed,
        "pipeline": pipeline,
    }


def _loader(plan: Plan, dataset: dict[str, Any]) -> dict[str, Any]:
    return {
        "batch_size": plan.batch_size,
        "workers": plan.workers,
        "pin_memory": plan.device != "cpu",
        "dataset": dataset,
    }


def _optimizer(plan: Plan) -> dict[str, Any]:
    no_decay = {"decay_mult": 0.0}
    return {
        "type": "ClipOptimWrapper",
        "constructor": "FewGroups",
        "optimizer": {
            "type": "AdamW",
            "lr": plan.lr,
            "betas": (0.9, plan.beta2),
            "weight_decay": plan.weight_decay,
            "fused": True,
        },
        "paramwise_cfg": {
            "relative_position_bias_table": no_decay,
            "norm": no_decay,
            "backbone": {"lr_mult": plan.backbone_lr_mult},
            "layer_decay": plan.layer_decay,
        },
        "max_grad_norm": plan.max_grad_norm,
        "loss_scale": plan.precision == "float16",
    }


def _schedule(plan: Plan, steps_per_epoch: int) -> list[dict[str, Any]]:
    total = plan.epochs * steps_per_epoch
    warmup = min(round(plan.warmup_epochs * steps_per_epoch), total - 1)
    fall = min(warmup + round(plan.flat_epochs * steps_per_epoch), total - 1)
    return [{"type": "WarmFlatCosine", "warmup": warmup, "fall": fall, "end": total}]
