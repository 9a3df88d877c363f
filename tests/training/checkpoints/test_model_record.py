"""The record in model files: no paths, all that rebuilds the model, and earlier schemas."""

import json
from dataclasses import replace

import pytest

from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError
from autox_video.planning.plan import ADDED
from autox_video.planning.record import RunRecord
from autox_video.training.checkpoints.model_record import (
    MODEL_SCHEMA,
    NOT_STORED,
    SCHEMA_KEY,
    model_record,
    read_model_record,
    root_digest,
    upgraded,
)
from autox_video.training.config.build_config import model_config
from tests.backbones.libraries.tiny_recognisers import model_entry
from tests.backbones.libraries.tiny_transformers import saved
from tests.planning.test_plan import SWIN_B, plan_for
from tests.planning.test_record import PREDICTION, record_in


def stored_of(record: RunRecord) -> dict:
    """The record of a model, as it is read from a file."""
    return json.loads(json.dumps(model_record(record.to_json())))


def without_machine(plan):
    return {**replace(plan, **NOT_STORED).as_dict(), "reasons": 0, "pretrained": 0}


def test_the_model_is_rebuilt_and_times_are_not_stored(tmp_path):
    record = record_in(tmp_path)
    slower = replace(record, prediction=replace(PREDICTION, training_sec=9.0), finished=True)
    assert stored_of(record) == stored_of(slower)
    again = read_model_record(stored_of(record), tmp_path / "best.pth")
    assert without_machine(again.plan) == without_machine(record.plan)
    assert again.data.classes == record.data.classes
    assert (again.data.data_root, again.data.train_list, again.data.val_list) == ("", "", None)
    assert model_config(again).model == model_config(record).model


@pytest.mark.parametrize("root", ["/home/someone/clips", "s3://bucket/clips", "relative"])
def test_no_path_is_stored(tmp_path, root):
    plan = plan_for(pretrained=replace(SWIN_B, path="/home/someone/w/mine.pth"))
    plan = replace(plan, cache="/home/someone/frames", cache_gib=3.0)
    record = record_in(tmp_path)
    paths = {"remote_cache": "/home/someone/remote", "sources": {"ann_file_val": "/home/someone/l"}}
    data = replace(record.data, data_root=root, **paths)
    stored = stored_of(replace(record, plan=plan, data=data))
    text = json.dumps(stored)
    assert "someone" not in text and "bucket" not in text and str(tmp_path) not in text
    assert stored["choices"]["pretrained"]["value"] == "mine.pth"
    assert stored["data"]["root_digest"] == root_digest(f"{root}/" if "://" in root else root)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/w/swin_base_patch244_window877_kinetics600_22k.pth", "swin_base-k600"),
        ("/c/hub/models--someone--net/snapshots/1/model.safetensors", "someone/net"),
        ("/w/mine.pth", "mine.pth"),
    ],
)
def test_pretrained_weights_are_named_with_their_licence(tmp_path, path, name):
    weights = replace(SWIN_B, path=path, licence="MIT", noncommercial=True)
    record = replace(record_in(tmp_path), plan=plan_for(pretrained=weights))
    chosen = stored_of(record)["choices"]["pretrained"]
    figures = {"trained_on": SWIN_B.source, "licence": "MIT", "noncommercial": True}
    assert (chosen["value"], chosen["figures"]) == (name, figures)
    weights = read_model_record(stored_of(record), tmp_path / "best.pth").plan.weights
    assert (weights.path, weights.licence, weights.noncommercial) == (name, "MIT", True)
    scratch = replace(record, plan=plan_for())
    assert stored_of(scratch)["choices"]["pretrained"] == {
        **{"value": None, "source": "rule", "reason": ""},
    }


@pytest.fixture
def local(tmp_path):
    """Backbones by path and their names without it; they are registered for one test."""
    tmp_path.joinpath("my").mkdir()
    config = tmp_path / "my" / "x3d.py"
    entry = {**model_entry("x3d"), "backbone": {**model_entry("x3d")["backbone"]}}
    entry["backbone"] |= {"pretrained": str(tmp_path / "weights.pth")}
    config.write_text(f"model = {entry!r}\n")
    yield {
        "hf": f"hf:{saved(tmp_path / 'my' / 'model', 'videomae')}",
        "mmaction2": f"mmaction2:{config}",
    }
    for name in filter(BACKBONES.family_of, list(BACKBONES._items)):
        del BACKBONES._items[name]


@pytest.mark.parametrize("family", ["hf", "mmaction2"])
def test_a_backbone_of_a_local_file_is_rebuilt_without_the_file(tmp_path, local, family):
    name = local[family]
    record = replace(record_in(tmp_path), plan=plan_for(backbone=name, clip_len=4))
    assert "backbone" not in record.identity  # it would be a path
    spec, wanted, stored = BACKBONES[name], model_config(record), stored_of(record)
    assert str(tmp_path) not in json.dumps(stored)
    (tmp_path / "my").rename(tmp_path / "moved")
    del BACKBONES._items[name]
    again = read_model_record(stored, tmp_path / "best.pth")
    assert again.plan.backbone.startswith(f"{family}:local-")
    rebuilt = replace(BACKBONES[again.plan.backbone], published={})
    assert replace(rebuilt, config={}) == replace(spec, config={}, published={})
    config = model_config(again)
    config.model.backbone.get("backbone", {}).pop("pretrained", None)
    wanted.model.backbone.get("backbone", {}).pop("pretrained", None)
    assert config.model == wanted.model


def test_damaged_descriptions_of_backbones_are_sentences(tmp_path, local):
    for family, key, value in (
        ("hf", ("config", "hidden_size"), "wide"),
        ("hf", ("config", "hidden_size"), -8),
        ("hf", ("config", "model_type"), "none"),
        ("mmaction2", ("arguments", "backbone"), {"type": "os.mkdir", "path": str(tmp_path / "x")}),
        ("mmaction2", ("sampling", "frames"), "many"),
        ("mmaction2", ("arguments", "neck"), {"type": "os.mkdir", "path": str(tmp_path / "x")}),
        ("mmaction2", ("arguments", "neck"), {"type": "os.mkdir", "name": "x", "mode": [{}]}),
    ):
        record = replace(record_in(tmp_path), plan=plan_for(backbone=local[family], clip_len=4))
        stored = stored_of(record)
        stored["published"][key[0]][key[1]] = value
        with pytest.raises(CheckpointError, match=r"best\.pth: "):
            read_model_record(stored, tmp_path / "best.pth")
    assert not (tmp_path / "x").exists()


def test_the_stored_normalisation_counts(tmp_path):
    stored = stored_of(record_in(tmp_path))
    stored["normalisation"]["mean"] = [1.0, 2.0, 3.0]
    record = read_model_record(stored, tmp_path / "best.pth")
    assert model_config(record).model.data_preprocessor.mean == [1.0, 2.0, 3.0]
    for std in ([0.0, 1.0, 1.0], [1.0, float("nan"), 1.0], [1.0], "abc"):
        stored["normalisation"]["std"] = std
        with pytest.raises(CheckpointError, match="invalid run record"):
            read_model_record(stored, tmp_path / "best.pth")


def test_run_records_are_schema_0(tmp_path):
    run = json.loads(json.dumps(record_in(tmp_path).to_json()))
    for name in ADDED:
        del run["choices"][name]
    record = read_model_record(run, tmp_path / "best.pth")
    assert {name: getattr(record.plan, name) for name in ADDED} == ADDED
    assert (record.data.data_root, record.data.root_digest) == ("", root_digest("/d"))
    assert upgraded(run, tmp_path)[SCHEMA_KEY] == MODEL_SCHEMA


@pytest.mark.parametrize("schema", [MODEL_SCHEMA + 1, 10**6])
def test_newer_schemas_ask_for_an_update(tmp_path, schema):
    stored = {SCHEMA_KEY: schema, "of": "the future"}
    said = rf"newer version of autox-video \(schema {schema}; .*up to {MODEL_SCHEMA}\): update"
    with pytest.raises(CheckpointError, match=said):
        read_model_record(stored, tmp_path / "best.pth")


@pytest.mark.parametrize("stored", [None, [], "record", {}, {SCHEMA_KEY: 1}, {SCHEMA_KEY: True}])
def test_what_is_no_record_is_a_sentence(tmp_path, stored):
    with pytest.raises(CheckpointError, match="invalid run record"):
        read_model_record(stored, tmp_path / "best.pth")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("choices", "clip_len", None),
        ("choices", "clip_len", {"value": -1, "source": "rule", "reason": ""}),
        ("choices", "backbone", {"value": "../evil", "source": "rule", "reason": ""}),
        ("choices", "backbone", {"value": "timm:none", "source": "rule", "reason": ""}),
        ("choices", "pretrained", 3),
        ("data", "classes", ["a"]),
        ("data", "task", "none"),
        ("data", "task", ["single_label"]),
    ],
)
def test_values_that_make_no_sense_are_refused(tmp_path, part, name, value):
    stored = stored_of(record_in(tmp_path))
    stored[part][name] = value
    with pytest.raises(CheckpointError, match=r"best\.pth: "):
        read_model_record(stored, tmp_path / "best.pth")
