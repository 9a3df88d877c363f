"""Claim: clips reach the model at least twice as fast as with mmaction2's own pipeline.

Peer: mmaction2's usual pipelines (decord) in torch's DataLoader with persistent workers. Ours: the
data set and the loader of training and testing. Both read the same clips with two workers, 8 frames
of 224 px over the same span, batches of 8, in turns in one run. A pass reads every clip once; the
first pass is not counted, and the median of the others is reported.

    python benchmarks/data.py [FOLDER] [--rounds N]

FOLDER holds clips of about 2 s; without it, the demo's clips are used.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers are the parallelism, on both sides
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import autox_video  # noqa: E402, I001 (before mmaction2)
import av  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
from mmaction.datasets import VideoDataset  # noqa: E402
from mmaction.utils import register_all_modules  # noqa: E402
from mmengine.dataset import pseudo_collate  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

import autox_video.data.loading.transforms  # noqa: E402, F401 (registers the steps)
from autox_video.data.demo import make_demo  # noqa: E402
from autox_video.data.clip_table import ClipTable  # noqa: E402
from autox_video.data.listing.folders.folder_walk import find_videos  # noqa: E402
from autox_video.data.loading.clip_dataset import ClipBatches, ClipDataset  # noqa: E402

FRAMES, SIDE, SHORT_SIDE, BATCH, WORKERS, TEST_CLIPS = 8, 224, 256, 8, 2, 4


@dataclass(frozen=True, slots=True)
class Source:
    """Clips to read, and how far apart their frames are taken."""

    name: str
    root: Path
    paths: tuple[str, ...]
    interval: int
    """Distance between sampled frames in frames, for the peer."""
    interval_sec: float
    """The same in seconds, for us."""


def peer_passes(source: Source, *, test: bool) -> Iterator[int]:
    """Passes over the clips by mmaction2; return the number of clips of each."""
    sample = {"type": "SampleFrames", "clip_len": FRAMES, "frame_interval": source.interval}
    if test:
        sample |= {"num_clips": TEST_CLIPS, "test_mode": True}
    crops = [
        {"type": "RandomResizedCrop"},
        {"type": "Resize", "scale": (SIDE, SIDE), "keep_ratio": False},
        {"type": "Flip", "flip_ratio": 0.5},
    ]
    pipeline = [
        {"type": "DecordInit"},
        sample,
        {"type": "DecordDecode"},
        {"type": "Resize", "scale": (-1, SIDE if test else SHORT_SIDE)},
        *([{"type": "ThreeCrop", "crop_size": SIDE}] if test else crops),
        {"type": "FormatShape", "input_format": "NCTHW"},
        {"type": "PackActionInputs"},
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{path} {i}\n" for i, path in enumerate(source.paths))
        file.flush()
        dataset = VideoDataset(file.name, pipeline, data_prefix={"video": str(source.root)})
        dataset.full_init()
    loader = DataLoader(
        dataset,
        batch_size=BATCH,
        shuffle=not test,
        num_workers=WORKERS,
        persistent_workers=True,
        collate_fn=pseudo_collate,
        worker_init_fn=lambda _: cv2.setNumThreads(0),
    )
    while True:
        yield sum(len(batch["inputs"]) for batch in loader)


def our_passes(source: Source, *, test: bool, cache: Path | None = None) -> Iterator[int]:
    """Passes over the clips by this project; return the number of clips of each."""
    read = {
        "type": "ReadClips",
        "clip_len": FRAMES,
        "frame_interval_sec": source.interval_sec,
        "num_clips": TEST_CLIPS if test else 1,
        "test_mode": test,
        "short_side": SIDE if test else SHORT_SIDE,
        "cache": None if cache is None else {"folder": str(cache), "max_gib": 16.0},
    }
    crop = {"type": "CropClips", "side": SIDE, "crop": "three" if test else "random"}
    dataset = ClipDataset(
        ClipTable(source.paths, tuple(range(len(source.paths)))),
        str(source.root),
        pipeline=[read, crop],
        classes=("any",),
        item_shape=(3 * TEST_CLIPS if test else 1, FRAMES, SIDE, SIDE, 3),
    )
    batches = ClipBatches(dataset, batch_size=BATCH, workers=WORKERS, shuffle=not test)
    epoch = 0
    try:
        while True:
            yield sum(len(batch["inputs"]) for batch in batches.epoch(epoch))
            epoch += 1
    finally:
        batches.close()


def rates(passes: dict[str, Iterator[int]], rounds: int) -> dict[str, float]:
    """Median clips/s of each, measured in turns; the first pass of each starts its workers."""
    found: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(rounds + 1):
        for name, counted in passes.items():
            start = time.perf_counter()
            clips = next(counted)
            found[name].append(clips / (time.perf_counter() - start))
    return {name: median(seen[1:]) for name, seen in found.items()}


def compare(
    name: str, passes: dict[str, Iterator[int]], bars: dict[str, float], rounds: int
) -> bool:
    """Print one row for each contender; return whether the bars are met."""
    found = rates(passes, rounds)
    met = True
    for who, rate in found.items():
        ratio = rate / found["mmaction2"]
        verdict = ""
        if who in bars:
            verdict = f"bar {bars[who]:.1f}: {'met' if ratio >= bars[who] else 'missed'}"
            met &= ratio >= bars[who]
        print(f"  {name:28}  {who:18}  {rate:8.1f}  {ratio:6.2f}  {verdict}", flush=True)
    return met


def first_fill(source: Source, cache: Path) -> float:
    """Clips/s of the pass that decodes every clip and keeps its frames."""
    passes = our_passes(source, test=False, cache=cache)
    start = time.perf_counter()
    clips = next(passes)
    return clips / (time.perf_counter() - start)


def make_clips(folder: Path, width: int, height: int, count: int) -> None:
    """Write H.264 clips of 10 s at 30 frames/s: soft noise that drifts, with some grain."""
    folder.mkdir()
    rng = np.random.default_rng(width)
    for i in range(count):
        scene = cv2.resize(rng.integers(0, 256, (40, 60, 3), np.uint8), (2 * width, 2 * height))
        grain = rng.integers(0, 8, (height, width, 3), np.uint8)
        with av.open(str(folder / f"{i}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for t in range(300):
                x, y = (t * width) // 400, (t * height) // 500
                pixels = cv2.add(scene[y : y + height, x : x + width], np.roll(grain, 3 * t, 1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode())


def sources(folder: Path | None, made: Path) -> dict[str, Source]:
    """The clips that are measured, by what they are called below."""
    if folder is None:
        make_demo(made / "demo")
        folder = made / "demo" / "videos"
    for name, width, height, count in (("small", 340, 256, 24), ("large", 1280, 720, 8)):
        make_clips(made / name, width, height, count)
    return {
        "short": Source("clips of 2 s", folder, find_videos(folder), 6, 0.2),
        "small": Source("10 s of 340x256", made / "small", find_videos(made / "small"), 8, 8 / 30),
        "large": Source("10 s of 1280x720", made / "large", find_videos(made / "large"), 8, 8 / 30),
    }


def run(folder: Path | None, rounds: int) -> bool:
    """Measure everything and print a table; return whether all bars are met."""
    both: dict[str, Callable[..., Iterator[int]]] = {"mmaction2": peer_passes, "ours": our_passes}
    met = True
    with tempfile.TemporaryDirectory() as name:
        found = sources(folder, Path(name))
        print(f"  {'training':28}  {'':18}  {'clips/s':>8}  {'ratio':>6}")
        short = found["short"]
        filling = first_fill(short, Path(name, "cache"))
        passes = {who: passes_of(short, test=False) for who, passes_of in both.items()}
        passes["ours, from cache"] = our_passes(short, test=False, cache=Path(name, "cache"))
        met &= compare(short.name, passes, {"ours": 2.0, "ours, from cache": 8.0}, rounds)
        print(f"  {short.name:28}  {'ours, to cache':18}  {filling:8.1f}")
        for key in ("small", "large"):
            passes = {who: passes_of(found[key], test=False) for who, passes_of in both.items()}
            met &= compare(found[key].name, passes, {"ours": 1.5}, rounds)
        print(f"  testing, {TEST_CLIPS} clips and three crops")
        passes = {who: passes_of(short, test=True) for who, passes_of in both.items()}
        met &= compare(short.name, passes, {"ours": 2.0}, rounds)
    return met


def main() -> int:
    """Parse the options, measure, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="clips of about 2 s")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    register_all_modules()
    MMLogger.get_current_instance().setLevel("ERROR")
    return 0 if run(options.folder, options.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
