"""What the choice of the best weights scores: found at the end of training, also after a resume."""

import numpy as np
import pytest

from autox_video.metrics.headline import IN_FOLDS
from autox_video.metrics.selection_score import score_of_choice
from autox_video.training.hooks.validation_outcomes import ValidationOutcomes
from autox_video.training.interrupt import Stopped
from autox_video.training.run_training import train
from tests.training.tiny import stop_after, tiny_config

pytestmark = pytest.mark.slow


def trained(clips, work_dir):
    hook = ValidationOutcomes(np.arange(3))
    config = tiny_config(clips, work_dir, epoch=4, evaluation=1)
    config.custom_hooks = [each for each in config.custom_hooks if each["type"] != "ModelSoup"]
    best = train(config, (hook,))
    return best, hook


def test_the_choice_is_scored_by_what_every_evaluation_said_of_each_clip(clips, tmp_path):
    best, hook = trained(clips, tmp_path)
    right, losses, weights = hook.columns.transpose(1, 0, 2)
    assert right.shape == losses.shape == (4, 3)
    assert right[best["epoch"] - 1].mean() == pytest.approx(best["top1"])
    assert losses[best["epoch"] - 1].mean() == pytest.approx(best["calibrated_loss"], rel=1e-4)
    expected = score_of_choice(right, losses, weights[0], np.arange(3))
    found = hook.figures()[IN_FOLDS]
    assert (found["score"], found["clips"]) == (pytest.approx(expected), 3)


def test_a_resumed_run_scores_its_choice_the_same(clips, tmp_path, monkeypatch):
    whole, of_whole = trained(clips, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 8)
        trained(clips, tmp_path / "stopped")
    resumed, hook = trained(clips, tmp_path / "stopped")
    assert len(hook.columns) == 4
    assert (resumed, hook.figures()) == (whole, of_whole.figures())
