"""Frames at given times, exactly, and one clear sentence for every file that is not a clip."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest

from autox_video.dataset import decode
from autox_video.dataset.decode import Video
from autox_video.dataset.sampling import test_times as times_for_test
from autox_video.errors import VideoError
from tests.videos import (
    decode_all,
    numbered_frames,
    overwrite,
    read_numbers,
    real_clips,
    truncate,
    write_b_frames,
    write_empty_video,
    write_sound,
    write_text_video,
    write_video,
    write_video_with_sound,
)

FRAMES = numbered_frames(60)
CONTAINERS = ("mp4", "mkv", "avi", "ts", "h264")


def frames_at(path, times_sec):
    with Video(path) as video:
        return video.frames_at(np.array(times_sec))


def numbers_at(path, times_sec):
    return read_numbers(frames_at(path, times_sec))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264rgb"), ("a.mkv", "ffv1"), ("a.mkv", "libx264rgb"), ("a.avi", "huffyuv")],
)
def test_lossless_video_gives_back_the_same_frames(tmp_path, name, codec):
    path = write_video(tmp_path / name, FRAMES, codec=codec)
    with Video(path) as video:
        np.testing.assert_array_equal(video.frames_at(np.arange(60) / 25), FRAMES)
        assert (video.width, video.height, video.num_frames) == (48, 24, 60)
        assert video.seconds == pytest.approx(2.4, abs=1e-3)
        assert video.fps == pytest.approx(25, abs=0.01)
        assert video.codec in {"h264", "ffv1", "huffyuv"}


@pytest.mark.parametrize(
    ("time_sec", "number"),
    [
        (-5, 0),
        (0, 0),
        (0.039, 0),
        (0.04, 1),
        (0.0799, 1),
        (1.2, 30),
        (2.39, 59),
        (2.4, 59),
        (9, 59),
    ],
)
def test_frame_on_screen_is_the_last_that_began(tmp_path, time_sec, number):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    assert numbers_at(path, [time_sec]) == [number]


@pytest.mark.parametrize("fps", [24, 25, Fraction(30000, 1001), 60, 7])
def test_frame_times_in_floating_point_hit_their_own_frame(tmp_path, fps):
    path = write_video(tmp_path / "a.mp4", FRAMES, fps=fps)
    step = 1 / float(fps)
    assert numbers_at(path, [i * step for i in range(60)]) == list(range(60))
    assert numbers_at(path, np.cumsum([0] + [step] * 59)) == list(range(60))


def test_times_in_any_order_and_repeated(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    wanted = [50, 3, 3, 59, 0, 50, 17]
    assert numbers_at(path, np.array(wanted) / 25) == wanted


def test_same_open_video_answers_again_and_again(tmp_path):
    options = {"crf": "0", "g": "10"}
    path = write_video(tmp_path / "a.mp4", FRAMES, options=options)
    with Video(path) as video:
        for number in (40, 3, 59, 30, 30, 0):
            frame = video.frames_at(np.array([number / 25]))
            np.testing.assert_array_equal(frame[0], FRAMES[number])


def test_no_times_give_no_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES[:3])
    assert frames_at(path, []).shape == (0, 24, 48, 3)


@pytest.mark.parametrize("times", [[np.nan], [np.inf], [[0.0]]])
def test_impossible_times_are_refused(tmp_path, times):
    path = write_video(tmp_path / "a.mp4", FRAMES[:3])
    with pytest.raises(ValueError, match="finite"):
        frames_at(path, times)


def test_odd_size(tmp_path):
    frames = numbered_frames(5, height=17, width=33)
    path = write_video(tmp_path / "a.mp4", frames)
    np.testing.assert_array_equal(frames_at(path, np.arange(5) / 25), frames)


def test_one_frame(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES[:1])
    with Video(path) as video:
        assert (video.num_frames, video.seconds, video.fps) == (1, 0.04, 25)
        np.testing.assert_array_equal(video.frames_at(np.array([0.0, 0.03, 5])), FRAMES[[0, 0, 0]])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("open_gop", [False, True])
def test_b_frames_in_every_container(tmp_path, container, open_gop):
    path = write_b_frames(tmp_path / f"b.{container}", numbered_frames(90), open_gop=open_gop)
    whole = decode_all(path)
    assert read_numbers(whole) == list(range(90))
    with Video(path) as video:
        np.testing.assert_array_equal(video.frames_at(np.arange(90) / 25), whole)
        for number in range(89, -1, -1):
            frame = video.frames_at(np.array([number / 25 + 0.01]))
            np.testing.assert_array_equal(frame[0], whole[number], err_msg=f"frame {number}")


@pytest.mark.parametrize(("codec", "name"), [("mpeg4", "b.avi"), ("mpeg2video", "b.mpg")])
def test_b_frames_of_mpeg(tmp_path, codec, name):
    options = {"bf": "2", "g": "12", "b": "2000k"}
    path = write_video(tmp_path / name, numbered_frames(60), codec=codec, options=options)
    with Video(path) as video:
        for number in (59, 31, 30, 0, 47):
            assert read_numbers(video.frames_at(np.array([number / 25 + 0.01]))) == [number]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_variable_frame_rate(tmp_path, container):
    times_ms = [0, 10, 500, 520, 3000]
    path = write_video(tmp_path / f"v.{container}", FRAMES[:5], times_ms=times_ms)
    wanted = [0.0, 0.005, 0.01, 0.3, 0.49, 0.51, 0.52, 1.5, 2.99, 3.0, 3.02]
    assert numbers_at(path, wanted) == [0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4]
    with Video(path) as video:
        assert video.num_frames == 5
        assert video.seconds == pytest.approx(3.04, abs=0.001)
        assert video.fps == pytest.approx(5 / 3.04, abs=0.01)


def test_video_whose_first_frame_is_late_starts_at_its_first_frame(tmp_path):
    path = write_video(tmp_path / "v.mkv", FRAMES[:4], times_ms=[5000, 5040, 6500, 6540])
    with Video(path) as video:
        assert read_numbers(video.frames_at(np.array([0, 0.04, 1.49, 1.5, 1.6]))) == [0, 1, 1, 2, 3]
        assert video.seconds == pytest.approx(1.58)


def test_avi_with_left_out_frames_repeats_them(tmp_path):
    # The muxer fills the gap with empty packets, which must not be taken for the end of the file.
    times_ms = [0, 40, 400, 440, 1200]
    path = write_video(tmp_path / "v.avi", FRAMES[:5], codec="mpeg4", times_ms=times_ms)
    assert numbers_at(path, [0, 0.05, 0.39, 0.41, 0.45, 1.1, 1.21]) == [0, 1, 1, 2, 3, 3, 4]


def test_same_scene_at_other_frame_rates_gives_the_same_scene(tmp_path):
    seen = []
    for fps in (15, 60):
        # The number is the scene's time in fifteenths of a second.
        scene = FRAMES[np.arange(2 * fps) * 15 // fps]
        path = write_video(tmp_path / f"{fps}.mp4", scene, fps=fps)
        with Video(path) as video:
            times = times_for_test(video.seconds, 8, 0.2, num_clips=2)
            seen.append(read_numbers(video.frames_at(times.reshape(-1))))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("pixels", ["gray", "yuv420p10le", "yuv444p", "yuvj420p"])
def test_other_pixel_formats_become_rgb(tmp_path, pixels):
    codec = "ffv1" if pixels != "yuvj420p" else "mjpeg"
    path = write_video(tmp_path / "p.mkv", FRAMES[:20], codec=codec, pixels=pixels)
    assert numbers_at(path, np.arange(20) / 25) == list(range(20))


def test_frames_keep_the_size_of_the_header_where_it_changes_inside(tmp_path):
    small, large = numbered_frames(10), numbered_frames(10, height=48, width=96)
    parts = [write_video(tmp_path / f"{i}.ts", f) for i, f in enumerate((small, large))]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert frames_at(path, np.arange(20) / 25).shape == (20, 24, 48, 3)


# ---- seeking ----


def test_far_frames_are_reached_by_a_seek(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", FRAMES, options={"crf": "0", "g": "10"})
    decoded = []
    plain = decode._decode
    monkeypatch.setattr(decode, "_decode", lambda packet: decoded.append(packet) or plain(packet))
    assert numbers_at(path, [55 / 25]) == [55]
    assert len(decoded) < 15


@pytest.mark.parametrize("landing", ["late", "refused", "early"])
def test_seek_that_lands_elsewhere_is_not_believed(tmp_path, monkeypatch, landing):
    path = write_video(tmp_path / "a.mp4", FRAMES, options={"crf": "0", "g": "10"})
    with Video(path) as video:
        video.frames_at(np.zeros(1))
        container = video._container
        video._container = _Lying(container, landing)
        assert read_numbers(video.frames_at(np.array([1.3, 2.2]))) == [32, 55]


class _Lying:
    """A container whose seeks go wrong."""

    def __init__(self, container, landing):
        self._container, self._landing = container, landing

    def __getattr__(self, name):
        return getattr(self._container, name)

    def seek(self, offset, *, stream):
        if self._landing == "refused":
            raise av.error.PermissionError(1, "seek")
        last_key = round(2.0 / stream.time_base)
        self._container.seek(last_key if self._landing == "late" else 0, stream=stream)


# ---- lengths ----


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_length_is_that_of_the_pictures_not_of_the_sound(tmp_path, container):
    path = write_video_with_sound(tmp_path / f"s.{container}", FRAMES[:10], sound_seconds=3)
    with Video(path) as video:
        assert video.seconds == pytest.approx(0.4, abs=0.01)
        assert video.num_frames == 10


def test_large_file_is_not_read_to_know_its_length(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    monkeypatch.setattr(decode, "COUNT_UP_TO_BYTES", 0)
    monkeypatch.setattr(Video, "_count", None)
    with Video(path) as video:
        assert (video.num_frames, video.seconds, video.fps) == (60, 2.4, 25)


def test_absurd_times_in_the_file_give_the_nominal_length(tmp_path):
    times_ms = [0, 40, 80, 80_000_000]  # four frames in 22 hours
    path = write_video(tmp_path / "v.mkv", FRAMES[:4], times_ms=times_ms)
    with Video(path) as video:
        assert (video.num_frames, video.seconds, video.fps) == (4, 4 / 25, 25)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((Fraction(30), Fraction(25)), 30),
        ((None, Fraction(30000, 1001)), 30000 / 1001),
        ((Fraction(0), Fraction(90000), Fraction(24)), 24),
        ((Fraction(1, 10**6), None), decode.FALLBACK_FPS),
    ],
)
def test_first_sensible_rate_is_believed(rates, expected):
    assert decode._believed_fps(*rates) == pytest.approx(expected)


# ---- what is not a clip ----


def folder(path):
    path.mkdir()
    return path


def fifo(path):
    os.mkfifo(path)
    return path


def torn_mp4(path):
    return truncate(write_video(path, FRAMES), 0.5)


def playlist(path):
    path.write_text("ffconcat version 1.0\nfile 'other.mp4'\n")
    write_video(path.with_name("other.mp4"), FRAMES[:3])
    return path


def header_only(path):
    return truncate(write_video(path.with_suffix(".mkv"), FRAMES), 0.1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path, "there is no such file"),
        (lambda path: path / "b.mp4" if write_text_video(path) else None, "it cannot be read"),
        (folder, "this is a folder"),
        (fifo, "a device or a pipe"),
        (write_empty_video, "the file is empty"),
        (write_text_video, "this is not a video"),
        (playlist, "this is text"),
        (torn_mp4, "this is not a video, or its header is damaged or cut off"),
        (lambda path: write_sound(path.with_suffix(".m4a")), "no pictures in it"),
        (lambda path: write_sound(path.with_suffix(".wav")), "no pictures in it"),
        (lambda path: write_sound(path.with_suffix(".mp3")), "no pictures in it"),
    ],
)
def test_what_is_not_a_clip_gets_one_sentence(tmp_path, make, reason):
    path = make(tmp_path / "clip.mp4")
    with pytest.raises(VideoError) as caught:
        Video(path)
    (sentence,) = caught.value.problems
    assert sentence.startswith(f"{path}: ")
    assert reason in sentence
    assert sentence.endswith(".") and "\n" not in sentence


def test_file_without_permission_gets_one_sentence(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", FRAMES[:3])

    def refuse(*_, **__):
        raise av.error.PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(av, "open", refuse)  # the tests may run as root, who may read all
    with pytest.raises(VideoError, match=r"cannot be opened \(Permission denied\)"):
        Video(path)


def test_strange_names_are_opened_as_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4", "a b%03d#?.mp4", "-y.mp4", os.fsdecode(b"\xff\xe9.mp4"), "片.mp4"):
        plain = write_video(tmp_path / "plain.mp4", FRAMES[:3])
        os.replace(plain, name)
        assert numbers_at(name, [0.05]) == [1]


# ---- damage ----


def test_cut_off_avi_is_as_long_as_what_is_left(tmp_path):
    frames = numbered_frames(60, height=96, width=160)
    path = write_video(tmp_path / "a.avi", frames, codec="mpeg4", options={"g": "12"})
    truncate(path, 0.5)
    with Video(path) as video:
        assert 2 <= video.num_frames < 50
        assert video.seconds == pytest.approx(video.num_frames / 25)
        video.examine()
        last = video.num_frames - 1
        assert read_numbers(video.frames_at(np.array([last / 25, 0.0]))) == [last, 0]


def write_fast_start(path):
    """Write 4 s of mp4 whose index is in front, so that it opens when its end is missing."""
    return write_video(
        path,
        numbered_frames(100),
        options={"crf": "0", "preset": "ultrafast", "g": "10"},
        container_options={"movflags": "faststart"},
    )


def test_cut_off_mp4_with_its_index_in_front_is_as_long_as_what_is_left(tmp_path):
    path = truncate(write_fast_start(tmp_path / "a.mp4"), 0.6)
    with Video(path) as video:
        assert 30 <= video.num_frames < 80
        last = video.num_frames - 1
        assert read_numbers(video.frames_at(np.array([last / 25]))) == [last]


def test_large_cut_off_file_never_freezes_silently(tmp_path, monkeypatch):
    path = truncate(write_fast_start(tmp_path / "a.mp4"), 0.5)
    monkeypatch.setattr(decode, "COUNT_UP_TO_BYTES", 0)
    with Video(path) as video:
        assert video.seconds == 4.0  # what its header promises
        assert read_numbers(video.frames_at(np.array([0.4]))) == [10]
        with pytest.raises(VideoError, match=r"cut off, nothing can be decoded from \d\.\d s to 3"):
            video.frames_at(np.array([0.4, 3.9]))
        video.examine()
        assert video.seconds < 3.0
        last = video.num_frames - 1
        assert read_numbers(video.frames_at(np.array([0.4, video.seconds]))) == [10, last]


def test_damage_in_the_middle_is_said_with_its_place(tmp_path):
    path = overwrite(write_fast_start(tmp_path / "a.mp4"), 0.4, 0.98)
    with Video(path) as video:
        assert read_numbers(video.frames_at(np.array([0.2, 0.4]))) == [5, 10]
        with pytest.raises(VideoError, match=r"nothing can be decoded from 1\.\d s to 3\.6 s"):
            video.frames_at(np.array([0.2, 3.6]))


def test_end_that_was_never_written_is_found(tmp_path):
    path = overwrite(write_fast_start(tmp_path / "a.mp4"), 0.9, 1.0)
    with Video(path) as video, pytest.raises(VideoError, match="its end holds only zeros"):
        video.examine()


def test_raw_video_may_end_in_black(tmp_path):
    path = write_video(tmp_path / "a.avi", FRAMES[:3] * 0, codec="rawvideo", pixels="bgr24")
    with Video(path) as video:
        video.examine()


def test_last_key_frame_that_cannot_be_decoded_is_found(tmp_path):
    path = write_fast_start(tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    last_key = max(n for n, packet in enumerate(packets) if packet.is_keyframe)
    with open(path, "r+b") as file:
        for packet in packets[last_key - 30 :]:
            file.seek(packet.pos + 5)  # behind the bytes that tell the kind of packet
            file.write(b"\xff" * (packet.size - 5))
    with Video(path) as video, pytest.raises(VideoError, match="damaged or cut off"):
        video.examine()


def test_short_damage_shows_the_last_good_frame(tmp_path):
    path = overwrite(write_fast_start(tmp_path / "a.mp4"), 0.5, 0.51)
    with Video(path) as video:
        numbers = read_numbers(video.frames_at(np.arange(100) / 25))
    assert numbers[:30] == list(range(30)) and numbers[-30:] == list(range(70, 100))
    assert numbers != list(range(100))


def test_file_of_garbage_behind_a_good_header(tmp_path):
    path = overwrite(write_fast_start(tmp_path / "a.mp4"), 0.2, 1.0)
    with Video(path) as video, pytest.raises(VideoError, match=r"can be decoded|damaged"):
        video.frames_at(np.array([3.0]))


# ---- real clips ----


def test_real_clips_give_the_frames_of_a_plain_decode():
    rng = np.random.default_rng(0)
    for path in sorted((real_clips() / "videos").iterdir())[:12]:
        whole = decode_all(path)
        with Video(path) as video:
            assert video.num_frames == len(whole)
            numbers = rng.integers(0, len(whole), size=6)
            times = (numbers + 0.5) / video.fps
            np.testing.assert_array_equal(video.frames_at(times), whole[numbers])
            np.testing.assert_array_equal(video.frames_at(times[:1])[0], whole[numbers[0]])
