"""How many threads decode a video."""

import pytest

from autox_video.evaluation import loading
from autox_video.evaluation.loading import MOST_THREADS, decoding_threads


@pytest.mark.parametrize(
    ("cores", "workers", "videos", "threads"),
    [
        (2, 1, 1, 2),
        (2, 1, 100, 2),  # one worker beside the model
        (8, 7, 1, 8),
        (8, 7, 2, 4),
        (8, 7, 100, 1),
        (1, 1, 1, 1),
        (2, 0, 1, 2),  # decoded by the process that computes
        (64, 16, 1, MOST_THREADS),
    ],
)
def test_few_videos_use_all_cores(monkeypatch, cores, workers, videos, threads):
    monkeypatch.setattr(loading, "usable_cores", lambda: cores)
    assert decoding_threads(workers, videos) == threads
