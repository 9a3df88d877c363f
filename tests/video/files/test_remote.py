"""Files at addresses: from a real web server, and from fsspec's memory."""

import uuid

import fsspec
import pytest

from autox_video.core.errors import InstallError
from autox_video.video.files import remote
from autox_video.video.files.remote import (
    RemoteFault,
    download,
    find_files,
    is_file,
    is_remote,
    join,
    read_bytes,
    sibling,
)
from tests.servers import serve


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_AFTER_SEC", (0.01, 0.01, 0.01))
    monkeypatch.setattr(remote, "_patience", remote._Patience())
    (tmp_path / "served" / "deep er").mkdir(parents=True)
    (tmp_path / "served" / "a.mp4").write_bytes(bytes(range(256)) * 4000)
    (tmp_path / "served" / "deep er" / "b c.mp4").write_bytes(b"b")
    with serve(tmp_path / "served") as server:
        yield server


@pytest.fixture
def memory():
    """Give the address of a folder of fsspec's memory."""
    folder = f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe({f"{folder}/x/a.mp4": b"abc", f"{folder}/list.txt": b"x"})
    return folder


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        ("s3://bucket/a.mp4", True),
        ("https://host/a", True),
        ("/data/a.mp4", False),
        ("a://b", False),
        ("C:/x", False),
        ("odd name://x.mp4", False),
        ("videos/x.mp4", False),
    ],
)
def test_addresses_are_told_from_paths(place, wanted):
    assert is_remote(place) == wanted


def test_addresses_are_joined():
    assert join("s3://b/clips/", "x/a.mp4") == "s3://b/clips/x/a.mp4"
    assert join("s3://b", "a #1?.mp4") == "s3://b/a #1?.mp4"
    assert join("http://h/c", "a #1?.mp4") == "http://h/c/a%20%231%3F.mp4"
    assert join("http://h/c", "100%/a%20b.mp4") == "http://h/c/100%/a%20b.mp4"
    assert join("videos", "a.mp4") == "videos/a.mp4"
    assert join("videos", "gs://b/a.mp4") == "gs://b/a.mp4"
    assert join("s3://b", "gs://b/a.mp4") == "gs://b/a.mp4"
    assert sibling("s3://b/lists/train.txt", "classes.txt") == "s3://b/lists/classes.txt"
    assert sibling("lists/train.txt", "classes.txt") == "lists/classes.txt"


def test_a_web_server_is_read(server, tmp_path):
    assert read_bytes(f"{server.address}/deep er/b c.mp4") == b"b"
    download(f"{server.address}/a.mp4", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == bytes(range(256)) * 4000
    assert is_file(f"{server.address}/a.mp4")
    assert not is_file(f"{server.address}/no.mp4")


def test_odd_names_on_a_web_server(server, tmp_path):
    names = ["a #1?.mp4", "100%.mp4", "a+b & c;d.mp4", "\u8df3\u821e.mp4"]
    for name in names:
        (tmp_path / "served" / "deep er" / name).write_bytes(name.encode())
    found = sorted(find_files(server.address))
    assert found == sorted(["a.mp4", *(f"deep er/{name}" for name in ("b c.mp4", *names))])
    for name in names:
        download(join(server.address, f"deep er/{name}"), tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == name.encode()


def test_what_a_listing_names_elsewhere_is_left_out(server, tmp_path):
    links = ("b.mp4", "/deep er/c.mp4", "/a.mp4", "../a.mp4", "%2e%2e/a.mp4", "https://host/x.mp4")
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "served" / "deep er" / "index.html").write_text(page)
    assert set(find_files(f"{server.address}/deep er")) == {"b.mp4", "c.mp4"}


def test_fsspec_is_read(memory, tmp_path):
    assert read_bytes(f"{memory}/list.txt") == b"x"
    download(f"{memory}/x/a.mp4", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"abc"
    assert sorted(find_files(memory)) == ["list.txt", "x/a.mp4"]
    assert is_file(f"{memory}/list.txt")
    assert not is_file(f"{memory}/x")


def test_a_download_that_breaks_off_is_begun_again(server, tmp_path):
    server.broken = 3
    download(f"{server.address}/a.mp4", tmp_path / "got")
    assert (tmp_path / "got").stat().st_size == 256 * 4000
    assert server.requests.count("/a.mp4") == 4


def test_a_download_that_always_breaks_off_is_a_fault(server, tmp_path):
    server.broken = 100
    with pytest.raises(RemoteFault, match="it cannot be downloaded"):
        download(f"{server.address}/a.mp4", tmp_path / "got")
    assert server.requests.count("/a.mp4") == 4


def test_a_network_is_waited_for_a_minute(server, tmp_path, monkeypatch):
    monkeypatch.undo()
    waits = []
    monkeypatch.setattr(remote, "_patience", remote._Patience())
    monkeypatch.setattr(remote.time, "sleep", waits.append)
    server.broken = len(remote.RETRY_AFTER_SEC)
    download(f"{server.address}/a.mp4", tmp_path / "got")
    assert sum(waits) >= 60


def test_what_is_gone_for_good_is_not_waited_for_each_time(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_AFTER_SEC", (0.0,) * 9)
    monkeypatch.setattr(remote, "_patience", remote._Patience())
    server.broken, counts = 1000, []
    for _ in range(5):
        before = len(server.requests)
        with pytest.raises(RemoteFault):
            download(f"{server.address}/a.mp4", tmp_path / "got")
        counts.append(len(server.requests) - before)
    assert counts == [10, 10, 10, 4, 4]
    server.broken = 0
    download(f"{server.address}/a.mp4", tmp_path / "got")
    server.broken = 9
    download(f"{server.address}/a.mp4", tmp_path / "got")  # as patient as before


def test_what_is_too_short_is_no_file(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_AFTER_SEC", ())
    files = fsspec.filesystem("memory")
    monkeypatch.setattr(type(files), "info", lambda self, path: {"size": 4, "type": "file"})
    with pytest.raises(RemoteFault, match="3 of 4 bytes were received"):
        download(f"{memory}/x/a.mp4", tmp_path / "got")


@pytest.mark.parametrize(
    ("status", "reason", "attempts"),
    [
        (404, "there is no such file on the server", 1),
        (403, "access denied; check the credentials", 1),
        (503, "the server returned error 503", 4),
    ],
)
def test_what_a_server_refuses(server, tmp_path, status, reason, attempts):
    server.status = status
    with pytest.raises(RemoteFault, match=reason):
        download(f"{server.address}/a.mp4", tmp_path / "got")
    assert len(server.requests) == attempts


@pytest.mark.parametrize("status", [403, 404])
def test_what_a_server_keeps_to_itself_is_no_file(server, status):
    server.status = status
    assert not is_file(f"{server.address}/a.mp4")


def test_a_server_that_is_not_there(server, tmp_path):
    address = server.address
    server.shutdown()
    server.server_close()
    with pytest.raises(RemoteFault, match="it cannot be downloaded"):
        download(f"{address}/a.mp4", tmp_path / "got")
    with pytest.raises(RemoteFault, match="it cannot be downloaded"):
        is_file(f"{address}/a.mp4")


def test_a_missing_package_and_an_unknown_scheme_are_sentences(monkeypatch):
    from fsspec.registry import known_implementations

    missing = {"class": "no_such_package.Files", "err": "Install it"}
    monkeypatch.setitem(known_implementations, "s3a", missing)
    with pytest.raises(InstallError, match=r"s3a://b/x: .* need another package: pip install s3fs"):
        read_bytes("s3a://b/x")
    with pytest.raises(RemoteFault, match="nosuch:// URLs are not supported"):
        read_bytes("nosuch://b/x")
