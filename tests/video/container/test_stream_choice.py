"""Of several video streams, the one that players show."""

from fractions import Fraction

import av
import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.video.container import media_file
from autox_video.video.open_video import open_video, why_not_usable
from tests.videos import numbered_frames, read_numbers

FRAMES = numbered_frames(50, height=48, width=96)
SMALL = numbered_frames(200)[100:150]  # numbers from 100 on
Disposition = av.stream.Disposition


@pytest.fixture(params=[0, 1 << 24], ids=["large", "small"])
def _size_of_file(request, monkeypatch):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", request.param)


def write_streams(path, *streams):
    """Write streams, each (frames, seconds from one to the next, disposition), in this order."""
    with av.open(str(path), "w", options={"default_mode": "passthrough"}) as container:
        packets = []
        for frames, step, disposition in streams:
            codec = "mjpeg" if len(frames) < 10 else "mpeg4"
            stream = container.add_stream(codec, rate=round(1 / step))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.bit_rate = 4_000_000
            stream.disposition = disposition
            for number, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
                frame.pts, frame.time_base = number, Fraction(step).limit_denominator(1000)
                packets += stream.encode(frame)
            packets += stream.encode()
        for packet in sorted(packets, key=lambda one: one.pts * one.time_base):
            container.mux(packet)
    return path


def seen(path, decoder="pyav"):
    with open_video(path, decoder) as video:
        numbers = read_numbers(video.frames_at(np.array([0.02, 1.02])))
        return (video.width, video.height, numbers)


MAIN = (96, 48, [0, 25])
DEFAULT, NONE = Disposition.default, Disposition(0)
FIRST = (FRAMES, 0.04, DEFAULT)
THUMBNAIL = (SMALL[:1], 0.04, NONE)


@pytest.mark.usefixtures("_size_of_file")
@pytest.mark.parametrize(
    "streams",
    [
        [THUMBNAIL, FIRST],
        [(SMALL[:1], 0.04, DEFAULT), (FRAMES, 0.04, NONE)],
        [(numbered_frames(1, 480, 960), 0.04, DEFAULT), (FRAMES, 0.04, NONE)],  # a large cover
        [(SMALL[:4], 0.5, DEFAULT), (FRAMES, 0.04, NONE)],  # thumbnails at some times
        [FIRST, (SMALL[:1], 0.04, NONE)],
        [(SMALL[:1], 0.04, Disposition.attached_pic), FIRST],
        [(SMALL[:4], 0.5, Disposition.timed_thumbnails), FIRST],
    ],
)
def test_thumbnails_are_never_the_clip(tmp_path, streams):
    path = write_streams(tmp_path / "a.mkv", *streams)
    for _ in range(2):
        assert seen(path) == MAIN
    facts = examine_clip(path).facts
    assert (facts.frames, facts.seconds, facts.codec) == (50, pytest.approx(2, abs=0.05), "mpeg4")
    assert facts.odd == ""


def test_thumbnails_in_mp4(tmp_path):
    assert seen(write_streams(tmp_path / "a.mp4", THUMBNAIL, FIRST)) == MAIN


@pytest.mark.parametrize(
    ("streams", "shown"),
    [
        ([FIRST, (SMALL, 0.04, NONE)], MAIN),
        ([(numbered_frames(50, 16, 32), 0.04, DEFAULT), (FRAMES, 0.04, NONE)], MAIN),  # a preview
        ([(FRAMES[:, ::-1, ::-1], 0.04, NONE), FIRST], MAIN),  # another angle
        ([FIRST, (FRAMES[::-1], 0.04, DEFAULT)], MAIN),
        ([FIRST, (FRAMES[::-1], 0.04, NONE)], MAIN),
    ],
)
def test_where_another_may_be_meant_it_is_told(tmp_path, streams, shown):
    path = write_streams(tmp_path / "a.mkv", *streams)
    assert seen(path) == shown
    odd = examine_clip(path).facts.odd
    assert "it has several video streams: stream" in odd
    assert "(mpeg4, 96x48) is used, not stream" in odd


def test_slides_beside_a_camera_are_told_of(tmp_path):
    slides, camera = numbered_frames(8, 96, 192), np.concatenate([FRAMES, FRAMES])
    path = write_streams(tmp_path / "a.mkv", (slides, 0.5, NONE), (camera, 0.04, DEFAULT))
    odd = examine_clip(path).facts.odd
    assert "stream 1 (mpeg4, 96x48) is used, not stream 0 (mjpeg, 192x96)" in odd


def test_decoders_that_choose_by_themselves_refuse(tmp_path):
    if reason := why_not_usable("decord"):
        pytest.skip(reason)
    path = write_streams(tmp_path / "a.mkv", THUMBNAIL, FIRST)
    with pytest.raises(VideoError, match="several video streams.*set decoder: pyav"):
        open_video(path, "decord")


def test_a_cover_is_no_clip(tmp_path):
    cover = (SMALL[:1], 0.04, Disposition.attached_pic)
    assert seen(write_streams(tmp_path / "a.mp4", FIRST, cover)) == MAIN
    path = write_streams(tmp_path / "b.mp4", cover)
    with pytest.raises(VideoError, match="it has no video stream"):
        open_video(path)
