"""Goal: on real clips, pretrained weights lift the test score well above training from scratch.

FOLDER contains either `videos/` and `annotations/` with the lists `train_list.txt` (training) and
`val_list.txt` (test), or one sub-folder of numbered clips per class. From class folders, the first
two thirds of each class are for training, as in split.py. `python autotrain.py` and
`python autotest.py` run with the default config, a time budget and no network. With `--scratch`,
both also run without pretrained weights (`load_from=none`).

    python benchmarks/real.py FOLDER [--budget 10m] [--seeds 0,1,2] [--scratch] [KEY=VALUE ...]
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autox_video.metrics.headline import MODELS  # noqa: E402
from autox_video.training.checkpoints.checkpoint import RECORD_KEY, read_meta  # noqa: E402
from benchmarks.split import divided, write_list  # noqa: E402 (of this source tree)


@dataclass(frozen=True, slots=True)
class Result:
    """The results of training and testing with one seed."""

    seconds: float
    """Duration of `autotrain.py`."""
    top1: float
    top5: float
    kept: str
    """Backbone of the kept weights; for an ensemble, of its main model."""


def data_keys(folder: Path, work: Path) -> list[str]:
    """Return the config lines for the clips of a folder."""
    lists = folder / "annotations"
    if lists.is_dir():
        files = {"train": lists / "train_list.txt", "test": lists / "val_list.txt"}
        root = folder / "videos"
    else:
        root, files = folder, {name: work / f"{name}.csv" for name in ("train", "test")}
        for file, rows in zip(files.values(), divided(folder), strict=True):
            write_list(file, rows)
    return [f"data_root: {root}", *(f"ann_file_{name}: {path}" for name, path in files.items())]


def run(folder: Path, work: Path, words: Sequence[str]) -> Result:
    """Train and test with an empty cache and no network."""
    work.mkdir(parents=True)
    config, results = work / "config.yaml", work / "results.json"
    keys = [*data_keys(folder, work), f"work_dir: {work / 'run'}", f"test_results_path: {results}"]
    config.write_text("\n".join(keys) + "\n", encoding="utf-8")
    started, seconds = time.monotonic(), 0.0
    environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache"), "HF_HUB_OFFLINE": "1"}
    for script in ("autotrain.py", "autotest.py"):
        command = [sys.executable, str(ROOT / script), str(config), *words]
        with (work / f"{script}.log").open("w") as log:
            code = subprocess.run(
                command, cwd=work, env=environment, stdout=log, stderr=log
            ).returncode
        if code:
            raise SystemExit(f"{script} failed; see {log.name}")
        seconds = seconds or time.monotonic() - started
    told = json.loads(results.read_text(encoding="utf-8"))["metrics"]
    meta = read_meta(work / "run" / "best.pth")
    kept = meta[RECORD_KEY]["choices"]["backbone"]["value"]
    if count := meta["metrics"].get(MODELS):
        kept += f", in an ensemble of {count}"
    return Result(seconds, told["top1"], told.get("top5", math.nan), kept)


def main() -> None:
    """Run all seeds and print the test scores."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--scratch", action="store_true")
    options = parser.parse_intermixed_args()
    systems = {"as it is": [], **({"from scratch": ["load_from=none"]} if options.scratch else {})}
    print(f"{'system':14}{'seed':>5}{'training s':>12}{'top-1':>8}{'top-5':>8}  kept", flush=True)
    for name, words in systems.items():
        found = []
        for seed in options.seeds.split(","):
            with tempfile.TemporaryDirectory() as place:
                words_of_run = [*words, f"seed={seed}", f"time_budget={options.budget}"]
                work = Path(place) / "work"
                found.append(run(options.folder.resolve(), work, [*words_of_run, *options.words]))
            one = found[-1]
            figures = f"{one.seconds:12.0f}{one.top1:8.3f}{one.top5:8.3f}  {one.kept}"
            print(f"{name:14}{seed:>5}{figures}", flush=True)
        top1, top5 = mean(one.top1 for one in found), mean(one.top5 for one in found)
        print(f"{name:14}{'mean':>5}{'':12}{top1:8.3f}{top5:8.3f}", flush=True)


if __name__ == "__main__":
    main()
