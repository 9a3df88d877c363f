"""The systems of the suite: each runs on one data set with one seed, as its user would run it."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = "9365b132aa047224d76d2920e458b38500d75d0e"
"""The last commit of this repository whose plans followed fixed rules only."""
FITTING_SHARE, FITTED_SHARE = 0.25, 0.95
"""Shares of the budget: for measuring how many epochs fit, and for these epochs."""
GRACE_SEC = 120.0
"""Time that a command may exceed its budget before it is stopped."""


@dataclass(frozen=True, slots=True)
class Data:
    """A data set on disk."""

    name: str
    videos: Path
    train: Path
    """Its list files, with lines `path label`."""
    test: Path
    classes: tuple[str, ...]
    """Class names as in the lists, in the order of their indices."""


@dataclass(frozen=True, slots=True)
class Job:
    """One system on one data set."""

    data: Data
    system: str
    """ours, rules or stock; ours and rules may be followed by keys, as in `ours flip=true`."""
    seed: int
    budget_sec: float
    stock_size: tuple[int, int] = (32, 224)
    """Frames and side in px of the peer; the default is that of its recipe."""

    @property
    def key(self) -> list:
        """Identifies its row."""
        size = list(self.stock_size) if self.system == "stock" else None
        return [self.data.name, self.system, self.seed, self.budget_sec, size]


def tree_of_rules(out: Path) -> Path:
    """Return the source tree of the fixed rules, and unpack it to `out` if needed."""
    place = out / f"rules-{RULES[:7]}"
    if place.is_dir():
        return place
    packed = subprocess.run(["git", "archive", RULES], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        sys.exit(
            f"suite: the fixed rules are those of commit {RULES[:7]}, which is not available here "
            f"({packed.stderr.decode().strip()}): clone the repository with its history."
        )
    with tempfile.TemporaryDirectory(dir=out) as unpacked:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(unpacked, filter="data")
        shutil.copytree(unpacked, place)
    return place


def run_job(job: Job, folder: Path) -> dict[str, Any]:
    """Train and test in a new folder; return a row: top1, top5, clips, seconds, errors."""
    folder.mkdir(parents=True)
    row = {"key": job.key, "set": job.data.name, "system": job.system, "seed": job.seed}
    row |= {"budget_sec": job.budget_sec, "chance": 1 / len(job.data.classes)}
    found = _run_stock(job, folder) if job.system == "stock" else _run_commands(job, folder)
    return row | found


def keys_of(data: Data) -> dict[str, Any]:
    """Return the config keys for the data, and for the results in the folder."""
    given = {"data_root": data.videos, "ann_file_train": data.train, "ann_file_test": data.test}
    given |= {"work_dir": "run", "test_results_path": "results.json"}
    return {key: str(value) for key, value in given.items()}


def _run_commands(job: Job, folder: Path) -> dict[str, Any]:
    """Run `autotrain.py` and `autotest.py` with a config that only names the data."""
    system, *words = job.system.split()
    config = {**keys_of(job.data), "seed": job.seed}
    limited = system == "ours"
    if limited:
        config["time_budget"] = f"{job.budget_sec:g}s"
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    # The fixed rules have no time limit. They get the number of epochs that fit, measured
    # beforehand, and are stopped when time is up.
    limit = job.budget_sec + (GRACE_SEC if limited else 0.0)
    tree = ROOT if limited else tree_of_rules(folder.parents[1])
    fitting: dict[str, Any] = {}
    if not limited and not any(word.startswith("epoch=") for word in words):
        fitting["fitting_epochs"] = epochs = _epochs_that_fit(tree, folder, words, job.budget_sec)
        words = [*words, *([f"epoch={epochs}"] if epochs else [])]
    code, training_sec = run_command(tree / "autotrain.py", folder, words, limit_sec=limit)
    found = {"code": code, "training_sec": training_sec, **fitting}
    if code not in (0, 128 + signal.SIGTERM):
        return found | {"top1": None, "error": last_lines(folder / "autotrain.log")}
    code, testing_sec = run_command(tree / "autotest.py", folder, [], limit_sec=3600.0)
    if code:
        return found | {"top1": None, "error": last_lines(folder / "autotest.log")}
    measured = json.loads((folder / "results.json").read_text(encoding="utf-8"))["metrics"]
    kept = {name: measured[name] for name in ("top1", "top5", "clips")}
    return found | kept | {"testing_sec": testing_sec}


def _epochs_that_fit(
    tree: Path, folder: Path, words: Sequence[str], budget_sec: float
) -> int | None:
    """Train for part of the budget, discard the run, and return the epochs that fit in all of it.

    None if it finished, or did not reach its second epoch.
    """
    log, seen = folder / "fitting.log", [(0.0, 0.0)]
    command = [sys.executable, str(tree / "autotrain.py"), "config.yaml", *words]
    began = time.perf_counter()
    with _started(command, folder, _with_own_cache(folder), log.name) as process:
        while (at := time.perf_counter() - began) < FITTING_SHARE * budget_sec:
            if process.poll() is not None:
                seen.clear()
                break
            done = epochs_done(log.read_text(encoding="utf-8", errors="replace"))
            if done > seen[-1][1]:
                seen.append((at, done))
            time.sleep(0.2)
    for left in ("run", "cache"):
        shutil.rmtree(folder / left, ignore_errors=True)
    return fitting_epochs(seen, FITTED_SHARE * budget_sec)


def epochs_done(said: str) -> float:
    """Return the epochs done according to a log of `autotrain.py`; 0 before the first line."""
    places = re.findall(r"^epoch (\d+)/\d+ step (\d+)/(\d+)", said, re.MULTILINE)
    if not places:
        return 0.0
    epoch, step, steps = map(int, places[-1])
    return epoch - 1 + step / steps


def fitting_epochs(seen: Sequence[tuple[float, float]], budget_sec: float) -> int | None:
    """Return the whole epochs that fit in a budget, from observed seconds and epochs.

    The first epoch may be slower than later ones, so the speed is measured after it. None if too
    little was observed.
    """
    later = [place for place in seen if place[1] >= 1]
    if len(later) < 2:
        return None
    (begin_sec, begin), (end_sec, end) = later[0], later[-1]
    more = (budget_sec - begin_sec) * (end - begin) / (end_sec - begin_sec)
    return max(1, int(begin + more))


def run_command(
    script: Path, folder: Path, words: Sequence[str], *, limit_sec: float
) -> tuple[int, float]:
    """Run an entry script in a folder, stop it at its limit; return exit code and seconds."""
    command = [sys.executable, str(script), "config.yaml", *words]
    environment = _with_own_cache(folder)
    return _run(command, folder, environment, limit_sec=limit_sec, log=f"{script.stem}.log")


def _with_own_cache(folder: Path) -> dict[str, str]:
    """Return an environment without the caches of other runs."""
    return {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}


def _run_stock(job: Job, folder: Path) -> dict[str, Any]:
    for split in ("train", "test"):
        lines = getattr(job.data, split).read_text(encoding="utf-8").splitlines()
        pairs = [line.rsplit(maxsplit=1) for line in lines if line.strip()]
        numbered = [f"{path} {job.data.classes.index(label)}\n" for path, label in pairs]
        (folder / f"{split}.txt").write_text("".join(numbered), encoding="utf-8")
    clips, (frames, side) = len(numbered), job.stock_size
    asked = {"folder": str(folder), "root": str(job.data.videos), "seed": job.seed}
    asked |= {"classes": list(job.data.classes), "seconds": job.budget_sec}
    asked |= {"frames": frames, "side": side}
    (folder / "job.json").write_text(json.dumps(asked), encoding="utf-8")
    command = [sys.executable, str(ROOT / "benchmarks" / "suite_peer.py"), "job.json"]
    code, _ = _run(command, folder, dict(os.environ), limit_sec=3 * 3600.0, log="stock.log")
    if code:
        error = last_lines(folder / "stock.log")
        return {"code": code, "top1": None, "training_sec": None, "error": error}
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {"code": 0, "clips": clips, "stock_size": [frames, side], **result}


def _run(
    command: Sequence[str], folder: Path, environment: dict, *, limit_sec: float, log: str
) -> tuple[int, float]:
    start = time.perf_counter()
    with (
        _started(command, folder, environment, log) as process,
        contextlib.suppress(subprocess.TimeoutExpired),
    ):
        process.wait(limit_sec)
    return process.returncode, time.perf_counter() - start


@contextlib.contextmanager
def _started(
    command: Sequence[str], folder: Path, environment: dict, log: str
) -> Iterator[subprocess.Popen]:
    """Run a command in a folder within the block; it is stopped at the end."""
    with (folder / log).open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            # Also after Ctrl-C: nothing keeps running in the background.
            process.terminate()
            process.wait()


def last_lines(log: Path, count: int = 3) -> str:
    """Return the end of a log as one line."""
    return " | ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
