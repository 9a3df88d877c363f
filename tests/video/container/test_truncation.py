"""Clips whose end is missing are told of; whole ones, whatever their headers say, are not."""

import av
import numpy as np
import pytest

from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.video.container import media_file
from autox_video.video.container.truncation import is_cut_off
from autox_video.video.open_video import open_video
from tests.videos import (
    numbered_frames,
    overwrite,
    read_numbers,
    truncate,
    write_stamped,
    write_video,
    write_video_with_sound,
)

FRAMES = numbered_frames(100, 32, 64)
KEYS = {"g": "10", "preset": "ultrafast"}


def write(path, movflags=""):
    codec = {".avi": "mpeg4", ".webm": "libvpx"}.get(path.suffix, "libx264")
    return write_video(
        path,
        FRAMES,
        codec=codec,
        options=KEYS if codec == "libx264" else {},
        container_options={"movflags": movflags} if movflags else {},
    )


HALVES = {
    "begun.mp4": "faststart",
    "pieces.mp4": "frag_keyframe+empty_moov",
    "a.mkv": "",
    "a.webm": "",
    "a.flv": "",
    "a.avi": "",
}


@pytest.mark.parametrize("name", HALVES)
def test_a_clip_that_is_cut_off_is_told_of(tmp_path, name):
    path = write(tmp_path / name, HALVES[name])
    whole = examine_clip(path).facts
    assert (whole.frames, whole.odd) == (100, "")
    facts = examine_clip(truncate(path, 0.8)).facts
    assert 1 < facts.frames < 95
    assert f"but the video ends at {facts.seconds:.3g} s: it seems to be cut off" in facts.odd


@pytest.mark.parametrize("name", ["begun.mp4", "a.mkv", "a.webm"])
def test_a_large_clip_that_is_cut_off_is_counted(tmp_path, monkeypatch, name):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    path = write(tmp_path / name, HALVES[name])
    with open_video(path) as video:
        assert (video.seconds, video.odd) == (pytest.approx(4), ())
    with open_video(truncate(path, 0.6)) as video:
        assert video.seconds == pytest.approx(video.num_frames / 25)
        assert "it seems to be cut off" in " ".join(video.odd)
        times = (np.arange(4) + 0.5) / 4 * video.seconds
        shown = read_numbers(video.frames_at(times))
    assert shown == (times * 25 + 1e-3).astype(int).tolist()


def test_live_streams_have_no_end_to_miss(tmp_path):
    path = write_video(
        tmp_path / "a.webm", FRAMES, codec="libvpx", options={}, container_options={"live": "1"}
    )
    with av.open(str(path)) as container:
        assert not is_cut_off(path, container, container.streams.video[0])
    assert examine_clip(path).facts.odd == ""


def test_a_single_frame_is_told_of(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES[:1])
    assert examine_clip(path).facts.odd == "it has only one frame"


def test_an_end_of_zeros_is_told_of(tmp_path):
    facts = examine_clip(overwrite(write(tmp_path / "a.mkv"), 0.5, 1)).facts
    assert "its header gives 4 s" in facts.odd


def test_what_is_cut_off_is_told_of_beside_sound(tmp_path):
    path = write_video_with_sound(tmp_path / "a.mkv", FRAMES, sound_seconds=8)
    assert examine_clip(path).facts.odd == ""
    assert "its header gives 4 s" in examine_clip(truncate(path, 0.4)).facts.odd


@pytest.mark.parametrize(
    "first_ms", [0, 5000, 36_000_000], ids=["from 0", "from 5 s", "from ten hours"]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_whole_clips_are_not(tmp_path, name, first_ms):
    times = first_ms + np.cumsum([0, *np.tile([20, 60, 40], 33)])
    facts = examine_clip(write_stamped(tmp_path / name, FRAMES, times.tolist())).facts
    assert (facts.frames, facts.odd) == (100, "")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv"])
def test_longer_sound_promises_no_pictures(tmp_path, name):
    if name == "a.flv":
        times = list(range(1000, 5000, 40))
        path = write_stamped(tmp_path / name, FRAMES, times, silence=(1, 9), codec="flv")
    else:
        path = write_video_with_sound(tmp_path / name, FRAMES, sound_seconds=9)
    assert examine_clip(path).facts.odd == ""
