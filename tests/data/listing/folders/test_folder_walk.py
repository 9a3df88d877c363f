"""Every clip under a folder, and what is passed over."""

import os
import struct
from pathlib import Path

import pytest
from PIL import Image

from autox_video.core.errors import ListingError
from autox_video.data.listing.folders.folder_walk import find_videos, moves, read_contents
from autox_video.video.files.video_file import is_frame_folder


def test_find_videos_by_suffix_sorted_without_hidden_ones(tree):
    root = tree(
        "b/x.MP4", "a/z.avi", "a/y.webm", "top.mkv", "a/notes.txt", ".git/x.mp4", "a/._x.mp4"
    )
    os.mkdir(root / "folder.mp4")
    assert find_videos(root) == ("a/y.webm", "a/z.avi", "b/x.MP4", "top.mkv")
    assert find_videos(root / "folder.mp4") == ()


def test_find_videos_follows_links_but_not_in_circles(tree, tmp_path):
    root = tree("d/a/x.mp4", "elsewhere/y.mp4") / "d"
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "up").symlink_to(root)
    (root / "z.mp4").symlink_to(root / "a" / "x.mp4")
    assert find_videos(root) == ("a/x.mp4", "b/y.mp4", "z.mp4")


def test_find_videos_in_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(ListingError, match="no: cannot be read"):
        find_videos(tmp_path / "no")


def test_folders_of_frames_are_clips(tree):
    root = tree(
        "a/1/img_00001.jpg",
        "a/1/img_00002.jpg",
        "a/2/0001.PNG",
        "a/2/0002.PNG",
        "b/x.mp4",
        "b/still1.jpg",
        "b/still2.jpg",
        "c/cover.jpg",
        "c/back.jpg",
        "d/one1.jpg",
    )
    assert find_videos(root) == ("a/1", "a/2", "b/x.mp4")
    assert all(is_frame_folder(root / name) for name in ("a/1", "a/2", "b", "d"))
    assert not any(is_frame_folder(root / name) for name in ("a", "c", "nowhere", "b/x.mp4"))


def test_links_that_lead_nowhere_are_counted(tree):
    root = tree("a/x.mp4")
    for number in range(5):
        (root / "a" / f"lost {number}.mp4").symlink_to("../.git/annex/objects/x")
    (root / "b").symlink_to("/not mounted/b")
    (root / "itself").symlink_to("itself")
    found = read_contents(root)
    assert found.videos == ["a/x.mp4"]
    (note,) = found.notes(root)
    assert note.startswith(f"7 broken links in {root} skipped: ")
    assert note.endswith(" and 4 more.")


def test_a_folder_belongs_to_its_own_name_before_that_of_a_link(tree):
    root = tree("z/x.mp4", "y/1.mp4")
    (root / "a").symlink_to(root / "z")
    found = read_contents(root)
    assert found.videos == ["y/1.mp4", "z/x.mp4"]
    assert found.notes(root) == [
        f"1 link in {root} skipped, as the linked folders were already read: a."
    ]


def test_pipes_and_hidden_videos_are_counted(tree):
    root = tree("a/x.mp4", "a/.y.mp4", "a/._x.mp4", "a/.DS_Store")
    os.mkfifo(root / "a" / "live.mp4")
    assert read_contents(root).notes(root) == [
        f"1 pipe or device in {root} skipped: a/live.mp4.",
        f"1 hidden video in {root} skipped: a/.y.mp4.",
    ]


def test_a_folder_that_may_not_be_read_is_named(tree, monkeypatch):
    root = tree("a/x.mp4", "closed/y.mp4")
    scandir = os.scandir

    def refuse(place):
        if Path(place).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        found = read_contents(root)
    assert found.videos == ["a/x.mp4"]
    assert found.notes(root) == [f"1 folder in {root} skipped, no permission to read: closed."]


def test_what_systems_leave_in_folders_is_passed_over_in_silence(tree):
    root = tree(
        "a/x.mp4",
        "a/Thumbs.db",
        "a/desktop.ini",
        "a/@eaDir/x.mp4/SYNOVIDEO_FILM.mp4",
        "__MACOSX/a/x.mp4",
        "lost+found/1.mp4",
        ".ipynb_checkpoints/x.mp4",
        "$RECYCLE.BIN/x.mp4",
        "README",
        "a/x.srt",
        "a/x.json",
        "a/x.jpg",
        "a/x.wav",
    )
    found = read_contents(root)
    assert (found.videos, found.notes(root)) == (["a/x.mp4"], [])


@pytest.mark.parametrize(
    "name", ["x.h264", "x.HEVC", "x.dav", "x.qt", "x.3g2", "x.MP4 ", "x.mp4.", "x.m2ts", "x.rmvb"]
)
def test_less_known_suffixes_are_clips(tree, name):
    assert find_videos(tree(f"a/{name}")) == (f"a/{name}",)


def write_webp(path, *, frames):
    pictures = [Image.new("RGB", (8, 8), (40 * n, 0, 0)) for n in range(frames)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=frames > 1, append_images=pictures[1:])


def test_animations_are_clips_and_pictures_are_not(tree, tmp_path):
    for number in range(3):
        write_webp(tmp_path / "cat" / f"{number}.webp", frames=3)
        write_webp(tmp_path / "still" / f"{number}.webp", frames=1)
    avif = struct.pack(">I8s", 32, b"ftypavis") + bytes(20)
    (tmp_path / "cat" / "moving.avif").write_bytes(avif)
    (tmp_path / "cat" / "photo.avif").write_bytes(avif.replace(b"avis", b"avif"))
    found = read_contents(tmp_path)
    assert found.videos == ["cat/0.webp", "cat/1.webp", "cat/2.webp", "cat/moving.avif", "still"]
    assert found.frame_folders == {"still"}
    assert dict(found.others) == {".avif": 1}
    assert not moves(str(tmp_path / "nowhere.webp"))


def test_files_without_a_suffix_are_counted(tree):
    root = tree("a/x.mp4", "a/CLIP0001", "a/CLIP0002", "a/y.mp4.part", "LICENSE")
    assert read_contents(root).notes(root) == [
        f"Files in {root} that are not videos: no suffix (2), .part (1)."
    ]


def test_runs_in_the_folder_of_the_clips_are_no_clips(tree):
    root = tree("red/1.mp4", "work_dirs/red/features/2.mp4", "blue/work_dirs/3.mp4")
    contents = read_contents(root)
    assert contents.videos == ["blue/work_dirs/3.mp4", "red/1.mp4"]
    assert contents.folders == []
