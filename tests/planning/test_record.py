"""record.json: checked when it is read."""

import json
from dataclasses import replace

import pytest

from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError
from autox_video.planning.plan import ADDED
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import (
    RECORD_SCHEMA,
    RunRecord,
    TrainingData,
    load_stored,
    of_weights,
    read_record,
    write_record,
    write_stored,
)
from autox_video.run.work_dir import RECORD
from tests.backbones.libraries.tiny_transformers import saved
from tests.planning.test_plan import SWIN_B, plan_for

CLASSES = tuple(f"class {n}" for n in range(25))
LISTS = {
    name: {"clips": 1, "sha256": "0", "left_out": [["\udcff.mp4"]]} for name in ("train", "val")
}
PREDICTION = Prediction(1.0, 2.0, 3.0, 0.0, 0.0, 0.5, 0.5, 0.1, "decode")


def record_in(folder, **keys):
    lists = (str(folder / "train.csv"), str(folder / "val.csv"))
    data = TrainingData("/d", *lists, CLASSES, 10, class_clips=(6,) * 25, fingerprint="f")
    return RunRecord(plan_for(pretrained=SWIN_B, **keys), data, PREDICTION, LISTS)


@pytest.fixture
def run(tmp_path):
    write_record(tmp_path, record_in(tmp_path))
    return tmp_path


def test_what_is_written_is_read(run):
    stored = load_stored(run)
    assert (stored["schema"], stored["fingerprint"]) == (RECORD_SCHEMA, "f")
    assert stored["data"]["train"] == LISTS["train"]
    assert stored["choices"]["backbone"]["value"] == "swin_base"
    assert read_record(run) == record_in(run)


def test_weights_carry_what_rebuilds_the_model_and_no_times(run):
    record = record_in(run)
    slower = replace(record, prediction=replace(PREDICTION, training_sec=9.0))
    carried = of_weights(record.to_json())
    assert carried == of_weights(slower.to_json())
    again = RunRecord.from_json(json.loads(json.dumps(carried)), run, run / "best.pth")
    assert (again.data, again.prediction) == (record.data, None)
    assert {**again.plan.as_dict(), "reasons": 0} == {**record.plan.as_dict(), "reasons": 0}


def test_a_model_file_has_the_licence_of_the_weights_it_began_with(run):
    plan = plan_for(pretrained=replace(SWIN_B, licence="MIT"))
    record = replace(record_in(run), plan=plan)
    carried = of_weights(record.to_json())
    assert carried["choices"]["pretrained"]["figures"]["licence"] == "MIT"
    scratch = replace(record, plan=plan_for())
    assert "figures" not in of_weights(scratch.to_json())["choices"]["pretrained"]


def test_a_model_of_a_hub_is_built_again_from_the_record_alone(tmp_path):
    name = f"hf:{saved(tmp_path / 'model', 'videomae')}"
    record = replace(record_in(tmp_path), plan=plan_for(backbone=name))
    found, carried = BACKBONES[name], json.dumps(of_weights(record.to_json()))
    del BACKBONES._items[name]
    (tmp_path / "model").rename(tmp_path / "moved")
    again = RunRecord.from_json(json.loads(carried), tmp_path, tmp_path / "best.pth")
    assert again.plan.backbone == name
    assert BACKBONES[name] == found
    damaged = json.loads(carried)
    damaged["published"]["config"]["hidden_size"] = "wide"
    with pytest.raises(CheckpointError, match="hidden_size"):
        RunRecord.from_json(damaged, tmp_path, tmp_path / "best.pth")
    del BACKBONES._items[name]


def test_a_record_of_before_a_field_was_added_is_read(run):
    stored = record_in(run).to_json()
    for name in ADDED:
        del stored["choices"][name]
    again = RunRecord.from_json(stored, run, run / RECORD)
    assert {name: getattr(again.plan, name) for name in ADDED} == ADDED
    assert {**again.plan.as_dict(), "reasons": 0} == {**record_in(run).plan.as_dict(), "reasons": 0}


def damage(kind, path):
    content = path.read_bytes()
    if kind == "gone":
        path.unlink()
    elif kind == "a folder":
        path.unlink()
        path.mkdir()
    else:
        at = content.index(b'"swin_base"') + 3
        damaged = {
            "empty": b"",
            "zeros": bytes(len(content)),
            "cut": content[: len(content) // 2],
            "a flipped bit": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
            "no object": b"[]",
            "no key": b'{"schema": 7}',
            "deep": b"[" * 100_000,
        }
        path.write_bytes(damaged[kind])


@pytest.mark.parametrize(
    "kind",
    ["gone", "a folder", "empty", "zeros", "cut", "a flipped bit", "no object", "no key", "deep"],
)
def test_damage_is_noticed(run, kind):
    damage(kind, run / RECORD)
    assert load_stored(run) is None
    with pytest.raises(CheckpointError, match=r"record\.json: missing, damaged or .*--fresh"):
        read_record(run)


def test_a_run_of_another_version_is_refused(tmp_path):
    stored = {**record_in(tmp_path).to_json(), "schema": RECORD_SCHEMA + 1}
    write_stored(tmp_path, stored)
    with pytest.raises(CheckpointError, match=r"record\.json: .* by another version"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("choices", "backbone", {"value": "../evil", "source": "rule", "reason": ""}),
        ("choices", "clip_len", {"value": -1, "source": "rule", "reason": ""}),
        ("choices", "clip_len", {"value": "a", "source": "rule", "reason": ""}),
        ("choices", "freeze", {"value": 5, "source": "rule", "reason": ""}),
        ("choices", "freeze", {"value": -1, "source": "rule", "reason": ""}),
        ("choices", "lora", {"value": 8, "source": "rule", "reason": ""}),
        ("choices", "lora", {"value": -1, "source": "rule", "reason": ""}),
        ("choices", "num_classes", {"value": 3, "source": "rule", "reason": ""}),
        ("choices", "clip_len", None),
        ("choices", "clip_len", {"value": 2}),
        ("data", "classes", "abc"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, part, name, value):
    stored = record_in(tmp_path).to_json()
    stored[part][name] = value
    with pytest.raises(CheckpointError, match="invalid run record"):
        RunRecord.from_json(stored, tmp_path, tmp_path / RECORD)
