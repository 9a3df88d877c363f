"""Distinguish clips from other files by their names."""

import os

# fmt: off
VIDEO_SUFFIXES = frozenset(
    (
        # Containers.
        ".3g2", ".3gp", ".3gpp", ".amv", ".apng", ".asf", ".avi", ".dif", ".divx", ".dv", ".f4v",
        ".flv", ".gif", ".gxf", ".insv", ".ismv", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v",
        ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mp4v",
        ".mpe", ".mpeg", ".mpeg4", ".mpg", ".mpg4", ".mpv", ".mqv", ".mts", ".mxf", ".nut", ".ogm",
        ".ogv", ".qt", ".rm", ".rmvb", ".swf", ".tod", ".tp", ".trp", ".ts", ".vob", ".webm",
        ".wmv", ".wtv", ".y4m",
        # Raw elementary streams, as written by recorders and encoders.
        ".264", ".265", ".266", ".avc", ".dav", ".h261", ".h263", ".h264", ".h265", ".h266",
        ".hevc", ".obu", ".vc1", ".vvc",
    )
)
"""Video suffixes that FFmpeg's demuxers accept."""

ANIMATION_SUFFIXES = frozenset((".avif", ".webp"))
"""Suffixes of files that may be still images or animations, depending on their content."""

SIDECAR_SUFFIXES = frozenset(
    (
        ".ass", ".bib", ".cfg", ".csv", ".db", ".doc", ".docx", ".eaf", ".htm", ".html",
        ".idx", ".ini", ".ipynb", ".json", ".jsonl", ".lnk", ".log", ".lrc", ".md", ".md5",
        ".nfo", ".ods", ".pdf", ".py", ".rtf", ".sh", ".sha1", ".sha256", ".smi", ".srt", ".ssa",
        ".sub", ".sup", ".tex", ".textgrid", ".toml", ".tsv", ".ttml", ".txt", ".url", ".vtt",
        ".webloc", ".xls", ".xlsx", ".xml", ".xmp", ".yaml", ".yml",
    )
)
"""Suffixes of files that accompany clips, such as metadata, subtitles, documents and scripts."""
# fmt: on

_NOT_DATA = frozenset(
    (
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@eadir",
        "@recycle",
        "@tmp",
        "__macosx",
        "__pycache__",
        "icon\r",
        "lost+found",
        "system volume information",
    )
)
_TEXT_NAMES = frozenset(
    (
        *("authors", "changelog", "checksums", "copying", "licence", "license", "makefile"),
        *("manifest", "md5sums", "notice", "readme", "sha1sums", "sha256sums", "version"),
    )
)


def split_suffix(name: str) -> tuple[str, str]:
    """Return a file name's stem and its lower-case suffix, including the dot.

    Trailing spaces and dots, left over from manual renaming, are ignored.
    """
    stem, suffix = os.path.splitext(name.rstrip(" ."))  # noqa: PTH122
    return stem, suffix.lower()


def is_video(name: str) -> bool:
    """Return whether a file name has a video suffix."""
    return split_suffix(name)[1] in VIDEO_SUFFIXES


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden or belongs to the operating system."""
    return name.startswith(".") or name.lower() in _NOT_DATA


def is_sidecar(name: str) -> bool:
    """Return whether a file, judging by its name, accompanies clips but is not a clip itself."""
    stem, suffix = split_suffix(name)
    return suffix in SIDECAR_SUFFIXES if suffix else stem.lower() in _TEXT_NAMES


def is_list(name: str) -> bool:
    """Return whether a file may be a list of clips, judging by its suffix."""
    return split_suffix(name)[1] in (".csv", ".json", ".jsonl", ".tsv", ".txt")
