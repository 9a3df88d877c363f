"""Bar: a run with a time budget, killed in any phase, resumes there, in time, and loses no row.

Runs with a `time_budget` are killed by SIGKILL at random moments of each of their phases and
restarted until they finish: one kind with a search after training, one with a cross-validation, one
with a refit on all clips, one that fits heads on features. A finished row of leaderboard.csv must
not change, whatever is killed; the best weights are tested; and all starts together exceed the
budget by at most 30 s. No peer.

    python tests/faults/phases.py [--kills N] [--budget SECONDS] [--kinds NAME,...] [--seed N]
        [--folder NEW]
"""

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from autox_video.automl.leaderboard import Row, read_rows
from tests.faults.runs import LOOK_SEC, Life, MissedError, Place, Run, read_checkpoint
from tests.faults.script import add_options, verdict, workplace

PHASES = ("preparing", "probe", "training", "folds", "search", "refit", "testing")
"""Phases in order; no kind has all."""
KINDS = {  # the keys of the config, and the kind of rows that must come of it
    "search": ({"epoch": 12, "backbone": "auto"}, "search"),
    "folds": ({"epoch": 12, "backbone": "auto", "ann_file_val": "auto"}, "fold"),
    "refit": ({"epoch": 60, "ann_file_val": "auto"}, "refit"),
    "probe": ({"mode": "probe", "backbone": "auto"}, "probe"),
}
OVER_SEC = 30.0
SPREAD_SEC = {"search": 8.0, "folds": 4.0}
"""Longest time in a phase before the kill; elsewhere a second."""


@dataclass(slots=True)
class Tally:
    """The counts so far."""

    phases: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    rows: int = 0
    most_over_sec: float = 0.0


def phase_of(life: Life) -> str:
    """Return the phase of a start, from its output and files."""
    said, rows = life.said(), read_rows(life.run.work)
    if "Training is done" in said:
        return "testing"
    if "Refit on all" in said:
        return "refit"
    if re.search(r"^Trial \d+:", said, re.MULTILINE):
        return "search"
    if "Cross-validation, repeat" in said:
        return "folds"
    if any(row.kind == "probe" and row.state == "running" for row in rows):
        return "probe"
    return "training" if life.training() else "preparing"


def done_rows(run: Run) -> dict[str, Row]:
    """Return the finished rows, by id."""
    return {row.id: row for row in read_rows(run.work) if row.state in ("done", "pruned")}


def lost(before: dict[str, Row], after: dict[str, Row]) -> list[str]:
    """Return what changed in rows; summary rows may change during a run."""
    gone = [f"row {name} is lost" for name in before.keys() - after.keys()]
    kept = before.keys() & after.keys() - {"finetune", "folds"}
    return gone + [
        f"row {name} was {before[name].score} and is {after[name].score}"
        for name in sorted(kept)
        if (before[name].score, before[name].kind) != (after[name].score, after[name].kind)
    ]


def kill_in(phase: str, run: Run, rng: random.Random, tally: Tally) -> str | None:
    """Kill a run in a phase, or in a later one; return that phase, None if it ended before.

    Raises:
        MissedError: it ended with an error.
    """
    life = run.start()
    while life.code is None and PHASES.index(phase_of(life)) < PHASES.index(phase):
        life.live(LOOK_SEC)
    life.live(rng.uniform(0.0, SPREAD_SEC.get(phase, 1.0)))
    if life.code is None:
        phase = phase_of(life)
        life.kill()
        life.wait()
        tally.phases[phase] += 1
        return phase
    if life.wait():
        raise MissedError(f"{run.folder.name} ended with {life.code}:\n{life.said()[-3000:]}")
    return None


def try_kind(place: Place, kind: str, kills: int, rng: random.Random, tally: Tally) -> None:
    """Kill a run of a kind in each phase, let it finish, and check what it left."""
    keys, of_rows = KINDS[kind]
    run = place.run(kind, test_results_path="results.json", **keys)
    before: dict[str, Row] = {}
    for wanted in (phase for phase in PHASES for _ in range(kills)):
        phase = kill_in(wanted, run, rng, tally)
        if phase is None:
            break
        after = done_rows(run)
        tally.problems += [f"{kind}: {what}" for what in lost(before, after)]
        before = after
        print(f"  {kind:<7}  {phase:<10}  {len(after):4d}", flush=True)
    run.finish()
    after = done_rows(run)
    tally.problems += [f"{kind}: {what}" for what in lost(before, after)]
    tally.rows += len(after)
    judge_end(run, kind, of_rows, after, tally)


def judge_end(run: Run, kind: str, of_rows: str, rows: dict[str, Row], tally: Tally) -> None:
    """Check what a finished run left."""
    used = json.loads((run.work / "budget.json").read_text())
    over_sec = used["used_sec"] - used["budget_sec"]
    tally.most_over_sec = max(tally.most_over_sec, over_sec)
    best = read_checkpoint(run.work / "best.pth")["meta"]["metrics"]
    if not any(row.kind == of_rows for row in rows.values()):
        tally.problems.append(f"{kind}: there is no row of {of_rows}; give more time")
    if not (run.folder / "results.json").is_file() and over_sec < 0:
        tally.problems.append(f"{kind}: the best weights were not tested")
    tally.problems += [f"{kind}: {name} was left behind" for name in run.left_over()]
    print(
        f"  {kind:<7}  came to its end: {len(rows)} rows, {used['used_sec']:.1f} of "
        f"{used['budget_sec']:.0f} s used, validation top-1 {best['top1']:.3f}",
        flush=True,
    )


def main(words: Sequence[str] | None = None) -> int:
    """Parse the options, kill, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3, help="of a run in each phase")
    parser.add_argument("--budget", type=int, default=180, help="of a run, in seconds")
    parser.add_argument("--kinds", default=",".join(KINDS))
    add_options(parser)
    options = parser.parse_args(words)
    tally, rng = Tally(), random.Random(options.seed)
    print("  kind     killed in   rows")
    with workplace(options.folder, time_budget=options.budget) as place:
        for kind in options.kinds.split(","):
            try:
                try_kind(place, kind, options.kills, rng, tally)
            except MissedError as error:
                tally.problems.append(str(error))
    if options.kinds == ",".join(KINDS):
        missing = [phase for phase in PHASES if not tally.phases[phase]]
        tally.problems += [f"no run was killed in {phase}" for phase in missing]
    if tally.most_over_sec > OVER_SEC:
        tally.problems.append(f"a run passed its budget by {tally.most_over_sec:.1f} s")
    killed = ", ".join(f"{count} in {phase}" for phase, count in tally.phases.most_common())
    print(
        f"{tally.phases.total()} kills ({killed}); {tally.rows} rows at the ends; at most "
        f"{max(tally.most_over_sec, 0.0):.1f} s beyond the budget"
    )
    return verdict(tally.problems, "no row lost, 30 s beyond the budget at most")


if __name__ == "__main__":
    sys.exit(main())
