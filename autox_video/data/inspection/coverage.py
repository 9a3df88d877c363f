"""How much of a long clip is looked at: known before training, and said where it is not all."""

from collections.abc import Mapping, Sequence

from autox_video.core.durations import duration
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.inspection.inspected_listing import ProbedSplit
from autox_video.video.sampling import LEAST_SEEN_SHARE, MOST_TEST_CLIPS, rounds_of


def mean_rounds(facts: Sequence[ClipFacts], span_sec: float, *, num_clips: int) -> float:
    """Give how often as many test clips are taken from a clip as from a short one, on average.

    Args:
        facts: of the clips to test; those that cannot be read do not count.
        span_sec: of one test clip.
        num_clips: test clips of a short clip.
    """
    readable = [each.seconds for each in facts if each.error is None]
    rounds = [rounds_of(seconds, span_sec, num_clips=num_clips) for seconds in readable]
    return sum(rounds) / len(rounds) if rounds else 1.0


def notes_on_long_clips(
    splits: Mapping[str, ProbedSplit], span_sec: float, *, num_clips: int, probes: bool = False
) -> list[str]:
    """Give a sentence for validation and one for testing, where they see a part of clips only.

    Args:
        splits: the clips by the names of their splits, with what is known of them.
        span_sec: of one clip that the model sees.
        num_clips: such clips of a short clip, in testing.
        probes: whether all that is learnt from is features of one such clip of each.
    """
    notes = []
    learnt = _partly_seen(splits.get("train"), span_sec, most=1) if probes else []
    if longest := learnt or _partly_seen(splits.get("val"), span_sec, most=1):
        what = "The probe learns from" if learnt else "Validation looks at"
        notes.append(
            f"{what} the middle {span_sec:.3g} s of each clip, which is "
            f"{_less_than_all(longest, span_sec)} `video_length` sets the span."
        )
    most = num_clips * max(1, MOST_TEST_CLIPS // num_clips)
    if longest := _partly_seen(splits.get("test"), span_sec, most=most):
        notes.append(
            f"Testing looks at {most} parts of {span_sec:.3g} s, spread evenly over the clip, at "
            f"most, which is {_less_than_all(longest, most * span_sec)} results.json has the share "
            "of each as `seen`."
        )
    return notes


def _partly_seen(
    split: ProbedSplit | None, span_sec: float, *, most: int
) -> list[tuple[float, str]]:
    """Length and path of each clip of which less is seen than should be, the longest first."""
    if split is None:
        return []
    lengths = [
        (fact.seconds, path)
        for fact, path in zip(split.facts, split.clips.paths, strict=True)
        if fact.error is None and most * span_sec < LEAST_SEEN_SHARE * fact.seconds - 1e-6
    ]
    return sorted(lengths, reverse=True)


def _less_than_all(longest: Sequence[tuple[float, str]], seen_sec: float) -> str:
    seconds, path = longest[0]
    return (
        f"less than {LEAST_SEEN_SHARE:.0%} of {len(longest)} of them: {seen_sec / seconds:.1%} of "
        f"{path} ({duration(seconds)})."
    )
