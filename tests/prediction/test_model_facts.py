"""The facts about a model file are those of the model."""

import json

import pytest

from autox_video.core.errors import CheckpointError
from autox_video.prediction.model_facts import model_facts
from autox_video.training.checkpoints.checkpoint import read_checkpoint, write_best
from tests.prediction.make_stored_models import FILES


def stored(name):
    return FILES / f"{name}.safetensors"


def changed(folder, name="trained-1", **meta):
    """A copy of a stored model with other values in its meta."""
    state = read_checkpoint(stored(name))
    write_best(folder, {"schema": 4, **state, "meta": {**state["meta"], **meta}})
    return folder / "best.safetensors"


@pytest.mark.parametrize("schema", [0, 1])
def test_a_trained_network(schema):
    facts = model_facts(stored(f"trained-{schema}"))
    assert (facts["kind"], facts["schema"], facts["format"]) == ("trained", schema, "safetensors")
    assert (facts["task"], facts["classes"]) == ("single_label", ["red", "green", "blue"])
    assert (facts["train_clips"], facts["refit"]) == (12, False)
    score = {"metric": "top1", "score": 1.0, "high": 1.0, "scored_on": "validation", "clips": 12}
    assert facts["score"].items() >= score.items()
    assert facts["score"]["low"] == pytest.approx(0.7575, abs=1e-4)
    assert facts["calibration"]["temperature"] == facts["metrics"]["temperature"]
    (model,) = facts["models"]
    assert model["backbone"].startswith("hf:local-")
    assert model["pretrained"]["licence"] == "unknown"
    given = {"frames": 4, "span_sec": 0.5, "side": 32, "mean": pytest.approx([102, 114.75, 127.5])}
    assert {name: model["input"][name] for name in given} == given
    assert model["parameters"] == 23979
    assert set(model["versions"]) == ({"autox-video", "torch", "transformers"} if schema else set())
    assert json.loads(json.dumps(facts)) == facts


def test_a_probe_and_an_ensemble():
    probe, ensemble = (model_facts(stored(f"{name}-1")) for name in ("probe", "ensemble"))
    assert (probe["kind"], ensemble["kind"]) == ("probe", "ensemble")
    assert probe["score"]["scored_on"] == "cross-validation"
    assert probe["models"][0]["pretrained"] is None
    one, other = ensemble["models"]
    assert {**one, "share": 1.0} == probe["models"][0]
    assert (other["share"], other["temperature"]) == (0.4, 1.5)
    assert other["versions"].keys() == {"autox-video", "torch", "transformers"}


def test_after_a_refit_there_is_no_calibration(tmp_path):
    facts = model_facts(changed(tmp_path, all_clips=True))
    assert facts["refit"] and facts["calibration"] is None
    assert facts["score"]["clips"] == 12


def test_without_an_evaluation_there_is_no_score(tmp_path):
    for metrics in (None, {}, {"other": 1.0}):
        facts = model_facts(changed(tmp_path, metrics=metrics))
        assert facts["score"] is None and facts["kind"] == "trained"


@pytest.mark.parametrize("metrics", [[1, 2], "good", {"top1": "high", "clips": 2}, {"top1": 1.0}])
def test_metrics_that_make_no_sense_are_a_sentence(tmp_path, metrics):
    with pytest.raises(CheckpointError, match=r"best\.safetensors: invalid metrics"):
        model_facts(changed(tmp_path, metrics=metrics))


def test_numbers_that_json_lacks_are_none(tmp_path):
    figures = {**read_checkpoint(stored("trained-1"))["meta"]["metrics"], "spread": float("nan")}
    facts = model_facts(changed(tmp_path, metrics=figures))
    assert facts["metrics"]["spread"] is None and facts["score"]["score"] == 1.0
