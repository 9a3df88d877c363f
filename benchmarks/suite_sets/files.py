"""Writing data sets: clips in H.264, list files, class names.

The same name and seed give the same bytes, with any number of threads.
"""

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autox_video.core.files import atomic_write, write_json, write_text
from autox_video.data.demo import encode_mp4
from benchmarks.suite_sets.kinds import KINDS, draw_plan
from benchmarks.suite_sets.scene import draw

SPLITS = ("train", "test")
VERSION = 1
CRF_RANGE = (12, 30)
"""Range of H.264's CRF, so wide that file size depends on compression, not on content."""


@dataclass(frozen=True, slots=True)
class SuiteClip:
    """A clip to be made; its content follows from these values."""

    set_name: str
    split: str
    label: int
    """Index of its class in the kind's classes."""
    number: int
    """Number of the clip within its class and split, from 0."""
    file: str
    """Its file name, which does not reveal its class."""
    seed: int

    def rng(self) -> np.random.Generator:
        """Random generator of this clip."""
        name = zlib.crc32(self.set_name.encode())
        place = (name, SPLITS.index(self.split), self.label, self.number)
        return np.random.default_rng([self.seed, *place])


def suite_clips(name: str, *, seed: int = 0) -> list[SuiteClip]:
    """Return every clip of a set: training clips, then test clips, each in random order.

    Args:
        name: a key of KINDS.
        seed: 0 or more.
    """
    clips = []
    for split in SPLITS:
        counts = KINDS[name].counts(split)
        places = [(label, number) for label, n in enumerate(counts) for number in range(n)]
        order = np.random.default_rng([seed, len(places)]).permutation(len(places))
        for position, index in enumerate(order.tolist()):
            file = f"{split}{position:03d}.mp4"
            clips.append(SuiteClip(name, split, *places[index], file, seed))
    return clips


def draw_clip(clip: SuiteClip) -> tuple[np.ndarray, int, int]:
    """Draw a clip: frames (T, H, W, 3) of uint8, frames per second, and H.264's CRF."""
    rng, kind = clip.rng(), KINDS[clip.set_name]
    size, fps, stage = draw_plan(rng, kind)
    crf = int(rng.integers(CRF_RANGE[0], CRF_RANGE[1] + 1))
    actor, states = kind.act(rng, kind.classes[clip.label], stage)
    return draw(rng, size, actor=actor, states=states, clutter=kind.clutter), fps, crf


def make_set(root: str | Path, name: str, *, seed: int = 0, workers: int = 2) -> None:
    """Write `root`/videos/*.mp4 and `root`/{train,test}_list.txt with lines `path label`.

    A complete set with the same seed is kept.

    Args:
        root: folder of this set, made where it is not there.
        name: a key of KINDS.
        seed: 0 or more.
        workers: threads that make clips.
    """
    root, kind = Path(root), KINDS[name]
    marker, done = {"set": name, "seed": seed, "version": VERSION}, root / "set.json"
    if _is_there(done, marker):
        return
    (root / "videos").mkdir(parents=True, exist_ok=True)
    clips = suite_clips(name, seed=seed)
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda clip: _write_clip(root / "videos" / clip.file, clip), clips):
            pass
    names = kind.names or kind.classes
    for split in SPLITS:
        lines = [f"{c.file} {names[c.label]}\n" for c in clips if c.split == split]
        write_text(root / f"{split}_list.txt", "".join(lines))
    write_text(root / "classes.txt", "".join(f"{name}\n" for name in names))
    write_json(done, marker)


def _is_there(done: Path, marker: dict) -> bool:
    return done.is_file() and json.loads(done.read_text(encoding="utf-8")) == marker


def _write_clip(path: Path, clip: SuiteClip) -> None:
    frames, fps, crf = draw_clip(clip)
    content = encode_mp4(frames, fps, crf=crf)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
