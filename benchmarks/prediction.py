"""Goal: the predicted time of a run is within 20% of the actual time.

Each row is a real `autotrain.py` run in a new folder, timed from start to exit, next to the time
predicted in its record.json: the demo from scratch in several sizes, and with --data a folder of
clips with train, val and test lists in ../annotations. Without a budget, so nothing is cut short.

    python benchmarks/prediction.py [--data FOLDER] [--only N ...]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autox_video.data.demo import make_demo  # noqa: E402 (of this source tree)

BAR = 0.20
RUNS = (
    ["epoch=4"],
    ["epoch=2", "resolution=112"],
    ["epoch=6", "clip_len=4", "cache=off"],
    ["epoch=3", "videos_per_gpu=4", "precision=float32"],
)
DATA_RUNS = (["epoch=10"], ["epoch=3", "clip_len=16", "resolution=112"])


def lists_of(clips: Path) -> list[str]:
    """Return the settings for the clips of a folder and its lists."""
    lists = clips.parent / "annotations"
    keys = {f"ann_file_{s}": lists / f"{s}_list.txt" for s in ("train", "val", "test")}
    words = [f"{key}={path}" for key, path in keys.items()]
    return ["load_from=none", f"data_root={clips}", *words]


def run(clips: Path, words: list[str]) -> tuple[dict, float]:
    """Train on the clips; return the prediction and the seconds of the command."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(f"data_root: {clips}\nwork_dir: work\n")
        command = [sys.executable, str(ROOT / "autotrain.py"), str(config)]
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        began = time.perf_counter()
        done = subprocess.run(
            [*command, *lists_of(clips), *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        took_sec = time.perf_counter() - began
        if done.returncode:
            sys.exit(f"autotrain.py {words} ended with {done.returncode}:\n{done.stderr}")
        plan = json.loads(Path(folder, "work", "record.json").read_text())
    return plan["prediction"], took_sec


def compare(clips: Path, runs: tuple, only: list[int] | None) -> bool:
    """Print a row for each run; return whether all met the bar."""
    met = True
    for number, words in enumerate(runs):
        if only and number not in only:
            continue
        predicted, took_sec = run(clips, words)
        ratio = predicted["total_sec"] / took_sec
        met &= abs(ratio - 1) <= BAR
        load = os.getloadavg()[0]
        print(
            f"  {predicted['total_sec']:9.1f}  {took_sec:7.1f}  {ratio:5.2f}  {load:4.1f}  "
            f"{predicted['bottleneck']:10}  {clips.parent.name} {' '.join(words)}",
            flush=True,
        )
    return met


def main() -> int:
    """Parse the options, run, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of clips, its lists in ../annotations")
    parser.add_argument("--only", type=int, nargs="*", help="the numbers of the runs, from 0")
    options = parser.parse_args()
    print("  predicted  taken s  ratio  load  bottleneck  run", flush=True)
    met = True
    with tempfile.TemporaryDirectory() as name:
        clips = Path(name, "demo", "videos")
        make_demo(clips.parent)
        met &= compare(clips, RUNS, options.only)
    if options.data:
        met &= compare(options.data, DATA_RUNS, options.only)
    print(f"bar: within {BAR:.0%}: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
