"""Annotated videos, read again: frames, times, sound, and what changed where."""

from fractions import Fraction

import av
import numpy as np
import pytest

from autox_video.core.errors import ConfigError, VideoError
from autox_video.prediction.annotation import video_writer
from autox_video.prediction.annotation.annotate import annotate, check_annotation
from autox_video.prediction.annotation.overlay import BACKGROUND, colour_of
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_prediction import VideoPrediction, Windows
from autox_video.video.open_video import open_video
from tests.videos import (
    decode_all,
    numbered_frames,
    overwrite,
    read_numbers,
    truncate,
    write_b_frames,
    write_stamped,
    write_video,
    write_video_with_sound,
)

RAW = TimelineOptions(min_seconds=0, smoothing=0)
HEIGHT, WIDTH = 96, 192
STRIP = 4  # rows


def prediction(seconds, classes=("run", "sit"), video="x.mp4", first=0.0):
    """The first class in the first half of a video, the second one in the other half."""
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    starts = np.array([first, first + seconds / 2])
    windows = Windows(starts, starts + seconds / 2, scores)
    return VideoPrediction(video, classes, scores.mean(axis=0), seconds, windows)


def frames(count=20):
    """Numbered frames, grey at the top and the bottom where the overlay is drawn."""
    pixels = numbered_frames(count, HEIGHT, WIDTH)
    pixels[:, :24] = pixels[:, -STRIP * 2 :] = 128
    return pixels


def numbers_in(pixels):
    """Numbers of frames like those of `frames`, of which the bars are from row 24 to 48."""
    return read_numbers(pixels[:, 28:44].repeat(2, axis=1))


def times_in(path):
    """Start and duration of each frame in seconds."""
    with av.open(str(path)) as container:
        shown = [
            (float(f.pts * f.time_base), float(f.duration * f.time_base))
            for f in container.decode(video=0)
        ]
    return np.array(shown)


def test_every_frame_is_there_with_its_time_and_size(tmp_path):
    source = write_video(tmp_path / "x.mp4", frames(), fps=Fraction(30000, 1001))
    annotate(source, prediction(20 / 29.97), tmp_path / "y.mp4", RAW)
    shown = decode_all(tmp_path / "y.mp4")
    assert shown.shape == (20, HEIGHT, WIDTH, 3)
    assert numbers_in(shown) == list(range(20))
    np.testing.assert_allclose(times_in(tmp_path / "y.mp4"), times_in(source), atol=1e-4)
    with av.open(str(tmp_path / "y.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and not container.streams.audio
        assert stream.average_rate == Fraction(30000, 1001)
        assert float(container.duration / av.time_base) == pytest.approx(20 / 29.97, abs=0.002)


def test_what_changes_and_where(tmp_path):
    source = write_video(tmp_path / "x.mp4", frames(), fps=10)
    annotate(source, prediction(2.0), tmp_path / "y.mp4", RAW)
    before, after = frames().astype(int), decode_all(tmp_path / "y.mp4").astype(int)
    middle = slice(24, HEIGHT - STRIP - 2)
    assert np.abs(after[:, middle] - before[:, middle]).mean() < 4  # only what coding changes
    top = np.abs(after[:, 2:13, 2:40] - 128).mean(axis=(1, 2, 3))
    assert (top > 40).all()
    # The square in the line has the colour of the class: the first one for ten frames.
    squares = after[:, 5:9, 4:8].mean(axis=(1, 2))
    for number, index in ((0, 0), (9, 0), (10, 1), (19, 1)):
        assert squares[number] == pytest.approx(colour_of(index), abs=30), number
    strip = after[:, -STRIP + 1 : -1].mean(axis=1)  # (T, W, 3)
    assert strip[0, 40:90].mean(axis=0) == pytest.approx(colour_of(0), abs=30)
    assert strip[0, 104:180].mean(axis=0) == pytest.approx(colour_of(1), abs=30)
    # The mark moves with time: at frame 5 of 20, it is a quarter of the way.
    assert np.abs(strip[5].sum(axis=1).argmax() - WIDTH / 4) <= 2
    assert np.abs(strip[15].sum(axis=1).argmax() - WIDTH * 3 / 4) <= 2


def test_without_a_segment_only_the_strip_is_drawn(tmp_path):
    source = write_video(tmp_path / "x.mp4", frames(), fps=10)
    annotate(source, prediction(2.0), tmp_path / "y.mp4", TimelineOptions(threshold=0.95))
    after = decode_all(tmp_path / "y.mp4").astype(int)
    assert np.abs(after[:, :20] - 128).max() < 12
    assert after[0, -STRIP + 1 : -1, 40:].mean(axis=(0, 1)) == pytest.approx(BACKGROUND, abs=12)


def test_a_variable_frame_rate_keeps_its_times(tmp_path):
    times_ms = [0, 40, 80, 500, 540, 1000, 1017, 1500, 1501, 2000]
    source = write_stamped(tmp_path / "x.mkv", frames(10), times_ms, last_ms=200)
    for name in ("y.mp4", "y.mkv"):
        annotate(source, prediction(2.2), tmp_path / name, RAW)
        assert numbers_in(decode_all(tmp_path / name)) == list(range(10))
        shown = times_in(tmp_path / name)
        np.testing.assert_allclose(shown[:, 0], np.array(times_ms) / 1000, atol=1e-3)
    with open_video(source) as video, av.open(str(tmp_path / "y.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(video.seconds, abs=0.002)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".ts", ".webm"])
def test_frames_that_are_reordered_stay_in_order(suffix, tmp_path):
    source = tmp_path / f"x{suffix}"
    if suffix == ".webm":
        write_video(source, frames(50), codec="libvpx-vp9", options={"crf": "10"})
    else:
        write_b_frames(source, frames(50), open_gop=suffix == ".ts")
    annotate(source, prediction(2.0), tmp_path / "y.mp4", RAW)
    assert numbers_in(decode_all(tmp_path / "y.mp4")) == list(range(50))
    np.testing.assert_allclose(times_in(tmp_path / "y.mp4")[:, 0], np.arange(50) / 25, atol=1e-3)


def test_sound_is_copied_bit_by_bit(tmp_path):
    source = write_video_with_sound(tmp_path / "x.mp4", frames(50), sound_seconds=2.5)

    def packets(path):
        with av.open(str(path)) as container:
            return [
                (float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio=0) if p.size
            ]

    for name in ("y.mp4", "y.mkv"):
        annotate(source, prediction(2.0), tmp_path / name, RAW)
        before, after = packets(source), packets(tmp_path / name)
        assert len(before) > 50 and [b for _, b in before] == [b for _, b in after]
        shift = times_in(tmp_path / name)[0, 0] - times_in(source)[0, 0]
        times = [np.array([t for t, _ in p]) for p in (before, after)]
        np.testing.assert_allclose(times[0] + shift, times[1], atol=2e-3)
        assert numbers_in(decode_all(tmp_path / name)) == list(range(50))


@pytest.mark.parametrize("begin", [0, 5])
def test_a_video_that_starts_after_its_sound_keeps_its_distance(begin, tmp_path):
    times_ms = list(range(begin * 1000 + 600, begin * 1000 + 1600, 40))
    sound = (begin, begin + 1.6)
    source = write_stamped(tmp_path / "x.mkv", frames(25), times_ms, silence=sound)
    annotate(source, prediction(1.0, first=0.6), tmp_path / "y.mp4", RAW)
    with av.open(str(tmp_path / "y.mp4")) as container:
        sound, pictures = container.streams.audio[0], container.streams.video[0]
        first = [float(s.start_time * s.time_base) for s in (sound, pictures)]
    assert first[1] - first[0] == pytest.approx(0.6, abs=0.03)
    squares = decode_all(tmp_path / "y.mp4")[:, 5:9, 4:8].mean(axis=(1, 2))
    for number, index in ((0, 0), (12, 0), (13, 1), (24, 1)):  # times count from the sound
        assert squares[number] == pytest.approx(colour_of(index), abs=30), number


def test_sound_that_cannot_be_copied_is_left_out_and_said(tmp_path, capsys):
    source = tmp_path / "x.mkv"
    with av.open(str(source), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for pixels in frames(10):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(pictures.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        silence.sample_rate, silence.pts = 8000, 0
        container.mux(sound.encode(silence))
    annotate(source, prediction(1.0), tmp_path / "y.mp4", RAW)
    assert "the sound is left out, as its codec pcm_s16le" in capsys.readouterr().err
    assert len(decode_all(tmp_path / "y.mp4")) == 10


def test_without_an_h264_encoder_it_is_mpeg4(tmp_path, monkeypatch):
    encoders = {"absent_encoder": {}, "mpeg4": video_writer._ENCODERS["mpeg4"]}
    monkeypatch.setattr(video_writer, "_ENCODERS", encoders)
    source = write_video(tmp_path / "x.mp4", frames(), fps=10)
    annotate(source, prediction(2.0), tmp_path / "y.mp4", RAW)
    shown = decode_all(tmp_path / "y.mp4")
    assert numbers_in(shown) == list(range(20))
    middle = slice(24, HEIGHT - STRIP - 2)
    assert np.abs(shown[:, middle].astype(int) - frames()[:, middle]).mean() < 6
    with av.open(str(tmp_path / "y.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"


def test_odd_sizes_grow_by_a_pixel(tmp_path):
    source = write_video(tmp_path / "x.mp4", frames()[:, :-1, :-1], fps=10)
    annotate(source, prediction(2.0), tmp_path / "y.mp4", RAW)
    assert decode_all(tmp_path / "y.mp4").shape == (20, HEIGHT, WIDTH, 3)


def test_a_folder_of_frames_is_annotated_too(tmp_path):
    from PIL import Image

    (tmp_path / "frames").mkdir()
    for number, pixels in enumerate(frames(10), start=1):
        Image.fromarray(pixels).save(tmp_path / "frames" / f"img_{number:05d}.png")
    annotate(tmp_path / "frames", prediction(0.4), tmp_path / "y.mp4", RAW)
    assert numbers_in(decode_all(tmp_path / "y.mp4")) == list(range(10))


def test_mistakes_are_refused_and_leave_nothing(tmp_path):
    source = write_video(tmp_path / "x.mp4", frames())
    for path, why in (
        ("y.avi", "suffix must be one of .mp4"),
        ("y", "suffix"),
        ("x.mp4", "exists already"),
        ("absent/y.mp4", "no folder"),
    ):
        with pytest.raises(ConfigError, match=why):
            check_annotation(tmp_path / path)
    with pytest.raises(ConfigError, match="2 are given"):
        check_annotation(tmp_path / "y.mp4", videos=2)
    check_annotation(tmp_path / "x.mp4", overwrite=True)
    content = source.read_bytes()
    with pytest.raises(ConfigError, match="the video itself"):
        annotate(source, prediction(0.8), source)
    assert source.read_bytes() == content
    with pytest.raises(VideoError, match="unreadable"):
        annotate(source, VideoPrediction("x", ("a",), None, error="torn"), tmp_path / "y.mp4")
    with pytest.raises(VideoError, match="missing|no such|not exist"):
        annotate(tmp_path / "absent.mp4", prediction(0.8), tmp_path / "y.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


def test_frames_around_damage_are_written_once(tmp_path):
    source = overwrite(write_video(tmp_path / "x.mkv", frames(60), codec="ffv1"), 0.5, 0.502)
    annotate(source, prediction(2.4), tmp_path / "y.mp4", RAW)
    shown = numbers_in(decode_all(tmp_path / "y.mp4"))
    assert len(shown) == 60 and shown[:25] == list(range(25)) and shown[40:] == list(range(40, 60))
    np.testing.assert_allclose(times_in(tmp_path / "y.mp4")[:, 0], np.arange(60) / 25, atol=1e-3)


def test_a_video_that_is_cut_off_leaves_no_file(tmp_path):
    source = truncate(write_b_frames(tmp_path / "x.ts", frames(200)), 0.5)
    annotate(source, prediction(8.0), tmp_path / "y.mp4", RAW)
    shown = numbers_in(decode_all(tmp_path / "y.mp4"))
    assert shown == sorted(shown) and 40 < len(shown) < 160
