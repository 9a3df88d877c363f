"""Times, gaps, sampling and cropping of the frames of a stream."""

import av
import numpy as np
import pytest

from autox_video.data.loading.transforms import CropClips
from autox_video.prediction.live.frames import (
    Backlog,
    ClipSampler,
    FrameCropper,
    Pacer,
    StreamClock,
)
from autox_video.video.open_video import open_video
from tests.videos import numbered_frames, write_video


def seconds(stamps, arrivals, clock=None):
    clock = clock or StreamClock()
    return [clock.second(*pair) for pair in zip(stamps, arrivals, strict=True)]


@pytest.mark.parametrize(
    ("stamps", "arrivals", "expected"),
    [
        pytest.param([5, 5.04, 5.08], [90, 91, 92], [(0, 1), (0.04, 0), (0.08, 0)], id="stamps"),
        pytest.param([5, 5.2, 8], [0, 1, 2], [(0, 1), (0.2, 0), (3, 1)], id="gap"),
        pytest.param([5, 5.5, 0], [0, 0.5, 9], [(0, 1), (0.5, 0), (9, 1)], id="clock goes back"),
        pytest.param([5, 5.5, 999], [0, 0.5, 9], [(0, 1), (0.5, 0), (9, 1)], id="clock jumps"),
        pytest.param([5, 105], [0, 98], [(0, 1), (100, 1)], id="long gap"),
        pytest.param([5, 4.99, 5.5], [0, 0, 0], [(0, 1), (0, 0), (0.5, 0)], id="slightly back"),
        pytest.param([9, 0], [3, 2], [(0, 1), (0, 1)], id="never before the start"),
    ],
)
def test_times_and_gaps(stamps, arrivals, expected):
    found = seconds(stamps, arrivals)
    assert [second for second, _ in found] == pytest.approx([second for second, _ in expected])
    assert [is_gap for _, is_gap in found] == [bool(is_gap) for _, is_gap in expected]


def test_slow_cameras_have_no_gaps():
    stamps = np.arange(0, 40, 2.0)
    gaps = [is_gap for _, is_gap in seconds(stamps, stamps)]
    assert gaps[2:] == [False] * 18
    clock = StreamClock()
    seconds(stamps, stamps, clock)
    assert clock.second(49.0, 49.0) == (49.0, True)


def test_a_new_connection_goes_on_by_the_wall_clock():
    clock = StreamClock()
    seconds([5, 6], [100, 101], clock)
    clock.restart()
    assert clock.second(0.0, 110.0) == (10.0, True)
    assert clock.second(0.5, 110.5) == (10.5, False)


def test_frames_waited_for_have_just_been_captured():
    backlog = Backlog()
    assert backlog.captured(0.0, 100.0, 5.0) == 100.0
    assert backlog.captured(0.5, 100.9, 0.03) == 100.9
    # These came at once, behind time: decoding is slow.
    assert backlog.captured(1.0, 101.9, 0.0) == pytest.approx(101.4)
    # And early, as when the connection begins.
    assert backlog.captured(3.0, 102.0, 0.0) == 102.0


def test_frames_that_were_held_up_are_late():
    backlog = Backlog()
    backlog.captured(0.0, 100.0, 0.04)
    assert backlog.captured(0.04, 103.0, 2.9) == pytest.approx(100.04)
    # The source had only paused: the next frame is in time again.
    assert backlog.captured(0.08, 103.04, 0.04) == 103.04


def test_packets_are_dropped_only_if_decoding_stays_late():
    backlog = Backlog()
    backlog.captured(0.0, 100.0, 0.04)
    backlog.captured(1.0, 104.0, 0.0)  # 3 s late
    assert not backlog.drops(True, 105.0, 0.0)
    backlog.captured(2.0, 106.5, 0.0)
    assert backlog.drops(True, 106.6, 0.0)  # a key frame of the backlog
    assert backlog.drops(False, 106.7, 0.04)  # caught up, but not at a key frame
    assert backlog.has_dropped
    assert not backlog.drops(True, 106.8, 0.0)
    assert backlog.captured(9.0, 106.9, 0.0) == 106.9


def test_dropping_ends_even_if_the_reader_never_waits():
    backlog = Backlog()
    backlog.captured(0.0, 100.0, 0.04)
    backlog.captured(1.0, 104.0, 0.0)
    assert backlog.drops(True, 107.0, 0.0)
    assert not backlog.drops(True, 109.5, 0.0)


def test_bursts_are_played_slightly_fast():
    pacer = Pacer()
    waits = [pacer.wait_sec(0.0, 10.0, after_gap=True)]
    waits += [pacer.wait_sec(second, 10.0, after_gap=False) for second in (1.0, 2.0)]
    assert waits == pytest.approx([0.0, 0.8, 1.6])
    assert pacer.wait_sec(2.5, 20.0, after_gap=False) == 0.0  # late: no faster afterwards
    assert pacer.wait_sec(3.5, 20.0, after_gap=False) == pytest.approx(0.8)
    assert pacer.wait_sec(99.0, 20.0, after_gap=True) == 0.0


def sampled(frames, *, clip_len=3, interval=0.4, step=2):
    """Clips of numbered frames (second, is_gap): their frames' numbers, starts and ends."""
    sampler = ClipSampler(clip_len, interval, step=step, crop=np.array)
    return [
        (clip.frames.tolist(), round(clip.start, 6), round(clip.end, 6), clip.captured)
        for number, (second, is_gap) in enumerate(frames)
        for clip in sampler.add(number, second, second + 50, after_gap=is_gap)
    ]


def test_clips_have_the_frames_in_the_middle_of_each_slot():
    found = sampled([(number / 10, False) for number in range(30)])
    expected = [([2, 6, 10], 0.0), ([10, 14, 18], 0.8), ([18, 22, 26], 1.6)]
    assert [(numbers, start) for numbers, start, _, _ in found] == expected
    assert [end for _, _, end, _ in found] == pytest.approx([1.2, 2.0, 2.8])
    assert [captured for *_, captured in found] == pytest.approx([51.0, 51.8, 52.6])


def test_slow_frames_are_repeated():
    found = sampled([(float(number), False) for number in range(5)], step=1)
    assert found[0][:3] == ([0, 0, 1], 0.0, 1.2)
    assert found[1][:3] == ([0, 1, 1], 0.4, 1.6)


def test_no_clip_joins_frames_across_a_gap():
    before, after = (
        [(n / 10, False) for n in range(15)],
        [(n / 10, n == 100) for n in range(100, 115)],
    )
    found = sampled(before + after)
    assert [start for _, start, _, _ in found] == [0.0, 10.0]
    assert found[1][0] == [17, 21, 25]


@pytest.mark.parametrize("side", [24, 40, 100])
@pytest.mark.parametrize("size", [(48, 96), (97, 61)])
def test_crops_are_those_of_a_file(tmp_path, size, side):
    path = write_video(tmp_path / "a.mkv", numbered_frames(6, *size), codec="ffv1")
    with open_video(path) as video:
        short_side = side if min(size) >= 2 * side else None
        frames = list(video.frames_at(np.arange(6) / 25, short_side))
    crop = CropClips(side, "centre").transform({"imgs": frames, "clip_len": 6})
    cropper = FrameCropper(side)
    with av.open(str(path)) as container:
        cropped = np.stack([cropper(frame) for frame in container.decode(video=0)])
    np.testing.assert_array_equal(cropped, crop["inputs"][0])
