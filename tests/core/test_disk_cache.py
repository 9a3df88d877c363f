"""Files in folders of bounded size."""

import os
import shutil
import time

import pytest

from autox_video.core import disk_cache
from autox_video.core.disk_cache import DiskCache, free_bytes

HEAD = 24
KB = bytes(range(244)) * 4


def cache_in(folder, max_bytes=1e9, *, run_began=None):
    return DiskCache(folder, max_bytes, suffix=".x", run_began=run_began)


def names_in(folder):
    return sorted(path.stem for path in folder.glob("??/*.x"))


def use_at(folder, name, seconds_ago):
    then = time.time() - seconds_ago
    os.utime(cache_in(folder).path(name), (then, then))


def test_a_file_appears_whole_and_is_counted(tmp_path):
    cache = cache_in(tmp_path / "deep" / "cache")
    assert cache.put("ab12", b"one", memoryview(b"two"))
    assert bytes(cache.get("ab12")) == b"onetwo"
    assert cache.usage() == (1, HEAD + 6)
    assert cache.get("cd") is None


@pytest.mark.parametrize("damage", ["empty", "short", "long", "other", "head"])
def test_a_damaged_file_is_a_miss_and_goes(tmp_path, damage):
    cache = cache_in(tmp_path)
    cache.put("ab", KB)
    path = cache.path("ab")
    data = path.read_bytes()
    harm = {
        "empty": b"",
        "short": data[:-1],
        "long": data + b"0",
        "other": b"autoxvc0" + data[8:],
        "head": data[:20],
    }
    path.write_bytes(harm[damage])
    assert cache.get("ab") is None
    assert damage == "empty" or not path.exists()
    assert cache.put("ab", KB) and cache.get("ab") == KB


def test_a_file_from_before_the_last_start_is_checked(tmp_path, monkeypatch):
    cache = cache_in(tmp_path)
    cache.put("ab", KB)
    path = cache.path("ab")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert cache.get("ab") is not None  # not looked at: no power was lost since
    monkeypatch.setattr(disk_cache, "_machine_start", lambda: time.time() + 1)
    assert cache.get("ab") is None
    cache.put("ab", KB)
    assert cache.get("ab") == KB
    monkeypatch.undo()
    os.utime(path, (1, 1))
    assert cache.get("ab") == KB
    assert path.stat().st_mtime > 1  # it was checked, which is not done again


def test_files_of_this_run_stay_and_the_bound_holds(tmp_path):
    cache = cache_in(tmp_path, 5500, run_began=time.time())
    assert [cache.put(f"a{i}", KB) for i in range(8)] == [True] * 5 + [False] * 3
    assert names_in(tmp_path) == [f"a{i}" for i in range(5)]


def test_files_of_earlier_runs_make_room_the_least_used_first(tmp_path):
    for i in range(5):
        cache_in(tmp_path, 5500).put(f"a{i}", KB)
        use_at(tmp_path, f"a{i}", 10_000 + i)
    cache = cache_in(tmp_path, 5500, run_began=time.time())
    assert cache.touch(cache.path("a4"))  # used by this run
    assert cache.put("b0", KB) and cache.put("b1", KB)
    assert names_in(tmp_path) == ["a0", "a1", "a4", "b0", "b1"]


def test_without_a_run_any_file_may_go(tmp_path):
    cache = cache_in(tmp_path, 3500)
    for i in range(6):
        assert cache.put(f"a{i}", KB)
        time.sleep(0.01)
    assert names_in(tmp_path) == ["a3", "a4", "a5"]


@pytest.mark.parametrize("harm", [lambda p: p.write_text("torn"), lambda p: p.unlink()])
def test_the_bound_holds_whatever_is_recorded(tmp_path, harm):
    cache = cache_in(tmp_path, 3500)
    for i in range(3):
        cache.put(f"a{i}", KB)
    harm(tmp_path / ".usage")
    assert cache.put("a3", KB)
    assert cache.usage()[1] <= 3500


def test_several_processes_count_together(tmp_path):
    caches = [cache_in(tmp_path, 4500, run_began=time.time()) for _ in range(3)]
    put = [cache.put(f"a{i}{n}", KB) for i in range(3) for n, cache in enumerate(caches)]
    assert sum(put) == len(names_in(tmp_path)) == 4


def test_use_leaves_the_time_of_change(tmp_path):
    cache = cache_in(tmp_path)
    cache.put("ab", KB)
    use_at(tmp_path, "ab", 5000)
    before = cache.path("ab").stat()
    assert cache.touch(cache.path("ab"))
    after = cache.path("ab").stat()
    assert after.st_mtime_ns == before.st_mtime_ns and after.st_atime > before.st_atime + 4000
    assert not cache.touch(cache.path("cd"))


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "used_gib", "has_room"),
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
    tmp_path, monkeypatch, total_gib, free_gib, used_gib, has_room
):
    """A twentieth of it stays free; never more than 5 GiB, nor 20 times what is cached."""
    free, used = int(free_gib * 2**30), int(used_gib * 2**30)
    disk = type(shutil.disk_usage(tmp_path))(total_gib * 2**30, total_gib * 2**30 - free, free)
    monkeypatch.setattr(disk_cache.shutil, "disk_usage", lambda folder: disk)
    limit = cache_in(tmp_path, 2**31, run_began=time.time()).limit(used, 1000)
    assert (used + 1000 <= limit) is has_room


def test_a_bound_that_nobody_gave_is_half_of_the_disk(tmp_path):
    used, free = 1000, shutil.disk_usage(tmp_path).free
    assert cache_in(tmp_path, None).limit(used, 1000) == pytest.approx((free + 2000) / 2, rel=0.01)


def test_a_folder_that_cannot_be_written_only_keeps_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    cache = cache_in(tmp_path / "file" / "cache")
    assert not cache.put("ab", KB)
    assert cache.usage() == cache.clear() == (0, 0)
    with pytest.raises(OSError, match="directory"):
        cache.reserve(1)


def test_clear_removes_cached_files_and_nothing_else(tmp_path):
    cache = cache_in(tmp_path)
    cache.put("ab", KB)
    cache.put("cd", KB)
    others = [tmp_path / "notes.x", tmp_path / "ab" / "notes.txt"]
    for path in others:
        path.write_text("mine")
    assert cache.usage() == (2, 2000)
    assert cache.clear() == (2, 2000)
    assert cache.usage() == (0, 0) and all(path.exists() for path in others)


def test_what_a_killed_process_began_is_removed_later(tmp_path):
    cache = cache_in(tmp_path)
    cache.put("ab", KB)
    old, fresh, kept = (tmp_path / "ab" / name for name in (".x.part", ".y.part", ".mine"))
    for path in (old, fresh, kept):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    os.utime(kept, (1, 1))
    assert cache.usage() == (1, 1000)
    assert (old.exists(), fresh.exists(), kept.exists()) == (False, True, True)


def test_free_space_of_a_folder_that_is_not_there(tmp_path):
    assert free_bytes(tmp_path / "no" / "where") == pytest.approx(free_bytes(tmp_path), rel=0.1)
