"""Which sources are live, how they are opened, and why they cannot be."""

import socket
import threading
from contextlib import contextmanager

import pytest

from autox_video.core.errors import VideoError
from autox_video.prediction.live.source import StreamFault, is_live, live_source
from tests.prediction.live_servers import free_port, live_server
from tests.servers import serve
from tests.videos import numbered_frames, write_text_video, write_video


@contextmanager
def answering(headers: bytes, status: bytes = b"200 OK"):
    """A server that gives every request the same headers; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        *[(f"camera:{name}", True) for name in ("0", "1", "/dev/video2", "FaceTime HD")],
        ("/dev/video0", True),
        *[(f"{scheme}://host/x", True) for scheme in ("rtsp", "RTSP", "rtmp", "udp", "srt")],
        ("http://host/live/index.m3u8?key=1", True),
        ("http://host/a.mjpg", True),
        ("https://host/a.mp4", False),
        ("s3://bucket/a.ts", False),
        ("http://[a]b/x", False),
        *[
            (name, False)
            for name in ("a.mp4", "/x/y.ts", "x.m3u8", "camera", "folder/camera:0", "")
        ],
    ],
)
def test_names_tell_what_is_live(source, expected):
    assert is_live(source) is expected


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("video", b"Content-Type: multipart/x-mixed-replace; boundary=x", True),
        ("cam.cgi", b"Content-Type: multipart/x-mixed-replace; boundary=x", True),
        ("stream", b"Content-Type: application/vnd.apple.mpegurl\r\nContent-Length: 9", True),
        ("stream", b"Content-Type: video/mp2t", True),
        ("stream", b"Content-Type: video/mp2t\r\nContent-Length: 9", False),
        ("a.ts", b"Content-Type: application/octet-stream", True),
        ("a.ts", b"Content-Type: application/octet-stream\r\nContent-Length: 9", False),
        ("clip", b"Content-Type: video/mp4", False),
        ("page", b"Content-Type: text/html", False),
    ],
)
def test_headers_tell_what_is_live(path, headers, expected):
    with answering(headers) as port:
        assert is_live(f"http://127.0.0.1:{port}/{path}") is expected


def test_a_camera_that_asks_for_a_login_is_live():
    with answering(b"Content-Length: 0", b"401 Unauthorized") as port:
        assert is_live(f"http://user:word@127.0.0.1:{port}/video")
        assert not is_live(f"http://127.0.0.1:{port}/video")


def test_an_endless_stream_that_has_not_started_is_live():
    assert is_live(f"http://127.0.0.1:{free_port()}/a.ts")
    assert not is_live(f"http://127.0.0.1:{free_port()}/a")


def test_an_endless_stream_is_live():
    with live_server() as server:
        assert is_live(server.url("live.ts"))
        assert is_live(server.url("video"))


@pytest.mark.parametrize(
    ("source", "address", "kind"),
    [("camera:3", "/dev/video3", "v4l2"), ("/dev/video1", "/dev/video1", "v4l2")],
)
def test_cameras_on_linux(source, address, kind):
    found = live_source(source)
    assert (found.address, found.format) == (address, kind)


def test_options_of_streams():
    assert live_source("rtsp://host/x").options == {"rtsp_transport": "tcp"}
    assert live_source("http://host/x.m3u8").options == {"live_start_index": "-1"}
    assert live_source("http://host/x").options == {}


def test_messages_do_not_show_passwords():
    source = live_source(f"rtsp://user:secret@127.0.0.1:{free_port()}/x@y")
    assert "secret" in source.address
    assert source.name.startswith("rtsp://***@127.0.0.1:")
    with pytest.raises(StreamFault) as fault:
        source.open()
    assert "secret" not in str(fault.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("camera:77", "no such camera"),
        ("foo://host/x", "kind of address"),
        ("rtsp://no.such.host.invalid/x", "host no.such.host.invalid is unknown"),
    ],
)
def test_why_a_source_cannot_be_opened(source, words):
    with pytest.raises(StreamFault, match=words):
        live_source(source).open()


def test_why_an_address_cannot_be_opened(tmp_path):
    write_text_video(tmp_path / "a.ts")
    with serve(tmp_path) as server:
        for status, words in ((0, "not a video"), (404, "no such stream"), (403, "access denied")):
            server.status = status
            with pytest.raises(StreamFault, match=words):
                live_source(f"{server.address}/a.ts").open()


def test_a_silent_address_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts"
        with pytest.raises(StreamFault, match="nothing was received"):
            live_source(address).open(0.2)


def test_a_recording_is_no_stream(tmp_path):
    write_video(tmp_path / "a.m3u8", numbered_frames(30), codec="libx264")
    with serve(tmp_path) as server, pytest.raises(VideoError, match=r"recording of 1 s"):
        live_source(f"{server.address}/a.m3u8").open()
