"""How much of a long clip is looked at: known before training, and said where it is not all."""

from collections.abc import Mapping, Sequence

from autox_video.core.durations import duration
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.video.sampling import LEAST_SEEN_SHARE, MOST_TEST_CLIPS, rounds_of


def mean_rounds(facts: Sequence[ClipFacts], span_sec: float, *, num_clips: int) -> float:
    """Return how often as many test clips are taken from a clip as from a short one, on average.

    Args:
        facts: of the clips to test; those that cannot be read do not count.
        span_sec: of one test clip.
        num_clips: test clips of a short clip.
    """
    readable = [clip.seconds for clip in facts if clip.error is None]
    rounds = [rounds_of(seconds, span_sec, num_clips=num_clips) for seconds in readable]
    return sum(rounds) / len(rounds) if rounds else 1.0


def notes_on_long_clips(
    splits: Mapping[str, ClipTable], span_sec: float, *, num_clips: int, probes: bool = False
) -> list[str]:
    """Return a sentence for validation and one for testing, where they see a part of clips only.

    Args:
        splits: the clips by the names of their splits, with what is known of them.
        span_sec: of one clip that the model sees.
        num_clips: such clips of a short clip, in testing.
        probes: whether all that is learnt from is features of one such clip of each.
    """
    most = num_clips * max(1, MOST_TEST_CLIPS // num_clips)
    learnt = _seen_in_part(splits.get("train") if probes else None, span_sec)
    validated = learnt or _seen_in_part(splits.get("val"), span_sec)
    tested = _seen_in_part(splits.get("test"), most * span_sec)
    notes = []
    if validated:
        what = "The probe learns from" if learnt else "Validation looks at"
        middle = f"the middle {span_sec:.3g} s of each clip"
        notes.append(f"{what} {middle}, which is {validated} `video_length` sets the span.")
    if tested:
        parts = f"{most} parts of {span_sec:.3g} s, spread evenly over the clip, at most"
        seen = "results.json has the share of each as `seen`."
        notes.append(f"Testing looks at {parts}, which is {tested} {seen}")
    return notes


def _seen_in_part(split: ClipTable | None, seen_sec: float) -> str | None:
    """Say of how many clips less is seen than should be, and of which the least."""
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
        f"less than {LEAST_SEEN_SHARE:.0%} of {len(lengths)} of them: {seen_sec / seconds:.1%} of "
        f"{path} ({duration(seconds)})."
    )
