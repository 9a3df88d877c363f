"""Bar: killed 200 times, a run loses at most `checkpoint_minutes` and ends as if never killed.

A demo run is trained without interruption, as the reference. Then the same run is killed by SIGKILL
and restarted, at random moments: half of them while checkpoints, metrics or other files are being
written, the rest during training and startup. In some cases only the parent is killed, and its
workers have to end by themselves. A finished run is compared with the reference, and another one
begins. No peer.

    python tests/faults/kills.py [--kills N] [--epochs N] [--seed N] [--folder NEW]
"""

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.passes import finish, stamp, train_reference, writes
from tests.faults.runs import (
    STEPS,
    Life,
    MissedError,
    Place,
    Run,
)
from tests.faults.script import add_options, verdict, workplace

CHECKPOINT_SEC = 1.5
SLACK_SEC = 2.0  # a step, an evaluation and a save that were under way, on a busy machine
WORKERS_END_SEC = 10.0  # after their parent
SPREAD_SEC = 2.5  # of the time that a start trains before it is killed, or waits for its moment
SAVE_SEC = 0.06  # how long after the first sign of a write the kill may come
GIVE_UP_SEC = 6.0  # waiting for a write that does not come
ONLY_PARENT = 0.25  # share of the kills
MOMENTS = {  # and how many of 100 kills fall on them
    "checkpoint": 32,
    "evaluation": 8,
    "metrics": 10,
    "plan": 8,
    "lists": 4,
    "training": 23,
    "preparing": 15,
}


@dataclass(slots=True)
class Tally:
    """The counts so far."""

    kills: int = 0
    lost_runs: int = 0
    finished: int = 0
    most_steps: int = 0
    most_sec: float = 0.0
    survivors: int = 0
    problems: list[str] = field(default_factory=list)


def sign_of(moment: str, life: Life) -> Callable[[], bool]:
    """Return whether the work dir shows that the moment has come; a quick check."""
    work = life.run.work
    names = {"plan": ("record.json", "config.py"), "lists": ("train.csv", "val.csv")}
    if moment == "evaluation":
        return lambda: writes(work, "best.") or len(life.run.events("val")) > life.evaluations
    if moment == "checkpoint":
        return lambda: writes(work, "latest.pth", "previous.pth")
    watched = names.get(moment, ("metrics.jsonl",))
    before = [stamp(work / name) for name in watched]
    return lambda: writes(work, *watched) or before != [stamp(work / n) for n in watched]


def wait_for(moment: str, life: Life, rng: random.Random, startup_sec: float) -> bool:
    """Wait until the moment to kill has come; return False if the process ended before."""
    if moment == "preparing":
        life.live(rng.uniform(0, startup_sec))
        return life.code is None
    if moment in ("plan", "lists"):
        # A resumed run writes no lists: the kill then comes at another moment.
        life.until(sign_of(moment, life), GIVE_UP_SEC)
        time.sleep(rng.uniform(0, 0.01))
        return life.code is None
    if not life.until_training():
        return False
    life.live(rng.uniform(0, SPREAD_SEC))
    if moment != "training":
        life.until(sign_of(moment, life), GIVE_UP_SEC)
        time.sleep(rng.uniform(0, SAVE_SEC if moment == "checkpoint" else 0.01))
    return life.code is None


def lost_seconds(life: Life, killed_at: float) -> float:
    """Return the seconds of training lost: since the last checkpoint or the start of training."""
    if life.trains_since is None:
        return 0.0
    written = [path.stat().st_mtime for path in life.run.checkpoints()]
    return max(0.0, killed_at - max([life.trains_since, *written]))


def kill_once(run: Run, rng: random.Random, tally: Tally, startup_sec: float) -> bool:
    """Start, wait, kill, check the remains; return False if the run finished instead."""
    moment = rng.choices([*MOMENTS], [*MOMENTS.values()])[0]
    only_parent = rng.random() < ONLY_PARENT
    saved_before = run.steps_saved()
    life = run.start()
    if wait_for(moment, life, rng, startup_sec):
        life.kill(only_parent=only_parent)
    killed_at = time.time()
    if code := life.wait():
        if life.process.returncode != -signal.SIGKILL:
            raise MissedError(f"a start ended by itself with {code}:\n{life.said()[-3000:]}")
    else:
        return False
    alive = life.survivors(WORKERS_END_SEC)
    went_on, saved = life.went_on_at(), run.steps_saved()
    if went_on not in (None, saved_before):
        raise MissedError(
            f"a start went on after step {went_on}, but step {saved_before} was saved."
        )
    if saved < saved_before:
        raise MissedError(f"step {saved_before} was saved, and only {saved} is there after a kill.")
    steps = 0 if went_on is None else max(0, run.steps_done() - saved)
    count(tally, steps, lost_seconds(life, killed_at), len(alive))
    print(
        f"{tally.kills:6d}  {moment:<10}  {'parent' if only_parent else 'all':<6}"
        f"  {killed_at - life.began_at:7.2f}  {saved + steps:10d}  {saved:11d}  {steps:10d}"
        f"  {lost_seconds(life, killed_at):6.2f}  {len(alive):7d}",
        flush=True,
    )
    return True


def count(tally: Tally, steps: int, seconds: float, survivors: int) -> None:
    """Count a kill."""
    tally.kills += 1
    tally.most_steps = max(tally.most_steps, steps)
    tally.most_sec = max(tally.most_sec, seconds)
    tally.survivors += survivors


def kill_often(place: Place, kills: int, rng: random.Random) -> Tally:
    """Kill that many times, one row each, in as many runs as needed; the last one finishes."""
    reference, startup_sec = train_reference(place)
    print(
        "  kill  moment      killed  lived s  steps done  steps saved  steps lost  s lost  survive"
    )
    tally, number = Tally(), 0
    while tally.kills < kills and tally.lost_runs < 5:
        number += 1
        run = place.run(f"run_{number}")
        try:
            while tally.kills < kills and kill_once(run, rng, tally, startup_sec):
                pass
            tally.problems += finish(run, reference)
            tally.finished += 1
        except MissedError as error:
            tally.lost_runs += 1
            tally.problems.append(f"{run.folder.name} is lost: {error}")
    return tally


def main(words: Sequence[str] | None = None) -> int:
    """Parse the options, kill, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=400, help="of a run")
    add_options(parser)
    options = parser.parse_args(words)
    keys = {"epoch": options.epochs, "checkpoint_minutes": CHECKPOINT_SEC / 60}
    with workplace(options.folder, **keys) as place:
        tally = kill_often(place, options.kills, random.Random(options.seed))
    allowed_sec = CHECKPOINT_SEC + SLACK_SEC
    if tally.most_sec > allowed_sec:
        tally.problems.append(f"{tally.most_sec:.2f} s were lost at one kill.")
    if tally.survivors:
        tally.problems.append(f"{tally.survivors} processes outlived their parent.")
    print(
        f"{tally.kills} kills, {tally.kills - tally.lost_runs} resumes, {tally.lost_runs} lost "
        f"runs, {tally.finished} runs came to their end\n"
        f"most lost at one kill: {tally.most_steps} steps ({STEPS} make an epoch), "
        f"{tally.most_sec:.2f} s; checkpoint_minutes is {CHECKPOINT_SEC} s\n"
        f"processes that outlived their parent for {WORKERS_END_SEC:.0f} s: {tally.survivors}"
    )
    bar = (
        f"no run lost, at most {CHECKPOINT_SEC} s and what was under way ({SLACK_SEC} s) lost at "
        "a kill, weights, metrics.jsonl and results.json equal to the uninterrupted run's"
    )
    return verdict(tally.problems, bar)


if __name__ == "__main__":
    sys.exit(main())
