"""Summarise wrong predictions by class and by pair of classes, and list them in mistakes.csv."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.core.files import write_text
from autox_video.evaluation.results import Prediction
from autox_video.tasks.task import Label, Task

COLUMNS = ("path", "start", "end", "label", "predicted", "score")
FEWEST_CONFUSED = 2
"""Confusions with fewer clips than this are hidden unless there are hardly any mistakes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The true and predicted class indices of one clip."""

    prediction: Prediction
    true: frozenset[int]
    predicted: frozenset[int]
    confidence: float
    """The model's confidence in its worst mistake, from 0 to 1; 0 if there is no mistake."""

    @property
    def is_right(self) -> bool:
        """Whether the predicted classes exactly match the true classes."""
        return self.true == self.predicted


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Counts of clips in a class, of clips predicted as that class, and of correct predictions."""

    label: int
    clips: int
    predicted: int
    right: int

    @property
    def recall(self) -> float:
        """The share of the class's clips that are predicted correctly."""
        return self.right / self.clips


def outcomes(
    task: Task, predictions: Sequence[Prediction], classes: Sequence[str]
) -> list[Outcome]:
    """Return the outcome of every clip that was read and has a label."""
    found = []
    for prediction in predictions:
        if prediction.scores is None or prediction.label is None:
            continue
        predicted = _indices(prediction.record(task, classes)["predicted"])
        true = _indices(prediction.label)
        scores = [prediction.scores[index] for index in predicted - true]
        if task.has_label_sets:
            scores += [1 - prediction.scores[index] for index in true - predicted]
        found.append(Outcome(prediction, true, predicted, max(scores, default=0.0)))
    return found


def _indices(label: Label) -> frozenset[int]:
    return frozenset([label] if isinstance(label, int) else label)


def class_counts(found: Sequence[Outcome]) -> list[ClassCounts]:
    """Return the counts for each class that has clips, sorted by recall, lowest first."""
    clips = Counter(label for outcome in found for label in outcome.true)
    predicted = Counter(label for outcome in found for label in outcome.predicted)
    right = Counter(label for outcome in found for label in outcome.true & outcome.predicted)
    counts = [ClassCounts(label, clips[label], predicted[label], right[label]) for label in clips]
    return sorted(counts, key=lambda count: (count.recall, -count.clips, count.label))


def confusions(found: Sequence[Outcome]) -> list[tuple[int, int, int]]:
    """Return (true class, predicted class, clips) for each confused pair, most frequent first.

    Only clips with a single true and a single predicted class are counted.
    """
    wrong = [outcome for outcome in found if not outcome.is_right]
    pairs = Counter(
        (*outcome.true, *outcome.predicted)
        for outcome in wrong
        if len(outcome.true) == len(outcome.predicted) == 1
    )
    fewest = FEWEST_CONFUSED if len(wrong) > FEWEST_CONFUSED else 1
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(*pair, clips) for pair, clips in ordered if clips >= fewest]


def write_mistakes(path: Path, found: Sequence[Outcome], classes: Sequence[str]) -> int:
    """Write the misclassified clips, most confident mistakes first; return the number of clips.

    Raises:
        ResourceError: the file cannot be written.
    """
    wrong = sorted((o for o in found if not o.is_right), key=lambda o: -o.confidence)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for outcome in wrong:
        start, end = outcome.prediction.segment or ("", "")
        labels = (
            ";".join(classes[i] for i in sorted(s)) for s in (outcome.true, outcome.predicted)
        )
        end = "" if end == float("inf") else end
        writer.writerow(
            [outcome.prediction.video, start, end, *labels, f"{outcome.confidence:.4f}"]
        )
    write_text(path, text.getvalue())
    return len(wrong)
