"""What a file that is no video looks like, by its name and its first bytes."""

import re
from pathlib import Path

_HEAD_BYTES = 4096
_MOST_KINDS = 50  # of boxes of an MP4

UNFINISHED = frozenset(
    (
        *(".part", ".partial", ".crdownload", ".download", ".opdownload", ".ytdl", ".aria2"),
        *(".!qb", ".!ut", ".bc!", ".tmp", ".filepart", ".icloud"),
    )
)
"""Ends of names under which programs keep what they have not wholly fetched yet."""

# What files begin with, and what they are: `this is ...`.
_BEGINNINGS = (
    (b"/annex/objects/", "a pointer of git-annex, not the video: run `git annex get`"),
    (b"\x00\x05\x16\x07", "what macOS keeps about a file (AppleDouble), not the video itself"),
    (b"bplist00", "a property list of macOS, as iCloud leaves in place of a file: download it"),
    (b"XSym\n", "a link as a file, not the video that it leads to"),
    (b"!<symlink>", "a link as a file, not the video that it leads to"),
    (b"IntxLNK\x01", "a link as a file, not the video that it leads to"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "a shortcut of Windows, not the video that it leads to"),
    (b"book\x00\x00\x00\x00mark", "an alias of macOS, not the video that it leads to"),
    (b"PK\x03\x04", "a ZIP archive: unpack it"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
    (b"BZh", "a bzip2 archive: unpack it"),
    (b"\xfd7zXZ\x00", "an xz archive: unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it"),
    (b"Salted__", "an encrypted file: decrypt it"),
    (b"age-encryption.org/", "an encrypted file: decrypt it"),
    (b"-----BEGIN PGP", "an encrypted file: decrypt it"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file: write its frames as videos"),
    (b"\x93NUMPY", "a NumPy array: write its frames as a video"),
    (b"SQLite format 3", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"MZ", "a program of Windows"),
    (b"\x7fELF", "a program of Linux"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"BM", "a BMP picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"8BPS", "a Photoshop picture"),
)
_BRANDS_OF_PICTURES = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1"), "a HEIC picture"),
    b"avif": "an AVIF picture",
}
_BOXES = (b"ftyp", b"styp", b"moof", b"mdat", b"moov", b"wide", b"free", b"skip", b"sidx")
# Of text, `_` standing for any space; the first that is found.
_TEXTS = (
    (
        r"^version https://(git-lfs|hawser)\.",
        "a pointer of Git LFS, not the video: run `git lfs pull`",
    ),
    (r"<(!doctype html|html|head|body)\b", "a web page, as servers send in place of a file"),
    (r"<\?xml.*<(error|code)>", "the answer of a server that refuses the file"),
    (r"#EXTM3U|\[playlist\]|ffconcat version", "a playlist in text, not the videos that it names"),
    (r"\[InternetShortcut\]", "a link of Windows as text, not the video that it leads to"),
    (r"(?m)^outs:\s*$|^wdir:|^- md5:", "a pointer of DVC, not the video: run `dvc pull`"),
    (r"^[./\w\\-][^\n]*\.git/annex/objects/", "a pointer of git-annex: run `git annex get`"),
    (r"^[\[{]\s*[\"\[{\]}]", "JSON text"),
    (r"^<(\?xml|svg)", "XML text"),
    (r"^(?:[\w .-]*[/\\])+[\w .-]+\.\w{2,4}$", "a path as text: a link that was not kept as one"),
)


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP of several pictures, which FFmpeg does not read."""
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except OSError:
        return False
    return (
        len(head) == 21 and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & 2 > 0
    )


def why_no_video(path: Path) -> str | None:
    """Say what a file is that cannot be read as a video, None where that is not known."""
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
        return "a WebP picture"
    if head[4:8] in _BOXES:
        return _BRANDS_OF_PICTURES.get(head[8:12]) or _what_mp4(path)
    if head[257:262] == b"ustar":
        return "a TAR archive: unpack it"
    if head and not any(head):
        return "nothing but zeros so far: its copying or its download was broken off"
    return _what_text(head)


def _what_mp4(path: Path) -> str | None:
    """Say what an MP4 lacks; None where its index is there."""
    kinds, place = set(), 0
    with path.open("rb") as file:
        while len(header := file.read(16)) >= 8 and len(kinds) < _MOST_KINDS:
            kinds.add(header[4:8])
            size = int.from_bytes(header[:4], "big")
            size = int.from_bytes(header[8:16], "big") if size == 1 else size
            place += size
            if size < 8:  # up to the end, or damaged
                break
            file.seek(place)
    if b"moov" in kinds:
        return None
    if b"moof" in kinds or b"styp" in kinds:
        return "a piece of a stream (DASH, HLS) without its beginning: join the pieces"
    return "an MP4 without its index (moov), damaged or cut off: copy or download it again"


def _what_text(head: bytes) -> str | None:
    """Give what a text is; None where it is none."""
    try:
        is_wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = head.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        is_whole = error.start < len(head) - 4 or not head  # else the last letter may be cut
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
