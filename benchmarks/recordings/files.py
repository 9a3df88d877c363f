"""Writing recordings: videos in H.264 and lists of their events.

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
from benchmarks.recordings.footage import draw_frames
from benchmarks.recordings.kinds import KINDS, Script, draw_script

SPLITS = ("train", "test")
VERSION = 1
CRF = 24


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording to be made; its content follows from these values."""

    set_name: str
    split: str
    number: int
    """Number of the recording within its split, from 0."""
    seed: int

    @property
    def file(self) -> str:
        """Its file name."""
        return f"{self.split}{self.number:03d}.mp4"

    def rng(self, *, purpose: int) -> np.random.Generator:
        """Random generator of this recording: 0 for the script, 1 for the frames."""
        name, split = zlib.crc32(self.set_name.encode()), SPLITS.index(self.split)
        return np.random.default_rng([self.seed, name, split, self.number, purpose])

    def script(self) -> Script:
        """What happens in it."""
        return draw_script(self.rng(purpose=0), KINDS[self.set_name])

    def frames(self) -> np.ndarray:
        """Draw its frames (T, H, W, 3) uint8."""
        return draw_frames(self.rng(purpose=1), self.script())


def recordings_of(name: str, *, seed: int = 0) -> list[Recording]:
    """Return every recording of a set: training, then test."""
    counts = {"train": KINDS[name].train, "test": KINDS[name].test}
    return [
        Recording(name, split, number, seed) for split in SPLITS for number in range(counts[split])
    ]


def make(root: str | Path, name: str, seed: int = 0, *, workers: int = 2) -> None:
    """Write `root`/videos/*.mp4 and `root`/{train,test}.csv with a row for each event.

    The lists have the columns path, label, start and end, in seconds. A complete set with the same
    seed is kept.

    Args:
        root: folder of this set, made where it is not there.
        name: a key of KINDS.
        seed: 0 or more.
        workers: threads that make recordings.
    """
    root = Path(root)
    marker, done = {"set": name, "seed": seed, "version": VERSION}, root / "set.json"
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")) == marker:
        return
    (root / "videos").mkdir(parents=True, exist_ok=True)
    recordings = recordings_of(name, seed=seed)
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda one: _write(root / "videos" / one.file, one), recordings):
            pass
    for split in SPLITS:
        rows = [row for one in recordings if one.split == split for row in _rows(one)]
        write_text(root / f"{split}.csv", "".join(["path,label,start,end\n", *rows]))
    write_json(done, marker)


def _write(path: Path, recording: Recording) -> None:
    content = encode_mp4(recording.frames(), recording.script().fps, crf=CRF)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _rows(recording: Recording) -> list[str]:
    return [
        f"{recording.file},{act.label},{act.start_sec:.2f},{act.end_sec:.2f}\n"
        for act in recording.script().events
    ]
