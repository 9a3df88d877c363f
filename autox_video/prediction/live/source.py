"""Recognise and open live sources: cameras, network streams and endless HTTP streams."""

import base64
import errno
import re
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from autox_video.core.errors import VideoError
from autox_video.video.container.media_file import ANY_METADATA

OPEN_SEC, READ_SEC, LONGEST_WAIT_SEC = 10.0, 10.0, 30.0
"""Maximum time to connect, to wait for data, and to wait for a frame that can be decoded. HLS
servers publish several seconds at once, so they get LONGEST_WAIT_SEC for data, too."""

_CAMERA = re.compile(r"camera:(.+)|(/dev/video\d+)")
_STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt")
_LIVE_SUFFIXES = (".m3u8", ".mjpg", ".mjpeg")
_LIVE_TYPES = ("multipart/x-mixed-replace", "application/vnd.apple.mpegurl", "mpegurl")
_ENDLESS_SUFFIXES = (".ts", ".m2ts", ".flv")
_ENDLESS_TYPES = ("video/mp2t", "video/mpeg", "video/x-flv")
_ANSWER_SEC = 10.0
_STEADY_FORMATS = ("mjpeg", "mpjpeg", "h264", "hevc", "m4v", "mpegvideo", "av1", "obu", "image2")
"""Formats without timestamps, for which FFmpeg assumes a constant frame rate."""


class StreamFault(Exception):  # noqa: N818 (the caller turns it into an error or a note)
    """A live source cannot be opened or read; the message is a clause with the reason."""


def is_live(source: str) -> bool:
    """Return whether a source is a camera or a stream rather than a file.

    HTTP addresses that do not end in .m3u8, .mjpg or .mjpeg are requested, and the headers of the
    answer decide: MJPEG and HLS are live, and so are MPEG-TS and FLV of unknown length.
    """
    if _CAMERA.fullmatch(source):
        return True
    try:
        parts = urlsplit(source)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https"):
        return parts.scheme in _STREAM_SCHEMES
    path = parts.path.lower()
    if path.endswith(_LIVE_SUFFIXES):
        return True
    last = path.rpartition("/")[2]
    may_be_live = path.endswith(_ENDLESS_SUFFIXES) or "." not in last or last.endswith(".cgi")
    return may_be_live and _answers_live(source)


def _answers_live(address: str) -> bool:
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    request = Request(urlunsplit(parts._replace(netloc=host, fragment="")))
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    is_endless = parts.path.lower().endswith(_ENDLESS_SUFFIXES)
    try:
        with urlopen(request, timeout=_ANSWER_SEC) as answer:
            kind, length = answer.headers.get_content_type(), answer.headers["Content-Length"]
    except HTTPError as error:
        # Cameras may ask for a digest, which FFmpeg can give.
        return error.code == 401 and parts.username is not None
    except OSError:
        return is_endless  # a stream may not have started yet
    is_endless = is_endless or kind in _ENDLESS_TYPES
    return kind.endswith(_LIVE_TYPES) or (is_endless and length is None)


@dataclass(frozen=True)
class LiveSource:
    """A camera or stream that can be opened; see `live_source`."""

    name: str
    """The source as the user gave it, without a password."""
    address: str
    """What FFmpeg opens."""
    format: str | None = None
    """FFmpeg's input device; None for streams."""
    options: dict[str, str] = field(default_factory=dict)
    """FFmpeg's options."""

    def open(self, open_sec: float = OPEN_SEC) -> InputContainer:
        """Connect to the source, and return a container that has a video stream.

        Raises:
            StreamFault: the source cannot be reached, or what it sends is not a video.
            VideoError: the address is that of a recording, which has an end.
        """
        try:
            container = av.open(
                self.address,
                format=self.format,
                options=dict(self.options),
                timeout=(open_sec, self._read_sec),
                **ANY_METADATA,
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise StreamFault(self._reason(error, open_sec)) from error
        if not container.streams.video:
            container.close()
            raise StreamFault("it sends no video")
        if container.duration and self.address.startswith("http"):
            seconds = container.duration / av.time_base
            container.close()
            raise VideoError(
                f"{self.name}: this is a recording of {seconds:.0f} s, not a live stream; save it "
                f"to a file, for example with `ffmpeg -i ADDRESS -c copy video.mp4`, and predict "
                "the file."
            )
        return container

    @property
    def _read_sec(self) -> float:
        return LONGEST_WAIT_SEC if _is_hls(self.address) else READ_SEC

    def packets(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[av.Packet, float]]:
        """Yield the packets of a video stream, and how many seconds the reader waited for each.

        Raises:
            StreamFault: the stream has ended, or the connection is broken.
        """
        packets, waited = container.demux(), 0.0
        while True:
            began = time.monotonic()
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                raise StreamFault(self._reason(error, self._read_sec)) from error
            except IndexError:  # raised by PyAV 18 at the end if streams were added
                packet = None
            waited += time.monotonic() - began
            if packet is None:
                raise StreamFault("the stream has ended")
            if packet.stream_index == stream.index:
                yield packet, waited
                waited = 0.0

    def _reason(self, error: Exception, seconds: float) -> str:
        """Return a clause that tells why opening or reading failed, after `seconds` s at most."""
        if isinstance(error, av.error.ExitError | TimeoutError):
            return f"nothing was received for {seconds:.0f} s"
        if self.format is None and getattr(error, "errno", None) == errno.EIO:
            # FFmpeg does not distinguish an unknown host from other errors.
            host = urlsplit(self.address).hostname
            try:
                socket.getaddrinfo(host, None)
            except OSError:
                return f"the host {host} is unknown"
            return "the connection is broken"
        for kind, words in _REASONS:
            if isinstance(error, kind):
                return words
        if getattr(error, "errno", None) == errno.EBUSY:
            return "another program is using it"
        return f"it cannot be read ({getattr(error, 'strerror', None) or error})"


_REASONS = (
    (av.error.ConnectionRefusedError, "the connection was refused; check the host and the port"),
    (av.error.FileNotFoundError, "there is no such camera"),
    (av.error.PermissionError, "access denied; on Linux, your user must be in the group `video`"),
    (av.error.HTTPNotFoundError, "the server has no such stream"),
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        "access denied; give the login in the address, as in rtsp://USER:PASSWORD@HOST",
    ),
    (av.error.ProtocolNotFoundError, "FFmpeg cannot read this kind of address"),
    (av.error.InvalidDataError, "what it sends is not a video"),
    (ValueError, "this build of FFmpeg cannot read cameras"),
)


def live_source(source: str) -> LiveSource:
    """Return a live source by its name: `camera:0`, /dev/video0, or an address."""
    camera = _CAMERA.fullmatch(source)
    if camera:
        return LiveSource(source, *_device(camera[1] or camera[2]))
    options = {"rtsp_transport": "tcp"} if source.lower().startswith("rtsp") else {}
    if source.lower().startswith("udp"):
        options["overrun_nonfatal"] = "1"
    if _is_hls(source):
        options["live_start_index"] = "-1"
    return LiveSource(re.sub(r"://[^/]*@", "://***@", source), source, options=options)


def _is_hls(address: str) -> bool:
    return urlsplit(address).path.lower().endswith(".m3u8")


def comes_in_bursts(container: InputContainer) -> bool:
    """Return whether the stream is sent in segments of several seconds (HLS)."""
    return container.format.name.startswith("hls")


def decoded(packet: av.Packet) -> list[av.VideoFrame]:
    """Return the intact frames that a packet completes; none if it is damaged."""
    try:
        return [frame for frame in packet.decode() if not frame.is_corrupt]
    except av.error.FFmpegError:
        return []


def assumes_rate(container: InputContainer) -> bool:
    """Return whether the timestamps only count frames, so that the wall clock must be used."""
    names = container.format.name.split(",")
    return any(name in _STEADY_FORMATS for name in names)


def _device(name: str) -> tuple[str, str]:
    """Return FFmpeg's name of a camera (an index or a name) and its input device."""
    if sys.platform == "darwin":
        return name, "avfoundation"
    if sys.platform == "win32":
        return f"video={_windows_camera(name)}", "dshow"
    return f"/dev/video{name}" if name.isdecimal() else name, "v4l2"


def _windows_camera(name: str) -> str:
    if not name.isdecimal():
        return name
    from av.device import enumerate_input_devices

    devices = enumerate_input_devices("dshow")
    cameras = [device.name for device in devices if "video" in device.media_types]
    if int(name) >= len(cameras):
        raise VideoError(f"camera:{name}: there is no such camera; found: {cameras or 'none'}.")
    return cameras[int(name)]
