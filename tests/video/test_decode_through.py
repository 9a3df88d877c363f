"""Whole videos decoded in order → the frames of a full decode, bit for bit."""

import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.video.container import media_file
from autox_video.video.container.timeline import TIME_TOLERANCE_SEC
from autox_video.video.open_video import open_video
from tests.video.test_decode_exact import CODINGS, NUM_FRAMES, moving_frames
from tests.videos import decode_all, write_video

TIMES = (np.arange(4 * NUM_FRAMES // 3) + 0.5) * 0.03
"""Frames at 33 a second of a video with 25 a second."""
LARGE, SMALL = 0, 1 << 20


@pytest.fixture(scope="module")
def frames():
    return moving_frames()


def write(path, frames, coding):
    name, codec, options = CODINGS[coding]
    pixels = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
    return write_video(path / name, frames, codec=codec, options=options, pixels=pixels)


def through(path, times, threads):
    """Give the frames, and the error if not all of them can be decoded."""
    frames, error = [], None
    with open_video(path) as video:
        video.count()
        try:
            for places, pixels in video.decode_through(times + TIME_TOLERANCE_SEC, None, threads):
                assert places[0] == len(frames)
                frames += [pixels] * len(places)
        except VideoError as problem:
            error = str(problem)
    return frames, error


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("up_to_bytes", [LARGE, SMALL])
@pytest.mark.parametrize("coding", CODINGS)
def test_every_coding(tmp_path, frames, monkeypatch, coding, up_to_bytes, threads):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", up_to_bytes)
    path = write(tmp_path, frames, coding)
    whole = decode_all(path)
    for times in (TIMES, TIMES[::5], TIMES[37:], TIMES[[11, 50, 51]]):
        numbers = np.minimum((times * 25 + 1e-6).astype(int), NUM_FRAMES - 1)
        found, error = through(path, times, threads)
        assert error is None
        np.testing.assert_array_equal(np.stack(found), whole[numbers])


@pytest.fixture
def returned(monkeypatch):
    """The frames that decoders return, by file."""
    frames, plain = [], media_file.MediaFile.decode

    def decode(file, *given):
        decoded = plain(file, *given)
        frames.extend(decoded)
        return decoded

    monkeypatch.setattr(media_file.MediaFile, "decode", decode)
    return frames


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("up_to_bytes", [LARGE, SMALL])
def test_frames_that_nothing_needs_are_not_decoded(
    tmp_path, frames, monkeypatch, returned, up_to_bytes, threads
):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", up_to_bytes)
    path = write(tmp_path, frames, "b_pyramid")
    found, _ = through(path, (np.arange(15) * 4 + 0.5) / 25, threads)
    assert len(found) == 15
    assert 15 < len(returned) < 0.7 * NUM_FRAMES


@pytest.mark.parametrize("up_to_bytes", [LARGE, SMALL])
@pytest.mark.parametrize("coding", ["b_pyramid", "open_gop_mkv", "hevc", "mpeg4_avi", "vp9"])
def test_damaged_videos_do_not_depend_on_the_threads(
    tmp_path, frames, monkeypatch, coding, up_to_bytes
):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", up_to_bytes)
    path = write(tmp_path, frames, coding)
    sound, rng, times = path.read_bytes(), np.random.default_rng(0), np.arange(NUM_FRAMES) / 25
    for _ in range(8):
        content = bytearray(sound)
        place = rng.integers(len(content) // 4, len(content) * 3 // 4)
        content[place : place + 50] = rng.integers(0, 256, 50, np.uint8).tobytes()
        path.write_bytes(content)
        # After a seek, a damaged key frame is patched in another way.
        wanted, error = in_order(path, times) if up_to_bytes else through(path, times, 1)
        for threads in (1, 2):
            found, its_error = through(path, times, threads)
            assert its_error == error
            np.testing.assert_array_equal(found, wanted)


def in_order(path, times):
    """Decode every frame, without an index."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(media_file.MediaFile, "index", None)
        return through(path, times, 1)
