"""Claim: our training loop takes more clips a second than mmaction2's own on the same machine.

Peer: mmengine's Runner with mmaction2's pipeline (decord), VideoDataset and SwinTransformer3D in
float32, which is all that it can do on a CPU. Ours: what the recipe makes of the plan, with the
number type that it chooses. Both get the demo's clips, the same arch, resolution, clip_len, batch,
workers and threads. Each runs in turns in a process of its own; steps after the warm-up count.

    python benchmarks/peer_training.py [--rounds N] [--batch N] [--steps N] [--threads N]
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

WARM_UP = 2
FPS = 26  # about the demo's; the peer counts in frames
LISTS = {split: f"data/annotations/{split}_list.txt" for split in ("train", "val")}


def prepare_ours(batch: int):
    """The config of a run on the clips in this folder, as the real command makes it."""
    from autox_video.prepare import prepare, write_lists
    from autox_video.recipe import TrainingData, build_config
    from autox_video.settings import settings_from_mapping

    keys = {f"ann_file_{split}": path for split, path in LISTS.items()}
    keys |= {"data_root": "data/videos", "work_dir": "ours", "load_from": "none", "device": "cpu"}
    keys |= {"videos_per_gpu": batch, "epoch": 1, "evaluation": 0}
    prepared = prepare(settings_from_mapping(keys, "benchmark"), resuming=False)
    lists = write_lists(Path("ours"), prepared.listing)
    listing = prepared.listing
    data = TrainingData("data/videos", *lists, listing.classes, len(listing.train))
    return build_config(prepared.plan, data, "ours")


def prepare_peer(batch: int):
    """The same job for stock mmaction2: nothing of ours but the sizes."""
    from mmengine.config import Config

    ours = prepare_ours(batch)
    arch = ours.model.backbone.arch
    stages = 4 if isinstance(arch, str) else len(arch["depths"])
    backbone = {**ours.model.backbone, "type": "SwinTransformer3D", "pretrained2d": False}
    backbone["out_indices"] = (stages - 1,)
    del backbone["precision"]
    loader = ours.train_dataloader
    return Config(
        {
            "default_scope": "mmaction",
            "work_dir": "peer",
            "model": {**ours.model, "backbone": backbone},
            "train_dataloader": {
                "batch_size": batch,
                "num_workers": loader.num_workers,
                "persistent_workers": loader.persistent_workers,
                "sampler": {"type": "DefaultSampler", "shuffle": True},
                "dataset": {
                    "type": "VideoDataset",
                    "ann_file": write_peer_list(ours.classes),
                    "data_prefix": {"video": "data/videos"},
                    "pipeline": peer_pipeline(loader.dataset.pipeline),
                },
            },
            "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": 1},
            "optim_wrapper": ours.optim_wrapper,
            "param_scheduler": ours.param_scheduler,
            "env_cfg": ours.env_cfg,
            "log_level": "ERROR",
        }
    )


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


def write_peer_list(classes: list[str]) -> str:
    """The training list with numbers for labels, as VideoDataset reads it."""
    pairs = (line.split() for line in Path(LISTS["train"]).read_text().splitlines())
    text = "".join(f"{path} {list(classes).index(name)}\n" for path, name in pairs)
    Path("peer_list.txt").write_text(text)
    return "peer_list.txt"


def report_one(who: str, batch: int) -> None:
    """Train one epoch in this process; print clips/s after the warm-up and the number type."""
    import autox_video.mm_compat  # noqa: F401, I001 (must come before mmengine)
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    from autox_video.engine.runner import ClipRunner

    ends: list[float] = []

    class Clock(Hook):
        """Notes when each step ended."""

        def after_train_iter(self, *_args, **_options) -> None:
            """Note the time."""
            ends.append(time.perf_counter())

    prepare, runner_class = {
        "ours": (prepare_ours, ClipRunner),
        "peer": (prepare_peer, Runner),
    }[who]
    config = prepare(batch)
    runner = runner_class.from_cfg(config)
    runner.register_hook(Clock())
    runner.train()
    rate = (len(ends) - WARM_UP) * batch / (ends[-1] - ends[WARM_UP - 1])
    number_type = config.model.backbone.get("precision", "float32")
    print(json.dumps([rate, number_type]))


def measure(who: str, folder: str, options: argparse.Namespace) -> tuple[float, str]:
    """Clips/s and number type of one side, in a fresh process in `folder`."""
    command = [sys.executable, __file__, "--measure", who, "--batch", str(options.batch)]
    threads = {"OMP_NUM_THREADS": str(options.threads), "XDG_CACHE_HOME": folder}
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **threads}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{who} ended with {done.returncode}:\n{done.stderr}")
    return tuple(json.loads(done.stdout.strip().splitlines()[-1]))


def compare(options: argparse.Namespace) -> float:
    """Measure both in turns and print them; gives ours / peer."""
    from autox_video.dataset.demo import MOTIONS, make_demo

    per_class = -(-(WARM_UP + options.steps) * options.batch // len(MOTIONS))
    found: dict[str, list[tuple[float, str]]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        clips = {"train": per_class, "val": 1, "test": 1}
        make_demo(Path(folder, "data"), clips_per_class=clips)
        for _ in range(options.rounds):
            for who, figures in found.items():
                figures.append(measure(who, folder, options))
                shutil.rmtree(Path(folder, who))  # a run begins anew
    print(f"batch {options.batch}, {options.threads} threads, median of {options.rounds} rounds:")
    middle = {who: median(rate for rate, _ in figures) for who, figures in found.items()}
    for who, rate in middle.items():
        rates = ", ".join(f"{rate:.1f}" for rate, _ in found[who])
        print(f"  {who}: {rate:6.1f} clips/s in {found[who][0][1]} ({rates})")
    return middle["ours"] / middle["peer"]


def main() -> int:
    """Parse the options, measure, print; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rounds", 3), ("batch", 16), ("steps", 10), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--measure", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        report_one(options.measure, options.batch)
        return 0
    ratio = compare(options)
    print(f"  ours / peer: {ratio:.2f}; bar: more than 1: {'met' if ratio > 1 else 'missed'}")
    return 0 if ratio > 1 else 1


if __name__ == "__main__":
    sys.exit(main())
