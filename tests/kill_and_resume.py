"""Kill runs in their second epoch, and train them and others to the end, all from one process.

    python tests/kill_and_resume.py FOLDER...

Each FOLDER holds `whole/config.yaml` and `killed/config.yaml`. What is killed is a copy of this
process, made before it has trained anything: that saves the start of Python, which takes longer
than a tiny run. The resumed runs find their backbone as in a new process.
"""

import importlib
import multiprocessing
import os
import signal
import sys
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

from autox_video.cli.main import main

SLOW_IMPORTS = (
    "autox_video.jobs.train",
    "mmaction.models",
    "timm",
    "torch._dynamo",
    "transformers.modeling_utils",
)
"""What a run imports that takes long and tells nothing of a backbone: once, before the copies."""
STEPS_PER_EPOCH = 3


def train(folder: Path, *words: str) -> None:
    """Train the run in a folder."""
    os.chdir(folder)
    print(f"{folder}:", flush=True)
    if main(["train", *words]) != 0:
        sys.exit(f"{folder}: training failed")


def train_and_die(folder: Path) -> None:
    """Train with a checkpoint after every step, and end by SIGKILL in the second epoch."""

    def die_in_time(*_: object) -> None:
        metrics = Path("work/metrics.jsonl")
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        if sum('"event": "train"' in line for line in lines) > STEPS_PER_EPOCH:
            os.kill(os.getpid(), signal.SIGKILL)

    register_optimizer_step_post_hook(die_in_time)
    train(folder, "checkpoint_minutes=0.0001")


def kill(folder: Path) -> None:
    """Train the run in a folder until it is killed."""
    process = multiprocessing.get_context("fork").Process(target=train_and_die, args=[folder])
    process.start()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        sys.exit(f"{folder}: it was not killed, but ended with {process.exitcode}")


if __name__ == "__main__":
    for module in SLOW_IMPORTS:
        importlib.import_module(module)
    folders = [Path(word) for word in sys.argv[1:]]
    for folder in folders:
        kill(folder / "killed")
    for folder in folders:
        train(folder / "killed")
        train(folder / "whole")
