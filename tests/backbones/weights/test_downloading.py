"""Downloads from a real server: whole, in parts, torn, slow, wrong, refused, on a full disk."""

import hashlib
import random
import resource
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from autox_video.backbones.weights import downloading
from autox_video.backbones.weights.downloading import Download, download
from autox_video.core.errors import FetchError, ResourceError
from tests.servers import serve_weights

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloading, "WAITS_SEC", (0.0, 0.0))
    with serve_weights() as server:
        server.files["w/net.pth"] = CONTENT
        yield server


@pytest.fixture
def wanted(server, tmp_path):
    return Download(f"{server.address}/w/net.pth", tmp_path / "cache" / "net.pth", "net", SHA256)


def left_in(wanted):
    return sorted(p.name for p in wanted.target.parent.iterdir() if p.is_file())


def test_a_whole_file_comes_once(server, wanted):
    download(wanted)
    download(wanted)
    assert wanted.target.read_bytes() == CONTENT
    assert server.ranges_of("w/net.pth") == [None]
    assert left_in(wanted) == ["net.pth"]


def test_a_torn_connection_is_continued(server, wanted):
    server.torn_after = [100_000, 50_000]
    download(wanted)
    assert wanted.target.read_bytes() == CONTENT
    assert server.ranges_of("w/net.pth") == [None, "bytes=100000-", "bytes=150000-"]


def test_what_an_earlier_call_left_is_continued(server, wanted):
    server.torn_after = [100_000, 0, 0, 0]
    with pytest.raises(FetchError, match="broke off.*continues from there"):
        download(wanted)
    assert not wanted.target.exists() and wanted.partial.stat().st_size == 100_000
    download(wanted)
    assert wanted.target.read_bytes() == CONTENT
    assert server.ranges_of("w/net.pth")[-1] == "bytes=100000-"
    assert left_in(wanted) == ["net.pth"]


def test_a_complete_part_is_not_fetched_again(server, wanted):
    wanted.target.parent.mkdir()
    wanted.partial.write_bytes(CONTENT)
    download(wanted)
    assert wanted.target.read_bytes() == CONTENT and len(server.requests) == 1


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, wanted):
    server.torn_after = [100_000, 0, 0, 0]
    with pytest.raises(FetchError):
        download(wanted)
    wanted.partial.write_bytes(bytes(100_000))
    download(wanted)  # the server takes the tag for the same file, but the digest shows it is not
    assert wanted.target.read_bytes() == CONTENT
    assert server.ranges_of("w/net.pth")[-2:] == ["bytes=100000-", None]


def test_a_part_of_an_older_file_is_replaced_by_its_tag(server, wanted):
    server.torn_after = [100_000, 0, 0, 0]
    with pytest.raises(FetchError):
        download(wanted)
    server.files["w/net.pth"] = CONTENT[::-1]
    download(Download(wanted.address, wanted.target, "net"))
    assert wanted.target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("digits", [8, 64])
def test_a_file_with_another_digest_is_removed(server, wanted, digits):
    server.files["w/net.pth"] = CONTENT[:-1] + b"x"
    with pytest.raises(FetchError, match=rf"SHA-256.*{SHA256[:digits]}"):
        download(Download(wanted.address, wanted.target, "net", SHA256[:digits]))
    assert left_in(wanted) == []


@pytest.mark.parametrize(
    ("status", "reason", "attempts"),
    [(404, "no such file", 1), (403, "denies access", 1), (503, "error 503", 3)],
)
def test_what_the_server_refuses_is_said(server, wanted, status, reason, attempts):
    server.status = status
    with pytest.raises(FetchError, match=reason) as caught:
        download(wanted)
    assert wanted.address in str(caught.value) and "\n" not in str(caught.value)
    assert len(server.requests) == attempts


def test_a_closed_port_is_said(server, wanted):
    server.server_close()
    with pytest.raises(FetchError, match="refused"):
        download(wanted)


def test_what_a_slow_server_sent_in_time_is_kept(server, wanted):
    server.block, server.pause_sec = 10_000, 0.05
    with pytest.raises(FetchError, match="not downloaded in time"):
        download(wanted, seconds=0.4)
    have = wanted.partial.stat().st_size
    assert 0 < have < len(CONTENT)
    server.pause_sec = 0.0
    download(wanted)
    assert wanted.target.read_bytes() == CONTENT
    assert server.ranges_of("w/net.pth")[1] == f"bytes={have}-"


def test_a_disk_that_is_too_full_is_said_before(wanted, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1 << 30, 1 << 30, 5 << 20))
    with pytest.raises(ResourceError, match="only 5 MiB of the disk are free"):
        download(wanted)


def test_a_disk_that_fills_up_is_said(server, wanted):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # Python ignores SIGXFSZ
    try:
        with pytest.raises(ResourceError, match=r"net\.pth: cannot be written"):
            download(wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    download(wanted)
    assert wanted.target.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_said(wanted, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(ResourceError, match="cannot be written"):
        download(wanted)


@pytest.mark.slow
def test_two_processes_fetch_once(server, wanted):
    server.block, server.pause_sec = 20_000, 0.1
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from autox_video.backbones.weights.downloading import Download, download\n"
        f"download(Download({wanted.address!r}, Path({str(wanted.target)!r}), 'net', {SHA256!r}))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert wanted.target.read_bytes() == CONTENT
    assert server.ranges_of("w/net.pth") == [None]
