"""The two steps of every pipeline: a clip's path → frames at the times that sampling gives → views.

Both are mmaction2 transforms, so that others of them may stand before, between and behind.

Shape legend: V views, T frames of one, S side of the square in pixels.
"""

import math

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from autox_video.core.errors import VideoError
from autox_video.data.listing.reading.segments import part_of_video
from autox_video.data.loading.frame_cache import CachedClip, FrameCache, content_name
from autox_video.video.decode import Video
from autox_video.video.decoders.frame_rgb import WORTH_SCALING
from autox_video.video.files.remote_cache import local_path
from autox_video.video.sampling import (
    all_train_times,
    count_train_times,
    rounds_of,
    test_times,
    train_times,
)

LARGEST_CACHED_BYTES = 256 << 20
"""A clip whose frames would take more is decoded each time: hours of video, say."""

_TRIES_FOR_A_CROP = 10


@TRANSFORMS.register_module()
class ReadClips(BaseTransform):
    """Read `num_clips` clips of `clip_len` frames from one video, by decoding or from the cache.

    Reads `filename`, in training `rng` (a NumPy Generator), and `segment` where there is one: the
    (start, end) in seconds that the clip has in the video. In testing, `round` asks for one of the
    rounds of num_clips clips that a video of its length takes (`sampling.rounds_of`), counted from
    0. Adds `imgs`, a list of num_clips * clip_len frames (H, W, 3) uint8 RGB, clip after clip,
    `seconds`, the length of the clip, and the keys that mmaction2's transforms expect beside them.

    Args:
        clip_len: frames in a clip.
        frame_interval_sec: seconds between two of them.
        num_clips: clips from one video.
        test_mode: evenly spread clips instead of each at a random time.
        jitter: whether in training each frame is moved in its slot of time at random.
        short_side: frames whose shorter side is at least twice as long are scaled down to it on the
            way, in px; None leaves all as they are. Scaled twice by a little, pictures get blurred.
        decoder: which one, as in config.yaml.
        cache: `folder` and `max_gib` of a FrameCache; None always decodes.
        remote_cache: where clips from elsewhere are kept, as in config.yaml.

    Raises:
        VideoError: the clip cannot be read.
    """

    def __init__(
        self,
        clip_len: int,
        frame_interval_sec: float,
        *,
        num_clips: int = 1,
        test_mode: bool = False,
        jitter: bool = False,
        short_side: int | None = None,
        decoder: str = "auto",
        cache: dict | None = None,
        remote_cache: str = "auto",
    ) -> None:
        self.clip_len = clip_len
        self.frame_interval_sec = frame_interval_sec
        self.num_clips = num_clips
        self.test_mode = test_mode
        self.jitter = jitter
        self.short_side = short_side
        self.decoder = decoder
        self.cache = FrameCache(**cache) if cache is not None else None
        self.remote_cache = remote_cache

    def transform(self, results: dict) -> dict:
        """Add the frames to `results`; see the class for the keys."""
        segment = results.get("segment")
        name = None if "round" in results else self._cached_name(results["filename"], segment)
        cached = self.cache.get(name) if name else None
        if cached is None:
            frames = self._decode(results, segment, name)
        else:
            frames = cached.frames_at(self._times(cached.seconds, results))
        results["imgs"] = frames
        results["num_clips"] = self.num_clips
        results["clip_len"] = self.clip_len
        results["img_shape"] = results["original_shape"] = frames[0].shape[:2]
        results["modality"] = "RGB"
        return results

    def _decode(self, results: dict, segment: tuple | None, name: str | None) -> list[np.ndarray]:
        path = local_path(results["filename"], self.remote_cache)
        with Video(path, self.decoder) as video:
            start, seconds = _extent(video, segment)
            times = self._times(seconds, results)
            if name is None or not self._is_worth_keeping(video, seconds):
                return _each(video, times + start, self._scaled_to(video))
            possible = self._all_times(seconds)
            frames = _each(video, possible + start, self._scaled_to(video))
        clip = _without_repeats(seconds, possible, frames)
        self.cache.put(name, clip)
        return clip.frames_at(times)

    def _times(self, seconds: float, results: dict) -> np.ndarray:
        results["seconds"] = seconds
        clip = seconds, self.clip_len, self.frame_interval_sec
        if self.test_mode and "round" in results:
            span_sec = self.clip_len * self.frame_interval_sec
            rounds = rounds_of(seconds, span_sec, num_clips=self.num_clips)
            every = test_times(*clip, num_clips=rounds * self.num_clips)
            return every.reshape(rounds, -1)[results["round"]]
        if self.test_mode:
            return test_times(*clip, num_clips=self.num_clips).reshape(-1)
        rng = results["rng"]
        drawn = [train_times(*clip, rng=rng, jitter=self.jitter) for _ in range(self.num_clips)]
        return np.concatenate(drawn)

    def _all_times(self, seconds: float) -> np.ndarray:
        clip = seconds, self.clip_len, self.frame_interval_sec
        if self.test_mode:
            return np.unique(test_times(*clip, num_clips=self.num_clips))
        return all_train_times(*clip, jitter=self.jitter)

    def _scaled_to(self, video: Video) -> int | None:
        if self.short_side is None:
            return None
        large = min(video.width, video.height) >= WORTH_SCALING * self.short_side
        return self.short_side if large else None

    def _is_worth_keeping(self, video: Video, seconds: float) -> bool:
        short_side = min(video.width, video.height)
        scale = (self._scaled_to(video) or short_side) / short_side
        frame_bytes = 3 * video.width * video.height * scale**2
        clip = seconds, self.clip_len, self.frame_interval_sec
        count = count_train_times(*clip, jitter=self.jitter)
        return count * frame_bytes <= LARGEST_CACHED_BYTES

    def _cached_name(self, filename: str, segment: tuple | None) -> str | None:
        if self.cache is None:
            return None
        which = self.num_clips if self.test_mode else f"jitter {self.jitter}"
        times = (self.clip_len, self.frame_interval_sec, which, segment)
        return content_name(filename, repr((*times, self.short_side, self.decoder)))


def _extent(video: Video, segment: tuple | None) -> tuple[float, float]:
    """Give where in the video the clip begins, from its first frame, and how long it is; seconds.

    What is not given by a segment covers all frames.
    """
    if segment is None:
        return 0.0, video.seconds
    try:
        return part_of_video(segment, video.start_sec, video.seconds)
    except ValueError as error:
        raise VideoError(f"{video.path}: {error}.") from error


def _each(video: Video, times_sec: np.ndarray, short_side: int | None) -> list[np.ndarray]:
    """Give the frame at each time; one that is asked for twice is decoded once."""
    unique, places = np.unique(times_sec, return_inverse=True)
    frames = video.frames_at(unique, short_side)
    return [frames[place] for place in places]


def _without_repeats(seconds: float, times: np.ndarray, frames: list[np.ndarray]) -> CachedClip:
    """Make a cached clip in which a frame that is on screen at several times is held once."""
    kept: list[np.ndarray] = []
    index = []
    for frame in frames:
        if not kept or not np.array_equal(frame, kept[-1]):
            kept.append(frame)
        index.append(len(kept) - 1)
    return CachedClip(seconds, times, np.array(index, dtype=np.int32), np.stack(kept))


@TRANSFORMS.register_module()
class CropClips(BaseTransform):
    """Cut a square out of the frames and scale it to the model's size: the same in all of a clip.

    Reads `imgs`, `num_clips`, `clip_len`, and `rng` for `random`; adds `inputs` (V, T, S, S, 3)
    uint8, written into `out` where that is given. `random` takes a random part of the area in a
    random shape, one for each clip (torchvision's RandomResizedCrop); `centre` the largest square
    in the middle; `three` the largest at both ends of the longer side and in the middle, so that
    there are three views of each clip.

    Args:
        side: of the views, in px.
        crop: `random`, `centre` or `three`.
        area_range: least and greatest share of the frame's area, for `random`.
        aspect_ratio_range: least and greatest width over height, for `random`.
    """

    def __init__(
        self,
        side: int,
        crop: str,
        *,
        area_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        if crop not in ("random", "centre", "three"):
            raise ValueError(f"crop must be random, centre or three, not {crop!r}")
        self.side = side
        self.crop = crop
        self.area_range = tuple(area_range)
        self.aspect_ratio_range = tuple(aspect_ratio_range)

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
                self._scale(part, scaled)
        results["inputs"] = out
        return results

    def _boxes(self, frame: np.ndarray, results: dict) -> list[tuple[int, int, int, int]]:
        height, width = frame.shape[:2]
        if self.crop == "random":
            box = random_box(
                height, width, self.area_range, self.aspect_ratio_range, rng=results["rng"]
            )
            return [box]
        side = min(height, width)
        room = height - side, width - side
        shares = (0.5,) if self.crop == "centre" else (0.0, 0.5, 1.0)
        return [(round(room[0] * s), round(room[1] * s), side, side) for s in shares]

    def _scale(self, part: np.ndarray, scaled: np.ndarray) -> None:
        if part.shape == scaled.shape:
            scaled[...] = part
            return
        size = (self.side, self.side)
        cv2.resize(part, size, dst=scaled, interpolation=cv2.INTER_LINEAR)


def random_box(
    height: int,
    width: int,
    area_range: tuple[float, float],
    aspect_ratio_range: tuple[float, float],
    *,
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Give (top, left, height, width) of a random part, by the rule of "Going deeper with
    convolutions" (2014): area uniform, logarithm of the aspect ratio uniform; where ten tries do
    not fit, the largest part in the middle whose aspect ratio is in range.
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
