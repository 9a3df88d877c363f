"""Folders of pictures as clips."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from autox_video.core.errors import VideoError
from autox_video.video.container.orientation import EXIF
from autox_video.video.decoders.frame_folder import FRAME_FOLDER_FPS
from autox_video.video.files.video_file import is_frame_folder
from autox_video.video.open_video import open_video
from tests.videos import numbered_frames, read_numbers, truncate

FRAMES = numbered_frames(12, height=48, width=96)


def write_picture(path, pixels):
    """Write one picture, its kind by its suffix; PNG without loss."""
    codec, kind = ("png", "rgb24") if path.suffix == ".png" else ("mjpeg", "yuvj420p")
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base = kind, Fraction(1, 25)
    context.options = {"qmin": "1", "qmax": "1"} if codec == "mjpeg" else {}
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=kind)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(b"".join(map(bytes, context.encode(frame) + context.encode())))
    return path


def write_folder(folder, pattern, first=1, frames=FRAMES):
    for number, pixels in enumerate(frames, start=first):
        write_picture(folder / pattern.format(number), pixels)
    return folder


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("img_{:05d}.jpg", 1),
        ("{:05d}.jpg", 0),
        ("frame_{:06d}.png", 1),
        ("{}.png", 1),  # 10 comes after 9
        ("frame-{}.JPG", 95),
        ("100%d_{:03d}.png", 1),
    ],
)
def test_pictures_come_in_the_order_of_their_numbers(tmp_path, pattern, first):
    folder = write_folder(tmp_path / "clip", pattern, first)
    (folder / "notes.txt").write_text("30 fps")
    assert is_frame_folder(folder)
    with open_video(folder) as video:
        video.examine()
        assert video.decoder == "pictures"
        assert (video.num_frames, video.width, video.height) == (12, 96, 48)
        assert (video.fps, video.seconds) == (FRAME_FOLDER_FPS, 12 / FRAME_FOLDER_FPS)
        assert video.codec == pattern.rpartition(".")[2].lower()
        frames = video.frames_at(np.arange(12) / FRAME_FOLDER_FPS)
        assert read_numbers(frames) == list(range(12))
        if pattern.endswith("png"):
            np.testing.assert_array_equal(frames, FRAMES)
        times = np.array([9.0, -1.0, 0.199, 0.2, 0.2])
        assert read_numbers(video.frames_at(times)) == [11, 0, 5, 6, 6]
        assert video.frames_at(times, 24).shape == (5, 24, 48, 3)
        assert read_numbers(video.frames_at(times, 24)) == [11, 0, 5, 6, 6]


def test_numbers_may_be_missing(tmp_path):
    folder = write_folder(tmp_path / "clip", "{:03d}.png")
    for number in (1, 5, 6):
        (folder / f"{number:03d}.png").unlink()
    with open_video(folder) as video:
        numbers = read_numbers(video.frames_at(np.arange(9) / FRAME_FOLDER_FPS))
    assert numbers == [1, 2, 3, 6, 7, 8, 9, 10, 11]


def test_optical_flow_beside_the_frames_is_left_alone(tmp_path):
    folder = write_folder(tmp_path / "clip", "img_{:05d}.jpg")
    for kind in ("flow_x", "flow_y"):
        write_folder(folder, kind + "_{:05d}.jpg", frames=FRAMES[:3])
    with open_video(folder) as video:
        assert video.num_frames == 12


def test_pictures_of_several_kinds_are_refused(tmp_path):
    folder = write_folder(tmp_path / "clip", "left_{:05d}.jpg")
    write_folder(folder, "right_{:05d}.jpg")
    with pytest.raises(VideoError, match=r"one series of images, not left_\*\.jpg, right_\*\.jpg"):
        open_video(folder)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_torn_picture_is_named(tmp_path, suffix, share):
    folder = write_folder(tmp_path / "clip", "img_{:05d}." + suffix)
    truncate(folder / f"img_00012.{suffix}", share)
    with open_video(folder) as video:
        assert read_numbers(video.frames_at(np.zeros(1))) == [0]
        with pytest.raises(VideoError, match=rf"clip: the image img_00012\.{suffix} cannot be"):
            video.frames_at(np.array([0.0, 11 / FRAME_FOLDER_FPS]))
        with pytest.raises(VideoError, match="cut off or damaged"):
            video.examine()


def test_picture_that_went_away_is_named(tmp_path):
    folder = write_folder(tmp_path / "clip", "{}.png")
    with open_video(folder) as video:
        (folder / "3.png").unlink()
        with pytest.raises(VideoError, match=r"3\.png cannot be read \(No such file"):
            video.frames_at(np.arange(12) / FRAME_FOLDER_FPS)


def test_other_pictures_take_the_size_of_the_first(tmp_path):
    folder = write_folder(tmp_path / "clip", "{}.png", frames=FRAMES[:3])
    write_picture(folder / "4.png", numbered_frames(4, 96, 192)[3])
    with open_video(folder) as video:
        frames = video.frames_at(np.arange(4) / FRAME_FOLDER_FPS)
    assert frames.shape == (4, 48, 96, 3)
    assert read_numbers(frames) == [0, 1, 2, 3]


def test_what_is_no_folder_of_frames(tmp_path):
    (tmp_path / "empty").mkdir()
    clips = tmp_path / "class"
    write_folder(clips / "clip", "{}.png", frames=FRAMES[:1])
    write_picture(clips / "1.png", FRAMES[0])
    named = tmp_path / "named"
    write_picture(named / "cat.png", FRAMES[0])
    for path in (tmp_path / "empty", clips, named, tmp_path / "none", clips / "1.png"):
        assert not is_frame_folder(path), path
    with pytest.raises(VideoError, match="this is a folder, not a video"):
        open_video(tmp_path / "empty")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("number", range(1, 9))
def test_pictures_lie_as_their_exif_data_says(tmp_path, number, suffix):
    exif = Image.Exif()
    exif[0x112] = number
    (tmp_path / "clip").mkdir()
    for place, pixels in enumerate(FRAMES[:3]):
        options = {} if suffix == ".png" else {"quality": 95, "subsampling": 0}
        path = tmp_path / "clip" / f"img_{place}{suffix}"
        Image.fromarray(pixels).save(path, exif=exif, **options)
    shown = np.stack([EXIF[number].upright(pixels) for pixels in FRAMES[:3]]).astype(int)
    with open_video(tmp_path / "clip") as video:
        assert (video.width, video.height) == (shown.shape[2], shown.shape[1])
        frames = video.frames_at(np.arange(3) / FRAME_FOLDER_FPS)
    assert np.abs(frames - shown).mean() < (0.01 if suffix == ".png" else 4)


def test_pointers_in_place_of_pictures_are_named(tmp_path):
    folder = write_folder(tmp_path / "clip", "img_{:05d}.jpg")
    (folder / "img_00003.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    with open_video(folder) as video, pytest.raises(VideoError, match="img_00003.jpg.*Git LFS"):
        video.frames_at(np.arange(12) / FRAME_FOLDER_FPS)
