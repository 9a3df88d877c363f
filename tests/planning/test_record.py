"""record.json: checked when it is read."""

import pytest

from autox_video.core.errors import CheckpointError
from autox_video.planning.plan import ADDED
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import (
    RECORD_SCHEMA,
    RunRecord,
    TrainingData,
    load_stored,
    read_record,
    write_record,
    write_stored,
)
from autox_video.run.work_dir import RECORD
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
