"""Windows of features have the scores of windows of pixels."""

import numpy as np
import pytest

from autox_video.evaluation.ensemble import load_models
from autox_video.evaluation.predict import for_testing, record_of
from autox_video.prediction.window_scorer import FeatureScorer, PixelScorer, window_scorer
from tests.prediction.model_files import member, tiny_plan, write_model

BACKBONE = "timm:test_efficientnet"


@pytest.mark.parametrize("head_grid", [None, (2, 2, 2)])
def test_features_of_frames_are_shared_by_windows(tmp_path, head_grid):
    plan = tiny_plan(backbone=BACKBONE, resolution=64, head_grid=head_grid)
    path = write_model(tmp_path, member(plan))
    (one,) = load_models(path, for_testing(record_of(path)), "cpu")
    scorer = window_scorer(one)
    assert isinstance(scorer, FeatureScorer)
    frames = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), np.uint8)
    encoded = scorer.encode(frames)
    starts = (0, 2, 6)
    found = scorer.score(np.stack([encoded[start : start + 4] for start in starts]))
    wanted = PixelScorer(one).score(np.stack([frames[start : start + 4] for start in starts]))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert np.abs(np.diff(wanted, axis=0)).max() > 1e-2
    assert encoded.shape[2:] == ((1, 1) if head_grid is None else (2, 2))


def test_models_of_whole_clips_get_pixels(tmp_path):
    path = write_model(tmp_path, member(tiny_plan()))
    (one,) = load_models(path, for_testing(record_of(path)), "cpu")
    assert isinstance(window_scorer(one), PixelScorer)
