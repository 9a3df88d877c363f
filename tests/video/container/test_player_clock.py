"""Seconds of a list are those of the player's clock, which starts with whatever comes first."""

import re

import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.data.inspection.inspected_listing import _of_part
from autox_video.data.loading.transforms import ReadClips
from autox_video.video.container import media_file
from autox_video.video.open_video import open_video, why_not_usable
from tests.videos import numbered_frames, read_numbers, write_stamped

FRAMES = numbered_frames(100, 32, 64)
TEN_HOURS_MS = 36_000_000


@pytest.fixture(params=["pyav", "torchcodec", "decord"])
def decoder(request):
    if reason := why_not_usable(request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture(params=[0, 1 << 24], ids=["large", "small"])
def _size_of_file(request, monkeypatch):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", request.param)


def clip_from(path, first_ms, silence=None):
    """Write 4 s of numbered frames from a time on, beside sound from one second to another."""
    times = list(range(first_ms, first_ms + 4000, 40))
    return write_stamped(path, FRAMES, times, silence=silence)


def numbers_in(path, segment, decoder="auto", clip_len=4):
    seconds = 4.0 if segment is None else min(segment[1], 6.0) - segment[0]
    read = ReadClips(clip_len, seconds / clip_len, test_mode=True, decoder=decoder)
    item = {"filename": str(path)} | ({} if segment is None else {"segment": segment})
    return read_numbers(np.stack(read(item)["imgs"]))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_that_starts_first_starts_the_clock(tmp_path, name, decoder):
    path = clip_from(tmp_path / name, 2000, (0, 6))
    assert numbers_in(path, (3.0, 4.0), decoder) == [28, 34, 40, 46]
    assert numbers_in(path, None, decoder) == [12, 37, 62, 87]  # all pictures, whatever the clock


@pytest.mark.usefixtures("_size_of_file")
@pytest.mark.parametrize(
    ("name", "first_ms", "silence", "start_sec"),
    [
        ("a.mp4", 2000, (0, 6), 2),
        ("a.mkv", 2000, (0, 6), 2),
        ("a.ts", 2000, (0, 6), 2),
        ("a.flv", 3000, (1, 6), 2),
        ("a.mp4", 0, (0, 6), 0),
        ("a.mkv", 0, (2, 6), 0),  # sound that starts later
        ("a.mkv", 5000, None, 0),  # pictures alone start the clock themselves
        ("a.ts", TEN_HOURS_MS, None, 0),
        ("a.ts", TEN_HOURS_MS + 1500, (36_000, 36_003), 1.5),
        ("a.mkv", TEN_HOURS_MS + 1500, (36_000, 36_003), 1.5),
    ],
)
def test_first_picture_on_the_clock(tmp_path, name, first_ms, silence, start_sec):
    path = tmp_path / name
    if name == "a.flv":
        times = list(range(first_ms, first_ms + 4000, 40))
        write_stamped(path, FRAMES, times, silence=silence, codec="flv")
    else:
        clip_from(path, first_ms, silence)
    # A frame of AAC and the delay of its encoder may come before the first sound.
    with open_video(path) as video:
        assert video.start_sec == pytest.approx(start_sec, abs=0.05)
        assert read_numbers(video.frames_at(np.array([0.0, 2.0]))) == [0, 50]
    facts = examine_clip(path).facts
    assert facts.start == pytest.approx(start_sec, abs=0.05)
    assert (facts.seconds, facts.odd) == (pytest.approx(4, abs=0.01), "")


def test_parts_of_segments_without_pictures_are_left_out(tmp_path):
    path = clip_from(tmp_path / "a.mkv", 2000, (0, 6))
    assert all(number < 26 for number in numbers_in(path, (1.0, 3.0)))
    facts = examine_clip(path).facts
    assert _of_part(facts, (1.0, 3.0)).seconds == pytest.approx(1.0, abs=0.05)
    assert _of_part(facts, (3.0, 4.0)).frames == 25
    assert _of_part(facts, (0.0, np.inf)) == facts


def test_pictures_that_come_a_day_after_the_sound_start_the_clock_themselves(tmp_path):
    path = clip_from(tmp_path / "a.mkv", 86_400_000, (0, 6))
    facts = examine_clip(path).facts
    assert (facts.start, facts.seconds) == (0.0, pytest.approx(4, abs=0.01))
    assert "its video starts 24 h 00 min after its audio" in facts.odd
    assert numbers_in(path, (3.0, 4.0)) == [78, 84, 90, 96]


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        (
            (0.0, 1.5),
            r"ends at 1.5 s, but the video starts at [12]\.\d\d s, after the audio",
        ),
        ((6.5, 7.0), r"begins at 6.5 s, but the video ends at (6|5\.\d+) s"),
    ],
)
def test_segments_without_a_picture_are_named(tmp_path, segment, reason):
    path = clip_from(tmp_path / "a.mkv", 2000, (0, 6))
    with pytest.raises(VideoError, match=reason):
        ReadClips(4, 0.1, test_mode=True)({"filename": str(path), "segment": segment})
    assert re.search(reason, _of_part(examine_clip(path).facts, segment).error)
