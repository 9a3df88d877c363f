"""Recognise non-video files by their names and first bytes."""

import re
from pathlib import Path

_HEAD_BYTES = 4096
_MOST_KINDS = 50  # limit on the kinds of MP4 boxes that are read

UNFINISHED = frozenset(
    (
        *(".part", ".partial", ".crdownload", ".download", ".opdownload", ".ytdl", ".aria2"),
        *(".!qb", ".!ut", ".bc!", ".tmp", ".filepart", ".icloud"),
    )
)
"""Suffixes of unfinished downloads."""

# The first bytes of a file, and a description that completes the sentence `this is ...`.
_BEGINNINGS = (
    (b"/annex/objects/", "a git-annex pointer, not the video: run `git annex get`"),
    (b"\x00\x05\x16\x07", "macOS metadata of a file (AppleDouble), not the video itself"),
    (b"bplist00", "an iCloud placeholder (property list), not the video: download the video"),
    (b"XSym\n", "a symbolic link stored as a file, not the video"),
    (b"!<symlink>", "a symbolic link stored as a file, not the video"),
    (b"IntxLNK\x01", "a symbolic link stored as a file, not the video"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut, not the video"),
    (b"book\x00\x00\x00\x00mark", "a macOS alias, not the video"),
    (b"PK\x03\x04", "a ZIP archive: extract it"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"Rar!\x1a\x07", "a RAR archive: extract it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: extract it"),
    (b"\x1f\x8b", "a gzip archive: extract it"),
    (b"BZh", "a bzip2 archive: extract it"),
    (b"\xfd7zXZ\x00", "an xz archive: extract it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: extract it"),
    (b"Salted__", "an encrypted file: decrypt it"),
    (b"age-encryption.org/", "an encrypted file: decrypt it"),
    (b"-----BEGIN PGP", "an encrypted file: decrypt it"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file: convert its frames to videos"),
    (b"\x93NUMPY", "a NumPy array: convert its frames to a video"),
    (b"SQLite format 3", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"BM", "a BMP image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"8BPS", "a Photoshop image"),
)
_IMAGE_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1"), "a HEIC image"),
    b"avif": "an AVIF image",
}
_BOXES = (b"ftyp", b"styp", b"moof", b"mdat", b"moov", b"wide", b"free", b"skip", b"sidx")
# Patterns of text files; the first match counts.
_TEXTS = (
    (
        r"^version https://(git-lfs|hawser)\.",
        "a Git LFS pointer, not the video: run `git lfs pull`",
    ),
    (r"<(!doctype html|html|head|body)\b", "a web page, not the video: download it again"),
    (r"<\?xml.*<(error|code)>", "the error response of a server: download the video again"),
    (r"#EXTM3U|\[playlist\]|ffconcat version", "a text playlist, not the videos in it"),
    (r"\[InternetShortcut\]", "a Windows Internet shortcut, not the video"),
    (r"(?m)^outs:\s*$|^wdir:|^- md5:", "a DVC pointer, not the video: run `dvc pull`"),
    (r"^[./\w\\-][^\n]*\.git/annex/objects/", "a git-annex pointer: run `git annex get`"),
    (r"^[\[{]\s*[\"\[{\]}]", "JSON text"),
    (r"^<(\?xml|svg)", "XML text"),
    (r"^(?:[\w .-]*[/\\])+[\w .-]+\.\w{2,4}$", "a path as text: a link was copied as a text file"),
)


def is_animated_webp(path: Path) -> bool:
    """Return whether a file is an animated WebP, which FFmpeg cannot read."""
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except OSError:
        return False
    return (
        len(head) == 21 and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & 2 > 0
    )


def why_no_video(path: Path) -> str | None:
    """Return a description of a file that is not a video; None if its type is unknown."""
    what = _what_it_looks_like(path)
    if what is None:
        return None
    return f"this is {what}" if ":" in what or "not" in what else f"this is {what}, not a video"


def _what_it_looks_like(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    for beginning, what in _BEGINNINGS:
        if head.startswith(beginning):
            return what
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[4:8] in _BOXES:
        return _IMAGE_BRANDS.get(head[8:12]) or _what_mp4(path)
    if head[257:262] == b"ustar":
        return "a TAR archive: extract it"
    if head and not any(head):
        return "all zeros: copy or download it again"
    return _what_text(head)


def _what_mp4(path: Path) -> str | None:
    """Return a description of an MP4 file without an index (moov box); None if it has an index."""
    kinds, place = set(), 0
    with path.open("rb") as file:
        while len(header := file.read(16)) >= 8 and len(kinds) < _MOST_KINDS:
            kinds.add(header[4:8])
            size = int.from_bytes(header[:4], "big")
            size = int.from_bytes(header[8:16], "big") if size == 1 else size
            place += size
            if size < 8:  # the box extends to the end of the file, or is damaged
                break
            file.seek(place)
    if b"moov" in kinds:
        return None
    if b"moof" in kinds or b"styp" in kinds:
        return "a segment of a DASH or HLS stream without its header: join the segments"
    return "an MP4 without its index (moov), damaged or cut off: copy or download it again"


def _what_text(head: bytes) -> str | None:
    """Return a description of the text at the start of a file; None if it is not text."""
    try:
        is_wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = head.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        is_whole = error.start < len(head) - 4 or not head  # else the last character may be cut
        if is_whole and head.lstrip()[:1] != b"<":
            return None
        text = head.decode("cp1252", "ignore") if is_whole else head[: error.start].decode()
    text = text.strip()
    if not text or not text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        return None
    for pattern, what in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            return what
    return "text"
