"""How frames lie: eight ways to turn and mirror them, and pixels that are no squares."""

from fractions import Fraction

import av
import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.video.container import media_file
from autox_video.video.container.orientation import EXIF, UPRIGHT, by_matrix, pixel_aspect
from autox_video.video.open_video import open_video, why_not_usable
from tests.videos import LOSSLESS_OPTIONS, numbered_frames, write_video

ONE = 1 << 16
FRAMES = numbered_frames(5, height=48, width=96)

# (x, y) of what is stored is shown at (ax + cy, bx + dy), but for a shift: (a, b, c, d), and how
# the stored pixels (T, H, W, 3) look then. The numbers are those of Exif.
SHOWN = {
    1: ((1, 0, 0, 1), lambda stored: stored),
    2: ((-1, 0, 0, 1), lambda stored: stored[:, :, ::-1]),
    3: ((-1, 0, 0, -1), lambda stored: stored[:, ::-1, ::-1]),
    4: ((1, 0, 0, -1), lambda stored: stored[:, ::-1]),
    5: ((0, 1, 1, 0), lambda stored: stored.swapaxes(1, 2)),
    6: ((0, 1, -1, 0), lambda stored: np.rot90(stored, -1, axes=(1, 2))),
    7: ((0, -1, -1, 0), lambda stored: np.rot90(stored, 2, axes=(1, 2)).swapaxes(1, 2)),
    8: ((0, -1, 1, 0), lambda stored: np.rot90(stored, 1, axes=(1, 2))),
}


def matrix_of(number, scale=ONE):
    a, b, c, d = (value * scale for value in SHOWN[number][0])
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


def write_lying(path, number, frames=FRAMES, *, scale=ONE):
    """Write frames losslessly with a display matrix."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options=LOSSLESS_OPTIONS["libx264rgb"])
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        if not hasattr(stream, "set_display_matrix"):
            pytest.skip("this PyAV cannot write a display matrix")
        stream.set_display_matrix(matrix_of(number, scale))
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("up_to_bytes", [0, 1 << 24], ids=["large", "small"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("number", SHOWN)
def test_frames_are_shown_as_the_display_matrix_says(
    tmp_path, monkeypatch, number, name, up_to_bytes
):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", up_to_bytes)
    shown = SHOWN[number][1](FRAMES)
    path = write_lying(tmp_path / name, number)
    for _ in range(2):  # the second time from memory
        with open_video(path) as video:
            assert (video.width, video.height) == (shown.shape[2], shown.shape[1])
            np.testing.assert_array_equal(video.frames_at(np.arange(5) / 25), shown)
    facts = examine_clip(path).facts
    assert (facts.width, facts.height) == (shown.shape[2], shown.shape[1])


@pytest.mark.parametrize("decoder", ["torchcodec", "decord"])
@pytest.mark.parametrize("number", SHOWN)
def test_other_decoders_show_them_alike_or_refuse(tmp_path, decoder, number):
    if reason := why_not_usable(decoder):
        pytest.skip(reason)
    path = write_lying(tmp_path / "a.mp4", number)
    try:
        with open_video(path, decoder) as video:
            shown = video.frames_at(np.arange(5) / 25)
    except VideoError as error:
        assert number != 1 and "set decoder: pyav" in str(error)
    else:
        np.testing.assert_array_equal(shown, SHOWN[number][1](FRAMES))


@pytest.mark.parametrize("number", SHOWN)
def test_matrices_and_exif_numbers_agree(number):
    matrix = np.array(matrix_of(number), dtype=np.int32)
    assert by_matrix(matrix) == EXIF[number]
    np.testing.assert_array_equal(EXIF[number].upright(FRAMES[1]), SHOWN[number][1](FRAMES)[1])
    assert EXIF[number].size(96, 48) == ((48, 96) if number >= 5 else (96, 48))
    assert EXIF[number].is_mirrored == (number in (2, 4, 5, 7))


def test_angles_in_between_are_rounded_and_nothing_is_upright():
    turned = np.array([56756, 32768, 0, -32768, 56756, 0, 0, 0, 1 << 30], dtype=np.int32)
    assert by_matrix(turned) == UPRIGHT  # by 30 degrees
    assert by_matrix(np.zeros(9, dtype=np.int32)) == UPRIGHT


# ---- the shape of pixels ----


def write_anamorphic(path, ratio, frames=FRAMES, codec="libx264rgb", pixels="rgb24"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=LOSSLESS_OPTIONS.get(codec, {}))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.sample_aspect_ratio = Fraction(ratio)
        for each in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(each, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(params=["pyav", "torchcodec", "decord"])
def decoder(request):
    if reason := why_not_usable(request.param):
        pytest.skip(reason)
    return request.param


@pytest.mark.parametrize(
    ("ratio", "width"), [("1", 96), ("2", 192), ("4/3", 128), ("8/9", 85), ("1/2", 48)]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_pixels_have_the_shape_in_which_they_are_shown(tmp_path, name, ratio, width, decoder):
    path = write_anamorphic(tmp_path / name, ratio)
    with open_video(path, decoder) as video:
        assert (video.width, video.height) == (width, 48)
        frames = video.frames_at(np.arange(5) / 25)
        assert frames.shape == (5, 48, width, 3)
        assert video.frames_at(np.zeros(1), short_side=24).shape[1:3] in {
            (24, width // 2),
            (24, round(width / 2)),
        }
    half = width // 2
    assert (frames[:, 36, : half - 4, 0] > 200).all() and (frames[:, 36, half + 4 :, 2] > 200).all()
    facts = examine_clip(path).facts
    assert (facts.width, facts.height, facts.odd) == (width, 48, "")


def test_dv_for_wide_screens_is_shown_wide(tmp_path):
    frames = numbered_frames(2, height=576, width=720)
    path = write_anamorphic(tmp_path / "a.avi", "64/45", frames, "mpeg2video", "yuv420p")
    with open_video(path) as video:
        assert (video.width, video.height) == (1024, 576)


def test_turned_pixels_are_stretched_before(tmp_path):
    path = tmp_path / "a.mp4"
    plain = write_anamorphic(tmp_path / "b.mp4", "2")
    with av.open(str(plain)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        if not hasattr(stream, "set_display_matrix"):
            pytest.skip("this PyAV cannot write a display matrix")
        stream.set_display_matrix(matrix_of(6))
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    with open_video(path) as video:
        assert (video.width, video.height) == (48, 192)
        assert video.frames_at(np.zeros(1)).shape == (1, 192, 48, 3)


@pytest.mark.parametrize(
    ("ratio", "aspect"),
    [(None, 1), ("0", 1), ("1", 1), ("1216/1215", 1), ("64/45", 64 / 45), ("100", 1), ("1/9", 1)],
)
def test_pixel_aspect_is_believed_where_it_makes_sense(ratio, aspect):
    assert pixel_aspect(None if ratio is None else Fraction(ratio)) == pytest.approx(aspect)


def test_absurd_pixels_are_told(tmp_path):
    facts = examine_clip(write_anamorphic(tmp_path / "a.mp4", "20")).facts
    assert (facts.width, facts.odd) == (
        96,
        "its implausible pixel aspect ratio of 20 is ignored",
    )


def test_square_pixels_are_not_scaled(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frames_at(np.arange(5) / 25), FRAMES)
