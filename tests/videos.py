"""Tiny videos for the tests, lossless so that decoding can be tested for equality.

Shape legend: T frames, H height and W width in pixels, 3 colours red, green, blue.
"""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

NUMBER_BITS = 8
"""A numbered frame carries its number in this many bars."""

LOSSLESS_PIXELS = {"libx264rgb": "rgb24", "ffv1": "bgr0", "huffyuv": "rgb24"}
"""Pixel formats in which these codecs give back exactly what was put in."""

LOSSLESS_OPTIONS = {"libx264rgb": {"crf": "0", "preset": "ultrafast"}}


def numbered_frames(num_frames: int, height: int = 24, width: int = 48) -> np.ndarray:
    """Make frames that tell their number and place, even after lossy coding.

    The upper half shows the number in eight black or white bars, lowest bit first; the lower half
    is red on the left and blue on the right, so that swapped colours or sides are seen.

    Returns:
        (T, H, W, 3) uint8; `num_frames` at most 256, `width` at least 16.
    """
    bar_of_column = np.arange(width) * NUMBER_BITS // width
    bits = np.arange(num_frames)[:, None] >> bar_of_column & 1
    frames = np.zeros((num_frames, height, width, 3), dtype=np.uint8)
    frames[:, : height // 2] = bits[:, None, :, None] * 255
    frames[:, height // 2 :, : width // 2, 0] = 255
    frames[:, height // 2 :, width // 2 :, 2] = 255
    return frames


def read_numbers(frames: np.ndarray) -> list[int]:
    """Give the number in each of (T, H, W, 3) numbered frames."""
    width = frames.shape[2]
    centres = (np.arange(NUMBER_BITS) * 2 + 1) * width // (2 * NUMBER_BITS)
    bars = frames[:, frames.shape[1] // 4, centres].mean(axis=-1) > 127
    return [int(number) for number in bars @ (1 << np.arange(NUMBER_BITS))]


def write_video(
    path: str | Path,
    frames: np.ndarray,
    *,
    fps: float | Fraction = 25,
    codec: str = "libx264rgb",
    options: Mapping[str, str] | None = None,
    pixels: str | None = None,
    times_ms: Sequence[int] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Write frames as a video; losslessly unless `codec`, `options` or `pixels` say otherwise.

    Args:
        path: where to; its suffix chooses the container.
        frames: (T, H, W, 3) uint8.
        fps: constant frame rate.
        codec: FFmpeg's name of the encoder.
        options: the encoder's.
        pixels: FFmpeg's pixel format; by default a lossless one where there is one.
        times_ms: the frames' times in milliseconds, for a variable frame rate.
        container_options: the container's, such as {"movflags": "faststart"}.

    Returns:
        `path`.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        stream = container.add_stream(
            codec, rate=rate, options=dict(options or LOSSLESS_OPTIONS.get(codec, {}))
        )
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels or LOSSLESS_PIXELS.get(codec, "yuv420p")
        tick = 1 / rate
        if times_ms is not None:
            stream.codec_context.time_base = tick = Fraction(1, 1000)
        for number, pixels_of_frame in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels_of_frame), "rgb24")
            frame.pts = number if times_ms is None else times_ms[number]
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path(path)


def write_b_frames(path: str | Path, frames: np.ndarray, *, open_gop: bool = False) -> Path:
    """Write frames as lossy H.264, a key frame every 20 frames, two or three B-frames between."""
    x264 = "keyint=20:min-keyint=20:scenecut=0:bframes=2:b-adapt=0"
    if open_gop:
        x264 = "open-gop=1:keyint=20:min-keyint=20:scenecut=0:bframes=3:b-adapt=0"
    return write_video(path, frames, codec="libx264", options={"crf": "12", "x264-params": x264})


def write_sound(path: str | Path, seconds: float = 0.5, *, cover: bool = False) -> Path:
    """Write a silent sound file; its suffix chooses the container.

    It holds no pictures, but for the picture of its `cover`, which only .mp3 can have.
    """
    codec = {".wav": "pcm_s16le", ".mp3": "libmp3lame"}.get(Path(path).suffix, "aac")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44100, layout="mono")
        if cover:
            picture = container.add_stream("mjpeg", rate=25)
            picture.width = picture.height = 32
            picture.pix_fmt = "yuvj420p"
            frame = av.VideoFrame.from_ndarray(numbered_frames(1, 32, 32)[0], "rgb24")
            container.mux(picture.encode(frame) + picture.encode())
        _add_silence(container, stream, seconds)
    return Path(path)


def write_video_with_sound(
    path: str | Path, frames: np.ndarray, *, sound_seconds: float, fps: int = 25
) -> Path:
    """Write frames losslessly beside a silent sound track of another length."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(
            "libx264rgb", rate=fps, options=LOSSLESS_OPTIONS["libx264rgb"]
        )
        pictures.height, pictures.width = frames.shape[1:3]
        pictures.pix_fmt = "rgb24"
        sound = container.add_stream("aac", rate=44100, layout="mono")
        for pixels in frames:
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(pictures.encode())
        _add_silence(container, sound, sound_seconds)
    return Path(path)


def write_stamped(
    path: str | Path,
    frames: np.ndarray,
    times_ms: Sequence[int],
    *,
    last_ms: int = 40,
    silence: tuple[float, float] | None = None,
    codec: str = "libx264rgb",
) -> Path:
    """Write frames with timestamps of one's own, whatever an encoder would make of them.

    Args:
        path: where to; its suffix chooses the container.
        frames: (T, H, W, 3) uint8; every fifth is a key frame.
        times_ms: when each comes on screen.
        last_ms: how long the last one stays.
        silence: start and end in seconds of a sound track beside them.
        codec: FFmpeg's name of the encoder.
    """
    options = {**LOSSLESS_OPTIONS.get(codec, {}), "g": "5", "bf": "0"}
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = LOSSLESS_PIXELS.get(codec, "yuv420p")
        sound = container.add_stream("aac", rate=44100, layout="mono") if silence else None
        packets = []
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            packets += stream.encode(frame)
        packets += stream.encode()
        until_ms = [*times_ms[1:], times_ms[-1] + last_ms]
        for packet, start, end in zip(packets, times_ms, until_ms, strict=True):
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = start
            packet.duration = max(end - start, 0)
            container.mux(packet)
        if sound is not None:
            _add_silence(container, sound, silence[1], first=silence[0])
    return Path(path)


def write_text_video(path: str | Path) -> Path:
    """Write a text file under a video's name."""
    Path(path).write_text("This is not a video.\n" * 100, encoding="utf-8")
    return Path(path)


def write_empty_video(path: str | Path) -> Path:
    """Write a file of zero bytes under a video's name."""
    Path(path).write_bytes(b"")
    return Path(path)


def truncate(path: str | Path, share: float) -> Path:
    """Cut a file off in place, leaving this share of its bytes."""
    os.truncate(path, int(Path(path).stat().st_size * share))
    return Path(path)


def overwrite(path: str | Path, first: float, last: float, byte: bytes = b"\0") -> Path:
    """Overwrite the bytes between two shares of a file in place."""
    size = Path(path).stat().st_size
    start, end = int(size * first), int(size * last)
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(byte * (end - start))
    return Path(path)


def decode_all(path: str | Path) -> np.ndarray:
    """Decode every frame in the plainest way: (T, H, W, 3) uint8, to compare with."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def real_clips() -> Path:
    """Give the folder with real clips and their lists; skips the test where there is none.

    The folder holds `videos` and `annotations`; AUTOX_REAL_CLIPS names it.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "autox-demo"
    folder = Path(os.environ.get("AUTOX_REAL_CLIPS", beside))
    if not (folder / "videos").is_dir():
        pytest.skip("no real clips here: set AUTOX_REAL_CLIPS to a folder with videos/ in it")
    return folder


def _add_silence(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    seconds: float,
    first: float = 0.0,
) -> None:
    samples = np.zeros((1, 1024), dtype=np.float32)
    for start in range(int(first * 44100), int(seconds * 44100), 1024):
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
