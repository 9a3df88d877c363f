"""Rules for the input clips (span, frames and resolution) and the number of test clips."""

import math

from autox_video.planning.choice import GIVEN, Choice, by_rule, by_user
from autox_video.planning.draft import Draft

LARGEST_SPAN_SEC = 8.0
"""Longest clip span that the rules choose; users can set a longer `video_length`."""
FEWEST_FRAMES = 8
MOST_FRAMES = {"cpu": 16, "cuda": 32}
NATIVE_SPANS = 2
"""Largest clip span, relative to the span that a published backbone was trained with."""
LARGEST_ROUND = 4
"""Largest number of test clips for a video of median length; longer videos get more rounds of test
clips (`video.sampling`)."""
SHARE_OF_SIDE = 0.6
ROOM_FOR_CROPS = 8 / 7
"""Ratio of the frames' short side to the resolution; 256 px for 224 px is common."""


def span_sec(video_length: float | None, seconds_median: float) -> float:
    """Return the clip span in seconds: `video_length`, or the median length up to a limit."""
    return min(seconds_median, LARGEST_SPAN_SEC) if video_length is None else float(video_length)


def count_test_clips(seconds_median: float, span_sec: float) -> int:
    """Return the number of test clips, spread over time, for a video of median length."""
    return max(1, min(LARGEST_ROUND, math.ceil(seconds_median / span_sec - 1e-6)))


def clip_len(draft: Draft) -> Choice:
    """Choose the number of frames per clip."""
    if draft.spec.frames is not None:
        return by_rule(draft.spec.frames, f"{draft.backbone} takes {draft.spec.frames} frames")
    most, rate = MOST_FRAMES[draft.device.partition(":")[0]], draft.spec.frames_per_sec
    span = _span_sec(draft)
    frames = min(max(2 * math.ceil(span * rate / 2), FEWEST_FRAMES), most)
    return by_rule(
        frames, f"{rate} frames/s over {span:.2g} s, at least {FEWEST_FRAMES}, at most {most}"
    )


def frame_interval_sec(draft: Draft) -> Choice:
    """Choose the time between two frames of a clip, in seconds."""
    span, seconds = _span_sec(draft), draft.stats.seconds_median
    interval_sec, why = span / draft.clip_len, f"a clip spans {span:.3g} s at any frame rate"
    if draft.asked("video_length") is None:
        return by_rule(interval_sec, why)
    why = f"{why}, {GIVEN}"
    if span - interval_sec > seconds:
        why += f"; half of the videos last {seconds:.3g} s or less and are repeated"
    return by_user(interval_sec, why)


def resolution(draft: Draft) -> Choice:
    """Choose the side length of the square input, in px."""
    largest = draft.spec.resolution
    if not draft.spec.follows_clips:
        return by_rule(largest, f"the resolution of {draft.backbone}")
    # 28 px is an attention window in the first stage of a Swin: 7 tokens of 4 px.
    wanted = 28 * round(draft.stats.short_side_median * SHARE_OF_SIDE / 28)
    why = f"about {SHARE_OF_SIDE:.0%} of the clips' short side, at most {largest}"
    return by_rule(min(max(wanted, largest // 2), largest), why)


def short_side(draft: Draft) -> Choice:
    """Choose the short side, in px, to which decoding scales down larger frames."""
    return by_rule(round(draft.resolution * ROOM_FOR_CROPS), "leaves room for random crops")


def test_clips(draft: Draft) -> Choice:
    """Choose the number of test clips per video, spread over time."""
    seconds = draft.stats.seconds_median
    why = f"covers {seconds:.3g} s, more for longer videos; three crops each, "
    clips = count_test_clips(seconds, draft.clip_len * draft.frame_interval_sec)
    return by_rule(clips, f"{why}probabilities averaged")


test_clips.__test__ = False  # otherwise, pytest would collect it in test files that import it


def _span_sec(draft: Draft) -> float:
    asked, native_sec = draft.asked("video_length"), draft.spec.span_sec
    span = span_sec(asked, draft.stats.seconds_median)
    return span if asked is not None or native_sec is None else min(span, NATIVE_SPANS * native_sec)
