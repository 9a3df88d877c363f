"""Remote clips on this machine: fetched once, whole or not at all, within a bound."""

import multiprocessing
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from autox_video.core.errors import ResourceError, VideoError
from autox_video.video.files import remote
from autox_video.video.files.remote_cache import RemoteCache, local_path
from tests.servers import serve


@pytest.fixture
def memory():
    """Give a function that puts clips into fsspec's memory and gives their addresses."""
    folder = f"memory://{uuid.uuid4().hex}"

    def put(**clips):
        fsspec.filesystem("memory").pipe({f"{folder}/{n}.mp4": data for n, data in clips.items()})
        return [f"{folder}/{name}.mp4" for name in clips]

    return put


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_AFTER_SEC", (0.01, 0.01))
    (tmp_path / "served").mkdir()
    for i in range(8):
        (tmp_path / "served" / f"{i}.mp4").write_bytes(bytes([i]) * 100_000)
    with serve(tmp_path / "served") as server:
        yield server


def kept(folder):
    """Give the files that a cache holds, by content."""
    return sorted(p.read_bytes() for p in Path(folder).glob("??/*"))


def test_paths_come_back_as_they_are(tmp_path):
    assert local_path("videos/a.mp4") == Path("videos/a.mp4")
    assert local_path(f"file://{tmp_path}/a.mp4") == tmp_path / "a.mp4"


def test_a_clip_is_fetched_once(server, tmp_path):
    address = f"{server.address}/1.mp4"
    first = local_path(address, str(tmp_path / "cache"))
    assert first.read_bytes() == bytes([1]) * 100_000
    assert first.suffix == ".mp4"
    assert local_path(address, str(tmp_path / "cache")) == first
    assert server.requests == ["/1.mp4"]


def test_the_default_is_in_the_users_cache(server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert local_path(f"{server.address}/1.mp4").is_relative_to(tmp_path / "xdg/autox_video/remote")


def test_what_breaks_off_leaves_nothing(server, tmp_path):
    server.broken = 3
    with pytest.raises(VideoError, match=r"http://.*/1\.mp4: it cannot be downloaded"):
        local_path(f"{server.address}/1.mp4", str(tmp_path / "cache"))
    assert [p.name for p in (tmp_path / "cache").glob("??/*")] == []
    assert local_path(f"{server.address}/1.mp4", str(tmp_path / "cache")).stat().st_size == 100_000


def test_a_clip_that_is_not_there_is_a_sentence(server, tmp_path):
    with pytest.raises(VideoError, match=r"/no\.mp4: there is no such file on the server\."):
        local_path(f"{server.address}/no.mp4", str(tmp_path / "cache"))


def test_the_least_used_go_first(memory, tmp_path):
    cache = RemoteCache(f"{tmp_path}:0.01K")
    a, b, c, d = memory(a=b"aaa", b=b"bbb", c=b"ccc", d=b"ddd")
    for address, held in ((a, [a]), (b, [a, b]), (c, [a, b, c]), (a, [a, b, c]), (d, [a, c, d])):
        cache.fetch(address)
        time.sleep(0.01)
        # Not by content: to read is to use.
        assert [one for one in (a, b, c, d) if cache.path_of(one).exists()] == held
    assert cache.fetch(b).read_bytes() == b"bbb"
    assert not cache.path_of(c).exists()


def test_the_bound_holds_whatever_is_recorded(memory, tmp_path):
    cache = RemoteCache(f"{tmp_path}:0.01K")
    addresses = memory(**{f"clip{i}": bytes([i]) * 3 for i in range(20)})
    for i, address in enumerate(addresses):
        cache.fetch(address)
        assert sum(map(len, kept(tmp_path))) <= 10
        if i == 10:
            (tmp_path / ".usage").write_text("torn")
        if i == 15:
            (tmp_path / ".usage").unlink()


def test_use_leaves_the_time_of_change(memory, tmp_path):
    cache = RemoteCache(str(tmp_path))
    (address,) = memory(a=b"a")
    place = cache.fetch(address)
    os.utime(place, (1000, 1000))
    cache.fetch(address)
    assert place.stat().st_mtime == 1000
    assert place.stat().st_atime > 1000


def test_a_clip_larger_than_the_cache_is_a_sentence(memory, tmp_path):
    (address,) = memory(a=bytes(5000))
    with pytest.raises(ResourceError, match=r"takes 4\.9 KiB, but .* is limited to 1\.0 KiB"):
        local_path(address, f"{tmp_path}/cache:1K")
    assert kept(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_is_a_sentence(memory, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="remote_cache: cannot write to"):
        local_path(memory(a=b"a")[0], str(tmp_path / "file" / "cache"))


def test_what_a_crash_left_is_removed_when_room_is_needed(memory, tmp_path):
    cache = RemoteCache(f"{tmp_path}:0.004K")
    a, b = memory(a=b"aaa", b=b"bbb")
    torn = cache.fetch(a).parent / ".clip.mp4.part"
    fresh = torn.with_name(".other.part")
    torn.touch()
    fresh.touch()
    os.utime(torn, (1000, 1000))
    cache.fetch(b)
    assert (torn.exists(), fresh.exists()) == (False, True)


def test_threads_fetch_a_clip_once(server, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        addresses = [f"{server.address}/{i % 4}.mp4" for i in range(32)]
        found = list(pool.map(lambda address: local_path(address, str(tmp_path / "c")), addresses))
    assert [place.read_bytes()[0] for place in found] == [i % 4 for i in range(32)]
    assert sorted(server.requests) == [f"/{i}.mp4" for i in range(4)]


def _fetch_all(address, cache, results):
    results.put([local_path(f"{address}/{i}.mp4", cache).read_bytes()[0] for i in range(8)])


def test_forked_workers_fetch_a_clip_once(server, tmp_path):
    # The parent has used the network before it forks, as reading a list there does.
    local_path(f"{server.address}/0.mp4", str(tmp_path / "c"))
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    arguments = (server.address, str(tmp_path / "c"), results)
    workers = [context.Process(target=_fetch_all, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert found == [list(range(8))] * 3
    assert sorted(server.requests) == [f"/{i}.mp4" for i in range(8)]
