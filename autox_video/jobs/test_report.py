"""The test report, with the metrics, the weakest classes and the most confused classes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autox_video.core.console import complain, say, table
from autox_video.core.wording import counted
from autox_video.evaluation.mistakes import Outcome, class_counts, confusions, outcomes
from autox_video.evaluation.results import Prediction
from autox_video.metrics.intervals import score_text
from autox_video.metrics.metric import METRICS
from autox_video.tasks.task import Task
from autox_video.video.sampling import MOST_TEST_CLIPS

FEW_CLIPS = 30
"""Number of clips below which a share of the clips is shown as a count, such as `2 of 3`."""
MOST_CLASSES = 10
MOST_CONFUSIONS = 3
NAMED_AT_MOST = 20


def show_report(task: Task, content: Mapping[str, Any], predictions: Sequence[Prediction]) -> None:
    """Print the report of a test.

    Args:
        task: the task of the model.
        content: the content of results.json.
        predictions: the predictions that the content was computed from.
    """
    _warn_of_unreadable(predictions)
    _warn_of_parts(predictions)
    measured, classes = content["metrics"], content["classes"]
    if measured is None:
        return
    # With five classes or fewer, top-5 is always 1.
    names = [name for name in task.metrics if name != "top5" or len(classes) > 5]
    title = f"Test on {counted(measured['clips'], 'clip')}"
    if measured["unreadable"]:
        title += f", {measured['unreadable']} more unreadable"
    rows = [_metric_row(measured, name) for name in names]
    table(title, ("metric", "value", "95% interval"), rows, lines=False)
    for sentence in _calibration(content["calibration"]):
        say(sentence)
    found = outcomes(task, predictions, classes)
    if all(outcome.is_right for outcome in found):
        say(f"All {counted(len(found), 'clip')} are predicted correctly.")
        return
    _show_classes(found, classes)
    for true, predicted, clips in confusions(found)[:MOST_CONFUSIONS]:
        total = sum(true in outcome.true for outcome in found)
        pair = f"`{classes[true]}` predicted as `{classes[predicted]}`"
        say(f"{pair}: {clips} of {counted(total, 'clip')}")


def _metric_row(measured: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    clips, metric = measured["clips"], METRICS[name]
    value = score_text(measured[name], clips)
    if metric.is_share:
        value = share_text(round(measured[name] * clips), clips)
    low, high = (score_text(end, clips) for end in measured["intervals"][name])
    return metric.label, value, f"{low} to {high}"


def share_text(part: int, total: int) -> str:
    """Return a share of clips as text, such as `2 of 3` for few clips or a score for many."""
    return f"{part} of {total}" if total < FEW_CLIPS else score_text(part / total, total)


def _calibration(calibration: Mapping[str, Any] | None) -> Iterator[str]:
    errors = calibration and calibration["test"]
    if not errors:
        return
    temperature, source = calibration["temperature"], calibration["validation"]
    clips = f"{source['clips']} clips of {source['on']}"
    how = f"{errors['ece_before']:.3f} without temperature {temperature:.3g}, fitted on {clips}"
    if temperature == 1.0:
        how = f"not rescaled, as {clips} show no need for it"
    yield f"Calibration error {errors['ece_after']:.3f} ({how})"


def _show_classes(found: Sequence[Outcome], classes: Sequence[str]) -> None:
    """Print precision and recall of the classes with the lowest recall, and count the rest."""
    counts = class_counts(found)
    shown, others = counts[:MOST_CLASSES], counts[MOST_CLASSES:]
    rows = [
        (
            *(classes[count.label], count.clips),
            share_text(count.right, count.predicted) if count.predicted else "-",
            share_text(count.right, count.clips),
        )
        for count in shown
    ]
    table(
        "Classes, lowest recall first", ("class", "clips", "precision", "recall"), rows, lines=False
    )
    if others:
        recall = share_text(others[0].right, others[0].clips)
        say(f"{counted(len(others), 'more class', 'more classes')}: recall {recall} or better")


def _warn_of_unreadable(predictions: Sequence[Prediction]) -> None:
    bad = [(p.video, str(p.error)) for p in predictions if p.error is not None]
    if bad:
        title = f"{counted(len(bad), 'clip')} cannot be read"
        table(title, ("clip", "reason"), bad[:NAMED_AT_MOST], detail=True)
        video, reason = bad[0]
        complain(f"{title}, such as {video}: {reason.rstrip('.')}; the results list them all.")


def _warn_of_parts(predictions: Sequence[Prediction]) -> None:
    """Warn about long clips that the model saw only in part."""
    partly = sorted((p for p in predictions if p.is_partly_seen), key=lambda p: p.seen)
    if partly:
        complain(
            f"{len(partly)} of {counted(len(predictions), 'clip')} are too long to be seen whole; "
            f"the model saw {partly[0].seen:.1%} of {partly[0].video}, in at most "
            f"{MOST_TEST_CLIPS} evenly spread segments. `seen` in the results gives the "
            "share of each clip. To test whole clips, train with a larger video_length, or list "
            "their segments (columns start and end)."
        )
