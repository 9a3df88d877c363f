"""Every kind of file that people have: one made here for each, and what its frames must be."""

from fractions import Fraction

import av
import numpy as np
import pytest

from autox_video.video.container import media_file
from autox_video.video.open_video import open_video
from tests.videos import (
    LOSSLESS_OPTIONS,
    decode_all,
    numbered_frames,
    read_numbers,
    write_b_frames,
    write_video,
)

FRAMES = numbered_frames(40, height=48, width=96)
COLOUR = (200, 40, 90)


def frames_at(path, times_sec, short_side=None):
    with open_video(path) as video:
        return video.frames_at(np.array(times_sec, dtype=float), short_side)


@pytest.fixture(params=[0, 1 << 24], ids=["large", "small"])
def _size_of_file(request, monkeypatch):
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", request.param)


# ---- containers and codings ----


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("a.avi", "mpeg4", "yuv420p", {"b": "2000k"}),
        ("a.avi", "mjpeg", "yuvj420p", {}),
        ("a.avi", "msmpeg4", "yuv420p", {"b": "2000k"}),
        ("a.webm", "libvpx", "yuv420p", {"b": "2000k"}),
        ("a.webm", "libvpx-vp9", "yuv420p", {"b": "2000k"}),
        ("a.mp4", "libsvtav1", "yuv420p", {"preset": "12", "crf": "20"}),
        ("a.webm", "libsvtav1", "yuv420p", {"preset": "12", "crf": "20"}),
        ("a.mkv", "libx264", "yuv420p", {"crf": "12"}),
        ("a.mov", "libx264", "yuv420p", {"crf": "12"}),
        ("a.mov", "prores_ks", "yuv422p10le", {}),
        ("a.mp4", "libx265", "yuv420p", {"x265-params": "log-level=error"}),
        ("a.gif", "gif", "rgb8", {}),
        ("a.mpg", "mpeg2video", "yuv420p", {"b": "2000k"}),
        ("a.ts", "libx264", "yuv420p", {"crf": "12"}),
        ("a.flv", "flv", "yuv420p", {"b": "2000k"}),
        ("a.wmv", "wmv2", "yuv420p", {"b": "2000k"}),
        ("a.3gp", "mpeg4", "yuv420p", {"b": "2000k"}),
    ],
)
def test_containers_and_codings(tmp_path, name, codec, pixels, options):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot write {codec}")
    path = write_video(tmp_path / name, FRAMES, codec=codec, pixels=pixels, options=options)
    whole = decode_all(path)
    with open_video(path) as video:
        video.examine()
        assert (video.num_frames, video.width, video.height) == (40, 96, 48)
        wanted = [31, 0, 17, 39, 17]
        frames = video.frames_at((np.array(wanted) + 0.5) / video.fps)
    np.testing.assert_array_equal(frames, whole[wanted])
    assert read_numbers(frames) == wanted


@pytest.mark.parametrize(("height", "width"), [(47, 95), (33, 64), (32, 63)])
@pytest.mark.parametrize("codec", ["ffv1", "libx264rgb"])
def test_odd_sizes(tmp_path, height, width, codec):
    frames = numbered_frames(8, height, width)
    path = write_video(tmp_path / "a.mkv", frames, codec=codec)
    np.testing.assert_array_equal(frames_at(path, (np.arange(8) + 0.5) / 25), frames)


def test_odd_size_of_subsampled_colours(tmp_path):
    frames = numbered_frames(8, 47, 95)
    path = write_video(tmp_path / "a.webm", frames, codec="libvpx-vp9", options={"b": "2000k"})
    found = frames_at(path, (np.arange(8) + 0.5) / 25)
    assert found.shape == frames.shape
    assert read_numbers(found) == list(range(8))


def test_grey(tmp_path):
    path = write_video(tmp_path / "a.mkv", FRAMES[:4], codec="ffv1", pixels="gray")
    found = frames_at(path, [0.05])
    assert (found[..., 0] == found[..., 1]).all() and (found[..., 1] == found[..., 2]).all()
    assert read_numbers(found) == [1]


def test_alpha_is_left_out(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgra"
        for alpha in (0, 100, 255):
            pixels = np.full((48, 64, 4), (*COLOUR, alpha), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format="bgra")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = frames_at(path, np.arange(3) / 25)
    np.testing.assert_array_equal(found, np.broadcast_to(np.uint8(COLOUR), (3, 48, 64, 3)))


def test_interlaced_frames_are_whole_ones(tmp_path):
    params = "interlaced=1:bframes=2:keyint=10"
    options = {"crf": "10", "x264-params": params}
    path = write_video(tmp_path / "a.mp4", FRAMES, codec="libx264", options=options)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    assert read_numbers(frames_at(path, (np.arange(40) + 0.5) / 25)) == list(range(40))


# ---- colours ----

MATRICES = {  # FFmpeg's number, and the shares of red and blue in the brightness
    "unsaid": (2, 0.299, 0.114),
    "bt601": (6, 0.299, 0.114),
    "bt709": (1, 0.2126, 0.0722),
    "bt2020": (9, 0.2627, 0.0593),
}


def levels(matrix, *, full_range, bits):
    """Brightness and the two differences of COLOUR, as ITU-R BT.601, 709 and 2020 define them."""
    _, of_red, of_blue = MATRICES[matrix]
    red, green, blue = (value / 255 for value in COLOUR)
    y = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    differences = (blue - y) / (2 - 2 * of_blue), (red - y) / (2 - 2 * of_red)
    unit, most = 1 << (bits - 8), (1 << bits) - 1
    if full_range:
        return [y * most, *(d * most + 128 * unit for d in differences)]
    return [(16 + 219 * y) * unit, *((128 + 224 * d) * unit for d in differences)]


def write_levels(path, planes, *, matrix, full_range, bits, trc=2):
    """Write five frames of one colour, losslessly, with what the file says of its colours."""
    pixels = "yuv420p" if bits == 8 else "yuv420p10le"
    kind = np.uint8 if bits == 8 else np.uint16
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25)
        stream.options = {"x265-params": "lossless=1:log-level=error"}
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        codec = stream.codec_context
        codec.colorspace = MATRICES[matrix][0]
        codec.color_range, codec.color_trc = 2 if full_range else 1, trc
        for number in range(5):
            frame = av.VideoFrame(64, 48, pixels)
            for plane, level in zip(frame.planes, planes, strict=True):
                plane.update(np.full(plane.buffer_size // kind().nbytes, round(level), kind))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.colorspace, frame.color_range = codec.colorspace, codec.color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("short_side", [None, 20])
def test_matrix_and_range_are_honoured(tmp_path, matrix, full_range, bits, short_side):
    planes = levels(matrix, full_range=full_range, bits=bits)
    path = write_levels(tmp_path / "a.mp4", planes, matrix=matrix, full_range=full_range, bits=bits)
    found = frames_at(path, [0.1], short_side).astype(int)
    assert np.abs(found - COLOUR).max() <= 3


def test_hdr_is_converted_by_its_matrix_and_not_mapped_to_the_screen(tmp_path):
    planes = levels("bt2020", full_range=False, bits=10)
    smpte2084 = 16
    path = write_levels(
        tmp_path / "a.mp4", planes, matrix="bt2020", full_range=False, bits=10, trc=smpte2084
    )
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).color_trc == smpte2084
    assert np.abs(frames_at(path, [0.1]).astype(int) - COLOUR).max() <= 3


# ---- rotation ----


def write_turned(path, frames, degrees):
    with av.open(str(path), "w") as container:
        options = LOSSLESS_OPTIONS["libx264rgb"]
        stream = container.add_stream("libx264rgb", rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write how frames are turned")
        stream.set_display_rotation(degrees)
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.usefixtures("_size_of_file")
@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3), (-90, 3), (0, 0)])
def test_turned_frames_are_put_upright(tmp_path, container, degrees, turns):
    path = write_turned(tmp_path / f"a.{container}", FRAMES[:10], degrees)
    upright = np.rot90(FRAMES[:10], turns, axes=(1, 2))
    for _ in range(2):  # the second time from memory
        with open_video(path) as video:
            assert (video.width, video.height) == (upright.shape[2], upright.shape[1])
            np.testing.assert_array_equal(video.frames_at(np.arange(10) / 25), upright)
            small = video.frames_at(np.zeros(1), short_side=24)
            assert small.shape[1:3] == (upright.shape[1] // 2, upright.shape[2] // 2)


# ---- edit lists ----


def write_cut(path, first_ms, *, lead_ms=0):
    """Write mp4 that is played from `first_ms` on, after `lead_ms` of nothing."""
    options = {"crf": "0", "g": "20", "bf": "0", "preset": "ultrafast"}
    number_ms = [40 * number - first_ms + lead_ms for number in range(40)]
    movflags = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(path), "w", options=movflags) as container:
        stream = container.add_stream("libx264rgb", rate=25, options=options)
        stream.height, stream.width = FRAMES.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pixels, time_ms in zip(FRAMES, number_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.usefixtures("_size_of_file")
@pytest.mark.parametrize("first", [5, 12, 25])
def test_edit_list_that_starts_inside_a_group(tmp_path, first):
    path = write_cut(tmp_path / "a.mp4", 40 * first)
    whole = decode_all(path)
    assert read_numbers(whole) == list(range(first, 40))
    with open_video(path) as video:
        video.examine()
        assert video.num_frames == 40 - first
        assert video.seconds == pytest.approx((40 - first) / 25, abs=0.002)
        for number in range(first, 40):
            time_sec = (number - first + 0.5) / 25
            assert read_numbers(video.frames_at(np.array([time_sec]))) == [number]


@pytest.mark.usefixtures("_size_of_file")
def test_edit_list_that_starts_late_begins_with_the_first_frame(tmp_path):
    path = write_cut(tmp_path / "a.mp4", 0, lead_ms=3000)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).time == pytest.approx(3.0)
    with open_video(path) as video:
        video.examine()
        assert video.num_frames == 40
        assert video.seconds == pytest.approx(1.6, abs=0.002)
        assert read_numbers(video.frames_at(np.array([0.0, 0.04, 1.55]))) == [0, 1, 38]


@pytest.mark.usefixtures("_size_of_file")
def test_b_frames_start_late_by_an_edit_list_of_their_own(tmp_path):
    path = write_b_frames(tmp_path / "a.mp4", FRAMES)
    whole = decode_all(path)
    assert read_numbers(whole) == list(range(40))
    np.testing.assert_array_equal(frames_at(path, (np.arange(40) + 0.5) / 25), whole)


# ---- scaling ----


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((96, 48), 24, (48, 24)),
        ((95, 47), 24, (49, 24)),
        ((96, 48), 48, (96, 48)),
        ((96, 48), 100, (96, 48)),
        ((48, 96), 12, (12, 24)),
    ],
)
def test_short_side_scales_down_only(tmp_path, size, short_side, expected):
    width, height = size
    path = write_video(tmp_path / "a.mkv", numbered_frames(3, height, width), codec="ffv1")
    found = frames_at(path, [0.05, 0.1], short_side)
    assert found.shape == (2, expected[1], expected[0], 3)
    assert read_numbers(found) == [1, 2]
    assert frames_at(path, [], short_side).shape == (0, expected[1], expected[0], 3)


def test_scaled_frames_are_averages_of_areas(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.mkv", frames)
    expected = frames.reshape(3, 16, 4, 24, 4, 3).mean(axis=(2, 4))
    found = frames_at(path, np.arange(3) / 25, 16)
    assert np.abs(found - expected).max() <= 2


def test_short_side_below_one_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mkv", FRAMES[:2])
    with pytest.raises(ValueError, match="short_side"):
        frames_at(path, [0.0], 0)
