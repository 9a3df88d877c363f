"""Goal: extract the features of a frozen image encoder at least twice as fast as a plain loop.

The encoder is `timm:tf_efficientnet_lite0` with random weights, on 8 frames of 224x224 px of each
clip in FOLDER. Our extraction starts with an empty cache. In the plain loop, PyAV decodes the
clips, torchvision resizes and crops the frames, and timm's model computes the features of each
batch. The loop is measured with the default memory format and with channels last, which is faster.
All contenders use the same dtype, batch size and number of threads, and take turns.

    python benchmarks/encoder.py FOLDER [--clips 100] [--rounds 2]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="5000")  # as the commands do

import autox_video  # noqa: E402, F401, I001 (before mmaction2)
import av  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torchvision.transforms.v2.functional import center_crop, resize  # noqa: E402

from autox_video.automl.prepare import prepare  # noqa: E402
from autox_video.automl.probing.extract import CLIPS_AT_A_TIME, Extractor, Reading  # noqa: E402
from autox_video.automl.probing.feature_store import FeatureStore  # noqa: E402
from autox_video.config.load import settings_from_mapping  # noqa: E402
from autox_video.machine.allocator import keep_freed_memory  # noqa: E402
from autox_video.planning.record import RunRecord  # noqa: E402
from autox_video.training.config.build_config import build_config  # noqa: E402

NAME, FRAMES, SIDE = "tf_efficientnet_lite0", 8, 224
BAR = 2.0


def decoded(path: Path) -> Tensor:
    """Return 8 evenly spaced frames of a clip, uint8 (8, 3, 224, 224)."""
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    rows = torch.linspace(0, len(frames) - 1, 2 * FRAMES + 1).round().long()[1::2]
    clip = torch.stack([torch.from_numpy(frames[row]) for row in rows]).permute(0, 3, 1, 2)
    return center_crop(resize(clip, [SIDE], antialias=True), [SIDE, SIDE])


@torch.inference_mode()
def plain_loop(paths: list[Path], precision: str, layout: torch.memory_format) -> float:
    """Return the seconds that a plain loop over the clips takes with timm's model."""
    model = timm.create_model(NAME, num_classes=0).eval().to(memory_format=layout)
    size, mixes = CLIPS_AT_A_TIME["cpu"], precision != "float32"
    started = time.perf_counter()
    for first in range(0, len(paths), size):
        clips = torch.stack([decoded(path) for path in paths[first : first + size]])
        images = (clips.flatten(0, 1).float() / 127.5 - 1).contiguous(memory_format=layout)
        with torch.autocast("cpu", getattr(torch, precision) if mixes else None, enabled=mixes):
            model.forward_features(images).float().mean((2, 3)).unflatten(0, (-1, FRAMES)).mean(1)
    return time.perf_counter() - started


def ours(folder: Path, count: int, work: Path, precision: str) -> tuple[list[Path], Callable]:
    """Return the paths of the clips, and a function that times our extraction in seconds."""
    keys = {
        "backbone": f"timm:{NAME}",
        "load_from": "none",
        "mode": "probe",
        "clip_len": FRAMES,
        "precision": precision,
        "flip": False,
        "work_dir": str(work),
        "data_root": str(folder),
    }
    lists = folder / "annotations"
    if lists.is_dir():
        keys |= {"data_root": str(folder / "videos")}
        keys |= {"ann_file_train": str(lists / "train_list.txt")}
    prepared = prepare(settings_from_mapping(keys, "encoder.py"), resuming=False)
    clips = prepared.listing.train.select(range(min(count, len(prepared.listing.train))))
    record, root = RunRecord(prepared.plan, prepared.data), Path(prepared.data.data_root)

    def seconds() -> float:
        with tempfile.TemporaryDirectory() as cache:
            extractor = Extractor(build_config(record, work), None, FeatureStore(cache))
            reading = Reading((1, 1, 1), False)
            started = time.perf_counter()
            extractor.extract(
                clips, prepared.data.data_root, reading, workers=prepared.plan.workers
            )
            return time.perf_counter() - started

    return [root / path for path in clips.paths], seconds


def main() -> int:
    """Print the measured speeds; return 0 if the bar is met in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    keep_freed_memory()
    met = True
    for precision in ("float32", "bfloat16"):
        with tempfile.TemporaryDirectory() as work:
            paths, extraction = ours(
                options.folder.resolve(), options.clips, Path(work) / "run", precision
            )
            layouts = {"plain loop": torch.contiguous_format, "channels last": torch.channels_last}
            ways = {"ours": extraction} | {
                name: partial(plain_loop, paths, precision, layout)
                for name, layout in layouts.items()
            }
            best = dict.fromkeys(ways, 0.0)
            for _ in range(options.rounds):
                for way, measure in ways.items():
                    best[way] = max(best[way], len(paths) / measure())
        ratio = best["ours"] / best["plain loop"]
        met &= ratio >= BAR
        rates = ", ".join(f"{way} {rate:.1f}" for way, rate in best.items())
        print(
            f"{precision}: clips/s: {rates}; ratio to the plain loop {ratio:.2f}, to channels last "
            f"{best['ours'] / best['channels last']:.2f}",
            flush=True,
        )
    print(f"bar: {BAR} times the plain loop: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
