"""Goal: segments of unseen recordings are found after 10 minutes of training, boundaries included.

Bars on `events`: mAP at IoU 0.5 of 0.80 and F1 at IoU 0.5 of 0.85; on `reversed`, whose classes are
each other played backwards: mAP at IoU 0.5 of 0.70. The figures of the validation recordings must
lie within the 95% interval of the test. The recordings are made by the benchmark (see recordings/):
14 to train on, 6 to test, 2 to 5 minutes each, a third of the time labelled. A trivial classifier
on colours must stay near chance (`--leaks`).

The peer is the same model without its temporal head: sliding windows of the classifier, merged into
segments. Its threshold and shortest segment are the best ones on the test itself, in its favour.

`python autotrain.py` and `python autotest.py` run with the default config, the key
`task: localisation` and a time budget, in a new folder for each set and seed.

    python benchmarks/localisation.py [--sets NAME,...] [--seeds 0,1] [--budget 10m]
        [--out FOLDER] [--leaks] [KEY=VALUE ...]
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autox_video.prediction.video_model import VideoModel  # noqa: E402 (of this source tree)
from autox_video.tasks.localisation.segments import Segments  # noqa: E402
from benchmarks.recordings.files import make  # noqa: E402
from benchmarks.recordings.kinds import KINDS  # noqa: E402
from benchmarks.recordings.leaks import recording_leaks  # noqa: E402
from benchmarks.suite import LEAK_DEVIATIONS, seconds  # noqa: E402
from benchmarks.suite_systems import GRACE_SEC, last_lines, run_command  # noqa: E402

BARS = {"events": {"mAP@0.5": 0.80, "f1@50": 0.85}, "reversed": {"mAP@0.5": 0.70}}
SHOWN = ("mAP@0.5", "mAP", "f1@10", "f1@25", "f1@50", "edit_score", "step_accuracy")


@dataclass(frozen=True, slots=True)
class Result:
    """The results of one set and seed; metrics have the names of results.json."""

    training_sec: float
    """Duration of `autotrain.py`."""
    test: Mapping[str, Any]
    """Metrics of the test, with `intervals`, `recordings` and `segments`."""
    windows: Mapping[str, float]
    """Metrics of the sliding windows on the test recordings."""

    @property
    def kept(self) -> str:
        """Way to find segments that the run chose."""
        return self.test["validation"]["kept"]

    @property
    def promised(self) -> Mapping[str, float]:
        """Metrics of the chosen way on the validation recordings."""
        return self.test["validation"][self.kept]

    def holds(self, name: str) -> bool:
        """Whether the metric of the validation lies within the interval of the test."""
        low, high = self.test["intervals"][name]
        return low <= self.promised[name] <= high


def run(data: Path, folder: Path, *, seed: int, budget_sec: float, words: Sequence[str]) -> Result:
    """Train and test in a new folder; end the benchmark if a command fails.

    Args:
        data: folder of a set, as `recordings.files.make` writes it.
        folder: folder for the run.
        seed: the seed of the run.
        budget_sec: the time budget.
        words: further keys of the config, as KEY=VALUE.
    """
    shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted benchmark
    folder.mkdir(parents=True)
    lists = {f"ann_file_{split}": str(data / f"{split}.csv") for split in ("train", "test")}
    config = {"task": "localisation", "data_root": str(data / "videos"), **lists, "seed": seed}
    config |= {"work_dir": "run", "time_budget": f"{budget_sec:g}s"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    training_sec = _command("autotrain", folder, words, budget_sec + GRACE_SEC)
    _command("autotest", folder, (), 3600.0)
    results = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))
    windows = sliding_windows(folder / "run" / "best.pth", data / "videos", results)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return Result(training_sec, results["metrics"], windows)


def _command(name: str, folder: Path, words: Sequence[str], limit_sec: float) -> float:
    code, took_sec = run_command(ROOT / f"{name}.py", folder, words, limit_sec=limit_sec)
    if code:
        log = folder / f"{name}.log"
        sys.exit(f"{name}.py ended with {code}, see {log}: {last_lines(log)}")
    return took_sec


def sliding_windows(weights: Path, videos: Path, results: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of a model without its temporal head on the test recordings.

    The timeline's options are those with the highest F1 on these recordings.
    """
    from autox_video.prediction.recordings.finding import best_options

    model = VideoModel.load(weights)
    model.temporal = replace(model.temporal, head=None)
    records = results["predictions"]
    predictions = model.predict([videos / record["video"] for record in records])
    truth = [_segments(record["labelled"], results["classes"]) for record in records]
    return best_options(truth, predictions)[1]


def _segments(records: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Segments:
    return Segments.of([(r["start"], r["end"], classes.index(r["class"])) for r in records])


def shown(name: str, seed: int, result: Result) -> list[str]:
    """Return the lines that show a result, with a line for each metric."""
    test = result.test
    about = f"{test['recordings']} recordings, {test['segments']} segments"
    lines = [
        f"{name}, seed {seed}: {about}, trained {result.training_sec:.0f} s, kept: {result.kept}",
        f"  {'metric':14}{'test':>7} {'95% interval':^16}{'windows':>8}{'validation':>11}  bar",
    ]
    for metric in SHOWN:
        low, high = test["intervals"][metric]
        line = f"  {metric:14}{test[metric]:7.3f} ({low:.3f}, {high:.3f}) "
        line += f"{result.windows[metric]:7.3f}{result.promised[metric]:11.3f}"
        if bar := BARS[name].get(metric):
            line += f"  {bar:.2f} {'met' if test[metric] >= bar else 'missed'}"
            line += f", promise {'held' if result.holds(metric) else 'not held'}"
        lines.append(line)
    return lines


def is_met(name: str, result: Result) -> bool:
    """Return whether a result meets the bars of its set, and validation promised no other score."""
    bars = BARS[name]
    return all(result.test[m] >= bar and result.holds(m) for m, bar in bars.items())


def run_all(options: argparse.Namespace, out: Path) -> bool:
    """Run every set and seed; return whether all met the bars."""
    met = True
    for name in options.sets:
        data = out / "data" / name
        make(data, name)
        for seed in options.seeds:
            result = run(
                data,
                out / f"{name}-{seed}",
                seed=seed,
                budget_sec=options.budget,
                words=options.words,
            )
            print("\n".join(shown(name, seed, result)), flush=True)
            met &= is_met(name, result)
    print(f"bars: {'met' if met else 'missed'}")
    return met


def run_leaks(options: argparse.Namespace, out: Path) -> bool:
    """Run the trivial classifier on every set; return whether it is near chance."""
    met = True
    for name in options.sets:
        make(out / "data" / name, name)
        for leak in recording_leaks(out / "data" / name):
            met &= leak.deviations <= LEAK_DEVIATIONS
            line = f"chance {leak.chance:.3f}, trivial {leak.accuracy:.3f}"
            print(f"{name:10}{leak.task:22}{line} ({leak.deviations:+.1f} deviations)", flush=True)
    print(f"bar: at most {LEAK_DEVIATIONS} deviations above chance: {'met' if met else 'missed'}")
    return met


def names_of_sets(text: str) -> list[str]:
    """Return names of sets, separated by commas."""
    names = text.split(",")
    if unknown := sorted(set(names) - KINDS.keys()):
        known = ", ".join(KINDS)
        raise argparse.ArgumentTypeError(f"no such set: {', '.join(unknown)}; there are {known}")
    return names


def main() -> int:
    """Parse the options, run, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--sets", type=names_of_sets, default=",".join(KINDS))
    parser.add_argument("--seeds", type=lambda t: [int(s) for s in t.split(",")], default=[0])
    parser.add_argument("--budget", type=seconds, default=600.0)
    parser.add_argument("--out", type=lambda t: Path(t).resolve(), help="folder that is kept")
    parser.add_argument("--leaks", action="store_true")
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        return 0 if (run_leaks if options.leaks else run_all)(options, out) else 1


if __name__ == "__main__":
    sys.exit(main())
