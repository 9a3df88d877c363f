"""A model's headline score, which is shown in the console, the leaderboard and the API."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autox_video.metrics.intervals import (
    CROSS_VALIDATION,
    FEW_VALIDATION_CLIPS,
    VALIDATION,
    score_text,
)
from autox_video.metrics.selection_score import main_score, main_score_interval, score_label

IN_FOLDS = "cross_validation"
"""Key of the cross-validated main score in an evaluation; see `cross_validated`."""
MODELS = "models"
"""Key for the number of models in an ensemble's evaluation."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The main score of a model, with its confidence interval."""

    score: float
    """The main score, 0 to 1."""
    low: float | None
    high: float | None
    """Bounds of the score's 95% interval; None if unknown."""
    scored_on: str
    """How the score was measured: `cross-validation` or `validation`."""
    clips: int
    """Number of clips on which the score was measured."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def headline(figures: Mapping[str, Any]) -> Headline:
    """Return the cross-validated score if validation clips are few, else the validation score.

    Args:
        figures: the metrics of an evaluation, including a main score.
    """
    validated, in_folds = validation_score(figures), figures.get(IN_FOLDS)
    if in_folds is None or validated.clips >= FEW_VALIDATION_CLIPS:
        return validated
    return Headline(**in_folds, scored_on=CROSS_VALIDATION)


def validation_score(figures: Mapping[str, Any]) -> Headline:
    """Return the main score on the validation clips."""
    low, high = main_score_interval(figures)
    return Headline(figures[main_score(figures)], low, high, VALIDATION, int(figures["clips"]))


def cross_validated(
    score: float, low: float | None, high: float | None, clips: int
) -> dict[str, dict[str, float | None]]:
    """Return the metrics entry for a model whose plan was cross-validated."""
    return {IN_FOLDS: {"score": score, "low": low, "high": high, "clips": clips}}


def row_fields(figures: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a leaderboard row that hold a model's scores.

    Args:
        figures: the metrics from an evaluation of the model.
        about: further entries for the row's `config` column.
    """
    first, validated = headline(figures), validation_score(figures)
    behind = {"validation_clips": validated.clips}
    if first.scored_on != VALIDATION:
        behind["validation_score"] = round(validated.score, 6)
    fields = first.as_dict()
    del fields["clips"]
    return {**fields, "config": {**about, **behind}}


def said(figures: Mapping[str, Any]) -> str:
    """Return the score as text, with its name, interval and number of clips."""
    first, name = headline(figures), score_label(main_score(figures))
    score, low, high = (
        None if one is None else score_text(one, first.clips)
        for one in (first.score, first.low, first.high)
    )
    interval = "" if low is None else f"95% interval {low} to {high}, "
    if first.scored_on == VALIDATION:
        return f"validation {name} {score} ({interval}{first.clips} clips)"
    validated = validation_score(figures)
    return (
        f"cross-validated {name} {score} ({interval}{first.clips} clips; validation "
        f"{score_text(validated.score, validated.clips)}, only {validated.clips} clips)"
    )
