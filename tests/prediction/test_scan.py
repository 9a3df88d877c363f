"""Windows of several videos → outputs, with a scorer that reads the numbers in the frames."""

import os
import signal

import numpy as np
import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.loading import Loading
from autox_video.prediction import grid_reader
from autox_video.prediction.grid_reader import Grid, GridReader
from autox_video.prediction.scan import Scan
from tests.prediction.test_grid_reader import SIDE, numbered
from tests.videos import read_numbers, write_text_video

GRID = Grid(clip_len=4, frame_interval_sec=0.1, step=2)
LENGTHS = {"a.mp4": 100, "b.mp4": 3, "c.mp4": 41, "d.mp4": 250}


class Numbers:
    """Gives the numbers in the frames of a window as its output."""

    def __init__(self):
        self.batches = []
        self.encoded = 0

    def encode(self, frames):
        self.encoded += len(frames)
        return frames.copy()

    def score(self, windows):
        self.batches.append(len(windows))
        return np.array([read_numbers(window) for window in windows], dtype=float)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("scan")
    for name, frames in LENGTHS.items():
        numbered(root / name, frames, fps=10)
    write_text_video(root / "bad.mp4")
    return root


def scan(root, names, *, workers=0, batch_size=5, scorer=None):
    reader = GridReader(ClipTable(names), str(root), GRID, SIDE)
    scorer = scorer or Numbers()
    return {one.row: one for one in Scan(reader, scorer, Loading(batch_size, workers, "cpu"))}


def expected(frames):
    """Give the numbers in the frames of all windows of a video at 10 fps."""
    if frames < 4:
        return [[0, 1, 2, 0]]
    starts = sorted({*range(0, frames - 3, 2), frames - 4})
    return [list(range(start, start + 4)) for start in starts]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_window_of_every_video_is_scored_once(videos, workers):
    names = ("a.mp4", "bad.mp4", "b.mp4", "c.mp4", "d.mp4", "a.mp4")
    scorer = Numbers()
    found = scan(videos, names, workers=workers, scorer=scorer)
    assert sorted(found) == list(range(6))
    for row, name in enumerate(names):
        one = found[row]
        if name == "bad.mp4":
            assert one.seconds is None
            assert "bad.mp4" in one.error
            assert len(one.starts) == 0
            continue
        assert one.error is None
        assert one.outputs.tolist() == expected(LENGTHS[name])
        assert one.seconds == pytest.approx(LENGTHS[name] / 10)
        if LENGTHS[name] >= 4:
            assert np.allclose(one.starts, one.outputs[:, 0] / 10)


def test_windows_of_several_videos_share_batches_and_frames_are_read_once(videos):
    scorer = Numbers()
    found = scan(videos, ("b.mp4", "c.mp4", "b.mp4"), scorer=scorer)
    windows = sum(len(one.starts) for one in found.values())
    assert scorer.batches == [5] * (windows // 5) + [windows % 5] * bool(windows % 5)
    assert scorer.encoded == 4 + 41 + 4


def test_a_decoder_that_crashes_costs_one_chunk(videos, monkeypatch):
    real = GridReader.read

    def crashing(reader, index, out):
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(reader, index, out)

    monkeypatch.setattr(grid_reader.GridReader, "read", crashing)
    one = scan(videos, ("d.mp4",), workers=1)[0]
    assert "crashed" in one.error
    lost = range(32, 64)
    whole = [window for window in expected(250) if not set(window) & set(lost)]
    assert one.outputs.tolist() == whole
