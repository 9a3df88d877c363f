"""Whole videos → chunks of frames, in order."""

import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.data.clip_table import ClipTable
from autox_video.prediction.grid_reader import CHUNKS, Grid, GridReader
from autox_video.video.container import media_file
from tests.videos import numbered_frames, read_numbers, write_text_video, write_video

SIDE = 48


def numbered(path, frames, **options):
    return write_video(path, numbered_frames(frames, SIDE, SIDE), **options)


def read_all(reader, video=0):
    """Give the numbers in all frames of a video, its chunks, and the errors."""
    out = np.zeros(reader.item_shape, np.uint8)
    numbers, errors, number, total = [], [], 0, 1
    while number < total:
        chunk = reader.read(video * CHUNKS + number, out)
        total = reader.grid.chunks_in(chunk.seconds)
        numbers.append(read_numbers(out[: chunk.frames]))
        errors.append(chunk.error)
        number += 1
    return numbers, errors


def joined(parts):
    return [number for part in parts for number in part]


@pytest.mark.parametrize(
    ("seconds", "frames", "starts"),
    [
        (0.3, 4, [0]),  # shorter than a window: one window
        (0.4, 4, [0]),
        (0.6, 6, [0, 2]),
        (0.7, 7, [0, 2, 3]),  # the last window ends with the video
        (0.749, 7, [0, 2, 3]),
        (0.751, 8, [0, 2, 4]),  # more than half of the last slot
    ],
)
def test_windows_cover_a_video_of_any_length(seconds, frames, starts):
    grid = Grid(clip_len=4, frame_interval_sec=0.1, step=2)
    assert grid.frames_in(seconds) == frames
    assert grid.window_starts(seconds).tolist() == starts


@pytest.mark.parametrize("is_small", [True, False])
def test_frames_are_those_in_the_middle_of_their_slots(tmp_path, monkeypatch, is_small):
    if not is_small:
        monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    numbered(tmp_path / "a.mp4", 200, fps=25)
    reader = GridReader(ClipTable(("a.mp4",)), str(tmp_path), Grid(4, 0.08, 2), SIDE)
    numbers, errors = read_all(reader)
    assert errors == [None] * 4
    assert [len(part) for part in numbers] == [32, 32, 32, 4]
    # A slot of 0.08 s holds two frames; its middle is the start of the second one.
    assert joined(numbers) == list(range(1, 200, 2))


def test_slow_videos_repeat_frames_across_chunks(tmp_path):
    numbered(tmp_path / "a.mp4", 12, fps=2)
    reader = GridReader(ClipTable(("a.mp4",)), str(tmp_path), Grid(4, 0.1, 2), SIDE)
    numbers, _ = read_all(reader)
    assert joined(numbers) == [slot // 5 for slot in range(60)]


def test_a_video_shorter_than_a_window_is_looped(tmp_path):
    numbered(tmp_path / "a.mp4", 10, fps=10)
    reader = GridReader(ClipTable(("a.mp4",)), str(tmp_path), Grid(8, 0.2, 4), SIDE)
    numbers, _ = read_all(reader)
    assert numbers == [[1, 3, 5, 7, 9, 1, 3, 5]]


def test_a_segment_is_read_alone(tmp_path):
    numbered(tmp_path / "a.mp4", 100, fps=10)
    clips = ClipTable(("a.mp4",), None, ((2.0, 4.0),))
    reader = GridReader(clips, str(tmp_path), Grid(4, 0.1, 2), SIDE)
    numbers, _ = read_all(reader)
    assert joined(numbers) == list(range(20, 40))
    chunk = reader.read(0, np.zeros(reader.item_shape, np.uint8))
    assert (chunk.seconds, chunk.begin_sec) == (2.0, 2.0)


def test_chunks_in_any_order_are_the_same(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        numbered(tmp_path / name, 100, fps=10)
    reader = GridReader(ClipTable(("a.mp4", "b.mp4")), str(tmp_path), Grid(4, 0.1, 2), SIDE)
    out = np.zeros(reader.item_shape, np.uint8)
    for index, first in [(2, 64), (0, 0), (CHUNKS + 1, 32), (1, 32), (CHUNKS, 0), (CHUNKS + 1, 32)]:
        chunk = reader.read(index, out)
        assert read_numbers(out[: chunk.frames]) == list(range(first, first + 32))


def test_damage_in_the_middle_costs_only_its_part(tmp_path):
    path = numbered(tmp_path / "a.mp4", 250, fps=10, options={"g": "10", "crf": "0"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle - 3000 : middle + 3000] = bytes(6000)
    path.write_bytes(content)
    reader = GridReader(ClipTable(("a.mp4",)), str(tmp_path), Grid(4, 0.1, 2), SIDE)
    numbers, errors = read_all(reader)
    assert any(errors)
    assert "damaged" in next(filter(None, errors))
    assert errors[0] is None
    assert errors[-1] is None
    assert numbers[0] == list(range(32))
    assert numbers[-1][-1] == 249
    assert len(joined(numbers)) > 150


def test_a_file_that_is_no_video_is_an_error(tmp_path):
    write_text_video(tmp_path / "a.mp4")
    reader = GridReader(ClipTable(("a.mp4",)), str(tmp_path), Grid(4, 0.1, 2), SIDE)
    with pytest.raises(VideoError, match=r"a\.mp4"):
        read_all(reader)
