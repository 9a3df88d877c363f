"""Bar: 50 SIGTERMs end a run within 10 s of the current step, with exit code 143; nothing is lost.

A demo run is trained without interruption, as the reference. Then the same run gets SIGTERM at
random moments during startup, training, evaluation and saving, and is restarted; SIGINT, SIGUSR1
and SIGHUP come in between (for each 50, 5 of each). The next start has to resume exactly after the
last completed step. A finished run is compared with the reference, and another one begins. Finally
a run with long steps gets Ctrl-C twice: it has to exit at once, with an intact checkpoint. No peer.

    python tests/faults/signals.py [--count N] [--epochs N] [--seed N] [--folder NEW]
"""

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.passes import finish, train_reference, writes
from tests.faults.runs import (
    KEYS,
    STEPS,
    Life,
    MissedError,
    Place,
    Run,
)
from tests.faults.script import add_options, verdict, workplace

CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGUSR1": 143, "SIGHUP": 129}
OTHERS = 0.1  # of each other signal, as a share of the SIGTERMs
PHASES = {"training": 40, "saving": 20, "evaluating": 20, "preparing": 20}
BAR_SEC, AT_ONCE_SEC = 10.0, 2.0  # to the end, after one signal and after a second
BETWEEN_SEC = 0.7  # the two of a double Ctrl-C; nearer ones are taken for one
LONG_STEPS = {"videos_per_gpu": 24, "resolution": 112, "clip_len": 16, "epoch": 100}
SPREAD_SEC, GIVE_UP_SEC, WORKERS_END_SEC = 2.5, 6.0, 2.0
CHECKPOINT_SEC = 1.5


@dataclass(slots=True)
class Tally:
    """The counts so far."""

    sent: int = 0
    finished: int = 0
    slowest_sec: float = 0.0
    slowest_at_once_sec: float = 0.0
    lost_steps: int = 0
    problems: list[str] = field(default_factory=list)


def signals_to_send(count: int, rng: random.Random) -> list[str]:
    """Return the names of all signals, in random order."""
    others = [name for name in CODES if name != "SIGTERM"] * round(count * OTHERS)
    names = ["SIGTERM"] * count + others
    rng.shuffle(names)
    return names


def catches(life: Life, signum: int) -> bool:
    """Return whether the process has a handler for a signal yet."""
    try:
        status = Path(f"/proc/{life.process.pid}/status").read_text()
    except FileNotFoundError:
        return False
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (signum - 1) & 1)


def evaluates(run: Run) -> bool:
    """Return whether the last step before an evaluation is done, and the evaluation is not."""
    try:
        last = json.loads((run.work / "metrics.jsonl").read_bytes().splitlines()[-1])
    except (FileNotFoundError, IndexError, ValueError):
        return False
    return last["event"] == "train" and last["iter"] % (KEYS["evaluation"] * STEPS) == 0


def wait_for(phase: str, life: Life, name: str, rng: random.Random, startup_sec: float) -> bool:
    """Wait until the moment for the signal has come; return False if the process ended before."""
    signum = getattr(signal, name)
    # A signal before Python has run a line ends it like any other program.
    if not life.until(lambda: catches(life, signum) or life.training()):
        return False
    if phase == "preparing":
        life.live(rng.uniform(0, startup_sec))
        return life.code is None
    if not life.until_training():
        return False
    life.live(rng.uniform(0, SPREAD_SEC))
    if phase == "saving":
        life.until(lambda: writes(life.run.work, "latest.pth", "previous.pth"), GIVE_UP_SEC)
        time.sleep(rng.uniform(0, 0.06))
    if phase == "evaluating":
        life.until(lambda: evaluates(life.run), GIVE_UP_SEC)
        time.sleep(rng.uniform(0, 0.3))
    return life.code is None


def send(life: Life, name: str) -> float:
    """Send a signal; return the seconds until the process ended."""
    life.send(getattr(signal, name))
    sent = time.time()
    life.wait()
    return life.began_at + life.lived_sec - sent


def signal_once(run: Run, name: str, rng: random.Random, tally: Tally, startup_sec: float) -> bool:
    """Start, wait, send, check the remains; return False if the run finished instead."""
    phase = rng.choices([*PHASES], [*PHASES.values()])[0]
    saved_before = run.steps_saved()
    left_before = run.left_over()
    life = run.start()
    if not wait_for(phase, life, name, rng, startup_sec):
        if life.wait():
            raise MissedError(f"a start ended by itself with {life.code}:\n{life.said()[-3000:]}")
        return False
    seconds = send(life, name)
    if life.code == 0:
        return False
    tally.sent += 1
    went_on, done, saved = life.went_on_at(), run.steps_done(), run.steps_saved()
    if went_on is None:
        done = saved  # the steps of a start before, which are done again
    print(
        f"{tally.sent:6d}  {name:<12}  {phase:<10}  {life.code:4d}  {seconds:13.2f}  {done:10d}"
        f"  {saved:11d}",
        flush=True,
    )
    number = f"signal {tally.sent} ({name}, {phase})"
    tally.problems += [
        f"{number}: {sentence}"
        for sentence in faults(life, name, seconds, lost=done - saved, left_before=left_before)
    ]
    if went_on not in (None, saved_before) or saved < saved_before:
        raise MissedError(f"{number}: on from {went_on}, saved {saved}, before it {saved_before}.")
    tally.lost_steps += done - saved
    tally.slowest_sec = max(tally.slowest_sec, seconds)
    return True


def faults(
    life: Life, name: str, seconds: float, *, lost: int, left_before: list[str]
) -> list[str]:
    """Return what is wrong with an end."""
    alive = life.survivors(WORKERS_END_SEC)
    left = {*life.run.left_over()} - {*left_before}
    found = {
        f"exit code {life.code}, not {CODES[name]}": life.code != CODES[name],
        f"it took {seconds:.1f} s": seconds > BAR_SEC,
        f"{lost} steps are lost": lost != 0,
        f"{len(alive)} processes outlived it": alive,
        f"{', '.join(left)} was left behind": left,
        f"a traceback:\n{life.said()[-2000:]}": "Traceback" in life.said(),
    }
    return [sentence for sentence, wrong in found.items() if wrong]


def send_all(place: Place, names: list[str], rng: random.Random) -> Tally:
    """Send every signal, one row each, in as many runs as needed; the last one finishes."""
    reference, startup_sec = train_reference(place)
    print("signal  name          phase       code  s to its end  steps done  steps saved")
    tally, number, most_runs = Tally(), 0, len(names) + 5
    while names and number < most_runs:
        number += 1
        run = place.run(f"run_{number}")
        try:
            while names and signal_once(run, names[-1], rng, tally, startup_sec):
                names.pop()
            tally.problems += finish(run, reference)
            tally.finished += 1
        except MissedError as error:
            tally.problems.append(f"{run.folder.name} is lost: {error}")
            names.pop()
    if names:
        tally.problems.append(f"{len(names)} signals were not sent: the runs ended before.")
    return tally


def twice(place: Place, count: int, rng: random.Random, tally: Tally) -> None:
    """Send Ctrl-C twice in the middle of long steps, one row each."""
    run = place.run("twice", **LONG_STEPS)
    print("twice  left after s  steps saved")
    for number in range(1, count + 1):
        life = run.start()
        if not life.until_training():
            raise MissedError(f"a start ended by itself with {life.code}:\n{life.said()[-3000:]}")
        life.live(rng.uniform(0, 2))
        life.send(signal.SIGINT)
        life.live(BETWEEN_SEC)
        one_was_enough = life.code is not None
        seconds = send(life, "SIGINT")
        tally.slowest_at_once_sec = max(tally.slowest_at_once_sec, seconds)
        saved, alive = run.steps_saved(), life.survivors(WORKERS_END_SEC)
        note = "  (the step was over before the second one)" if one_was_enough else ""
        print(f"{number:5d}  {seconds:12.2f}  {saved:11d}{note}", flush=True)
        if life.code != 130 or seconds > AT_ONCE_SEC or alive or "Traceback" in life.said():
            tally.problems.append(
                f"double Ctrl-C {number}: code {life.code} after {seconds:.1f} s, {len(alive)} "
                f"processes left:\n{life.said()[-1500:]}"
            )


def main(words: Sequence[str] | None = None) -> int:
    """Parse the options, send, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="of SIGTERMs")
    parser.add_argument("--epochs", type=int, default=200, help="of a run")
    add_options(parser)
    options = parser.parse_args(words)
    # Started by nohup or in the background, the runs would ignore these signals.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = random.Random(options.seed)
    keys = {"epoch": options.epochs, "checkpoint_minutes": CHECKPOINT_SEC / 60}
    with workplace(options.folder, **keys) as place:
        tally = send_all(place, signals_to_send(options.count, rng), rng)
        twice(place, max(1, round(options.count * OTHERS)), rng, tally)
    print(
        f"{tally.sent} signals, {tally.lost_steps} steps lost, {tally.finished} runs came to their "
        f"end\nslowest end after one signal: {tally.slowest_sec:.2f} s; after a second one: "
        f"{tally.slowest_at_once_sec:.2f} s"
    )
    bar = (
        f"exit codes {CODES} within {BAR_SEC:.0f} s, at once after a second one "
        f"({AT_ONCE_SEC:.0f} s), no step lost, the end equal to the uninterrupted run's"
    )
    return verdict(tally.problems, bar)


if __name__ == "__main__":
    sys.exit(main())
