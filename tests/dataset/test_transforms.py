"""Decoding as the first step of a pipeline."""

import numpy as np
import pytest

from autox_video.dataset.transforms import DecodeClips
from autox_video.errors import VideoError
from tests.videos import numbered_frames, read_numbers, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("decode") / "numbers.mp4"
    return str(write_video(path, numbered_frames(40), fps=20))  # 2 s


def test_test_clips_are_evenly_spread_and_the_same_each_time(video):
    decode = DecodeClips(4, 0.1, num_clips=3, test_mode=True)
    results = decode({"filename": video})
    numbers = read_numbers(np.stack(results["imgs"]))
    assert numbers == [1, 3, 5, 7, 17, 19, 21, 23, 33, 35, 37, 39]
    assert numbers == read_numbers(np.stack(decode({"filename": video})["imgs"]))
    assert (results["num_clips"], results["clip_len"]) == (3, 4)
    assert results["original_shape"] == results["img_shape"] == (24, 48)


def test_a_training_clip_starts_at_random_and_keeps_its_interval(video):
    decode = DecodeClips(4, 0.1)
    starts = set()
    for seed in range(20):
        results = decode({"filename": video, "rng": np.random.default_rng(seed)})
        numbers = read_numbers(np.stack(results["imgs"]))
        assert np.diff(numbers).tolist() == [2, 2, 2]
        starts.add(numbers[0])
    assert len(starts) > 8


def test_an_unreadable_file_is_a_video_error(tmp_path):
    with pytest.raises(VideoError, match="absent"):
        DecodeClips(4, 0.1, test_mode=True)({"filename": str(tmp_path / "absent.mp4")})
