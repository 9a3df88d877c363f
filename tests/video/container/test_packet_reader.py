"""Packets of a file that is too large to keep: sought, read by number."""

import pytest

from autox_video.video.container import media_file
from autox_video.video.container.media_file import MediaFile
from autox_video.video.container.packet_reader import PacketReader, packets_between
from tests.videos import numbered_frames, write_video


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file that is not read whole, with a key frame every 10 frames of 40 ms."""
    monkeypatch.setattr(media_file, "COUNT_UP_TO_BYTES", 0)
    options = {"crf": "0", "g": "10", "bf": "0", "preset": "ultrafast"}
    file = MediaFile(write_video(tmp_path / "a.mp4", numbered_frames(60), options=options))
    yield file
    file.close()


def numbers_of(file, packets):
    return [round(packet.pts * file.tick_sec * 25) for packet in packets]


@pytest.mark.parametrize("back_sec", [0.0, 1.0, 9.0])
def test_packets_between_start_at_the_last_key_frame(large, back_sec):
    tick = large.tick_sec
    packets = packets_between(large, 1.3 / tick, 1.9 / tick, back_sec / tick)
    assert numbers_of(large, packets) == list(range(30, 49))  # one more than is shown by 1.9 s


def test_packets_between_end_with_the_file(large):
    packets = packets_between(large, 2.3 / large.tick_sec, 9.0 / large.tick_sec, 0.0)
    assert numbers_of(large, packets) == list(range(50, 60))


def test_packets_by_number(large):
    large.count()
    reader = PacketReader(large, large.index)
    numbers = [0, 1, 2, 20, 21, 50, 51]
    assert numbers_of(large, [reader.packet(number) for number in numbers]) == numbers


def test_a_packet_that_is_not_where_the_index_says_is_not_returned(large):
    large.count()
    reader = PacketReader(large, large.index)
    large.index.stamps[1:] += 7
    assert reader.packet(0).pts == 0
    assert reader.packet(1) is None
    assert reader.packet(20) is None


def test_the_end_of_the_file_is_none(large):
    large.count()
    reader = PacketReader(large, large.index)
    packets = [reader.packet(number) for number in range(50, 60)]
    assert numbers_of(large, packets) == list(range(50, 60))
    assert next(reader._packets, None) is None
