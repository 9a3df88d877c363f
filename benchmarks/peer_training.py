"""Claim: our training loop processes more clips a second than mmaction2's on the same machine.

Peer: mmengine's Runner, mmaction2's pipeline (decord), VideoDataset, SwinTransformer3D, head and
optimizer groups, in float32, the best it can do on a CPU. Ours: the config built from the plan.
Both get the demo's clips, the same sizes, workers and threads, and the allocator and thread
settings of our commands; they run in turns, each in its own process.

    python benchmarks/peer_training.py [--rounds N]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

BATCH, WARM_UP, STEPS, THREADS = 16, 2, 10, 2
THREADS_AS_IN_THE_COMMANDS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}
FPS = 26  # about the demo's; the peer counts in frames


def ours_config():
    """Return the config of a run on the clips in this folder, made like the real command."""
    from autox_video.automl.prepare import prepare
    from autox_video.config.load import settings_from_mapping
    from autox_video.planning.record import RunRecord
    from autox_video.training.config.build_config import build_config

    keys = {f"ann_file_{s}": f"data/annotations/{s}_list.txt" for s in ("train", "val")}
    keys |= {"data_root": "data/videos", "work_dir": "ours", "load_from": "none", "device": "cpu"}
    keys |= {"videos_per_gpu": BATCH, "epoch": 1, "evaluation": 0}
    prepared = prepare(settings_from_mapping(keys, "benchmark"), resuming=False)
    return build_config(RunRecord(prepared.plan, prepared.data), "ours")


def peer_config():
    """Return the same job for stock mmaction2, with the sizes of ours."""
    from mmengine.config import Config

    ours = ours_config()
    arch, wrapper = ours.model.backbone.arch, ours.optim_wrapper
    backbone = {"type": "SwinTransformer3D", "pretrained2d": False, "arch": arch}
    backbone |= {key: ours.model.backbone[key] for key in ("window_size", "drop_path_rate")}
    backbone["out_indices"] = (len(arch["depths"]) - 1,)
    colours = {key: ours.model.data_preprocessor[key] for key in ("mean", "std")}
    theirs = {key: ours[key] for key in ("param_scheduler", "env_cfg")}
    theirs |= {"default_scope": "mmaction", "work_dir": "peer"}
    theirs["model"] = {
        "type": "Recognizer3D",
        "backbone": backbone,
        "cls_head": {**ours.model.cls_head, "type": "I3DHead"},
        "data_preprocessor": {
            "type": "ActionDataPreprocessor",
            "format_shape": "NCTHW",
            **colours,
        },
    }
    theirs["optim_wrapper"] = {
        "type": "OptimWrapper",
        "constructor": "SwinOptimWrapperConstructor",
        "optimizer": wrapper.optimizer,
        "paramwise_cfg": wrapper.paramwise_cfg,
        "clip_grad": {"max_norm": wrapper.max_grad_norm},
    }
    theirs["train_cfg"] = {"type": "EpochBasedTrainLoop", "max_epochs": 1}
    loader = ours.train_dataloader
    theirs["train_dataloader"] = {
        "batch_size": loader.batch_size,
        "num_workers": loader.workers,
        "persistent_workers": loader.workers > 0,
        "sampler": {"type": "DefaultSampler", "shuffle": True},
        "dataset": {
            "type": "VideoDataset",
            "ann_file": "train.txt",
            "data_prefix": {"video": "data/videos"},
            "pipeline": peer_pipeline(loader.dataset.pipeline),
        },
    }
    return Config(theirs)


def peer_pipeline(ours: list[dict]) -> list[dict]:
    """Return mmaction2's usual training pipeline with the sizes of ours."""
    read, crop = ours
    interval = round(read["frame_interval_sec"] * FPS)
    return [
        {"type": "DecordInit"},
        {"type": "SampleFrames", "clip_len": read["clip_len"], "frame_interval": interval},
        {"type": "DecordDecode"},
        {"type": "RandomResizedCrop", "area_range": crop["area_range"]},
        {"type": "Resize", "scale": (crop["side"], crop["side"]), "keep_ratio": False},
        {"type": "Flip", "flip_ratio": 0.5},
        {"type": "FormatShape", "input_format": "NCTHW"},
        {"type": "PackActionInputs"},
    ]


def report_one(who: str) -> int:
    """Train one epoch in this process; print clips/s and the dtype; return 0."""
    from mmengine.hooks import Hook
    from mmengine.registry import RUNNERS

    from autox_video.machine.allocator import keep_freed_memory

    keep_freed_memory()
    ends: list[float] = []
    clock = Hook()
    clock.after_train_iter = lambda *_args, **_options: ends.append(time.perf_counter())
    config = ours_config() if who == "ours" else peer_config()
    runner = RUNNERS.get("ClipRunner" if who == "ours" else "Runner").from_cfg(config)
    runner.register_hook(clock)
    runner.train()
    rate = (len(ends) - WARM_UP) * BATCH / (ends[-1] - ends[WARM_UP - 1])
    print(json.dumps([rate, config.model.backbone.get("precision", "float32")]))
    return 0


def measure(who: str, folder: str) -> tuple[float, str]:
    """Return clips/s and dtype of one side, from a fresh process in `folder`."""
    command = [sys.executable, __file__, "--measure", who]
    threads = {"OMP_NUM_THREADS": str(THREADS), **THREADS_AS_IN_THE_COMMANDS}
    environment = {**os.environ, **threads, "XDG_CACHE_HOME": folder}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{who} ended with {done.returncode}:\n{done.stderr}")
    shutil.rmtree(Path(folder, who))  # the next run starts from scratch
    return tuple(json.loads(done.stdout.strip().splitlines()[-1]))


def compare(rounds: int) -> float:
    """Measure both in turns and print their medians; return ours / peer."""
    from autox_video.data.demo import MOTIONS, demo_clips, make_demo

    found: dict[str, list[tuple[float, str]]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        per_class = -(-(WARM_UP + STEPS) * BATCH // len(MOTIONS))
        counts = {"train": per_class, "val": 1, "test": 1}
        make_demo(Path(folder, "data"), clips_per_class=counts)
        clips = [clip for clip in demo_clips(clips_per_class=counts) if clip.split == "train"]
        lines = [f"{clip.name} {list(MOTIONS).index(clip.label)}\n" for clip in clips]
        Path(folder, "train.txt").write_text("".join(lines))
        for _ in range(rounds):
            for who, figures in found.items():
                figures.append(measure(who, folder))
    middle = {who: median(rate for rate, _ in figures) for who, figures in found.items()}
    print(f"batch {BATCH}, {THREADS} threads, median of {rounds} rounds:")
    for who, figures in found.items():
        rates = ", ".join(f"{rate:.1f}" for rate, _ in figures)
        print(f"  {who}: {middle[who]:6.1f} clips/s in {figures[0][1]} ({rates})")
    return middle["ours"] / middle["peer"]


def main() -> int:
    """Parse the options, measure, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return report_one(options.measure)
    ratio = compare(options.rounds)
    print(f"  ours / peer: {ratio:.2f}; bar: more than 1: {'met' if ratio > 1 else 'missed'}")
    return 0 if ratio > 1 else 1


if __name__ == "__main__":
    sys.exit(main())
