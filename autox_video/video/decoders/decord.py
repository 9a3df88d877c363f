"""Frames by decord, which many data sets were read with; it is no longer kept up."""

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
    """An open clip, decoded by decord.

    Of large H.264 files that have no key frames but are refreshed bit by bit (x264's intra-refresh)
    it gives wrong frames without a word; small ones are refused.

    Raises:
        VideoError: the file is not a video, or this decoder cannot give its frames exactly.
    """

    decoder = package = "decord"

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What the library raises about files that it cannot read."""
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
            return "frames lean on what is before their key frame"
        if not file.index.shows_all:
            return "an edit list cuts off a part"
        if file.codec.name == "hevc" and not tells_references(file.codec):
            return "its frames are in layers of time"
        if self._pyav.orientation != UPRIGHT:
            return "its frames are turned"
        if sum(map(is_clip, file.container.streams.video)) > 1:
            return "it has several streams of pictures"
        return None

    def _read(self, numbers: list[int]) -> np.ndarray:
        return self._reader.get_batch(numbers).asnumpy()

    def close(self) -> None:
        self._reader = None
        super().close()
