"""What a clip is that the model sees: rules for its span, its frames, its side and the views."""

import math

from autox_video.planning.choice import GIVEN, Choice, by_rule, by_user
from autox_video.planning.draft import Draft

LARGEST_SPAN_SEC = 8.0
"""That the rules choose; a longer `video_length` is taken as it is."""
FEWEST_FRAMES = 8
MOST_FRAMES = {"cpu": 16, "cuda": 32}
LARGEST_ROUND = 4
"""Test clips of a video as long as most; longer ones have several rounds (`video.sampling`)."""
SHARE_OF_SIDE = 0.6
ROOM_FOR_CROPS = 8 / 7
"""The frames' shorter side over the model's: 256 for 224, as is usual."""


def span_sec(video_length: float | None, seconds_median: float) -> float:
    """Seconds of a video that one clip spans: what the user gave, or by the videos' length."""
    return min(seconds_median, LARGEST_SPAN_SEC) if video_length is None else float(video_length)


def count_test_clips(seconds_median: float, span_sec: float) -> int:
    """Clips taken over time from a video as long as most, in testing."""
    return max(1, min(LARGEST_ROUND, math.ceil(seconds_median / span_sec - 1e-6)))


def clip_len(draft: Draft) -> Choice:
    """Frames of a clip."""
    most, rate = MOST_FRAMES[draft.device.partition(":")[0]], draft.spec.frames_per_sec
    span = _span_sec(draft)
    frames = min(max(2 * math.ceil(span * rate / 2), FEWEST_FRAMES), most)
    return by_rule(frames, f"{rate} frames/s over {span:.2g} s, {FEWEST_FRAMES} to {most}")


def frame_interval_sec(draft: Draft) -> Choice:
    """Seconds between two frames of a clip."""
    span, seconds = _span_sec(draft), draft.stats.seconds_median
    interval_sec, why = span / draft.clip_len, f"the clip spans {span:.3g} s at any frame rate"
    if draft.asked("video_length") is None:
        return by_rule(interval_sec, why)
    why = f"{why}, {GIVEN}"
    if span - interval_sec > seconds:
        why += f"; half of the videos have {seconds:.3g} s or less and are repeated"
    return by_user(interval_sec, why)


def resolution(draft: Draft) -> Choice:
    """Side of the square that the model sees, in px."""
    largest = draft.spec.resolution
    if not draft.spec.follows_clips:
        return by_rule(largest, f"what {draft.backbone} is made for")
    # Multiples of 28: whole windows of 7 tokens of 4 px in the first stage of a Swin.
    wanted = 28 * round(draft.stats.short_side_median * SHARE_OF_SIDE / 28)
    why = f"about {SHARE_OF_SIDE:.0%} of the clips' short side, {largest} at most"
    return by_rule(min(max(wanted, largest // 2), largest), why)


def short_side(draft: Draft) -> Choice:
    """The shorter side to which larger frames are scaled down in decoding, in px."""
    return by_rule(round(draft.resolution * ROOM_FOR_CROPS), "room for crops; for larger frames")


def test_clips(draft: Draft) -> Choice:
    """Clips taken over time from a video in testing."""
    seconds = draft.stats.seconds_median
    why = f"to cover {seconds:.3g} s; more of a longer video; with three crops each, "
    clips = count_test_clips(seconds, _span_sec(draft))
    return by_rule(clips, f"{why}probabilities averaged")


test_clips.__test__ = False  # its name looks like a test to pytest where a test file imports it


def _span_sec(draft: Draft) -> float:
    return span_sec(draft.asked("video_length"), draft.stats.seconds_median)
