"""The first step of every pipeline: a clip's path → frames at the times that sampling gives.

What follows (resize, crop, flip, pack) are mmaction2's own transforms.
"""

import autox_video.mm_compat  # noqa: F401

from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from autox_video.dataset.decode import Video
from autox_video.dataset.sampling import test_times, train_times


@TRANSFORMS.register_module()
class DecodeClips(BaseTransform):
    """Decode `num_clips` clips of `clip_len` frames from one video.

    Reads `filename` (and `rng`, a numpy Generator, in training); adds `imgs`, a list of
    num_clips * clip_len frames (H, W, 3) uint8 RGB, clip after clip, and the keys that mmaction2's
    transforms expect beside it.

    Args:
        clip_len: frames in a clip.
        frame_interval_sec: seconds between two of them.
        num_clips: clips from one video; in training always 1.
        test_mode: evenly spread clips instead of one at a random time.

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
    ) -> None:
        self.clip_len = clip_len
        self.frame_interval_sec = frame_interval_sec
        self.num_clips = num_clips
        self.test_mode = test_mode

    def transform(self, results: dict) -> dict:
        """Add the frames to `results`; see the class for the keys."""
        with Video(results["filename"]) as video:
            frames = video.frames_at(self._times(video.seconds, results).reshape(-1))
        results["imgs"] = list(frames)
        results["num_clips"] = self.num_clips
        results["clip_len"] = self.clip_len
        results["img_shape"] = results["original_shape"] = frames.shape[1:3]
        results["modality"] = "RGB"
        return results

    def _times(self, seconds: float, results: dict):
        if self.test_mode:
            return test_times(
                seconds, self.clip_len, self.frame_interval_sec, num_clips=self.num_clips
            )
        return train_times(seconds, self.clip_len, self.frame_interval_sec, rng=results["rng"])
