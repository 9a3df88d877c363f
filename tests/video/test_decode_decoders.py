"""All decoders give the same frames, or refuse a clip in a sentence that names the way out."""

import sys

import av
import numpy as np
import pytest

from autox_video.core.errors import ConfigError, InstallError, VideoError
from autox_video.video.open_video import open_video, why_not_usable
from tests.video.test_decode_exact import CODINGS, PIXELS, moving_frames
from tests.video.test_decode_formats import write_cut, write_turned
from tests.videos import (
    numbered_frames,
    overwrite,
    read_numbers,
    real_clips,
    write_text_video,
    write_video,
)

OTHERS = ["torchcodec", "decord"]
LOSSY_BOUND = 2  # levels of 255: versions of FFmpeg differ in a few pixels of MPEG-4
SCALED_MEAN_BOUND = 2.0  # PyAV scales before it converts, the others after: edges of colours differ

REFUSED = {
    "torchcodec": {"transport", "interlaced", "intra_refresh", "gif"},
    "decord": {
        *("transport", "interlaced", "intra_refresh", "gif", "av1", "hevc_layers"),
        *("open_gop", "open_gop_mkv", "hevc_open_gop", "hevc_mkv"),
        *("mpeg4", "mpeg4_mkv", "mpeg2"),
    },
}


@pytest.fixture(params=OTHERS)
def other(request):
    reason = why_not_usable(request.param)
    if reason is not None:
        pytest.skip(reason)
    return request.param


def test_auto_is_pyav(tmp_path):
    path = write_video(tmp_path / "a.mkv", numbered_frames(3))
    for decoder in ("auto", "pyav"):
        with open_video(path, decoder) as video:
            assert video.decoder == "pyav"


def test_decoder_of_another_name_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mkv", numbered_frames(3))
    with pytest.raises(ConfigError, match="decoder: unknown name opencv; known names: pyav"):
        open_video(path, "opencv")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("size", [(48, 64), (47, 95), (128, 170)])
def test_lossless_clips_are_pixel_equal(tmp_path, other, name, size):
    frames = moving_frames(30, 128, 192)[:, : size[0], : size[1]]
    options = {"crf": "0", "g": "10"}
    codec = "libx264rgb" if size[1] % 32 == 0 else "libx264"
    pixels = "rgb24" if codec == "libx264rgb" else "yuv444p"
    path = write_video(tmp_path / name, frames, codec=codec, pixels=pixels, options=options)
    times = np.array([0.0, 1.19, 0.5, 0.5, 0.04, 7.0])
    with open_video(path) as ours, open_video(path, other) as theirs:
        assert theirs.decoder == other
        for fact in ("seconds", "fps", "num_frames", "width", "height", "codec"):
            assert getattr(ours, fact) == getattr(theirs, fact), fact
        theirs.examine()
        for when in (times, times[:1], times[1:2]):
            np.testing.assert_array_equal(theirs.frames_at(when), ours.frames_at(when))
        small = [video.frames_at(times, 40).astype(int) for video in (ours, theirs)]
        assert small[0].shape == small[1].shape
        assert np.abs(small[0] - small[1]).mean() <= SCALED_MEAN_BOUND
        assert theirs.frames_at(times[:0]).shape == (0, *size, 3)


@pytest.mark.parametrize("coding", CODINGS)
def test_codings(tmp_path, other, coding):
    if coding == "interlaced" and not hasattr(av.VideoCodecContext, "field_order"):
        pytest.skip("this PyAV does not tell of fields")
    name, codec, options = CODINGS[coding]
    pixels = PIXELS.get(codec, "yuv420p")
    path = write_video(
        tmp_path / name, moving_frames(), codec=codec, options=options, pixels=pixels
    )
    rng = np.random.default_rng(0)
    if coding in REFUSED[other]:
        with pytest.raises(VideoError, match="decoder: pyav") as caught:
            open_video(path, other)
        assert f"{path}: {other} cannot decode this video (" in str(caught.value)
        return
    with open_video(path) as ours, open_video(path, other) as theirs:
        for _ in range(20):
            times = (rng.integers(0, 60, size=rng.integers(1, 9)) + 0.5) / ours.fps
            difference = ours.frames_at(times).astype(int) - theirs.frames_at(times)
            assert np.abs(difference).max() <= LOSSY_BOUND


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_clips(tmp_path, other, degrees):
    path = write_turned(tmp_path / "a.mp4", moving_frames(5, 64, 96), degrees)
    if other == "decord" and degrees:
        with pytest.raises(VideoError, match=r"frames are rotated\); set decoder: pyav"):
            open_video(path, other)
        return
    with open_video(path) as ours, open_video(path, other) as theirs:
        times = np.arange(5) / 25
        np.testing.assert_array_equal(theirs.frames_at(times), ours.frames_at(times))


def test_clips_with_an_edit_list(tmp_path, other):
    path = write_cut(tmp_path / "a.mp4", 480)
    if other == "decord":
        with pytest.raises(VideoError, match=r"an edit list .*set decoder: pyav"):
            open_video(path, other)
        return
    with open_video(path, other) as video:
        numbers = read_numbers(video.frames_at((np.arange(28) + 0.5) / 25))
    assert numbers == list(range(12, 40))


def test_what_is_no_clip_is_said_as_ever(tmp_path, other):
    path = write_text_video(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="this is text, not a video"):
        open_video(path, other)


def test_frames_that_cannot_be_decoded_name_the_way_out(tmp_path, other):
    frames = moving_frames(60)
    options = {"crf": "0", "g": "10", "preset": "ultrafast"}
    front = {"movflags": "faststart"}
    path = write_video(tmp_path / "a.mp4", frames, options=options, container_options=front)
    overwrite(path, 0.3, 0.7, b"\xff")
    try:
        with open_video(path, other) as video:
            video.frames_at(np.array([0.0, 1.2, 2.2]))
    except VideoError as error:
        assert "set decoder: pyav" in str(error)


def test_real_clips(other):
    rng = np.random.default_rng(0)
    for path in sorted((real_clips() / "videos").iterdir())[:12]:
        with open_video(path) as ours, open_video(path, other) as theirs:
            times = rng.uniform(0, ours.seconds, size=8)
            difference = ours.frames_at(times).astype(int) - theirs.frames_at(times)
            assert np.abs(difference).max() <= LOSSY_BOUND
            difference = ours.frames_at(times, 112).astype(int) - theirs.frames_at(times, 112)
            assert np.abs(difference).mean() <= SCALED_MEAN_BOUND


@pytest.mark.parametrize("name", OTHERS)
def test_a_decoder_that_is_not_there_is_a_fault_of_the_installation(tmp_path, name, monkeypatch):
    path = write_video(tmp_path / "a.mkv", numbered_frames(3))
    why_not_usable.cache_clear()
    monkeypatch.setitem(sys.modules, name, None)
    try:
        with pytest.raises(InstallError, match=rf"decoder: {name} cannot be used.*decoder: pyav"):
            open_video(path, name)
    finally:
        why_not_usable.cache_clear()


def test_torchcodec_without_libraries_is_a_fault_of_the_installation(tmp_path, monkeypatch):
    for name in ("torchcodec", "torchcodec.decoders"):
        module = type(sys)(name)
        monkeypatch.setitem(sys.modules, name, module)

    def fail(*_):
        raise RuntimeError("Could not load libtorchcodec. Likely causes:\n1. many")

    module.VideoDecoder = fail
    path = write_video(tmp_path / "a.mkv", numbered_frames(3))
    why_not_usable.cache_clear()
    try:
        with pytest.raises(
            InstallError, match="no FFmpeg libraries that it supports.*decoder: pyav"
        ):
            open_video(path, "torchcodec")
    finally:
        why_not_usable.cache_clear()
