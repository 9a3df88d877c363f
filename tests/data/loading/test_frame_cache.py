"""Frames kept on disk."""

import os
import shutil
import time

import numpy as np
import pytest

from autox_video.data.loading import frame_cache
from autox_video.data.loading.frame_cache import (
    CachedClip,
    FrameCache,
    clear,
    default_folder,
    size_of,
)

MIB = 1 / 1024


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
    cache = FrameCache(tmp_path / "cache", 1.0)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x" * 10_000)
    name = cache.name_of(path, "settings")
    assert name == cache.name_of(path, "settings")
    assert name != cache.name_of(path, "others")
    moved = path.rename(tmp_path / "b.mp4")
    assert name == cache.name_of(moved, "settings")
    before = moved.stat()
    moved.write_bytes(b"x" * 9_999 + b"y")
    os.utime(moved, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert name != cache.name_of(moved, "settings")
    moved.write_bytes(b"x" * 10_000)
    os.utime(moved, ns=(1, 1))
    assert name != cache.name_of(moved, "settings")
    assert cache.name_of(tmp_path / "absent.mp4", "settings") is None


def test_files_of_equal_ends_have_names_of_their_own(tmp_path):
    cache, names = FrameCache(tmp_path / "cache", 1.0), set()
    for value in (b"a", b"b"):
        path = tmp_path / f"{value}.avi"
        path.write_bytes(b"x" * 8192 + value * 100_000 + b"y" * 8192)
        os.utime(path, ns=(0, 0))
        names.add(cache.name_of(path, "settings"))
    assert len(names) == 2


@pytest.mark.parametrize("damage", ["empty", "short", "long", "other", "header"])
def test_a_damaged_file_is_a_miss_and_goes(tmp_path, damage):
    cache = FrameCache(tmp_path, 1.0)
    cache.put("ab", clip())
    path = tmp_path / "ab" / "ab.frames"
    data = path.read_bytes()
    harm = {
        "empty": b"",
        "short": data[:-1],
        "long": data + b"0",
        "other": b"autoxvf0" + data[8:],
        "header": data[:20],
    }
    path.write_bytes(harm[damage])
    assert cache.get("ab") is None
    assert damage == "empty" or not path.exists()
    assert cache.put("ab", clip()) and same(cache.get("ab"), clip())


def test_a_file_from_before_the_last_start_is_checked(tmp_path, monkeypatch):
    cache = FrameCache(tmp_path, 1.0)
    cache.put("ab", clip())
    path = tmp_path / "ab" / "ab.frames"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert cache.get("ab") is not None  # not looked at: no power was lost since
    monkeypatch.setattr(frame_cache, "_machine_start", lambda: time.time() + 1)
    assert cache.get("ab") is None
    cache.put("ab", clip())
    assert same(cache.get("ab"), clip())


def test_it_stays_within_its_size_and_keeps_what_this_run_uses(tmp_path):
    cache = FrameCache(tmp_path, 0.1 * MIB)  # 104,857 bytes: 30 clips of 3.5 kB
    put = [cache.put(f"{i:02x}", clip(i)) for i in range(60)]
    count, used = size_of(tmp_path)
    assert used <= 0.1 * 2**20
    assert 25 <= count == sum(put) < 35
    assert put == sorted(put, reverse=True)  # the first stayed
    assert same(cache.get("00"), clip(0))


def test_clips_of_earlier_runs_make_room_the_oldest_first(tmp_path):
    early = FrameCache(tmp_path, 0.1 * MIB)
    names = [f"{i:02x}" for i in range(25)]
    for age, name in enumerate(names):
        early.put(name, clip())
        then = time.time() - 10_000 - age
        os.utime(tmp_path / name / f"{name}.frames", (then, then))
    cache = FrameCache(tmp_path, 0.1 * MIB)
    assert cache.get(names[24]) is not None  # in use now, so that it stays
    assert all(cache.put(f"f{i:x}", clip()) for i in range(10))
    assert size_of(tmp_path)[1] <= 0.1 * 2**20
    left = [name for name in names if cache.get(name) is not None]
    assert names[24] in left and names[0] in left and names[23] not in left


def test_a_folder_that_cannot_be_written_only_keeps_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    cache = FrameCache(tmp_path / "file" / "cache", 1.0)
    assert not cache.put("ab", clip())
    assert cache.get("ab") is None


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "used_gib", "kept"),
    [
        (20, 0.9, 0.3, False),
        (20, 1.1, 0.3, True),
        (1000, 4.9, 0.3, False),
        (1000, 5.1, 0.3, True),
        (1000, 1.9, 0.1, False),
        (1000, 2.1, 0.1, True),
        (1000, 0.1, 0.0, True),
    ],
)
def test_a_nearly_full_disk_is_left_alone(
    tmp_path, monkeypatch, total_gib, free_gib, used_gib, kept
):
    """A twentieth of it stays free; never more than 5 GiB, nor 20 times what is kept."""
    free, total = int(free_gib * 2**30), total_gib * 2**30
    disk = type(shutil.disk_usage(tmp_path))(total, total - free, free)
    monkeypatch.setattr(frame_cache.shutil, "disk_usage", lambda folder: disk)
    monkeypatch.setattr(frame_cache, "size_of", lambda folder: (1, int(used_gib * 2**30)))
    assert FrameCache(tmp_path / "c", 1.0).put("ab", clip()) is kept
    assert (tmp_path / "c").exists() is kept


def test_clear_removes_cached_clips_and_nothing_else(tmp_path):
    cache = FrameCache(tmp_path, 1.0)
    cache.put("ab", clip())
    cache.put("cd", clip(1))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "ab" / "notes.txt").write_text("mine")
    count, used = size_of(tmp_path)
    assert count == 2 and used > 6000
    assert clear(tmp_path) == (count, used)
    assert size_of(tmp_path) == (0, 0)
    assert (tmp_path / "notes.txt").exists() and (tmp_path / "ab" / "notes.txt").exists()
    assert clear(tmp_path / "absent") == (0, 0)


def test_the_default_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "autox_video" / "frames"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "autox_video" / "frames"


def test_what_a_killed_process_began_is_removed_later(tmp_path):
    cache = FrameCache(tmp_path, 1.0)
    cache.put("ab", clip())
    old, fresh = tmp_path / "ab" / ".x.part", tmp_path / "ab" / ".y.part"
    for part in (old, fresh):
        part.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert size_of(tmp_path)[0] == 1
    FrameCache(tmp_path, 1.0).put("cd", clip())
    assert not old.exists() and fresh.exists()  # another process may be at it
    os.utime(fresh, (1, 1))
    assert clear(tmp_path)[0] == 2 and not fresh.exists()
