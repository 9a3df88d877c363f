"""Files that are no intact model of this version end in a sentence, whoever opens them."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autox_video.config.choices import BACKBONES
from autox_video.core.errors import AutoXVideoError
from autox_video.evaluation.ensemble import load_models
from autox_video.evaluation.predict import for_testing, record_of
from autox_video.prediction.model_facts import model_facts
from autox_video.training.checkpoints.checkpoint import (
    RECORD_KEY,
    SCHEMA,
    read_checkpoint,
    write_best,
)
from autox_video.training.checkpoints.members import MEMBERS
from autox_video.training.checkpoints.model_record import MODEL_SCHEMA, SCHEMA_KEY
from tests.datasets import colour_clip
from tests.prediction.make_stored_models import FILES

MODEL, NETWORK, JOINED = (FILES / f"{n}-1.safetensors" for n in ("probe", "trained", "ensemble"))
RAN = "it-ran"
"""Folder that a file's code would make in the current folder."""


@pytest.fixture(autouse=True)
def own_backbones():
    """Forget the backbones that other files described."""
    for name in [name for name in BACKBONES._items if ":local-" in name]:
        del BACKBONES._items[name]


@pytest.fixture(scope="module")
def states():
    """The content of the stored models, by kind."""
    return {file: read_checkpoint(file) for file in (MODEL, NETWORK, JOINED)}


@pytest.fixture(scope="module")
def contents(states, tmp_path_factory):
    """The bytes of the probe as .safetensors and as .pth."""
    folder = tmp_path_factory.mktemp("intact")
    write_best(folder, states[MODEL])
    return {suffix: (folder / f"best{suffix}").read_bytes() for suffix in (".safetensors", ".pth")}


def use(file):
    """Open a file in each way that commands do; return what each one gave or refused with."""
    ways = {
        "record": record_of,
        "models": lambda path: load_models(path, for_testing(record_of(path)), "cpu"),
        "facts": model_facts,
    }
    found = {}
    for name, way in ways.items():
        try:
            found[name] = way(file)
        except AutoXVideoError as error:
            found[name] = error
    return found


def refused(file, *, ways=("record", "models", "facts")):
    """Check that a file is refused in a sentence that names it; return the sentences."""
    found = use(file)
    for name in ways:
        assert isinstance(found[name], AutoXVideoError), (name, found[name])
    errors = [each for each in found.values() if isinstance(each, AutoXVideoError)]
    for error in errors:
        (sentence,) = error.problems
        assert file.name in sentence and sentence.endswith(".")
        assert sentence.isprintable() and len(sentence) < 800, sentence
    assert not Path(RAN).exists()
    return " ".join(map(str, errors))


# ---- files of other kinds ----


class Runs:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        return os.mkdir, (RAN,)


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("notes.txt", "notes")
        file.writestr("archive/data.pkl", pickle.dumps(Runs()))
    return buffer.getvalue()


def torch_file(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def header(text, size=None):
    content = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(content) if size is None else size) + content


def image():
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


OTHERS = {
    "empty": b"",
    "a byte": b"{",
    "text": b"class,path\nrun,a.mp4\n",
    "json": b'{"model_schema": 1}',
    "yaml": b"data_root: clips\n",
    "html": b"<!DOCTYPE html><html>404</html>",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "noise": np.random.default_rng(0).bytes(5000),
    "image": image(),
    "zip": archive(),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "npy": b"\x93NUMPY\x01\x00" + bytes(100),
    "onnx": b"\x08\x07\x12\x07pytorch" + bytes(100),
    "gguf": b"GGUF\x03\x00\x00\x00" + bytes(100),
    "pickle": pickle.dumps(Runs()),
    "pickle 2": pickle.dumps(Runs(), protocol=2),
    "torch with code": torch_file({"state_dict": {}, "meta": Runs()}),
    "old torch with code": torch_file(Runs(), _use_new_zipfile_serialization=False),
    "a module": torch_file(torch.nn.Linear(2, 2)),
    "a list": torch_file([1, 2]),
    "a tensor": torch_file(torch.ones(3)),
    "no meta": torch_file({"state_dict": {"a": torch.ones(2)}}),
    "meta of others": torch_file({"state_dict": {"a": torch.ones(2)}, "meta": {"epoch": 3}}),
    "state dict alone": torch_file({"backbone.a": torch.ones(2)}),
    "lightning": torch_file({"state_dict": {"a": torch.ones(2)}, "hyper_parameters": {}}),
    "header too long": header("{}", size=2**40),
    "header cut": header('{"a": {"dtype": "F32"', size=21),
    "header of a list": header("[]"),
    "header deep": header("[" * 5000),
    "header not utf-8": header(b'{"a": "\xff\xfe"}'),
    "meta not text": header('{"__metadata__": {"meta": 3}}'),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kind", OTHERS)
def test_other_files(tmp_path, monkeypatch, kind, suffix):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"model{suffix}"
    file.write_bytes(OTHERS[kind])
    sentence = refused(file)
    if suffix == ".pth" and "code" in kind:
        assert "would run code" in sentence


@pytest.mark.parametrize("name", ["clip.mp4", "model.bin", "model", "model.onnx"])
def test_other_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    colour_clip(tmp_path / "clip.mp4", "red", seed=0)
    if name != "clip.mp4":
        (tmp_path / name).write_bytes(OTHERS["noise"])
    assert "not a weight file" in refused(tmp_path / name)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ""])
def test_no_file_and_folders(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    assert "no such checkpoint" in refused(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    assert "is a folder" in refused(tmp_path / f"folder{suffix}")
    (tmp_path / f"link{suffix}").symlink_to(tmp_path / "nowhere")
    assert "no such checkpoint" in refused(tmp_path / f"link{suffix}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_may_not_be_read(tmp_path, contents, suffix):
    file = tmp_path / f"model{suffix}"
    file.write_bytes(contents[suffix])
    file.chmod(0)
    assert "cannot be read" in refused(file)


@pytest.mark.parametrize(
    "meta", [{}, {"format": "pt"}, {"meta": "{"}, {"meta": "[]"}, {"meta": "3"}]
)
def test_safetensors_of_other_tools(tmp_path, monkeypatch, meta):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({"layer.weight": torch.ones(2, 3)}, file, metadata=meta)
    refused(file)


# ---- damage ----


@pytest.mark.parametrize("part", range(24))
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_torn_files(tmp_path, monkeypatch, contents, suffix, part):
    monkeypatch.chdir(tmp_path)
    file, content = tmp_path / f"model{suffix}", contents[suffix]
    cuts = [1, 7, 8, 9, 100, 2000, len(content) - 1, len(content) - 4]
    cuts += np.linspace(10, len(content) - 10, 16).astype(int).tolist()
    file.write_bytes(content[: cuts[part]])
    refused(file)


def is_same(found, wanted):
    """Whether a damaged file gives the same model in every way, as if it were intact."""
    tensors = [list(one["models"][0].model.state_dict().values()) for one in (found, wanted)]
    facts = [{**one["facts"], "file": ""} for one in (found, wanted)]
    return facts[0] == facts[1] and all(map(torch.equal, *tensors))


@pytest.mark.parametrize("part", ["head", "middle", "tensors", "end"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits(tmp_path, monkeypatch, contents, suffix, part, seed):
    """A flip in a part of the archive that nothing reads changes nothing; any other is noticed."""
    monkeypatch.chdir(tmp_path)
    intact, file = tmp_path / f"intact{suffix}", tmp_path / f"model{suffix}"
    content = bytearray(contents[suffix])
    intact.write_bytes(content)
    ranges = {"head": (0, 300), "middle": (300, 4000), "tensors": (5000, -3000), "end": (-900, 0)}
    start, end = ranges[part]
    rng = np.random.default_rng(seed)
    at = rng.integers(start % len(content), (end % len(content)) or len(content))
    content[at] ^= 1 << rng.integers(8)
    file.write_bytes(content)
    found = use(file)
    if isinstance(found["models"], AutoXVideoError):
        refused(file, ways=("models", "facts"))
    else:
        assert is_same(found, use(intact))
    if part == "tensors" or suffix == ".safetensors":
        assert isinstance(found["models"], AutoXVideoError)


# ---- intact files with wrong content ----


def set_choice(name, value):
    def change(record):
        record["choices"][name]["value"] = value

    return change


def set_data(name, value):
    def change(record):
        record["data"][name] = value

    return change


WRONG = {
    "newer": lambda record: record.update({SCHEMA_KEY: MODEL_SCHEMA + 1}),
    "much newer": lambda record: [record.clear(), record.update({SCHEMA_KEY: 99, "x": 1})],
    "schema of text": lambda record: record.update({SCHEMA_KEY: "1"}),
    "schema below 0": lambda record: record.update({SCHEMA_KEY: -1}),
    "nothing": lambda record: record.clear(),
    "no choices": lambda record: record.pop("choices"),
    "no data": lambda record: record.pop("data"),
    "choices of text": lambda record: record.update(choices="all"),
    "a missing choice": lambda record: record["choices"].pop("clip_len"),
    "a choice without a value": lambda record: record["choices"]["clip_len"].pop("value"),
    "fewer classes": set_data("classes", ["red", "green"]),
    "more classes": set_data("classes", ["red", "green", "blue", "white"]),
    "classes of text": set_data("classes", "rgb"),
    "classes of numbers": set_data("classes", [1, 2, 3]),
    "no classes": set_data("classes", []),
    "unknown task": set_data("task", "none"),
    "task of the other labels": set_data("task", None),
    "more outputs": lambda record: [
        set_choice("num_classes", 4)(record),
        set_data("classes", list("abcd"))(record),
    ],
    "unknown backbone": set_choice("backbone", "no_net"),
    "other backbone": set_choice("backbone", "conv_nano"),
    "backbone of a path": set_choice("backbone", "../net"),
    "unknown of a family": set_choice("backbone", "timm:no_net"),
    "unknown family": set_choice("backbone", "none:net"),
    "config that is not there": set_choice("backbone", "mmaction2:/none/net.py"),
    "number as backbone": set_choice("backbone", 3),
    "no frames": set_choice("clip_len", 0),
    "half frames": set_choice("clip_len", 2.5),
    "endless frames": set_choice("clip_len", 2**40),
    "no time": set_choice("frame_interval_sec", 0.0),
    "nan time": set_choice("frame_interval_sec", float("nan")),
    "negative side": set_choice("resolution", -32),
    "side of text": set_choice("resolution", "large"),
    "unknown precision": set_choice("precision", "int3"),
    "frozen stages": set_choice("freeze", 9),
    "adapters": set_choice("lora", 4),
    "an attentive head": set_choice("head_grid", [1, 1, 1]),
    "pretrained of a number": set_choice("pretrained", 3),
    "mean of text": lambda record: record.update(normalisation={"mean": "a", "std": "b"}),
    "std of zero": lambda record: record.update(normalisation={"mean": [0] * 3, "std": [0] * 3}),
    "published for others": lambda record: record.update(published={"config": {}}),
    "surprise": lambda record: record.update(choices=[1]),
}


def written(folder, state, record=None):
    """Write a state with a record to best.safetensors and best.pth."""
    meta = state["meta"] if record is None else {**state["meta"], RECORD_KEY: record}
    write_best(folder, {"schema": SCHEMA, **state, "meta": meta})


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_records(tmp_path, monkeypatch, states, kind, suffix):
    monkeypatch.chdir(tmp_path)
    record = json.loads(json.dumps(states[MODEL]["meta"][RECORD_KEY]))
    WRONG[kind](record)
    written(tmp_path, states[MODEL], record)
    sentence = refused(tmp_path / f"best{suffix}", ways=("models",))
    if "newer" in kind:
        assert "update autox-video" in sentence and f"up to {MODEL_SCHEMA}" in sentence


def test_an_unknown_decoder(tmp_path, states):
    record = json.loads(json.dumps(states[MODEL]["meta"][RECORD_KEY]))
    set_choice("decoder", "none")(record)
    written(tmp_path, states[MODEL], record)
    assert "decoder: unknown name none" in str(use(tmp_path / "best.safetensors")["models"])


@pytest.mark.parametrize(
    "published",
    [
        {},
        {"config": {"model_type": "none"}},
        {"config": {"model_type": "bert"}, "mean": [0] * 3, "std": [1] * 3, "side": 32},
        {"config": {"model_type": "videomae", "hidden_size": -1}},
        {"config": 3},
    ],
)
def test_wrong_descriptions_of_a_backbone(tmp_path, monkeypatch, states, published):
    monkeypatch.chdir(tmp_path)
    record = json.loads(json.dumps(states[NETWORK]["meta"][RECORD_KEY]))
    record["published"] = published
    written(tmp_path, states[NETWORK], record)
    refused(tmp_path / "best.safetensors", ways=("models",))


def test_kernels_named_in_a_file_are_not_fetched(tmp_path, monkeypatch, states):
    monkeypatch.chdir(tmp_path)
    record = json.loads(json.dumps(states[NETWORK]["meta"][RECORD_KEY]))
    record["published"]["config"]["attn_implementation"] = "someone/kernel"
    written(tmp_path, states[NETWORK], record)
    (model,) = use(tmp_path / "best.safetensors")["models"]
    assert "someone" not in repr(model.model.backbone.net.config)


WRONG_MEMBERS = {
    "no record": lambda one: one.pop("record"),
    "a newer record": lambda one: one["record"].update({SCHEMA_KEY: 99}),
    "a record of text": lambda one: one.update(record="x"),
    "no share": lambda one: one.pop("share"),
    "a share of text": lambda one: one.update(share="half"),
    "no temperature": lambda one: one.pop("temperature"),
    "other weights": lambda one: one.update(state_dict={"a": torch.ones(2)}),
    "no weights": lambda one: one.update(state_dict={}),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kind", WRONG_MEMBERS)
def test_wrong_members_of_an_ensemble(tmp_path, monkeypatch, states, kind, suffix):
    monkeypatch.chdir(tmp_path)
    state = states[JOINED]
    (other,) = state[MEMBERS]
    other = {**other, "record": json.loads(json.dumps(other["record"]))}
    WRONG_MEMBERS[kind](other)
    written(tmp_path, {**state, MEMBERS: [other]})
    refused(tmp_path / f"best{suffix}", ways=("models",))


@pytest.mark.parametrize("kind", ["none", "fewer", "other names", "other shapes", "integers"])
def test_wrong_weights(tmp_path, monkeypatch, states, kind):
    monkeypatch.chdir(tmp_path)
    weights = states[NETWORK]["state_dict"]
    name, tensor = next(iter(weights.items()))
    changed = {
        "none": {},
        "fewer": {k: v for k, v in weights.items() if k != name},
        "other names": {f"net.{k}": v for k, v in weights.items()},
        "other shapes": {**weights, name: tensor[..., :1]},
        "integers": {**weights, "count": torch.ones(2, dtype=torch.int64)},
    }[kind]
    written(tmp_path, {**states[NETWORK], "state_dict": changed})
    refused(tmp_path / "best.safetensors", ways=("models",))
