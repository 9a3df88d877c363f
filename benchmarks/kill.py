"""Claim: killed at any moment, a run goes on, has lost one epoch at most, and comes to its end.

A run of the real command on a tiny data set is ended by SIGKILL and started again: at its first
step, five times at random moments, once while it starts, and just after an evaluation was written
down. After each kill the steps in metrics.jsonl are compared with those in latest.pth. At the end
every step and every evaluation is in metrics.jsonl once, best.pth is the best of them, and
autotest.py writes results.json. The bar is absolute: no peer writes down its progress by steps.

    python benchmarks/kill.py [--kills N] [--epochs N] [--spread SECONDS] [--seed N]
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
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autox_video.dataset.demo import MOTIONS, make_demo  # noqa: E402 (of this source tree)

CLIPS = {"train": 3, "val": 1, "test": 1}
BATCH = 4
# Few enough for a line in metrics.jsonl after every step.
STEPS = CLIPS["train"] * len(MOTIONS) // BATCH
TINY = "resolution: 32\nclip_len: 2\nworkers: 1\ndevice: cpu\nevaluation: 2\nload_from: none\n"
PATIENCE_SEC = 120


def prepare(folder: Path, epochs: int) -> None:
    """Make the clips and the config."""
    make_demo(folder / "data", clips_per_class=CLIPS)
    lists = "".join(
        f"ann_file_{split}: data/annotations/{split}_list.txt\n"
        for split in ("train", "val", "test")
    )
    rest = f"data_root: data/videos\nwork_dir: work\nepoch: {epochs}\nvideos_per_gpu: {BATCH}\n"
    (folder / "config.yaml").write_text(lists + rest + TINY)


def start(script: str, folder: Path, log: Path) -> subprocess.Popen:
    """Start an entry script in `folder`; what it shows goes to `log`."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    with log.open("w") as shown:
        return subprocess.Popen(
            [sys.executable, str(ROOT / script)],
            cwd=folder,
            env=environment,
            stdout=shown,
            stderr=subprocess.STDOUT,
        )


def events(folder: Path, kind: str) -> list[dict]:
    """The whole lines of one kind in metrics.jsonl."""
    found = []
    path = folder / "work" / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # torn by the kill
    return [event for event in found if event["event"] == kind]


def saved_step(folder: Path) -> int:
    """Steps that latest.pth holds."""
    path = folder / "work" / "latest.pth"
    return torch.load(path, weights_only=True)["meta"]["iter"] if path.exists() else 0


def went_on_at(log: Path) -> int:
    """The step that a start said it goes on from; 0 for a start from scratch."""
    said = re.search(r"Going on after epoch (\d+) of \d+(?:, (\d+) steps)?", log.read_text())
    return int(said[1]) * STEPS + int(said[2] or 0) if said else 0


def has_stepped(log: Path) -> bool:
    """Whether this start has shown a step."""
    return re.search(r"^epoch \d+/\d+ step", log.read_text(), re.MULTILINE) is not None


def wait(process: subprocess.Popen, log: Path, until) -> None:
    """Wait for `until()`; the benchmark ends where the process ends before."""
    end = time.monotonic() + PATIENCE_SEC
    while not until():
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"Nothing to kill (more --epochs?); {process.poll()}:\n{log.read_text()}")
        time.sleep(0.002)


def kill_at(moment: str, folder: Path, log: Path, delay_sec: float) -> float:
    """Start training, kill it at a moment; gives the seconds that it lived."""
    evaluations = len(events(folder, "val"))
    began = time.perf_counter()
    process = start("autotrain.py", folder, log)
    try:
        if moment != "starting":
            wait(process, log, lambda: has_stepped(log))
        if moment == "evaluation":
            wait(process, log, lambda: len(events(folder, "val")) > evaluations)
        end = time.monotonic() + delay_sec
        wait(process, log, lambda: time.monotonic() >= end)
    finally:
        process.kill()
        process.wait()
    return time.perf_counter() - began


def kill_often(folder: Path, moments: list[str], rng: random.Random, spread: float) -> list[str]:
    """Kill and start again at each moment, a printed row each; gives what went wrong."""
    problems, saved, startup_sec = [], 0, 0.0
    print("  kill  moment      lived s  steps done  steps saved  lost", flush=True)
    for number, moment in enumerate(moments, 1):
        log = folder / f"start_{number}.txt"
        longest = {"random": spread, "starting": startup_sec}.get(moment, 0.0)
        lived_sec = kill_at(moment, folder, log, rng.uniform(0, longest))
        startup_sec = startup_sec or lived_sec
        if has_stepped(log) and went_on_at(log) != saved:
            problems.append(f"start {number} went on at {went_on_at(log)}, not at {saved}")
        done = max((event["iter"] for event in events(folder, "train")), default=0)
        saved = saved_step(folder)
        if done - saved > STEPS:
            problems.append(f"kill {number} lost {done - saved} steps; an epoch has {STEPS}")
        row = f"  {number:4d}  {moment:<10}  {lived_sec:7.2f}  {done:10d}  {saved:11d}  {done - saved:4d}"
        print(row, flush=True)
    return problems


def finish(folder: Path, epochs: int) -> list[str]:
    """Let training come to its end and test; gives what went wrong."""
    for script in ("autotrain.py", "autotest.py"):
        log = folder / f"{script}.txt"
        code = start(script, folder, log).wait(PATIENCE_SEC * 2)
        if code:
            return [f"{script} ended with {code}:\n{log.read_text()}"]
    problems = []
    steps = [event["iter"] for event in events(folder, "train")]
    if steps != list(range(1, epochs * STEPS + 1)):
        problems.append(f"metrics.jsonl has the steps {steps}")
    evaluations = events(folder, "val")
    evaluated = [event["epoch"] for event in evaluations]
    if evaluated != sorted({*range(2, epochs + 1, 2), epochs}):
        problems.append(f"metrics.jsonl has the evaluations {evaluated}")
    best = torch.load(folder / "work" / "best.pth", weights_only=True)["meta"]["metrics"]
    top = min(evaluations, key=lambda e: (-e["top1"], e["loss"], e["epoch"]))
    if (best["epoch"], best["top1"]) != (top["epoch"], top["top1"]):
        problems.append(f"best.pth is of {best}, the best evaluation is {top}")
    records = json.loads((folder / "results.json").read_text())["predictions"]
    if len(records) != CLIPS["test"] * len(MOTIONS):
        problems.append(f"results.json has {len(records)} records")
    return problems


def main() -> int:
    """Parse the options, kill, finish, print; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5, help="at random moments")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--spread", type=float, default=3.0, help="seconds after the first step")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = ["first step", *["random"] * options.kills, "starting", "evaluation"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.epochs)
        problems = kill_often(folder, moments, random.Random(options.seed), options.spread)
        problems += finish(folder, options.epochs)
    for problem in problems:
        print(f"  {problem}")
    print(
        f"  bar: {STEPS} steps lost at most, and all there in the end:",
        "missed" if problems else "met",
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
