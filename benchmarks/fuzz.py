"""Claim: no damaged clip crashes the decoder, hangs it, or leaks; each is readable or named.

Copies of clips are damaged with a fixed seed: bits flipped, ends and middles cut out, headers
swapped, blocks zeroed or duplicated. Each is opened, inspected and read in a worker process. The
clips are those of a folder, or the real clips of the tests, or clips made by this script.

    python benchmarks/fuzz.py [--clips FOLDER | --made] [--copies N] [--seed N] [--decoder NAME]
"""

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import av  # noqa: E402
import numpy as np  # noqa: E402

from autox_video.core.errors import VideoError  # noqa: E402
from autox_video.video.open_video import open_video  # noqa: E402

HANG_SEC = 10.0
BAR_LEAK_MB = 50
NUM_FRAMES = 8
SHORT_SIDE_PX = 112
WARM_UP_COPIES = 100
"""Memory is compared from this copy on, when a worker has loaded everything it needs."""

READABLE, NAMED, CRASH, HANG, TRACEBACK = "readable", "named", "crash", "hang", "traceback"
OUTCOMES = (READABLE, NAMED, CRASH, HANG, TRACEBACK)


# ---- damage ----


def flip_bits(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    """Flip 1 to 1000 bits anywhere."""
    for _ in range(10 ** chance.randrange(4)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def flip_header(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    """Flip up to 20 bits in the first or in the last 2 kB, where indices are."""
    size = min(2048, len(data))
    start = chance.choice([0, len(data) - size])
    for _ in range(chance.randint(1, 20)):
        data[start + chance.randrange(size)] ^= 1 << chance.randrange(8)


def cut_off(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    """Keep only the beginning."""
    del data[chance.randrange(len(data)) :]


def cut_out(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    """Cut out a part anywhere."""
    start = chance.randrange(len(data))
    del data[start : start + chance.randint(1, len(data) // 2)]


def swap_header(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    """Begin with the first bytes of another clip."""
    size = 2 ** chance.randint(3, 12)
    data[:size] = chance.choice(others)[:size]


def zero_blocks(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    """Overwrite one to three blocks with zeros."""
    for _ in range(chance.randint(1, 3)):
        size = min(2 ** chance.randint(4, 16), len(data))
        start = chance.randrange(len(data) - size + 1)
        data[start : start + size] = bytes(size)


def double_block(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    """Repeat a block somewhere else."""
    start, size = chance.randrange(len(data)), 2 ** chance.randint(4, 14)
    place = chance.randrange(len(data))
    data[place:place] = data[start : start + size]


DAMAGES: tuple[Callable[[bytearray, random.Random, list[bytes]], None], ...] = (
    *(flip_bits, flip_header, cut_off, cut_out, swap_header, zero_blocks, double_block),
)


def damaged_copies(
    clips: list[Path], folder: Path, copies: int, seed: int
) -> Iterator[tuple[str, Path]]:
    """Write one damaged copy after the other: (kind of damage, path)."""
    chance = random.Random(seed)
    others = [path.read_bytes() for path in chance.sample(clips, min(8, len(clips)))]
    for number in range(copies):
        source = clips[number // len(DAMAGES) % len(clips)]
        damage = DAMAGES[number % len(DAMAGES)]
        data = bytearray(source.read_bytes())
        damage(data, chance, others)
        path = folder / f"{number:06d}{source.suffix}"
        path.write_bytes(data)
        yield damage.__name__, path


# ---- reading, in a worker ----


def read_clip(path: Path, decoder: str) -> str:
    """Read one clip like the inspection and the data loader; return the outcome."""
    try:
        with open_video(path, decoder) as video:
            video.examine()
            times = np.linspace(0, video.seconds, NUM_FRAMES, endpoint=False)
            video.frames_at(times, SHORT_SIDE_PX)
    except VideoError as error:
        (sentence,) = error.problems
        assert sentence.startswith(f"{path}: ") and "\n" not in sentence, sentence
        return NAMED
    return READABLE


def memory_mb() -> float:
    """Memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def work(pipe: Connection, decoder: str) -> None:
    """Answer each path with (outcome, what was raised, memory in MB), until the pipe is closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # FFmpeg's messages
    while True:
        try:
            path = pipe.recv()
        except EOFError:
            return
        try:
            outcome, raised = read_clip(path, decoder), ""
        except Exception as error:  # noqa: BLE001 (whatever else is raised is what we look for)
            outcome, raised = TRACEBACK, f"{type(error).__name__}: {error}"
        pipe.send((outcome, raised, memory_mb()))


class Worker:
    """A process that reads clips one at a time, restarted if it crashes or hangs."""

    def __init__(self, decoder: str) -> None:
        self._decoder = decoder
        self._memory: list[float] = []
        self.leak_mb = 0.0
        self.most_mb = 0.0
        self._start()

    def read(self, path: Path) -> tuple[str, str]:
        """Return the outcome for a clip, and what was raised."""
        self._pipe.send(path)
        try:
            if not self._pipe.poll(HANG_SEC):
                return self._replace(HANG)
            outcome, raised, memory = self._pipe.recv()
        except (EOFError, OSError):
            return self._replace(CRASH)
        self._memory.append(memory)
        self.most_mb = max(self.most_mb, memory)
        return outcome, raised

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.terminate()
        self._process.join()
        if len(self._memory) > WARM_UP_COPIES:
            # The lowest of the last few: memory that is used for a single clip is not a leak.
            self.leak_mb += max(0.0, min(self._memory[-10:]) - self._memory[WARM_UP_COPIES])
        self._memory = []

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, self._decoder), daemon=True)
        self._process.start()
        theirs.close()

    def _replace(self, outcome: str) -> tuple[str, str]:
        self._process.kill()
        self._process.join()
        raised = f"exit code {self._process.exitcode}"
        self.close()
        self._start()
        return outcome, raised


# ---- clips ----

MADE = (
    ("b_frames.mp4", "libx264", "yuv420p", {"g": "20"}),
    ("b_frames.mkv", "libx264", "yuv420p", {"g": "20"}),
    ("plain.avi", "mpeg4", "yuv420p", {"b": "1000k"}),
    ("plain.webm", "libvpx-vp9", "yuv420p", {"b": "1000k"}),
    ("hevc.mp4", "libx265", "yuv420p", {"x265-params": "log-level=none"}),
    ("stream.ts", "libx264", "yuv420p", {"g": "20"}),
    ("motion.mov", "mjpeg", "yuvj420p", {}),
    ("small.gif", "gif", "rgb8", {}),
)


def make_clips(folder: Path) -> list[Path]:
    """Write 2 s of moving texture with several codecs and containers."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (40, 60, 3), np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    paths = []
    for name, codec, pixels, options in MADE:
        if codec not in av.codecs_available:
            continue
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = 192, 128, pixels
            for number in range(50):
                view = np.ascontiguousarray(texture[number // 2 :][:128, number:][:, :192])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
            container.mux(stream.encode())
        paths.append(folder / name)
    return paths


def find_clips(given: Path | None, made: bool, folder: Path) -> list[Path]:
    """Return the clips to damage."""
    shared = Path(__file__).resolve().parents[2] / "shared" / "data" / "autox-demo"
    real = Path(os.environ.get("AUTOX_REAL_CLIPS", shared)) / "videos"
    if given is None and not made and real.is_dir():
        given = real
    if given is None:
        return make_clips(folder)
    clips = sorted(path for path in given.rglob("*") if path.is_file())
    return clips or sys.exit(f"{given}: there are no files in it")


# ---- report ----


def run(clips: list[Path], folder: Path, options: argparse.Namespace) -> bool:
    """Read all copies and print the table; return whether the claim is met."""
    table, seconds = defaultdict(Counter), [0.0]
    worker = Worker(options.decoder)
    for kind, path in damaged_copies(clips, folder, options.copies, options.seed):
        start = time.perf_counter()
        outcome, raised = worker.read(path)
        seconds.append(time.perf_counter() - start)
        table[kind][outcome] += 1
        if outcome in (CRASH, HANG, TRACEBACK):
            kept = Path(tempfile.gettempdir()) / f"fuzz_{options.seed}_{path.name}"
            path.rename(kept)
            print(f"{outcome} after {kind}: {kept} ({raised})")
        else:
            path.unlink()
    worker.close()
    print(f"{'damage':<14}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES))
    for kind, counts in table.items():
        print(f"{kind:<14}" + "".join(f"{counts[outcome]:>11}" for outcome in OUTCOMES))
    total = sum(table.values(), Counter())
    print(f"{'all':<14}" + "".join(f"{total[outcome]:>11}" for outcome in OUTCOMES))
    print(f"slowest copy {max(seconds):.2f} s (bar {HANG_SEC:g} s)")
    print(f"memory after - before {worker.leak_mb:.1f} MB (bar {BAR_LEAK_MB} MB), ", end="")
    print(f"at most {worker.most_mb:.0f} MB")
    return not total[CRASH] + total[HANG] + total[TRACEBACK] and worker.leak_mb <= BAR_LEAK_MB


def main() -> None:
    """Find or make the clips, damage and read them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, help="a folder of clips")
    parser.add_argument("--made", action="store_true", help="use clips made by this script")
    parser.add_argument("--copies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--decoder", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = find_clips(options.clips, options.made, Path(folder))
        print(f"{options.copies} damaged copies of {len(clips)} clips, seed {options.seed}")
        met = run(clips, Path(folder), options)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
