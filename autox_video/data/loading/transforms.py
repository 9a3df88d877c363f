"""The two steps of every pipeline: read a clip's frames at sampled times, and crop views.

Both steps are mmaction2 transforms and can be combined with other transforms.

Shape legend: V views, T frames per view, S side of the square views in pixels.
"""

import math
from dataclasses import KW_ONLY, dataclass

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from autox_video.core.errors import VideoError
from autox_video.data.listing.reading.segments import part_of_video
from autox_video.data.loading.frame_cache import CachedClip, FrameCache, content_name
from autox_video.video.decoders.frame_rgb import WORTH_SCALING
from autox_video.video.files.remote_cache import local_path
from autox_video.video.open_video import open_video
from autox_video.video.sampling import (
    all_train_times,
    count_train_times,
    rounds_of,
    test_times,
    train_times,
)
from autox_video.video.video import Video

LARGEST_CACHED_BYTES = 256 << 20
"""Clips whose frames take more space than this (hours of video) are never cached."""

_TRIES_FOR_A_CROP = 10


@TRANSFORMS.register_module()
@dataclass(eq=False)
class ReadClips(BaseTransform):
    """Read `num_clips` clips of `clip_len` frames from one video, by decoding or from the cache.

    The transform reads the key `filename`; in training, `rng` (a NumPy Generator); optionally
    `segment`, the (start, end) of the clip in the video in seconds; and, in testing, `round`, the
    round of num_clips clips to read (see `sampling.rounds_of`). The transform adds `imgs`, a list
    of num_clips * clip_len frames (H, W, 3) uint8 RGB, clip by clip; `seconds`, the length of the
    video or segment; and the keys that mmaction2's transforms expect.

    Raises:
        VideoError: the clip cannot be read.
    """

    clip_len: int
    """Frames per clip."""
    frame_interval_sec: float
    """Seconds between frames."""
    _: KW_ONLY
    num_clips: int = 1
    """Clips per video."""
    test_mode: bool = False
    """Whether clips are spread evenly instead of being taken at random times."""
    jitter: bool = False
    """Whether frames are shifted randomly within their slots in training."""
    short_side: int | None = None
    """Short side, in px, to which frames are scaled if the video is at least twice as large; None:
    frames are never scaled. Smaller videos are not scaled here, since scaling frames twice by small
    factors blurs them."""
    decoder: str = "auto"
    """The config key `decoder`."""
    cache: dict | None = None
    """`folder` and `max_gib` of a FrameCache; None: always decode."""
    remote_cache: str = "auto"
    """The config key `remote_cache`."""

    def __post_init__(self) -> None:
        self.frame_cache = None if self.cache is None else FrameCache(**self.cache)
        self._slots = self.clip_len, self.frame_interval_sec

    def transform(self, results: dict) -> dict:
        """Add the frames to `results`; see the class for the keys."""
        segment = results.get("segment")
        name = None
        if self.frame_cache is not None and "round" not in results:
            which = self.num_clips if self.test_mode else f"jitter {self.jitter}"
            reading = (*self._slots, which, segment, self.short_side, self.decoder)
            name = content_name(results["filename"], repr(reading))
        cached = self.frame_cache.get(name) if name else None
        if cached is None:
            frames = self._decode(results, segment, name)
        else:
            frames = cached.frames_at(self._times(cached.seconds, results))
        size = frames[0].shape[:2]
        results |= {"imgs": frames, "num_clips": self.num_clips, "clip_len": self.clip_len}
        results |= {"img_shape": size, "original_shape": size, "modality": "RGB"}
        return results

    def _decode(self, results: dict, segment: tuple | None, name: str | None) -> list[np.ndarray]:
        path = local_path(results["filename"], self.remote_cache)
        with open_video(path, self.decoder) as video:
            start, seconds = extent(video, segment)
            times = self._times(seconds, results)
            short_side = decoded_side(video, self.short_side)
            if name is None or not self._is_worth_caching(video, seconds, short_side):
                return _frames_at(video, times + start, short_side)
            possible = self._all_times(seconds)
            frames = _frames_at(video, possible + start, short_side)
        clip = _without_repeats(seconds, possible, frames)
        self.frame_cache.put(name, clip)
        return clip.frames_at(times)

    def _times(self, seconds: float, results: dict) -> np.ndarray:
        results["seconds"] = seconds
        if not self.test_mode:
            options = {"rng": results["rng"], "jitter": self.jitter}
            clips = range(self.num_clips)
            return np.concatenate([train_times(seconds, *self._slots, **options) for _ in clips])
        rounds, number = 1, results.get("round", 0)
        if "round" in results:
            span_sec = self.clip_len * self.frame_interval_sec
            rounds = rounds_of(seconds, span_sec, num_clips=self.num_clips)
        times = test_times(seconds, *self._slots, num_clips=rounds * self.num_clips)
        return times.reshape(rounds, -1)[number]

    def _all_times(self, seconds: float) -> np.ndarray:
        """Return all times that can be requested, in order."""
        if self.test_mode:
            return np.unique(test_times(seconds, *self._slots, num_clips=self.num_clips))
        return all_train_times(seconds, *self._slots, jitter=self.jitter)

    def _is_worth_caching(self, video: Video, seconds: float, short_side: int | None) -> bool:
        scale = short_side / min(video.width, video.height) if short_side else 1.0
        frame_bytes = 3 * video.width * video.height * scale**2
        times = count_train_times(seconds, *self._slots, jitter=self.jitter)
        return times * frame_bytes <= LARGEST_CACHED_BYTES


def decoded_side(video: Video, short_side: int | None) -> int | None:
    """Return the short side, in px, to which frames are scaled; None if they are not scaled."""
    if short_side is None:
        return None
    is_large = min(video.width, video.height) >= WORTH_SCALING * short_side
    return short_side if is_large else None


def extent(video: Video, segment: tuple | None) -> tuple[float, float]:
    """Return the clip's start (from the video's first frame) and length, in seconds.

    Raises:
        VideoError: the segment is outside the video.
    """
    if segment is None:
        return 0.0, video.seconds
    try:
        return part_of_video(segment, video.start_sec, video.seconds)
    except ValueError as error:
        raise VideoError(f"{video.path}: {error}.") from error


def _frames_at(video: Video, times_sec: np.ndarray, short_side: int | None) -> list[np.ndarray]:
    """Return the frame at each time; duplicate times are decoded once."""
    unique, rows = np.unique(times_sec, return_inverse=True)
    frames = video.frames_at(unique, short_side)
    return [frames[row] for row in rows]


def _without_repeats(seconds: float, times: np.ndarray, frames: list[np.ndarray]) -> CachedClip:
    """Return a cached clip that stores each frame once, even if it is shown at several times."""
    is_new = [True] + [not np.array_equal(*pair) for pair in zip(frames[1:], frames, strict=False)]
    index = np.cumsum(is_new, dtype=np.int32) - np.int32(1)
    return CachedClip(seconds, times, index, np.stack([frames[i] for i in np.flatnonzero(is_new)]))


@TRANSFORMS.register_module()
@dataclass(eq=False)
class CropClips(BaseTransform):
    """Crop all frames of a clip in the same way and scale them to the model's input size.

    The transform reads the keys `imgs`, `num_clips`, `clip_len` and, for `random`, `rng`. The
    transform adds `inputs` (V, T, S, S, 3) uint8; if the key `out` is given, `inputs` is written
    into the array `out`.
    """

    side: int
    """Side of the views, in px."""
    crop: str
    """`random`: a random area and aspect ratio per clip (torchvision's RandomResizedCrop);
    `centre`: the largest square in the centre; `three`: the largest squares at both ends of the
    longer side and in the centre, three views per clip."""
    _: KW_ONLY
    area_range: tuple[float, float] = (0.08, 1.0)
    """Range of the crop's area relative to the frame's, for `random`."""
    aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of width / height, for `random`."""

    def __post_init__(self) -> None:
        if self.crop not in ("random", "centre", "three"):
            raise ValueError(f"crop must be random, centre or three, not {self.crop!r}")

    def transform(self, results: dict) -> dict:
        """Add the views to `results`; see the class for the keys."""
        frames, length = results["imgs"], results["clip_len"]
        clips = [frames[i : i + length] for i in range(0, len(frames), length)]
        boxes = [(clip, box) for clip in clips for box in self._boxes(clip[0], results)]
        out = results.get("out")
        if out is None:
            out = np.empty((len(boxes), length, self.side, self.side, 3), dtype=np.uint8)
        for view, (clip, (top, left, height, width)) in zip(out, boxes, strict=True):
            for scaled, frame in zip(view, clip, strict=True):
                part = frame[top : top + height, left : left + width]
                if part.shape == scaled.shape:
                    scaled[...] = part
                else:
                    size = (self.side, self.side)
                    cv2.resize(part, size, dst=scaled, interpolation=cv2.INTER_LINEAR)
        results["inputs"] = out
        return results

    def _boxes(self, frame: np.ndarray, results: dict) -> list[tuple[int, int, int, int]]:
        height, width = frame.shape[:2]
        if self.crop == "random":
            ranges = self.area_range, self.aspect_ratio_range
            return [random_box(height, width, *ranges, rng=results["rng"])]
        side = min(height, width)
        down, across = height - side, width - side
        parts = (0.5,) if self.crop == "centre" else (0.0, 0.5, 1.0)
        return [(round(down * part), round(across * part), side, side) for part in parts]


def random_box(
    height: int,
    width: int,
    area_range: tuple[float, float],
    aspect_ratio_range: tuple[float, float],
    *,
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Return a random crop as (top, left, height, width).

    As in "Going deeper with convolutions" (2014), the area is distributed uniformly and the aspect
    ratio log-uniformly. If none of ten random crops fits into the frame, the crop is the largest
    centre crop with an aspect ratio in the range.
    """
    low, high = aspect_ratio_range
    for _ in range(_TRIES_FOR_A_CROP):
        area = height * width * rng.uniform(*area_range)
        ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return int(top), int(left), h, w
    w = min(width, round(height * high))
    h = min(height, round(width / low))
    return (height - h) // 2, (width - w) // 2, h, w
