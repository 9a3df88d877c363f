"""The annotated videos that `autox-video predict --annotate` writes."""

from collections import Counter
from pathlib import Path, PurePosixPath

from autox_video.core.console import short_path, working_on
from autox_video.core.errors import ConfigError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.prediction.annotation.annotate import annotate, check_annotation
from autox_video.prediction.outputs.output_files import check_new_file
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_prediction import VideoPrediction
from autox_video.video.files.remote_cache import local_path
from autox_video.video.files.suffixes import is_video

SUFFIX = ".mp4"


class AnnotatedVideos:
    """Writes one annotated video to a file, or several to a folder.

    Args:
        path: the file, or a folder, which is created.
        overwrite: whether existing files are replaced.
        options: how the timelines are made.
    """

    def __init__(self, path: Path, options: TimelineOptions, *, overwrite: bool) -> None:
        self._path, self._options, self._overwrite = path, options, overwrite
        self._is_file = is_video(path.name)
        self._files: dict[str, Path] = {}

    def check(self, videos: ClipTable | None = None) -> None:
        """Check that the videos can be written; without `videos`, check only the path.

        Raises:
            ConfigError: the path cannot be used for these videos, or a file exists already.
            ResourceError: the folder is not writable.
        """
        if self._is_file and videos is not None and len(videos) > 1:
            raise ConfigError(
                f"annotate: {self._path}: {len(videos)} videos are given; give a folder."
            )
        if self._is_file:
            check_annotation(self._path, self._overwrite)
        elif self._path.is_dir() or self._path.parent.is_dir():
            pass
        else:
            raise ConfigError(
                f"annotate: {self._path}: there is no folder {self._path.parent}; create it first."
            )
        if self._path.is_file() and not self._is_file:
            raise ConfigError(f"annotate: {self._path}: give a folder, or an .mp4 file.")
        if videos is not None:
            self._name_files(videos)

    def _name_files(self, videos: ClipTable) -> None:
        if videos.segments is not None:
            raise ConfigError(
                "annotate: segments of videos cannot be annotated; give whole videos."
            )
        self._files = {
            path: self._path if self._is_file else self._path / f"{_stem(path)}{SUFFIX}"
            for path in videos.paths
        }
        own = {file.resolve() for file in self._files.values()}
        if same := [path for path in videos.paths if Path(path).resolve() in own]:
            raise ConfigError(f"annotate: {same[0]} is the video itself; give another name.")
        file, count = Counter(self._files.values()).most_common(1)[0]
        if count > 1:
            raise ConfigError(
                f"annotate: {count} videos would be written to {file}; predict them one by one."
            )
        if not self._is_file and self._path.is_dir():
            for file in self._files.values():
                check_new_file(file, self._overwrite, option="annotate")

    def write(self, prediction: VideoPrediction) -> None:
        """Write the annotated video of a prediction, unless the video is unreadable."""
        if not prediction.is_readable:
            return
        file = self._files[prediction.video]
        try:
            file.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"annotate: {file.parent}: cannot be created ({error.strerror})."
            ) from error
        with working_on(f"Writing {short_path(file)}"):
            annotate(local_path(prediction.video), prediction, file, self._options)


def _stem(video: str) -> str:
    return PurePosixPath(video.partition("?")[0] if "://" in video else video).stem
