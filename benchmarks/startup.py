"""Claim: help appears in under 1 s, a config error in under 2 s, the first training step in 20 s.

Each figure is the median over several runs of the real command, from its start to its end, or to
the end of the first step. The step is one of the demo after the inspection of its clips: a first
run, which is not counted, makes and inspects the demo. It uses the demo's own batch size and a
training list of seven batches, since such a short epoch has a line in metrics.jsonl for each step.
There is no peer; the time of the imports alone is shown too.

    python benchmarks/startup.py [--rounds N]
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
BARS_SEC = {"--help": 1.0, "config error": 2.0, "first training step": 20.0}
IMPORTS = ("torch", "autox_video.machine.mm_compat")
BATCHES = 7
PATIENCE_SEC = 300


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command: this source tree, and a separate cache in `folder`."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}


def command_seconds(words: list[str], folder: Path, *, code: int = 0) -> float:
    """Return the seconds of a Python command; it must exit with `code`."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment(folder), capture_output=True
    )
    seconds = time.perf_counter() - start
    if done.returncode != code:
        sys.exit(f"{words} ended with {done.returncode}:\n{done.stderr.decode()}")
    return seconds


def first_step_seconds(folder: Path, words: list[str]) -> float:
    """Return the seconds from the command to its first line in metrics.jsonl; then stop it."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    script, config = str(ROOT / "autotrain.py"), str(ROOT / "config.yaml")
    command = [sys.executable, script, config, f"work_dir={work}", "load_from=none", *words]
    with open(folder / "shown.txt", "w") as shown:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdout=shown, stderr=shown
        )
        try:
            while not (work / "metrics.jsonl").exists():
                seconds = time.perf_counter() - start
                if process.poll() is not None or seconds > PATIENCE_SEC:
                    sys.exit(f"There was no first step:\n{(folder / 'shown.txt').read_text()}")
                time.sleep(0.01)
            return time.perf_counter() - start
        finally:
            stop(process)


def stop(process: subprocess.Popen) -> None:
    """Stop a run by SIGTERM, so that it ends its data workers; kill it if that fails."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def short_list(folder: Path) -> list[str]:
    """Return overrides for the demo's batch size and a short training list; needs a first run."""
    choices = json.loads((folder / "work" / "record.json").read_text())["choices"]
    batch = choices["batch_size"]["value"]
    lines = (folder / "data/demo/annotations/train_list.txt").read_text().splitlines(keepends=True)
    name = "data/demo/annotations/short_list.txt"
    (folder / name).write_text("".join(lines[: BATCHES * batch]))
    return [f"ann_file_train={name}", f"videos_per_gpu={batch}"]


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of all commands, `rounds` times, in turns."""
    script, wrong = str(ROOT / "autotrain.py"), "wrong.yaml"
    (folder / wrong).write_text("data_root: .\nepochs: many\n")
    first_step_seconds(folder, [])
    words = short_list(folder)
    found: dict[str, list[float]] = {name: [] for name in (*BARS_SEC, *IMPORTS)}
    for _ in range(rounds):
        found["--help"].append(command_seconds([script, "--help"], folder))
        found["config error"].append(command_seconds([script, wrong], folder, code=2))
        found["first training step"].append(first_step_seconds(folder, words))
        for module in IMPORTS:
            found[module].append(command_seconds(["-c", f"import {module}"], folder))
    return found


def show(found: dict[str, list[float]]) -> bool:
    """Print the medians with their bars; return whether all are met."""
    middle = {name: median(seconds) for name, seconds in found.items()}
    met = True
    for name, seconds in found.items():
        spread = f"{middle[name]:6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
        if name in BARS_SEC:
            met &= middle[name] < BARS_SEC[name]
            print(f"  {name:<27} {spread}, bar {BARS_SEC[name]:g} s")
        else:
            share = middle[name] / middle["first training step"]
            print(f"  import {name:<20} {spread}, {share:.0%} of the first step's time")
    print("  met" if met else "  missed")
    return met


def main() -> int:
    """Parse the options, measure, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.rounds)
    print(f"median of {options.rounds} rounds on {os.cpu_count()} cores:")
    return 0 if show(found) else 1


if __name__ == "__main__":
    sys.exit(main())
