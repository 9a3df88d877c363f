"""The torchcodec decoder, which needs the system's FFmpeg libraries."""

import os
from pathlib import Path

import numpy as np

from autox_video.config.choices import DECODERS
from autox_video.video.container.media_file import THREADS_PER_VIDEO
from autox_video.video.decoders.by_frame_number import NumberedDecoder


@DECODERS.register("torchcodec")
class TorchCodecDecoder(NumberedDecoder):
    """An open clip that is decoded by torchcodec.

    For large H.264 files with intra-refresh instead of key frames, torchcodec silently returns
    wrong frames; small files of this kind are rejected.

    Raises:
        VideoError: the file is not a video, or this decoder cannot return its frames exactly.
    """

    decoder = package = "torchcodec"
    failures = (RuntimeError, ValueError, IndexError)

    def _open(self, path: Path) -> int:
        from torchcodec.decoders import VideoDecoder

        self._decoder = VideoDecoder(
            os.fspath(path.absolute()),
            stream_index=self._pyav.file.stream.index,
            dimension_order="NHWC",
            num_ffmpeg_threads=THREADS_PER_VIDEO,
            seek_mode="exact",
        )
        return len(self._decoder)

    def _read(self, numbers: list[int]) -> np.ndarray:
        return self._decoder.get_frames_at(numbers).data.numpy()

    def close(self) -> None:
        self._decoder = None
        super().close()

    @classmethod
    def why_not_usable(cls) -> str | None:
        """Return why torchcodec finds no FFmpeg version that it supports; None if it finds one."""
        try:
            from torchcodec.decoders import VideoDecoder

            VideoDecoder(b"not a video")
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            if not isinstance(error, ImportError | OSError) and "libtorchcodec" not in str(error):
                return None  # it found FFmpeg and tried to read the data
            return (
                "torchcodec finds no FFmpeg libraries that it supports: install FFmpeg, for "
                "example with `apt-get install ffmpeg`, and the torchcodec version that matches "
                "the installed torch."
            )
        return None
