"""Goal: saving takes at most 2% of the demo's training time; compared with mmengine's hook.

Two measurements. First a single save of the demo's state (model, AdamW's state, schedule) after two
real steps, with our hook and mmengine's stock CheckpointHook in turns on the same runner. Ours
flushes to the disk, keeps the previous checkpoint and stores a digest of the content; the stock one
is a plain write that removes the oldest checkpoint first. The ratio has no bar. Then a real demo
run, which reports its training time and its saving time.

    python benchmarks/saving.py [--rounds N] [--epoch N]
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autox_video.data.demo import make_demo  # noqa: E402 (of this source tree)
from tests.faults.runs import Place  # noqa: E402

BACKBONES = ("swin_nano", "swin_tiny")
BAR_SHARE = 0.02
STEPS_BEFORE = 2  # so that AdamW has its state


class Measured(BaseException):
    """Ends a run after its saves have been measured."""


def save_times(config_file: Path, work: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each of our saves and of each of mmengine's, in a run of the config."""
    from mmengine.config import Config
    from mmengine.hooks import CheckpointHook, Hook

    from autox_video.training.checkpoints.checkpoint_hook import ClipCheckpointHook
    from autox_video.training.runner import ClipRunner

    config = Config.fromfile(config_file)
    config.work_dir = str(work / "ours")
    runner = ClipRunner.from_cfg(config)
    keeper = next(hook for hook in runner.hooks if isinstance(hook, ClipCheckpointHook))
    stock = CheckpointHook(interval=1, by_epoch=False, max_keep_ckpts=2, out_dir=str(work / "mm"))
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}

    def _save_in_turns(_runner, batch_idx: int, **_others: object) -> None:
        if batch_idx + 1 < STEPS_BEFORE:
            return
        stock.before_train(runner)
        for _ in range(rounds + 1):
            seconds["ours"].append(timed(lambda: keeper.save_state(runner)))
            seconds["stock"].append(timed(lambda: stock.after_train_iter(runner, batch_idx)))
            runner.train_loop._iter += 1  # another file for the stock hook, as in training
        raise Measured

    clock = Hook()
    clock.after_train_iter = _save_in_turns
    runner.register_hook(clock, priority="LOWEST")
    with contextlib.suppress(Measured), contextlib.redirect_stdout(io.StringIO()):
        runner.train()
    return seconds["ours"][1:], seconds["stock"][1:]  # the first of each is a warm-up


def timed(do) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def compare_saves(rounds: int) -> None:
    """Print a row for each backbone."""
    print("backbone    MiB  ours s  mmengine s  ratio   (median; fastest and slowest of ours)")
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name))
        os.environ.update(place.environment)
        for backbone in BACKBONES:
            run = place.run(backbone, backbone=backbone, epoch=1, evaluation=0)
            run.finish()
            ours, stock = save_times(
                run.work / "config.py", Path(name, f"{backbone}_saves"), rounds
            )
            mib = (run.work / "latest.pth").stat().st_size / 2**20
            print(
                f"{backbone:<9}  {mib:4.0f}  {median(ours):6.3f}  {median(stock):10.3f}"
                f"  {median(ours) / median(stock):5.2f}   ({min(ours):.3f} to {max(ours):.3f})",
                flush=True,
            )


def share_of_demo(epochs: int | None) -> float:
    """Train the demo like `autotrain.py` without arguments; return the share of time for saving."""
    words = ["load_from=none", *([f"epoch={epochs}"] if epochs else [])]
    with tempfile.TemporaryDirectory() as name:
        make_demo(Path(name, "data", "demo"))
        command = [sys.executable, str(ROOT / "autotrain.py"), str(ROOT / "config.yaml"), *words]
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(name, "cache"))}
        environment.pop("OMP_NUM_THREADS", None)
        done = subprocess.run(command, cwd=name, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"The demo ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        lines = Path(name, "work_dirs", "demo", "metrics.jsonl").read_text().splitlines()
    end = json.loads(lines[-1])
    if end["event"] != "end":
        sys.exit("metrics.jsonl of the run has no saving time.")
    share = end["saving_sec"] / end["training_sec"]
    print(
        f"demo: {end['training_sec']:.1f} s of training, {end['saving_sec']:.2f} s of it saving: "
        f"{share:.2%}"
    )
    return share


def main() -> int:
    """Parse the options, measure, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="saves of each kind")
    parser.add_argument("--epoch", type=int, help="of the demo run, to try this script")
    options = parser.parse_args()
    compare_saves(options.rounds)
    met = share_of_demo(options.epoch) <= BAR_SHARE
    print(f"bar: saving takes at most {BAR_SHARE:.0%} of training: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
