"""Claim: killed at any moment, a run goes on, has lost one epoch at most, and comes to its end.

A run of the real command on a tiny data set is ended by SIGKILL and started again: at its first
step, five times at random moments, once while it starts, once as an evaluation is written down.
After each kill the steps in metrics.jsonl are compared with those in latest.pth. In the end every
step and evaluation is in metrics.jsonl once, and best.pth and results.json are there. No peer.

    python benchmarks/kill.py [--epochs N] [--seed N]
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autox_video.dataset.demo import MOTIONS, make_demo  # noqa: E402 (of this source tree)

CLIPS = {"train": 3, "val": 1, "test": 1}  # of each class
CONFIG = """{data_root: data/videos, ann_file_train: data/annotations/train_list.txt,
 ann_file_val: data/annotations/val_list.txt, ann_file_test: data/annotations/test_list.txt,
 work_dir: ., videos_per_gpu: 4, resolution: 32, clip_len: 2, workers: 1, evaluation: 2,
 device: cpu, load_from: none, epoch: EPOCHS}
"""
STEPS = CLIPS["train"] * len(MOTIONS) // 4  # so few that each has its line in metrics.jsonl
MOMENTS = ("first step", *["random"] * 5, "starting", "evaluation")
SPREAD_SEC, PATIENCE_SEC = 3.0, 300  # of random moments after the first step; with any start
TRAIN, TEST = ([sys.executable, str(ROOT / f"auto{job}.py")] for job in ("train", "test"))


def events(folder: Path, kind: str) -> list[dict]:
    """The events of one kind in metrics.jsonl, without a line that a kill tore."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [e for e in (json.loads(x) for x in lines if x.endswith("}")) if e["event"] == kind]


def read_meta(path: Path) -> dict:
    """What a checkpoint says of itself; empty where there is none."""
    return torch.load(path, weights_only=True)["meta"] if path.exists() else {}


def went_on_at(log: Path) -> int | None:
    """The step after which a start took its first one; None if it took none."""
    text = log.read_text()
    if not re.search(r"^epoch \d+/\d+ step", text, re.MULTILINE):
        return None
    said = re.search(r"Going on after epoch (\d+) of \d+(?:, (\d+) steps)?", text)
    return int(said[1]) * STEPS + int(said[2] or 0) if said else 0


def kill_at(moment: str, folder: Path, log: Path, delay_sec: float) -> float:
    """Start training, kill it `delay_sec` after a moment; gives the seconds that it lived."""
    evaluations = len(events(folder, "val"))
    reached = {
        "starting": lambda: True,
        "evaluation": lambda: len(events(folder, "val")) > evaluations,
    }.get(moment, lambda: went_on_at(log) is not None)
    began, due = time.monotonic(), None
    with log.open("w") as shown:
        process = subprocess.Popen(TRAIN, cwd=folder, stdout=shown, stderr=shown)
    try:
        while due is None or time.monotonic() < due:
            if process.poll() is not None or time.monotonic() > began + PATIENCE_SEC:
                sys.exit(f"{log.read_text()}Nothing to kill; exit code {process.returncode}.")
            if due is None and reached():
                due = time.monotonic() + delay_sec
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    return time.monotonic() - began


def kill_often(folder: Path, rng: random.Random) -> list[str]:
    """Start and kill at each moment, with a printed row each; gives what went wrong."""
    problems, saved, startup_sec = [], 0, 0.0
    print("  kill  moment      lived s  steps done  steps saved  lost", flush=True)
    for number, moment in enumerate(MOMENTS, 1):
        log = folder / f"start_{number}.txt"
        longest_sec = {"random": SPREAD_SEC, "starting": startup_sec}.get(moment, 0.0)
        lived_sec = kill_at(moment, folder, log, rng.uniform(0, longest_sec))
        startup_sec = startup_sec or lived_sec
        if went_on_at(log) not in (None, saved):
            problems.append(f"start {number} went on at {went_on_at(log)}, not at {saved}")
        done = max((event["iter"] for event in events(folder, "train")), default=0)
        saved = read_meta(folder / "latest.pth").get("iter", 0)
        if done - saved > STEPS:
            problems.append(f"kill {number} lost {done - saved} steps of {STEPS} in an epoch")
        counts = f"{done:10d}  {saved:11d}  {done - saved:4d}"
        print(f"{number:6d}  {moment:<10}  {lived_sec:7.2f}  {counts}", flush=True)
    return problems


def finish(folder: Path, epochs: int) -> list[str]:
    """Let training come to its end and test; gives what went wrong."""
    for command in (TRAIN, TEST):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
        if done.returncode:
            return [f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"]
    evaluations = events(folder, "val")
    top = min(evaluations, key=lambda e: (-e["top1"], e["loss"], e["epoch"]))
    records = json.loads((folder / "results.json").read_text())["predictions"]
    found = {
        "steps": ([e["iter"] for e in events(folder, "train")], range(1, epochs * STEPS + 1)),
        "evaluations": ([e["epoch"] for e in evaluations], {*range(2, epochs, 2), epochs}),
        "epoch of the best": ([read_meta(folder / "best.pth")["metrics"]["epoch"]], [top["epoch"]]),
        "records": ([len(records)], [CLIPS["test"] * len(MOTIONS)]),
    }
    return [f"{what}: {bad}" for what, lists in found.items() if (bad := differences(*lists))]


def differences(found: Iterable[int], wanted: Iterable[int]) -> str:
    """What is there too often and what is missing; nothing where all is right."""
    extra, missing = Counter(found) - Counter(wanted), Counter(wanted) - Counter(found)
    return f"{[*extra]} too many, {[*missing]} missing" if extra or missing else ""


def main() -> int:
    """Parse the options, kill, finish, print; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = name  # the cache of probed clips
        make_demo(folder / "data", clips_per_class=CLIPS)
        (folder / "config.yaml").write_text(CONFIG.replace("EPOCHS", str(options.epochs)))
        problems = kill_often(folder, random.Random(options.seed))
        problems += finish(folder, options.epochs)
    bar = f"bar: {STEPS} steps lost at most, and all there in the end"
    print(*problems, f"{bar}: {'missed' if problems else 'met'}", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
