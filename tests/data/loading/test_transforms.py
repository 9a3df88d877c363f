"""Reading and cropping, the two steps of a pipeline."""

import cv2
import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

from autox_video.core.disk_cache import DiskCache
from autox_video.core.errors import VideoError
from autox_video.data.loading import transforms
from autox_video.data.loading.transforms import CropClips, ReadClips, random_box
from tests.videos import numbered_frames, read_numbers, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("decode") / "numbers.mp4"
    return str(write_video(path, numbered_frames(40), fps=20))  # 2 s


def size_of(folder):
    return DiskCache(folder, suffix=".frames").usage()


def numbers(results):
    return read_numbers(np.stack(results["imgs"]))


def rng(seed=0):
    return np.random.default_rng(seed)


def test_both_are_registered_for_mmaction2():
    step = TRANSFORMS.build({"type": "CropClips", "side": 8, "crop": "centre"})
    assert isinstance(step, CropClips)
    assert TRANSFORMS.get("ReadClips") is ReadClips


def test_test_clips_are_evenly_spread_and_the_same_each_time(video):
    read = ReadClips(4, 0.1, num_clips=3, test_mode=True)
    results = read({"filename": video})
    assert numbers(results) == [1, 3, 5, 7, 17, 19, 21, 23, 33, 35, 37, 39]
    assert numbers(results) == numbers(read({"filename": video}))
    assert (results["num_clips"], results["clip_len"]) == (3, 4)
    assert results["original_shape"] == results["img_shape"] == (24, 48)


def test_a_training_clip_starts_at_random_and_takes_a_frame_of_each_slot(video):
    read = ReadClips(4, 0.2, jitter=True)
    starts = set()
    for seed in range(60):
        seen = numbers(read({"filename": video, "rng": rng(seed)}))
        # Slots of four frames; from each the frame in a quarter or three quarters of it.
        assert all(2 <= step <= 6 for step in np.diff(seen))
        starts.add(seen[0])
    assert len(starts) > 8


def test_several_training_clips_are_drawn_apart(video):
    results = ReadClips(4, 0.1, num_clips=3)({"filename": video, "rng": rng(1)})
    clips = np.array(numbers(results)).reshape(3, 4)
    assert len({tuple(clip) for clip in clips}) == 3


@pytest.mark.parametrize("test_mode", [False, True])
def test_a_segment_is_all_that_is_seen(video, test_mode):
    read = ReadClips(4, 0.1, test_mode=test_mode)
    results = read({"filename": video, "segment": (0.5, 0.9), "rng": rng()})
    assert all(10 <= number < 18 for number in numbers(results))
    assert len(set(numbers(results))) == 4
    to_the_end = read({"filename": video, "segment": (1.5, np.inf), "rng": rng()})
    assert all(number >= 30 for number in numbers(to_the_end))


def test_a_segment_behind_the_end_is_named(video):
    with pytest.raises(VideoError, match=r"begins at 2.5 s, but the video ends at 2 s"):
        ReadClips(4, 0.1, test_mode=True)({"filename": video, "segment": (2.5, 3.0)})


def test_an_unreadable_file_is_a_video_error(tmp_path):
    for cache in (None, {"folder": str(tmp_path / "c"), "max_gib": 1}):
        read = ReadClips(4, 0.1, test_mode=True, cache=cache)
        with pytest.raises(VideoError, match="absent"):
            read({"filename": str(tmp_path / "absent.mp4")})


@pytest.mark.parametrize(("test_mode", "jitter"), [(False, False), (False, True), (True, False)])
@pytest.mark.parametrize("segment", [None, (0.3, 1.4)])
def test_the_cache_changes_nothing(video, tmp_path, monkeypatch, test_mode, jitter, segment):
    options = {"num_clips": 2, "test_mode": test_mode, "jitter": jitter, "short_side": 12}
    plain = ReadClips(4, 0.1, **options)
    kept = ReadClips(4, 0.1, **options, cache={"folder": str(tmp_path), "max_gib": 1})

    def item(seed):
        return {"filename": video, "rng": rng(seed), "segment": segment}

    expected = [np.stack(plain(item(seed))["imgs"]) for seed in range(8)]
    assert np.array_equal(np.stack(kept(item(0))["imgs"]), expected[0])
    assert size_of(tmp_path)[0] == 1
    monkeypatch.setattr(transforms, "open_video", None)  # no decoding from here on
    for seed in range(8):
        assert np.array_equal(np.stack(kept(item(seed))["imgs"]), expected[seed])


def test_a_frame_is_kept_once(tmp_path):
    frames = numbered_frames(4)
    video = write_video(tmp_path / "slow.mp4", frames, fps=2)  # each on screen for half a second
    read = ReadClips(8, 0.1, jitter=True, cache={"folder": str(tmp_path / "c"), "max_gib": 1})
    read({"filename": str(video), "rng": rng()})
    used = size_of(tmp_path / "c")[1]
    assert 4 * frames[0].nbytes < used < 5 * frames[0].nbytes


def test_settings_do_not_share_what_differs(video, tmp_path):
    cache = {"folder": str(tmp_path), "max_gib": 1}
    for options in (
        {},
        {"short_side": 12},
        {"test_mode": True},
        {"jitter": True},
        {"num_clips": 2},
    ):
        ReadClips(4, 0.1, **options, cache=cache)({"filename": video, "rng": rng()})
    assert size_of(tmp_path)[0] == 4  # two training clips need no other frames than one
    ReadClips(4, 0.1, cache=cache)({"filename": video, "rng": rng(), "segment": (0, 1)})
    assert size_of(tmp_path)[0] == 5


@pytest.mark.parametrize(("short_side", "shape"), [(13, (24, 48)), (12, (12, 24)), (5, (5, 10))])
def test_only_frames_twice_as_large_are_scaled_in_decoding(video, short_side, shape):
    read = ReadClips(4, 0.1, test_mode=True, short_side=short_side)
    assert read({"filename": video})["img_shape"] == shape


def test_long_clips_are_not_kept(video, tmp_path, monkeypatch):
    monkeypatch.setattr(transforms, "LARGEST_CACHED_BYTES", 1000)
    read = ReadClips(4, 0.1, cache={"folder": str(tmp_path), "max_gib": 1})
    assert len(read({"filename": video, "rng": rng()})["imgs"]) == 4
    assert size_of(tmp_path)[0] == 0


# ---- cropping ----


def gradient(height, width, frames=2):
    """Red tells the row and green the column; blue the frame."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip[..., 0] = np.arange(height)[:, None]
    clip[..., 1] = np.arange(width)
    clip[..., 2] = np.arange(frames)[:, None, None]
    return list(clip)


def cropped(crop, frames, side=8, **more):
    results = {"imgs": frames, "clip_len": 2, "num_clips": len(frames) // 2, "rng": rng(), **more}
    return CropClips(side, crop)(results)["inputs"]


def test_the_centre_is_the_largest_square_in_the_middle():
    views = cropped("centre", gradient(8, 20))
    assert views.shape == (1, 2, 8, 8, 3) and views.dtype == np.uint8
    assert views[0, 0, 0, :, 1].tolist() == list(range(6, 14))
    assert views[0, :, 0, 0, 2].tolist() == [0, 1]
    assert cropped("centre", gradient(20, 8))[0, 0, :, 0, 0].tolist() == list(range(6, 14))


def test_three_views_reach_from_end_to_end():
    views = cropped("three", gradient(8, 20, frames=4))
    assert views.shape == (6, 2, 8, 8, 3)
    assert views[:, 0, 0, 0, 1].tolist() == [0, 6, 12] * 2
    assert views[:, 0, 0, 0, 2].tolist() == [0, 0, 0, 2, 2, 2]


def test_views_are_written_where_they_are_wanted():
    out = np.zeros((1, 2, 8, 8, 3), np.uint8)
    assert cropped("centre", gradient(30, 40), out=out) is out
    expected = cv2.resize(gradient(30, 40)[0][:, 5:35], (8, 8), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(out[0, 0], expected)


def test_small_frames_are_scaled_up():
    views = cropped("centre", gradient(5, 5))
    assert views.shape == (1, 2, 8, 8, 3) and views[0, 0, 0, -1, 1] == 4


def test_a_random_crop_is_the_same_in_all_frames_of_a_clip():
    frames = [frame for _ in range(2) for frame in gradient(40, 60)]
    views = cropped("random", frames)
    for view in views:
        assert np.array_equal(view[0, ..., :2], view[1, ..., :2])
    assert not np.array_equal(views[0], views[1])


def test_random_boxes_have_the_area_and_shape_asked_for():
    boxes = np.array(
        [random_box(100, 160, (0.3, 0.8), (3 / 4, 4 / 3), rng=rng(seed)) for seed in range(3000)]
    )
    top, left, height, width = boxes.T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 100).all() and (left + width <= 160).all()
    area, ratio = height * width / 16000, width / height
    assert area.min() > 0.28 and area.max() < 0.82
    assert ratio.min() > 0.72 and ratio.max() < 1.36
    fits = area[area < 0.4]  # small enough to fit in any shape: there the area is uniform
    assert abs(np.histogram(fits, bins=4, range=(0.3, 0.4))[0] / len(fits) - 0.25).max() < 0.06
    assert abs(np.median(np.log(ratio[area < 0.4]))) < 0.04


def test_where_no_box_fits_the_middle_is_taken():
    assert random_box(10, 100, (0.9, 1.0), (3 / 4, 4 / 3), rng=rng()) == (0, 43, 10, 13)


def test_an_unknown_crop_is_refused():
    with pytest.raises(ValueError, match="center"):
        CropClips(8, "center")


def test_copies_of_a_scene_at_other_frame_rates_give_the_same_frames(tmp_path):
    """The scene changes 15 times a second; the copy at 60 shows each picture four times."""
    scene = numbered_frames(30)
    slow = write_video(tmp_path / "15.mp4", scene, fps=15)
    fast = write_video(tmp_path / "60.mp4", np.repeat(scene, 4, axis=0), fps=60)
    for test_mode in (False, True):
        read = ReadClips(8, 0.2, test_mode=test_mode)
        for seed in range(5):
            one, other = (
                read({"filename": str(path), "rng": rng(seed)})["imgs"] for path in (slow, fast)
            )
            assert np.array_equal(np.stack(one), np.stack(other))
