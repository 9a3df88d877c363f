"""Frames picked out of a clip are those of a full decode, bit for bit, whatever is skipped."""

import av
import numpy as np
import pytest

from autox_video.video.container import media_file
from autox_video.video.decoders.pyav import PyAVDecoder, tells_references
from autox_video.video.open_video import open_video
from tests.videos import decode_all, write_video

NUM_FRAMES = 60
X264 = "keyint=20:min-keyint=20:scenecut=0:bframes=3:b-adapt=0:ref=3"
X265 = "log-level=error:pools=1:frame-threads=1:keyint=20:min-keyint=20:scenecut=0:bframes=3"

CODINGS = {
    "b_pyramid": ("a.mp4", "libx264", {"x264-params": f"{X264}:b-pyramid=normal"}),
    "open_gop": ("a.mp4", "libx264", {"x264-params": f"{X264}:open-gop=1"}),
    "open_gop_mkv": ("a.mkv", "libx264", {"x264-params": f"{X264}:open-gop=1"}),
    "one_long_gop": ("a.mp4", "libx264", {"x264-params": "keyint=250:bframes=3"}),
    "intra_refresh": ("a.mkv", "libx264", {"x264-params": f"{X264}:intra-refresh=1"}),
    "interlaced": ("a.mp4", "libx264", {"x264-params": f"{X264}:interlaced=1"}),
    "transport": ("a.ts", "libx264", {"x264-params": f"{X264}:open-gop=1"}),
    "hevc": ("a.mp4", "libx265", {"x265-params": f"{X265}:open-gop=0"}),
    "hevc_open_gop": ("a.mp4", "libx265", {"x265-params": f"{X265}:open-gop=1"}),
    "hevc_layers": ("a.mp4", "libx265", {"x265-params": f"{X265}:temporal-layers=3"}),
    "hevc_mkv": ("a.mkv", "libx265", {"x265-params": f"{X265}:open-gop=1"}),
    "vp8": ("a.webm", "libvpx", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "10"}),
    "vp9": ("a.webm", "libvpx-vp9", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "10"}),
    "av1": ("a.mp4", "libsvtav1", {"g": "20", "preset": "12"}),
    "mpeg4": ("a.mp4", "mpeg4", {"bf": "2", "g": "12"}),
    "mpeg4_mkv": ("a.mkv", "mpeg4", {"bf": "2", "g": "12"}),
    "mpeg4_avi": ("a.avi", "mpeg4", {"g": "12"}),
    "mpeg2": ("a.mkv", "mpeg2video", {"bf": "2", "g": "12"}),
    "mjpeg": ("a.mov", "mjpeg", {}),
    "gif": ("a.gif", "gif", {}),
}
# Half frames in a packet, a picture that is refreshed bit by bit, and a canvas that is painted on.
DECODED_IN_ORDER = {"transport", "intra_refresh", "gif"}
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}


def moving_frames(num_frames=NUM_FRAMES, height=96, width=128):
    """Frames of texture that moves and changes, so that every frame leans on others."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + num_frames, width // 8 + num_frames, 3), np.uint8)
    frames = []
    for number in range(num_frames):
        part = coarse[number // 4 : number // 4 + height // 8, number : number + width // 8]
        frame = part.repeat(8, axis=0).repeat(8, axis=1).astype(np.int16)
        frame[number % height] = 255
        frame += rng.integers(-8, 8, frame.shape, np.int16)
        frames.append(np.clip(np.roll(frame, number, axis=1), 0, 255).astype(np.uint8))
    return np.stack(frames)


@pytest.fixture(scope="module")
def frames():
    return moving_frames()


@pytest.fixture(scope="module", params=CODINGS)
def clip(request, frames, tmp_path_factory):
    """A clip and all of its frames, decoded in the plainest way."""
    name, codec, options = CODINGS[request.param]
    path = tmp_path_factory.mktemp(request.param) / name
    pixels = PIXELS.get(codec, "yuv420p")
    write_video(path, frames, codec=codec, options=options, pixels=pixels)
    whole = decode_all(path)
    assert len(whole) == NUM_FRAMES
    return path, whole


@pytest.mark.parametrize("coding", sorted(CODINGS.keys() - DECODED_IN_ORDER))
@pytest.mark.parametrize("up_to_bytes", [0, 1 << 20])
def test_index_is_right_about_sound_files(tmp_path, frames, monkeypatch, coding, up_to_bytes):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", up_to_bytes)
    name, codec, options = CODINGS[coding]
    path = tmp_path / name
    write_video(path, frames, codec=codec, options=options, pixels=PIXELS.get(codec, "yuv420p"))
    monkeypatch.setattr(PyAVDecoder, "_frames_in_order", None)
    with open_video(path) as video:
        for numbers in ([59], [0, 30], [19, 21], [39, 18, 57], [22]):
            video.frames_at((np.array(numbers) + 0.5) / video.fps)


def test_every_single_frame(clip):
    path, whole = clip
    for number in range(NUM_FRAMES):
        with open_video(path) as video:
            assert video.num_frames == NUM_FRAMES
            (frame,) = video.frames_at(np.array([(number + 0.5) / video.fps]))
        np.testing.assert_array_equal(frame, whole[number], err_msg=f"frame {number}")


def test_any_frames_of_one_open_clip(clip):
    path, whole = clip
    rng = np.random.default_rng(1)
    with open_video(path) as video:
        for _ in range(40):
            numbers = rng.integers(0, NUM_FRAMES, size=rng.integers(1, 9))
            frames = video.frames_at((numbers + 0.5) / video.fps)
            np.testing.assert_array_equal(frames, whole[numbers], err_msg=f"frames {numbers}")


def test_any_frames_of_a_large_file(clip, monkeypatch):
    path, whole = clip
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    rng = np.random.default_rng(2)
    with open_video(path) as video:
        for _ in range(20):
            numbers = rng.integers(0, NUM_FRAMES, size=rng.integers(1, 9))
            frames = video.frames_at((numbers + 0.5) / video.fps)
            np.testing.assert_array_equal(frames, whole[numbers], err_msg=f"frames {numbers}")


@pytest.mark.parametrize(
    ("coding", "skips"),
    [
        ("b_pyramid", True),
        ("mpeg4", True),
        ("hevc", True),
        ("hevc_layers", False),  # frames of a lower layer are told to be free, though they are not
        ("vp9", False),
    ],
)
def test_frames_are_skipped_only_where_they_tell_that_none_leans_on_them(
    tmp_path, frames, coding, skips
):
    name, codec, options = CODINGS[coding]
    path = write_video(tmp_path / name, frames, codec=codec, options=options)
    with av.open(str(path)) as container:
        assert tells_references(container.streams.video[0].codec_context) == skips


def test_few_packets_are_decoded_for_frames_that_lie_apart(tmp_path, frames, monkeypatch):
    name, codec, options = CODINGS["b_pyramid"]
    path = write_video(tmp_path / name, frames, codec=codec, options=options)
    sent = []
    plain = media_file.MediaFile.decode
    monkeypatch.setattr(
        media_file.MediaFile,
        "decode",
        lambda file, packet, *number: sent.append(packet) or plain(file, packet, *number),
    )
    with open_video(path) as video:
        video.frames_at(np.array([0.0, 20.5, 40.5]) / 25)  # the key frames
    packets = [packet for packet in sent if packet is not None]
    assert len(packets) == 3 and all(packet.is_keyframe for packet in packets)


def test_frames_are_converted_once_each_and_no_others(tmp_path, frames, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames[:20])
    converted = []
    with open_video(path) as video:
        converter = video._converter
        plain = converter.convert
        converter.convert = lambda *all: converted.append(all) or plain(*all)
        video.frames_at(np.array([0.7, 0.1, 0.1, 0.3]))
    assert len(converted) == 3
