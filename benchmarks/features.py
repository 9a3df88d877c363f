"""Claim: extracting features costs little more than forward passes, and nothing a second time.

The features of a run's training clips are extracted with an empty cache, as in `mode: probe`, and
again from that cache. They are compared with the backbone's bare forward passes over batches of the
same size in memory. Bars: extraction takes at most 1.5 times the bare passes, unless it is bound by
decoding, which is reported; reading from the cache takes at most a tenth of it.

    python benchmarks/features.py WORK_DIR [--data-root FOLDER] [--workers N]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="5000")  # as the commands do

import torch  # noqa: E402

from autox_video.automl.probing.extract import (  # noqa: E402
    CLIPS_AT_A_TIME,
    Extractor,
    Reading,
)
from autox_video.automl.probing.feature_store import FeatureStore  # noqa: E402
from autox_video.data.listing.written_list import read_list  # noqa: E402
from autox_video.machine.allocator import keep_freed_memory  # noqa: E402
from autox_video.planning.record import read_record  # noqa: E402
from autox_video.training.config.build_config import build_config  # noqa: E402

BAR_EXTRACTION, BAR_AGAIN = 1.5, 0.1


def main() -> int:
    """Measure and print; return 0 if the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--data-root")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    keep_freed_memory()
    record = read_record(options.work_dir)
    config = build_config(record, options.work_dir)
    root = options.data_root or record.data.data_root
    clips = read_list(options.work_dir / "train.csv")
    with tempfile.TemporaryDirectory() as folder:
        extractor = Extractor(config, None, FeatureStore(folder))
        reading = Reading(extractor.grid(len(clips), 1), False)
        bare = forward_seconds(extractor, len(clips))
        read = reading_seconds(extractor, clips, root, options.workers)
        first, again = (
            extraction_seconds(extractor, clips, root, reading, workers=options.workers)
            for _ in range(2)
        )
    print(f"{len(clips)} clips of {config.test_item_shape[1:4]}, {config.experiment_name}")
    for what, seconds in (
        ("bare forward passes", bare),
        ("reading only", read),
        ("extraction, empty cache", first),
        ("extraction, full cache", again),
    ):
        print(f"  {what:24} {seconds:8.2f} s {len(clips) / seconds:9.1f} clips/s")
    bound = max(bare, read)
    print(f"  extraction / the slower of passes and reading: {first / bound:.2f}")
    return int(first > BAR_EXTRACTION * bound or again > BAR_AGAIN * first)


def forward_seconds(extractor: Extractor, count: int) -> float:
    """Return the seconds of the backbone for that many clips in memory."""
    size = CLIPS_AT_A_TIME[extractor.config.device.partition(":")[0]]
    _, *view = extractor.config.test_item_shape
    batch = torch.randint(256, (size, 1, *view), dtype=torch.uint8)
    reading = Reading((1, 1, 1), False)
    extractor._tokens(batch, reading)
    started = time.perf_counter()
    for _ in range(count // size):
        extractor._tokens(batch, reading)
    return (time.perf_counter() - started) / (count // size * size) * count


def reading_seconds(extractor: Extractor, clips, root: str, workers: int) -> float:
    """Return the seconds of reading the clips without computing."""
    batches = extractor._batches(clips, root, workers)
    started = time.perf_counter()
    for _ in batches:
        pass
    seconds = time.perf_counter() - started
    batches.close()
    return seconds


def extraction_seconds(extractor: Extractor, clips, root: str, reading, *, workers: int) -> float:
    """Return the seconds of extracting the features of the clips."""
    started = time.perf_counter()
    extractor.extract(clips, root, reading, workers=workers)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
