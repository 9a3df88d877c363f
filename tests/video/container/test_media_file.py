"""Packets of a file: read, counted, kept, sought."""

import numpy as np
import pytest

from autox_video.video.container import media_file, packet_count
from autox_video.video.container.media_file import MediaFile
from autox_video.video.container.packet_count import Counted, CountedFiles
from autox_video.video.container.timeline import Timeline
from tests.videos import numbered_frames, write_video

FRAMES = numbered_frames(60)
COUNTED = Counted(Timeline(np.zeros(0, int), np.zeros(0), 1.0), 0, 0.0, blank_end=False)


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file that is not read whole, with a key frame every 10 frames of 40 ms."""
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    options = {"crf": "0", "g": "10", "bf": "0", "preset": "ultrafast"}
    file = MediaFile(write_video(tmp_path / "a.mp4", FRAMES, options=options))
    yield file
    file.close()


@pytest.mark.parametrize("back_sec", [0.0, 1.0, 9.0])
def test_packets_between_start_at_the_last_key_frame(large, back_sec):
    tick = large.tick_sec
    packets = large.packets_between(1.3 / tick, 1.9 / tick, back_sec / tick)
    numbers = [round(packet.pts * tick * 25) for packet in packets]
    assert numbers == list(range(30, 49))  # one more than is shown by 1.9 s


def test_packets_between_end_with_the_file(large):
    packets = large.packets_between(2.3 / large.tick_sec, 9.0 / large.tick_sec, 0.0)
    assert [round(packet.pts * large.tick_sec * 25) for packet in packets] == list(range(50, 60))


def test_small_file_is_read_once_and_opened_once(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    opened, plain = [], MediaFile._open
    monkeypatch.setattr(MediaFile, "_open", lambda file: opened.append(file) or plain(file))
    file = MediaFile(path)
    assert [packet.pts for packet in file.packets()] == [packet.pts for packet in file.packets()]
    assert file.packet(59) is file.packet(59) and file.packet(60) is None
    file.renew()
    assert len(opened) == 1
    file.decode(file.packet(0))
    file.renew()
    assert len(opened) == 2 and not file.has_decoded
    assert file.packet(59).size > 0
    file.close()


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(packet_count, "REMEMBER_BYTES", 10_000)
    files = CountedFiles()
    for number in range(100):
        files.keep((str(number), 0, 0), COUNTED)
    kept = [number for number in range(100) if files.get((str(number), 0, 0))]
    assert kept == [*range(9), 99]  # the next epoch begins with the first ones again
