"""Choose a file's main video stream rather than its cover art, thumbnail or preview."""

from dataclasses import dataclass
from typing import Any

import av

NO_CLIP = ("attached_pic", "timed_thumbnails", "still_image", "dependent")
"""Dispositions of streams that are chosen only if there is no ordinary video stream."""

FEWER_FRAMES, SHORTER, SMALLER = 0.1, 0.5, 0.25
"""A stream is treated as a thumbnail, still image or preview if its frame count, length or pixel
count is below this share of the largest value among the streams."""

SLIDES = 5
"""A large stream with at least this many frames is reported even if another one has many more."""

_LOOK_AT_BYTES = 64 << 20  # read from a file with several streams


@dataclass(eq=False)
class _Candidate:
    stream: Any
    frames: int = 0
    first_sec: float | None = None
    last_sec: float = 0.0

    @property
    def pixels(self) -> int:
        codec = self.stream.codec_context
        return codec.width * codec.height if codec is not None else 0

    @property
    def seconds(self) -> float:
        return self.last_sec - (self.first_sec or 0.0)

    @property
    def is_default(self) -> bool:
        return bool(self.stream.disposition & av.stream.Disposition.default)

    def see(self, packet: av.Packet) -> None:
        stamp = packet.dts if packet.pts is None else packet.pts
        self.frames += 1
        if stamp is not None:
            second = float(stamp * packet.time_base)
            self.first_sec = second if self.first_sec is None else min(self.first_sec, second)
            self.last_sec = max(self.last_sec, second)

    def __str__(self) -> str:
        codec = self.stream.codec_context
        size = "unknown" if codec is None else f"{codec.name}, {codec.width}x{codec.height}"
        return f"stream {self.stream.index} ({size})"


def choose_stream(container: Any) -> tuple[Any, str | None]:
    """Return the stream that players show, and a remark if another stream may be the main video.

    Previews and streams with few frames are avoided. Among the other streams, the file's default
    stream is preferred, then the largest stream, then the first stream. If there are several
    candidates, this function reads from the file, which must then be reopened.

    Returns:
        The stream, which FFmpeg may be unable to decode, and the remark. The stream is None if
        there is only cover art.
    """
    streams = [one for one in container.streams.video if not _is(one, "attached_pic")]
    clips = list(filter(is_clip, streams))
    if len(streams) < 2:
        return (streams[0] if streams else None), None
    if len(clips) == 1:
        return clips[0], None
    found = {one.index: _Candidate(one) for one in clips or streams}
    _look(container, found)
    moving = _largest(list(found.values()))
    large = [one for one in moving if one.pixels >= SMALLER * max(each.pixels for each in moving)]
    chosen = min(large, key=lambda one: (not one.is_default, -one.pixels, one.stream.index))
    told = [*moving, *(one for one in found.values() if _may_be_meant(one, chosen))]
    others = ", ".join(str(one) for one in dict.fromkeys(told) if one is not chosen)
    if not others:
        return chosen.stream, None
    return chosen.stream, f"it has several video streams: {chosen} is used, not {others}"


def _may_be_meant(other: _Candidate, chosen: _Candidate) -> bool:
    """Return whether a stream with few frames, such as a slide show, may be the main video."""
    is_long = other.frames >= SLIDES and other.seconds >= SHORTER * chosen.seconds
    return is_long and other.pixels >= SMALLER * chosen.pixels


def is_clip(stream: Any) -> bool:
    """Return whether a stream has no disposition listed in NO_CLIP and may thus be the clip."""
    return not any(_is(stream, name) for name in NO_CLIP)


def _is(stream: Any, name: str) -> bool:
    flag = getattr(av.stream.Disposition, name, None)
    return flag is not None and bool(stream.disposition & flag)


def _look(container: Any, found: dict[int, _Candidate]) -> None:
    """Count the frames of each stream in the first part of the file."""
    size = 0
    try:
        for packet in container.demux([one.stream for one in found.values()]):
            size += packet.size
            if packet.size:
                found[packet.stream_index].see(packet)
            if size > _LOOK_AT_BYTES:
                return
    except (av.error.FFmpegError, IndexError):  # damaged; reported when the stream is read
        return


def _largest(candidates: list[_Candidate]) -> list[_Candidate]:
    """Return only those streams that are long enough and have enough frames."""
    frames = max(one.frames for one in candidates)
    long = [one for one in candidates if one.frames >= max(1, FEWER_FRAMES * frames)]
    seconds = max(one.seconds for one in long or candidates)
    return [one for one in long or candidates if one.seconds >= SHORTER * seconds]
