"""Build the mmaction2 config of a run from the run record.

This module makes no decisions, and a config is never modified after it has been built. Every config
value comes from the run record or an argument, or is a constant that works for all runs.
"""

import math
import pprint
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES, DECODERS
from autox_video.core.files import write_text
from autox_video.distributed.processes import local_device
from autox_video.planning.augmentation import scaled
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.tasks.task import TASKS
from autox_video.training.deadline import time_to_keep

LARGEST_VAL_BATCH = 16
LINE_LENGTH = 100

_MODEL_MODULES = (
    *(f"autox_video.tasks.classification.{name}" for name in ("head", "attentive_head")),
    *(f"autox_video.data.loading.{name}" for name in ("preprocess", "transforms", "clip_dataset")),
)
_HOOKS = (
    "ema",
    "progressive_resizing",
    "early_stopping",
    "finish_early",
    "progress",
    "validation_logits",
    "time_budget",
)
_TRAINING_MODULES = (
    *("loops", "optimizer", "validation_metric", "schedule", "runner"),
    *(f"hooks.{name}" for name in _HOOKS),
    *(f"checkpoints.{name}" for name in ("checkpoint_hook", "soup")),
)
_UNUSED_HOOKS = ("runtime_info", "timer", "logger", "checkpoint", "sampler_seed")
"""mmengine's default hooks that are disabled. The first two hooks would wait for the GPU in each
step; our own hooks replace the others."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time limit of a run."""

    budget_sec: float
    """Time budget of the whole run, including everything before and after training."""
    prediction: Prediction
    """Predicted duration of each part of the run."""
    most_epochs: int
    """Maximum number of epochs, even if there is time for more."""


def model_config(record: RunRecord) -> Config:
    """Return the part of a config that is needed for testing: model, classes and pipeline."""
    return Config(_testing_part(record))


def build_config(
    record: RunRecord,
    work_dir: Path | str,
    *,
    deadline: Deadline | None = None,
    quiet: bool = False,
    save_logits: bool = False,
) -> Config:
    """Return the mmaction2 1.x config of a run, for use with mmengine's Runner.

    Args:
        record: the run record, with the plan and the clips.
        work_dir: the work dir.
        deadline: time limit for the run; None for no limit.
        quiet: whether to show only progress and problems to the user.
        save_logits: whether to save the logits of each evaluation.
    """
    plan, data, testing = record.plan, record.data, _testing_part(record)
    modules = [f"autox_video.training.{name}" for name in _TRAINING_MODULES]
    hooks = [
        {"type": "Progress", "quiet": quiet},
        *_training_hooks(record),
        *([_time_budget(deadline)] if deadline else []),
        *([{"type": "SaveLogits"}] if save_logits else []),
    ]
    return Config(
        {
            **testing,
            "custom_imports": _imported([*testing["custom_imports"]["imports"], *modules]),
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
            **(_validation(plan, data) if data.val_list is not None and plan.evaluation else {}),
            "optim_wrapper": _optimizer(plan),
            "param_scheduler": [_schedule(plan, data.num_train)],
            "default_hooks": dict.fromkeys(_UNUSED_HOOKS),
            "custom_hooks": hooks,
            "visualizer": {"type": "Visualizer", "vis_backends": []},
            "env_cfg": {"mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0}},
            "randomness": {"seed": plan.seed, "deterministic": plan.deterministic},
            "strategy": plan.strategy,
            "log_level": "INFO",
        }
    )


def config_text(config: Config) -> str:
    """Return a config as Python code that mmengine can read.

    mmengine's own writer is not used, because it reports an invalid config if a signal arrives
    during formatting.
    """
    values = config.to_dict().items()
    return "".join(
        f"{name} = {pprint.pformat(value, width=LINE_LENGTH, sort_dicts=False)}\n"
        for name, value in values
    )


def write_config(config: Config, path: Path) -> None:
    """Write a config file for users and mmengine's Runner; this package never reads the file."""
    write_text(path, config_text(config))


def _testing_part(record: RunRecord) -> dict[str, Any]:
    plan, data = record.plan, record.data
    spec, task, decoder = BACKBONES[plan.backbone], TASKS[data.task], DECODERS[plan.decoder]
    # Modules with user-defined classes must be imported to register the classes.
    chosen = dict.fromkeys((spec.module, type(task).__module__, decoder.__module__))
    read = _read(plan, num_clips=plan.test_clips, test_mode=True, short_side=plan.resolution)
    read["remote_cache"] = data.remote_cache
    crop = {"type": "CropClips", "side": plan.resolution, "crop": "three"}
    return {
        "model": _model(record),
        "custom_imports": _imported([*chosen, *_MODEL_MODULES]),
        "default_scope": "mmaction",
        "experiment_name": plan.backbone,
        "classes": list(data.classes),
        "test_pipeline": [read, crop],
        "test_item_shape": (plan.test_clips * 3, *_view(plan)),
    }


def _imported(modules: list[str]) -> dict[str, Any]:
    """Import modules that register classes; return a config entry that has mmengine import them."""
    import_modules_from_strings(modules)
    return {"imports": modules, "allow_failed_imports": False}


def _model(record: RunRecord) -> dict[str, Any]:
    plan, data = record.plan, record.data
    spec, task = BACKBONES[plan.backbone], TASKS[data.task]
    normalisation = record.normalisation or spec
    attends = {"type": "AttentiveClipHead", "grid": plan.head_grid}
    return {
        "type": "Recognizer3D",
        "backbone": {
            **spec.config,
            **({"window_size": tuple(plan.window_size)} if spec.window_size else {}),
            **({"frozen_stages": plan.freeze} if plan.freeze else {}),
            **(_of_library(plan, spec) if spec.is_library else {}),
            "drop_path_rate": plan.drop_path,
            "precision": plan.precision,
            "with_cp": plan.gradient_checkpointing,
            "compile": plan.compile,
        },
        "cls_head": {
            **(attends if plan.head_grid else {"type": "ClipHead"}),
            "num_classes": plan.num_classes,
            "in_channels": spec.channels,
            "spatial_type": "avg",
            "dropout_ratio": spec.head_dropout,
            "average_clips": "prob",
            "label_smooth_eps": plan.label_smoothing,
            "task": data.task,
            **task.head(),
            "class_clips": list(data.class_clips) if plan.class_balance else None,
        },
        "data_preprocessor": {
            "type": "ClipPreprocessor",
            "mean": list(normalisation.mean),
            "std": list(normalisation.std),
            "augment": {
                "flip": 0.5 if plan.flip else 0.0,
                **scaled(plan.augment, plan.augment_strength),
            },
            "num_classes": plan.num_classes,
        },
    }


def _of_library(plan: Plan, spec: BackboneSpec) -> dict[str, Any]:
    size = {"frames": plan.clip_len, "side": plan.resolution}
    adapters = {"rank": plan.lora, "layers": sorted(spec.linears)}
    return {
        **size,
        "norm_eval": plan.pretrained is not None,
        **({"lora": adapters} if plan.lora else {}),
        **({"time_shift": True} if plan.time_shift else {}),
    }


def _train_loader(plan: Plan, data: TrainingData) -> dict[str, Any]:
    area_range = (plan.smallest_crop**plan.augment_strength, 1.0)
    crop = {"type": "CropClips", "side": plan.resolution, "crop": "random"}
    read = _read(plan, num_clips=1, test_mode=False, short_side=plan.short_side)
    read |= {"jitter": plan.jitter, **_caches(plan, data)}
    dataset = {
        **_dataset(plan, data, data.train_list),
        "pipeline": [read, {**crop, "area_range": area_range}],
        "item_shape": (1, *_view(plan)),
    }
    return {**_loader(plan, dataset), "batch_size": plan.batch_size, "shuffle": True}


def _validation(plan: Plan, data: TrainingData) -> dict[str, Any]:
    read = _read(plan, num_clips=1, test_mode=True, short_side=plan.resolution)
    crop = {"type": "CropClips", "side": plan.resolution, "crop": "centre"}
    # The batch size must not depend on the number of processes, or the scores would too.
    batch_size = min(plan.batch_size, LARGEST_VAL_BATCH)
    dataset = {
        **_dataset(plan, data, data.val_list),
        "pipeline": [{**read, **_caches(plan, data)}, crop],
        "item_shape": (1, *_view(plan)),
    }
    metric = {"type": "ClipMetric", "task": data.task, "balanced": plan.class_balance}
    return {
        "val_dataloader": {**_loader(plan, dataset), "batch_size": batch_size, "shuffle": False},
        "val_cfg": {"type": "ClipValLoop"},
        "val_evaluator": [metric],
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


def _dataset(plan: Plan, data: TrainingData, clips: str) -> dict[str, Any]:
    return {
        "type": "ClipDataset",
        "clips": clips,
        "data_root": data.data_root,
        "classes": list(data.classes),
        "seed": plan.seed,
    }


def _loader(plan: Plan, dataset: dict[str, Any]) -> dict[str, Any]:
    return {"workers": plan.workers, "pin_memory": plan.device != "cpu", "dataset": dataset}


def _optimizer(plan: Plan) -> dict[str, Any]:
    no_decay = {"decay_mult": 0.0}
    return {
        "type": "ClipOptimWrapper",
        "constructor": "ParamGroupConstructor",
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


def _schedule(plan: Plan, num_train: int) -> dict[str, Any]:
    steps_per_epoch = math.ceil(num_train / plan.batch_size)
    total = plan.epochs * steps_per_epoch
    warmup = min(round(plan.warmup_epochs * steps_per_epoch), total - 1)
    fall = min(warmup + round(plan.flat_epochs * steps_per_epoch), total - 1)
    return {"type": "WarmFlatCosine", "warmup": warmup, "fall": fall, "end": total}


def _training_hooks(record: RunRecord) -> list[dict[str, Any]]:
    plan, hooks = record.plan, []
    if plan.early_share and plan.early_side < plan.resolution:
        smaller = {"short_side": plan.early_side, "steps_share": plan.early_share}
        hooks.append({"type": "ProgressiveResizing", **smaller})
    if plan.ema:
        hooks.append({"type": "WeightEMA", "decay": plan.ema})
    if plan.patience:
        hooks.append({"type": "EarlyStopping", "patience": plan.patience})
    if plan.finish_loss:
        hooks.append({"type": "FinishEarly", "loss": plan.finish_loss})
    if plan.soup:
        hooks.append({"type": "ModelSoup", "most": plan.soup})
    checkpoints = {
        "type": "ClipCheckpointHook",
        "pretrained": plan.pretrained,
        "identity": record.identity,
        "minutes": plan.checkpoint_minutes,
        **({"head_rows": record.data.head_rows} if record.data.head_rows else {}),
    }
    return [*hooks, checkpoints]


def _time_budget(deadline: Deadline) -> dict[str, Any]:
    prediction = deadline.prediction
    return {
        "type": "TimeBudget",
        "budget_sec": deadline.budget_sec,
        "reserve_sec": time_to_keep(deadline.budget_sec, prediction),
        "most_epochs": deadline.most_epochs,
        **{name: getattr(prediction, name) for name in _PREDICTED},
    }


_PREDICTED = ("first_epoch_sec", "epoch_sec", "evaluation_sec", "early_share", "early_cost")
