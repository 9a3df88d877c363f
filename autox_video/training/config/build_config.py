"""Run record → a genuine mmaction2 config, on the bases in `configs/`.

Nothing is decided here, and nothing edits a config after it was built: every value comes from the
record, is told by an argument, or is the only one that works.
"""

import math
import pprint
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from autox_video.core.errors import ConfigError
from autox_video.core.files import write_text
from autox_video.distributed.processes import local_device
from autox_video.machine.installation import source_tree
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.tasks.task import TASKS
from autox_video.training.deadline import time_to_keep

LARGEST_VAL_BATCH = 16
LINE_LENGTH = 100

MODEL_PARTS = (
    "autox_video.backbones.video_swin.model",
    "autox_video.backbones.video_conv.model",
    "autox_video.backbones.descriptors.model",
    "autox_video.tasks.classification.head",
    "autox_video.tasks.classification.attentive_head",
    "autox_video.data.loading.preprocess",
    "autox_video.data.loading.transforms",
    "autox_video.data.loading.clip_dataset",
)
TRAINING_PARTS = (
    "autox_video.training.loops",
    "autox_video.training.optimizer",
    "autox_video.training.validation_metric",
    "autox_video.training.schedule",
    "autox_video.training.hooks.ema",
    "autox_video.training.hooks.progressive_resizing",
    "autox_video.training.hooks.early_stopping",
    "autox_video.training.checkpoints.checkpoint_hook",
    "autox_video.training.hooks.progress",
    "autox_video.training.runner",
    "autox_video.training.checkpoints.soup",
    "autox_video.training.hooks.validation_logits",
)
"""The modules whose classes a config of ours names: importing them registers these."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a run has to be over."""

    budget_sec: float
    """What the whole run may take, all that comes before and after training with it."""
    prediction: Prediction
    """Of its parts."""
    most_epochs: int
    """That are of use, though there may be time for more."""


def model_config(record: RunRecord) -> Config:
    """The part of a config that testing needs: the model, its classes, and how clips are read."""
    plan, data = record.plan, record.data
    import_modules_from_strings(list(MODEL_PARTS))
    config = Config.fromfile(str(base_config(plan.backbone)))
    config.merge_from_dict(_model_choices(plan, data))
    if config.model.backbone.type == "VideoSwin":
        config.merge_from_dict({"model.backbone.window_size": tuple(plan.window_size)})
    read = _read(plan, num_clips=plan.test_clips, test_mode=True, short_side=plan.resolution)
    read["remote_cache"] = data.remote_cache
    config.merge_from_dict(
        {
            "custom_imports": {"imports": list(MODEL_PARTS), "allow_failed_imports": False},
            "default_scope": "mmaction",
            "experiment_name": plan.backbone,
            "classes": list(data.classes),
            "test_pipeline": [
                read,
                {"type": "CropClips", "side": plan.resolution, "crop": "three"},
            ],
            "test_item_shape": (plan.test_clips * 3, *_view(plan)),
        }
    )
    return config


def build_config(
    record: RunRecord,
    work_dir: Path | str,
    *,
    deadline: Deadline | None = None,
    quiet: bool = False,
    save_logits: bool = False,
) -> Config:
    """The mmaction2 1.x config of a run, which mmengine's Runner can build from.

    Args:
        record: every choice, and the clips.
        work_dir: where the run writes.
        deadline: when it has to be over; None: it takes as long as it takes.
        quiet: whether the user sees nothing of it but what goes wrong.
        save_logits: whether the logits of its evaluations are kept.
    """
    plan, data = record.plan, record.data
    config = model_config(record)
    imports = [*MODEL_PARTS, *TRAINING_PARTS]
    import_modules_from_strings(imports)
    steps_per_epoch = math.ceil(data.num_train / math.ceil(plan.batch_size / plan.repeats))
    config.merge_from_dict(
        {
            "custom_imports": {"imports": imports, "allow_failed_imports": False},
            "work_dir": str(work_dir),
            "device": local_device(plan.device),
            "train_dataloader": _train_loader(plan, data),
            "train_cfg": {
                "type": "ClipTrainLoop",
                "max_epochs": plan.epochs,
                "val_interval": max(plan.evaluation, 1),
                "max_bad": plan.max_bad,
                "accumulation": plan.accumulation,
            },
            "optim_wrapper": _optimizer(plan),
            "param_scheduler": _schedule(plan, steps_per_epoch),
            # The first two would wait for the GPU in each step; the others are ours.
            "default_hooks": dict.fromkeys(
                ("runtime_info", "timer", "logger", "checkpoint", "sampler_seed")
            ),
            "custom_hooks": [
                {"type": "Progress", "quiet": quiet},
                *_training_hooks(record),
                *([_time_budget(deadline)] if deadline else []),
                *([{"type": "SaveLogits"}] if save_logits else []),
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


def config_text(config: Config) -> str:
    """A config as Python that mmengine reads.

    mmengine's own writer formats with a tool that takes a signal for a mistake in the config.
    """
    values = config.to_dict().items()
    return "".join(
        f"{name} = {pprint.pformat(value, width=LINE_LENGTH, sort_dicts=False)}\n"
        for name, value in values
    )


def write_config(config: Config, path: Path) -> None:
    """Write a config for people, and for mmengine's Runner; this project does not read it again."""
    write_text(path, config_text(config))


def _training_hooks(record: RunRecord) -> list[dict[str, Any]]:
    plan, hooks = record.plan, []
    if plan.early_share and plan.early_side < plan.resolution:
        hooks.append(
            {"type": "ProgressiveResizing", "side": plan.early_side, "share": plan.early_share}
        )
    if plan.ema:
        hooks.append({"type": "WeightEMA", "decay": plan.ema})
    if plan.patience:
        hooks.append({"type": "EarlyStopping", "patience": plan.patience})
    if plan.soup:
        hooks.append({"type": "ModelSoup", "most": plan.soup, "identity": record.identity})
    checkpoints = {
        "type": "ClipCheckpointHook",
        "pretrained": plan.pretrained,
        "identity": record.identity,
        "decoder": plan.decoder,
        "minutes": plan.checkpoint_minutes,
    }
    return [*hooks, checkpoints]


def _time_budget(deadline: Deadline) -> dict[str, Any]:
    prediction = deadline.prediction
    return {
        "type": "TimeBudget",
        "budget_sec": deadline.budget_sec,
        "reserve_sec": time_to_keep(deadline.budget_sec, prediction),
        "first_epoch_sec": prediction.first_epoch_sec,
        "epoch_sec": prediction.epoch_sec,
        "evaluation_sec": prediction.evaluation_sec,
        "most_epochs": deadline.most_epochs,
        "early_share": prediction.early_share,
        "early_cost": prediction.early_cost,
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
