"""Claim: 2 processes train and test like 1: losses equal within 1e-5, identical test results.

A small demo run in float32 on the CPU, once with one process and once with two (gloo), with the
same total batch size. Losses, evaluations and weights are compared. Then one process and two test
the same weights, which must give the same results.json, byte for byte. No peer.

    python benchmarks/processes.py [--epochs N] [--processes N]
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.faults.runs import BATCH_SIZE, Life, Place, Run, marked, read_checkpoint  # noqa: E402

BAR_LOSS = 1e-5


def train(place: Place, processes: int) -> Run:
    """Train with that many processes, and print the time it took."""
    keys = {"gpus": processes, "videos_per_gpu": BATCH_SIZE // processes}
    run = place.run(f"processes_{processes}", **keys)
    seconds = let_run(run.start(), processes)
    print(f"trained by {processes} in {seconds:.1f} s", flush=True)
    return run


def let_run(life: Life, processes: int) -> float:
    """Wait for a command, and return its seconds; end the benchmark if it fails.

    It also fails if it did not use that many processes.
    """
    ranks: set[str] = set()
    while life.code is None:
        ranks |= ranks_of(life)
        time.sleep(0.2)
    if life.wait():
        sys.exit(f"It ended with {life.code}:\n{life.said()}")
    if processes > 1 and ranks != {str(rank) for rank in range(processes)}:
        sys.exit(f"{processes} processes were requested, but the ranks seen are {sorted(ranks)}.")
    return life.lived_sec


def ranks_of(life: Life) -> set[str]:
    """Return the ranks of the processes that are running, from their environment."""
    found = set()
    for pid in marked(life.mark):
        with contextlib.suppress(OSError):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            found |= {v[5:].decode() for v in variables if v.startswith(b"RANK=")}
    return found


def largest_difference(left: Run, right: Run, kind: str) -> float:
    """Return the largest difference in loss between two runs; infinite if their events differ."""
    events = [{(e["epoch"], e["iter"]): e for e in run.events(kind)} for run in (left, right)]
    if events[0].keys() != events[1].keys() or not events[0]:
        return float("inf")
    return max(abs(events[0][key]["loss"] - events[1][key]["loss"]) for key in events[0])


def weight_difference(left: Run, right: Run) -> float:
    """Return the largest difference of any weight between the last checkpoints of two runs."""
    states = [read_checkpoint(run.work / "latest.pth")["state_dict"] for run in (left, right)]
    return max(
        float((states[0][k].double() - states[1][k].double()).abs().max()) for k in states[0]
    )


def test(run: Run, processes: int) -> bytes:
    """Test a run's weights with that many processes; return the bytes of results.json."""
    name = f"results_{processes}.json"
    words = (f"gpus={processes}", f"test_results_path={name}")
    let_run(run.start(*words, script="autotest.py"), processes)
    return (run.folder / name).read_bytes()


def main() -> int:
    """Parse the options, run, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4, help="of 6 steps")
    parser.add_argument("--processes", type=int, default=2, choices=(2, 4))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), epoch=options.epochs)
        one, several = train(place, 1), train(place, options.processes)
        train_loss, val_loss = (largest_difference(one, several, k) for k in ("train", "val"))
        print(
            f"largest difference: {train_loss:.2e} in the loss of {one.steps_done()} steps, "
            f"{val_loss:.2e} in that of evaluations, "
            f"{weight_difference(one, several):.2e} in a weight"
        )
        equal = test(one, 1) == test(one, options.processes)
        print(f"results.json of 1 and {options.processes}: {'equal' if equal else 'DIFFERENT'}")
    met = train_loss <= BAR_LOSS and equal
    bar = f"losses within {BAR_LOSS:.0e}, results.json equal byte for byte"
    print(f"bar: {bar}: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
