"""Claim: a list of a million clips is read and checked in under 15 s and 1.5 GB.

Checked means: each clip exists, none is listed twice or in two lists, every label is in range and
every class has training clips. The peer is mmaction2's VideoDataset, which reads the same lists and
checks nothing. Each runs in its own process; making the files is not counted.

    python benchmarks/listing.py [--clips N] [--folders N] [--rounds N]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

NUM_CLASSES = 400
VAL_SHARE = 0.01
BAR_SECONDS, BAR_GB = 15, 1.5


def make_tree(root: Path, clips: int, folders: int) -> None:
    """Create empty files in `folders` folders, and two lists of them."""
    lists = {"train.txt": [], "val.txt": []}
    (root / "videos").mkdir()
    for folder in range(folders):
        (root / "videos" / f"folder_{folder:05d}").mkdir()
    for number in range(clips):
        name = f"folder_{number % folders:05d}/clip number {number:08d}.mp4"
        os.mknod(root / "videos" / name)
        split = "train.txt" if number >= clips * VAL_SHARE else "val.txt"
        lists[split].append(f"{name} {number % NUM_CLASSES}\n")
    for name, lines in lists.items():
        (root / name).write_text("".join(lines))
    # VideoDataset does not support spaces: the peer gets the same lists with underscores.
    for name, lines in lists.items():
        text = "".join(line.replace("clip number ", "clip_number_") for line in lines)
        (root / f"peer_{name}").write_text(text)


def read_ours(root: Path) -> float:
    """Return the seconds of `read_listing`."""
    from autox_video.config.load import settings_from_mapping
    from autox_video.data.listing.listing import read_listing

    given = {
        "data_root": str(root / "videos"),
        "ann_file_train": str(root / "train.txt"),
        "ann_file_val": str(root / "val.txt"),
    }
    settings = settings_from_mapping(given, "benchmark")
    start = time.perf_counter()
    listing = read_listing(settings)
    seconds = time.perf_counter() - start
    assert len(listing.train) > len(listing.val) > 0
    return seconds


def read_peer(root: Path) -> float:
    """Return the seconds of building the peer's two data sets."""
    import autox_video  # noqa: F401, I001 (before mmaction2)
    from mmaction.datasets import VideoDataset

    start = time.perf_counter()
    for name in ("peer_train.txt", "peer_val.txt"):
        prefix = {"video": str(root / "videos")}
        dataset = VideoDataset(str(root / name), pipeline=[], data_prefix=prefix)
        assert len(dataset) > 0
    return time.perf_counter() - start


def measure(who: str, root: Path) -> dict[str, float] | None:
    """Run one reader in a fresh process; None if it could not run."""
    command = [sys.executable, __file__, "--measure", who, "--root", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{who}: not measured: {done.stderr.strip().splitlines()[-1]}")
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def report_one(who: str, root: Path) -> None:
    """Print the figures of one reader, in this process, as JSON."""
    reader = {"ours": read_ours, "peer": read_peer}[who]
    seconds = reader(root)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": seconds, "peak_gb": peak_gb}))


def compare(clips: int, folders: int, rounds: int) -> None:
    """Measure both, in turns, and print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_tree(root, clips, folders)
        found = {"ours": [], "peer": []}
        for _ in range(rounds):
            for who, figures in found.items():
                figures.append(measure(who, root))
    print(f"{clips} clips in {folders} folders, median of {rounds} rounds:")
    middle = {}
    for who, figures in found.items():
        if None not in figures:
            middle[who] = {k: median(f[k] for f in figures) for k in ("seconds", "peak_gb")}
            print(f"  {who}: {middle[who]['seconds']:.2f} s, {middle[who]['peak_gb']:.2f} GB peak")
    print(f"  bar: {BAR_SECONDS} s, {BAR_GB} GB for 1000000 clips")
    if len(middle) == 2:
        ratios = {k: middle["ours"][k] / middle["peer"][k] for k in ("seconds", "peak_gb")}
        print(f"  ours / peer: {ratios['seconds']:.2f} in time, {ratios['peak_gb']:.2f} in memory")


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        report_one(options.measure, options.root)
    else:
        compare(options.clips, options.folders, options.rounds)


if __name__ == "__main__":
    main()
