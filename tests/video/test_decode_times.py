"""Clips with times out of the ordinary: what is sampled goes by the length that is told."""

import av
import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.video.container import media_file
from autox_video.video.open_video import open_video, why_not_usable
from tests.videos import (
    numbered_frames,
    read_numbers,
    write_b_frames,
    write_stamped,
    write_video,
)

FRAMES = numbered_frames(60, 32, 64)
EVEN_MS = list(range(0, 2400, 40))
SPREAD = [3, 11, 18, 26, 33, 41, 48, 56]
DAY_MS = 95_443_717


@pytest.fixture(params=["pyav", "torchcodec", "decord"])
def decoder(request):
    reason = why_not_usable(request.param)
    if reason is not None:
        pytest.skip(reason)
    return request.param


@pytest.fixture(params=[0, 1 << 24], ids=["large", "small"])
def _size_of_file(request, monkeypatch):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", request.param)


def spread(path, decoder="pyav", *, count=8):
    """Give the numbers of frames at evenly spread times."""
    with open_video(path, decoder) as video:
        times = (np.arange(count) + 0.5) / count * video.seconds
        return read_numbers(video.frames_at(times))


def joined(path, parts=3, **more):
    """Write recordings of 20 frames each, one behind the other."""
    pieces = [
        write_b_frames(path.with_name(f"{part}{path.suffix}"), FRAMES[part * 20 : part * 20 + 20])
        for part in range(parts)
    ]
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    return path


def test_high_speed_camera_in_its_true_rate(tmp_path, decoder):
    path = write_video(tmp_path / "a.mp4", numbered_frames(200, 32, 64), fps=2000)
    assert spread(path, decoder) == [12, 37, 62, 87, 112, 137, 162, 187]
    facts = examine_clip(path).facts
    assert (facts.frames, facts.fps, facts.odd) == (
        200,
        pytest.approx(2000),
        "its timestamps give 2000 frames/s",
    )
    assert facts.seconds == pytest.approx(0.1)


@pytest.mark.usefixtures("_size_of_file")
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_clock_that_jumps(tmp_path, name):
    jump_ms = 3_600_000 if name == "a.ts" else DAY_MS  # its clock goes round in 26.5 h
    times = [time + (jump_ms if time >= 800 else 0) for time in EVEN_MS]
    path = write_stamped(tmp_path / name, FRAMES, times)
    assert spread(path) == SPREAD
    facts = examine_clip(path).facts
    assert facts.seconds == pytest.approx(2.4, abs=0.01)
    jump = "1 h 00 min" if name == "a.ts" else "26 h 30 min"
    assert facts.odd == f"its timestamps jump by {jump} after frame 20; the gap is closed"


def test_clock_that_jumps_is_closed_for_every_decoder(tmp_path, decoder):
    times = [time + (DAY_MS if time >= 800 else 0) for time in EVEN_MS]
    path = write_stamped(tmp_path / "a.mp4", FRAMES, times)
    assert spread(path, decoder) == SPREAD


@pytest.mark.usefixtures("_size_of_file")
def test_last_frame_for_an_hour(tmp_path):
    path = write_stamped(tmp_path / "a.mp4", FRAMES, EVEN_MS, last_ms=3_600_000)
    assert spread(path) == SPREAD
    facts = examine_clip(path).facts
    assert facts.seconds == pytest.approx(2.4)
    assert "last frame lasts 1 h 00 min" in facts.odd


@pytest.mark.parametrize("name", ["a.ts", "a.flv"])
def test_joined_recordings(tmp_path, name):
    path = tmp_path / name
    if name == "a.ts":
        joined(path)
    else:
        write_joined_flv(path)
    assert spread(path) == SPREAD
    facts = examine_clip(path).facts
    assert facts.seconds == pytest.approx(2.4, abs=0.02)
    assert "its timestamps go back after frame 20 and frame 40" in facts.odd


def write_joined_flv(path):
    """Write three recordings as one FLV, whose tags follow each other without an index."""
    parts = []
    for part in range(3):
        piece = path.with_name(f"{part}.flv")
        frames = FRAMES[part * 20 : part * 20 + 20]
        write_video(piece, frames, codec="flv", options={"b": "4000k", "g": "10"})
        parts.append(piece.read_bytes()[0 if part == 0 else 13 :])
    path.write_bytes(b"".join(parts))


def test_clock_that_starts_anew_is_refused_by_others_than_pyav(tmp_path):
    path = joined(tmp_path / "a.ts")
    with pytest.raises(VideoError, match="set decoder: pyav"):
        open_video(path, "decord")


@pytest.mark.usefixtures("_size_of_file")
@pytest.mark.parametrize(
    ("step_ms", "odd"), [(10_000, ""), (2000, ""), (500, ""), (40_000, "give 0.025 frames/s")]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_slow_clips_keep_their_times(tmp_path, name, step_ms, odd):
    times = list(range(0, 60 * step_ms, step_ms))
    path = write_stamped(tmp_path / name, FRAMES, times, last_ms=step_ms)
    assert spread(path) == SPREAD
    facts = examine_clip(path).facts
    assert facts.seconds == pytest.approx(60 * step_ms / 1000, rel=0.02)
    assert odd in facts.odd and bool(odd) == bool(facts.odd)


@pytest.mark.usefixtures("_size_of_file")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_screen_recording_that_stands_still_keeps_its_times(tmp_path, name):
    times = [*range(0, 1200, 40), *range(21_200, 22_400, 40)]
    path = write_stamped(tmp_path / name, FRAMES, times)
    with open_video(path) as video:
        wanted = np.array([0.5, 1.19, 10.0, 21.19, 21.21, 22.3])
        assert read_numbers(video.frames_at(wanted)) == [12, 29, 29, 29, 30, 57]
    assert examine_clip(path).facts.odd == "frame 30 stays on screen for 20 s of 22.4 s"


def test_frames_of_one_stamp_share_its_time(tmp_path):
    times = [time // 200 * 200 for time in EVEN_MS]
    path = write_stamped(tmp_path / "a.mkv", FRAMES, times)
    assert spread(path) == SPREAD
    assert "48 of its 60 frames have duplicate timestamps" in examine_clip(path).facts.odd


def test_raw_stream_without_stamps(tmp_path):
    path = write_b_frames(tmp_path / "a.h264", FRAMES)
    assert spread(path) == SPREAD
    facts = examine_clip(path).facts
    assert (facts.seconds, facts.odd) == (pytest.approx(2.4), "")


def test_recording_that_was_cut_between_two_key_frames_starts_at_the_second(tmp_path):
    options = {"crf": "5", "g": "20", "bf": "0"}
    path = write_video(tmp_path / "a.ts", FRAMES, codec="libx264", options=options)
    with av.open(str(path)) as container:
        starts = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    path.write_bytes(data[: starts[0]] + data[starts[5] :])
    assert spread(path) == [22, 27, 32, 37, 42, 47, 52, 57]
    facts = examine_clip(path).facts
    assert (facts.frames, facts.seconds) == (40, pytest.approx(1.6))
    assert "its first 15 frames are skipped: the key frame" in facts.odd


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize(("jump_ms", "last_ms"), [(DAY_MS, 40), (0, 3_600_000), (120_000, 40)])
def test_large_file_whose_header_is_wrong_is_counted(tmp_path, monkeypatch, name, jump_ms, last_ms):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    frames = numbered_frames(250, 16, 32)
    times = [time + (jump_ms if time >= 4000 else 0) for time in range(0, 10_000, 40)]
    path = write_stamped(tmp_path / name, frames, times, last_ms=last_ms)
    assert spread(path) == [15, 46, 78, 109, 140, 171, 203, 234]


@pytest.mark.parametrize(("name", "step_ms"), [("a.mp4", 0), ("a.mp4", DAY_MS), ("a.mkv", DAY_MS)])
def test_large_file_whose_rate_is_absurd_is_counted(tmp_path, monkeypatch, name, step_ms):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    path = write_stamped(tmp_path / name, FRAMES, [step_ms * number for number in range(60)])
    with open_video(path) as video:
        assert video.seconds == pytest.approx(2.4, abs=0.05)
        assert video.odd
    assert spread(path) == SPREAD


def test_large_sound_file_is_not_counted_for_its_times(tmp_path, monkeypatch):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    monkeypatch.setattr(media_file.MediaFile, "_count", None)
    frames = numbered_frames(250, 16, 32)
    path = write_stamped(tmp_path / "a.mp4", frames, list(range(0, 10_000, 40)))
    assert spread(path) == [15, 46, 78, 109, 140, 171, 203, 234]


@pytest.mark.parametrize("large", [True, False])
def test_an_edit_list_that_hides_all_is_told(tmp_path, monkeypatch, large):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0 if large else 1 << 24)
    path = write_video(tmp_path / "a.mp4", FRAMES, codec="libx264")
    content = bytearray(path.read_bytes())
    segment = content.find(b"elst") + 12
    content[segment : segment + 4] = bytes(4)  # no length
    path.write_bytes(content)
    said = "hidden by its edit list"
    assert said in examine_clip(path).facts.error
    with pytest.raises(VideoError), open_video(path) as video:
        video.frames_at(np.array([0.0, 1.0]))
