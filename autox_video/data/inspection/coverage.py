"""Before training, report how much of each long clip validation and testing will cover."""

from collections.abc import Mapping, Sequence

from autox_video.core.durations import duration
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.video.sampling import LEAST_SEEN_SHARE, MOST_TEST_CLIPS, rounds_of


def mean_rounds(facts: Sequence[ClipFacts], span_sec: float, *, num_clips: int) -> float:
    """Return the average number of rounds of test clips per video; a short video has one round.

    Args:
        facts: facts about the videos to test; unreadable videos are not counted.
        span_sec: span of one test clip, in seconds.
        num_clips: number of test clips per round.
    """
    readable = [clip.seconds for clip in facts if clip.error is None]
    rounds = [rounds_of(seconds, span_sec, num_clips=num_clips) for seconds in readable]
    return sum(rounds) / len(rounds) if rounds else 1.0


def notes_on_long_clips(
    splits: Mapping[str, ClipTable], span_sec: float, *, num_clips: int, probes: bool = False
) -> list[str]:
    """Return notes if validation or testing covers only part of some clips.

    Args:
        splits: inspected clips by split name.
        span_sec: span of one model input, in seconds.
        num_clips: number of test clips per round.
        probes: whether a probe is trained; a probe uses only the middle `span_sec` of each video.
    """
    most = num_clips * max(1, MOST_TEST_CLIPS // num_clips)
    learnt = _seen_in_part(splits.get("train") if probes else None, span_sec)
    validated = learnt or _seen_in_part(splits.get("val"), span_sec)
    tested = _seen_in_part(splits.get("test"), most * span_sec)
    notes = []
    if validated:
        what = "The probe is trained on" if learnt else "Validation sees"
        middle = f"the middle {span_sec:.3g} s of each clip"
        notes.append(f"{what} {middle}, {validated} Set `video_length` to change the span.")
    if tested:
        parts = f"at most {most} segments of {span_sec:.3g} s per clip, spread evenly"
        seen = "results.json gives the share of each clip as `seen`."
        notes.append(f"Testing sees {parts}, {tested} {seen}")
    return notes


def _seen_in_part(split: ClipTable | None, seen_sec: float) -> str | None:
    """Return a clause about how many clips are only partly covered, and which is covered least."""
    if split is None:
        return None
    lengths = [
        (fact.seconds, path)
        for fact, path in zip(split.facts, split.paths, strict=True)
        if fact.error is None and seen_sec < LEAST_SEEN_SHARE * fact.seconds - 1e-6
    ]
    if not lengths:
        return None
    seconds, path = max(lengths)
    return (
        f"which is less than {LEAST_SEEN_SHARE:.0%} of {counted(len(lengths), 'clip')} (only "
        f"{seen_sec / seconds:.1%} of {path}, which lasts {duration(seconds)})."
    )
