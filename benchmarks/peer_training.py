"""Claim: our training loop takes more clips a second than mmaction2's own on the same machine.

Peer: mmengine's Runner with mmaction2's pipeline (decord), VideoDataset and SwinTransformer3D in
float32, all that it can do on a CPU. Ours: what the recipe makes of the plan, number type included.
Both get the demo's clips, the same arch, sizes, batch, workers and threads, and run in turns, each
in a process of its own; what counts are the steps after the warm-up.

    python benchmarks/peer_training.py [--rounds N] [--batch N]
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

WARM_UP, STEPS, THREADS = 2, 10, 2
FPS = 26  # about the demo's; the peer counts in frames


def ours_config(batch: int):
    """The config of a run on the clips in this folder, made as the real command makes it."""
    from autox_video.prepare import prepare, write_lists
    from autox_video.recipe import TrainingData, build_config
    from autox_video.settings import settings_from_mapping

    keys = {"data_root": "data/videos", "ann_file_train": "train.txt", "ann_file_val": "val.txt"}
    keys |= {"work_dir": "ours", "load_from": "none", "device": "cpu", "evaluation": 0}
    settings = settings_from_mapping({**keys, "videos_per_gpu": batch, "epoch": 1}, "benchmark")
    prepared = prepare(settings, resuming=False)
    listing = prepared.listing
    lists = write_lists(Path("ours"), listing)
    data = TrainingData("data/videos", *lists, listing.classes, len(listing.train))
    return build_config(prepared.plan, data, "ours")


def peer_config(batch: int):
    """The same job for stock mmaction2; of ours it takes the sizes."""
    from mmengine.config import Config

    ours = ours_config(batch)
    arch = ours.model.backbone.arch
    last_stage = 3 if isinstance(arch, str) else len(arch["depths"]) - 1
    backbone = {**ours.model.backbone, "type": "SwinTransformer3D", "pretrained2d": False}
    del backbone["precision"]
    loader = ours.train_dataloader
    dataset = {
        "type": "VideoDataset",
        "ann_file": "train.txt",
        "data_prefix": {"video": "data/videos"},
        "pipeline": peer_pipeline(loader.dataset.pipeline),
    }
    config = {
        "default_scope": "mmaction",
        "work_dir": "peer",
        "model": {**ours.model, "backbone": {**backbone, "out_indices": (last_stage,)}},
        "train_dataloader": {
            "batch_size": batch,
            "num_workers": loader.num_workers,
            "persistent_workers": loader.persistent_workers,
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "dataset": dataset,
        },
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": 1},
    }
    shared = ("optim_wrapper", "param_scheduler", "env_cfg")
    return Config({**config, **{key: ours[key] for key in shared}})


def peer_pipeline(ours: list[dict]) -> list[dict]:
    """mmaction2's usual training pipeline with the sizes of ours."""
    steps = {step["type"]: step for step in ours}
    decode = steps["DecodeClips"]
    interval = round(decode["frame_interval_sec"] * FPS)
    return [
        {"type": "DecordInit"},
        {"type": "SampleFrames", "clip_len": decode["clip_len"], "frame_interval": interval},
        {"type": "DecordDecode"},
        steps["RandomResizedCrop"],
        steps["Resize"],
        {"type": "Flip", "flip_ratio": 0.5},
        steps["FormatShape"],
        steps["PackActionInputs"],
    ]


def report_one(who: str, batch: int) -> None:
    """Train one epoch in this process; print clips/s after the warm-up and the number type."""
    import autox_video.mm_compat  # noqa: F401, I001 (must come before mmengine)
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    from autox_video.engine.runner import ClipRunner

    ends: list[float] = []
    clock = Hook()
    clock.after_train_iter = lambda *_args, **_options: ends.append(time.perf_counter())
    config = ours_config(batch) if who == "ours" else peer_config(batch)
    runner = (ClipRunner if who == "ours" else Runner).from_cfg(config)
    runner.register_hook(clock)
    runner.train()
    rate = (len(ends) - WARM_UP) * batch / (ends[-1] - ends[WARM_UP - 1])
    print(json.dumps([rate, config.model.backbone.get("precision", "float32")]))


def measure(who: str, folder: str, batch: int) -> tuple[float, str]:
    """Clips/s and number type of one side, from a fresh process in `folder`."""
    command = [sys.executable, __file__, "--measure", who, "--batch", str(batch)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "XDG_CACHE_HOME": folder}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{who} ended with {done.returncode}:\n{done.stderr}")
    shutil.rmtree(Path(folder, who))  # the next run begins anew
    return tuple(json.loads(done.stdout.strip().splitlines()[-1]))


def compare(rounds: int, batch: int) -> float:
    """Measure both in turns and print their medians; gives ours / peer."""
    from autox_video.dataset.demo import MOTIONS, make_demo

    found: dict[str, list[tuple[float, str]]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        per_class = -(-(WARM_UP + STEPS) * batch // len(MOTIONS))
        counts = {"train": per_class, "val": 1, "test": 1}
        make_demo(Path(folder, "data"), clips_per_class=counts)
        for split in ("train", "val"):
            text = Path(folder, f"data/annotations/{split}_list.txt").read_text()
            pairs = (line.split() for line in text.splitlines())
            lines = [f"{path} {list(MOTIONS).index(motion)}\n" for path, motion in pairs]
            Path(folder, f"{split}.txt").write_text("".join(lines))
        for _ in range(rounds):
            for who, figures in found.items():
                figures.append(measure(who, folder, batch))
    middle = {who: median(rate for rate, _ in figures) for who, figures in found.items()}
    print(f"batch {batch}, {THREADS} threads, median of {rounds} rounds:")
    for who, figures in found.items():
        rates = ", ".join(f"{rate:.1f}" for rate, _ in figures)
        print(f"  {who}: {middle[who]:6.1f} clips/s in {figures[0][1]} ({rates})")
    return middle["ours"] / middle["peer"]


def main() -> int:
    """Parse the options, measure, print; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--measure", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        report_one(options.measure, options.batch)
        return 0
    ratio = compare(options.rounds, options.batch)
    print(f"  ours / peer: {ratio:.2f}; bar: more than 1: {'met' if ratio > 1 else 'missed'}")
    return 0 if ratio > 1 else 1


if __name__ == "__main__":
    sys.exit(main())
