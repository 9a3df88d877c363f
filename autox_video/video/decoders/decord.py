"""The decord decoder, which is widely used but no longer maintained."""

import os
from pathlib import Path

import numpy as np

from autox_video.config.choices import DECODERS
from autox_video.video.container.media_file import THREADS_PER_VIDEO, MediaFile
from autox_video.video.container.orientation import UPRIGHT
from autox_video.video.container.stream_choice import is_clip
from autox_video.video.decoders.by_frame_number import NumberedDecoder
from autox_video.video.decoders.pyav import tells_references


@DECODERS.register("decord")
class DecordDecoder(NumberedDecoder):
    """An open clip that is decoded by decord.

    For large H.264 files with intra-refresh instead of key frames, decord silently returns wrong
    frames; small files of this kind are rejected.

    Raises:
        VideoError: the file is not a video, or this decoder cannot return its frames exactly.
    """

    decoder = package = "decord"

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """Exceptions that the library raises for files it cannot read."""
        import decord

        return (decord.DECORDError, RuntimeError, ValueError)

    def _open(self, path: Path) -> int:
        import decord

        self._reader = decord.VideoReader(
            os.fspath(path.absolute()), ctx=decord.cpu(0), num_threads=THREADS_PER_VIDEO
        )
        return len(self._reader)

    def _why_inexact(self, file: MediaFile) -> str | None:
        reason = super()._why_inexact(file)
        if reason is not None:
            return reason
        if file.index.has_leading:
            return "frames depend on others before their key frame"
        if not file.index.shows_all:
            return "an edit list hides a part of it"
        if file.codec.name == "hevc" and not tells_references(file.codec):
            return "its frames are in several temporal layers"
        if self._pyav.orientation != UPRIGHT:
            return "its frames are rotated"
        if sum(map(is_clip, file.container.streams.video)) > 1:
            return "it has several video streams"
        return None

    def _read(self, numbers: list[int]) -> np.ndarray:
        return self._reader.get_batch(numbers).asnumpy()

    def close(self) -> None:
        self._reader = None
        super().close()
