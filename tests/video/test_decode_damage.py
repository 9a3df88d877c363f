"""Files that are not clips, or damaged ones: one clear sentence each, and never a wrong frame."""

import os

import av
import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.video.container import media_file
from autox_video.video.open_video import open_video
from tests.videos import (
    numbered_frames,
    overwrite,
    read_numbers,
    truncate,
    write_empty_video,
    write_sound,
    write_text_video,
    write_video,
)

FRAMES = numbered_frames(60)


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
        (write_text_video, "this is text, not a video"),
        (playlist, "this is a text playlist, not the videos in it"),
        (torn_mp4, "this is an MP4 without its index (moov), damaged or cut off"),
        (lambda path: write_sound(path.with_suffix(".m4a")), "no video stream"),
        (lambda path: write_sound(path.with_suffix(".wav")), "no video stream"),
        (lambda path: write_sound(path.with_suffix(".mp3")), "no video stream"),
        (lambda path: write_sound(path.with_suffix(".mp3"), cover=True), "no video stream"),
    ],
)
def test_what_is_not_a_clip_gets_one_sentence(tmp_path, make, reason):
    path = make(tmp_path / "clip.mp4")
    with pytest.raises(VideoError) as caught:
        open_video(path)
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
        open_video(path)


def test_strange_names_are_opened_as_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4", "a b%03d#?.mp4", "-y.mp4", os.fsdecode(b"\xff\xe9.mp4"), "片.mp4"):
        plain = write_video(tmp_path / "plain.mp4", FRAMES[:3])
        os.replace(plain, name)
        with open_video(name) as video:
            assert read_numbers(video.frames_at(np.array([0.05]))) == [1]


# ---- damage ----


def test_cut_off_avi_is_as_long_as_what_is_left(tmp_path):
    frames = numbered_frames(60, height=96, width=160)
    path = write_video(tmp_path / "a.avi", frames, codec="mpeg4", options={"g": "12"})
    truncate(path, 0.5)
    with open_video(path) as video:
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
    with open_video(path) as video:
        assert 30 <= video.num_frames < 80
        last = video.num_frames - 1
        assert read_numbers(video.frames_at(np.array([last / 25]))) == [last]


def test_large_cut_off_file_never_freezes_silently(tmp_path, monkeypatch):
    path = truncate(write_fast_start(tmp_path / "a.mp4"), 0.5)
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    monkeypatch.setattr(media_file, "is_cut_off", lambda *_: False)  # of other containers
    with open_video(path) as video:
        assert video.seconds == 4.0  # what its header promises
        assert read_numbers(video.frames_at(np.array([0.4]))) == [10]
        with pytest.raises(VideoError, match=r"cut off: nothing can be decoded from \d\.\d s to 3"):
            video.frames_at(np.array([0.4, 3.9]))
        video.examine()
        assert video.seconds < 3.0
        last = video.num_frames - 1
        assert read_numbers(video.frames_at(np.array([0.4, video.seconds]))) == [10, last]


def test_large_file_cut_off_between_two_frames_never_freezes_silently(tmp_path, monkeypatch):
    path = write_fast_start(tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        starts = [packet.pos for packet in container.demux(video=0) if packet.size]
    os.truncate(path, starts[50])
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    monkeypatch.setattr(media_file, "is_cut_off", lambda *_: False)  # of other containers
    with open_video(path) as video:
        assert read_numbers(video.frames_at(np.array([0.4, 1.98]))) == [10, 49]
        with pytest.raises(VideoError, match=r"nothing can be decoded from 2.0 s to 3.9 s"):
            video.frames_at(np.array([0.4, 3.9]))


def test_damage_in_the_middle_is_said_with_its_place(tmp_path):
    path = overwrite(write_fast_start(tmp_path / "a.mp4"), 0.4, 0.98)
    with open_video(path) as video:
        assert read_numbers(video.frames_at(np.array([0.2, 0.4]))) == [5, 10]
        with pytest.raises(VideoError, match=r"nothing can be decoded from 1\.\d s to 3\.6 s"):
            video.frames_at(np.array([0.2, 3.6]))


def test_end_that_was_never_written_is_found(tmp_path):
    path = overwrite(write_fast_start(tmp_path / "a.mp4"), 0.9, 1.0)
    with open_video(path) as video, pytest.raises(VideoError, match="it ends in zero bytes"):
        video.examine()


def test_raw_video_may_end_in_black(tmp_path):
    path = write_video(tmp_path / "a.avi", FRAMES[:3] * 0, codec="rawvideo", pixels="bgr24")
    with open_video(path) as video:
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
    with open_video(path) as video, pytest.raises(VideoError, match="damaged or cut off"):
        video.examine()


def test_short_damage_shows_the_last_good_frame(tmp_path):
    path = overwrite(write_fast_start(tmp_path / "a.mp4"), 0.5, 0.51)
    with open_video(path) as video:
        numbers = read_numbers(video.frames_at(np.arange(100) / 25))
    assert numbers[:30] == list(range(30)) and numbers[-30:] == list(range(70, 100))
    assert numbers != list(range(100))


def test_file_of_garbage_behind_a_good_header(tmp_path):
    path = overwrite(write_fast_start(tmp_path / "a.mp4"), 0.2, 1.0)
    with open_video(path) as video, pytest.raises(VideoError, match=r"can be decoded|damaged"):
        video.frames_at(np.array([3.0]))


def test_streams_that_come_up_late_do_no_harm(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mkv", FRAMES)
    plain = media_file.MediaFile._open

    class Late:
        """A container that fails as PyAV does when it takes leave of streams it does not know."""

        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def demux(self, stream):
            yield from (packet for packet in self._container.demux(stream) if packet.size)
            raise IndexError("list index out of range")

    def open_late(file):
        plain(file)
        file.container = Late(file.container)

    monkeypatch.setattr(media_file.MediaFile, "_open", open_late)
    with open_video(path) as video:
        video.examine()
        assert read_numbers(video.frames_at(np.array([0.5, 2.39]))) == [12, 59]


@pytest.mark.parametrize(("good_from", "is_known"), [(10, True), (40, False)])
def test_start_that_cannot_be_decoded(tmp_path, good_from, is_known):
    frames = numbered_frames(100)
    path = write_video(tmp_path / "a.mov", frames, codec="mjpeg", pixels="yuvj420p")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    with open(path, "r+b") as file:
        for packet in packets[:good_from]:
            file.seek(packet.pos)
            file.write(bytes(packet.size))
    with open_video(path) as video:
        assert read_numbers(video.frames_at(np.array([3.0, 2.0]))) == [75, 50]
        if is_known:
            assert read_numbers(video.frames_at(np.array([0.1, 0.5]))) == [10, 12]
        else:
            with pytest.raises(VideoError, match=r"nothing can be decoded from 0\.0 s to 0\.5 s"):
                video.frames_at(np.array([0.1, 0.5]))
