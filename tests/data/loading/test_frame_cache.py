"""Frames kept on disk."""

import os

import numpy as np

from autox_video.data.loading.frame_cache import (
    CachedClip,
    FrameCache,
    content_name,
    default_folder,
)


def clip(seed=0, frames=4, side=16):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (frames, side, side + 2, 3), dtype=np.uint8)
    times = np.arange(2 * frames) * 0.25 + 0.125
    return CachedClip(2.5, times, np.arange(2 * frames, dtype=np.int32) // 2, pixels)


def same(one, other):
    return one.seconds == other.seconds and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("times_sec", "index", "frames")
    )


def test_a_clip_comes_back_bit_for_bit(tmp_path):
    cache = FrameCache(tmp_path / "cache", 1.0)
    assert cache.get("ab12") is None
    assert cache.put("ab12", clip())
    assert same(cache.get("ab12"), clip())
    assert same(FrameCache(tmp_path / "cache", 1.0).get("ab12"), clip())
    assert [p.suffix for p in (tmp_path / "cache" / "ab").iterdir()] == [".frames"]


def test_frames_are_found_by_time_without_a_copy(tmp_path):
    cache = FrameCache(tmp_path, 1.0)
    cache.put("ab", clip())
    kept = cache.get("ab")
    frames = kept.frames_at(np.array([1.125, 0.125, 0.375 + 1e-9]))
    for frame, number in zip(frames, (2, 0, 0), strict=True):
        assert np.array_equal(frame, clip().frames[number])
        assert np.shares_memory(frame, kept.frames)
        assert not frame.flags.writeable


def test_a_name_is_of_content_and_settings_not_of_the_place(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x" * 10_000)
    name = content_name(path, "settings")
    assert name == content_name(path, "settings")
    assert name != content_name(path, "others")
    moved = path.rename(tmp_path / "b.mp4")
    assert name == content_name(moved, "settings")
    before = moved.stat()
    moved.write_bytes(b"x" * 9_999 + b"y")
    os.utime(moved, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert name != content_name(moved, "settings")
    moved.write_bytes(b"x" * 10_000)
    os.utime(moved, ns=(1, 1))
    assert name != content_name(moved, "settings")
    assert content_name(tmp_path / "absent.mp4", "settings") is None


def test_files_of_equal_ends_have_names_of_their_own(tmp_path):
    names = set()
    for value in (b"a", b"b"):
        path = tmp_path / f"{value}.avi"
        path.write_bytes(b"x" * 8192 + value * 100_000 + b"y" * 8192)
        os.utime(path, ns=(0, 0))
        names.add(content_name(path, "settings"))
    assert len(names) == 2


def test_the_default_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "autox_video" / "frames"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "autox_video" / "frames"
