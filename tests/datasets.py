"""Tiny data sets for tests: clips whose class anyone can see, with their lists."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from tests.videos import write_video

REPOSITORY = Path(__file__).resolve().parents[1]
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
TINY = {
    "backbone": "conv_nano",
    "video_length": 0.5,
    "resolution": 32,
    "clip_len": 2,
    "videos_per_gpu": 4,
    "epoch": 2,
    "workers": 0,
    "device": "cpu",
    "precision": "float32",
    "load_from": "none",
    "cache": "off",
}


def colour_clip(
    path: Path,
    colour: str,
    *,
    seed: int,
    size: tuple[int, int] = (36, 48),
    seconds: float = 0.5,
) -> Path:
    """Write a clip, of half a second unless told otherwise, noisy and mostly of one colour."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(-25, 26, size=(round(12 * seconds), *size, 3))
    frames = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    return write_video(path, frames, fps=12)


def colour_data(root: Path, *, train: int = 4, val: int = 2, test: int = 2) -> dict[str, str]:
    """Write clips of three colours and their lists; gives the keys of a config that name them."""
    (root / "videos").mkdir(parents=True)
    keys = {"data_root": str(root / "videos")}
    for split, count in (("train", train), ("val", val), ("test", test)):
        lines = []
        for label, colour in enumerate(COLOURS):
            for i in range(count):
                name = f"{split} {colour} {i}.mp4"
                colour_clip(root / "videos" / name, colour, seed=hash_of(name))
                lines.append(f"{name} {label}\n")
        (root / f"{split}.txt").write_text("".join(lines))
        keys[f"ann_file_{split}"] = str(root / f"{split}.txt")
    return keys


def hash_of(name: str) -> int:
    """A number for a name, the same in every process."""
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**32


def write_config(path: Path, **keys: object) -> Path:
    """Write a config file."""
    path.write_text(yaml.safe_dump(keys))
    return path


def command(
    script: str, *words: str, cwd: Path, env: dict | None = None, timeout: float = 180
) -> subprocess.CompletedProcess:
    """Run one of the entry scripts as a user does."""
    return subprocess.run(
        [sys.executable, str(REPOSITORY / script), *map(str, words)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
