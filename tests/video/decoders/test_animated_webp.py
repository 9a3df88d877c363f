"""Animations as picture programs write them: WebP by Pillow, the others by FFmpeg."""

import numpy as np
import pytest
from PIL import Image

from autox_video.core.errors import VideoError
from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.video.open_video import open_video
from tests.videos import numbered_frames, read_numbers, truncate

FRAMES = numbered_frames(12, 32, 64)


def write_animation(path, frames=FRAMES, *, duration_ms=100, **more):
    first, *others = [Image.fromarray(pixels) for pixels in frames]
    first.save(path, save_all=True, append_images=others, duration=duration_ms, **more)
    return path


@pytest.fixture
def webp(tmp_path):
    return write_animation(tmp_path / "a.webp", lossless=True)


def test_lossless_pictures_come_back_as_they_were(webp):
    for decoder in ("auto", "pyav", "decord"):
        with open_video(webp, decoder) as video:
            np.testing.assert_array_equal(video.frames_at(np.arange(12) / 10), FRAMES)
            assert (video.width, video.height, video.num_frames) == (64, 32, 12)
            assert (video.seconds, video.fps) == (pytest.approx(1.2), pytest.approx(10))
            assert (video.codec, video.start_sec, video.odd) == ("webp", 0.0, ())


def test_times_in_any_order_and_scaled(webp):
    with open_video(webp) as video:
        frames = video.frames_at(np.array([1.15, 0.0, 0.35, 9.0]), short_side=16)
    assert frames.shape == (4, 16, 32, 3)
    assert read_numbers(frames) == [11, 0, 3, 11]


def test_facts(webp):
    facts = examine_clip(webp).facts
    assert (facts.frames, facts.width, facts.height, facts.error) == (12, 64, 32, None)
    assert any(examine_clip(webp).fingerprint)


def test_each_picture_stays_as_long_as_it_says(tmp_path):
    durations = [50, 200, *[100] * 9, 0]  # none at all is a tenth of a second to browsers
    path = write_animation(tmp_path / "a.webp", duration_ms=durations, lossless=True)
    with open_video(path) as video:
        assert video.seconds == pytest.approx(1.25)
        frames = video.frames_at(np.array([0.049, 0.05, 0.249, 0.25, 1.2]))
    assert read_numbers(frames) == [0, 1, 1, 2, 11]


def test_transparency_is_left_out(tmp_path):
    frames = np.concatenate([FRAMES, np.full((*FRAMES.shape[:3], 1), 255, np.uint8)], axis=3)
    frames[:, :, :8, 3] = 100
    path = write_animation(tmp_path / "a.webp", frames, lossless=True, exact=True)
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frames_at(np.zeros(1))[0, :, 8:], FRAMES[0, :, 8:])


def test_last_picture_for_an_hour(tmp_path):
    durations = [100] * 11 + [3_600_000]
    path = write_animation(tmp_path / "a.webp", duration_ms=durations, lossless=True)
    facts = examine_clip(path).facts
    assert facts.seconds == pytest.approx(1.2)
    assert "last frame lasts 1 h 00 min" in facts.odd


def test_what_is_cut_off_is_as_long_as_what_is_left_or_named(webp):
    try:
        with open_video(truncate(webp, 0.6)) as video:
            assert 3 < video.num_frames < 12
            video.frames_at(np.array([video.seconds]))
    except VideoError as error:
        assert "damaged or cut off" in str(error)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.avif"])
def test_other_animations_are_read_by_ffmpeg(tmp_path, name):
    try:
        path = write_animation(tmp_path / name)
    except (KeyError, ValueError, OSError):
        pytest.skip(f"this Pillow does not write {name[2:]}")
    with open_video(path) as video:
        assert read_numbers(video.frames_at(np.arange(12) / 10 + 0.05)) == list(range(12))
    facts = examine_clip(path).facts
    assert (facts.frames, facts.seconds, facts.odd) == (12, pytest.approx(1.2, abs=0.01), "")
