"""Which clips are cut from one video, by their names, and which are equal."""

import numpy as np
import pytest

from autox_video.data.splitting.groups import same_digest
from autox_video.data.splitting.sources import sources


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("Run/v_Run_g01_c02.avi", "v_Run_g01"),
        ("-pXXPvIyxPc_000106_000108.avi", "-pXXPvIyxPc"),
        ("jump/0_4iEOBVV-Y_12.5_15.mp4", "0_4iEOBVV-Y"),
        ("talk_part2.mp4", "talk"),
        ("a/My talk - Part 11.mp4", "My talk"),
        ("game.scene-3.mkv", "game"),
        ("my clip 7.mp4", "my"),
        ("plain.mp4", None),
        ("video_part3.mp4", None),
        ("clip_0001.mp4", None),
        ("left_train_003.mp4", None),
        ("000123.mp4", None),
    ],
)
def test_source_of_one_name(path, source):
    assert sources([path, "other name.mp4"], 2) == [source, None]


def test_counters_count_where_they_make_many_sources():
    paths = [f"{name}_{i}.mp4" for name in "abcdefghij" for i in range(3)]
    assert sources(paths, 2) == [path[0] for path in paths]
    assert sources(paths, 3) == [None] * 30


def test_folders_of_counted_clips_are_sources_where_there_are_many():
    paths = [f"run/{name}/{i:03}.mp4" for name in "abcdefghij" for i in range(3)]
    assert sources(paths, 2)[:4] == ["run/a"] * 3 + ["run/b"]
    assert sources([f"{name}/{i:03}.mp4" for name in "ab" for i in range(9)], 2) == [None] * 18


def test_no_paths_have_no_sources():
    assert sources([], 2) == []


def test_equal_content_and_nothing_is_equal_to_nothing():
    digests = np.zeros((5, 16), dtype=np.uint8)
    digests[[1, 4], 3] = 7
    digests[2] = 1
    assert same_digest(digests).tolist() == [0, 1, 2, 3, 1]
