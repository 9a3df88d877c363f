"""What a clip is that the model sees: rules for its span, its frames, its side and the views."""

import math

from autox_video.backbones.specs import BACKBONES, NANO
from autox_video.config.settings import AUTO, Settings
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.machine.hardware import Hardware
from autox_video.planning.source import GIVEN, RULE, USER, Choice, Chosen

LARGEST_SPAN_SEC = 8.0
"""That the rules choose; a longer `video_length` is taken as it is."""
FEWEST_FRAMES = 8
MOST_FRAMES = {"cpu": 16, "cuda": 32}
LARGEST_ROUND = 4
"""Test clips of a video as long as most; longer ones have several rounds (`dataset.sampling`)."""
NANO_SHARE_OF_SIDE = 0.6


def span(settings: Settings, seconds_median: float) -> float:
    """Give the seconds of a video that one clip spans, of videos of that length."""
    if settings.video_length != AUTO:
        return float(settings.video_length)
    return min(seconds_median, LARGEST_SPAN_SEC)


def clip_len(span_sec: float, backbone: str, hardware: Hardware) -> Chosen:
    """Frames of a clip."""
    most = MOST_FRAMES[hardware.device.partition(":")[0]]
    rate = BACKBONES[backbone].frames_per_sec
    frames = min(max(2 * math.ceil(span_sec * rate / 2), FEWEST_FRAMES), most)
    return frames, f"{rate} frames/s over {span_sec:.2g} s, {FEWEST_FRAMES} to {most}"


def frame_interval(span_sec: float, clip_len: int, *, given: bool, stats: DatasetStats) -> Choice:
    """Seconds between two frames of a clip; `given`: whether the user gave the span."""
    interval_sec, why = span_sec / clip_len, f"the clip spans {span_sec:.3g} s at any frame rate"
    if not given:
        return Choice(interval_sec, why)
    why = f"{why}, {GIVEN}"
    if span_sec - interval_sec > stats.seconds_median:
        why += f"; half of the videos have {stats.seconds_median:.3g} s or less and are repeated"
    return Choice(interval_sec, why, USER)


def resolution(backbone: str, stats: DatasetStats) -> Chosen:
    """Side of the square that the model sees, in px."""
    facts = BACKBONES[backbone]
    if backbone not in NANO:
        return facts.resolution, f"what {backbone} is made for"
    # Multiples of 28: whole windows of 7 tokens of 4 px in the first stage of a Swin.
    wanted = 28 * round(stats.short_side_median * NANO_SHARE_OF_SIDE / 28)
    side = min(max(wanted, facts.resolution // 2), facts.resolution)
    share = f"about {NANO_SHARE_OF_SIDE:.0%} of the clips' short side"
    return side, f"{share}, {facts.resolution} at most"


def test_clips(length_sec: float, span_sec: float) -> Choice:
    """Clips taken over time from a video as long as most, in testing."""
    clips = max(1, min(LARGEST_ROUND, math.ceil(length_sec / span_sec - 1e-6)))
    why = f"to cover {length_sec:.3g} s; more of a longer video; with three crops each, "
    return Choice(clips, f"{why}probabilities averaged", RULE)


test_clips.__test__ = False  # its name looks like a test to pytest where a test file imports it
