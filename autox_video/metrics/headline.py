"""The score of a model that is shown first: in the console, in the leaderboard and by the API."""

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
"""Of an evaluation's figures: the main score in cross-validation, as `cross_validated` gives it."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The main score of a model, and how sure it is."""

    score: float
    """0 to 1."""
    low: float | None
    high: float | None
    """The ends of its 95% interval; None: not known."""
    scored_on: str
    """`cross-validation` or `validation`."""
    clips: int
    """That it was measured on."""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return asdict(self)


def headline(figures: Mapping[str, Any]) -> Headline:
    """The score to go by: in cross-validation where there is one, and few clips validate.

    Args:
        figures: of an evaluation, with a main score.
    """
    validated, in_folds = validation_score(figures), figures.get(IN_FOLDS)
    if in_folds is None or validated.clips >= FEW_VALIDATION_CLIPS:
        return validated
    return Headline(**in_folds, scored_on=CROSS_VALIDATION)


def validation_score(figures: Mapping[str, Any]) -> Headline:
    """The main score on the validation clips."""
    low, high = main_score_interval(figures)
    return Headline(figures[main_score(figures)], low, high, VALIDATION, int(figures["clips"]))


def cross_validated(
    score: float, low: float | None, high: float | None, clips: int
) -> dict[str, dict[str, float | None]]:
    """What figures get beside those of validation where the model's plan was cross-validated."""
    return {IN_FOLDS: {"score": score, "low": low, "high": high, "clips": clips}}


def row_fields(figures: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a leaderboard row that say how good a model is.

    Args:
        figures: of its evaluation.
        about: what else the row's `config` says.
    """
    first, validated = headline(figures), validation_score(figures)
    behind = {"validation_clips": validated.clips}
    if first.scored_on != VALIDATION:
        behind["validation_score"] = round(validated.score, 6)
    fields = first.as_dict()
    del fields["clips"]
    return {**fields, "config": {**about, **behind}}


def said(figures: Mapping[str, Any]) -> str:
    """The score for the user, with its name, its interval and its clips."""
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
