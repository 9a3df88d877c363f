"""What one opening finds out: true facts, a reason for what cannot be read, a digest."""

import errno

import av
import numpy as np
import pytest
from PIL import Image

from autox_video.core.errors import VideoError
from autox_video.data.inspection import clip_facts
from autox_video.data.inspection.clip_facts import DIGEST_BYTES, ClipFacts, examine_clip
from autox_video.data.inspection.fingerprint import FINGERPRINT_BYTES
from autox_video.video.video import Video
from tests.videos import (
    decode_all,
    numbered_frames,
    truncate,
    write_empty_video,
    write_sound,
    write_text_video,
    write_video,
    write_video_with_sound,
)

FRAMES = numbered_frames(12)


def test_facts_of_a_clip(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(30, height=17, width=33), fps=15)
    assert examine_clip(path).facts == ClipFacts(30, 15.0, 2.0, 33, 17, "h264", None)


def test_one_frame_is_a_clip(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES[:1], fps=30)
    facts = examine_clip(path).facts
    assert (facts.frames, facts.error) == (1, None)
    assert facts.seconds == pytest.approx(1 / 30)


def test_length_is_counted_not_believed(tmp_path):
    path = write_video_with_sound(tmp_path / "a.mkv", FRAMES, sound_seconds=4)
    facts = examine_clip(path).facts
    assert facts.frames == 12
    assert facts.seconds == pytest.approx(0.48, abs=0.01)
    assert facts.fps == pytest.approx(25, abs=0.5)


def test_cut_off_clip_is_as_long_as_what_is_left(tmp_path):
    path = write_video(tmp_path / "a.avi", numbered_frames(60), codec="huffyuv")
    facts = examine_clip(truncate(path, 0.5)).facts
    assert facts.error is None
    assert 20 < facts.frames < 40
    assert facts.frames <= len(decode_all(path)) <= facts.frames + 1
    assert facts.seconds == pytest.approx(facts.frames / 25)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path, "there is no such file."),
        (write_empty_video, "the file is empty (0 bytes)."),
        (write_text_video, "this is text, not a video."),
        (lambda path: truncate(write_video(path, FRAMES), 0.5), "damaged or cut off"),
        (lambda path: write_sound(path.with_suffix(".m4a")), "it has no video stream"),
        (lambda path: path.parent, "this is a folder, not a video."),
    ],
)
def test_unreadable_clip_says_why_without_its_path(tmp_path, make, reason):
    path = make(tmp_path / "a.mp4")
    facts = examine_clip(path).facts
    assert reason in facts.error
    assert str(tmp_path) not in facts.error
    assert facts == ClipFacts(0, 0.0, 0.0, 0, 0, "", facts.error)


def test_a_fault_that_passes_is_none_of_the_clip(tmp_path, monkeypatch):
    path, plain = write_video(tmp_path / "a.mp4", FRAMES), Video.examine
    faults = [VideoError(f"{path}: it is damaged.")]

    def examine(video):
        if faults:
            raise faults.pop()
        plain(video)

    monkeypatch.setattr(Video, "examine", examine)
    assert examine_clip(path).facts.error is None


@pytest.mark.parametrize(("attempts", "is_read"), [(3, True), (30, False)])
def test_a_disk_that_fails_is_waited_for(tmp_path, monkeypatch, attempts, is_read):
    path, plain, waits = write_video(tmp_path / "a.mp4", FRAMES), clip_facts._digest, []
    faults = [OSError(errno.EIO, "Input/output error")] * attempts

    def digest(path):
        if faults:
            raise faults.pop()
        return plain(path)

    monkeypatch.setattr(clip_facts, "_digest", digest)
    monkeypatch.setattr(clip_facts.time, "sleep", waits.append)
    facts = examine_clip(path).facts
    if is_read:
        assert (facts.error, facts.frames) == (None, 12)
    else:
        assert facts.error == "it cannot be read (Input/output error)."
        assert waits == [0.0, *clip_facts.RETRY_AFTER_SEC]


def test_what_a_clip_lacks_is_not_waited_for(tmp_path, monkeypatch):
    path, waits = write_text_video(tmp_path / "a.mp4"), []
    monkeypatch.setattr(clip_facts.time, "sleep", waits.append)
    assert examine_clip(path).facts.error is not None
    assert waits == [0.0]


def test_unreadable_clip_has_neither_digest_nor_fingerprint(tmp_path):
    found = examine_clip(write_text_video(tmp_path / "a.mp4"))
    assert found.digest == bytes(DIGEST_BYTES)
    assert found.fingerprint == bytes(FINGERPRINT_BYTES)


def test_hole_in_the_middle_is_found(tmp_path):
    # Key frames at 0, 1, 2 and 3 s; from behind the second to before the last nothing is left.
    options = {"crf": "0", "g": "25", "preset": "ultrafast"}
    path = tmp_path / "a.mp4"
    front = {"movflags": "faststart"}
    write_video(path, numbered_frames(100), options=options, container_options=front)
    assert examine_clip(path).facts.error is None
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    with open(path, "r+b") as file:
        for packet in packets[26:75]:
            file.seek(packet.pos + 5)  # behind the bytes that tell the kind of packet
            file.write(b"\xff" * (packet.size - 5))
    assert "damaged or cut off: nothing can be decoded" in examine_clip(path).facts.error


def test_digest_is_of_the_content_alone(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    (tmp_path / "b.mp4").write_bytes(path.read_bytes())
    write_video(tmp_path / "c.mp4", FRAMES[:11])
    one, copy, other = (examine_clip(tmp_path / f"{name}.mp4").digest for name in "abc")
    assert one == copy != other
    assert len(one) == DIGEST_BYTES


def test_digest_of_a_large_file_is_of_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_facts, "_PIECE_BYTES", 100)
    monkeypatch.setattr(clip_facts, "DIGEST_UP_TO_BYTES", 400)
    path = tmp_path / "a"

    def digest(content):
        path.write_bytes(bytes(content))
        return clip_facts._digest(path)

    content = bytearray(range(250)) * 4
    first = digest(content)
    assert digest(content) == first
    assert digest(content + b"0") != first
    for piece in range(4):
        changed = content.copy()
        changed[250 * piece + 99] ^= 1
        assert digest(changed) != first
    content[150] ^= 1  # between the pieces
    assert digest(content) == first


def test_digest_of_a_small_file_is_of_every_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_facts, "_PIECE_BYTES", 100)
    path = tmp_path / "a"
    found = set()
    for place in range(250):
        content = bytearray(250)
        content[place] = 1
        path.write_bytes(bytes(content))
        found.add(clip_facts._digest(path))
    assert len(found) == 250


def test_folder_of_frames_is_a_clip_with_a_digest_and_a_fingerprint(tmp_path):
    found = []
    for name, shade in (("one", 60), ("copy", 60), ("other", 61)):
        folder = tmp_path / name
        folder.mkdir()
        for number, frame in enumerate(FRAMES[:4], 1):
            frame = frame // 255 * np.uint8(shade) + np.uint8(number)
            Image.fromarray(frame).save(folder / f"img_{number:05}.png")
        found.append(examine_clip(folder))
    assert [one.facts.error for one in found] == [None] * 3
    assert found[0].facts.frames == 4
    assert found[0].digest == found[1].digest != found[2].digest
    assert any(found[0].fingerprint)
