"""Claim: bfloat16 costs a Video Swin no measurable accuracy on the demo.

The demo is trained from scratch with each dtype, once per seed, by `autotrain.py` itself; each
trained model then predicts all of the demo's clips with both dtypes. Bars: the mean test top-1 over
the seeds differs by at most 2 points, and each model predicts the same class with both dtypes for
at least 99% of the clips.

    python benchmarks/precision.py [SEED ...] [--backbone swin_nano] [--epoch N]
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autox_video.data.demo import make_demo  # noqa: E402 (of this source tree)
from benchmarks.demo import command_seconds  # noqa: E402

BAR_POINTS, BAR_SAME = 2.0, 0.99
PRECISIONS = ("bfloat16", "float32")


def same_predictions(folder: Path) -> tuple[float, int]:
    """Return the share of clips with the same class in both dtypes, and the number of clips."""
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="5000")  # as the commands do
    from autox_video.data.clip_table import ClipTable
    from autox_video.data.listing.folders.folder_walk import find_videos
    from autox_video.evaluation.predict import Loading, load_model, predict, read_config

    videos = folder / "data" / "demo" / "videos"
    clips = ClipTable(tuple(find_videos(videos)), None)
    weights = folder / "work_dirs" / "demo" / "best.pth"
    found = []
    for precision in PRECISIONS:
        config = read_config(weights)
        config.model.backbone.precision = precision
        model = load_model(config, weights, "cpu")
        loading = Loading(4, 1, "cpu")
        predictions = predict(model, config, clips, data_root=videos, loading=loading)
        found.append([max(range(len(p.scores)), key=p.scores.__getitem__) for p in predictions])
    same = sum(a == b for a, b in zip(*found, strict=True))
    return same / len(clips), len(clips)


def run(folder: Path, seed: int, precision: str, words: list[str]) -> dict[str, float]:
    """Train and test in a folder that holds the clips in data/demo."""
    keys = [f"seed={seed}", f"precision={precision}", "load_from=none", *words]
    seconds = command_seconds("autotrain.py", folder, keys)
    command_seconds("autotest.py", folder, [])
    top1 = json.loads((folder / "work_dirs" / "demo" / "results.json").read_text())["metrics"][
        "top1"
    ]
    same, clips = same_predictions(folder)
    print(
        f"  {seed:4d}  {precision:9}  {seconds / 60:12.2f}  {top1:.4f}  {same:8.2%} of {clips}",
        flush=True,
    )
    return {"top1": top1, "same": same}


def main() -> int:
    """Parse the options, run, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--backbone", default="swin_nano", help="what is trained")
    parser.add_argument("--epoch", type=int, help="train so many epochs, to try this script")
    options = parser.parse_args()
    words = [f"backbone={options.backbone}"]
    words += [f"epoch={options.epoch}"] if options.epoch else []
    found: dict[str, list[dict[str, float]]] = {precision: [] for precision in PRECISIONS}
    with tempfile.TemporaryDirectory() as name:
        clips = Path(name, "data", "demo")
        make_demo(clips)
        print("  seed  precision  training min  top-1   same class in both dtypes", flush=True)
        for seed in options.seeds:
            for precision in PRECISIONS:
                folder = Path(name, f"{seed}_{precision}")
                folder.mkdir()
                (folder / "data").symlink_to(clips.parent)
                found[precision].append(run(folder, seed, precision, words))
    means = {p: 100 * mean(each["top1"] for each in runs) for p, runs in found.items()}
    points = means["float32"] - means["bfloat16"]
    same = min(each["same"] for runs in found.values() for each in runs)
    met = abs(points) <= BAR_POINTS and same >= BAR_SAME
    print(
        f"  mean top-1 {means['bfloat16']:.2f} in bfloat16, {means['float32']:.2f} in float32 "
        f"(bar: {BAR_POINTS} points apart); lowest share of equal predictions {same:.2%} (bar: "
        f"{BAR_SAME:.0%}): {'met' if met else 'missed'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
