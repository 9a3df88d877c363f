"""Find clips that are listed more than once, either in one list or across two lists."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from autox_video.core.wording import at_most, counted
from autox_video.data.clip_table import LABELS_JOINED_BY, ClipTable, Splits, parts_of, video_keys


def drop_repeats(
    clips: ClipTable, data_root: str | Path, *, multi_label: bool = False
) -> tuple[ClipTable, list[str], list[str]]:
    """Return a table without repeated clips, the problems (conflicting labels), and notes.

    In multi-label data, a clip on several lines gets the labels from all of these lines. Two
    segments of a video count as two clips.
    """
    repeats = _repeats(clips, data_root)
    if not repeats:
        return clips, [], []
    first, again = repeats[0]
    notes = [
        f"{clips.source}: {counted(len(repeats), 'duplicate line')} ignored, for example "
        f"{clips.location(again)}, which repeats {clips.location(first)}."
    ]
    repeated = {row for _, row in repeats}
    once = [row for row in range(len(clips)) if row not in repeated]
    labels = list(clips.labels or [""] * len(clips))
    differing = [(first, row) for first, row in repeats if labels[first] != labels[row]]
    if not multi_label:
        problems = (
            f"{clips.location(row)}: clip `{clips.paths[row]}` has the label `{labels[row]}` here "
            f"but `{labels[first]}` at {clips.location(first)}; keep one of the two lines."
            for first, row in differing
        )
        return clips.select(once), at_most(problems), notes
    for first, row in differing:
        parts = dict.fromkeys((*parts_of(labels[first]), *parts_of(labels[row])))
        labels[first] = LABELS_JOINED_BY.join(parts)
    joined = replace(clips, labels=clips.labels and labels)
    return joined.select(once), [], notes if joined.labels == clips.labels else []


def _repeats(clips: ClipTable, data_root: str | Path) -> list[tuple[int, int]]:
    """Return (first row, row) for each row that repeats an earlier clip."""
    first: dict[object, int] = {}
    identities = enumerate(clips.identities(data_root))
    return [(first[key], row) for row, key in identities if first.setdefault(key, row) != row]


def say_several_labels(splits: Splits) -> list[str]:
    """Report that some clips have several classes, which makes training multi-label."""
    labelled = [clips for clips in splits.values() if clips.labels is not None]
    joined = {text for clips in labelled for text in set(clips.labels) if len(parts_of(text)) > 1}
    several = [(clips, i) for clips in labelled for i, t in enumerate(clips.labels) if t in joined]
    if not several:
        return []
    clips, first = several[0]
    total = counted(sum(map(len, labelled)), "clip")
    return [
        f"Labels with several classes in {len(several)} of {total}, for example "
        f"`{clips.labels[first]}` at {clips.location(first)}: training is multi-label (per-class "
        "sigmoid) and the main metric is mAP. Set multi_label: false if each label is one class."
    ]


def say_overlapping_parts(clips: ClipTable, data_root: str | Path) -> list[str]:
    """Report segments that overlap by half or more although their labels differ."""
    if clips.segments is None or clips.labels is None:
        return []
    keys = video_keys(clips.paths, data_root)
    order = sorted(range(len(clips)), key=lambda row: (keys[row], clips.segments[row]))
    pairs = [(a, b) for a, b in pairwise(order) if keys[a] == keys[b] and _overlap(clips, a, b)]
    if not pairs:
        return []
    example = " and ".join(f"{clips.location(row)} ({clips.labels[row]})" for row in pairs[0])
    return [
        f"{clips.source}: {counted(len(pairs), 'pair')} of segments with different labels overlap "
        f"by half or more, for example {example}."
    ]


def _overlap(clips: ClipTable, a: int, b: int) -> bool:
    """Whether two segments with different labels overlap by at least half of the shorter one."""
    (start_a, end_a), (start_b, end_b) = clips.segments[a], clips.segments[b]
    common = min(end_a, end_b) - max(start_a, start_b)
    overlap_by_half = common > 0 and 2 * common >= min(end_a - start_a, end_b - start_b)
    return overlap_by_half and clips.labels[a] != clips.labels[b]


def same_clip_twice(splits: Splits, data_root: str | Path) -> list[str]:
    """Report validation clips that are also training clips, one message each."""
    train, val = splits["train"], splits["val"]
    return at_most(
        f"{val.location(b)}: clip `{val.paths[b]}` is also a training clip ({train.location(a)}); "
        "validation clips must not be used for training."
        for a, b in _common(train, val, data_root)
    )


def _common(a: ClipTable, b: ClipTable, data_root: str | Path) -> list[tuple[int, int]]:
    """Return (row in `a`, row in `b`) for each clip in both tables, in the order of `b`."""
    if (a.segments is None) == (b.segments is None):
        keys_a, keys_b = a.identities(data_root), b.identities(data_root)
    else:
        # A whole video and a segment of it count as the same clip.
        keys_a, keys_b = video_keys(a.paths, data_root), video_keys(b.paths, data_root)
    common = set(keys_a).intersection(keys_b)
    row_of = {key: row for row, key in enumerate(keys_a) if key in common}
    return [(row_of[key], row) for row, key in enumerate(keys_b) if key in common]


def say_overlaps(splits: Splits, data_root: str | Path) -> Iterator[str]:
    """Report test clips that are also in other splits, and videos with segments in two splits."""
    train, test = splits["train"], splits.get("test")
    in_parts = {name: clips for name, clips in splits.items() if clips.segments is not None}
    for name in ("val", "test") if "train" in in_parts else ():
        videos = set(video_keys(train.paths, data_root))
        keys = video_keys(splits[name].paths, data_root) if name in in_parts else ()
        if common := len(videos.intersection(keys)):
            yield (
                f"{counted(common, 'video')} with segments in both the train and the {name} list: "
                f"the {name} metrics will be too optimistic for new videos."
            )
    for name, why in (
        ("train", "the model has seen them"),
        ("val", "they select the best checkpoint"),
    ):
        if test and name in splits and (common := len(_common(splits[name], test, data_root))):
            yield (
                f"The test split shares {common} of its {counted(len(test), 'clip')} with the "
                f"{name} split: {why}, so the test metrics will be too optimistic."
            )
