"""The effect of drop-path, stronger augmentation and EMA, by the number of clips.

It compares our own settings, so there is no peer and no bar; the rules of planning/ are based on
it. conv_nano sees the same number of clips of 84 px in each run, on a core of its own and without a
time limit, so that the load of the machine does not matter. The loss is that of the calibrated
probabilities on the test list: it separates settings where top-1 on few clips does not.

    python benchmarks/regularisation.py [--sets NAME[:CLIPS],...] [--arms plain,KEY=VALUE,...]
        [--views N] [--seeds 0,...] [--load-from WEIGHTS] [--out FOLDER]
"""

import argparse
import itertools
import json
import math
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autox_video.core.files import append_json_line  # noqa: E402 (of this source tree)
from benchmarks.suite import made_data, rows_done  # noqa: E402
from benchmarks.suite_systems import Data, keys_of, last_lines, run_command  # noqa: E402

SIDE_PX = 84
LIMIT_SEC = 7200.0  # limit for a command that hangs
ARMS = "plain,drop_path=0.1,drop_path=0.2,augment=medium,augment=strong,ema=0.99"


@dataclass(frozen=True, slots=True)
class Arm:
    """One run."""

    data: Data
    clips: int
    word: str
    """`plain`, or keys with values, joined by +."""
    seed: int
    views: int
    load_from: str

    @property
    def setting(self) -> tuple[Data, int, str]:
        """A setting, shared by the runs of all seeds."""
        return self.data, self.clips, self.word

    @property
    def key(self) -> list:
        """Identifies its row."""
        weights = Path(self.load_from).name
        return [self.data.name, self.word, self.seed, self.views, weights]


def data_of(text: str, out: Path) -> tuple[Data, int]:
    """Make a set of the suite with only the first clips of each class; return their number."""
    name, _, wanted = text.partition(":")
    data = made_data(name, out)
    lines = data.train.read_text(encoding="utf-8").splitlines()
    if not wanted:
        return data, len(lines)
    kept: dict[str, list[str]] = {}
    for line in lines:
        of_class = kept.setdefault(line.rsplit(maxsplit=1)[1], [])
        if len(of_class) < int(wanted) // len(data.classes):
            of_class.append(line)
    chosen = [line for of_class in kept.values() for line in of_class]
    train = data.train.with_name(f"train_{len(chosen)}.txt")
    train.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    return replace(data, name=f"{name}:{len(chosen)}", train=train), len(chosen)


def run(arm: Arm, folder: Path) -> dict:
    """Train and test in a new folder; return a row."""
    folder.mkdir(parents=True)
    words = [] if arm.word == "plain" else arm.word.split("+")
    config = {**keys_of(arm.data), "load_from": arm.load_from, "backbone": "conv_nano"}
    config |= {"seed": arm.seed, "epoch": math.ceil(arm.views / arm.clips)}
    config |= {"evaluation": 4, "resolution": SIDE_PX}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for name, more in (("autotrain", words), ("autotest", [])):
        code, _ = run_command(ROOT / f"{name}.py", folder, more, limit_sec=LIMIT_SEC)
        if code:
            sys.exit(f"{arm.key} ended with {code}: {last_lines(folder / f'{name}.log')}")
    measured = json.loads((folder / "results.json").read_text(encoding="utf-8"))["metrics"]
    return {"key": arm.key, "top1": measured["top1"], "loss": measured["loss"]}


def run_all(arms: list[Arm], out: Path) -> list[dict]:
    """Run what has no row yet, one per core; return all rows in the order of `arms`."""
    path = out / "regularisation.jsonl"
    done = {json.dumps(row["key"]): row for row in rows_done(path)}
    missing = {json.dumps(arm.key): arm for arm in arms if json.dumps(arm.key) not in done}

    def run_one(key: str) -> None:
        """Run the job with this key, and store its row."""
        folder = out / "arms" / re.sub(r"[^\w.=]+", "_", key).strip("_")
        shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted start
        done[key] = run(missing[key], folder)
        append_json_line(path, done[key])
        print(f"  {done[key]}", flush=True)

    cores = os.sched_getaffinity(0)

    def take_core() -> None:
        """Pin this thread, and the commands that it starts, to its own core."""
        os.sched_setaffinity(0, {cores.pop()})

    with ThreadPoolExecutor(len(cores), initializer=take_core) as pool:
        list(pool.map(run_one, missing))
    return [done[json.dumps(arm.key)] for arm in arms]


def main() -> int:
    """Parse the options, run, print; return the exit code."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default="fine:54,fine,overlapping,motion_cluttered:64")
    parser.add_argument("--arms", default=ARMS)
    parser.add_argument("--views", type=int, default=6000, help="training clips seen in a run")
    parser.add_argument("--seeds", type=lambda t: [int(s) for s in t.split(",")], default=[0])
    parser.add_argument("--load-from", default="none")
    parser.add_argument("--out", type=lambda t: Path(t).resolve(), default="work_dirs/suite")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    weights = options.load_from
    weights = weights if weights == "none" else str(Path(weights).resolve())
    words = options.arms.split(",")
    arms = [
        Arm(*data_of(text, options.out), word, seed, options.views, weights)
        for text, word, seed in itertools.product(options.sets.split(","), words, options.seeds)
    ]
    rows = run_all(arms, options.out)
    print(f"\n{'set':20s} {'clips':>5s} {'setting':24s}  top-1   loss")
    pairs = zip(arms, rows, strict=True)
    for (data, clips, word), group in itertools.groupby(pairs, key=lambda pair: pair[0].setting):
        of_arm = [row for _, row in group]
        top1, loss = (mean(row[figure] for row in of_arm) for figure in ("top1", "loss"))
        print(f"{data.name:20s} {clips:5d} {word:24s}  {top1:.3f}  {loss:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
