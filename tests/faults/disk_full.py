"""Bar: if the disk is full at any write of a run, the run can always be resumed.

A tiny demo run is trained with enough space, as the reference, and the files that it opens for
writing in the work dir are counted. For each of them, a new run finds the disk full at a random
position in that file: for that file only, and from there to the end. It has to continue with a
warning, or to end with a message and exit code 2. With space again, the same command has to finish
with the reference's weights, bit for bit. Finally the work dir is a small tmpfs that is filled from
outside at a random moment, if the system allows mounting one. No peer.

    python tests/faults/disk_full.py [--every N] [--mounts N] [--seed N] [--folder NEW]
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.compare import differences, unusual, weights_of
from tests.faults.runs import Life, MissedError, Place, Run
from tests.faults.script import add_options, verdict, workplace

HOOK = Path(__file__).parent / "full_disk"
KEYS = {"epoch": 3, "videos_per_gpu": 12, "evaluation": 1, "checkpoint_minutes": 0.0001}
FORMS = {"this write": False, "to the end": True}
SAID = re.compile(
    r"cannot be (written|saved|made)|could not be (written|saved)|no space|disk", re.I
)
SPARE_MIB = 16
NAMESPACE = "FAULTS_NAMESPACE"


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of one full disk."""

    code: int
    went_on: str
    """What the run did while the disk was full."""
    note: str
    problems: list[str]


def start(run: Run, **order: object) -> Life:
    """Start training with the hook; `order` are its settings besides the folder and the log."""
    order = {"folder": str(run.work), "log": str(run.folder / "writes.txt"), **order}
    return run.start(PYTHONPATH=str(HOOK), FULL_DISK=json.dumps(order))


def train_reference(place: Place) -> tuple[Run, list[str], dict[str, int]]:
    """Train with enough space; return the run, the names of its files, and sizes by name."""
    run = place.run("reference")
    life = start(run, at=None, share=0, sizes={}, to_the_end=False)
    if code := life.wait():
        raise MissedError(f"the reference ended with {code}:\n{life.said()}")
    sizes = {path.name: path.stat().st_size for path in run.work.iterdir()}
    return run, (run.folder / "writes.txt").read_text().splitlines(), sizes


def judge(run: Run, reference: Run, life: Life) -> Found:
    """Check the remains after a full disk, and resume with enough space."""
    code, problems = life.code, []
    before = differences(run, reference) if code == 0 else ["not at its end"]
    if code not in (0, 2) or "Traceback" in life.said():
        problems.append(f"exit code {code}:\n{life.said()[-2500:]}")
    elif before and not SAID.search(unusual(life, [reference])):
        problems.append(f"nothing was said:\n{life.said()[-1500:]}")
    went_on = {0: "went on", 2: "ended with a sentence"}.get(code, "FAILED")
    try:
        run.finish()
    except MissedError as error:
        return Found(code, went_on, "LOST", [*problems, f"cannot be gone on with: {error}"])
    after = differences(run, reference)
    problems += [sentence for sentence in after if weights_of(sentence)]
    notes = [sentence for sentence in after if not weights_of(sentence)]
    note = "; ".join(notes) or ("no trace" if not before else "equal")
    return Found(code, went_on, note if not problems else "MISSED", problems)


def fill_each(place: Place, every: int, rng: random.Random) -> list[str]:
    """Fill the disk at each write in both ways, one row each; return what went wrong."""
    reference, names, sizes = train_reference(place)
    print(f"A run opens {len(names)} files for writing, one after another.")
    print(" write  file                  disk full for  code  what it did            in the end")
    problems = []
    for at in range(1, len(names) + 1, every):
        for form, to_the_end in FORMS.items():
            run = place.run(f"write_{at}_{form.replace(' ', '_')}")
            life = start(run, at=at, share=rng.random(), sizes=sizes, to_the_end=to_the_end)
            life.wait()
            found = judge(run, reference, life)
            row = f"{at:6d}  {names[at - 1]:<20}  {form:<13}"
            print(f"{row}  {found.code:4d}  {found.went_on:<21}  {found.note}", flush=True)
            problems += [f"write {at} ({names[at - 1]}, {form}): {p}" for p in found.problems]
    return problems


def mount(folder: Path, size_mib: int) -> bool:
    """Mount a tmpfs; return False if the system does not allow it."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "none", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def fill(folder: Path, spare_bytes: int) -> Path:
    """Write a file that leaves only that many bytes free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(2**20)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - spare_bytes))
    return filler


def fill_mount(place: Place, reference: Run, number: int, rng: random.Random) -> list[str] | None:
    """Fill a small disk at a random moment, print a row; None if nothing can be mounted."""
    run = place.run(f"mount_{number}")
    needed_mib = sum(path.stat().st_size for path in reference.work.iterdir()) / 2**20
    if not mount(run.work, round(needed_for_start_mib(reference) + needed_mib + SPARE_MIB)):
        return None
    try:
        life = run.start()
        life.live(rng.uniform(0, 12))
        filler = fill(run.work, rng.choice((0, 4096, 100_000)))
        life.wait()
        filler.unlink()
        found = judge(run, reference, life)
    finally:
        subprocess.run(["umount", "--lazy", str(run.work)], check=False)
    row = f"mount {number:2d}  filled from outside  for some time"
    print(f"{row}  {found.code:4d}  {found.went_on:<21}  {found.note}", flush=True)
    return [f"mount {number}: {problem}" for problem in found.problems]


def needed_for_start_mib(reference: Run) -> float:
    """Return the disk space that the plan of a run asks for, in MiB."""
    choices = json.loads((reference.work / "record.json").read_text())["choices"]
    return choices.get("disk_gib", {"value": 0})["value"] * 1024


def enter_namespace() -> None:
    """If this user cannot mount anything, restart the script in a namespace where it can."""
    if os.geteuid() == 0 or NAMESPACE in os.environ:
        return
    ways = ["unshare", "--map-root-user", "--mount"]
    try:
        if subprocess.run([*ways, "true"], capture_output=True).returncode == 0:
            os.environ[NAMESPACE] = "1"
            os.execvp(ways[0], [*ways, sys.executable, *sys.argv])
    except FileNotFoundError:
        return


def main(words: Sequence[str] | None = None) -> int:
    """Parse the options, fill, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="try each N-th write only")
    parser.add_argument("--mounts", type=int, default=10, help="times that a tmpfs is filled")
    add_options(parser)
    options = parser.parse_args(words)
    rng = random.Random(options.seed)
    with workplace(options.folder, **KEYS) as place:
        problems = fill_each(place, options.every, rng)
        reference = Run(place.root / "reference", place.environment)
        for number in range(1, options.mounts + 1):
            found = fill_mount(place, reference, number, rng)
            if found is None:
                print("A tmpfs cannot be mounted here: that part was left out.")
                break
            problems += found
    bar = (
        "each went on with a warning or ended with a sentence, and came to its end with room "
        "again, weights equal bit for bit"
    )
    return verdict(problems, bar)


if __name__ == "__main__":
    enter_namespace()
    sys.exit(main())
