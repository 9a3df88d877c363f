"""Open a clip with the chosen decoder, or with the decoder that its file type requires."""

import importlib
from functools import cache
from pathlib import Path

from autox_video.config.choices import DECODERS
from autox_video.core.errors import InstallError, VideoError
from autox_video.machine.installation import IMPORT_FAILURES, explain_import_error
from autox_video.video.decoders.animated_webp import AnimatedWebp
from autox_video.video.decoders.frame_folder import FrameFolder
from autox_video.video.files.file_kinds import is_animated_webp
from autox_video.video.files.video_file import is_frame_folder, why_not_a_file
from autox_video.video.video import Video

DEFAULT = "pyav"
"""The decoder that `auto` selects; it is always exact and decodes only the required frames."""


def open_video(path: str | Path, decoder: str = "auto") -> Video:
    """Open a clip, which is a video file or a folder of frame images.

    Args:
        path: path to the file or folder.
        decoder: a name in DECODERS, or auto.

    Raises:
        VideoError: the file is missing, unreadable or not a video; its length or frame size is
            unknown; or the chosen decoder cannot return its frames exactly.
        InstallError: the chosen decoder cannot be imported.
        ConfigError: there is no decoder with this name.
    """
    path = Path(path)
    if is_frame_folder(path):
        return FrameFolder(path)
    if (reason := why_not_a_file(path)) is not None:
        raise VideoError(f"{path}: {reason}.")
    if is_animated_webp(path):
        return AnimatedWebp(path)
    check_decoder(decoder)
    return DECODERS[DEFAULT if decoder == "auto" else decoder](path)


@cache
def why_not_usable(decoder: str) -> str | None:
    """Return why a decoder cannot be used on this machine; None if it can be used."""
    chosen = DECODERS[decoder]
    try:
        importlib.import_module(chosen.package)
    except IMPORT_FAILURES as error:
        return explain_import_error(chosen.package, error)
    return chosen.why_not_usable()


def check_decoder(decoder: str) -> None:
    """Raise InstallError if a decoder cannot be used on this machine."""
    reason = None if decoder in ("auto", DEFAULT) else why_not_usable(decoder)
    if reason is not None:
        raise InstallError(
            f"decoder: {decoder} cannot be used. {reason} Alternatively, set decoder: {DEFAULT}."
        )
