"""Generate the demo data set: short clips of eight motions, none of which can be recognised from a
single frame.

A textured shape moves over a plain background. Four numbers describe the shape in a frame:
horizontal position, vertical position, rotation and size. In every clip, each of the four numbers
starts at a value drawn uniformly from its range. The class determines which number changes, and in
which direction. The number selected by the class changes at a constant speed and wraps around at
the end of its range. Wrapping keeps the distribution uniform: in every frame of every class, all
four numbers are independent and uniformly distributed, so a single frame carries no information
about the class.

Shape legend: T frames, H height, W width, S side of the sprite.
"""

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np

from autox_video.core.errors import InstallError, ListingError, ResourceError
from autox_video.core.files import atomic_write, write_json, write_text
from autox_video.data.loading.loader import ClipLoader

# For each motion: the index of the number that it changes (x, y, rotation or size), and the
# direction of the change. The y axis points down, so increasing rotation is clockwise on screen.
MOTIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "left": (0, -1),
        "right": (0, 1),
        "up": (1, -1),
        "down": (1, 1),
        "clockwise": (2, 1),
        "anticlockwise": (2, -1),
        "nearer": (3, 1),
        "farther": (3, -1),
    }
)
CLIPS_PER_CLASS: Mapping[str, int] = MappingProxyType({"train": 64, "val": 6, "test": 10})

HEIGHT_PX, WIDTH_PX = 96, 128
FPS_CHOICES = (24, 25, 30)
SECONDS_RANGE = (1.8, 2.2)
# Share of its range that each number (x, y, rotation, size) covers per second; a clip shows at most
# about one cycle. The share is lower for rotation, because its range is a full turn, which looks
# faster.
SPEED_RANGES = ((0.35, 0.5), (0.35, 0.5), (0.22, 0.32), (0.35, 0.5))
# These ranges are relative to the frame height. The shape stays inside the central square, which a
# centre crop keeps.
CENTRE_RANGE = (-0.24, 0.24)
RADIUS_RANGE = (0.12, 0.26)

_MARKER = "annotations/demo.json"
_VERSION = 1
_SPRITE_PX = 80
# The position of the shape's middle, and half its width, both relative to its reach from the pivot.
_PIVOT_SHIFT, _WIDTH = 0.2, 0.75
_TEXTURES = ("plain", "stripes", "spots")


@dataclass(frozen=True, slots=True)
class DemoClip:
    """A clip to generate; the four fields fully determine its content."""

    split: str
    label: str
    """The motion; a key of MOTIONS."""
    number: int
    """The clip's index among this split's clips with the same motion, counted from 0."""
    seed: int
    """The seed for the whole data set."""

    @property
    def name(self) -> str:
        """The clip's file name."""
        return f"{self.label}_{self.split}_{self.number:03d}.mp4"

    def rng(self) -> np.random.Generator:
        """Return the clip's random generator, which does not depend on the order of generation."""
        split, label = list(CLIPS_PER_CLASS).index(self.split), list(MOTIONS).index(self.label)
        return np.random.default_rng([self.seed, split, label, self.number])


def demo_clips(
    *, seed: int = 0, clips_per_class: Mapping[str, int] = CLIPS_PER_CLASS
) -> list[DemoClip]:
    """Return all clips of the demo, ordered by split, index and motion."""
    return [
        DemoClip(split, label, number, seed)
        for split, count in clips_per_class.items()
        for number in range(count)
        for label in MOTIONS
    ]


# ---- the data set on disk ----


def make_demo(
    root: str | Path,
    *,
    seed: int = 0,
    clips_per_class: Mapping[str, int] = CLIPS_PER_CLASS,
    on_done: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Write videos/*.mp4 and annotations/{train,val,test}_list.txt and classes.txt under `root`.

    The same seed always gives the same files. If some demo files are missing, only those are
    generated. Existing files are never changed or removed.

    Args:
        root: folder for the demo, created if needed.
        seed: 0 or more.
        clips_per_class: number of clips per motion in each split.
        on_done: called after each batch of clips with (clips done, clips in total).
        workers: number of worker processes; by default, one per core.

    Raises:
        ListingError: `root` contains a demo made with other settings, or unrelated files with the
            same names as demo files.
        ResourceError: `root` is not writable.
        InstallError: PyAV cannot encode H.264.
    """
    root = Path(root)
    if demo_is_complete(root):
        return
    marker = {"version": _VERSION, "seed": seed, "clips_per_class": dict(clips_per_class)}
    clips = demo_clips(seed=seed, clips_per_class=clips_per_class)
    _claim(root, marker, clips)
    for path, text in _lists(root, clips).items():
        if not path.exists():
            write_text(path, text)

    workers = workers or os.cpu_count()
    loader = ClipLoader(_Missing(root, clips), batch_size=4 * workers, workers=workers)
    order = range(len(clips))
    batches = [order[start : start + 4 * workers] for start in order[:: 4 * workers]]
    with closing(loader):
        for batch, _ in zip(batches, loader.read(order, batches), strict=True):
            if loader.broken:
                raise ResourceError(f"The demo cannot be generated: {min(loader.broken.values())}")
            if on_done is not None:
                on_done(batch.stop, len(clips))


@dataclass(frozen=True, slots=True)
class _Missing:
    """Demo clips as a data set for the loader; reading a clip generates its file if missing."""

    root: Path
    clips: Sequence[DemoClip]
    item_shape = (1,)

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, index: int) -> str:
        return self.clips[index].name

    def read(self, index: int, out: np.ndarray) -> None:
        path = self.root / "videos" / self.clips[index].name
        if not path.exists():
            content = encode_mp4(*draw_clip(self.clips[index]))
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)


def demo_is_complete(root: str | Path) -> bool:
    """Whether `make_demo` has finished in `root` and all demo files still exist."""
    root = Path(root)
    marker = _read_marker(root)
    if marker is None:
        return False
    clips = demo_clips(seed=marker["seed"], clips_per_class=marker["clips_per_class"])
    return all(path.is_file() for path in _files_of(root, clips))


def _claim(root: Path, marker: dict, clips: list[DemoClip]) -> None:
    """Mark `root` as a demo folder; raise ListingError if it contains other data."""
    before = _read_marker(root)
    if before is not None and any(before[key] != value for key, value in marker.items()):
        raise ListingError(
            f"{root / _MARKER}: there is already a demo with a different seed, version or "
            "number of clips; delete its folder or choose a different one."
        )
    taken = [path for path in _files_of(root, clips) if path.exists()]
    if before is None and taken:
        raise ListingError(
            f"{taken[0]}: the demo data set would be written here, but this file is not part of "
            "it; set data_root to another folder, or demo: false to use this data."
        )
    write_json(root / _MARKER, marker)


def _read_marker(root: Path) -> dict | None:
    """Return the contents of the marker file; None if it is missing or invalid."""
    try:
        marker = json.loads((root / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    keys = {"version", "seed", "clips_per_class"}
    return marker if isinstance(marker, dict) and keys <= marker.keys() else None


def _lists(root: Path, clips: list[DemoClip]) -> dict[Path, str]:
    """Return the contents of the list files, by path."""
    lines = {"classes.txt": list(MOTIONS)}
    for clip in clips:
        lines.setdefault(f"{clip.split}_list.txt", []).append(f"{clip.name} {clip.label}")
    return {root / "annotations" / name: "\n".join(lines[name]) + "\n" for name in lines}


def _files_of(root: Path, clips: list[DemoClip]) -> list[Path]:
    return [*_lists(root, clips), *(root / "videos" / clip.name for clip in clips)]


def encode_mp4(frames: np.ndarray, fps: int, *, crf: int = 14) -> bytes:
    """Return an MP4 file with one H.264 stream; the bytes are the same on every machine.

    Args:
        frames: RGB frames, (T, H, W, 3) uint8, with even height and width.
        fps: frames per second.
        crf: x264's constant rate factor; 14 is visually lossless, 0 is lossless.

    Raises:
        InstallError: PyAV cannot encode H.264.
    """
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="mp4") as container:
            # With more than one thread, the bytes would depend on the number of cores.
            options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "g": str(fps)}
            # Otherwise, x264's rounding would depend on memory alignment, and the bytes would vary.
            options["x264-params"] = "cpu-independent=1"
            stream = container.add_stream("libx264", rate=fps, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    except av.codec.codec.UnknownCodecError as error:
        raise InstallError(
            "The demo cannot be generated: this PyAV was built without libx264 and cannot encode "
            "H.264. Install the wheel with `pip install --force-reinstall --only-binary av av`."
        ) from error
    return file.getvalue()


# ---- the content of a clip ----


def draw_clip(clip: DemoClip) -> tuple[np.ndarray, int]:
    """Return a clip's frames, (T, H, W, 3) uint8 RGB, and its frame rate."""
    rng = clip.rng()
    fps = int(rng.choice(FPS_CHOICES))
    count = round(rng.uniform(*SECONDS_RANGE) * fps)
    states = motion_states(rng, clip.label, np.arange(count) / fps)
    background, sprite = _background(rng), _sprite(rng)
    frames = np.repeat(np.rint(background).astype(np.uint8)[None], count, axis=0)
    for frame, state in zip(frames, states, strict=True):
        _paint(frame, sprite, state)
    return frames, fps


def motion_states(rng: np.random.Generator, label: str, times_sec: np.ndarray) -> np.ndarray:
    """Return x, y, rotation and size over time in a random clip, as fractions of their ranges.

    The result is (T, 4) in [0, 1), one row for each time in `times_sec` (T,), in seconds from the
    start of the clip. Each row on its own is uniformly distributed, whatever the motion.
    """
    moved, direction = MOTIONS[label]
    states = np.repeat(rng.uniform(size=(1, 4)), len(times_sec), axis=0)
    states[:, moved] += direction * rng.uniform(*SPEED_RANGES[moved]) * times_sec
    return states % 1.0


def _background(rng: np.random.Generator) -> np.ndarray:
    """Return a dark background (H, W, 3) in 0..255, which has a gradient in half the clips."""
    colour = rng.uniform(10, 90, size=3)
    far_colour = np.clip(colour + rng.uniform(-25, 25, size=3) * rng.integers(2), 0, 100)
    down, across = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    bearing = rng.uniform(0, 2 * np.pi)
    ramp = across / WIDTH_PX * np.cos(bearing) + down / HEIGHT_PX * np.sin(bearing)
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    return colour + ramp[..., None] * (far_colour - colour)


def _sprite(rng: np.random.Generator) -> np.ndarray:
    """Return a textured polygon that rotates about one end, as RGB and coverage (S, S, 4).

    One side of the polygon has warm colours and the other has cold colours, so that the leading
    side shows the direction of rotation. With the same colours on both sides, a small model would
    need far more clips to learn the direction.
    """
    step = np.linspace(-1, 1, _SPRITE_PX)
    down, across = np.meshgrid(step, step, indexing="ij")
    along, beside = (across - _PIVOT_SHIFT) / (1 - _PIVOT_SHIFT), down / _WIDTH
    rgb = _colours(rng)[_texture(rng, along, beside)]
    coverage = _polygon(rng, along, beside)
    return np.concatenate([rgb, coverage[..., None]], axis=2).astype(np.float32)


def _texture(rng: np.random.Generator, along: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Return each pixel's colour index: 0 or 1 on one side of the polygon, 2 or 3 on the other."""
    kind = rng.choice(_TEXTURES)
    if kind == "plain":
        second = np.zeros(along.shape, dtype=int)
    elif kind == "stripes":
        second = (np.floor(along * rng.uniform(1.5, 2.5) + rng.uniform()) % 2).astype(int)
    else:
        second = (np.hypot(along - 0.3, np.abs(beside) - 0.3) < 0.3).astype(int)
    return 2 * (beside > 0) + second


def _polygon(rng: np.random.Generator, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the coverage (0..1) of a random, elongated polygon with 3 to 7 corners."""
    corners = int(rng.integers(3, 8))
    bearings = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.15, 0.15, corners)) / corners
    reach = rng.uniform(0.8, 1.0, corners)
    x, y = reach * np.cos(bearings), reach * np.sin(bearings) * rng.uniform(0.65, 0.9)
    edge_x, edge_y = np.roll(x, -1) - x, np.roll(y, -1) - y
    length = np.hypot(edge_x, edge_y)
    sides = zip(x, y, edge_x / length, edge_y / length, strict=True)
    depth = [ex * (down - cy) - ey * (across - cx) for cx, cy, ex, ey in sides]
    return np.clip(np.min(depth, axis=0) * _SPRITE_PX / 2 + 0.5, 0, 1)


def _colours(rng: np.random.Generator) -> np.ndarray:
    """Return two warm and two cold colours (4, 3), all of them brighter than any background."""
    strong, weak = rng.uniform(190, 255, size=4), rng.uniform(20, 90, size=4)
    middle = rng.uniform(60, 200, size=4)
    warm = np.stack([strong[:2], middle[:2], weak[:2]], axis=1)
    cold = np.stack([weak[2:], middle[2:], strong[2:]], axis=1)
    return np.concatenate([warm, cold])


def _paint(frame: np.ndarray, sprite: np.ndarray, state: np.ndarray) -> None:
    """Draw the sprite in the given state (4,) into a frame (H, W, 3) uint8, in place."""
    centre = np.array([WIDTH_PX, HEIGHT_PX]) / 2
    centre = centre + HEIGHT_PX * (CENTRE_RANGE[0] + state[:2] * np.ptp(CENTRE_RANGE))
    turn = 2 * np.pi * state[2]
    low, high = RADIUS_RANGE
    radius = HEIGHT_PX * low * (high / low) ** state[3]
    left, top = np.floor(centre - radius).astype(int)
    right, bottom = np.minimum(np.ceil(centre + radius).astype(int) + 1, (WIDTH_PX, HEIGHT_PX))
    window = frame[top:bottom, left:right]
    across = (np.arange(left, right, dtype=np.float32) - np.float32(centre[0])) / radius
    down = (np.arange(top, bottom, dtype=np.float32) - np.float32(centre[1]))[:, None] / radius
    colour = _sample(
        sprite,
        across * np.cos(turn) + down * np.sin(turn),
        down * np.cos(turn) - across * np.sin(turn),
    )
    window[:] = np.rint(window + colour[..., 3:] * (colour[..., :3] - window))


def _sample(sprite: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Sample the sprite bilinearly at coordinates in [-1, 1]; coverage is 0 outside."""
    last = _SPRITE_PX - 1
    column, row = (across + 1) / 2 * last, (down + 1) / 2 * last
    inside = (column >= 0) & (column <= last) & (row >= 0) & (row <= last)
    column, row = np.clip(column, 0, last - 1e-3), np.clip(row, 0, last - 1e-3)
    x, y = column.astype(int), row.astype(int)
    dx, dy = (column - x)[..., None], (row - y)[..., None]
    upper = sprite[y, x] + dx * (sprite[y, x + 1] - sprite[y, x])
    lower = sprite[y + 1, x] + dx * (sprite[y + 1, x + 1] - sprite[y + 1, x])
    colour = upper + dy * (lower - upper)
    colour[..., 3] *= inside
    return colour
