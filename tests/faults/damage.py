"""Bar: with 30 kinds of damage to a work dir, a run resumes to the same result or says why not.

A demo run is trained without interruption, as the reference, and another one is stopped halfway.
For each kind of damage its work dir is copied, files in it are truncated, flipped, zeroed, deleted,
swapped or replaced, and training is started again. It has to end equal to the reference, bit for
bit; or with exit code 2 and a message that names the file, with every checkpoint kept. If the best
weights were lost, it may continue and say so. No peer.

    python tests/faults/damage.py [--only WORD] [--every N] [--seed N] [--folder NEW]
"""

import argparse
import hashlib
import random
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.compare import differences, unusual
from tests.faults.harm import KINDS, Kind
from tests.faults.runs import (
    STEPS,
    Life,
    MissedError,
    Place,
    Run,
)
from tests.faults.script import add_options, verdict, workplace

EPOCHS = 6
STOP_AFTER = 3 * STEPS + 2  # steps: in the middle of an epoch, after three evaluations
KEYS = {"epoch": EPOCHS, "evaluation": 1, "checkpoint_minutes": 0.005}
NO_VALIDATION_LIST = {"ann_file_val": "auto"}


def train_stopped(place: Place, name: str, **keys: object) -> Run:
    """Train a run halfway and stop it there."""
    run = place.run(name, **keys)
    life = run.start()
    life.until(lambda: run.steps_done() >= STOP_AFTER)
    life.send(signal.SIGTERM)
    if (code := life.wait()) != 143:
        raise MissedError(f"{name} was stopped and ended with {code}:\n{life.said()}")
    print(f"{name}: stopped after step {run.steps_saved()}")
    return run


def train_whole(place: Place, name: str, **keys: object) -> Run:
    """Train a run without interruption."""
    run = place.run(name, **keys)
    run.finish()
    return run


def digests(folder: Path) -> dict[str, str]:
    """Return the names of all weight files in a folder, by SHA-256."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and {".pth", ".safetensors"} & set(path.suffixes):
            found[hashlib.sha256(path.read_bytes()).hexdigest()] = path.name
    return found


def judge(
    kind: Kind, life: Life, undamaged: Sequence[Run], before: dict[str, str]
) -> tuple[str, list[str]]:
    """Return the outcome of a start after damage, in a few words, and what is wrong with it."""
    said, code = life.said(), life.code
    if code not in (0, 2) or "Traceback" in said:
        return "FAILED", [f"exit code {code}:\n{said[-2500:]}"]
    told = unusual(life, undamaged)
    named = [name for name in kind.names if name in told]
    if code == 2:
        return judge_refusal(kind, life, before, named)
    found = differences(life.run, undamaged[0])
    found += [f"{name} was left behind" for name in life.run.left_over()]
    if kind.names == ("metrics.jsonl",):
        found = [sentence for sentence in found if not sentence.startswith("metrics.jsonl")]
    if not found:
        return "same end" + (f", names {named[0]}" if named else ""), []
    if all(sentence.startswith("best.") for sentence in found) and named:
        return f"same end but for the best weights, names {named[0]}", []
    return "OTHER END", [f"{'; '.join(found)}. It said:\n{said[-1500:]}"]


def judge_refusal(
    kind: Kind, life: Life, before: dict[str, str], named: list[str]
) -> tuple[str, list[str]]:
    """The same for a start that ended with exit code 2: every file must still exist."""
    after = digests(life.run.work)
    problems = [f"{name} is lost" for digest, name in before.items() if digest not in after]
    problems += [
        f"{name} is whole, and was renamed {after[digest]}"
        for digest, name in before.items()
        if after.get(digest, name) != name and name not in kind.names
    ]
    if not named:
        problems.append(f"no sentence names {' or '.join(kind.names)}:\n{life.said()[-1500:]}")
    return ("REFUSED" if problems else f"refused, names {named[0]}"), problems


def try_kind(kind: Kind, number: int, place: Place, runs: dict[str, Run], rng) -> list[str]:
    """Damage a copy in one way, start, print a row; return what is wrong."""
    which = "split" if kind.names[0].startswith("split") else "given"
    stopped, reference = runs[f"stopped_{which}"], runs[f"reference_{which}"]
    if not all((stopped.work / name).exists() for name in kind.present):
        print(f"{number:4d}  {kind.title:<58}  (not there: left out)", flush=True)
        return []
    keys = NO_VALIDATION_LIST if which == "split" else {}
    run = place.run(f"kind_{number}", **keys)
    shutil.copytree(stopped.work, run.work)
    kind.harm(run.work, runs.get("other", stopped).work, rng)
    before = digests(run.work)
    life = run.start()
    life.wait()
    outcome, problems = judge(kind, life, (reference, stopped), before)
    print(f"{number:4d}  {kind.title:<58}  {life.code:4d}  {outcome}", flush=True)
    return [f"{kind.title}: {problem}" for problem in problems]


def try_all(place: Place, kinds: Sequence[tuple[int, Kind]], rng: random.Random) -> list[str]:
    """Do every kind of damage; return what is wrong."""
    runs = {
        "reference_given": train_whole(place, "reference"),
        "stopped_given": train_stopped(place, "stopped"),
    }
    if any("another run's" in kind.title for _, kind in kinds):
        runs["other"] = train_stopped(place, "other", seed=1)
    if any(kind.names[0].startswith("split") for _, kind in kinds):
        keys = NO_VALIDATION_LIST
        runs["reference_split"] = train_whole(place, "reference_split", **keys)
        runs["stopped_split"] = train_stopped(place, "stopped_split", **keys)
    print("  no  damage                                                      code  what came of it")
    problems = []
    for number, kind in kinds:
        problems += try_kind(kind, number, place, runs, rng)
    return problems


def main(words: Sequence[str] | None = None) -> int:
    """Parse the options, do the damage, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="kinds whose title has these words")
    parser.add_argument("--every", type=int, default=1, help="try each N-th kind only")
    add_options(parser)
    options = parser.parse_args(words)
    numbered = [(n, kind) for n, kind in enumerate(KINDS, 1) if options.only in kind.title]
    with workplace(options.folder, **KEYS) as place:
        problems = try_all(place, numbered[:: options.every], random.Random(options.seed))
    bar = "each ends equal to the reference, or says why not and names the file; no file is lost"
    return verdict(problems, bar)


if __name__ == "__main__":
    sys.exit(main())
