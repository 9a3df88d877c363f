"""Files that are no videos are named by what they look like."""

import gzip
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from autox_video.data.inspection.clip_facts import examine_clip
from tests.videos import numbered_frames, truncate, write_empty_video, write_sound, write_video

FRAMES = numbered_frames(4, 32, 64)
PICTURE = Image.fromarray(FRAMES[1])
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1234567\n"
ANNEX = "../.git/annex/objects/Zk/9f/SHA256E-s10--ab.mp4/SHA256E-s10--ab.mp4"


def picture(kind):
    file = io.BytesIO()
    PICTURE.save(file, format=kind)
    return file.getvalue()


def archive(kind):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as inside:
            inside.writestr("a.mp4", b"0" * 100)
    else:
        with tarfile.open(fileobj=file, mode="w") as inside:
            inside.addfile(tarfile.TarInfo("a.mp4"))
    return file.getvalue()


def boxes(*kinds):
    return b"".join((8 + 100).to_bytes(4, "big") + kind + b"isom" + bytes(96) for kind in kinds)


GERMAN = "<!DOCTYPE html><html><title>Übersicht</title>"

CONTENTS = {
    LFS: "this is a Git LFS pointer, not the video: run `git lfs pull`.",
    "\ufeff" + LFS.replace("\n", "\r\n"): "this is a Git LFS pointer",
    LFS.replace("git-lfs", "hawser"): "this is a Git LFS pointer",
    "/annex/objects/SHA256E-s10--ab.mp4\n": "this is a git-annex pointer, not the video",
    ANNEX: "this is a git-annex pointer: run `git annex get`.",
    "outs:\n- md5: 0123\n  size: 4\n  path: a.mp4\n": "a DVC pointer, not the video: run",
    "\n<!DOCTYPE html>\n<html><body>404": "a web page, not the video: download it again",
    "<html lang='en'><head>": "this is a web page",
    "\ufeff<HTML>": "this is a web page",
    GERMAN.encode("cp1252") + bytes(range(65, 91)) * 9: "this is a web page",
    "<svg xmlns='http://www.w3.org/2000/svg'/>": "this is XML text, not a video.",
    bytes(257) + b"ustar" + bytes(250): "this is a TAR archive: extract it.",
    '<?xml version="1.0"?><Error><Code>AccessDenied</Code>': "error response of a server",
    '{"message": "Not Found"}': "this is JSON text, not a video.",
    "[InternetShortcut]\nURL=https://example.org\n": "a Windows Internet shortcut, not the video",
    "#EXTM3U\n#EXTINF:10,\na.ts\n": "a text playlist, not the videos in it.",
    "../clips/a b/x.mp4": "a path as text: a link was copied as a text file.",
    "This is not a video.\n": "this is text, not a video.",
    "Видео".encode("utf-16"): "this is text, not a video.",
    b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(50): "AppleDouble), not the video itself.",
    b"bplist00\xd1\x01": "an iCloud placeholder",
    b"L\x00\x00\x00\x01\x14\x02\x00" + bytes(70): "this is a Windows shortcut, not the video",
    archive("zip"): "this is a ZIP archive: extract it.",
    archive("tar"): "this is a TAR archive: extract it.",
    gzip.compress(b"0" * 1000): "this is a gzip archive: extract it.",
    b"Rar!\x1a\x07\x01\x00" + bytes(30): "this is a RAR archive: extract it.",
    b"Salted__" + os.urandom(64): "this is an encrypted file: decrypt it.",
    b"%PDF-1.7\n": "this is a PDF document, not a video.",
    b"\x89HDF\r\n\x1a\n" + bytes(50): "this is an HDF5 file: convert its frames to videos.",
    bytes(5000): "this is all zeros: copy or download it again.",
    picture("JPEG"): "this is a JPEG image, not a video.",
    picture("PNG"): "this is a PNG image, not a video.",
    picture("WEBP"): "this is a WebP image, not a video.",
    picture("BMP"): "this is a BMP image, not a video.",
    picture("TIFF"): "this is a TIFF image, not a video.",
    boxes(b"ftyp", b"mdat"): "this is an MP4 without its index (moov), damaged or cut off",
    boxes(b"styp", b"moof", b"mdat"): "a segment of a DASH or HLS stream without its header",
}


@pytest.mark.parametrize("number", range(len(CONTENTS)))
def test_what_is_no_video_is_named(tmp_path, number):
    content, said = list(CONTENTS.items())[number]
    path = tmp_path / "a.mp4"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = examine_clip(path).facts.error
    assert said in error and error.startswith("this is ")


@pytest.mark.parametrize("name", ["a.mp4.part", "a.crdownload", "a.mkv.!qB", ".a.mp4.icloud"])
def test_downloads_that_were_not_finished_are_named(tmp_path, name):
    path = write_video(tmp_path / "a.mkv", FRAMES).rename(tmp_path / name)
    suffix = path.suffix
    assert examine_clip(path).facts.error == f"this is an unfinished download ({suffix} file)."


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("gone.mp4", "it is a broken link to gone.mp4."),
        (ANNEX, "git-annex has not fetched it: run `git annex get` (or `datalad get`)."),
    ],
)
def test_links_that_lead_nowhere_are_named(tmp_path, target, said):
    path = tmp_path / "a.mp4"
    path.symlink_to(target)
    assert examine_clip(path).facts.error == said


def test_still_avif_is_a_picture(tmp_path):
    path = tmp_path / "a.mp4"
    try:
        path.write_bytes(picture("AVIF"))
    except (KeyError, OSError):
        pytest.skip("this Pillow does not write AVIF")
    assert examine_clip(path).facts.error == "this is an AVIF image, not a video."


def encrypted(path):
    """Say in an MP4 that its frames are encrypted (ISO/IEC 23001-7), leaving them as they are."""

    def box(kind, *parts):
        content = b"".join(parts)
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    scheme = box(b"schm", bytes(4), b"cenc", b"\0\1\0\0")
    track = box(b"schi", box(b"tenc", bytes(6), b"\1\x08", bytes(16)))
    added = box(b"sinf", box(b"frma", b"avc1"), scheme, track)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"avc1") - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    data[entry + 4 : entry + 8] = b"encv"
    data[end:end] = added
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"encv"):
        at = data.index(kind) - 4
        size = int.from_bytes(data[at : at + 4], "big") + len(added)
        data[at : at + 4] = size.to_bytes(4, "big")
    path.write_bytes(data)
    return path


def test_encrypted_videos_are_named(tmp_path):
    path = encrypted(write_video(tmp_path / "a.mp4", FRAMES))
    assert "it is encrypted (DRM)" in examine_clip(path).facts.error


def test_what_was_said_before_is_said_still(tmp_path):
    assert "the file is empty" in examine_clip(write_empty_video(tmp_path / "a.mp4")).facts.error
    assert "(audio only?)" in examine_clip(write_sound(tmp_path / "a.m4a")).facts.error
    noise = tmp_path / "b.mp4"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    assert "this is not a video, or its header is damaged" in examine_clip(noise).facts.error
    torn = truncate(write_video(tmp_path / "c.mp4", numbered_frames(60)), 0.5)
    assert "cut off" in examine_clip(torn).facts.error
