"""Claim: `autox-video check` inspects 10,000 clips at 150 or more a second, and again in under 3 s.

It also uses at most 2.5 kB of memory per clip; 1.1 kB of these are the descriptors for finding
copies and recordings. The clips are copies of those of a folder, each with a few bytes appended to
make it a different file. Each check runs in its own process; making the copies is not counted.

    python benchmarks/check.py [--from FOLDER] [--clips N] [--few N]
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

ROOT = Path(__file__).resolve().parents[1]
REAL_CLIPS = ROOT.parent / "shared" / "data" / "autox-demo" / "videos"
BAR_CLIPS_PER_SEC, BAR_AGAIN_SEC, BAR_BYTES = 150, 3.0, 2500
VAL_SHARE, NUM_CLASSES = 0.1, 10


def source_clips(folder: Path | None, root: Path) -> list[Path]:
    """Return the clips to copy: from the folder, else the real clips, else the demo."""
    if folder is None and REAL_CLIPS.is_dir():
        folder = REAL_CLIPS
    if folder is None:
        from autox_video.data.demo import make_demo

        make_demo(root / "demo")
        folder = root / "demo" / "videos"
    return sorted(path for path in folder.iterdir() if path.is_file())


def make_clips(sources: list[Path], root: Path, count: int) -> None:
    """Write `count` copies with different bytes."""
    (root / "videos").mkdir()
    for number in range(count):
        source = sources[number % len(sources)]
        # An empty MP4 box; other containers ignore it.
        extra = (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        target = root / "videos" / f"clip number {number:06d}{source.suffix}"
        target.write_bytes(source.read_bytes() + extra)


def write_lists(root: Path, suffixes: list[str], count: int) -> None:
    """Write a training and a validation list of the first `count` clips."""
    names = [f"clip number {n:06d}{suffixes[n % len(suffixes)]}" for n in range(count)]
    lines = [f"{name}\t{number % NUM_CLASSES}\n" for number, name in enumerate(names)]
    end = int(count * VAL_SHARE)
    (root / "val.txt").write_text("".join(lines[:end]))
    (root / "train.txt").write_text("".join(lines[end:]))


def check_once(root: Path) -> None:
    """Run the check in this process; prints seconds of the process and its peak memory as JSON."""
    from autox_video.api import AutoXVideo

    AutoXVideo().check(
        data_root=str(root / "videos"),
        ann_file_train=str(root / "train.txt"),
        ann_file_val=str(root / "val.txt"),
        work_dir=str(root / "work"),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak_bytes": peak}))


def measure(root: Path, cache: str) -> dict[str, float]:
    """Run the check in a fresh process; return its seconds with startup, and its peak memory."""
    command = [sys.executable, __file__, "--once", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(root / cache)}
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    report = json.loads((root / "work" / "check" / "check.json").read_text())
    assert not report["unreadable"], report["unreadable"][:3]
    return {"seconds": seconds, **json.loads(done.stdout.strip().splitlines()[-1])}


def compare(folder: Path | None, clips: int, few: int) -> bool:
    """Measure and print; return whether all bars are met."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sources = source_clips(folder, root)
        make_clips(sources, root, clips)
        suffixes = [source.suffix for source in sources]
        write_lists(root, suffixes, few)
        small = measure(root, "cache of few")
        small_again = measure(root, "cache of few")
        write_lists(root, suffixes, clips)
        first, second = measure(root, "cache"), measure(root, "cache")
    speed = clips / first["seconds"]
    growth, growth_again = (
        (large["peak_bytes"] - less["peak_bytes"]) / (clips - few)
        for large, less in ((first, small), (second, small_again))
    )
    print(f"{clips} copies of {len(sources)} clips, {os.cpu_count()} cores:")
    print(f"  first: {first['seconds']:.1f} s, {speed:.0f} clips/s (bar {BAR_CLIPS_PER_SEC})")
    print(f"  again: {second['seconds']:.2f} s (bar {BAR_AGAIN_SEC:g})")
    print(
        f"  memory between {few} and {clips} clips: {growth:.0f} bytes a clip, again "
        f"{growth_again:.0f} (bar {BAR_BYTES})"
    )
    return (
        speed >= BAR_CLIPS_PER_SEC
        and second["seconds"] < BAR_AGAIN_SEC
        and max(growth, growth_again) <= BAR_BYTES
    )


def main() -> int:
    """Parse the options, measure, print; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="folder", type=Path, help="folder of clips to copy")
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=2_000, help="to measure memory against")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        check_once(options.once)
        return 0
    return 0 if compare(options.folder, options.clips, options.few) else 1


if __name__ == "__main__":
    sys.exit(main())
