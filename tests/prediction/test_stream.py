"""Live sources from end to end: real servers on this machine send numbered frames in real time."""

import gc
import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.data.loading.transforms import CropClips
from autox_video.prediction.stream import (
    LiveWindow,
    LiveWindows,
    line_record,
    line_text,
    predict_stream,
)
from autox_video.video.open_video import open_video
from tests.prediction.live_servers import (
    FPS,
    RtspServer,
    free_port,
    live_numbers,
    live_server,
    pushing,
)
from tests.servers import serve

CLIP = {"clip_len": 8, "frame_interval_sec": 0.1, "side": 48, "stride_sec": 0.4}
GAP_OF_NUMBERS = 5
"""Frames of one window are 2 or 3 apart; machines under load may lose one."""


def watch(url, seconds, *, each=lambda window: None, **options):
    """The windows of some seconds, and the notes."""
    notes, windows = [], []
    options = {"on_note": notes.append, "max_seconds": seconds, **CLIP, **options}
    with LiveWindows(url, **options) as live:
        for window in live:
            windows.append(window)
            each(window)
    return windows, notes


def joined(window):
    """Whether a window has no gap between its frames."""
    return np.diff(live_numbers(window.frames)).max() <= GAP_OF_NUMBERS


def offsets(windows, interval=0.1):
    """The number of the frame at second 0, as each window tells it."""
    first_middle = np.array([window.start + interval / 2 for window in windows])
    numbers = [live_numbers(window.frames)[0] for window in windows]
    return np.array(numbers) - first_middle * FPS


@pytest.mark.slow
def test_windows_of_a_steady_stream():
    with live_server() as server:
        windows, notes = watch(server.url("live.mjpg"), 5)
    assert len(windows) >= 5
    assert notes == []
    assert all(joined(window) for window in windows)
    assert all(window.frames.shape == (8, 48, 48, 3) for window in windows)
    assert np.ptp(offsets(windows)) < 3
    ends = np.array([window.end for window in windows])
    np.testing.assert_allclose(ends - [window.start for window in windows], 0.8)
    np.testing.assert_allclose(ends / 0.4, np.rint(ends / 0.4), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("side", [20, 40])
def test_windows_are_those_of_the_file(tmp_path, side):
    with live_server(remembers=True) as server:
        windows, _ = watch(server.url("live.ts"), 4, side=side)
        (tmp_path / "a.ts").write_bytes(server.sent.getvalue())
    assert len(windows) >= 3
    with open_video(tmp_path / "a.ts") as video:
        for window in windows:
            times = window.start + (np.arange(8) + 0.5) * 0.1
            frames = list(video.frames_at(times, side if side == 20 else None))
            crop = CropClips(side, "centre").transform({"imgs": frames, "clip_len": 8})
            np.testing.assert_array_equal(window.frames, crop["inputs"][0])


@pytest.mark.slow
def test_a_stall_loses_only_itself():
    stalls = iter([3.0])

    def stall(window):
        if window.start >= 0.8 and (seconds := next(stalls, None)):
            server.stall(seconds)

    with live_server() as server:
        windows, notes = watch(server.url("live.ts"), 8, each=stall)
    check_gap(windows, 3.0)
    assert notes == []  # the connection was not lost


@pytest.mark.slow
def test_a_stream_that_ends_is_connected_again():
    with live_server() as server:
        timers = [threading.Timer(2, server.stop), threading.Timer(4, server.start)]
        for timer in timers:
            timer.start()
        windows, notes = watch(server.url("live.ts"), 9)
        assert server.clients == 2
    check_gap(windows, 3.5)  # between two attempts, half a second may pass
    assert len(notes) == 2
    assert "reconnecting" in notes[0]
    assert "connected again" in notes[1]


@pytest.mark.slow
def test_a_silent_connection_is_replaced(monkeypatch):
    monkeypatch.setattr("autox_video.prediction.live.source.READ_SEC", 1.0)
    with live_server() as server:
        stall = threading.Timer(2, server.stall, (3,))
        stall.start()
        windows, notes = watch(server.url("live.ts"), 9)
        assert server.clients > 1
    check_gap(windows, 3.5)
    assert len(notes) == 2
    assert "nothing was received for 1 s; reconnecting" in notes[0]


def check_gap(windows, seconds):
    """One gap of these seconds, which no window spans; the times are right on both sides."""
    assert all(joined(window) for window in windows)
    starts = np.array([window.start for window in windows])
    gaps = np.flatnonzero(np.diff(starts) > 1.5)
    assert len(gaps) == 1
    before, after = windows[gaps[0]], windows[gaps[0] + 1]
    lost = (live_numbers(after.frames)[0] - live_numbers(before.frames)[-1]) / FPS
    assert 1.5 < lost < seconds + 1
    assert len(starts) - gaps[0] > 3
    assert np.ptp(offsets(windows)) < FPS / 2


@pytest.mark.slow
def test_what_arrives_late_is_not_lost():
    stalls = iter([2.0])

    def stall(window):
        if window.start >= 0.8 and (seconds := next(stalls, None)):
            server.stall(seconds, keeps=True)

    with live_server() as server:
        windows, notes = watch(server.url("live.ts"), 6, each=stall)
    assert notes == []
    starts = np.array([window.start for window in windows])
    skipped = sum(window.skipped for window in windows)
    assert round((starts[-1] - starts[0]) / 0.4) == len(windows) - 1 + skipped
    assert np.ptp(offsets(windows)) < 3


@pytest.mark.slow
def test_a_slow_model_skips_windows():
    delays = []

    def think(window):
        delays.append(time.time() - window.captured_at)
        time.sleep(1)

    with live_server() as server:
        windows, notes = watch(server.url("live.ts"), 8, each=think, stride_sec=0.2)
    steps = np.diff([window.start for window in windows])
    assert [round(step / 0.2) - 1 for step in steps] == [w.skipped for w in windows[1:]]
    assert sum(window.skipped for window in windows) >= 10
    assert delays[-1] < 1.0
    assert len(notes) == 1
    assert "windows in between are skipped" in notes[0]


@pytest.mark.slow
def test_memory_stays_flat():
    sizes = []
    options = {**CLIP, "side": 112, "on_note": print, "max_seconds": 10}
    gc.collect()
    gc.disable()  # cycles would keep frames until the next collection
    try:
        with (
            live_server(height=540) as server,
            LiveWindows(server.url("live.ts"), **options) as live,
        ):
            for _ in live:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    finally:
        gc.enable()
    assert len(sizes) > 10
    # The 50 frames sampled in the second half would be 42 MiB.
    assert sizes[-1] - sizes[len(sizes) // 2] < 20


@pytest.mark.slow
def test_rtsp_over_tcp():
    server = RtspServer()
    windows, notes = watch(server.url, 5)
    server.close()
    assert server.transports == ["RTP/AVP/TCP;unicast;interleaved=0-1"]
    assert len(windows) >= 3
    assert notes == []
    assert all(joined(window) for window in windows)
    assert np.ptp(offsets(windows)) < 3


@pytest.mark.slow
def test_hls_loses_nothing_between_its_segments(tmp_path):
    options = {"hls_time": "1", "hls_list_size": "4", "hls_flags": "delete_segments+temp_file"}
    with pushing(str(tmp_path / "x.m3u8"), "hls", **options), serve(tmp_path) as server:
        while not list(tmp_path.glob("x2.ts")):
            time.sleep(0.1)
        windows, notes = watch(f"{server.address}/x.m3u8", 6)
    assert notes == []
    assert len(windows) >= 5
    np.testing.assert_allclose(np.diff([window.start for window in windows]), 0.4)
    assert np.ptp(offsets(windows)) < 3


@pytest.mark.slow
def test_udp():
    url = f"udp://127.0.0.1:{free_port()}"
    with pushing(f"{url}?pkt_size=1316", "mpegts"):
        windows, _ = watch(url, 5)
    assert len(windows) >= 3
    assert np.ptp(offsets(windows)) < 3


def test_a_wrong_address_is_an_error_at_once():
    url = f"http://127.0.0.1:{free_port()}/live.ts"
    with pytest.raises(VideoError, match="refused") as error:
        watch(url, 5)
    assert str(error.value).count(url) == 1
    with live_server() as server, pytest.raises(VideoError, match="no such stream"):
        watch(server.url("other"), 5)


@pytest.mark.slow
def test_a_source_that_stays_away_is_given_up():
    notes = []
    url = f"http://127.0.0.1:{free_port()}/live.ts"
    with pytest.raises(VideoError, match="refused.*; gave up after"):
        watch(url, 20, give_up_sec=1.2, on_note=notes.append)
    assert len(notes) == 1
    with live_server() as server, pytest.raises(VideoError, match="gave up"):
        watch(server.url("live.ts"), 20, give_up_sec=1.2, each=lambda w: server.stall(9))


@pytest.mark.slow
def test_ctrl_c_ends_a_reader_that_waits():
    windows = []

    def stall(window):
        windows.append(window)
        if len(windows) == 1:
            server.stall(60)
            threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with live_server() as server, pytest.raises(KeyboardInterrupt):
        watch(server.url("live.ts"), 9, each=stall)
    assert len(windows) < 5


def test_predictions_and_their_lines():
    frames = np.full((4, 8, 8, 3), 7, dtype=np.uint8)
    windows = [LiveWindow(frames, 2.0, 3.25, time.time() - 0.5, 2)]
    shapes = []

    def score(batch):
        shapes.append(batch.shape)
        return np.array([0.25, 0.75])

    (line,) = predict_stream(score, windows, ("walk", "jump"))
    assert shapes == [(1, 4, 8, 8, 3)]
    assert (line.class_name, line.score, line.skipped) == ("jump", 0.75, 2)
    assert 0.5 <= line.delay_sec < 5
    record = line_record(line)
    assert (record["start"], record["end"]) == (2.0, 3.25)
    assert record["scores"] == [0.25, 0.75]
    assert datetime.fromisoformat(record["time"]).timestamp() == pytest.approx(
        line.captured_at, abs=1e-3
    )
    assert "2.0-3.2 s  jump 0.75" in line_text(line)
    assert "2 skipped" in line_text(line)
