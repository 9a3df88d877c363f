"""Subtitles."""

from dataclasses import replace

import numpy as np
import pytest

from autox_video.core.errors import ConfigError, VideoError
from autox_video.prediction.outputs.output_files import write_predictions
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_prediction import VideoPrediction, Windows
from tests.prediction.outputs.examples import MULTI, SINGLE, clip, long, unreadable


def subtitles(path, prediction, about=SINGLE, **options):
    timeline = TimelineOptions(min_seconds=0, smoothing=0, **options) if options else None
    write_predictions(path, [prediction], about, timeline)
    return path.read_text(encoding="utf-8")


def test_a_subtitle_per_segment(tmp_path):
    assert subtitles(tmp_path / "x.srt", long(), threshold=0.5) == (
        '1\n00:00:00,000 --> 00:00:02,000\nsay "a", b (0.75)\n'
        "\n"
        "2\n00:00:03,000 --> 00:00:04,000\nline break return (0.75)\n"
    )


def test_times_beyond_an_hour(tmp_path):
    late = Windows(np.array([0.0, 3725.0005]), np.array([3725.0005, 7450.0]), np.eye(2))
    prediction = VideoPrediction("x", ("a --> b", "c"), np.array([0.5, 0.5]), 7450.0, late)
    text = subtitles(tmp_path / "x.srt", prediction, threshold=0.5)
    assert "00:00:00,000 --> 01:02:05,000\na -> b (1.00)" in text


def test_segments_overlap_where_the_task_allows_it(tmp_path):
    both = replace(clip(), classes=("a", "b", "c"), scores=np.array([0.9, 0.8, 0.1]))
    assert subtitles(tmp_path / "x.srt", both, about=MULTI).count("-->") == 2
    assert subtitles(tmp_path / "x.srt", both).count("-->") == 1


def test_one_readable_video_only(tmp_path):
    path = tmp_path / "x.srt"
    for predictions in ([], [clip(), clip()]):
        with pytest.raises(ConfigError, match="one video"):
            write_predictions(path, predictions, SINGLE)
    with pytest.raises(VideoError, match="unreadable"):
        write_predictions(path, [unreadable()], SINGLE)
    assert not path.exists()
