"""Weights that come by themselves, by name and by address, from a server on this machine."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from autox_video.automl import fetched_weights, starting_weights
from autox_video.automl.fetched_weights import Terms, fetch_named, fetch_wanted, given_file
from autox_video.automl.starting_weights import find_weights, weights_to_resume
from autox_video.backbones.weights import known_weights
from autox_video.backbones.weights.known_weights import KnownFile
from autox_video.backbones.weights.local_copies import torch_folder
from autox_video.config.load import settings_from_mapping
from autox_video.config.settings import Settings
from autox_video.core.console import showing
from autox_video.core.errors import CheckpointError, ConfigError, FetchError
from autox_video.jobs.train import fit
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from tests.backbones.weights.weight_files import weights_file
from tests.datasets import TINY, colour_data
from tests.servers import serve_weights

CONTENT = random.Random(2).randbytes(50_000)
TERMS = Terms()


@pytest.fixture
def server():
    with serve_weights() as server:
        yield server


@pytest.fixture
def known(server, tmp_path, monkeypatch):
    """Three known files on the server, in the order in which a CPU wants them."""
    names = ("x3d_m-k400", "x3d_s-k400", "mvit_v2_s")
    server.files |= {f"{name}.pth": CONTENT for name in names}
    files = tuple(
        KnownFile(f"timm:{name}", 50.0, 15, "MIT", "colours", f"{server.address}/{name}.pth", name)
        for name in names
    )
    monkeypatch.setattr(known_weights, "KNOWN_FILES", files)
    monkeypatch.setattr(fetched_weights, "KNOWN_FILES", files)
    monkeypatch.setattr(starting_weights, "source_tree", lambda: None)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return files


def with_row(monkeypatch, files, row, **changes):
    """Change one row of the known files."""
    files = tuple(replace(file, **changes) if file is row else file for file in files)
    monkeypatch.setattr(known_weights, "KNOWN_FILES", files)
    monkeypatch.setattr(fetched_weights, "KNOWN_FILES", files)


def test_the_best_is_fetched_once_with_its_licence(known, server):
    found = find_weights("auto", "auto", TERMS)
    assert found == known[0].at(torch_folder() / "x3d_m-k400.pth")
    assert (found.licence, found.backbone) == ("MIT", "timm:x3d_m-k400")
    assert find_weights("auto", "auto", TERMS) == found and len(server.requests) == 1


def test_a_file_that_the_user_placed_is_taken_without_fetching(known, server):
    Path("checkpoints").mkdir()
    Path("checkpoints/mvit_v2_s.pth").touch()
    assert find_weights("auto", "auto", TERMS).backbone == "timm:mvit_v2_s"
    assert server.requests == []


def test_what_is_there_is_taken_where_nothing_better_comes(known, server, capsys):
    torch_folder().mkdir(parents=True)
    (torch_folder() / "x3d_s-k400.pth").touch()
    server.status = 404
    assert find_weights("auto", "auto", TERMS).backbone == "timm:x3d_s-k400"
    (warning,) = capsys.readouterr().err.splitlines()
    assert "x3d_m-k400.pth: there is no such file" in warning and "continues" in warning


def test_without_a_network_there_is_one_sentence(known, monkeypatch, capsys):
    files = tuple(replace(file, url=f"http://127.0.0.1:1/{file.name}.pth") for file in known)
    monkeypatch.setattr(fetched_weights, "KNOWN_FILES", files)
    monkeypatch.setattr(known_weights, "KNOWN_FILES", files)
    assert find_weights("auto", "auto", TERMS) is None
    said = capsys.readouterr()
    (line,) = said.out.splitlines()
    assert "x3d_m-k400 (timm:x3d_m-k400, colours; about 15 MiB) is not fetched" in line
    assert "autox-video weights fetch x3d_m-k400" in line and said.err == ""


def test_a_server_that_is_there_serves_the_next_best(known, server, monkeypatch):
    with_row(monkeypatch, known, known[0], url="http://127.0.0.1:1/x3d_m-k400.pth")
    assert find_weights("auto", "auto", TERMS).backbone == "timm:x3d_s-k400"


@pytest.mark.parametrize("how", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "download"])
def test_nothing_is_tried_where_it_is_forbidden(known, server, monkeypatch, capsys, how):
    if how == "download":
        assert find_weights("auto", "auto", Terms(download=False)) is None
    else:
        monkeypatch.setenv(how, "1")
        with showing(True):
            assert find_weights("auto", "auto", TERMS) is None
        assert "x3d_m-k400" in capsys.readouterr().out
    assert find_weights("none", "auto", TERMS) is None
    assert server.requests == []


def test_a_time_budget_limits_what_is_fetched(known, server, monkeypatch):
    with_row(monkeypatch, known, known[0], size_mib=100)
    found = find_weights("auto", "auto", Terms(time_budget_sec=60.0))
    assert found.backbone == "timm:x3d_s-k400"


def test_weights_not_for_commercial_use_need_the_key(known, monkeypatch, capsys):
    with_row(monkeypatch, known, known[0], noncommercial=True, licence="CC-BY-NC-4.0")
    assert find_weights("auto", "auto", TERMS).backbone == "timm:x3d_s-k400"
    for load_from in ("x3d_m-k400", known[0].url):
        with pytest.raises(ConfigError, match=r"CC-BY-NC-4\.0.*noncommercial: true"):
            find_weights(load_from, "auto", TERMS)
    with pytest.raises(ConfigError, match="--noncommercial"):
        fetch_named("x3d_m-k400", [], TERMS)
    capsys.readouterr()
    assert fetch_wanted([], "timm:x3d_m-k400", TERMS) is None
    assert "not for commercial use (licence CC-BY-NC-4.0)" in capsys.readouterr().out
    allowed = Terms(noncommercial=True)
    found = find_weights("auto", "auto", allowed)
    assert found.backbone == "timm:x3d_m-k400" and found.noncommercial
    # A copy that the user has is still under its licence.
    with pytest.raises(ConfigError, match="noncommercial: true"):
        find_weights(found.path, "auto", TERMS)
    assert find_weights(found.path, "auto", allowed) == found


def test_weights_are_given_by_name_address_or_path(known, server):
    by_name = find_weights("mvit_v2_s", "auto", TERMS)
    assert by_name.backbone == "timm:mvit_v2_s" and Path(by_name.path).read_bytes() == CONTENT
    for other in (known[2].url, by_name.path):
        assert find_weights(other, "auto", TERMS) == by_name
    assert len(server.requests) == 1
    with pytest.raises(ConfigError, match="but backbone is swin_tiny"):
        find_weights("mvit_v2_s", "swin_tiny", TERMS)


def test_a_file_from_elsewhere_is_fetched_once(known, server):
    server.files["a/best.pth"], server.files["b/best.pth"] = CONTENT, CONTENT[::-1]
    paths = [given_file(f"{server.address}/{x}/best.pth", TERMS)[0] for x in ("a", "b", "a")]
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT[::-1], CONTENT]
    assert paths[0] == paths[2] and len(server.requests) == 2
    weights = find_weights(f"{server.address}/a/best.pth", "timm:resnet18", TERMS)
    assert (weights.path, weights.backbone) == (str(paths[0]), "timm:resnet18")


def test_what_cannot_be_given_is_said(known, server, monkeypatch):
    with pytest.raises(CheckpointError, match=r"x3d_m-k40 is neither.*Did you mean x3d_m-k400"):
        given_file("x3d_m-k40", TERMS)
    with pytest.raises(ConfigError, match="download: never"):
        given_file("x3d_m-k400", Terms(download=False))
    with pytest.raises(FetchError, match="no such file"):
        given_file(f"{server.address}/absent.pth", TERMS)
    with pytest.raises(FetchError, match="hf://ORG/NAME/FILE"):
        given_file("hf://name", TERMS)
    with pytest.raises(ConfigError, match="x3d.* is not the name of known weights"):
        fetch_named("x3d", [], TERMS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for load_from in ("x3d_m-k400", f"{server.address}/a.pth"):
        with pytest.raises(FetchError, match="HF_HUB_OFFLINE is set"):
            given_file(load_from, TERMS)


def test_a_resumed_run_keeps_its_weights(known, server):
    before = known[0].at("elsewhere/x3d_m-k400.pth")
    for load_from in ("auto", "x3d_m-k400", known[0].url):
        assert weights_to_resume(before, load_from, "auto", TERMS) == before
    assert server.requests == []
    assert weights_to_resume(before, "mvit_v2_s", "auto", TERMS).backbone == "timm:mvit_v2_s"


def test_the_terms_are_those_of_the_settings():
    settings = Settings(data_root="d", time_budget="10m", noncommercial=True, download="never")
    assert Terms.of(settings, "cuda") == Terms("cuda", 600.0, True, False)
    assert Terms.of(Settings(data_root="d"), "cpu") == Terms()


@pytest.mark.slow
def test_a_run_fetches_its_weights_and_keeps_their_licence(known, server, tmp_path, monkeypatch):
    data = colour_data(tmp_path / "clips", train=4, val=2, test=1)
    server.files["nano.pth"] = weights_file(tmp_path / "made" / "nano.pth").read_bytes()
    row = replace(known[0], backbone="swin_nano", url=f"{server.address}/nano.pth", name="nano")
    monkeypatch.setattr(known_weights, "KNOWN_FILES", (row,))
    monkeypatch.setattr(fetched_weights, "KNOWN_FILES", (row,))
    keys = {**data, **TINY, "epoch": 1, "work_dir": str(tmp_path / "work")}
    keys |= {"backbone": "swin_nano", "load_from": "auto"}
    fit(settings_from_mapping(keys, "test"))
    stored = json.loads((tmp_path / "work" / "record.json").read_text())
    choice = stored["choices"]["pretrained"]
    assert Path(choice["value"]) == torch_folder() / "nano.pth"
    assert choice["figures"]["licence"] == "MIT" and "licence MIT" in choice["reason"]
    meta = read_checkpoint(tmp_path / "work" / "best.pth")["meta"]
    assert meta["record"]["choices"]["pretrained"]["figures"]["licence"] == "MIT"
    assert len(server.ranges_of("nano.pth")) == 1
