"""`autox-video weights`: the list, fetching by name, and where files are."""

import pytest

from autox_video.automl import fetched_weights, starting_weights
from autox_video.backbones.weights import known_weights
from autox_video.backbones.weights.known_weights import KNOWN_FILES, KnownFile
from autox_video.backbones.weights.local_copies import torch_folder
from autox_video.cli.main import main
from tests.servers import serve_weights


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(starting_weights, "source_tree", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_has_every_file_with_its_address_and_terms(place, capsys):
    assert main(["weights"]) == 0
    out = capsys.readouterr().out
    assert main(["weights", "list"]) == 0
    assert capsys.readouterr().out == out
    lines = out.splitlines()
    for known in KNOWN_FILES:
        row = lines.index(known.name)
        assert lines[row + 1].startswith(f"  {known.backbone}: {known.source}")
        assert lines[row + 2].endswith(known.url)
        assert ("not for commercial use" in lines[row + 2]) == known.noncommercial


def test_where_names_the_folders_and_what_is_there(place, capsys):
    assert main(["weights", "where"]) == 0
    out = capsys.readouterr().out
    assert f"{place / 'checkpoints'} (yours) (not there)" in out
    assert f"{torch_folder()} (torch) (not there)" in out and "(Hugging Face hub)" in out
    known = KNOWN_FILES[0]
    (place / "checkpoints").mkdir()
    (place / "checkpoints" / known.file_name).write_bytes(bytes(3 << 20))
    assert main(["weights", "where"]) == 0
    out = capsys.readouterr().out
    assert f"{known.name}: 3.0 MiB, {place / 'checkpoints' / known.file_name}" in out
    assert main(["weights"]) == 0
    assert f"{known.size_mib} MiB; on this machine" in capsys.readouterr().out


def test_weights_are_fetched_by_name(place, monkeypatch, capsys):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with serve_weights() as server:
        server.files["net.pth"] = b"tensors"
        files = [
            KnownFile("swin_tiny", None, 1, "MIT", "colours", f"{server.address}/net.pth", "net"),
            KnownFile("swin_tiny", None, 1, "NC", "x", "http://x/y.pth", "nc", noncommercial=True),
        ]
        monkeypatch.setattr(known_weights, "KNOWN_FILES", tuple(files))
        monkeypatch.setattr(fetched_weights, "KNOWN_FILES", tuple(files))
        assert main(["weights", "fetch", "net"]) == 0
        assert f"net is in {torch_folder() / 'net.pth'}." in capsys.readouterr().out
        assert (torch_folder() / "net.pth").read_bytes() == b"tensors"
        assert main(["weights", "fetch", "nc"]) == 2
        assert "add --noncommercial" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch"], "`fetch` needs a name"),
        (["list", "swin"], "`fetch` needs a name"),
        (["fetch", "swin_base-k60"], "Did you mean swin_base-k600"),
        (["fetch", "swin_base-k600"], "HF_HUB_OFFLINE is set"),
        (["bring", "it"], "invalid choice"),
    ],
)
def test_what_cannot_be_done_gets_one_sentence(place, capsys, words, said):
    assert main(["weights", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
    assert "\n" not in err.strip() or words[0] == "bring"
