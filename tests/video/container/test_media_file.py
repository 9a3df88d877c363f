"""Packets of a file: read, counted, kept."""

import numpy as np

from autox_video.video.container import packet_count
from autox_video.video.container.media_file import MediaFile
from autox_video.video.container.packet_count import Counted, CountedFiles
from autox_video.video.container.timeline import Timeline
from tests.videos import numbered_frames, write_video

FRAMES = numbered_frames(60)
COUNTED = Counted(Timeline(np.zeros(0, int), np.zeros(0), 1.0), 0, 0.0, blank_end=False)


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
