"""The job that inspects every clip and reports what is wrong with the data."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

from autox_video.automl.clip_review import verdict
from autox_video.automl.prepare import check_work_dir, inspect, read_data
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import say, short_path, showing, table
from autox_video.core.files import write_json
from autox_video.core.wording import counted
from autox_video.data.inspection.coverage import notes_on_long_clips
from autox_video.data.inspection.health import Health, good_clips, report
from autox_video.data.listing.listing import restore_split
from autox_video.data.listing.written_list import write_list
from autox_video.planning import clip_shape
from autox_video.run.work_dir import CHECK, CHECK_REPORT
from autox_video.video.open_video import check_decoder

ALL_CLASSES_UP_TO, SHOWN_CLASSES, EXAMPLES = 20, 10, 3

Findings = Iterator[tuple[str, Sequence[str]]]
"""Iterator over kinds of problems, each with all the places where it occurs."""


def check(settings: Settings) -> dict[str, Any]:
    """Inspect every listed clip; show and return the report, and write WORK_DIR/check/check.json.

    Clip lists without the bad clips (see `health.good_clips`) are also written to that folder.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
    """
    with showing(settings.verbose):
        return _check(settings)


def _check(settings: Settings) -> dict[str, Any]:
    folder = Path(settings.work_dir, CHECK)
    check_work_dir(folder)
    check_decoder(settings.decoder)
    listing = restore_split(read_data(settings))
    for note in listing.notes:
        say(note)
    inspected = inspect(listing, workers=settings.workers, remote_cache=settings.remote_cache)
    health = Health(inspected)
    content, good = report(health), good_clips(health)
    content["refused"], notes = verdict(inspected, strict=settings.strict)
    content["notes"] += notes
    content["left_out"] = {name: len(health.splits[name]) - len(good[name]) for name in good}
    for note in [*inspected.notes[len(listing.notes) :], *notes]:
        say(note)
    for name, numbers in good.items():
        write_list(folder / f"{name}.csv", health.splits[name].select(numbers))
    write_json(folder / CHECK_REPORT, content)
    show(content, in_tables=settings.verbose is True)
    length = None if settings.video_length == AUTO else settings.video_length
    for note in _notes_on_long_clips(health, length):
        say(note)
    lists = ", ".join(f"{name}.csv ({len(numbers)} clips)" for name, numbers in good.items())
    say(f"Report: {short_path(folder / CHECK_REPORT)}")
    say(f"Lists without the bad clips, in the same folder: {lists}")
    return content


def show(content: Mapping[str, Any], *, in_tables: bool) -> None:
    """Print the content of check.json, as tables or with one line per split and finding."""
    findings = [*_clip_findings(content), *_class_findings(content)]
    rows = [(what, len(where), list(where[:EXAMPLES])) for what, where in findings if where]
    if in_tables:
        columns = ("split", "clips", "readable", "recordings", "seconds", "frames/s", "size")
        splits = (_split_row(*item) for item in content["splits"].items())
        table("Clips", (*columns, "codecs"), splits)
        _show_classes(content)
    else:
        for name, figures in content["splits"].items():
            say(_split_line(name, figures))
        say(_class_line(content))
    if not rows:
        what = "Nothing else is wrong" if content["notes"] else "Nothing is wrong"
        say(f"{what} with the clips.")
    elif in_tables:
        table("Findings", ("what", "count", "for example"), rows)
    else:
        for what, count, examples in rows:
            some = "" if count == 1 else f"{count}, such as "
            say(f"{what[0].upper()}{what[1:]}: {some}{examples[0]}", indent=2)


def _split_line(name: str, figures: Mapping[str, Any]) -> str:
    bad = figures["clips"] - figures["readable"]
    sizes = list(figures["sizes"])
    size = f", {sizes[0]}" if sizes else ""
    size += f" and {counted(len(sizes) - 1, 'other size')}" if len(sizes) > 1 else ""
    return (
        f"{name}: {counted(figures['readable'], 'clip')}"
        + (f" ({bad} more cannot be read)" if bad else "")
        + f" from {counted(figures['recordings'], 'recording')}, "
        f"{_range_in_words(figures['seconds'])} s, {_range_in_words(figures['fps'])} frames/s{size}"
    )


def _class_line(content: Mapping[str, Any]) -> str:
    counts = content["splits"]["train"]["per_class"] or {}
    classes = counted(len(content["classes"]), "class", "classes")
    if not counts:
        return f"{classes}"
    rarest, commonest = (pick(counts, key=counts.get) for pick in (min, max))
    return (
        f"{classes}: {counts[rarest]} (`{rarest}`) to {counts[commonest]} (`{commonest}`) training "
        "clips each"
    )


def _notes_on_long_clips(health: Health, video_length: float | None) -> list[str]:
    """Return notes on clips that are too long for validation or testing to cover completely."""
    learnt_from = (fact for name in ("train", "val") for fact in _facts(health, name))
    seconds = [fact.seconds for fact in learnt_from if fact.error is None]
    if not seconds:
        return []
    middle_sec = median(seconds)
    span_sec = clip_shape.span_sec(video_length, middle_sec)
    num_clips = clip_shape.count_test_clips(middle_sec, span_sec)
    return list(notes_on_long_clips(health.splits, span_sec, num_clips=num_clips))


def _facts(health: Health, split: str) -> Sequence[Any]:
    return health.splits[split].facts if split in health.splits else ()


def _split_row(name: str, figures: Mapping[str, Any]) -> Sequence[object]:
    sizes = [f"{size} ({count})" for size, count in figures["sizes"].items()]
    more = f" and {len(sizes) - 2} more" if len(sizes) > 2 else ""
    codecs = (f"{codec} ({count})" for codec, count in figures["codecs"].items())
    return (
        *(name, figures["clips"], figures["readable"], figures["recordings"]),
        *(_range_in_words(figures["seconds"]), _range_in_words(figures["fps"])),
        *(", ".join(sizes[:2]) + more, ", ".join(codecs)),
    )


def _range_in_words(values: Mapping[str, float] | None) -> str:
    if values is None:
        return "-"
    low, middle, high = (f"{values[key]:.4g}" for key in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low} to {high})"


def _show_classes(content: Mapping[str, Any]) -> None:
    counts = {name: figures["per_class"] for name, figures in content["splits"].items()}
    counts = {name: count for name, count in counts.items() if count is not None}
    order = sorted(content["classes"], key=lambda name: -counts["train"][name])
    title = "Readable clips per class"
    if len(order) > ALL_CLASSES_UP_TO:
        title += f", the {SHOWN_CLASSES} most common and the {SHOWN_CLASSES} rarest of {len(order)}"
        order = order[:SHOWN_CLASSES] + order[-SHOWN_CLASSES:]
    rows = [(name, *(count[name] for count in counts.values())) for name in order]
    table(title, ("class", *counts), rows)


def _clip_findings(content: Mapping[str, Any]) -> Findings:
    """Yield everything wrong or unusual about the clips, with the worst problems first."""
    yield "reasons why training would refuse these clips", content["refused"]
    unreadable = [f"{clip['video']}: {clip['reason']}" for clip in content["unreadable"]]
    yield "unreadable clips", unreadable
    contradictions = [group for group in content["exact_duplicates"] if not group["agree"]]
    yield "groups of identical clips with different labels", _in_words(contradictions)
    for key, what in (
        ("exact_duplicates", "identical clips"),
        ("near_duplicates", "near-duplicates"),
    ):
        leaks = [group for group in content[key] if group["leak"]]
        inside = [group for group in content[key] if not group["leak"]]
        yield f"groups of {what} across splits (LEAK)", _in_words(leaks)
        yield f"groups of {what} in one split", _in_words(inside)
    sources, recordings = content["sources_over_splits"], content["recordings_over_splits"]
    yield "sources with clips in several splits (LEAK)", _in_words(sources)
    yield "recordings (by scene) with clips in several splits (LEAK)", _in_words(recordings)
    yield "odd clips", [f"{clip['video']}: {', '.join(clip['odd'])}" for clip in content["odd"]]


def _class_findings(content: Mapping[str, Any]) -> Findings:
    yield "pairs of classes that may be the same", content["near_names"]
    imbalance = content["imbalance"]
    for name, classes in imbalance["classes_without_clips"].items():
        yield f"classes without a readable {name} clip", classes
    if imbalance["imbalanced"] and imbalance["ratio"] is not None:
        counts = content["splits"]["train"]["per_class"]
        rarest, commonest = imbalance["rarest"], imbalance["commonest"]
        what = f"class with {imbalance['ratio']:.0f} times as many clips as the rarest"
        yield what, [f"{commonest}: {counts[commonest]}, {rarest}: {counts[rarest]}"]
    if not content["named"]:
        how = "to name them, write a classes.txt next to the training list, one class per line"
        yield f"classes without a name ({how})", content["classes"]


def _in_words(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for group in groups:
        clips = [f"{video} ({name})" for name, part in group["clips"].items() for video in part]
        # For a leak, show one clip from each split.
        starts = accumulate(map(len, group["clips"].values()), initial=0)
        shown = list(starts)[:-1] if group["leak"] else [0, 1]
        more = len(clips) - len(shown)
        names = " = ".join(clips[number] for number in shown)
        lines.append(names + (f" and {more} more" if more else ""))
    return lines
