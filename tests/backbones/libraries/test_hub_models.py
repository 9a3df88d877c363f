"""Models are found on a hub, in its cache and in folders; the hub here is on this machine."""

import json
import socket

import pytest
from huggingface_hub import constants, try_to_load_from_cache

from autox_video.backbones.libraries.hub_models import (
    HubModel,
    WeightFiles,
    files_of,
    find_model,
)
from autox_video.core.errors import ConfigError
from tests.backbones.libraries.hub_server import COMMIT, hub

NAME = "someone/tiny-net"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def server(monkeypatch, tmp_path, folder):
    with hub(monkeypatch, tmp_path / "cache") as server:
        server.models[NAME] = folder
        yield server


def test_the_small_files_are_fetched_and_the_commit_is_kept(server):
    model = find_model(NAME)
    assert (model.name, model.repository, model.revision) == (NAME, NAME, COMMIT)
    assert sorted(path.name for path in model.folder.iterdir()) == [
        "config.json",
        "preprocessor_config.json",
    ]
    assert files_of(NAME) == WeightFiles(NAME, COMMIT, ("model.safetensors",))
    assert not any("safetensors" in request for request in server.requests)
    assert not isinstance(try_to_load_from_cache(NAME, "model.safetensors"), str)


def test_what_is_in_the_cache_needs_no_hub(server, monkeypatch):
    model = find_model(NAME)
    server.requests.clear()
    assert find_model(NAME) == model
    assert find_model(f"{NAME}@main").revision == find_model(f"{NAME}@{COMMIT}").revision == COMMIT
    assert server.requests == []
    (model.folder / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert files_of(f"{NAME}@{COMMIT}").names == ("model.safetensors",)
    assert server.requests == []


def test_a_revision_is_asked_for_by_its_name(server):
    assert find_model(f"{NAME}@{COMMIT}").revision == COMMIT
    assert any(f"/resolve/{COMMIT}/config.json" in request for request in server.requests)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"pytorch_model.bin"}, {"pytorch_model.bin"}),
        ({"pytorch_model.bin", "model.safetensors"}, {"model.safetensors"}),
        (
            {"model.safetensors.index.json", *(f"model-0000{n}-of-2.safetensors" for n in (1, 2))},
            {f"model-0000{n}-of-2.safetensors" for n in (1, 2)},
        ),
    ],
)
def test_safetensors_come_before_pickles_and_parts_after_whole_files(server, folder, files, names):
    (folder / "model.safetensors").unlink()
    for name in files:
        (folder / name).write_bytes(b"")
    assert {*files_of(NAME).names} == names
    assert {*files_of(str(folder)).names} == {str(folder / name) for name in names}


def test_a_model_without_weights_for_pytorch_is_refused(server, folder):
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    for name in (NAME, str(folder)):
        with pytest.raises(ConfigError, match=r"no model.safetensors or pytorch_model.bin"):
            files_of(name)


def test_a_folder_is_a_name_too(folder, monkeypatch):
    assert find_model(str(folder)) == HubModel(str(folder), folder, None, None)
    monkeypatch.chdir(folder.parent)
    for name in ("model", "./model"):
        assert (find_model(name).folder / "config.json").is_file()
        assert files_of(name) == WeightFiles(None, None, (str(folder / "model.safetensors"),))
    with pytest.raises(ConfigError, match=r"hf:./nothing: the folder has no config.json"):
        find_model("./nothing")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("someone/other-net", "the hub has no such model, or it is private"),
        (f"{NAME}@v9", "no such revision"),
        ("a/b/c", "not a name on the hub"),
        (f"{NAME}@", None),
    ],
)
def test_names_that_are_not_there(server, name, message):
    if message is None:
        assert find_model(name).revision == COMMIT
        return
    with pytest.raises(ConfigError, match=message) as caught:
        find_model(name)
    assert f"hf:{name}" in str(caught.value)


def test_a_repository_without_a_config_is_not_a_model_of_transformers(server, folder):
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"no config.json"):
        find_model(NAME)


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (500, {}, "the hub answered with 500"),
        (403, {"X-Error-Code": "GatedRepo"}, "HF_TOKEN"),
    ],
)
def test_answers_of_the_hub_become_a_message(server, status, headers, message):
    server.status, server.headers = status, headers
    for ask in (find_model, files_of):
        with pytest.raises(ConfigError, match=message):
            ask(NAME)


def test_without_a_network_it_is_said_at_once_what_to_do(server, monkeypatch, caplog):
    find_model(NAME)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    for ask, name in ((find_model, "someone/else"), (files_of, NAME)):
        with pytest.raises(ConfigError, match=r"cannot be reached.*hf:./FOLDER"):
            ask(name)
    assert "Retrying" not in caplog.text
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    server.requests.clear()
    for ask, name in ((find_model, "someone/else"), (files_of, NAME)):
        with pytest.raises(ConfigError, match="cannot be reached"):
            ask(name)
    assert server.requests == []
