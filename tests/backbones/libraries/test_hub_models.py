"""Models are found on the hub, in its cache and in folders; a local server acts as the hub."""

import json
import socket

import pytest
from huggingface_hub import constants

from autox_video.backbones.libraries.hub_models import HubModel, find_model, pinned, weights_in
from autox_video.core.errors import ConfigError
from tests.servers import serve_weights, use_as_hub

NAME, COMMIT = "someone/tiny-net", "c" * 40
FILES = {
    "config.json": json.dumps({"model_type": "vit"}).encode(),
    "preprocessor_config.json": b"{}",
    "model.safetensors": b"weights",
}


@pytest.fixture
def server(monkeypatch, tmp_path):
    with serve_weights() as server:
        server.files |= {f"{NAME}/{name}": content for name, content in FILES.items()}
        use_as_hub(server, monkeypatch, tmp_path / "cache")
        yield server


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def test_only_the_small_files_are_fetched_and_the_commit_is_kept(server):
    assert pinned(NAME) == NAME
    model = find_model(NAME)
    assert (model.name, model.repository, model.revision) == (NAME, NAME, COMMIT)
    names = sorted(path.name for path in model.folder.iterdir())
    assert names == ["config.json", "preprocessor_config.json"]
    assert pinned(NAME) == pinned(f"{NAME}@main") == f"{NAME}@{COMMIT}"


def test_what_is_in_the_cache_needs_no_hub(server):
    model = find_model(NAME)
    server.requests.clear()
    assert find_model(NAME) == model
    assert find_model(f"{NAME}@main").revision == find_model(f"{NAME}@{COMMIT}").revision == COMMIT
    assert server.requests == []


def test_a_revision_is_asked_for_by_its_name(server):
    assert find_model(f"{NAME}@v2").revision == COMMIT
    assert ("GET", f"{NAME}/resolve/v2/config.json", None) in server.requests


def test_a_folder_is_a_name_too(folder, monkeypatch):
    assert find_model(str(folder)) == HubModel(str(folder), folder, None, None)
    monkeypatch.chdir(folder.parent)
    for name in ("model", "./model"):
        assert (find_model(name).folder / "config.json").is_file()
        assert weights_in(name) == folder / "model.safetensors"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert weights_in("model") == folder / "pytorch_model.bin"
    (folder / "pytorch_model.bin").unlink()
    assert weights_in("model") is None
    with pytest.raises(ConfigError, match=r"hf:./nothing: the folder has no config.json"):
        find_model("./nothing")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "", "the hub has no such model, or it is private"),
        (404, "RepoNotFound", "the hub has no such model, or it is private"),
        (404, "RevisionNotFound", "no such revision"),
        (403, "GatedRepo", "HF_TOKEN"),
        (500, "", "the hub answered with 500"),
    ],
)
def test_what_the_hub_answers_becomes_a_message(server, status, code, message):
    server.status, server.error_code = status, code
    with pytest.raises(ConfigError, match=message) as caught:
        find_model(NAME)
    assert str(caught.value).startswith(f"backbone: hf:{NAME}: ")


def test_names_of_another_form_are_refused(server):
    with pytest.raises(ConfigError, match="not a valid model name"):
        find_model("a/b/c")


def test_a_repository_without_a_config_is_not_a_model_of_transformers(server):
    del server.files[f"{NAME}/config.json"]
    with pytest.raises(ConfigError, match=r"no config.json"):
        find_model(NAME)


def test_without_a_network_it_is_said_what_to_do(server, monkeypatch, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(ConfigError, match=r"cannot be reached.*hf:./FOLDER"):
        find_model(NAME)
    assert "Retrying" not in caplog.text


def test_offline_the_hub_is_not_asked(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="cannot be reached"):
        find_model(NAME)
    assert server.requests == []
