"""The job that reads every clip and trains nothing: is the data all right?"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

from autox_video.automl.clip_review import verdict
from autox_video.automl.prepare import check_work_dir, inspect, read_data
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import say, table
from autox_video.core.files import write_json
from autox_video.data.inspection.coverage import notes_on_long_clips
from autox_video.data.inspection.health import Health, good_clips, report
from autox_video.data.listing.formats.list_files import write_list
from autox_video.planning import clip_shape
from autox_video.run.work_dir import CHECK, CHECK_REPORT
from autox_video.video.open_video import check_decoder

ALL_CLASSES_UP_TO = 20
SHOWN_CLASSES = 10
EXAMPLES = 3


def check(settings: Settings) -> dict[str, Any]:
    """Open every listed clip; show, write and give what WORK_DIR/check/check.json holds.

    Beside it come the lists again without the bad clips (`health.good_clips` says which).

    Raises:
        AutoXVideoError: something that the user can mend.
    """
    folder = Path(settings.work_dir, CHECK)
    check_work_dir(folder)
    check_decoder(settings.decoder)
    listing = read_data(settings)
    inspected = inspect(listing, workers=settings.workers, remote_cache=settings.remote_cache)
    for note in inspected.notes[len(listing.notes) :]:
        say(note)
    health = Health(inspected)
    found = report(health)
    found["refused"], notes = verdict(inspected, strict=settings.strict)
    found["notes"] += notes
    for note in notes:
        say(note)
    good = good_clips(health)
    found["left_out"] = {name: len(health.splits[name]) - len(good[name]) for name in good}
    for name, numbers in good.items():
        write_list(folder / f"{name}.csv", health.splits[name].select(numbers))
    write_json(folder / CHECK_REPORT, found)
    show(found)
    _say_what_is_seen(health, settings)
    lists = ", ".join(f"{name}.csv ({len(numbers)} clips)" for name, numbers in good.items())
    say(f"{folder / CHECK_REPORT} holds all of this; beside it, without the bad clips: {lists}.")
    return found


def _say_what_is_seen(health: Health, settings: Settings) -> None:
    """Say of which long clips validation and testing would look at a part only."""
    splits = health.splits
    learnt_from = [
        fact for name in ("train", "val") if name in splits for fact in splits[name].facts
    ]
    seconds = [fact.seconds for fact in learnt_from if fact.error is None]
    if not seconds:
        return
    middle_sec = median(seconds)
    length = None if settings.video_length == AUTO else settings.video_length
    span_sec = clip_shape.span_sec(length, middle_sec)
    num_clips = clip_shape.count_test_clips(middle_sec, span_sec)
    for note in notes_on_long_clips(splits, span_sec, num_clips=num_clips):
        say(note)


def show(found: dict[str, Any]) -> None:
    """Print what was found, in tables."""
    columns = ("split", "clips", "readable", "recordings", "seconds", "frames/s", "size", "codecs")
    table("Clips", columns, (_split_row(*item) for item in found["splits"].items()))
    _show_classes(found)
    rows = list(_findings(found))
    if rows:
        table("Findings", ("what", "count", "for example"), rows)
    else:
        what = "Nothing else is wrong" if found["notes"] else "Nothing is wrong"
        say(f"{what} with the clips.")


def _split_row(name: str, figures: dict[str, Any]) -> Sequence[object]:
    sizes = list(figures["sizes"].items())
    more = f" and {len(sizes) - 2} more" if len(sizes) > 2 else ""
    return (
        name,
        figures["clips"],
        figures["readable"],
        figures["recordings"],
        _shown_range(figures["seconds"]),
        _shown_range(figures["fps"]),
        ", ".join(f"{size} ({count})" for size, count in sizes[:2]) + more,
        ", ".join(f"{codec} ({count})" for codec, count in figures["codecs"].items()),
    )


def _shown_range(values: dict[str, float] | None) -> str:
    if values is None:
        return "-"
    low, middle, high = (f"{values[key]:.4g}" for key in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low} to {high})"


def _show_classes(found: dict[str, Any]) -> None:
    counts = {
        name: figures["per_class"]
        for name, figures in found["splits"].items()
        if figures["per_class"] is not None
    }
    order = sorted(found["classes"], key=lambda name: -counts["train"][name])
    title = "Readable clips of each class"
    if len(order) > ALL_CLASSES_UP_TO:
        title += f", of {len(order)} classes the {SHOWN_CLASSES} commonest and rarest"
        order = order[:SHOWN_CLASSES] + order[-SHOWN_CLASSES:]
    rows = [(name, *(count[name] for count in counts.values())) for name in order]
    table(title, ("class", *counts), rows)


def _findings(found: dict[str, Any]) -> Iterator[tuple[str, int, str | list[str]]]:
    """Give what is wrong or odd, worst first: what, how often, and examples."""
    if found["refused"]:
        yield (
            "reasons for which training refuses these clips",
            len(found["refused"]),
            (found["refused"][:EXAMPLES]),
        )
    unreadable = found["unreadable"]
    if unreadable:
        reasons = (f"{clip['video']}: {clip['reason']}" for clip in unreadable[:EXAMPLES])
        yield "unreadable clips", len(unreadable), list(reasons)
    if contradictions := [group for group in found["exact_duplicates"] if not group["agree"]]:
        yield (
            "groups of equal clips with other labels",
            len(contradictions),
            _groups(contradictions),
        )
    for key, what in (("exact_duplicates", "equal clips"), ("near_duplicates", "near-duplicates")):
        leaks = [group for group in found[key] if group["leak"]]
        inside = [group for group in found[key] if not group["leak"]]
        if leaks:
            yield f"LEAK: groups of {what} over several splits", len(leaks), _groups(leaks)
        if inside:
            yield f"groups of {what} in one split", len(inside), _groups(inside)
    sources = found["sources_over_splits"]
    if sources:
        yield "LEAK: sources with clips in several splits", len(sources), _groups(sources)
    recordings = found["recordings_over_splits"]
    if recordings:
        what = "LEAK: recordings (by scene) with clips in several splits"
        yield what, len(recordings), _groups(recordings)
    yield from _class_findings(found)
    if found["odd"]:
        odd = (f"{clip['video']}: {', '.join(clip['odd'])}" for clip in found["odd"][:EXAMPLES])
        yield "odd clips", len(found["odd"]), list(odd)


def _class_findings(found: dict[str, Any]) -> Iterator[tuple[str, int, str | list[str]]]:
    if near := found["near_names"]:
        yield "classes that are probably one", len(near), near[:EXAMPLES]
    imbalance = found["imbalance"]
    for name, classes in imbalance["classes_without_clips"].items():
        if classes:
            more = ", ..." if len(classes) > EXAMPLES else ""
            examples = ", ".join(classes[:EXAMPLES]) + more
            yield f"classes without a readable {name} clip", len(classes), examples
    if imbalance["imbalanced"] and imbalance["ratio"] is not None:
        counts = found["splits"]["train"]["per_class"]
        rarest, commonest = imbalance["rarest"], imbalance["commonest"]
        example = f"{commonest}: {counts[commonest]}, {rarest}: {counts[rarest]}"
        yield "times as many clips of the commonest class", round(imbalance["ratio"]), example
    if not found["named"]:
        yield (
            "classes without a name",
            len(found["classes"]),
            "classes.txt beside the training list names them, a class a line",
        )


def _groups(groups: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for group in groups[:EXAMPLES]:
        clips = [f"{video} ({name})" for name, part in group["clips"].items() for video in part]
        # Of a leak one clip of each split.
        starts = accumulate(map(len, group["clips"].values()), initial=0)
        places = list(starts)[:-1] if group["leak"] else [0, 1]
        more = len(clips) - len(places)
        names = " = ".join(clips[place] for place in places)
        lines.append(names + (f" and {more} more" if more else ""))
    return lines
