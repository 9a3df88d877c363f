"""Predictions of several kinds, to write and read."""

import os

import numpy as np

from autox_video.prediction.video_prediction import VideoPrediction, Windows

CLASSES = ('say "a", b', "line\nbreak\rreturn", "עברית \u202e <i>視頻")
BYTES = os.fsdecode(b"caf\xe9/\xff.mp4")
NAMES = ("plain.mp4", 'comma, "quote".mp4', "new\nline\r.mp4", "שלום.mp4", BYTES, "\ud800.mp4")
SINGLE, MULTI = {"task": "single_label", "model": "best"}, {"task": "multi_label"}


def clip(video="plain.mp4", scores=(0.25, 0.125, 0.625), seconds=2.5, **values):
    """A video that was predicted as one clip."""
    return VideoPrediction(video, CLASSES, np.array(scores), seconds, **values)


def long(video="long.mp4", **values):
    """A video of 4 seconds with three windows of 2 seconds."""
    scores = np.array([[0.75, 0.125, 0.125], [0.75, 0.125, 0.125], [0.125, 0.75, 0.125]])
    windows = Windows(np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0]), scores)
    return VideoPrediction(video, CLASSES, scores.mean(axis=0), 4.0, windows, **values)


def unreadable(video="torn.mp4"):
    """A video that could not be read."""
    return VideoPrediction(video, CLASSES, None, error='it is "torn",\nreally')


def of_all_kinds():
    """Clips under every name, long videos, an unreadable one, with and without labels."""
    return [
        *(clip(name) for name in NAMES),
        clip("no-length.mp4", seconds=None),
        clip("labelled.mp4", label=2),
        clip("part.mp4", segment=(1.5, 4.0)),
        long("to-its-end.mp4", segment=(0.0, float("inf"))),
        long(),
        long(label=0, error="it is cut off"),
        unreadable(),
        long("last.mp4"),
    ]


def assert_same(one, other):
    """Assert that two predictions are equal, scores to the digits that files have."""
    for name in ("video", "classes", "seconds", "error", "label", "segment"):
        assert getattr(one, name) == getattr(other, name), name
    assert (one.scores is None) == (other.scores is None)
    if one.scores is not None:
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    assert (one.windows is None) == (other.windows is None)
    if one.windows is not None:
        for name in ("starts", "ends", "scores"):
            np.testing.assert_allclose(
                getattr(one.windows, name), getattr(other.windows, name), atol=1e-6
            )
