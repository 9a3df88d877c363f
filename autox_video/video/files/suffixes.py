"""Which files are clips, by their names, and which belong to something else."""

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
        # Nothing but coded pictures, as recorders and encoders leave them.
        ".264", ".265", ".266", ".avc", ".dav", ".h261", ".h263", ".h264", ".h265", ".h266",
        ".hevc", ".obu", ".vc1", ".vvc",
    )
)
"""What FFmpeg's demuxers take, of the names that mean moving pictures."""

ANIMATION_SUFFIXES = frozenset((".avif", ".webp"))
"""Pictures, or moving pictures: only the file itself tells."""

SIDECAR_SUFFIXES = frozenset(
    (
        ".ass", ".bib", ".cfg", ".csv", ".db", ".doc", ".docx", ".eaf", ".htm", ".html",
        ".idx", ".ini", ".ipynb", ".json", ".jsonl", ".lnk", ".log", ".lrc", ".md", ".md5",
        ".nfo", ".ods", ".pdf", ".py", ".rtf", ".sh", ".sha1", ".sha256", ".smi", ".srt", ".ssa",
        ".sub", ".sup", ".tex", ".textgrid", ".toml", ".tsv", ".ttml", ".txt", ".url", ".vtt",
        ".webloc", ".xls", ".xlsx", ".xml", ".xmp", ".yaml", ".yml",
    )
)
"""Text about clips, and what lies in folders without being data."""
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
    """Give a file's name without its suffix, and the suffix in lower case with its dot.

    Spaces and dots behind it, which come from renaming by hand, are no part of it.
    """
    stem, suffix = os.path.splitext(name.rstrip(" ."))  # noqa: PTH122
    return stem, suffix.lower()


def is_video(name: str) -> bool:
    """Whether a file is a clip, by its name."""
    return split_suffix(name)[1] in VIDEO_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or a folder is hidden, or the system's own and no data of anybody."""
    return name.startswith(".") or name.lower() in _NOT_DATA


def is_sidecar(name: str) -> bool:
    """Whether a file is text about clips, or nothing that could be one."""
    stem, suffix = split_suffix(name)
    return suffix in SIDECAR_SUFFIXES if suffix else stem.lower() in _TEXT_NAMES


def is_list(name: str) -> bool:
    """Whether a file may be a list of clips, by its suffix."""
    return split_suffix(name)[1] in (".csv", ".json", ".jsonl", ".tsv", ".txt")
