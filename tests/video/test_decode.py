"""Frames at given times, exactly, and true lengths."""

import gc
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest

from autox_video.video.container import media_file
from autox_video.video.decoders import pyav
from autox_video.video.files.video_file import FALLBACK_FPS, plausible_fps
from autox_video.video.open_video import open_video
from autox_video.video.sampling import test_times as times_for_test
from tests.videos import (
    decode_all,
    numbered_frames,
    read_numbers,
    real_clips,
    write_b_frames,
    write_video,
    write_video_with_sound,
)

FRAMES = numbered_frames(60)
CONTAINERS = ("mp4", "mkv", "avi", "ts", "h264")


def frames_at(path, times_sec):
    with open_video(path) as video:
        return video.frames_at(np.array(times_sec))


def numbers_at(path, times_sec):
    return read_numbers(frames_at(path, times_sec))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264rgb"), ("a.mkv", "ffv1"), ("a.mkv", "libx264rgb"), ("a.avi", "huffyuv")],
)
def test_lossless_video_gives_back_the_same_frames(tmp_path, name, codec):
    path = write_video(tmp_path / name, FRAMES, codec=codec)
    with open_video(path) as video:
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
    with open_video(path) as video:
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
    with open_video(path) as video:
        assert (video.num_frames, video.seconds, video.fps) == (1, 0.04, 25)
        np.testing.assert_array_equal(video.frames_at(np.array([0.0, 0.03, 5])), FRAMES[[0, 0, 0]])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("open_gop", [False, True])
def test_b_frames_in_every_container(tmp_path, container, open_gop):
    path = write_b_frames(tmp_path / f"b.{container}", numbered_frames(90), open_gop=open_gop)
    whole = decode_all(path)
    assert read_numbers(whole) == list(range(90))
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frames_at(np.arange(90) / 25), whole)
        for number in range(89, -1, -1):
            frame = video.frames_at(np.array([number / 25 + 0.01]))
            np.testing.assert_array_equal(frame[0], whole[number], err_msg=f"frame {number}")


@pytest.mark.parametrize(("codec", "name"), [("mpeg4", "b.avi"), ("mpeg2video", "b.mpg")])
def test_b_frames_of_mpeg(tmp_path, codec, name):
    options = {"bf": "2", "g": "12", "b": "2000k"}
    path = write_video(tmp_path / name, numbered_frames(60), codec=codec, options=options)
    with open_video(path) as video:
        for number in (59, 31, 30, 0, 47):
            assert read_numbers(video.frames_at(np.array([number / 25 + 0.01]))) == [number]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_variable_frame_rate(tmp_path, container):
    times_ms = [0, 10, 500, 520, 3000]
    path = write_video(tmp_path / f"v.{container}", FRAMES[:5], times_ms=times_ms)
    wanted = [0.0, 0.005, 0.01, 0.3, 0.49, 0.51, 0.52, 1.5, 2.99, 3.0, 3.02]
    assert numbers_at(path, wanted) == [0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4]
    with open_video(path) as video:
        assert video.num_frames == 5
        assert video.seconds == pytest.approx(3.04, abs=0.001)
        assert video.fps == pytest.approx(5 / 3.04, abs=0.01)


def test_video_whose_first_frame_is_late_starts_at_its_first_frame(tmp_path):
    path = write_video(tmp_path / "v.mkv", FRAMES[:4], times_ms=[5000, 5040, 6500, 6540])
    with open_video(path) as video:
        assert read_numbers(video.frames_at(np.array([0, 0.04, 1.49, 1.5, 1.6]))) == [0, 1, 1, 2, 3]
        assert video.seconds == pytest.approx(1.58)


def test_avi_with_left_out_frames_repeats_them(tmp_path):
    # The muxer fills the gaps with empty chunks, which must not be taken for the end of the file.
    times_ms = [0, 40, 400, 440, 1200]
    path = write_video(tmp_path / "v.avi", FRAMES[:5], codec="mpeg4", times_ms=times_ms)
    assert numbers_at(path, [0, 0.05, 0.39, 0.41, 0.45, 1.1, 1.21]) == [0, 1, 1, 2, 3, 3, 4]


def test_same_scene_at_other_frame_rates_gives_the_same_scene(tmp_path):
    seen = []
    for fps in (15, 60):
        # The number is the scene's time in fifteenths of a second.
        scene = FRAMES[np.arange(2 * fps) * 15 // fps]
        path = write_video(tmp_path / f"{fps}.mp4", scene, fps=fps)
        with open_video(path) as video:
            times = times_for_test(video.seconds, 8, 0.2, num_clips=2)
            seen.append(read_numbers(video.frames_at(times.reshape(-1))))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("pixels", ["gray", "yuv420p10le", "yuv444p", "yuvj420p"])
def test_other_pixel_formats_become_rgb(tmp_path, pixels):
    codec = "ffv1" if pixels != "yuvj420p" else "mjpeg"
    path = write_video(tmp_path / "p.mkv", FRAMES[:20], codec=codec, pixels=pixels)
    assert numbers_at(path, np.arange(20) / 25) == list(range(20))


def test_times_that_start_anew_inside_a_file_go_on(tmp_path):
    parts = [
        write_b_frames(tmp_path / f"{i}.ts", FRAMES[i * 20 : i * 20 + 20]).read_bytes()
        for i in range(3)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    assert numbers_at(path, np.arange(60) / 25) == list(range(60))


def test_frames_keep_the_size_of_the_header_where_it_changes_inside(tmp_path):
    small, large = numbered_frames(10), numbered_frames(10, height=48, width=96)
    parts = [write_video(tmp_path / f"{i}.ts", f) for i, f in enumerate((small, large))]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert frames_at(path, np.arange(20) / 25).shape == (20, 24, 48, 3)


# ---- seeking ----


@pytest.fixture
def decoded(monkeypatch):
    """The packets that were decoded."""
    packets = []
    plain = media_file.MediaFile.decode
    monkeypatch.setattr(
        media_file.MediaFile,
        "decode",
        lambda file, packet, *number: packets.append(packet) or plain(file, packet, *number),
    )
    return packets


@pytest.fixture
def large(monkeypatch):
    """Every file is large: not read whole when it is opened."""
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)


@pytest.mark.parametrize("up_to_bytes", [0, 1 << 20])
def test_far_frames_are_reached_without_what_is_before(tmp_path, decoded, monkeypatch, up_to_bytes):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", up_to_bytes)
    path = write_video(tmp_path / "a.mp4", FRAMES, options={"crf": "0", "g": "10"})
    assert numbers_at(path, [55 / 25]) == [55]
    assert len(decoded) < 15


def test_seek_that_lands_late_is_tried_from_earlier(tmp_path, decoded, large, monkeypatch):
    path = write_b_frames(tmp_path / "a.mp4", numbered_frames(200), open_gop=True)
    landed, plain = [], pyav.packets_between
    monkeypatch.setattr(
        pyav, "packets_between", lambda *given: landed.append(plain(*given)) or landed[-1]
    )
    with open_video(path) as video:
        video.frames_at(np.zeros(1))
        for number in range(160, 200):
            decoded.clear()
            assert read_numbers(video.frames_at(np.array([number / 25]))) == [number]
            assert len(decoded) < 45  # of one group, or two where it is ahead of its key frame
    assert [] in landed


@pytest.mark.parametrize("landing", ["late", "refused", "early", "off_key"])
def test_seek_that_lands_elsewhere_is_not_believed(tmp_path, landing, large):
    path = write_video(tmp_path / "a.mp4", FRAMES, codec="mpeg4", options={"g": "10"})
    with open_video(path) as video:
        video.frames_at(np.zeros(1))
        file = video.file
        file.container = _Lying(file.container, landing)
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
        second = {"late": 2.0, "early": 0.0, "off_key": 1.24}[self._landing]
        offset = round(second / stream.time_base)
        self._container.seek(offset, stream=stream, any_frame=self._landing == "off_key")


# ---- lengths ----


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_length_is_that_of_the_pictures_not_of_the_sound(tmp_path, container):
    path = write_video_with_sound(tmp_path / f"s.{container}", FRAMES[:10], sound_seconds=3)
    with open_video(path) as video:
        assert video.seconds == pytest.approx(0.4, abs=0.01)
        assert video.num_frames == 10


def test_large_file_is_not_read_to_know_its_length(tmp_path, monkeypatch, large):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    monkeypatch.setattr(media_file.MediaFile, "_count", None)
    with open_video(path) as video:
        assert (video.num_frames, video.seconds, video.fps) == (60, 2.4, 25)


def test_absurd_times_in_the_file_give_the_nominal_length(tmp_path):
    times_ms = [0, 40, 80, 80_000_000]  # four frames in 22 hours
    path = write_video(tmp_path / "v.mkv", FRAMES[:4], times_ms=times_ms)
    with open_video(path) as video:
        assert (video.num_frames, video.seconds, video.fps) == (4, 4 / 25, 25)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((Fraction(30), Fraction(25)), 30),
        ((None, Fraction(30000, 1001)), 30000 / 1001),
        ((Fraction(0), Fraction(90000), Fraction(24)), 24),
        ((Fraction(1, 10**6), None), FALLBACK_FPS),
    ],
)
def test_first_sensible_rate_is_believed(rates, expected):
    assert plausible_fps(*rates) == pytest.approx(expected)


# ---- real clips ----


def test_real_clips_give_the_frames_of_a_plain_decode():
    rng = np.random.default_rng(0)
    for path in sorted((real_clips() / "videos").iterdir())[:12]:
        whole = decode_all(path)
        with open_video(path) as video:
            assert video.num_frames == len(whole)
            numbers = rng.integers(0, len(whole), size=6)
            times = (numbers + 0.5) / video.fps
            np.testing.assert_array_equal(video.frames_at(times), whole[numbers])
            np.testing.assert_array_equal(video.frames_at(times[:1])[0], whole[numbers[0]])


def test_a_file_is_counted_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    counted, count = [], media_file.MediaFile._count
    monkeypatch.setattr(
        media_file.MediaFile, "_count", lambda file: counted.append(file.path) or count(file)
    )
    path = tmp_path / "clip.mkv"
    for frames in (6, 9):
        write_video(path, numbered_frames(frames))
        found = []
        for _ in range(3):
            with open_video(path) as video:
                video.examine()
                found.append((video.num_frames, video.seconds, video.fps))
        assert len(set(found)) == 1
        assert found[0][0] == frames
    assert len(counted) == 2


def test_a_closed_video_is_freed_at_once(tmp_path):
    # In a circle of references, decoders would pile up until Python looks for circles.
    path = write_b_frames(tmp_path / "a.mp4", numbered_frames(40))
    gc.collect()
    gc.disable()
    try:
        for times in ([0.0], [1.5], [0.2, 1.5]):
            with open_video(path) as video:
                video.examine()
                video.frames_at(np.array(times))
                file = weakref.ref(video.file)
            del video
            assert file() is None
    finally:
        gc.enable()


def test_long_clips_are_sought_through_and_cost_no_memory(tmp_path, decoded, large, monkeypatch):
    still = np.zeros((1, 16, 32, 3), dtype=np.uint8)
    frames = np.concatenate([numbered_frames(100, 16, 32), still.repeat(11_900, axis=0)])
    frames[-50:] = numbered_frames(150, 16, 32)[-50:]
    options = {"g": "100", "bf": "0", "b": "500k"}
    path = write_video(tmp_path / "a.mp4", frames, fps=2, codec="mpeg4", options=options)
    read = []
    plain = media_file.MediaFile.read
    monkeypatch.setattr(
        media_file.MediaFile,
        "read",
        lambda file: (read.append(packet.size) or packet for packet in plain(file)),
    )
    with open_video(path) as video:
        assert video.seconds == 6000
        times = np.array([5.0, 2000.0, 4000.0, 5999.9])
        frames = video.frames_at(times)
    assert read_numbers(frames) == [10, 0, 0, 149]
    assert len(read) < 700 and len(decoded) < 450
    assert len(video.file._kept) == 0
