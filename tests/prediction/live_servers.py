"""Live streams on this machine: an endless numbered video over HTTP and RTSP, in real time."""

import http.server
import io
import itertools
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction

import av
import cv2
import numpy as np

FPS = 25
BITS = 16
"""A frame carries its number in this many bars."""


def live_frame(number: int, height: int = 48) -> np.ndarray:
    """Make a frame (H, 2 * H, 3) that tells its number: black or white bars, lowest bit first.

    The bars are in the middle square, so that a centre crop keeps them.
    """
    bar = (np.arange(height) * BITS // height)[None, :]
    frame = np.full((height, 2 * height, 3), 128, dtype=np.uint8)
    left = height // 2
    frame[:, left : left + height] = ((number >> bar & 1) * 255)[..., None]
    return frame


def live_numbers(frames: np.ndarray) -> list[int]:
    """Give the number in each of (T, S, S, 3) cropped frames."""
    side = frames.shape[2]
    centres = (np.arange(BITS) * 2 + 1) * side // (2 * BITS)
    bars = frames[:, side // 2, centres].mean(axis=-1) > 127
    return [int(number) for number in bars @ (1 << np.arange(BITS))]


class LiveServer:
    """An endless video at `/live.ts` (MPEG-TS), `/live.mjpg` and `/video` (both MJPEG).

    Frame n is sent n / FPS seconds after the start, to each client from the moment it connects.

    Attributes:
        sent: what the last client of /live.ts was sent, if the server `remembers` it.
        clients: number of connections so far.
    """

    def __init__(self, height: int = 48, *, remembers: bool = False) -> None:
        self.height, self.remembers = height, remembers
        self.began = time.monotonic()
        self.sent = io.BytesIO()
        self.clients = 0
        self._stalled_until, self._keeps = 0.0, False
        self._run = threading.Event()
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before."""
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def do_GET(self):
                owner.clients += 1
                owner.answer(self)

        self._run = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """End all connections, and do not listen any more."""
        self._run.set()
        self._server.shutdown()
        self._server.server_close()

    def stall(self, seconds: float, *, keeps: bool = False) -> None:
        """Send nothing for this long; what is not sent meanwhile is lost, unless it `keeps` it."""
        self._keeps = keeps
        self._stalled_until = time.monotonic() + seconds

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def now(self) -> float:
        """Number of the frame that is being sent."""
        return (time.monotonic() - self.began) * FPS

    def numbers(self) -> Iterator[int]:
        """Numbers of the frames to send, each when it is time."""
        run, number = self._run, int(self.now()) + 1
        while not run.wait(max(0.0, number / FPS - (time.monotonic() - self.began))):
            left = self._stalled_until - time.monotonic()
            if left > 0:
                run.wait(left)
                if not self._keeps:
                    number = int(self.now()) + 1
                    continue
            yield number
            number += 1

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        kinds = {"/live.ts": ("video/mp2t", self._send_ts)}
        kinds["/live.mjpg"] = kinds["/video"] = (
            "multipart/x-mixed-replace;boundary=frame",
            self._send_jpegs,
        )
        if handler.path not in kinds:
            handler.send_error(404)
            return
        kind, send = kinds[handler.path]
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        with suppress(OSError, av.error.FFmpegError):  # the client has gone
            send(handler.wfile)

    def _send_jpegs(self, out) -> None:
        for number in self.numbers():
            coded = cv2.imencode(".jpg", live_frame(number, self.height)[..., ::-1])[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(coded)}\r\n\r\n"
            out.write(head.encode() + coded + b"\r\n")

    def _send_ts(self, out) -> None:
        self.sent = io.BytesIO()
        pipe = _Pipe(*([out, self.sent] if self.remembers else [out]))
        with av.open(pipe, "w", format="mpegts", options={"flush_packets": "1"}) as container:
            for packet in encoded(self.numbers(), container, self.height):
                container.mux(packet)


class _Pipe:
    """Writes to two files; cannot be sought in."""

    def __init__(self, *outs) -> None:
        self.outs = outs

    def write(self, data: bytes) -> int:
        for out in self.outs:
            out.write(data)
        return len(data)


def encoded(numbers: Iterator[int], container, height: int = 48) -> Iterator[av.Packet]:
    """Encode numbered frames; their timestamps are their numbers."""
    options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "10", "g": "12"}
    stream = container.add_stream("libx264", rate=FPS, options=options)
    stream.height, stream.width = height, 2 * height
    stream.pix_fmt = "yuv420p"
    for number in numbers:
        frame = av.VideoFrame.from_ndarray(live_frame(number, height), "rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        yield from stream.encode(frame)


@contextmanager
def live_server(**options) -> Iterator[LiveServer]:
    """Serve live streams while the block runs."""
    server = LiveServer(**options)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class RtspServer:
    """The same video over RTSP, as a camera sends it: H.264 in RTP packets, inside the connection.

    It knows the four requests that a player needs (RFC 2326), and one NAL unit per packet
    (RFC 6184, 5.6).
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/live"
        self.transports: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Do not listen any more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        lines = client.makefile("rb")
        while words := lines.readline().split():
            headers = dict(iter(lambda: self._header(lines), None))
            answer = [f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\nSession: 1"]
            body = ""
            if words[0] == b"DESCRIBE":
                body = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                body += "a=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
                answer += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            if words[0] == b"SETUP":
                self.transports.append(headers["transport"])
                answer += [f"Transport: {headers['transport']}"]
            client.sendall(("\r\n".join(answer) + "\r\n\r\n" + body).encode())
            if words[0] == b"PLAY":
                with suppress(OSError):  # the client has gone
                    self._play(client)
                return

    @staticmethod
    def _header(lines) -> tuple[str, str] | None:
        name, found, value = lines.readline().decode().partition(":")
        return (name.lower(), value.strip()) if found else None

    def _play(self, client: socket.socket) -> None:
        sequence = 0
        with av.open(io.BytesIO(), "w", format="h264") as container:
            for packet in encoded(in_real_time(), container):
                nals = [nal for nal in re.split(b"\0\0\0?\1", bytes(packet)) if nal]
                for nal in nals:
                    sequence += 1
                    is_last = 0x80 * (nal is nals[-1])
                    stamp = packet.pts * 90000 // FPS
                    head = struct.pack(">BBHII", 0x80, is_last | 96, sequence, stamp, 7)
                    data = head + nal
                    client.sendall(struct.pack(">cBH", b"$", 0, len(data)) + data)


def in_real_time() -> Iterator[int]:
    """Give 0, 1, 2, ..., each when it is time for the frame."""
    began = time.monotonic()
    for number in itertools.count():
        time.sleep(max(0.0, number / FPS - (time.monotonic() - began)))
        yield number


@contextmanager
def pushing(url: str, kind: str, **options: str) -> Iterator[None]:
    """Send the video to an address or file, in real time, while the block runs."""
    is_over = threading.Event()

    def send() -> None:
        with av.open(url, "w", format=kind, options=options) as container:
            for packet in encoded(in_real_time(), container):
                container.mux(packet)
                if is_over.is_set():
                    return

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    yield
    is_over.set()
    sender.join()
