"""The suite's peer: mmaction2's own recipe for Video Swin-T, from scratch, for a given time.

The config is the one that ships with mmaction2. Changed are what the job needs (lists, classes, no
pretrained weights, steps instead of epochs) and what helps it here: the head's learning rate for
the backbone too, since nothing is pretrained; the learning rate scaled to the batch size by
mmaction2's own rule; bfloat16 if the processor is fast at it; all cores. The schedule keeps its
shape (warm-up over 2.5 of 30 epochs, then a cosine), but over time instead of steps, so that all
of it is used. It is tested with one view of each clip by the recipe's validation pipeline; testing
is not timed.

    python benchmarks/suite_peer.py JOB.json

JOB.json has root, classes, seconds, seed, frames, side; the result is written to result.json in the
same folder.
"""

import json
import sys
import time
from math import cos, pi
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CONFIG = "recognition/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb.py"
BATCH, BASE_BATCH = 8, 64
WARM_UP_SHARE = 2.5 / 30


def stock_config(job: dict[str, Any], work_dir: Path):
    """mmaction2's config with the changes named above."""
    import mmaction
    from mmengine.config import Config

    config = Config.fromfile(Path(mmaction.__file__).parent / ".mim" / "configs" / CONFIG)
    config.work_dir, config.randomness = str(work_dir), {"seed": job["seed"]}
    config.model.backbone.update(pretrained=None, pretrained2d=False)
    config.model.cls_head.num_classes = len(job["classes"])
    wrapper = config.optim_wrapper
    wrapper.type = "OptimWrapper"
    wrapper.optimizer.lr *= BATCH / BASE_BATCH
    wrapper.paramwise_cfg.backbone.lr_mult = 1.0
    config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 10**6, "val_interval": 10**9}
    config.param_scheduler = []
    for name in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[name] = None
    _set_data(config, job)
    config.default_hooks.checkpoint = {
        "type": "CheckpointHook",
        "interval": 10**9,
        "save_last": False,  # the time is for training
    }
    return config


def _set_data(config, job: dict[str, Any]) -> None:
    root = Path(job["root"])
    config.test_pipeline = config.val_pipeline
    for pipeline in (config.train_pipeline, config.test_pipeline):
        for step in pipeline:
            if step["type"] == "SampleFrames":
                step["clip_len"] = job["frames"]
            elif step["type"] == "CenterCrop":
                step["crop_size"] = job["side"]
            elif step["type"] == "Resize":
                large = round(job["side"] * 256 / 224)
                step["scale"] = (-1, large) if -1 in step["scale"] else (job["side"],) * 2
    for split in ("train", "test"):
        loader = config[f"{split}_dataloader"]
        loader.update(batch_size=BATCH, num_workers=1)
        loader.dataset.update(
            ann_file=str(Path(job["folder"], f"{split}.txt")),
            data_prefix={"video": str(root)},
            pipeline=config[f"{split}_pipeline"],
        )
    config.train_dataloader.sampler = {"type": "InfiniteSampler", "shuffle": True}
    config.train_dataloader.drop_last = True


def make_clock(started: float, seconds: float):
    """Return a hook that sets the learning rate by the time, and ends training when time is up."""
    from mmengine.hooks import Hook

    class Clock(Hook):
        """Sets the learning rate: mmengine's schedulers need the number of steps in advance."""

        last, slowest = 0.0, 0.0

        def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
            """Set the learning rate of all groups for the time used."""
            now = time.time()
            if batch_idx == 0:
                self.first = now
                self.base = [group["lr"] for group in runner.optim_wrapper.param_groups]
            share = share_of_rate((now - self.first) / (started + seconds - self.first))
            for group, base in zip(runner.optim_wrapper.param_groups, self.base, strict=True):
                group["lr"] = base * share

        def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
            """End training if a step as slow as the slowest would end too late."""
            now = time.time()
            self.slowest = max(self.slowest, now - (self.last or self.first))
            self.last = now
            if now + self.slowest > started + seconds:
                runner.train_loop._max_iters = batch_idx + 1

    return Clock()


def share_of_rate(done: float) -> float:
    """Return the factor of the learning rate after a share of the time.

    A linear warm-up from 0.1, then a cosine to 0.
    """
    if done < WARM_UP_SHARE:
        return 0.1 + 0.9 * done / WARM_UP_SHARE
    return 0.5 * (1 + cos(pi * min(1.0, done)))


def compute_in_bfloat16(backbone) -> None:
    """Run a backbone with autocast; mmengine's own wrapper for that needs a GPU."""
    import torch

    forward = backbone.forward

    def under_autocast(inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return forward(inputs).float()

    backbone.forward = under_autocast


def run(job: dict[str, Any], started: float) -> dict[str, Any]:
    """Train and test; return top1, top5 and details of the run."""
    import autox_video  # noqa: F401, I001 (before mmaction2)
    from mmengine.runner import Runner

    from autox_video.machine.hardware import detect

    folder = Path(job["folder"])
    fast = detect("cpu").fast_bfloat16
    config = stock_config(job, folder / "stock")
    runner = Runner.from_cfg(config)
    clock = make_clock(started, job["seconds"])
    runner.register_hook(clock, priority="VERY_LOW")
    if fast:
        compute_in_bfloat16(runner.model.backbone)
    runner.train()
    trained = time.time()
    measured = runner.test()
    return {
        "top1": measured["acc/top1"],
        "top5": measured["acc/top5"],
        "steps": runner.iter,
        "precision": "bfloat16" if fast else "float32",
        "training_sec": trained - started,
        "testing_sec": time.time() - trained,
    }


def main() -> int:
    """Read the job, run it, write the result; return the exit code."""
    started = time.time()
    path = Path(sys.argv[1])
    result = run(json.loads(path.read_text(encoding="utf-8")), started)
    (path.parent / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
